//! One line of PgBouncer's ini, before anybody asks what its words mean.

use std::borrow::Cow;

/// What a line is.
#[derive(Debug, PartialEq)]
pub(super) enum Line<'a> {
    /// Nothing, or a comment.
    Empty,
    /// `[name]`, and what else stands on the line, which is a line again.
    Section(&'a str, &'a str),
    /// `%include path`.
    Include(&'a str),
    /// `key = value`; the value runs to the end of the line.
    Assign(Cow<'a, str>, &'a str),
}

/// Reads a line without its line break.
///
/// # Errors
///
/// What it lacks, without repeating any of it: there may be a password in it.
pub(super) fn read(line: &str) -> Result<Line<'_>, &'static str> {
    let line = line.trim_start_matches(is_space);
    if line.is_empty() || line.starts_with(['#', ';']) {
        return Ok(Line::Empty);
    }
    if let Some(path) = line.strip_prefix("%include") {
        return match path.trim_matches(is_space) {
            "" => Err("expected a file after %include"),
            trimmed if path.starts_with(is_blank) => Ok(Line::Include(trimmed)),
            _ => Err("expected a blank after %include"),
        };
    }
    if let Some(rest) = line.strip_prefix('[') {
        let (name, rest) = rest.split_once(']').ok_or("expected \"]\"")?;
        return Ok(Line::Section(name, rest));
    }
    let (key, rest) = match line.chars().next() {
        Some(quote @ ('\'' | '"')) => quoted(&line[1..], quote).ok_or("a quote is not closed")?,
        _ => bare(line)?,
    };
    let value = rest.trim_start_matches(is_blank).strip_prefix('=');
    let value = value.ok_or("expected \"=\" after the key")?;
    Ok(Line::Assign(key, value.trim_matches(is_space)))
}

fn bare(line: &str) -> Result<(Cow<'_, str>, &str), &'static str> {
    let ends = line.find(|c: char| !(c.is_ascii_alphanumeric() || "_.-*".contains(c)));
    let (key, rest) = line.split_at(ends.unwrap_or(line.len()));
    if rest.starts_with(|c: char| !is_space(c) && c != '=') {
        return Err("expected \"=\" after the key; a name with other characters needs quotes");
    }
    if key.is_empty() {
        return Err("expected a key before \"=\"");
    }
    Ok((Cow::Borrowed(key), rest))
}

/// What is between the quotes, of which two in a row are one of the name, and what comes after.
pub(super) fn quoted(text: &str, quote: char) -> Option<(Cow<'_, str>, &str)> {
    let mut at = 0;
    let mut has_doubled = false;
    loop {
        at += text[at..].find(quote)?;
        if !text[at + 1..].starts_with(quote) {
            break;
        }
        has_doubled = true;
        at += 2;
    }
    let (inside, rest) = (&text[..at], &text[at + 1..]);
    if !has_doubled {
        return Some((Cow::Borrowed(inside), rest));
    }
    let mut doubled = [0; 8];
    let quote = quote.encode_utf8(&mut doubled);
    Some((Cow::Owned(inside.replace(&quote.repeat(2), quote)), rest))
}

/// What C's `isspace` takes for a space.
fn is_space(c: char) -> bool {
    c.is_ascii_whitespace() || c == '\x0b'
}

pub(super) fn is_blank(c: char) -> bool {
    c == ' ' || c == '\t'
}

#[cfg(test)]
mod tests {
    use super::*;

    fn assigned<'a>(key: &'a str, value: &'a str) -> Result<Line<'a>, &'static str> {
        Ok(Line::Assign(Cow::Borrowed(key), value))
    }

    #[test]
    fn lines() {
        let check = |text, expected| assert_eq!(read(text), expected, "{text:?}");
        for empty in ["", " \t ", "; x = 1", "  # x = 1", "\r", "\x0c"] {
            check(empty, Ok(Line::Empty));
        }
        check("a = b", assigned("a", "b"));
        check("  a\t=\tb c  ", assigned("a", "b c"));
        check("a=", assigned("a", ""));
        check("a = b ; no comment", assigned("a", "b ; no comment"));
        check("a = 'b'", assigned("a", "'b'"));
        check("a = = b", assigned("a", "= b"));
        check("* = host=x", assigned("*", "host=x"));
        check("a-b.c_9 = x", assigned("a-b.c_9", "x"));
        check("'a b' = x", assigned("a b", "x"));
        check("\"ä=b\"=x", assigned("ä=b", "x"));
        check("'it''s' = x", assigned("it's", "x"));
        check("\"say \"\"a\"\"\" = x", assigned("say \"a\"", "x"));
        check("'' = x", assigned("", "x"));
        check("[users]", Ok(Line::Section("users", "")));
        check("[users] a = b", Ok(Line::Section("users", " a = b")));
        check("%include a b.ini ", Ok(Line::Include("a b.ini")));
    }

    #[test]
    fn broken_lines() {
        let texts = [
            "a",
            "a b = c",
            "= b",
            "[users",
            "'a = b",
            "\"a\" b",
            "ä = b",
            "%include",
            "%include ",
            "%includex",
            "%other x",
            "'a'b = c",
            "]",
        ];
        for text in texts {
            assert!(read(text).is_err(), "{text}");
        }
    }
}
