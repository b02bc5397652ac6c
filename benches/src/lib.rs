//! What the benches share: conversations of bytes, and the two things that a transaction goes
//! through without a socket, [`Line`] (session) and [`Crowd`] (pool).
//!
//! `cargo bench` measures, `cargo bench -- --test` runs each bench once, `tests/no_alloc.rs`
//! counts calls of the allocator over the same conversations. How pgweir does beside other poolers
//! is measured by `compare/run.py`, with real sockets.

#![forbid(unsafe_code)]

mod backend;
mod crowd;
mod line;
pub mod requests;

pub use backend::{answer, rows};
pub use crowd::Crowd;
pub use line::{Line, Round};
