//! Connection strings: `key=value key='it''s' …`, as they stand in `[databases]` and `[users]`.

use super::line::{is_blank, quoted};

/// The pairs of a connection string. A key that comes twice counts the second time.
///
/// # Errors
///
/// What is wrong, without repeating any of it: there may be a password in it.
pub(super) fn read(text: &str) -> Result<Vec<(String, String)>, String> {
    let mut pairs: Vec<(String, String)> = Vec::new();
    let mut rest = text.trim_start_matches(is_blank);
    while !rest.is_empty() {
        let (key, value, after) = pair(rest).map_err(|what| {
            let column = text[..text.len() - rest.len()].chars().count() + 1;
            format!("{what}, in what begins with character {column}")
        })?;
        pairs.retain(|(before, _)| *before != key);
        pairs.push((key.to_owned(), value));
        rest = after.trim_start_matches(is_blank);
    }
    Ok(pairs)
}

fn pair(text: &str) -> Result<(&str, String, &str), &'static str> {
    let ends = text.find(|c| is_blank(c) || c == '=');
    let (key, rest) = text.split_at(ends.unwrap_or(text.len()));
    let rest = rest.trim_start_matches(is_blank);
    let rest = rest.strip_prefix('=').ok_or("expected key=value")?;
    if key.is_empty() {
        return Err("expected a key before \"=\"");
    }
    let rest = rest.trim_start_matches(is_blank);
    let (value, rest) = match rest.strip_prefix('\'') {
        Some(inside) => {
            let (value, rest) = quoted(inside, '\'').ok_or("a quote is not closed")?;
            if rest.starts_with(|c| !is_blank(c)) {
                return Err("expected a blank after the closing quote");
            }
            (value.into_owned(), rest)
        }
        None => {
            let (value, rest) = rest.split_at(rest.find(is_blank).unwrap_or(rest.len()));
            (value.to_owned(), rest)
        }
    };
    if value.is_empty() {
        return Err("expected a value after \"=\"");
    }
    Ok((key, value, rest))
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn pairs() {
        let check = |text, expected: &[(&str, &str)]| {
            let found = read(text).expect(text);
            let found: Vec<_> = found
                .iter()
                .map(|(key, value)| (key.as_str(), value.as_str()))
                .collect();
            assert_eq!(found, expected, "{text}");
        };
        check("", &[]);
        check("  ", &[]);
        check("host=a port=5", &[("host", "a"), ("port", "5")]);
        check(" host = a\t port= 5 ", &[("host", "a"), ("port", "5")]);
        check("a='b c' d=e", &[("a", "b c"), ("d", "e")]);
        check("a='it''s' d=''''", &[("a", "it's"), ("d", "'")]);
        check("a=it's", &[("a", "it's")]);
        check("a=b=c", &[("a", "b=c")]);
        check("a=1 b=2 a=3", &[("b", "2"), ("a", "3")]);
    }

    #[test]
    fn broken_strings_say_where_and_not_what() {
        let check = |text: &str, expected: &str| {
            assert_eq!(read(text).expect_err(text), expected, "{text}");
        };
        check(
            "host",
            "expected key=value, in what begins with character 1",
        );
        check(
            "ä=b secret",
            "expected key=value, in what begins with character 5",
        );
        check(
            "a=b =secret",
            "expected a key before \"=\", in what begins with character 5",
        );
        check(
            "a='secret",
            "a quote is not closed, in what begins with character 1",
        );
        check(
            "a='b'secret",
            "expected a blank after the closing quote, in what begins with character 1",
        );
        check(
            "a=",
            "expected a value after \"=\", in what begins with character 1",
        );
        check(
            "a=b c=''",
            "expected a value after \"=\", in what begins with character 5",
        );
        check(
            "host=a ; comment",
            "expected key=value, in what begins with character 8",
        );
    }
}
