//! Bytes ↔ frames and messages of PostgreSQL's protocol, versions 3.0 and 3.2.
//!
//! Reads and writes what is in memory; knows no socket, no clock and nothing of what a conversation
//! means. Text stays `&[u8]`: its encoding is the client's affair.
//!
//! | need | where |
//! | --- | --- |
//! | frame borders in a stream | [`Scanner`], [`header`] |
//! | names of the tags | [`tag`] |
//! | packets before the first frame | [`startup`] |
//! | what a client says | [`frontend`] |
//! | what a server says | [`backend`] |
//! | messages of our own | [`encode`] |
//!
//! Not yet enough bytes is `Ok(None)`. An [`Error`] is the fault of whoever sent the bytes that were
//! handed in.
//!
//! # Promises
//!
//! - **W1**: no input makes it panic.
//! - **W2**: how bytes were cut into reads is invisible in what comes out.
//! - **W3**: the frames put together are the input.
//! - **W4**: looking at a frame allocates and copies nothing.
//! - **W5**: a length is judged before anything is reserved for it.

#![forbid(unsafe_code)]

pub mod backend;
mod cursor;
pub mod encode;
mod error;
mod frame;
pub mod frontend;
mod scanner;
pub mod startup;
pub mod tag;

pub use error::Error;
pub use frame::{HEADER_LEN, Header, header};
pub use scanner::{Piece, Scanner};
