//! Who gets a free slot: those who wait longest, in whatever pool.

use std::cmp::Reverse;
use std::time::Instant;

use crate::pool::{Idle, Pool, Want};
use crate::pools::Pools;
use crate::token::ConnId;

/// What keeps a pool from having one more connection.
#[derive(Debug, Clone, Copy)]
pub(crate) struct Obstacles {
    /// The size: so many of the connections of the other kind, which share it, are too many.
    size: u32,
    /// The cap of the database.
    database: bool,
    /// The cap of the user.
    user: bool,
}

impl Obstacles {
    fn are_none(self) -> bool {
        self.size == 0 && !self.database && !self.user
    }

    /// Whether there are some, and all would be gone if the pool at `victim` had a connection
    /// less.
    pub(crate) fn are_gone_with(self, pools: &Pools, hungry: usize, victim: usize) -> bool {
        let (hungry, other) = (&pools.pools[hungry], &pools.pools[victim]);
        !self.are_none()
            && (self.size == 0 || self.size == 1 && hungry.sibling == Some(victim as u32))
            && (!self.database || hungry.database == other.database)
            && (!self.user || hungry.user == other.user)
    }

    fn reason(self) -> &'static str {
        if self.database {
            "evicted for max_db_connections"
        } else {
            "evicted for max_user_connections"
        }
    }
}

impl Pools {
    /// Opens what those who wait need, in the order in which they came, as far as the limits
    /// allow. To be called whenever that may have become more.
    pub(crate) fn settle(&mut self, now: Instant) {
        if self.hungry.is_empty() || self.shutting_down {
            return;
        }
        let mut candidates = std::mem::take(&mut self.candidates);
        let next = |pools: &Self, slot: u32| {
            let want = pools.pools[slot as usize].want(now)?;
            Some(Reverse((want.number, slot)))
        };
        candidates.extend(self.hungry.iter().filter_map(|slot| next(self, *slot)));
        while let Some(Reverse((_, slot))) = candidates.pop() {
            if self.grow_by_one(slot as usize, now) {
                candidates.extend(next(self, slot));
            }
        }
        self.candidates = candidates;
    }

    /// Opens what those who wait in one pool need. Enough when only its own queue has changed:
    /// who waits elsewhere had its chance when what hinders it last changed.
    pub(crate) fn grow(&mut self, slot: usize, now: Instant) {
        while !self.shutting_down && self.grow_by_one(slot, now) {}
    }

    fn grow_by_one(&mut self, slot: usize, now: Instant) -> bool {
        let Some(want) = self.pools[slot].want(now) else {
            return false;
        };
        let grows = self.make_room(slot, &want);
        if grows {
            self.open(slot, want.worker, now);
        }
        grows
    }

    /// What, beyond the pool itself, keeps it from opening what it wants.
    pub(crate) fn obstacles(&self, slot: usize, want: &Want) -> Obstacles {
        let pool = &self.pools[slot];
        Obstacles {
            size: pool.limits.beyond(self.total(slot) + 1, want.reserve),
            database: self.databases.get(pool.database).is_full(),
            user: self.users.get(pool.user).is_full(),
        }
    }

    /// Whether there is room for one connection more in a pool, after idle ones of other pools
    /// have been closed if need be. None is closed in vain.
    fn make_room(&mut self, slot: usize, want: &Want) -> bool {
        let obstacles = self.obstacles(slot, want);
        let makes = self.can_make_room(slot, want);
        if !makes || obstacles.are_none() {
            return makes;
        }
        if obstacles.size > 0 {
            self.evict_siblings(slot, obstacles.size);
        } else if let Some(victims) = self.victims(slot, obstacles) {
            for victim in victims.into_iter().flatten() {
                self.put_away(victim, obstacles.reason());
            }
        }
        debug_assert!(self.obstacles(slot, want).are_none());
        true
    }

    /// Whether [`Self::make_room`] would.
    pub(crate) fn can_make_room(&self, slot: usize, want: &Want) -> bool {
        let obstacles = self.obstacles(slot, want);
        if obstacles.size > 0 {
            let sibling = self.pools[slot].sibling;
            let idle = sibling.map_or(0, |sibling| self.pools[sibling as usize].idle.len());
            obstacles.size <= idle
        } else {
            obstacles.are_none() || self.victims(slot, obstacles).is_some()
        }
    }

    /// They are of the same database and user: what else is full, they fill too.
    fn evict_siblings(&mut self, slot: usize, count: u32) {
        for _ in 0..count {
            let sibling = self.pools[slot].sibling;
            let idle = sibling.and_then(|sibling| self.pools[sibling as usize].longest_idle());
            if let Some(idle) = idle {
                self.put_away(idle.conn, "evicted for replication");
            }
        }
    }

    /// Idle connections that would make room under the caps: one that is in the way in every
    /// respect, or one for each.
    fn victims(&self, slot: usize, obstacles: Obstacles) -> Option<[Option<ConnId>; 2]> {
        let pool = &self.pools[slot];
        let (database, user) = (self.databases.get(pool.database), self.users.get(pool.user));
        if obstacles.database && database.idle == 0 || obstacles.user && user.idle == 0 {
            return None;
        }
        let of_database = || self.longest_idle(&database.pools, |_| true);
        let of_user = || self.longest_idle(&user.pools, |_| true);
        match (obstacles.database, obstacles.user) {
            (true, true) => {
                let both = |other: &Pool| other.user == pool.user;
                match self.longest_idle(&database.pools, both) {
                    Some(both) => Some([Some(both), None]),
                    None => Some([Some(of_database()?), Some(of_user()?)]),
                }
            }
            (true, false) => Some([Some(of_database()?), None]),
            (false, _) => Some([Some(of_user()?), None]),
        }
    }

    /// Of the idle connections of some pools, the one that has idled longest.
    pub(crate) fn longest_idle(
        &self,
        slots: &[u32],
        which: impl Fn(&Pool) -> bool,
    ) -> Option<ConnId> {
        let pools = slots.iter().map(|slot| &self.pools[*slot as usize]);
        let idle = pools
            .filter(|pool| which(pool))
            .filter_map(Pool::longest_idle);
        idle.min_by_key(|idle: &Idle| idle.since)
            .map(|idle| idle.conn)
    }
}
