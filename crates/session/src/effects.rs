//! What a statement may leave behind on a server connection when its transaction is over.
//!
//! Two witnesses: the text, for what no reply shows (advisory locks, `set_config`, temporary
//! tables made by SELECT INTO, cursors WITH HOLD), and the command tag, which the server gives for
//! everything else. Both err on the side of "may": a needless DISCARD ALL costs a round trip that
//! no client waits for, a leak costs trust. What a function hides in its body is seen by neither;
//! `server_reset_query_always` is for those who have such functions.

use std::sync::OnceLock;

use aho_corasick::AhoCorasick;
use pgweir_route::lex;

/// A set of things left behind.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Default)]
pub struct Effects(u8);

impl Effects {
    /// Nothing is left behind.
    pub const NONE: Self = Self(0);
    /// A setting that is not tracked.
    pub const SETTING: Self = Self(1);
    /// A session-level advisory lock.
    pub const LOCK: Self = Self(2);
    /// A temporary table.
    pub const TEMPORARY: Self = Self(4);
    /// A cursor that outlives its transaction.
    pub const CURSOR: Self = Self(8);
    /// A statement prepared with SQL's PREPARE.
    pub const PREPARED: Self = Self(16);
    /// LISTEN.
    pub const LISTEN: Self = Self(32);
    /// Code that could have done anything (DO, CALL, or a text that was not seen whole).
    pub const UNKNOWN: Self = Self(64);
    /// What no statement undoes (LOAD): the connection must be closed.
    pub const FOR_GOOD: Self = Self(128);

    /// Both sets together.
    #[must_use]
    pub const fn and(self, other: Self) -> Self {
        Self(self.0 | other.0)
    }

    /// Whether the set is empty.
    pub const fn is_none(self) -> bool {
        self.0 == 0
    }

    /// Whether all of `other` is in the set.
    pub const fn has(self, other: Self) -> bool {
        self.0 & other.0 == other.0
    }

    /// A word for logs and SHOW: the first of what is in the set.
    pub fn reason(self) -> &'static str {
        const WORDS: [(Effects, &str); 8] = [
            (Effects::FOR_GOOD, "loaded library"),
            (Effects::LOCK, "advisory lock"),
            (Effects::TEMPORARY, "temporary table"),
            (Effects::CURSOR, "cursor with hold"),
            (Effects::LISTEN, "listen"),
            (Effects::PREPARED, "prepared statement"),
            (Effects::SETTING, "setting"),
            (Effects::UNKNOWN, "unknown"),
        ];
        WORDS
            .iter()
            .find(|(effect, _)| self.has(*effect))
            .map_or("", |(_, word)| word)
    }
}

/// What the text of a statement tells.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Default)]
pub struct Verdict {
    /// Left behind, whatever the reply says.
    pub effects: Effects,
    /// The one statement is a SET that needs no cleaning: SET LOCAL, SET TRANSACTION, or a SET of
    /// a parameter that the server reports, so that its `SET` tag is no reason to clean.
    pub harmless_set: bool,
    /// The one statement gives settings their defaults (see [`reset_of`]).
    pub resets: bool,
    /// Has a DISCARD or a DEALLOCATE in it, so that prepared statements may be gone afterwards.
    pub sweeps: bool,
}

impl Verdict {
    /// For a text that was not seen whole.
    pub const UNSEEN: Self = Self {
        effects: Effects::UNKNOWN,
        harmless_set: false,
        resets: false,
        sweeps: true,
    };
}

const WORDS: [&str; 8] = [
    "advisory_lock",
    "set_config",
    "temp",
    "hold",
    "temporary",
    "discard",
    "deallocate",
    // A name with letters by their numbers, which may be any.
    "u&\"",
];

fn automaton() -> &'static AhoCorasick {
    // Constant data made at run time, not state: the patterns never change.
    static WORDS_AUTOMATON: OnceLock<AhoCorasick> = OnceLock::new();
    WORDS_AUTOMATON.get_or_init(|| {
        AhoCorasick::builder()
            .ascii_case_insensitive(true)
            .kind(Some(aho_corasick::AhoCorasickKind::DFA))
            .build(WORDS)
            .expect("a few short constant patterns")
    })
}

/// Judges a text; `reported` says whether the server reports changes of a parameter.
///
/// Linear in the text's length.
pub fn judge(text: &[u8], reported: impl Fn(&[u8]) -> bool) -> Verdict {
    let mut effects = Effects::NONE;
    let mut sweeps = false;
    for found in automaton().find_overlapping_iter(text) {
        let (start, end) = (found.start(), found.end());
        let word = || {
            let before = text[..start].last().is_none_or(|byte| !is_name(*byte));
            let after = text.get(end).is_none_or(|byte| !is_name(*byte));
            before && after
        };
        effects = effects.and(match found.pattern().as_usize() {
            0 => Effects::LOCK,
            1 => Effects::SETTING,
            2 if word() || text[..start].ends_with(b"pg_") => Effects::TEMPORARY,
            4 if word() => Effects::TEMPORARY,
            3 if word() => Effects::CURSOR,
            7 => Effects::UNKNOWN,
            5 | 6 => {
                sweeps |= word();
                Effects::NONE
            }
            _ => Effects::NONE,
        });
    }
    Verdict {
        effects,
        harmless_set: is_harmless_set(text, reported),
        resets: reset_of(text).is_some(),
        sweeps,
    }
}

/// Whether a text is one SET that needs no cleaning; see [`Verdict::harmless_set`].
pub fn is_harmless_set(text: &[u8], reported: impl Fn(&[u8]) -> bool) -> bool {
    let mut words = Words { text };
    words.next().is_some_and(|word| is(word, "set")) && set_is_harmless(&mut words, reported)
}

/// What a text gives its default that is one RESET, SET … TO DEFAULT or DISCARD: the name of a
/// parameter, or `all`.
pub fn reset_of(text: &[u8]) -> Option<&[u8]> {
    let mut words = Words { text };
    let verb = words.next()?;
    if is(verb, "set") {
        return set_to_default(&mut words);
    }
    if !is(verb, "reset") && !is(verb, "discard") {
        return None;
    }
    let name = words.next().filter(|_| words.is_last())?;
    (is(verb, "reset") || is(name, "all")).then_some(name)
}

fn set_to_default<'a>(words: &mut Words<'a>) -> Option<&'a [u8]> {
    let mut name = words.next()?;
    if is(name, "session") {
        name = words.next()?;
    }
    let value = if is(name, "time") {
        name = b"TimeZone";
        words.next().filter(|word| is(word, "zone"))?;
        words.next()?
    } else {
        if !words.takes(b'=') {
            words.next().filter(|word| is(word, "to"))?;
        }
        words.next()?
    };
    let is_default = is(value, "default") || (name == b"TimeZone" && is(value, "local"));
    (is_default && words.is_last()).then_some(name)
}

fn set_is_harmless(words: &mut Words<'_>, reported: impl Fn(&[u8]) -> bool) -> bool {
    if memchr::memchr(b';', words.text).is_some_and(|at| {
        !Words {
            text: &words.text[at..],
        }
        .is_last()
    }) {
        return false;
    }
    let Some(mut name) = words.next() else {
        return false;
    };
    if is(name, "local") || is(name, "transaction") || is(name, "constraints") {
        return true;
    }
    if is(name, "session") {
        // SET SESSION CHARACTERISTICS and SET SESSION AUTHORIZATION are not about one parameter.
        match words.next() {
            Some(next) if !is(next, "characteristics") && !is(next, "authorization") => name = next,
            _ => return false,
        }
    }
    if is(name, "names") {
        return reported(b"client_encoding");
    }
    if is(name, "time") && words.next().is_some_and(|word| is(word, "zone")) {
        return reported(b"TimeZone");
    }
    reported(name)
}

/// The words at the front of a statement; white space and comments are passed over.
struct Words<'a> {
    text: &'a [u8],
}

impl<'a> Words<'a> {
    /// A comment that does not end takes the rest of the text with it.
    fn skip_blank(&mut self) {
        let len = lex::blank_len(self.text).unwrap_or(self.text.len());
        self.text = &self.text[len..];
    }

    fn next(&mut self) -> Option<&'a [u8]> {
        self.skip_blank();
        let len = self.text.iter().take_while(|byte| is_name(**byte)).count();
        let (word, rest) = self.text.split_at(len);
        self.text = rest;
        if word.is_empty() { None } else { Some(word) }
    }

    /// Whether this sign comes next; goes on behind it.
    fn takes(&mut self, sign: u8) -> bool {
        self.skip_blank();
        let rest = self.text.strip_prefix(&[sign]);
        self.text = rest.unwrap_or(self.text);
        rest.is_some()
    }

    /// Whether only blanks and semicolons are left.
    fn is_last(&mut self) -> bool {
        loop {
            self.skip_blank();
            match self.text.first() {
                None => return true,
                Some(b';') => self.text = &self.text[1..],
                Some(_) => return false,
            }
        }
    }
}

fn is_name(byte: u8) -> bool {
    byte.is_ascii_alphanumeric() || byte == b'_' || byte == b'$' || byte == b'.' || byte >= 0x80
}

fn is(word: &[u8], expected: &str) -> bool {
    word.eq_ignore_ascii_case(expected.as_bytes())
}

/// What a command tag tells (CommandComplete).
#[inline]
pub fn of_tag(tag: &[u8]) -> Effects {
    match tag {
        // Much the most frequent ones first; none of them leaves anything that the text hides not.
        [b'S', b'E', b'L', ..] | [b'I', b'N', b'S', ..] | [b'U', b'P', b'D', ..] => Effects::NONE,
        [b'B', b'E', b'G', ..] | [b'C', b'O', b'M', ..] | [b'R', b'O', ..] => Effects::NONE,
        b"SET" | b"RESET" => Effects::SETTING,
        b"PREPARE" => Effects::PREPARED,
        b"LISTEN" => Effects::LISTEN,
        b"DO" | b"CALL" => Effects::UNKNOWN,
        b"LOAD" => Effects::FOR_GOOD,
        _ => Effects::NONE,
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn reported(name: &[u8]) -> bool {
        [&b"TimeZone"[..], b"client_encoding", b"DateStyle"]
            .iter()
            .any(|n| n.eq_ignore_ascii_case(name))
    }

    fn check(text: &str, effects: Effects, harmless_set: bool) {
        let verdict = judge(text.as_bytes(), reported);
        assert_eq!(
            (verdict.effects, verdict.harmless_set),
            (effects, harmless_set),
            "{text}"
        );
    }

    #[test]
    fn texts_and_what_they_leave() {
        let none = Effects::NONE;
        check("select 1", none, false);
        check(
            "select attempts, temperature, template from holdings",
            none,
            false,
        );
        check("SELECT pg_Advisory_Lock(1)", Effects::LOCK, false);
        check(
            "select pg_try_advisory_lock_shared(1)",
            Effects::LOCK,
            false,
        );
        check("select pg_advisory_xact_lock(1)", none, false);
        check(
            "select set_config('a.b', 'c', false)",
            Effects::SETTING,
            false,
        );
        check("select 1 into TEMP t", Effects::TEMPORARY, false);
        check("create temporary table t()", Effects::TEMPORARY, false);
        check("create table pg_temp.t()", Effects::TEMPORARY, false);
        check(
            "declare c cursor with hold for select 1",
            Effects::CURSOR,
            false,
        );
        check("set work_mem = '1GB'", none, false);
        check("set timezone = 'UTC'", none, true);
        check(
            " /* x */ -- y\n SET SESSION datestyle TO 'ISO';",
            none,
            true,
        );
        check("set local work_mem='1GB'", none, true);
        check("set /* /* */ local */ work_mem='1GB'", none, false);
        check("set /* /* x */ */ local work_mem='1GB'", none, true);
        check("set /* /* local work_mem='1GB'", none, false);
        check("-- x\rset local work_mem='1GB'", none, true);
        let unknown = Effects::UNKNOWN;
        check("select U&\"pg\\005fadvisory\\005flock\"(1)", unknown, false);
        check("set time zone 'UTC'", none, true);
        check("set names 'UTF8'", none, true);
        check("set session authorization bob", none, false);
        check("set role bob", none, false);
        check("set timezone = 'UTC'; set work_mem = '1GB'", none, false);
    }

    #[test]
    fn resets_are_seen() {
        for (text, expected) in [
            ("reset all", true),
            ("DISCARD ALL;", true),
            ("reset timezone", true),
            ("discard all; set a=1", false),
            ("set timezone = 'default'", false),
        ] {
            assert_eq!(judge(text.as_bytes(), reported).resets, expected, "{text}");
        }
    }

    #[test]
    fn what_is_reset() {
        for (text, expected) in [
            ("reset TimeZone", Some("TimeZone")),
            (" RESET all ;", Some("all")),
            ("discard all", Some("all")),
            ("discard plans", None),
            ("reset a; reset b", None),
            ("reset", None),
            ("SET a TO default", Some("a")),
            ("set session a=DEFAULT;", Some("a")),
            ("set time zone local", Some("TimeZone")),
            ("set session time zone default", Some("TimeZone")),
            ("set local a to default", None),
            ("set a to defaults", None),
            ("set a to local", None),
            ("set a to default, b", None),
            ("set a = default; select 1", None),
            ("set a", None),
            ("set a =", None),
        ] {
            let expected = expected.map(str::as_bytes);
            assert_eq!(reset_of(text.as_bytes()), expected, "{text}");
        }
    }

    #[test]
    fn tags() {
        assert_eq!(of_tag(b"SELECT 1"), Effects::NONE);
        assert_eq!(of_tag(b"SET"), Effects::SETTING);
        assert_eq!(of_tag(b"SET CONSTRAINTS"), Effects::NONE);
        assert_eq!(of_tag(b"LOAD"), Effects::FOR_GOOD);
        assert_eq!(of_tag(b"LOCK TABLE"), Effects::NONE);
        assert_eq!(of_tag(b"ROLLBACK"), Effects::NONE);
    }
}
