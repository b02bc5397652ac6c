//! One pool: the connections of a (database, user, host).

use std::collections::VecDeque;
use std::sync::Arc;
use std::time::{Duration, Instant};

use crate::action::Figures;
use crate::limits::Limits;
use crate::queue::Queue;
use crate::token::ConnId;

/// What kind of connections a pool has.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Hash)]
pub enum Kind {
    /// They are used again and again.
    Normal,
    /// Each is for one client (replication): it is never idle, and its slot ends with its lease.
    Dedicated,
}

/// What makes a pool.
#[derive(Debug, Clone, PartialEq, Eq, Hash)]
pub struct PoolKey {
    /// The database, as clients name it.
    pub database: Arc<str>,
    /// The user on the server.
    pub user: Arc<str>,
    /// Where it goes.
    pub host: Arc<str>,
    /// What kind of connections.
    pub kind: Kind,
}

/// What a connection that somebody holds is doing, for SHOW POOLS.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Phase {
    /// A client uses it.
    Active,
    /// It is being cleaned or checked.
    Tested,
    /// Cancel requests are on their way to it.
    BeingCanceled,
}

/// How many of what, for SHOW POOLS.
#[derive(Debug, Clone, Copy, Default, PartialEq, Eq)]
pub struct Counts {
    /// Idle for less than `check_delay`.
    pub idle: u32,
    /// Idle for longer.
    pub used: u32,
    /// Used by clients.
    pub active: u32,
    /// Being cleaned or checked.
    pub tested: u32,
    /// With cancel requests on their way.
    pub being_canceled: u32,
    /// Being opened.
    pub opening: u32,
    /// Clients that wait.
    pub waiting: u32,
    /// Since when the first of them has.
    pub oldest_wait: Option<Instant>,
}

/// Failed attempts to connect, since the last that worked.
#[derive(Debug, Clone)]
pub(crate) struct Failing {
    pub(crate) since: Instant,
    /// No attempt before this.
    pub(crate) until: Instant,
    pause: Duration,
    pub(crate) cause: Arc<str>,
}

const PAUSE_MIN: Duration = Duration::from_millis(100);

impl Failing {
    pub(crate) fn again(
        last: Option<Self>,
        cause: Arc<str>,
        limits: &Limits,
        now: Instant,
    ) -> Self {
        let pause = last.as_ref().map_or(PAUSE_MIN, |last| last.pause * 2);
        let pause = pause.min(limits.login_retry.max(PAUSE_MIN));
        let since = last.map_or(now, |last| last.since);
        Self {
            since,
            until: now + pause,
            pause,
            cause,
        }
    }
}

/// A connection that nobody uses.
#[derive(Debug, Clone, Copy)]
pub(crate) struct Idle {
    pub(crate) conn: ConnId,
    pub(crate) since: Instant,
}

/// The state of a pool.
#[derive(Debug)]
pub(crate) struct Pool {
    pub(crate) key: PoolKey,
    pub(crate) limits: Limits,
    /// Group of its database's cap.
    pub(crate) database: usize,
    /// Group of its user's cap.
    pub(crate) user: usize,
    /// The one used last at the back.
    pub(crate) idle: VecDeque<Idle>,
    pub(crate) leased: u32,
    pub(crate) opening: u32,
    pub(crate) queue: Queue,
    pub(crate) failing: Option<Failing>,
    pub(crate) paused: bool,
    /// Gone from the configuration: it ends when its last connection does.
    pub(crate) removed: bool,
}

impl Pool {
    /// Connections in whatever place.
    pub(crate) fn total(&self) -> u32 {
        self.idle.len() as u32 + self.leased + self.opening
    }

    pub(crate) fn figures(&self) -> Figures {
        Figures {
            size: self.limits.size,
            leased: self.leased,
            idle: self.idle.len() as u32,
            opening: self.opening,
            waiting: self.queue.len(),
        }
    }

    /// Whether an attempt to connect may be made.
    pub(crate) fn may_try(&self, now: Instant) -> bool {
        !self.paused
            && !self.removed
            && self
                .failing
                .as_ref()
                .is_none_or(|failing| now >= failing.until)
    }

    /// Whether the reserve may be used: somebody has waited for long enough.
    pub(crate) fn reserve_due(&self, now: Instant) -> bool {
        let delay = self.limits.reserve_delay;
        !delay.is_zero()
            && self
                .queue
                .oldest()
                .is_some_and(|oldest| now.saturating_duration_since(oldest.since) >= delay)
    }
}
