//! The console's questions and answers, as PgBouncer 1.25 asks and gives them.
//!
//! An operator's text becomes a [`Command`]; a SHOW is answered from a [`Snapshot`] that the caller
//! has filled. Nothing is looked up and nothing done here: no pool, no socket, no clock. Our own
//! columns come after PgBouncer's, so that dashboards and exporters written for it keep working.
//!
//! | need | where |
//! | --- | --- |
//! | text → command, with the rights of who asks | [`parse`] |
//! | what a SHOW has to know | [`Show::needs`] |
//! | its answer | [`answer()`], or [`describe()`] and [`rows`] apart |
//! | the answer of any other command | [`complete`], [`Error::encode`] |
//! | all of that for one connection, extended protocol included | [`Console`] |
//!
//! # Promises
//!
//! - **D1** Asking changes nothing: an answer is a function of the question and a `&Snapshot`.
//! - **D2** Commands are values, performed elsewhere: whoever holds a [`Command`] knows that it is
//!   well formed and that its asker may give it.
//! - **D3** Names and order of columns are written once, in that SHOW's file.

mod answer;
mod bind;
mod column;
mod command;
mod console;
mod error;
pub mod metrics;
mod notice;
mod portal;
mod show;
mod snapshot;
mod words;

#[cfg(test)]
mod tests;

pub use crate::answer::{answer, complete, describe, rows};
pub use crate::column::{Format, Formats};
pub use crate::command::{Command, Role, Shutdown, parse};
pub use crate::console::{Asked, Console, Step};
pub use crate::error::Error;
pub use crate::notice::Notice;
pub use crate::show::Show;
pub use crate::show::fake::Fake;
pub use crate::snapshot::config::ConfigRow;
pub use crate::snapshot::connection::{Buffers, ConnectionRow, Replication, State};
pub use crate::snapshot::database::DatabaseRow;
pub use crate::snapshot::dns::{DnsHostRow, DnsZoneRow};
pub use crate::snapshot::fd::FdRow;
pub use crate::snapshot::host::{ExplainedRow, HostRow, RouteRow};
pub use crate::snapshot::lists::Lists;
pub use crate::snapshot::mem::{Cache, Mem};
pub use crate::snapshot::peer::{PeerPoolRow, PeerRow};
pub use crate::snapshot::pool::PoolRow;
pub use crate::snapshot::stats::{Counters, Quantiles, StatsRow};
pub use crate::snapshot::user::UserRow;
pub use crate::snapshot::{Needs, Snapshot};

/// Names under which clients reach the console; no configured database may have them.
pub const CONSOLE_DATABASES: [&str; 2] = ["pgbouncer", "pgweir"];

/// The version of PgBouncer that the console behaves like. Tools choose columns by it.
pub const PGBOUNCER_VERSION: &str = "1.25.2";

/// What the console reports at login, as ParameterStatus, in PgBouncer's order.
pub const LOGIN_PARAMETERS: [(&str, &str); 7] = [
    ("server_version", "1.25.2/bouncer"),
    ("client_encoding", "UTF8"),
    ("server_encoding", "UTF8"),
    ("DateStyle", "ISO"),
    ("TimeZone", "GMT"),
    ("standard_conforming_strings", "on"),
    ("is_superuser", "on"),
];

/// Greatest length field of a frame that a console connection has any use for, in bytes.
pub const FRAME_LEN_MAX: u32 = 64 * 1024;
