//! The rules of a conversation between a client and the server connection that it leases.
//!
//! Bytes of the client come in and become bytes for the server, and the other way round; what is
//! owed, what is in force and what was left behind is known at every moment. No I/O, no clock.
//!
//! # Promises
//!
//! - **S1** Each request that is owed a reply has one entry in the queue ([`reply`]).
//! - **S2** A boundary is announced only when nothing is owed ([`Server::at_boundary`]).
//! - **S3** After an error everything up to Sync is skipped, as the server does.
//! - **S4** The client sees only names and settings of its own.
//! - **S5** Nothing of one client is visible to the next ([`Server::left`], [`Server::clean`]).

mod again;
pub mod batch;
pub mod client;
pub mod context;
mod control;
pub mod effects;
mod frame;
mod journal;
mod local;
pub mod names;
mod prepare;
pub mod prepared;
pub mod replies;
pub mod reply;
mod request;
pub mod routing;
pub mod rules;
pub mod server;
pub mod settings;
mod spelling;
pub mod statement;
mod trial;
mod unit;
mod unnamed;

pub use batch::Batch;
pub use client::Client;
pub use context::Context;
pub use effects::Effects;
pub use replies::Error;
pub use routing::{Intents, Known, Own, Target, Unit};
pub use rules::{Mode, Refusal, Rules, Verdict};
pub use server::{Counts, Goodbye, Server};
pub use settings::{Parameters, Settings};
pub use statement::Statements;
pub use trial::Setback;
