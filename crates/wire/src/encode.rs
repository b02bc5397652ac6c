//! Writes messages of our own at the end of a buffer.
//!
//! Where values are our own UTF-8 text, pgwire's encoders do it; where they are a peer's bytes, in an
//! encoding we do not know, it is done here. A text ends at its first NUL, as it does for whoever
//! reads it: nothing can be smuggled in behind one.

mod backend;
mod frontend;

pub use backend::*;
pub use frontend::*;

use crate::Header;

/// Writes a frame around `body`.
///
/// # Panics
/// When the body exceeds what a length field can say, 4 GB; so do all functions of this module.
pub fn frame(tag: u8, body: &[u8], out: &mut Vec<u8>) {
    out.extend_from_slice(&Header::of_body(tag, body.len()).to_bytes());
    out.extend_from_slice(body);
}

/// Writes a frame whose body is what `write` appends.
fn framed(tag: u8, out: &mut Vec<u8>, write: impl FnOnce(&mut Vec<u8>)) {
    let start = out.len();
    out.extend_from_slice(&Header::of_body(tag, 0).to_bytes());
    let body = out.len();
    write(out);
    let header = Header::of_body(tag, out.len() - body);
    out[start..body].copy_from_slice(&header.to_bytes());
}

/// Writes a packet without a tag.
fn packet(code: u32, out: &mut Vec<u8>, write: impl FnOnce(&mut Vec<u8>)) {
    let start = out.len();
    out.extend_from_slice(&[0; 4]);
    out.extend_from_slice(&code.to_be_bytes());
    write(out);
    let len = u32::try_from(out.len() - start).expect("a packet of ours is below 4 GB");
    out[start..start + 4].copy_from_slice(&len.to_be_bytes());
}

fn text(text: &[u8], out: &mut Vec<u8>) {
    let end = memchr::memchr(0, text).unwrap_or(text.len());
    out.extend_from_slice(&text[..end]);
    out.push(0);
}

/// Writes a value of Bind or DataRow: length and bytes, or -1 for NULL.
fn value(value: Option<&[u8]>, out: &mut Vec<u8>) {
    let len = value.map_or(-1, |value| {
        i32::try_from(value.len()).expect("a value of ours is below 2 GB")
    });
    out.extend_from_slice(&len.to_be_bytes());
    out.extend_from_slice(value.unwrap_or_default());
}

fn count(items: usize, out: &mut Vec<u8>) {
    let items = u16::try_from(items).expect("a message of ours has at most 65,535 values");
    out.extend_from_slice(&items.to_be_bytes());
}

#[cfg(test)]
mod tests;
