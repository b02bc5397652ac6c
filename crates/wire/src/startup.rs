//! Packets without a tag: what a client sends before the first frame.
//!
//! Startup, cancel request, and the requests for encryption ("Message Formats" in PostgreSQL's manual,
//! and section "Start-up" of its message flow). Which may follow which is the caller's affair.

mod options;

pub use options::{Setting, options};

use crate::Error;
use crate::backend::KEY_LEN;
use crate::cursor::split_text;

/// Version number of protocol 3.0: major in the upper, minor in the lower 16 bits.
pub const PROTOCOL_3_0: u32 = 196_608;
/// Version number of protocol 3.2.
pub const PROTOCOL_3_2: u32 = 196_610;

/// Stand in a packet where a startup has its version.
pub(crate) const CANCEL_REQUEST: u32 = 80_877_102;
pub(crate) const SSL_REQUEST: u32 = 80_877_103;
pub(crate) const GSS_ENC_REQUEST: u32 = 80_877_104;

/// Shortest permitted packet, in bytes: a length and a version.
pub const PACKET_LEN_MIN: usize = 8;
/// Longest permitted packet, in bytes.
pub const PACKET_LEN_MAX: usize = 10_000;

/// A packet before the first frame.
#[derive(Clone, Copy, PartialEq, Eq)]
pub enum Packet<'a> {
    /// The client wants TLS; one byte `S` or `N` answers.
    SslRequest,
    /// The client wants GSSAPI encryption; one byte `G` or `N` answers.
    GssEncRequest,
    /// The query of another connection is to end; nothing answers.
    Cancel(Cancel<'a>),
    /// A session begins.
    Startup(Startup<'a>),
}

/// Whose query is to end.
#[derive(Clone, Copy, PartialEq, Eq)]
pub struct Cancel<'a> {
    /// What BackendKeyData gave as process ID.
    pub pid: u32,
    /// The secret that came with it: 4 to 256 bytes.
    pub key: &'a [u8],
}

/// The wishes with which a session begins.
#[derive(Clone, Copy, PartialEq, Eq)]
pub struct Startup<'a> {
    /// Version of the protocol; the major one (upper 16 bits) is 3.
    pub version: u32,
    /// Invariant: pairs of texts, each with its NUL, no name empty; the packet's last NUL left out.
    parameters: &'a [u8],
}

impl<'a> Startup<'a> {
    /// Names and values, in the order of the packet. A name may come twice.
    pub fn parameters(&self) -> impl Iterator<Item = (&'a [u8], &'a [u8])> + use<'a> {
        let mut rest = self.parameters;
        std::iter::from_fn(move || {
            let (name, value, after) = split_pair(rest)?;
            rest = after;
            Some((name, value))
        })
    }

    /// The value of a parameter; the last one if it comes twice, as in PostgreSQL.
    #[must_use]
    pub fn parameter(&self, name: &str) -> Option<&'a [u8]> {
        self.parameters()
            .filter(|pair| pair.0 == name.as_bytes())
            .last()
            .map(|pair| pair.1)
    }
}

/// Length in bytes of the packet at the front of `bytes`; `None` if fewer than four bytes are there.
///
/// # Errors
/// [`Error::PacketLength`] when it is not within [`PACKET_LEN_MIN`] and [`PACKET_LEN_MAX`].
pub fn packet_len(bytes: &[u8]) -> Result<Option<usize>, Error> {
    let Some(&field) = bytes.first_chunk::<4>() else {
        return Ok(None);
    };
    let len = u32::from_be_bytes(field);
    match len as usize {
        PACKET_LEN_MIN..=PACKET_LEN_MAX => Ok(Some(len as usize)),
        _ => Err(Error::PacketLength { len }),
    }
}

/// Reads exactly one whole packet, its length field included.
///
/// # Errors
/// Its length, its version or its layout is not what the protocol demands.
pub fn packet(bytes: &[u8]) -> Result<Packet<'_>, Error> {
    if packet_len(bytes)? != Some(bytes.len()) {
        return Err(Error::PacketLayout {
            what: "its length is another",
        });
    }
    let Some((&[_, _, _, _, a, b, c, d], body)) = bytes.split_first_chunk::<PACKET_LEN_MIN>()
    else {
        return Err(Error::PacketLayout {
            what: "there is no version",
        });
    };
    match u32::from_be_bytes([a, b, c, d]) {
        // What follows such a request would be read as if it came encrypted (CVE-2021-23214).
        SSL_REQUEST | GSS_ENC_REQUEST if !body.is_empty() => Err(Error::PacketLayout {
            what: "a request for encryption has no fields",
        }),
        SSL_REQUEST => Ok(Packet::SslRequest),
        GSS_ENC_REQUEST => Ok(Packet::GssEncRequest),
        CANCEL_REQUEST => cancel(body).map(Packet::Cancel),
        version if version >> 16 == 3 => startup(version, body).map(Packet::Startup),
        version => Err(Error::Version { version }),
    }
}

fn cancel(body: &[u8]) -> Result<Cancel<'_>, Error> {
    match body.split_first_chunk() {
        Some((&pid, key)) if KEY_LEN.contains(&key.len()) => Ok(Cancel {
            pid: u32::from_be_bytes(pid),
            key,
        }),
        _ => Err(Error::PacketLayout {
            what: "a cancel request has a key of 4 to 256 bytes",
        }),
    }
}

fn startup(version: u32, body: &[u8]) -> Result<Startup<'_>, Error> {
    let misplaced = Error::PacketLayout {
        what: "expected terminator as last byte",
    };
    let Some((0, parameters)) = body.split_last() else {
        return Err(misplaced);
    };
    let mut rest = parameters;
    while !rest.is_empty() {
        match split_pair(rest) {
            Some((name, _, after)) if !name.is_empty() => rest = after,
            _ => return Err(misplaced),
        }
    }
    Ok(Startup {
        version,
        parameters,
    })
}

fn split_pair(bytes: &[u8]) -> Option<(&[u8], &[u8], &[u8])> {
    let (name, rest) = split_text(bytes)?;
    let (value, rest) = split_text(rest)?;
    Some((name, value, rest))
}

#[cfg(test)]
mod tests;
