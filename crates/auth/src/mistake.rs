//! What is wrong with a line of a file that an operator has written.

/// A line that cannot be taken as it stands.
///
/// Never contains a secret: what is quoted of a line ends at the first `=`, and nothing is quoted of
/// `auth_file`.
#[derive(Debug, Clone, PartialEq, Eq, thiserror::Error)]
#[error("line {line}: {what}")]
pub struct Mistake {
    /// Counted from 1.
    pub line: usize,
    /// What is wrong with it.
    pub what: String,
}

/// A file that was read to its end: what is good of it, and all that is wrong.
///
/// The caller decides what mistakes mean: to refuse the file ([`Parsed::strict`]) and at a reload to
/// keep what was in force, or, as PgBouncer does, to warn and go on with the rest.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Parsed<T> {
    /// What the good lines say.
    pub good: T,
    /// In the order of their lines; a line may have several.
    pub mistakes: Vec<Mistake>,
}

impl<T> Parsed<T> {
    /// The contents of a file without a mistake.
    ///
    /// # Errors
    /// All mistakes.
    pub fn strict(self) -> Result<T, Vec<Mistake>> {
        if self.mistakes.is_empty() {
            Ok(self.good)
        } else {
            Err(self.mistakes)
        }
    }
}

/// How much of a word is quoted in a mistake.
const SHOWN_CHARS_MAX: usize = 63;

/// A word of a line, for a message. What stands behind `=` may be a secret in the wrong place.
pub(crate) fn shown(word: &str) -> String {
    let end = word.find('=').map_or(word.len(), |at| at + 1);
    let mut shown: String = word[..end].chars().take(SHOWN_CHARS_MAX).collect();
    if shown.len() < word.len() {
        shown.push('…');
    }
    format!("{shown:?}")
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a2_what_stands_behind_an_equals_sign_is_not_shown() {
        assert_eq!(shown("samerole"), "\"samerole\"");
        assert_eq!(shown("ldapbindpasswd=hunter2"), "\"ldapbindpasswd=…\"");
        assert_eq!(shown(&"é".repeat(64)), format!("\"{}…\"", "é".repeat(63)));
    }
}
