//! PgBouncer's `userlist.txt`: a line for each user, `"name" "secret"`.

use zeroize::Zeroizing;

use crate::secret::Secret;

/// A line that cannot be read.
#[derive(Debug, Clone, PartialEq, Eq, thiserror::Error)]
#[error("line {line}: {what}")]
pub struct Mistake {
    /// Counted from 1.
    pub line: usize,
    /// What is wrong with it.
    pub what: &'static str,
}

/// In bytes, as in PgBouncer.
const NAME_LEN_MAX: usize = 127;
/// In bytes, as in PgBouncer: what fits into one message.
const SECRET_LEN_MAX: usize = 65_530;

/// Reads a file. Blank lines and lines that begin with `;` are passed over; `""` in a text is one
/// quote; what follows the secret is ignored. A user with two lines comes twice: the last counts.
///
/// # Errors
/// The first line that cannot be read.
pub fn parse(text: &str) -> Result<Vec<(String, Secret)>, Mistake> {
    let mut users = Vec::new();
    for (index, line) in text.lines().enumerate() {
        let mistake = |what| Mistake {
            line: index + 1,
            what,
        };
        let line = line.trim_start();
        if line.is_empty() || line.starts_with(';') {
            continue;
        }
        let (name, rest) = quoted(line).ok_or(mistake("expected \"user\" in quotes"))?;
        let (secret, _) = quoted(rest.trim_start())
            .ok_or(mistake("expected \"secret\" in quotes after the user"))?;
        if name.is_empty() || name.len() > NAME_LEN_MAX {
            return Err(mistake("user name must have 1 to 127 bytes"));
        }
        if secret.len() > SECRET_LEN_MAX {
            return Err(mistake("secret must have at most 65530 bytes"));
        }
        if name.contains('\0') || secret.contains('\0') {
            return Err(mistake("contains a NUL character"));
        }
        users.push((name, Secret::parse(&Zeroizing::new(secret))));
    }
    Ok(users)
}

/// The quoted text at the front, and what is behind it.
fn quoted(text: &str) -> Option<(String, &str)> {
    let mut rest = text.strip_prefix('"')?;
    let mut value = String::new();
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

    #[test]
    fn lines() {
        let text = "; users\n\n\"bob\" \"se\"\"cret\" ignored\n  \"eve\"\t\"\"\n\"bob\" \"new\"\n";
        let users = parse(text).unwrap();
        assert_eq!(
            users,
            [
                ("bob".to_owned(), Secret::plain("se\"cret")),
                ("eve".to_owned(), Secret::plain("")),
                ("bob".to_owned(), Secret::plain("new"))
            ]
        );
        let line = |text: &str| parse(text).map_err(|mistake| mistake.line);
        assert_eq!(line("\"a\" \"b\"\nbob secret"), Err(2));
        assert_eq!(line("\"a\""), Err(1));
        assert_eq!(line("\"a\" \"b"), Err(1));
        assert_eq!(line("\"\" \"b\""), Err(1));
        assert_eq!(line("\"a\" \"b\0\""), Err(1));
        let long = |name: usize, secret: usize| {
            line(&format!(
                "\"{}\" \"{}\"",
                "n".repeat(name),
                "s".repeat(secret)
            ))
        };
        assert!(long(127, 65_530).is_ok());
        assert_eq!((long(128, 1), long(1, 65_531)), (Err(1), Err(1)));
    }
}
