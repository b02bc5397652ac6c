//! Splits the text of a console query into words: PgBouncer's grammar.
//!
//! `WORD [WORD] [;]`, or `set WORD (=|to) (WORD|'string') [;]`. A word is letters, digits and `_`,
//! or "anything in double quotes". No comments, no second statement. `explain route` with SQL behind it is ours. What the words mean is said
//! elsewhere.

/// A query's words, quotes removed.
#[derive(Debug, PartialEq, Eq)]
pub(crate) enum Sentence {
    /// `WORD [WORD]`; the argument is empty if there is none.
    Plain { word: Vec<u8>, argument: Vec<u8> },
    /// `set KEY = VALUE`.
    Set { key: Vec<u8>, value: Vec<u8> },
    /// `explain route TEXT`: the text is SQL, of any length.
    ExplainRoute { text: Vec<u8> },
    /// `switchover DATABASE [to HOST]`: ours, too.
    Switchover {
        database: Vec<u8>,
        to: Option<Vec<u8>>,
    },
}

/// The sentence that `text` is, if it is one.
pub(crate) fn sentence(text: &[u8]) -> Option<Sentence> {
    switchover(text)
        .or_else(|| plain(text))
        .or_else(|| set(text))
        .or_else(|| explain_route(text))
}

fn switchover(text: &[u8]) -> Option<Sentence> {
    let rest = space_needed(keyword(b"switchover", space(text))?)?;
    let (database, rest) = word(rest)?;
    if at_end(rest) {
        return Some(Sentence::Switchover { database, to: None });
    }
    let rest = space_needed(keyword(b"to", space_needed(rest)?)?)?;
    let (to, rest) = word(rest)?;
    let to = Some(to);
    at_end(rest).then_some(Sentence::Switchover { database, to })
}

fn explain_route(text: &[u8]) -> Option<Sentence> {
    let rest = space_needed(keyword(b"explain", space(text))?)?;
    let text = space_needed(keyword(b"route", rest)?)?;
    (!text.is_empty()).then(|| Sentence::ExplainRoute { text: text.into() })
}

fn plain(text: &[u8]) -> Option<Sentence> {
    let (word, rest) = word(space(text))?;
    if at_end(rest) {
        return Some(Sentence::Plain {
            word,
            argument: Vec::new(),
        });
    }
    let (argument, rest) = self::word(space_needed(rest)?)?;
    at_end(rest).then_some(Sentence::Plain { word, argument })
}

fn set(text: &[u8]) -> Option<Sentence> {
    let rest = keyword(b"set", space(text))?;
    let (key, rest) = word(space_needed(rest)?)?;
    let rest = space(rest);
    let rest = rest.strip_prefix(b"=").or_else(|| keyword(b"to", rest))?;
    let rest = space(rest);
    let (value, rest) = word(rest).or_else(|| quoted(b'\'', rest))?;
    at_end(rest).then_some(Sentence::Set { key, value })
}

fn is_space(byte: &u8) -> bool {
    matches!(byte, b' ' | b'\t' | b'\n' | b'\r')
}

fn space(text: &[u8]) -> &[u8] {
    let end = text.iter().position(|byte| !is_space(byte));
    &text[end.unwrap_or(text.len())..]
}

fn space_needed(text: &[u8]) -> Option<&[u8]> {
    text.first().is_some_and(is_space).then(|| space(text))
}

fn keyword<'a>(keyword: &[u8], text: &'a [u8]) -> Option<&'a [u8]> {
    let (front, rest) = text.split_at_checked(keyword.len())?;
    front.eq_ignore_ascii_case(keyword).then_some(rest)
}

fn at_end(rest: &[u8]) -> bool {
    let rest = space(rest);
    rest.is_empty() || rest[0] == b';' && space(&rest[1..]).is_empty()
}

fn word(text: &[u8]) -> Option<(Vec<u8>, &[u8])> {
    let is_part = |byte: &u8| byte.is_ascii_alphanumeric() || *byte == b'_';
    let end = text
        .iter()
        .position(|byte| !is_part(byte))
        .unwrap_or(text.len());
    if end == 0 {
        return quoted(b'"', text);
    }
    Some((text[..end].to_vec(), &text[end..]))
}

/// A text in `quote`s; two of them inside are one.
fn quoted(quote: u8, text: &[u8]) -> Option<(Vec<u8>, &[u8])> {
    let mut rest = text.strip_prefix(&[quote])?;
    let mut word = Vec::new();
    loop {
        let end = rest.iter().position(|byte| *byte == quote)?;
        word.extend_from_slice(&rest[..end]);
        rest = &rest[end + 1..];
        match rest.strip_prefix(&[quote]) {
            Some(behind) => rest = behind,
            None => return Some((word, rest)),
        }
        word.push(quote);
    }
}
