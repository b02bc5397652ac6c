//! Which host of a database a statement, or a new connection, goes to, and where that is.
//!
//! Sans-IO: texts, outcomes and times are told by the caller.
//!
//! | need | where |
//! | --- | --- |
//! | what a text wants of a host, and why | [`intent`] |
//! | where SQL's tokens begin and end | [`lex`] |
//! | which host a new connection tries | [`Hosts`] |
//! | which host of a cluster is what | [`topology`] |
//! | which of them a statement goes to | [`choose`] |
//! | what is known of the names of hosts | [`Names`] |
//!
//! # Promises
//!
//! - **R1** In doubt, the primary: what is not known to be a read is not taken for one.
//! - **R3** Nothing goes to a host that is down, as long as another one is up; the last candidate
//!   is never excluded. No write goes to a standby, nothing to a host that is fenced.
//! - **R4** What is read is never older than what was asked for.

#![forbid(unsafe_code)]

mod choice;
mod hosts;
pub mod intent;
pub mod lex;
mod names;
pub mod topology;

pub use choice::{Balance, Chance, Choice, HostPolicy, Policy, Seen, Want, Why, choose};
pub use hosts::{HostIndex, Hosts, Order, Outcome};
pub use intent::{Intent, Judgement, Reason, judge};
pub use names::{NameRow, Names, Trust, Unknown, ZoneRow, zone_of};
pub use topology::Topology;

#[cfg(test)]
mod tests;
