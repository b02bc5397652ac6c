//! One pool: the connections of a (database, user, host).

use std::sync::Arc;
use std::time::Instant;

use crate::action::{Figures, Refusal};
use crate::backoff::Failing;
use crate::limits::Limits;
use crate::lines::Lines;
use crate::token::{ConnId, WorkerId};
use crate::waiting::Queue;

/// What kind of connections a pool has.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Hash)]
pub enum Kind {
    /// They are used again and again.
    Normal,
    /// Each is for one client (replication): it is never idle, and its slot ends with its lease.
    /// It counts against the size of the normal pool of the same database, user and host too.
    Dedicated,
}

impl Kind {
    pub(crate) fn other(self) -> Self {
        match self {
            Self::Normal => Self::Dedicated,
            Self::Dedicated => Self::Normal,
        }
    }
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

impl Counts {
    /// Server connections in whatever state.
    pub fn servers(&self) -> u32 {
        let free = self.idle + self.used + self.opening;
        free + self.active + self.tested + self.being_canceled
    }
}

/// A connection that nobody uses.
#[derive(Debug, Clone, Copy)]
pub(crate) struct Idle {
    pub(crate) conn: ConnId,
    pub(crate) since: Instant,
}

/// The state of a pool. Its connections are counted by the place they are in, and only there.
#[derive(Debug)]
pub(crate) struct Pool {
    pub(crate) key: PoolKey,
    pub(crate) generation: u32,
    pub(crate) limits: Limits,
    /// Group of its database's cap.
    pub(crate) database: usize,
    /// Group of its user's cap.
    pub(crate) user: usize,
    /// The pool of the other kind that it shares its size with, by slot.
    pub(crate) sibling: Option<u32>,
    /// The one used last at the back.
    pub(crate) idle: Lines<Idle>,
    /// By [`Phase`].
    pub(crate) leased: [u32; 3],
    pub(crate) opening: u32,
    pub(crate) queue: Queue,
    /// Where it stands in the list of pools that somebody waits in.
    /// Invariant: `Some` exactly when `queue` is not empty.
    pub(crate) hungry: Option<u32>,
    pub(crate) failing: Option<Failing>,
    /// When a connection was last closed for its age.
    pub(crate) retired: Option<Instant>,
    pub(crate) paused: bool,
    /// Why it is gone: it ends when its last connection does.
    pub(crate) removed: Option<&'static str>,
}

/// Somebody waits for whom no connection is on its way, and one may be opened as far as the pool
/// itself is concerned.
#[derive(Debug, Clone, Copy)]
pub(crate) struct Want {
    /// The place of that client in the order of arrival.
    pub(crate) number: u64,
    pub(crate) since: Instant,
    pub(crate) worker: WorkerId,
    /// Whether the reserve may be used.
    pub(crate) reserve: bool,
}

impl Pool {
    /// Connections in somebody's hands.
    pub(crate) fn leased(&self) -> u32 {
        self.leased.iter().sum()
    }

    /// Connections in whatever place.
    pub(crate) fn total(&self) -> u32 {
        self.idle.len() + self.leased() + self.opening
    }

    /// The idle connection to be used next: one of the same worker, if there is any.
    pub(crate) fn next_idle(&self, worker: WorkerId) -> Option<Idle> {
        let idle = &self.idle;
        let key = if self.limits.round_robin {
            idle.front_of(worker).or_else(|| idle.front())
        } else {
            idle.back_of(worker).or_else(|| idle.back())
        };
        idle.get(key?).copied()
    }

    /// The one that has idled longest.
    pub(crate) fn longest_idle(&self) -> Option<Idle> {
        self.idle.get(self.idle.front()?).copied()
    }

    pub(crate) fn figures(&self) -> Figures {
        Figures {
            size: self.limits.size,
            leased: self.leased(),
            idle: self.idle.len(),
            opening: self.opening,
            waiting: self.queue.len(),
        }
    }

    pub(crate) fn counts(&self, now: Instant) -> Counts {
        let long = |idle: &Idle| !self.is_fresh(idle.since, now);
        // The front of the line has idled longest.
        let used = self.idle.iter().take_while(|(_, idle)| long(idle)).count() as u32;
        Counts {
            idle: self.idle.len() - used,
            used,
            active: self.leased[Phase::Active as usize],
            tested: self.leased[Phase::Tested as usize],
            being_canceled: self.leased[Phase::BeingCanceled as usize],
            opening: self.opening,
            waiting: self.queue.len(),
            oldest_wait: self.queue.oldest().map(|waiter| waiter.since),
        }
    }

    /// Whether a connection that idles since then may be used without a check.
    pub(crate) fn is_fresh(&self, since: Instant, now: Instant) -> bool {
        let delay = self.limits.check_delay;
        !delay.is_zero() && now.saturating_duration_since(since) <= delay
    }

    /// Why nobody should begin to wait.
    pub(crate) fn hopeless(&self, now: Instant) -> Option<Refusal> {
        let failing = self.failing.as_ref().filter(|_| self.total() == 0)?;
        let cause = failing.hopeless(self.limits.login_retry, now)?;
        Some(Refusal::LoginFailing {
            cause: Arc::clone(cause),
        })
    }

    /// Whether an attempt to connect may be made. While the host fails, one at a time tells
    /// whether it is back.
    pub(crate) fn may_try(&self, now: Instant) -> bool {
        let calm = |failing: &Failing| self.opening == 0 && failing.is_over(now);
        !self.paused
            && self.removed.is_none()
            && self.opening < self.limits.opening_max.max(1)
            && self.failing.as_ref().is_none_or(calm)
    }

    /// What is to be opened next for those who wait.
    pub(crate) fn want(&self, now: Instant) -> Option<Want> {
        let waiter = self.queue.nth(self.opening)?;
        if !self.may_try(now) {
            return None;
        }
        let reserve = self
            .limits
            .reserve_due(now.saturating_duration_since(waiter.since));
        self.limits.room(self.total(), reserve).then_some(Want {
            number: waiter.number,
            since: waiter.since,
            worker: waiter.worker,
            reserve,
        })
    }
}
