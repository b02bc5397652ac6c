//! What a pool is allowed.

use std::time::Duration;

/// The limits of one pool. A duration of zero turns its rule off, unless said otherwise.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Limits {
    /// Connections at most; 0: no limit.
    pub size: u32,
    /// Connections kept at least, once the pool is used.
    pub min_size: u32,
    /// Connections beyond `size` when somebody has waited for `reserve_delay`.
    pub reserve_size: u32,
    /// See `reserve_size`; zero: the reserve is never used.
    pub reserve_delay: Duration,
    /// How long a client waits before it is refused.
    pub wait_timeout: Duration,
    /// How long a connection may idle before it is closed.
    pub idle_timeout: Duration,
    /// How old a connection may become; zero: it is used once.
    pub lifetime: Duration,
    /// How long a connection may idle and still be used without a check; zero: it never may.
    pub check_delay: Duration,
    /// Longest pause after failed attempts to connect. Pauses begin at 100 ms and double.
    pub login_retry: Duration,
    /// Whether the connection that idled longest is used next, rather than the one used last.
    pub round_robin: bool,
    /// Connections being opened at once, at most.
    pub opening_max: u32,
}

impl Default for Limits {
    fn default() -> Self {
        Self {
            size: 20,
            min_size: 0,
            reserve_size: 0,
            reserve_delay: Duration::from_secs(5),
            wait_timeout: Duration::from_secs(120),
            idle_timeout: Duration::from_secs(600),
            lifetime: Duration::from_secs(3600),
            check_delay: Duration::from_secs(30),
            login_retry: Duration::from_secs(15),
            round_robin: false,
            opening_max: 8,
        }
    }
}

impl Limits {
    /// Whether somebody who has waited for so long may be given the reserve.
    pub(crate) fn reserve_due(&self, waited: Duration) -> bool {
        !self.reserve_delay.is_zero() && waited >= self.reserve_delay
    }

    /// How long after one connection was closed for its age the next one may be: so that
    /// connections that were opened together do not go together.
    pub(crate) fn retirement_gap(&self, total: u32) -> Duration {
        let size = if self.size == 0 { total } else { self.size };
        self.lifetime / size.max(1)
    }

    /// Whether a pool that has `total` connections may have one more; `reserve`: with its reserve.
    pub(crate) fn room(&self, total: u32, reserve: bool) -> bool {
        self.beyond(total.saturating_add(1), reserve) == 0
    }

    /// How many of `total` connections are too many; `reserve`: with the reserve.
    pub(crate) fn beyond(&self, total: u32, reserve: bool) -> u32 {
        let reserve = if reserve { self.reserve_size } else { 0 };
        match self.size {
            0 => 0,
            size => total.saturating_sub(size.saturating_add(reserve)),
        }
    }
}
