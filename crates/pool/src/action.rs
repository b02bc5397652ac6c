//! What the pool answers, and what it asks for.

use std::fmt;
use std::sync::Arc;
use std::time::Duration;

use crate::token::{ClientId, ConnId, Lease, Permit, Ticket, WorkerId};

/// The answer to [`crate::Pools::take`].
#[derive(Debug)]
pub enum Take {
    /// Here is a connection.
    Lease(Lease),
    /// There will be one, or a refusal, as an [`Action`].
    Wait(Ticket),
    /// There will be none.
    Refused(Refusal),
}

/// How a lease ends.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Release {
    /// The connection is as good as new.
    Clean,
    /// Nothing has been done with it: whoever it was for had left. If it was due for a check, it
    /// still is.
    Unused,
    /// The caller has closed it, for this reason.
    Close(&'static str),
}

/// What a failed attempt to connect means for those who wait.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Fatal {
    /// It may work the next time: they go on waiting.
    Retry,
    /// The server has refused the login: they are told, unless another connection works.
    FailWaiters,
}

/// Why a client gets no connection.
#[derive(Debug, Clone, PartialEq, Eq)]
pub enum Refusal {
    /// It has waited for as long as it may.
    WaitTimeout {
        /// How long.
        waited: Duration,
        /// What there was meanwhile.
        figures: Figures,
        /// What was in the way.
        hindrance: Hindrance,
    },
    /// The server has not let anybody in for longer than `login_retry`.
    LoginFailing {
        /// The last failure.
        cause: Arc<str>,
    },
    /// The server has refused the login.
    LoginRefused {
        /// In its words.
        cause: Arc<str>,
    },
    /// DISABLE is in force.
    Disabled {
        /// For which database.
        database: Arc<str>,
    },
    /// The database is gone from the configuration.
    Removed,
    /// The process goes down.
    ShuttingDown,
}

/// What keeps somebody who waits from getting a connection.
#[derive(Debug, Clone, PartialEq, Eq)]
pub enum Hindrance {
    /// As many connections as the pool may have are there, or on their way.
    Size,
    /// As many as the database may have over all its pools.
    DatabaseCap,
    /// As many as the user may have over all its pools.
    UserCap,
    /// PAUSE is in force.
    Paused,
    /// Attempts to connect fail.
    Failing {
        /// How the last one did.
        cause: Arc<str>,
    },
}

/// The state of a pool, for a message.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct Figures {
    /// `pool_size`; 0: no limit.
    pub size: u32,
    /// Connections in somebody's hands.
    pub leased: u32,
    /// Connections nobody uses.
    pub idle: u32,
    /// Connections being opened.
    pub opening: u32,
    /// Clients that wait.
    pub waiting: u32,
}

impl fmt::Display for Figures {
    fn fmt(&self, out: &mut fmt::Formatter<'_>) -> fmt::Result {
        let Self {
            size,
            leased,
            idle,
            opening,
            waiting,
        } = self;
        write!(
            out,
            "pool size {size}, {leased} in use, {idle} idle, {opening} opening, {waiting} waiting"
        )
    }
}

/// What the caller is to do.
#[derive(Debug)]
pub enum Action {
    /// Open a connection, on `permit.worker()`.
    Open(Permit),
    /// Give a connection to a client that waits; its socket lies at `lease.worker()`.
    Hand {
        /// Who gets it.
        client: ClientId,
        /// Where that client is.
        to: WorkerId,
        /// The place in the queue that it had.
        ticket: Ticket,
        /// The lease.
        lease: Lease,
    },
    /// Close an idle connection.
    Close {
        /// Which one.
        conn: ConnId,
        /// Where it lies.
        worker: WorkerId,
        /// Why.
        reason: &'static str,
    },
    /// Tell a client that waits that there will be no connection.
    Fail {
        /// Who.
        client: ClientId,
        /// Where that client is.
        to: WorkerId,
        /// The place in the queue that it had.
        ticket: Ticket,
        /// Why.
        why: Refusal,
    },
}
