//! PgBouncer's `auth_file`: a line for each user, `"name" "secret"`; and the rows of `auth_query`.
//!
//! Blank lines and lines that begin with `;` are passed over; `""` in a text is one quote; what stands
//! between name and secret, and behind the secret, is ignored. A name has 1 to 127 bytes, a secret at
//! most 65530. The secret is a password, `md5` and 32 hexadecimal digits, or a `SCRAM-SHA-256$…`
//! verifier ([`Secret::parse`]). An empty one makes a user known without letting anybody in: that
//! takes a method without a password.
//!
//! # Mistakes
//!
//! [`read`] reads to the end and tells all mistakes with their lines; what is good of the others stays.
//! PgBouncer stops at the first bad line and the users below it are unknown ([`before_first_mistake`]
//! is that), and it takes a quote that is not closed, or a secret that is missing, from the next line,
//! which makes a user's name somebody's password. Here a line ends where it ends.

use zeroize::Zeroizing;

use crate::secret::Secret;

pub use crate::mistake::{Mistake, Parsed};

/// A user of the file.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct User {
    /// Where it stands, counted from 1.
    pub line: usize,
    /// What it is called.
    pub name: String,
    /// What it proves itself with.
    pub secret: Secret,
}

/// What a name or a secret breaks.
#[derive(Debug, Clone, Copy, PartialEq, Eq, thiserror::Error)]
pub enum Broken {
    /// The name is empty or too long.
    #[error("user name must have 1 to 127 bytes")]
    NameLength,
    /// The secret is too long.
    #[error("secret must have at most 65530 bytes")]
    SecretLength,
    /// No message could carry it.
    #[error("contains a NUL character")]
    Nul,
    /// The row's bytes are no text.
    #[error("is not UTF-8")]
    Encoding,
}

/// In bytes, as in PgBouncer.
const NAME_LEN_MAX: usize = 127;
/// In bytes, as in PgBouncer: what fits into one message.
const SECRET_LEN_MAX: usize = 65_530;

/// Reads a file. A user with two lines comes twice: the last counts.
#[must_use]
pub fn read(text: &str) -> Parsed<Vec<User>> {
    let mut good = Vec::new();
    let mut mistakes = Vec::new();
    for (index, text) in text.lines().enumerate() {
        let line = index + 1;
        let text = text.trim_ascii_start();
        if text.is_empty() || text.starts_with(';') {
            continue;
        }
        match user(text) {
            Ok((name, secret)) => good.push(User { line, name, secret }),
            Err(what) => mistakes.push(Mistake { line, what }),
        }
    }
    Parsed { good, mistakes }
}

/// Reads a file that must be without a mistake. A user with two lines comes twice: the last counts.
///
/// # Errors
/// The first line that cannot be read.
pub fn parse(text: &str) -> Result<Vec<(String, Secret)>, Mistake> {
    let Parsed { good, mistakes } = read(text);
    match mistakes.into_iter().next() {
        Some(first) => Err(first),
        None => Ok(good
            .into_iter()
            .map(|user| (user.name, user.secret))
            .collect()),
    }
}

/// The users that PgBouncer would know from a file: it stops at the first bad line.
#[must_use]
pub fn before_first_mistake(file: Parsed<Vec<User>>) -> Vec<User> {
    let mut users = file.good;
    if let Some(first) = file.mistakes.first() {
        users.retain(|user| user.line < first.line);
    }
    users
}

/// A row of `auth_query`: a name and its secret, by the rules of the file.
///
/// NULL is the secret of somebody who exists and whom no password lets in, as an empty one is: the
/// default query gives it for those whose password has expired. The name is the query's; the caller
/// has to compare it with the one that was asked about, or mean it to differ.
///
/// # Errors
/// What the row breaks. Nothing of the secret is told.
pub fn row(name: &[u8], secret: Option<&[u8]>) -> Result<(String, Secret), Broken> {
    let text = |bytes| std::str::from_utf8(bytes).map_err(|_| Broken::Encoding);
    let (name, secret) = (text(name)?, text(secret.unwrap_or_default())?);
    let secret = checked(name, secret)?;
    Ok((name.to_owned(), secret))
}

fn checked(name: &str, secret: &str) -> Result<Secret, Broken> {
    if name.is_empty() || name.len() > NAME_LEN_MAX {
        return Err(Broken::NameLength);
    }
    if secret.len() > SECRET_LEN_MAX {
        return Err(Broken::SecretLength);
    }
    if name.contains('\0') || secret.contains('\0') {
        return Err(Broken::Nul);
    }
    Ok(Secret::parse(secret))
}

/// Reads a line that is not blank.
fn user(line: &str) -> Result<(String, Secret), String> {
    if !line.starts_with('"') {
        return Err("expected \"user\" in quotes".to_owned());
    }
    let (name, rest) = quoted(line).ok_or("the user's quotes are not closed")?;
    let at = rest
        .find('"')
        .ok_or("expected \"secret\" in quotes after the user")?;
    let (secret, _) = quoted(&rest[at..]).ok_or("the secret's quotes are not closed")?;
    let secret = checked(&name, &secret).map_err(|broken| broken.to_string())?;
    Ok((name.to_string(), secret))
}

/// The quoted text at the front, and what is behind it. Wiped, since a line that lacks a quote may have
/// its secret anywhere.
fn quoted(text: &str) -> Option<(Zeroizing<String>, &str)> {
    let mut rest = text.strip_prefix('"')?;
    // Reserved at once: a text that grows leaves a copy behind.
    let mut value = Zeroizing::new(String::with_capacity(rest.len()));
    loop {
        let end = rest.find('"')?;
        value.push_str(&rest[..end]);
        rest = &rest[end + 1..];
        match rest.strip_prefix('"') {
            Some(more) => {
                value.push('"');
                rest = more;
            }
            None => return Some((value, rest)),
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use proptest::prelude::*;

    #[test]
    fn lines() {
        let text = "; users\n\n\"bob\" \"se\"\"cret\" ignored\n  \"eve\"\t\"\"\r\n\"bob\" \"new\"\n\
                    \"c\" , \"d\"\"e\n  ; \"x\n\"f\"=\"g\"h\"\n";
        let users = parse(&text.replace("\"d\"\"e", "\"d\" \"e")).unwrap();
        assert_eq!(
            users,
            [
                ("bob".to_owned(), Secret::plain("se\"cret")),
                ("eve".to_owned(), Secret::plain("")),
                ("bob".to_owned(), Secret::plain("new")),
                ("c".to_owned(), Secret::plain("d")),
                ("f".to_owned(), Secret::plain("g")),
            ]
        );
        assert_eq!(parse(text).unwrap_err().line, 6);
    }

    #[test]
    fn mistakes_say_what_is_wrong() {
        let check = |line: &str, expected: &str| {
            let file = read(line);
            let found: Vec<&str> = file.mistakes.iter().map(|m| m.what.as_str()).collect();
            assert_eq!((found, file.good.len()), (vec![expected], 0), "{line:?}");
        };
        check("bob secret", "expected \"user\" in quotes");
        check("# bob", "expected \"user\" in quotes");
        check("\"a", "the user's quotes are not closed");
        check("\"a\" b", "expected \"secret\" in quotes after the user");
        check("\"a\"", "expected \"secret\" in quotes after the user");
        check("\"a\" \"b", "the secret's quotes are not closed");
        check("\"a\" \"b\"\"", "the secret's quotes are not closed");
        check("\"\" \"b\"", "user name must have 1 to 127 bytes");
        check("\"a\" \"b\0\"", "contains a NUL character");
        check("\"a\0\" \"b\"", "contains a NUL character");
    }

    #[test]
    fn names_and_secrets_have_limits() {
        let check = |name: usize, secret: usize, expected: Result<(), Broken>| {
            let (name, secret) = ("n".repeat(name), "s".repeat(secret));
            let file = read(&format!("\"{name}\" \"{secret}\""));
            let row = row(name.as_bytes(), Some(secret.as_bytes()));
            let told = file.strict().err().map(|mut all| all.remove(0).what);
            assert_eq!(told, expected.err().map(|broken| broken.to_string()));
            assert_eq!(row.map(|_| ()), expected);
        };
        check(127, 65_530, Ok(()));
        check(1, 0, Ok(()));
        check(128, 1, Err(Broken::NameLength));
        check(0, 1, Err(Broken::NameLength));
        check(1, 65_531, Err(Broken::SecretLength));
        // What is doubled in the file counts once.
        let doubled = format!("\"{}\" \"x\"", "\"\"".repeat(127));
        assert!(parse(&doubled).is_ok());
    }

    #[test]
    fn a_bad_line_takes_no_other_with_it() {
        let text = "\"a\" \"1\"\n\"b\"\n\"c\" \"2\"\n\"d\" \"3\ne\n\"f\" \"4\"";
        let file = read(text);
        let lines: Vec<usize> = file.mistakes.iter().map(|mistake| mistake.line).collect();
        assert_eq!(lines, [2, 4, 5]);
        let names = |users: &[User]| -> Vec<String> {
            users.iter().map(|user| user.name.clone()).collect()
        };
        assert_eq!(names(&file.good), ["a", "c", "f"]);
        assert_eq!(names(&before_first_mistake(file)), ["a"]);
        let whole = read("\"a\" \"1\"\n\"b\" \"2\"");
        assert_eq!(names(&before_first_mistake(whole)), ["a", "b"]);
    }

    #[test]
    fn rows_follow_the_rules_of_the_file() {
        let hash = "md50123456789abcdef0123456789abcdef";
        let check = |secret: Option<&[u8]>, expected: Secret| {
            let expected = ("bob".to_owned(), expected);
            assert_eq!(row(b"bob", secret), Ok(expected));
        };
        check(Some(b"pencil"), Secret::plain("pencil"));
        check(Some(hash.as_bytes()), Secret::parse(hash));
        check(Some(b""), Secret::plain(""));
        check(None, Secret::plain(""));
        assert_eq!(row(b"bob", Some(b"a\0b")), Err(Broken::Nul));
        assert_eq!(row(b"b\0b", None), Err(Broken::Nul));
        assert_eq!(row(b"b\xff", None), Err(Broken::Encoding));
        assert_eq!(row(b"bob", Some(b"\xff")), Err(Broken::Encoding));
    }

    #[test]
    fn a2_nothing_of_a_secret_is_told() {
        for text in [
            "\"bob\" \"hunter2",
            "\"bob\" hunter2",
            "bob \"hunter2\"",
            "\"bob\" \"hunter2\0\"",
            "\"\" \"hunter2\"",
            "\"bob\" \"hunter2\"",
        ] {
            let shown = format!("{:?}", read(text));
            assert!(!shown.contains("hunter2"), "{shown}");
        }
        let long = format!("hunter2{}", "x".repeat(65_530));
        let shown = format!("{:?}", row(b"bob", Some(long.as_bytes())));
        assert!(!shown.contains("hunter2"), "{shown}");
    }

    proptest! {
        #[test]
        fn what_is_written_is_read(
            users in prop::collection::vec(("[ -~é]{1,8}", "[ -~é]{0,8}", "[ =,;]{0,3}", "[^\n\r]{0,4}"), 0..5),
        ) {
            let quote = |text: &str| format!("\"{}\"", text.replace('"', "\"\""));
            let text: Vec<String> = users
                .iter()
                // A quote at once behind the secret would be part of it.
                .map(|(name, secret, between, rest)| {
                    format!("{}{between} {} {rest}", quote(name), quote(secret))
                })
                .collect();
            let read = parse(&text.join("\n")).unwrap();
            let expected: Vec<_> = users
                .iter()
                .map(|(name, secret, ..)| (name.clone(), Secret::parse(secret)))
                .collect();
            prop_assert_eq!(read, expected);
        }

        /// A line is blank or a comment, or counts, or is a mistake: nothing is passed over.
        #[test]
        fn each_line_counts_or_is_a_mistake(text in "[a \"\"\";\n]{0,60}") {
            let Parsed { good, mistakes } = read(&text);
            let mut found: Vec<usize> = good.iter().map(|user| user.line).collect();
            found.extend(mistakes.iter().map(|mistake| mistake.line));
            found.sort_unstable();
            let said = text.lines().enumerate().filter(|(_, line)| {
                !line.trim().is_empty() && !line.trim().starts_with(';')
            });
            prop_assert_eq!(found, said.map(|(index, _)| index + 1).collect::<Vec<_>>());
        }
    }
}
