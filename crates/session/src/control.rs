//! Statements that begin and end transactions, where there is no doubt that the server would take them.

use pgweir_route::intent::Access;

/// What a text is, if it is nothing else.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(crate) enum Control {
    /// BEGIN, START TRANSACTION.
    Begin(Access),
    /// SET TRANSACTION.
    Set(Access),
    /// COMMIT, END.
    Commit,
    /// ROLLBACK, ABORT.
    Rollback,
}

/// Longest text that is looked at, in bytes.
const LEN_MAX: usize = 200;

/// Reads a text of words that are all known. Whatever is in doubt (comments, several statements, AND CHAIN, savepoints) is
/// none, and so is SERIALIZABLE, which not every host takes.
pub(crate) fn control(text: &[u8]) -> Option<Control> {
    let text = str::from_utf8(text).ok().filter(|it| it.len() <= LEN_MAX)?;
    let text = text.trim_ascii();
    let text = text.strip_suffix(';').unwrap_or(text).trim_ascii_end();
    // Most texts end here.
    let first = text.as_bytes().first()?.to_ascii_lowercase();
    if !matches!(first, b'b' | b's' | b'c' | b'e' | b'r' | b'a') {
        return None;
    }
    let spaced = text.to_ascii_lowercase().replace(',', " , ");
    let words: Vec<&str> = spaced.split_ascii_whitespace().collect();
    let (verb, rest) = words.split_first()?;
    let without_noun = || match rest.split_first() {
        Some((&("work" | "transaction"), rest)) => rest,
        _ => rest,
    };
    let is_alone = |control: Control| without_noun().is_empty().then_some(control);
    match *verb {
        "begin" => modes(without_noun()).map(Control::Begin),
        "start" => match rest {
            ["transaction", rest @ ..] => modes(rest).map(Control::Begin),
            _ => None,
        },
        "set" => match rest {
            ["transaction", rest @ ..] if !rest.is_empty() => modes(rest).map(Control::Set),
            _ => None,
        },
        "commit" | "end" => is_alone(Control::Commit),
        "rollback" | "abort" => is_alone(Control::Rollback),
        _ => None,
    }
}

/// `transaction_mode_list` of PostgreSQL's grammar: with commas between them, or without.
fn modes(mut words: &[&str]) -> Option<Access> {
    let mut access = Access::Unsaid;
    while !words.is_empty() {
        words = match words {
            ["read", "only", rest @ ..] => {
                access = Access::ReadOnly;
                rest
            }
            ["read", "write", rest @ ..] => {
                access = Access::ReadWrite;
                rest
            }
            ["isolation", "level", "repeatable", "read", rest @ ..]
            | [
                "isolation",
                "level",
                "read",
                "committed" | "uncommitted",
                rest @ ..,
            ]
            | ["not", "deferrable", rest @ ..]
            | ["deferrable", rest @ ..] => rest,
            _ => return None,
        };
        if let [",", rest @ ..] = words {
            if rest.is_empty() {
                return None;
            }
            words = rest;
        }
    }
    Some(access)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn plain_statements_are_known_and_others_are_not() {
        use Access::{ReadOnly, ReadWrite, Unsaid};
        for (text, expected) in [
            ("BEGIN", Some(Control::Begin(Unsaid))),
            (" begin work ; ", Some(Control::Begin(Unsaid))),
            (
                "BEGIN TRANSACTION READ ONLY",
                Some(Control::Begin(ReadOnly)),
            ),
            (
                "start transaction isolation level repeatable read, read only deferrable;",
                Some(Control::Begin(ReadOnly)),
            ),
            (
                "begin read only, read write",
                Some(Control::Begin(ReadWrite)),
            ),
            ("set transaction read only", Some(Control::Set(ReadOnly))),
            (
                "set transaction isolation level read committed",
                Some(Control::Set(Unsaid)),
            ),
            ("COMMIT", Some(Control::Commit)),
            ("end transaction", Some(Control::Commit)),
            ("ROLLBACK WORK;", Some(Control::Rollback)),
            ("abort", Some(Control::Rollback)),
            ("begin isolation level serializable", None),
            ("begin read only,", None),
            ("begin, read only", None),
            ("begin; select 1", None),
            ("begin;;", None),
            ("begin -- x", None),
            ("begin work work", None),
            ("start", None),
            ("set transaction", None),
            ("set transaction snapshot 'x'", None),
            ("commit and chain", None),
            ("rollback to a", None),
            ("rollback prepared 'x'", None),
            ("select 1", None),
            ("", None),
        ] {
            assert_eq!(control(text.as_bytes()), expected, "{text}");
        }
    }
}
