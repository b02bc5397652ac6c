//! SASLprep (RFC 4013) as PostgreSQL does it.
//!
//! Where PostgreSQL departs from the RFC, so must we, as the verifiers are its: a password that
//! SASLprep refuses is taken as it is, and the tables are asked about what was typed, not about
//! what normalization made of it.

use stringprep::tables;
use unicode_normalization::UnicodeNormalization;
use zeroize::Zeroizing;

/// How many times longer normalization can make a text: U+FDFA has 3 bytes and becomes 33.
const GROWTH_MAX: usize = 11;

/// The bytes that a password goes into SCRAM with.
pub(crate) fn prepare(password: &[u8]) -> Zeroizing<Vec<u8>> {
    let changed = if password.is_ascii() {
        None
    } else {
        saslprep(password)
    };
    changed.unwrap_or_else(|| Zeroizing::new(password.to_vec()))
}

/// `None` if the password has to be taken as it is.
fn saslprep(password: &[u8]) -> Option<Zeroizing<Vec<u8>>> {
    let text = std::str::from_utf8(password).ok()?;
    let mapped = || {
        text.chars()
            .map(|char| {
                if tables::non_ascii_space_character(char) {
                    ' '
                } else {
                    char
                }
            })
            .filter(|char| !tables::commonly_mapped_to_nothing(*char))
    };
    let (first, last) = (mapped().next()?, mapped().next_back()?);
    if mapped().any(|char| prohibited(char) || tables::unassigned_code_point(char)) {
        return None;
    }
    // Text from right to left must be so from end to end (RFC 3454, section 6).
    if mapped().any(tables::bidi_r_or_al) {
        let mixed = mapped().any(tables::bidi_l);
        if mixed || !tables::bidi_r_or_al(first) || !tables::bidi_r_or_al(last) {
            return None;
        }
    }
    // Reserved at once: a vector that grows leaves a copy behind.
    let mut out = Zeroizing::new(Vec::with_capacity(GROWTH_MAX * password.len()));
    for char in mapped().nfkc() {
        out.extend_from_slice(char.encode_utf8(&mut [0; 4]).as_bytes());
    }
    Some(out)
}

/// RFC 4013, section 2.3.
fn prohibited(char: char) -> bool {
    tables::non_ascii_space_character(char)
        || tables::ascii_control_character(char)
        || tables::non_ascii_control_character(char)
        || tables::private_use(char)
        || tables::non_character_code_point(char)
        || tables::surrogate_code(char)
        || tables::inappropriate_for_plain_text(char)
        || tables::inappropriate_for_canonical_representation(char)
        || tables::change_display_properties_or_deprecated(char)
        || tables::tagging_character(char)
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::Verifier;

    /// Verifiers that PostgreSQL 15 has made, with what it took the password for.
    #[test]
    fn passwords_are_prepared_as_postgresql_does() {
        // Mapped to nothing, to a space, normalized.
        check("I\u{ad}X", "IX", 1);
        check("p\u{a0}w\u{200b}\u{3000}", "p w  ", 9);
        check("\u{aa}", "a", 2);
        check("\u{2168}", "IX", 3);
        check("e\u{301}\u{212b}", "\u{e9}\u{c5}", 14);
        // Prohibited or unassigned, though normalization would make them harmless.
        check("a\u{340}b", "a\u{340}b", 4);
        check("a\u{1f130}b", "a\u{1f130}b", 5);
        check("\u{1f600}e\u{301}", "\u{1f600}e\u{301}", 11);
        check("p\u{7}\u{e9}", "p\u{7}\u{e9}", 12);
        // Right to left.
        check("\u{627}1", "\u{627}1", 6);
        check("\u{627}x\u{627}", "\u{627}x\u{627}", 7);
        check("\u{627}\u{2100}\u{627}", "\u{627}a/c\u{627}", 8);
        check("\u{fb01}\u{fdfa}", "\u{fb01}\u{fdfa}", 13);
        // Nothing would be left.
        check("\u{ad}", "\u{ad}", 10);
    }

    fn check(password: &str, expected: &str, line: usize) {
        let shown = String::from_utf8_lossy(&prepare(password.as_bytes())).into_owned();
        assert_eq!(shown, expected, "{password:?}");
        let verifiers = include_str!("../tests/data/verifiers.txt");
        let verifier = verifiers
            .lines()
            .nth(line - 1)
            .and_then(Verifier::parse)
            .unwrap();
        assert!(verifier.keys(password.as_bytes()).is_some(), "{password:?}");
    }

    #[test]
    fn the_longest_growth_is_reserved() {
        let password = "\u{fdfa}".repeat(100);
        assert_eq!(
            prepare(password.as_bytes()).len(),
            GROWTH_MAX * password.len()
        );
    }

    #[test]
    fn what_is_not_unicode_stays() {
        assert_eq!(**prepare(b"p\xe4ss"), *b"p\xe4ss");
        assert_eq!(**prepare(b" \x7f "), *b" \x7f ");
    }
}
