//! Reads what a client says, borrowing from the frame's body (the bytes behind its header).
//!
//! Each function wants one whole body and uses every byte of it; only [`bind_names`] is content with
//! the front, as parameters may be large. Section "Message Formats" of PostgreSQL's manual.

use crate::Error;
use crate::cursor::{Cursor, split_text};

/// Greatest length field of an answer to an authentication request, in bytes, as in PostgreSQL.
pub const PASSWORD_LEN_MAX: u32 = 65_535;

/// A statement to be prepared.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct Parse<'a> {
    /// Name of the prepared statement; empty for the unnamed one.
    pub name: &'a [u8],
    /// SQL text in the client's encoding.
    pub query: &'a [u8],
    /// OIDs of the parameters' types as they lie in the body: four bytes each, at most 65,535.
    pub types: &'a [u8],
}

/// Reads Parse.
///
/// # Errors
/// The body is not laid out as a Parse.
pub fn parse(body: &[u8]) -> Result<Parse<'_>, Error> {
    let mut cursor = Cursor::new("Parse", body);
    let name = cursor.text()?;
    let query = cursor.text()?;
    let types = usize::from(cursor.u16()?);
    let types = cursor.bytes(4 * types)?;
    cursor.end()?;
    Ok(Parse { name, query, types })
}

/// The names at the front of Bind.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct BindNames<'a> {
    /// Name of the portal to be made; empty for the unnamed one.
    pub portal: &'a [u8],
    /// Name of the prepared statement; empty for the unnamed one.
    pub statement: &'a [u8],
    /// Where in the body the bytes behind the two names begin.
    pub rest_at: usize,
}

/// Reads the names of Bind from the front of its body; `None` if they are not there to their end.
///
/// A whole body for which it says `None` is malformed. Parameters are not looked at.
#[must_use]
pub fn bind_names(front: &[u8]) -> Option<BindNames<'_>> {
    let (portal, rest) = split_text(front)?;
    let (statement, rest) = split_text(rest)?;
    Some(BindNames {
        portal,
        statement,
        rest_at: front.len() - rest.len(),
    })
}

/// What Describe and Close are about.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct Named<'a> {
    /// `b'S'` for a prepared statement, `b'P'` for a portal; nothing else occurs.
    pub kind: u8,
    /// Its name; empty for the unnamed one.
    pub name: &'a [u8],
}

/// What Describe is about.
pub type Describe<'a> = Named<'a>;
/// What Close is about.
pub type Close<'a> = Named<'a>;

/// Reads Describe.
///
/// # Errors
/// The body is not laid out as a Describe, or names neither a statement nor a portal.
pub fn describe(body: &[u8]) -> Result<Describe<'_>, Error> {
    named(Cursor::new("Describe", body))
}

/// Reads Close.
///
/// # Errors
/// The body is not laid out as a Close, or names neither a statement nor a portal.
pub fn close(body: &[u8]) -> Result<Close<'_>, Error> {
    named(Cursor::new("Close", body))
}

fn named(mut cursor: Cursor<'_>) -> Result<Named<'_>, Error> {
    let kind = cursor.u8()?;
    if !matches!(kind, b'S' | b'P') {
        return Err(cursor.invalid("kind", kind.into()));
    }
    let name = cursor.text()?;
    cursor.end()?;
    Ok(Named { kind, name })
}

/// A portal to be executed.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct Execute<'a> {
    /// Name of the portal; empty for the unnamed one.
    pub portal: &'a [u8],
    /// Rows to return at most; 0 for all.
    pub max_rows: u32,
}

/// Reads Execute.
///
/// # Errors
/// The body is not laid out as an Execute.
pub fn execute(body: &[u8]) -> Result<Execute<'_>, Error> {
    let mut cursor = Cursor::new("Execute", body);
    let portal = cursor.text()?;
    let max_rows = cursor.u32()?;
    cursor.end()?;
    Ok(Execute { portal, max_rows })
}

/// Reads Query: the SQL text in the client's encoding, without its NUL.
///
/// # Errors
/// The text has no NUL at its end or one before.
pub fn query(body: &[u8]) -> Result<&[u8], Error> {
    only_text("Query", body)
}

/// Reads PasswordMessage: the password or its MD5 answer, without its NUL.
///
/// # Errors
/// The text has no NUL at its end or one before.
pub fn password(body: &[u8]) -> Result<&[u8], Error> {
    only_text("PasswordMessage", body)
}

/// Reads CopyFail: the client's reason, without its NUL.
///
/// # Errors
/// The text has no NUL at its end or one before.
pub fn copy_fail(body: &[u8]) -> Result<&[u8], Error> {
    only_text("CopyFail", body)
}

fn only_text<'a>(message: &'static str, body: &'a [u8]) -> Result<&'a [u8], Error> {
    let mut cursor = Cursor::new(message, body);
    let text = cursor.text()?;
    cursor.end()?;
    Ok(text)
}

/// The first message of a SASL exchange.
#[derive(Clone, Copy, PartialEq, Eq)]
pub struct SaslInitial<'a> {
    /// The mechanism that the client chose.
    pub mechanism: &'a [u8],
    /// Its first message, if it came along.
    pub response: Option<&'a [u8]>,
}

/// Reads SASLInitialResponse.
///
/// # Errors
/// The body is not laid out as a SASLInitialResponse.
pub fn sasl_initial(body: &[u8]) -> Result<SaslInitial<'_>, Error> {
    let mut cursor = Cursor::new("SASLInitialResponse", body);
    let mechanism = cursor.text()?;
    let response = match cursor.u32()? {
        // -1: none, as with a parameter that is NULL.
        u32::MAX => None,
        len => Some(cursor.bytes(len as usize)?),
    };
    cursor.end()?;
    Ok(SaslInitial {
        mechanism,
        response,
    })
}

/// Reads SASLResponse: the whole body is the mechanism's.
#[must_use]
pub fn sasl_response(body: &[u8]) -> &[u8] {
    body
}

#[cfg(test)]
mod tests;
