//! Who are you: the exchanges by which a client proves its identity to pgweir, and pgweir to a
//! server.
//!
//! Sans-IO: messages come in as bytes and go out as bytes; randomness is an argument.
//!
//! # Promises
//!
//! - **A1** [`Authenticated`] comes only out of a finished exchange.
//! - **A2** Secrets compare in constant time, are wiped, and never print.
//! - **A3** An unknown user looks like a wrong password.
//! - **A4** An exchange is consumed by each step.

mod binding;
mod error;
mod exchange;
pub mod hba;
pub mod ident;
mod login;
mod md5;
mod mistake;
mod prep;
mod scram;
mod secret;
mod subject;
pub mod userlist;
mod words;

pub use binding::ChannelBinding;
pub use error::Error;
pub use exchange::{Authenticated, Exchange, Message, Method, Reply, Request, Start, Step};
pub use login::{Login, ScramClient, ScramFinal};
pub use mistake::{Mistake, Parsed};
pub use scram::{ScramKeys, Verifier};
pub use secret::Secret;
pub use subject::common_name;
