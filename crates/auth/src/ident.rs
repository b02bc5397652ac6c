//! PgBouncer's `auth_ident_file`: who of another world may log in as which user.
//!
//! A line is `map system-user db-user`. The system user is what a method knows from outside: the
//! common name of a client certificate (`cert`), or the operating system's name of the process behind
//! a Unix socket (`peer`). The database user may be `all`; in quotes that is a name like any other.
//! `#` begins a comment. Regular expressions, `+group` and `include` are mistakes that say so.
//!
//! ```
//! let maps = pgweir_auth::ident::parse("ops  deploy  shop_owner").strict().unwrap();
//! assert!(maps.mapping(Some("ops")).allows("deploy", "shop_owner"));
//! // Without a map the names must be the same; a map that does not exist allows nothing.
//! assert!(maps.mapping(None).allows("deploy", "deploy"));
//! assert!(!maps.mapping(Some("other")).allows("deploy", "deploy"));
//! ```

use std::collections::BTreeMap;

use crate::mistake::{Mistake, Parsed, shown};
use crate::words::{Line, Word};

/// The maps of a file, by their names.
#[derive(Debug, Clone, Default, PartialEq, Eq)]
pub struct Maps(BTreeMap<String, Vec<Entry>>);

#[derive(Debug, Clone, PartialEq, Eq)]
struct Entry {
    system_user: String,
    target: Target,
}

/// The user that somebody may log in as.
#[derive(Debug, Clone, PartialEq, Eq)]
enum Target {
    All,
    Name(String),
}

/// What a rule has to say about names: the entries of its map, or that they must be the same.
#[derive(Debug, Clone, Copy)]
pub struct Mapping<'a>(Option<&'a [Entry]>);

impl Maps {
    /// The map that a rule names; for a rule that names none, the same name on both sides.
    #[must_use]
    pub fn mapping(&self, map: Option<&str>) -> Mapping<'_> {
        Mapping(map.map(|name| self.0.get(name).map_or(&[][..], Vec::as_slice)))
    }

    /// Whether there is a map of this name.
    #[must_use]
    pub fn contains(&self, map: &str) -> bool {
        self.0.contains_key(map)
    }
}

impl Mapping<'_> {
    /// The same name on both sides: what `auth_type = cert` asks for.
    #[must_use]
    pub fn same_name() -> Self {
        Self(None)
    }

    /// Whether a system user may log in as `user`. A system user without a name may not.
    #[must_use]
    pub fn allows(&self, system_user: &str, user: &str) -> bool {
        if system_user.is_empty() {
            return false;
        }
        match self.0 {
            None => system_user == user,
            Some(entries) => entries.iter().any(|entry| {
                entry.system_user == system_user
                    && match &entry.target {
                        Target::All => true,
                        Target::Name(name) => name == user,
                    }
            }),
        }
    }
}

/// Reads a file. Good lines count whatever is wrong with others.
#[must_use]
pub fn parse(text: &str) -> Parsed<Maps> {
    let mut maps = Maps::default();
    let mut mistakes = Vec::new();
    for (index, line) in text.lines().enumerate() {
        let mut line = Line::of(line);
        if line.is_end() {
            continue;
        }
        match entry(&mut line) {
            Ok((map, entry)) => maps.0.entry(map).or_default().push(entry),
            Err(what) => mistakes.push(Mistake {
                line: index + 1,
                what,
            }),
        }
    }
    let good = maps;
    Parsed { good, mistakes }
}

fn entry(line: &mut Line<'_>) -> Result<(String, Entry), String> {
    let map = name(line, "a map's name")?;
    if ["include", "include_if_exists", "include_dir"]
        .iter()
        .any(|word| map.is(word))
    {
        return Err(format!("{} is not supported", map.text));
    }
    let system_user = name(line, "a system user")?;
    let user = name(line, "a database user")?;
    if !line.is_end() {
        return Err("nothing may follow the database user".to_owned());
    }
    for word in [&system_user, &user] {
        if word.text.starts_with('/') {
            let word = shown(&word.text);
            return Err(format!("regular expressions are not supported: {word}"));
        }
    }
    if user.after('+').is_some() {
        let user = shown(&user.text);
        return Err(format!("groups are not supported: {user}"));
    }
    let target = if user.is("all") {
        Target::All
    } else {
        Target::Name(user.text)
    };
    let system_user = system_user.text;
    Ok((
        map.text,
        Entry {
            system_user,
            target,
        },
    ))
}

fn name(line: &mut Line<'_>, what: &str) -> Result<Word, String> {
    match line.word()? {
        Some(word) if word.text.is_empty() => Err(format!("{what} must not be empty")),
        Some(word) => Ok(word),
        None => Err(format!(
            "expected {what}: a line is map system-user db-user"
        )),
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use proptest::prelude::*;

    const FILE: &str = "# who may be whom\n\
        ops  alice  shop\n\
        ops  alice  stock  # a second one\n\
        ops  \"Bob B\"  all\n\
        \n\
        quoted  carol  \"all\"\n";

    #[test]
    fn maps_say_who_may_be_whom() {
        let maps = parse(FILE).strict().unwrap();
        let check = |map: Option<&str>, system_user: &str, user: &str, expected: bool| {
            let allowed = maps.mapping(map).allows(system_user, user);
            assert_eq!(allowed, expected, "{map:?} {system_user} {user}");
        };
        check(Some("ops"), "alice", "shop", true);
        check(Some("ops"), "alice", "stock", true);
        // A map says all: the same name counts only where it says so.
        check(Some("ops"), "alice", "alice", false);
        check(Some("ops"), "Alice", "shop", false);
        check(Some("ops"), "Bob B", "anybody", true);
        check(Some("quoted"), "carol", "all", true);
        check(Some("quoted"), "carol", "shop", false);
        check(Some("quoted"), "alice", "shop", false);
        check(Some("missing"), "alice", "alice", false);
        check(None, "alice", "alice", true);
        check(None, "alice", "shop", false);
        check(None, "", "", false);
        assert!(maps.contains("ops") && !maps.contains("missing"));
        assert!(Mapping::same_name().allows("a", "a") && !Mapping::same_name().allows("a", "b"));
    }

    #[test]
    fn all_mistakes_are_told_with_their_lines() {
        let text = "m\nm a\nm a b c\nm a /x\nm /^(.*)$ b\nm a +g\nm \"a b\nm a, b\ninclude x\n\
                    m \"\" b\nm \"a\"b c\n";
        let parsed = parse(text);
        let lines: Vec<usize> = parsed.mistakes.iter().map(|mistake| mistake.line).collect();
        assert_eq!(lines, (1..=11).collect::<Vec<_>>());
        assert_eq!(parsed.good, Maps::default());
        let check = |line: usize, what: &str| assert_eq!(parsed.mistakes[line - 1].what, what);
        check(
            1,
            "expected a system user: a line is map system-user db-user",
        );
        check(3, "nothing may follow the database user");
        check(4, "regular expressions are not supported: \"/x\"");
        check(6, "groups are not supported: \"+g\"");
        check(9, "include is not supported");
    }

    #[test]
    fn good_lines_count_beside_bad_ones() {
        let mixed = FILE.replace('\n', "\nbad\n");
        let parsed = parse(&mixed);
        assert_eq!(parsed.mistakes.len(), FILE.lines().count());
        assert_eq!(parsed.good, parse(FILE).good);
        assert!(parse(&mixed).strict().is_err());
    }

    proptest! {
        /// Whatever names there are, in quotes they mean themselves.
        #[test]
        fn quoted_names_mean_themselves(
            names in prop::collection::vec("[ a-c,#+@\"é]{1,5}", 3),
            other in "[ a-c,#+@\"é]{1,5}",
        ) {
            let line: Vec<String> = names
                .iter()
                .map(|name| format!("\"{}\"", name.replace('"', "\"\"")))
                .collect();
            let maps = parse(&line.join(" ")).strict().unwrap();
            let mapping = maps.mapping(Some(&names[0]));
            prop_assert!(mapping.allows(&names[1], &names[2]));
            prop_assert_eq!(mapping.allows(&other, &names[2]), other == names[1]);
            prop_assert_eq!(mapping.allows(&names[1], &other), other == names[2]);
        }

        /// A line is blank, or counts, or is a mistake: nothing is passed over.
        #[test]
        fn each_line_counts_or_is_a_mistake(text in "[a \"#,\n/+]{0,40}") {
            let Parsed { good, mistakes } = parse(&text);
            let said = text.lines().filter(|line| !Line::of(line).is_end()).count();
            let counted: usize = good.0.values().map(Vec::len).sum();
            prop_assert_eq!(counted + mistakes.len(), said);
        }
    }
}
