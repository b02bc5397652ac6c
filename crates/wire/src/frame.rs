//! The header of a frame: one tag, four bytes of length.
//!
//! Knows nothing about what is inside. Packets before the first frame have no tag; see
//! [`startup`](crate::startup).

use crate::Error;

/// Bytes of a header: the tag and the length field.
pub const HEADER_LEN: usize = 5;

/// The least a length field may say: it counts itself.
const LEN_MIN: u32 = 4;

/// The header of a frame ("Message Formats" in PostgreSQL's manual).
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct Header {
    /// What kind of message it is; see [`tag`](crate::tag).
    pub tag: u8,
    /// The length field in bytes. It counts itself but not the tag: at least 4.
    pub len: u32,
}

impl Header {
    /// The header of a frame with a body of `body_len` bytes.
    ///
    /// # Panics
    /// When the body exceeds what a length field can say, 4 GB.
    #[must_use]
    pub fn of_body(tag: u8, body_len: usize) -> Self {
        let len = u32::try_from(body_len)
            .ok()
            .and_then(|len| len.checked_add(LEN_MIN));
        Self {
            tag,
            len: len.expect("a message of ours is below 4 GB"),
        }
    }

    /// Bytes of the whole frame, tag and length field included.
    #[inline]
    #[must_use]
    pub fn frame_len(&self) -> u64 {
        1 + u64::from(self.len)
    }

    /// Bytes of the frame behind the header.
    #[inline]
    #[must_use]
    pub fn body_len(&self) -> usize {
        self.len.saturating_sub(LEN_MIN) as usize
    }

    /// The header as it lies in the stream.
    #[must_use]
    pub fn to_bytes(self) -> [u8; HEADER_LEN] {
        let [a, b, c, d] = self.len.to_be_bytes();
        [self.tag, a, b, c, d]
    }
}

/// Reads the header at the front of `bytes`; `None` if fewer than five bytes are there.
///
/// `limit` is the greatest permitted length field, in bytes. What the length announces is judged here,
/// before anybody makes room for it.
///
/// # Errors
/// [`Error::FrameTooShort`] and [`Error::FrameTooLong`].
#[inline]
pub fn header(bytes: &[u8], limit: u32) -> Result<Option<Header>, Error> {
    let Some(&[tag, a, b, c, d]) = bytes.first_chunk::<HEADER_LEN>() else {
        return Ok(None);
    };
    let len = u32::from_be_bytes([a, b, c, d]);
    if len < LEN_MIN || len > limit {
        return Err(refuse(tag, len, limit));
    }
    Ok(Some(Header { tag, len }))
}

#[cold]
fn refuse(tag: u8, len: u32, limit: u32) -> Error {
    if len < LEN_MIN {
        Error::FrameTooShort { tag, len }
    } else {
        Error::FrameTooLong { tag, len, limit }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn check(bytes: &[u8], limit: u32, expected: Result<Option<(u8, u32)>, Error>) {
        let got = header(bytes, limit).map(|found| found.map(|header| (header.tag, header.len)));
        assert_eq!(got, expected, "{bytes:?} with limit {limit}");
    }

    #[test]
    fn headers() {
        check(b"", 100, Ok(None));
        check(b"Q\0\0\0", 100, Ok(None));
        check(b"S\0\0\0\x04", 100, Ok(Some((b'S', 4))));
        check(b"Q\0\0\0\x64rest", 100, Ok(Some((b'Q', 100))));
        check(
            b"Q\0\0\0\x65",
            100,
            Err(Error::FrameTooLong {
                tag: b'Q',
                len: 101,
                limit: 100,
            }),
        );
        check(
            b"p\0\0\0\0",
            100,
            Err(Error::FrameTooShort { tag: b'p', len: 0 }),
        );
        check(
            b"Q\0\0\0\x03",
            100,
            Err(Error::FrameTooShort { tag: b'Q', len: 3 }),
        );
        // Shorter than itself is said first, whatever the limit.
        check(
            b"Q\0\0\0\x03",
            1,
            Err(Error::FrameTooShort { tag: b'Q', len: 3 }),
        );
        // Negative for whoever reads it as PostgreSQL does.
        let limit = i32::MAX as u32;
        check(
            b"d\xff\xff\xff\xff",
            limit,
            Err(Error::FrameTooLong {
                tag: b'd',
                len: u32::MAX,
                limit,
            }),
        );
        check(b"d\xff\xff\xff\xff", u32::MAX, Ok(Some((b'd', u32::MAX))));
    }

    #[test]
    fn lengths_count_what_they_say() {
        let header = Header {
            tag: b'D',
            len: u32::MAX,
        };
        assert_eq!(header.frame_len(), 1 << 32);
        assert_eq!(header.body_len(), (u32::MAX - 4) as usize);
        assert_eq!(Header::of_body(b'Z', 1).to_bytes(), *b"Z\0\0\0\x05");
    }
}
