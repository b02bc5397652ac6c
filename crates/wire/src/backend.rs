//! Reads what a server says, borrowing from the frame's body (the bytes behind its header).
//!
//! Each function wants one whole body and uses every byte of it. Section "Message Formats" of
//! PostgreSQL's manual.

use crate::Error;
use crate::cursor::{Cursor, split_text};

pub use crate::cursor::Texts;

/// Shortest and longest key for cancel requests, in bytes. Protocol 3.0 has exactly four.
pub const KEY_LEN: std::ops::RangeInclusive<usize> = 4..=256;

/// The values of a DataRow, in the format that was asked for; `None` is NULL.
///
/// # Errors
/// The body is not laid out as a DataRow message.
pub fn data_row(body: &[u8]) -> Result<Vec<Option<&[u8]>>, Error> {
    let mut cursor = Cursor::new("DataRow", body);
    let count = cursor.u16()?;
    let mut values = Vec::new();
    for _ in 0..count {
        // -1 is NULL, and no value is longer than i32::MAX.
        values.push(match i32::from_be_bytes(cursor.four()?) {
            -1 => None,
            len => Some(cursor.bytes(usize::try_from(len).unwrap_or(usize::MAX))?),
        });
    }
    cursor.end()?;
    Ok(values)
}

/// What the server asks of us to log in.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Authentication<'a> {
    /// Nothing any more: the login succeeded.
    Ok,
    /// The password as it is.
    Cleartext,
    /// The password's MD5 hash.
    Md5 {
        /// To be hashed with it.
        salt: [u8; 4],
    },
    /// A SASL exchange.
    Sasl {
        /// Names of the mechanisms, the server's favourite first.
        mechanisms: Texts<'a>,
    },
    /// The mechanism's next message.
    SaslContinue(&'a [u8]),
    /// The mechanism's last message.
    SaslFinal(&'a [u8]),
    /// A method that we do not speak, by its number: Kerberos, GSSAPI, SSPI.
    Other(u32),
}

/// Reads any of the Authentication messages.
///
/// # Errors
/// The body is not laid out as the Authentication message that its number names.
pub fn authentication(body: &[u8]) -> Result<Authentication<'_>, Error> {
    let mut cursor = Cursor::new("Authentication", body);
    let request = match cursor.u32()? {
        0 => Authentication::Ok,
        3 => Authentication::Cleartext,
        5 => Authentication::Md5 {
            salt: cursor.four()?,
        },
        10 => Authentication::Sasl {
            mechanisms: mechanisms(&mut cursor)?,
        },
        11 => Authentication::SaslContinue(cursor.rest()),
        12 => Authentication::SaslFinal(cursor.rest()),
        other => {
            cursor.rest();
            Authentication::Other(other)
        }
    };
    cursor.end()?;
    Ok(request)
}

/// A list of texts that an empty one ends.
fn mechanisms<'a>(cursor: &mut Cursor<'a>) -> Result<Texts<'a>, Error> {
    let all = cursor.remaining();
    let mut len = 0;
    loop {
        let mechanism = cursor.text()?;
        if mechanism.is_empty() {
            return Ok(Texts::new(&all[..len]));
        }
        len += mechanism.len() + 1;
    }
}

/// A setting that the server reports.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct ParameterStatus<'a> {
    /// Its name as the server spells it.
    pub name: &'a [u8],
    /// Its value.
    pub value: &'a [u8],
}

/// Reads ParameterStatus.
///
/// # Errors
/// The body is not laid out as a ParameterStatus.
pub fn parameter_status(body: &[u8]) -> Result<ParameterStatus<'_>, Error> {
    let mut cursor = Cursor::new("ParameterStatus", body);
    let name = cursor.text()?;
    let value = cursor.text()?;
    cursor.end()?;
    Ok(ParameterStatus { name, value })
}

/// What a cancel request must show.
#[derive(Clone, Copy, PartialEq, Eq)]
pub struct BackendKey<'a> {
    /// Process ID, or what the server uses in its place.
    pub pid: u32,
    /// The secret: 4 to 256 bytes.
    pub key: &'a [u8],
}

/// Reads BackendKeyData.
///
/// # Errors
/// The body is too short, or the key has fewer than 4 or more than 256 bytes.
pub fn backend_key(body: &[u8]) -> Result<BackendKey<'_>, Error> {
    let mut cursor = Cursor::new("BackendKeyData", body);
    let pid = cursor.u32()?;
    let key = cursor.rest();
    if !KEY_LEN.contains(&key.len()) {
        return Err(cursor.invalid("key length", u32::try_from(key.len()).unwrap_or(u32::MAX)));
    }
    Ok(BackendKey { pid, key })
}

/// What the transaction of a connection is about.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Status {
    /// There is none.
    Idle,
    /// It is open.
    Transaction,
    /// It failed and awaits its end.
    Failed,
}

impl Status {
    /// The byte that stands for it in ReadyForQuery.
    #[must_use]
    pub fn to_byte(self) -> u8 {
        match self {
            Self::Idle => b'I',
            Self::Transaction => b'T',
            Self::Failed => b'E',
        }
    }
}

/// Reads ReadyForQuery.
///
/// # Errors
/// The body is not one byte that stands for a [`Status`].
#[inline]
pub fn ready(body: &[u8]) -> Result<Status, Error> {
    match body {
        b"I" => Ok(Status::Idle),
        b"T" => Ok(Status::Transaction),
        b"E" => Ok(Status::Failed),
        _ => Err(not_ready(body)),
    }
}

#[cold]
fn not_ready(body: &[u8]) -> Error {
    let mut cursor = Cursor::new("ReadyForQuery", body);
    let status = match cursor.u8() {
        Ok(status) => status,
        Err(error) => return error,
    };
    let invalid = cursor.invalid("status", status.into());
    cursor.end().err().unwrap_or(invalid)
}

/// Reads CommandComplete: `INSERT 0 1` and the like, without its NUL.
///
/// # Errors
/// The text has no NUL at its end or one before.
pub fn command_tag(body: &[u8]) -> Result<&[u8], Error> {
    let mut cursor = Cursor::new("CommandComplete", body);
    let tag = cursor.text()?;
    cursor.end()?;
    Ok(tag)
}

/// The fields of an ErrorResponse or a NoticeResponse.
///
/// An error is passed on and told whatever its shape, so a malformed one has merely fewer fields.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct Fields<'a> {
    rest: &'a [u8],
}

impl<'a> Fields<'a> {
    /// The fields of the body of an ErrorResponse or a NoticeResponse.
    #[must_use]
    pub fn new(body: &'a [u8]) -> Self {
        Self { rest: body }
    }

    /// The first field of that code ("Error and Notice Message Fields" in PostgreSQL's manual).
    #[must_use]
    pub fn field(&self, code: u8) -> Option<&'a [u8]> {
        self.into_iter()
            .find(|field| field.0 == code)
            .map(|field| field.1)
    }

    /// `ERROR`, `FATAL`, `NOTICE`, … untranslated where the server says it so.
    #[must_use]
    pub fn severity(&self) -> Option<&'a [u8]> {
        self.field(b'V').or_else(|| self.field(b'S'))
    }

    /// The five letters of the SQLSTATE.
    #[must_use]
    pub fn sqlstate(&self) -> Option<&'a [u8]> {
        self.field(b'C')
    }

    /// The primary message, in the server's language and the client's encoding.
    #[must_use]
    pub fn message(&self) -> Option<&'a [u8]> {
        self.field(b'M')
    }
}

impl<'a> Iterator for Fields<'a> {
    type Item = (u8, &'a [u8]);

    fn next(&mut self) -> Option<Self::Item> {
        let (&code, rest) = self.rest.split_first()?;
        let (value, rest) = split_text(rest).filter(|_| code != 0)?;
        self.rest = rest;
        Some((code, value))
    }
}

/// The server knows less than was asked for.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct Negotiate<'a> {
    /// The newest minor version of protocol 3 that the server speaks.
    pub minor: u32,
    /// Names of the protocol options (`_pq_.…`) that it does not know.
    pub options: Texts<'a>,
}

/// Reads NegotiateProtocolVersion.
///
/// # Errors
/// The body is not laid out as a NegotiateProtocolVersion, or speaks of a protocol other than 3.
pub fn negotiate(body: &[u8]) -> Result<Negotiate<'_>, Error> {
    let mut cursor = Cursor::new("NegotiateProtocolVersion", body);
    let version = cursor.u32()?;
    // The manual speaks of the minor version; PostgreSQL and libpq have both in one number.
    if !matches!(version >> 16, 0 | 3) {
        return Err(cursor.invalid("version", version));
    }
    let count = cursor.u32()?;
    let options = Texts::new(cursor.remaining());
    // Bounded by the body: each text takes at least its NUL.
    for _ in 0..count {
        cursor.text()?;
    }
    cursor.end()?;
    Ok(Negotiate {
        minor: version & 0xffff,
        options,
    })
}

#[cfg(test)]
mod tests;
