//! Hints: `/* pgweir: primary */` or `-- pgweir: standby` ahead of the text's first word.

use crate::lex;

/// What a text asks for in a comment.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Hash)]
pub enum Hint {
    /// `primary`
    Primary,
    /// `standby`: where the rules are in doubt, it may run on one.
    Standby,
    /// `auto`: as if there were no hint.
    Auto,
    /// Anything else: a mistake, so the primary.
    Unknown,
}

const MARK: &[u8] = b"pgweir:";

/// The hint of a text: in the first of its leading comments that has one.
#[inline]
pub(super) fn of(text: &[u8]) -> Option<Hint> {
    // Nearly all texts begin with a letter.
    if text.first().is_some_and(u8::is_ascii_alphabetic) {
        return None;
    }
    lex::comments(text).find_map(in_comment)
}

fn in_comment(comment: &[u8]) -> Option<Hint> {
    let comment = comment.trim_ascii();
    let (mark, word) = comment.split_at_checked(MARK.len())?;
    if !mark.eq_ignore_ascii_case(MARK) {
        return None;
    }
    let word = word.trim_ascii();
    let hints = [
        ("primary", Hint::Primary),
        ("standby", Hint::Standby),
        ("auto", Hint::Auto),
    ];
    let known = hints
        .iter()
        .find(|(name, _)| word.eq_ignore_ascii_case(name.as_bytes()));
    Some(known.map_or(Hint::Unknown, |(_, hint)| *hint))
}
