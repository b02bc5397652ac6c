//! The startup parameter `options`: the server's command line in small.
//!
//! Split and read as PostgreSQL does (`pg_split_opts`, `process_postgres_switches`), as far as settings
//! go. Other switches are refused: a pooled server connection could not honour them.

use crate::Error;

/// Name and value of a setting.
pub type Setting = (Vec<u8>, Vec<u8>);

/// The settings in `text`, names with underscores in place of dashes, in their order.
///
/// Understood are `-c name=value`, `-cname=value` and `--name=value`. White space separates words, and
/// a backslash takes the character behind it as it is.
///
/// # Errors
/// [`Error::Options`] with the first word that is anything else.
pub fn options(text: &[u8]) -> Result<Vec<Setting>, Error> {
    let mut settings = Vec::new();
    let mut words = Words(text);
    while let Some(word) = words.next() {
        let setting = match word.as_slice() {
            b"-c" => words.next().as_deref().and_then(setting),
            [b'-', b'c' | b'-', rest @ ..] => setting(rest),
            _ => None,
        };
        settings.push(setting.ok_or_else(|| refuse(&word))?);
    }
    Ok(settings)
}

fn setting(word: &[u8]) -> Option<Setting> {
    let equals = memchr::memchr(b'=', word).filter(|&at| at > 0)?;
    let underscored = |&byte: &u8| if byte == b'-' { b'_' } else { byte };
    Some((
        word[..equals].iter().map(underscored).collect(),
        word[equals + 1..].to_vec(),
    ))
}

fn refuse(word: &[u8]) -> Error {
    Error::Options {
        option: String::from_utf8_lossy(word).into_owned(),
    }
}

struct Words<'a>(&'a [u8]);

impl Iterator for Words<'_> {
    type Item = Vec<u8>;

    fn next(&mut self) -> Option<Vec<u8>> {
        let start = self.0.iter().position(|&byte| !is_space(byte))?;
        let mut word = Vec::new();
        let mut bytes = self.0[start..].iter();
        while let Some(&byte) = bytes.as_slice().first().filter(|&&byte| !is_space(byte)) {
            bytes.next();
            match byte {
                // At the end of the text there is nothing behind it, and it is dropped.
                b'\\' => word.extend(bytes.next()),
                _ => word.push(byte),
            }
        }
        self.0 = bytes.as_slice();
        Some(word)
    }
}

/// As C's `isspace`, unlike [`u8::is_ascii_whitespace`], counts the vertical tab.
fn is_space(byte: u8) -> bool {
    byte.is_ascii_whitespace() || byte == 0x0b
}

#[cfg(test)]
mod tests {
    use super::*;

    fn check(text: &str, expected: &[(&str, &str)]) {
        let got = options(text.as_bytes()).unwrap();
        let expected: Vec<_> = expected
            .iter()
            .map(|(name, value)| (name.as_bytes().to_vec(), value.as_bytes().to_vec()))
            .collect();
        assert_eq!(got, expected, "{text:?}");
    }

    fn check_refused(text: &str, word: &str) {
        let expected = Error::Options {
            option: word.to_owned(),
        };
        assert_eq!(options(text.as_bytes()), Err(expected), "{text:?}");
    }

    #[test]
    fn settings() {
        check("", &[]);
        check(" \t ", &[]);
        check("-c geqo=off", &[("geqo", "off")]);
        check("-cgeqo=off", &[("geqo", "off")]);
        check("--geqo=off", &[("geqo", "off")]);
        check(
            "-c\tstatement-timeout=5min\x0b--search-path=a,b",
            &[("statement_timeout", "5min"), ("search_path", "a,b")],
        );
        check("-c a.b-c=x-y=z", &[("a.b_c", "x-y=z")]);
        check("-c work_mem=", &[("work_mem", "")]);
        check("-c a=1 -c a=2", &[("a", "1"), ("a", "2")]);
        check(r"-c search_path=a\ b\\c", &[("search_path", r"a b\c")]);
        check(r"-c a=1\", &[("a", "1")]);
        check(
            "-c DateStyle=ISO -c TimeZone=Europe/Berlin",
            &[("DateStyle", "ISO"), ("TimeZone", "Europe/Berlin")],
        );
    }

    #[test]
    fn what_is_not_a_setting() {
        check_refused("-c", "-c");
        check_refused("-c geqo", "-c");
        check_refused("-cgeqo", "-cgeqo");
        check_refused("--geqo", "--geqo");
        check_refused("--", "--");
        check_refused("--=1", "--=1");
        check_refused("-c geqo=off -e", "-e");
        check_refused("-S 1024", "-S");
        check_refused("geqo=off", "geqo=off");
        check_refused("-", "-");
        check_refused(r"\ -c a=1", " -c");
        check_refused("\\\\", "\\");
    }
}
