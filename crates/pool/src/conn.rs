//! One server connection, as far as the pool knows it.

use std::time::Instant;

use crate::lines::Key;
use crate::pool::Phase;
use crate::token::{PoolId, WorkerId};

/// Where a connection is (P2: in exactly one place).
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(crate) enum Place {
    Opening,
    /// There in its pool's line.
    Idle(Key),
    Leased(Phase),
}

/// One connection.
#[derive(Debug)]
pub(crate) struct Conn {
    pub(crate) generation: u32,
    pub(crate) pool: PoolId,
    pub(crate) place: Place,
    /// Where its socket lies, or is on its way to.
    pub(crate) worker: WorkerId,
    /// When the permit was given; once it has been used, when that was told.
    pub(crate) born: Instant,
    /// Whether anybody has had it.
    pub(crate) used: bool,
    /// To be closed as soon as nobody uses it.
    pub(crate) stale: bool,
}

impl Conn {
    /// The slot of its pool.
    pub(crate) fn slot(&self) -> usize {
        self.pool.slot as usize
    }
}
