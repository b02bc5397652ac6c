//! Cuts SQL text into tokens where PostgreSQL's own scanner does.
//!
//! Follows the manual's "Lexical Structure" (sql-syntax-lexical) and `scan.l` for what the manual leaves
//! open. Knows no grammar and no keyword. Never goes back, never recurses, allocates nothing; no bytes
//! make it panic. Where the text leaves what the scanner accepts, the rest is one [`Bad`] token.

mod blank;
mod literal;

use literal::Inside;

pub use blank::{blank_len, comments};

/// What decides what bytes mean, besides the bytes.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Hash)]
pub struct Dialect {
    /// Off: a backslash in a plain string escapes what follows (the server's setting of this name).
    pub standard_conforming_strings: bool,
    /// Of the client's encoding.
    pub trails: Trails,
}

impl Default for Dialect {
    fn default() -> Self {
        Self {
            standard_conforming_strings: true,
            trails: Trails::High,
        }
    }
}

/// What the second and later bytes of a character may be.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Hash)]
pub enum Trails {
    /// Never ASCII: all encodings that a server may have.
    High,
    /// Also ASCII, backslash included. The server converts before it scans, so such a byte means
    /// nothing of what it looks like.
    Ascii,
}

impl Trails {
    /// By the name that the server reports as `client_encoding`.
    pub fn of_encoding(name: &[u8]) -> Self {
        const ASCII: [&str; 7] = [
            "BIG5",
            "GB18030",
            "GBK",
            "JOHAB",
            "SHIFT_JIS_2004",
            "SJIS",
            "UHC",
        ];
        let trails_ascii = ASCII
            .iter()
            .any(|ascii| name.eq_ignore_ascii_case(ascii.as_bytes()));
        if trails_ascii {
            Self::Ascii
        } else {
            Self::High
        }
    }
}

/// What a token is.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Kind {
    /// A keyword or a name without quotes.
    Word,
    /// `"…"`.
    Quoted,
    /// `U&"…"`: a name with letters by their numbers, which may be any.
    UnicodeQuoted,
    /// A string of any kind, with what continues it on later lines.
    Text,
    /// A number without sign.
    Number,
    /// `$1`.
    Parameter,
    /// `(`
    Open,
    /// `)`
    Close,
    /// `[`
    OpenBracket,
    /// `]`
    CloseBracket,
    /// `,`
    Comma,
    /// `;`
    Semicolon,
    /// `.`
    Dot,
    /// `::`
    Cast,
    /// Any other sign: an operator, a part of one, or what no statement may have.
    Operator,
    /// The text is over; again and again.
    End,
    /// The scanner would stop here, or mean something else than the bytes say.
    Bad(Bad),
}

/// Why a text cannot be read to its end.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Bad {
    /// A comment, string or name that does not end.
    Unterminated,
    /// A zero byte.
    Zero,
    /// A character of an encoding with ASCII in it, where that matters ([`Trails::Ascii`]).
    Encoding,
}

/// A token and where it stands.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct Token {
    /// What it is.
    pub kind: Kind,
    /// Its first byte.
    pub start: usize,
    /// Behind its last byte.
    pub end: usize,
}

/// A text and how far it has been read.
#[derive(Debug, Clone)]
pub struct Lexer<'a> {
    text: &'a [u8],
    dialect: Dialect,
    at: usize,
    /// Bytes looked at, again and again included: what a reading costs.
    #[cfg(test)]
    looked_at: usize,
}

impl<'a> Lexer<'a> {
    /// At the beginning of a text, which has no terminator.
    pub fn new(text: &'a [u8], dialect: Dialect) -> Self {
        Self {
            text,
            dialect,
            at: 0,
            #[cfg(test)]
            looked_at: 0,
        }
    }

    /// The bytes of a token.
    pub fn bytes(&self, token: Token) -> &'a [u8] {
        &self.text[token.start..token.end]
    }

    /// Where the next token is looked for.
    pub fn position(&self) -> usize {
        self.at
    }

    /// The next token; white space and comments are passed over.
    #[inline]
    pub fn token(&mut self) -> Token {
        let blank = blank_len(&self.text[self.at..]);
        let Some(blank) = blank else {
            return self.bad(Bad::Unterminated);
        };
        self.at += blank;
        let start = self.at;
        let rest = &self.text[start..];
        self.count(blank);
        let Some(&first) = rest.first() else {
            return self.made(Kind::End, 0);
        };
        match CLASSES[first as usize] {
            Class::Letter => self.word(rest),
            Class::Digit => self.made(Kind::Number, number_len(rest)),
            Class::Sign(kind) => self.made(kind, 1),
            Class::Operator => self.made(Kind::Operator, operator_len(rest)),
            Class::Other => self.other(first, rest),
        }
    }

    fn other(&mut self, first: u8, rest: &[u8]) -> Token {
        let second = rest.get(1).copied().unwrap_or(b' ');
        match first {
            b'\'' => self.literal(0, self.plain()),
            b'"' => self.quoted(Kind::Quoted, 0),
            b'.' if second.is_ascii_digit() => self.made(Kind::Number, number_len(rest)),
            // A range of integers in PL/pgSQL; in SQL a mistake.
            b'.' if second == b'.' => self.made(Kind::Operator, 2),
            b'.' => self.made(Kind::Dot, 1),
            b':' if second == b':' => self.made(Kind::Cast, 2),
            b':' if second == b'=' => self.made(Kind::Operator, 2),
            b'$' if second.is_ascii_digit() => {
                self.made(Kind::Parameter, 1 + digits_len(&rest[1..]))
            }
            b'$' => self.dollar(rest),
            0 => self.bad(Bad::Zero),
            _ => self.made(Kind::Operator, 1),
        }
    }

    /// A name or keyword, or a string that a letter stands before.
    #[inline]
    fn word(&mut self, rest: &[u8]) -> Token {
        let len = word_len(rest);
        if len == 1 && rest.len() > 1 {
            match (rest[0] | 0x20, rest[1]) {
                (b'e', b'\'') => return self.literal(1, Inside::Escapes),
                (b'b' | b'x', b'\'') => return self.literal(1, Inside::Bits),
                (b'u', b'&') if rest.get(2) == Some(&b'\'') => {
                    return self.literal(2, self.plain());
                }
                (b'u', b'&') if rest.get(2) == Some(&b'"') => {
                    return self.quoted(Kind::UnicodeQuoted, 2);
                }
                _ => {}
            }
        }
        if self.dialect.trails == Trails::Ascii && !rest[..len].is_ascii() {
            return self.bad(Bad::Encoding);
        }
        self.made(Kind::Word, len)
    }

    /// What a string without prefix is.
    fn plain(&self) -> Inside {
        if self.dialect.standard_conforming_strings {
            Inside::Plain
        } else {
            Inside::Escapes
        }
    }

    /// A token of this length from here on.
    #[inline]
    fn made(&mut self, kind: Kind, len: usize) -> Token {
        let start = self.at;
        self.at += len;
        self.count(len);
        Token {
            kind,
            start,
            end: self.at,
        }
    }

    /// The rest of the text is lost.
    fn bad(&mut self, bad: Bad) -> Token {
        self.made(Kind::Bad(bad), self.text.len() - self.at)
    }

    #[cfg(not(test))]
    #[inline]
    fn count(&mut self, _bytes: usize) {}

    #[cfg(test)]
    fn count(&mut self, bytes: usize) {
        self.looked_at += bytes + 1;
    }

    /// See the field.
    #[cfg(test)]
    pub(crate) fn looked_at(&self) -> usize {
        self.looked_at
    }
}

/// What a token is that begins with a byte.
#[derive(Clone, Copy, PartialEq)]
enum Class {
    Letter,
    Digit,
    Sign(Kind),
    /// Of what operators are made of, and signs that mean nothing here.
    Operator,
    /// Needs a second look.
    Other,
}

const CLASSES: [Class; 256] = {
    let mut classes = [Class::Other; 256];
    let mut byte = 0;
    while byte < 256 {
        classes[byte] = match byte as u8 {
            b'a'..=b'z' | b'A'..=b'Z' | b'_' | 0x80.. => Class::Letter,
            b'0'..=b'9' => Class::Digit,
            b'(' => Class::Sign(Kind::Open),
            b')' => Class::Sign(Kind::Close),
            b'[' => Class::Sign(Kind::OpenBracket),
            b']' => Class::Sign(Kind::CloseBracket),
            b',' => Class::Sign(Kind::Comma),
            b';' => Class::Sign(Kind::Semicolon),
            b'~' | b'!' | b'@' | b'#' | b'^' | b'&' | b'|' | b'`' | b'?' | b'+' | b'-' | b'*'
            | b'/' | b'%' | b'<' | b'>' | b'=' => Class::Operator,
            _ => Class::Other,
        };
        byte += 1;
    }
    classes
};

/// Whether a byte goes on with a name.
#[inline]
fn is_of_word(byte: u8) -> bool {
    matches!(CLASSES[byte as usize], Class::Letter | Class::Digit) || byte == b'$'
}

#[inline]
fn word_len(text: &[u8]) -> usize {
    text.iter()
        .position(|byte| !is_of_word(*byte))
        .unwrap_or(text.len())
}

fn digits_len(text: &[u8]) -> usize {
    text.iter()
        .position(|byte| !byte.is_ascii_digit())
        .unwrap_or(text.len())
}

/// Digits, and a point with more digits. What letters are joined to it is left to be a word: servers
/// before 15 read `1into` as two tokens, later ones refuse it.
fn number_len(text: &[u8]) -> usize {
    let whole = digits_len(text);
    match text[whole..] {
        [b'.', b'.', ..] => whole,
        [b'.', ..] => whole + 1 + digits_len(&text[whole + 1..]),
        _ => whole,
    }
}

/// An operator ends where a comment begins, even in the middle of its signs.
fn operator_len(text: &[u8]) -> usize {
    let mut len = 1;
    while len < text.len()
        && CLASSES[text[len] as usize] == Class::Operator
        && !matches!(text[len..], [b'-', b'-', ..] | [b'/', b'*', ..])
    {
        len += 1;
    }
    len
}

#[cfg(test)]
mod tests;
