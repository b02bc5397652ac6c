//! White space and comments.

/// Length of the white space and the comments that a text begins with; none if the last comment
/// does not end.
#[inline]
pub fn blank_len(text: &[u8]) -> Option<usize> {
    let mut at = 0;
    loop {
        match text[at..] {
            [b' ' | b'\n' | b'\t' | b'\r' | 0x0b | 0x0c, ..] => at += 1,
            [b'-', b'-', ..] => at += line_comment_len(&text[at..]),
            [b'/', b'*', ..] => at += block_comment_len(&text[at..])?,
            _ => return Some(at),
        }
    }
}

/// What stands in the comments that a text begins with, one after the other, without their marks.
/// One that does not end is left out.
pub fn comments(text: &[u8]) -> impl Iterator<Item = &[u8]> {
    let mut at = 0;
    std::iter::from_fn(move || {
        loop {
            let rest = &text[at..];
            let (len, marks) = match rest {
                [b'-', b'-', ..] => (line_comment_len(rest), 0),
                [b'/', b'*', ..] => (block_comment_len(rest)?, 2),
                [b' ' | b'\n' | b'\t' | b'\r' | 0x0b | 0x0c, ..] => {
                    at += 1;
                    continue;
                }
                _ => return None,
            };
            at += len;
            return Some(&rest[2..len - marks]);
        }
    })
}

/// From `--` to the end of the line, which is not part of it.
pub(super) fn line_comment_len(text: &[u8]) -> usize {
    memchr::memchr2(b'\n', b'\r', text).unwrap_or(text.len())
}

/// From `/*` to the `*/` that belongs to it: comments nest.
fn block_comment_len(text: &[u8]) -> Option<usize> {
    let mut depth = 1_usize;
    let mut at = 2;
    while depth > 0 {
        at += memchr::memchr2(b'/', b'*', &text[at..])?;
        match text[at..] {
            [b'/', b'*', ..] => (depth, at) = (depth + 1, at + 2),
            [b'*', b'/', ..] => (depth, at) = (depth - 1, at + 2),
            _ => at += 1,
        }
    }
    Some(at)
}
