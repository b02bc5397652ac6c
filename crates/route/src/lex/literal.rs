//! Strings and names in quotes.

use memchr::{memchr, memchr2, memmem};

use super::blank::line_comment_len;
use super::{Bad, Kind, Lexer, Token, Trails};

impl Lexer<'_> {
    /// A string whose quote comes after a prefix.
    pub(super) fn literal(&mut self, prefix: usize, inside: Inside) -> Token {
        let rest = &self.text[self.at..];
        let mut end = prefix + 1;
        loop {
            match string_len(&rest[end..], inside, self.dialect.trails) {
                Ok(len) => end += len,
                Err(bad) => return self.bad(bad),
            }
            // Looked at twice, by the next token too, if nothing continues.
            let (gap, goes_on) = continuation(&rest[end..]);
            self.count(gap);
            if !goes_on {
                return self.made(Kind::Text, end);
            }
            end += gap;
        }
    }

    /// A name in quotes; two of them are one that belongs to it.
    pub(super) fn quoted(&mut self, kind: Kind, prefix: usize) -> Token {
        let rest = &self.text[self.at..];
        let mut end = prefix + 1;
        loop {
            let Some(quote) = memchr(b'"', &rest[end..]) else {
                return self.bad(Bad::Unterminated);
            };
            end += quote + 1;
            if rest.get(end) != Some(&b'"') {
                return self.made(kind, end);
            }
            end += 1;
        }
    }

    /// `$tag$ … $tag$`, or a dollar that means nothing.
    pub(super) fn dollar(&mut self, rest: &[u8]) -> Token {
        let tag_len = rest[1..]
            .iter()
            .position(|byte| *byte == b'$' || !super::is_of_word(*byte))
            .unwrap_or(rest.len() - 1);
        self.count(tag_len);
        if rest.get(1 + tag_len) != Some(&b'$') {
            return self.made(Kind::Operator, 1);
        }
        let mark = &rest[..tag_len + 2];
        if self.dialect.trails == Trails::Ascii && !mark.is_ascii() {
            return self.bad(Bad::Encoding);
        }
        match memmem::find(&rest[mark.len()..], mark) {
            Some(len) => self.made(Kind::Text, len + 2 * mark.len()),
            None => self.bad(Bad::Unterminated),
        }
    }
}

/// What a quote and a backslash are in a string.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(super) enum Inside {
    /// Two quotes are one.
    Plain,
    /// And a backslash takes away the meaning of what follows it.
    Escapes,
    /// Of bits: the first quote ends it.
    Bits,
}

/// Length up to and with the closing quote.
fn string_len(text: &[u8], inside: Inside, trails: Trails) -> Result<usize, Bad> {
    let mut at = 0;
    loop {
        let found = if inside == Inside::Escapes {
            memchr2(b'\'', b'\\', &text[at..])
        } else {
            memchr(b'\'', &text[at..])
        };
        at += found.ok_or(Bad::Unterminated)?;
        match text[at..] {
            [b'\\', _, ..] => {
                // The backslash may be the second half of a character.
                if trails == Trails::Ascii && at > 0 && text[at - 1] >= 0x80 {
                    return Err(Bad::Encoding);
                }
                at += 2;
            }
            [b'\\'] => return Err(Bad::Unterminated),
            [_, b'\'', ..] if inside != Inside::Bits => at += 2,
            _ => return Ok(at + 1),
        }
    }
}

/// A string goes on behind white space that has an end of line in it, comments of one line included.
/// How far was looked, and whether it does; then the length ends behind the quote.
fn continuation(text: &[u8]) -> (usize, bool) {
    let mut at = 0;
    let mut is_new_line = false;
    loop {
        match text[at..] {
            [b'\n' | b'\r', ..] => (at, is_new_line) = (at + 1, true),
            [b' ' | b'\t' | 0x0b | 0x0c, ..] => at += 1,
            [b'-', b'-', ..] => at += line_comment_len(&text[at..]),
            [b'\'', ..] if is_new_line => return (at + 1, true),
            _ => return (at, false),
        }
    }
}
