//! Reads the fields of one body, never beyond its end.

use crate::Error;

/// What is left of a body. The message's name goes into the errors.
pub(crate) struct Cursor<'a> {
    message: &'static str,
    rest: &'a [u8],
}

impl<'a> Cursor<'a> {
    pub(crate) fn new(message: &'static str, body: &'a [u8]) -> Self {
        Self {
            message,
            rest: body,
        }
    }

    fn array<const N: usize>(&mut self) -> Result<[u8; N], Error> {
        let (array, rest) = self.rest.split_first_chunk().ok_or(Error::Insufficient {
            message: self.message,
        })?;
        self.rest = rest;
        Ok(*array)
    }

    pub(crate) fn u8(&mut self) -> Result<u8, Error> {
        self.array().map(|[byte]| byte)
    }

    pub(crate) fn u16(&mut self) -> Result<u16, Error> {
        self.array().map(u16::from_be_bytes)
    }

    pub(crate) fn u32(&mut self) -> Result<u32, Error> {
        self.array().map(u32::from_be_bytes)
    }

    pub(crate) fn four(&mut self) -> Result<[u8; 4], Error> {
        self.array()
    }

    /// A text up to its NUL, which is consumed and not part of the result.
    pub(crate) fn text(&mut self) -> Result<&'a [u8], Error> {
        let (text, rest) = split_text(self.rest).ok_or(Error::Unterminated {
            message: self.message,
        })?;
        self.rest = rest;
        Ok(text)
    }

    pub(crate) fn bytes(&mut self, len: usize) -> Result<&'a [u8], Error> {
        let (bytes, rest) = self.rest.split_at_checked(len).ok_or(Error::Insufficient {
            message: self.message,
        })?;
        self.rest = rest;
        Ok(bytes)
    }

    /// All that is left.
    pub(crate) fn rest(&mut self) -> &'a [u8] {
        std::mem::take(&mut self.rest)
    }

    /// All that is left, without taking it.
    pub(crate) fn remaining(&self) -> &'a [u8] {
        self.rest
    }

    /// Every byte of a body belongs to a field.
    pub(crate) fn end(self) -> Result<(), Error> {
        match self.rest.len() {
            0 => Ok(()),
            left => Err(Error::Excess {
                message: self.message,
                left,
            }),
        }
    }

    pub(crate) fn invalid(&self, field: &'static str, value: u32) -> Error {
        Error::Value {
            message: self.message,
            field,
            value,
        }
    }
}

/// The text before the first NUL and what follows the NUL.
pub(crate) fn split_text(bytes: &[u8]) -> Option<(&[u8], &[u8])> {
    let at = memchr::memchr(0, bytes)?;
    Some((&bytes[..at], &bytes[at + 1..]))
}

/// Texts with a NUL at the end of each, one after the other.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct Texts<'a>(&'a [u8]);

impl<'a> Texts<'a> {
    pub(crate) fn new(bytes: &'a [u8]) -> Self {
        Self(bytes)
    }
}

impl<'a> Iterator for Texts<'a> {
    type Item = &'a [u8];

    fn next(&mut self) -> Option<&'a [u8]> {
        let (text, rest) = split_text(self.0)?;
        self.0 = rest;
        Some(text)
    }
}
