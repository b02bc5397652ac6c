//! Who are you: the exchanges by which a client proves its identity to pgweir, and pgweir to a
//! server.
//!
//! Sans-IO: messages come in as bytes and go out as bytes; randomness is an argument, and so is what
//! files say.
//!
//! # From a startup packet to `Authenticated`
//!
//! 1. With `auth_type = hba`, [`hba::Rules::decide`] says by its [`hba::Way`] what a client is asked;
//!    else the configuration does.
//! 2. What is stored of the user comes from [`userlist::read`], or from [`userlist::row`] for a row of
//!    `auth_query`. Who may be whom with `map=` comes from [`ident::parse`].
//! 3. [`Exchange::start`] begins an exchange of messages. [`Exchange::certificate`] and
//!    [`Exchange::peer`] need none: the caller knows the facts ([`common_name`] finds the first).
//!
//! Files of an operator are read to their ends, and all their mistakes told ([`Parsed`]); what mistakes
//! mean is for the caller to decide.
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
pub use scram::{Salting, ScramKeys, Verifier};
pub use secret::Secret;
pub use subject::common_name;
