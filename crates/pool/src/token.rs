//! Names of things, and the tokens that only the pool makes.

use std::fmt;
use std::time::Instant;

/// A pool. Never used again for another one.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Hash, PartialOrd, Ord)]
pub struct PoolId {
    pub(crate) slot: u32,
    pub(crate) generation: u32,
}

/// A worker: a thread that owns sockets.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Hash, PartialOrd, Ord)]
pub struct WorkerId(pub u16);

/// A client, as its worker names it.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Hash, PartialOrd, Ord)]
pub struct ClientId(pub u64);

/// A server connection. Never used again for another one.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Hash, PartialOrd, Ord)]
pub struct ConnId {
    pub(crate) slot: u32,
    pub(crate) generation: u32,
}

impl fmt::Display for ConnId {
    fn fmt(&self, out: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(out, "{}.{}", self.slot, self.generation)
    }
}

/// A place in the queue of a pool.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Hash)]
pub struct Ticket {
    pub(crate) pool: PoolId,
    pub(crate) key: u32,
    pub(crate) number: u64,
}

/// The use of a connection. Ends with [`crate::Pools::release`], which consumes it (P4).
#[derive(Debug)]
#[must_use = "a lease that is dropped is a slot lost: give it to Pools::release"]
pub struct Lease {
    pub(crate) conn: ConnId,
    pub(crate) pool: PoolId,
    pub(crate) worker: WorkerId,
    pub(crate) check: bool,
    /// Since when it had idled.
    pub(crate) idle_since: Option<Instant>,
}

impl Lease {
    /// Of which connection.
    pub fn conn(&self) -> ConnId {
        self.conn
    }

    /// Of which pool.
    pub fn pool(&self) -> PoolId {
        self.pool
    }

    /// Where the socket lay when the lease was made: whoever is elsewhere has it moved.
    pub fn worker(&self) -> WorkerId {
        self.worker
    }

    /// Whether the connection idled for longer than `check_delay`.
    pub fn check(&self) -> bool {
        self.check
    }
}

/// The right to open one connection. Answered with [`crate::Pools::opened`] or
/// [`crate::Pools::failed`], which consume it (P4).
#[derive(Debug)]
#[must_use = "a permit that is dropped is a slot lost: give it to Pools::opened or Pools::failed"]
pub struct Permit {
    pub(crate) conn: ConnId,
    pub(crate) pool: PoolId,
    pub(crate) worker: WorkerId,
}

impl Permit {
    /// The identity that the connection will have.
    pub fn conn(&self) -> ConnId {
        self.conn
    }

    /// For which pool.
    pub fn pool(&self) -> PoolId {
        self.pool
    }

    /// On which worker it is to be opened: where the client waits that it is for.
    pub fn worker(&self) -> WorkerId {
        self.worker
    }
}
