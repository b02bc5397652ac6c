//! Names as PostgreSQL stores them.

use super::Span;
use crate::lex::{Kind, Token};

/// A name in a text.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Hash)]
pub struct Name {
    /// As it is written, quotes included.
    pub span: Span,
}

impl Name {
    /// Bytes that PostgreSQL keeps of a name (NAMEDATALEN − 1).
    pub const LEN_MAX: usize = 63;

    pub(super) fn new(token: Token) -> Self {
        Self { span: span(token) }
    }

    /// As PostgreSQL stores it; none for `U&"…"`, which nobody writes. `text` is the one that was judged.
    pub fn stored<'b>(self, text: &[u8], room: &'b mut [u8; Name::LEN_MAX]) -> Option<&'b [u8]> {
        match self.span.of(text) {
            [b'u' | b'U', b'&', b'"', ..] => None,
            quoted @ [b'"', ..] => Some(unquoted(quoted, room)),
            plain => Some(folded(plain, room)),
        }
    }
}

pub(super) fn span(token: Token) -> Span {
    // A message has less than 4 GB.
    let at = |at| u32::try_from(at).unwrap_or(u32::MAX);
    Span {
        start: at(token.start),
        end: at(token.end),
    }
}

/// Gives the stored form of a name to `use_it`; none where it is not known.
#[inline]
pub(super) fn with_stored<T>(
    kind: Kind,
    bytes: &[u8],
    use_it: impl FnOnce(Option<&[u8]>) -> T,
) -> T {
    // Nearly all names are stored as they are written.
    let plain = match (kind, bytes) {
        (Kind::Word, plain) if !plain.iter().any(u8::is_ascii_uppercase) => Some(plain),
        (Kind::Quoted, [b'"', inside @ .., b'"']) if !inside.contains(&b'"') => Some(inside),
        _ => None,
    };
    if let Some(plain) = plain.filter(|plain| plain.len() <= Name::LEN_MAX) {
        return use_it(Some(plain));
    }
    let mut room = [0; Name::LEN_MAX];
    use_it(match kind {
        Kind::Word => Some(folded(bytes, &mut room)),
        Kind::Quoted => Some(unquoted(bytes, &mut room)),
        _ => None,
    })
}

/// Great letters of ASCII become small ones. Others do too on a server with an encoding of one
/// byte: such a name is then not found, which is a doubt and no mistake.
fn folded<'b>(bytes: &[u8], room: &'b mut [u8; Name::LEN_MAX]) -> &'b [u8] {
    let len = bytes.len().min(Name::LEN_MAX);
    room[..len].copy_from_slice(&bytes[..len]);
    room[..len].make_ascii_lowercase();
    &room[..len]
}

/// Without the quotes around it; two inside are one.
fn unquoted<'b>(bytes: &[u8], room: &'b mut [u8; Name::LEN_MAX]) -> &'b [u8] {
    let mut len = 0;
    let mut inside = bytes[1..].iter();
    while let Some(&byte) = inside.next() {
        let ends = byte == b'"' && inside.next().is_none_or(|next| *next != b'"');
        if ends || len == Name::LEN_MAX {
            break;
        }
        room[len] = byte;
        len += 1;
    }
    &room[..len]
}
