//! Finds frame borders in a stream of bytes.
//!
//! Knows the header and nothing about what is inside. A frame may be larger than the buffer: its body
//! is then handed on in pieces and never held whole.

use crate::{Error, header};

/// A frame, or as much of it as one read brought.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct Piece<'a> {
    /// Tag of the frame it belongs to.
    pub tag: u8,
    /// Whether it begins with the frame's header.
    pub starts: bool,
    /// Whether the frame ends with it.
    pub ends: bool,
    /// The bytes as they lie in the stream, the header included where it starts. Never empty.
    pub bytes: &'a [u8],
}

/// Where in the stream of one direction we are.
#[derive(Debug, Clone)]
pub struct Scanner {
    limit: u32,
    /// Tag of the frame under way; means nothing at a border.
    tag: u8,
    /// Bytes of the current body not yet seen. Invariant: 0 unless a header was read.
    remaining: usize,
}

impl Scanner {
    /// A scanner at a border. `limit` is the greatest length field that is accepted, in bytes.
    #[must_use]
    pub fn new(limit: u32) -> Self {
        Self {
            limit,
            tag: 0,
            remaining: 0,
        }
    }

    /// The piece at the front of `input`. The caller advances by `piece.bytes.len()` and asks again.
    ///
    /// `None` when the front is not enough to judge: it is empty, or holds less than a header. Those at
    /// most four bytes are to be put in front of the next read.
    ///
    /// # Errors
    /// The header's length is too short or above the limit. Asked again, it says the same.
    #[inline]
    pub fn next<'a>(&mut self, input: &'a [u8]) -> Result<Option<Piece<'a>>, Error> {
        if self.remaining != 0 {
            return Ok(self.go_on(input));
        }
        let Some(header) = header(input, self.limit)? else {
            return Ok(None);
        };
        let here = usize::try_from(header.frame_len())
            .unwrap_or(usize::MAX)
            .min(input.len());
        // Fits: at least the five bytes of the header are here.
        self.remaining = (header.frame_len() - here as u64) as usize;
        self.tag = header.tag;
        let ends = self.remaining == 0;
        Ok(Some(Piece {
            tag: header.tag,
            starts: true,
            ends,
            bytes: &input[..here],
        }))
    }

    fn go_on<'a>(&mut self, input: &'a [u8]) -> Option<Piece<'a>> {
        if input.is_empty() {
            return None;
        }
        let here = self.remaining.min(input.len());
        self.remaining -= here;
        Some(Piece {
            tag: self.tag,
            starts: false,
            ends: self.remaining == 0,
            bytes: &input[..here],
        })
    }

    /// Whether the last piece ended its frame, so that what follows is a header.
    #[inline]
    #[must_use]
    pub fn at_border(&self) -> bool {
        self.remaining == 0
    }

    /// Bytes of the frame under way that were not seen yet; 0 at a border.
    #[inline]
    #[must_use]
    pub fn remaining(&self) -> usize {
        self.remaining
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_large_frame_comes_in_pieces() {
        let mut scanner = Scanner::new(u32::MAX);
        let first = scanner.next(b"D\0\0\0\x0aabc").unwrap().unwrap();
        assert_eq!(
            first,
            Piece {
                tag: b'D',
                starts: true,
                ends: false,
                bytes: b"D\0\0\0\x0aabc"
            }
        );
        assert_eq!((scanner.at_border(), scanner.remaining()), (false, 3));
        assert_eq!(scanner.next(b""), Ok(None));
        let second = scanner.next(b"defS\0\0\0\x04").unwrap().unwrap();
        assert_eq!(
            second,
            Piece {
                tag: b'D',
                starts: false,
                ends: true,
                bytes: b"def"
            }
        );
        assert!(scanner.at_border());
        let third = scanner.next(b"S\0\0\0\x04").unwrap().unwrap();
        assert_eq!(
            third,
            Piece {
                tag: b'S',
                starts: true,
                ends: true,
                bytes: b"S\0\0\0\x04"
            }
        );
    }

    #[test]
    fn a_header_alone_is_a_piece() {
        let mut scanner = Scanner::new(u32::MAX);
        assert_eq!(scanner.next(b"D\0\0\0"), Ok(None));
        assert!(scanner.at_border());
        let piece = scanner.next(b"D\xff\xff\xff\xff").unwrap().unwrap();
        assert!(piece.starts && !piece.ends);
        assert_eq!(scanner.remaining(), (u32::MAX - 4) as usize);
    }

    #[test]
    fn an_error_stays() {
        let mut scanner = Scanner::new(1000);
        let expected = Error::FrameTooLong {
            tag: b'Q',
            len: 1001,
            limit: 1000,
        };
        assert_eq!(scanner.next(b"Q\0\0\x03\xe9"), Err(expected.clone()));
        assert_eq!(scanner.next(b"Q\0\0\x03\xe9"), Err(expected));
        assert_eq!(scanner.remaining(), 0);
    }
}
