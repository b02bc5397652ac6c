//! What happens because time has passed.

use std::time::Instant;

use crate::conn::Place;
use crate::pool::{Kind, PoolKey};
use crate::pools::Pools;
use crate::token::ConnId;

impl Pools {
    /// To be called a few times a second: every timeout is exact to this. `in_use`: whether a pool
    /// has clients, so that its least is to be kept; the idle ones of others may all go.
    pub fn tick(&mut self, now: Instant, in_use: impl Fn(&PoolKey) -> bool) {
        let slots: Vec<usize> = self.pools.iter().map(|(slot, _)| slot).collect();
        for slot in &slots {
            self.refuse_late(*slot, now);
            let least = self.least(*slot, &in_use);
            self.close_old(*slot, least, now);
        }
        // After a pause for failures, when the reserve is due, and in the place of old ones.
        self.settle(now);
        for slot in &slots {
            if self.pools.contains(*slot) {
                let least = self.least(*slot, &in_use);
                self.fill(*slot, least, now);
            }
        }
    }

    /// How many connections a pool is to keep.
    fn least(&self, slot: usize, in_use: impl Fn(&PoolKey) -> bool) -> u32 {
        let pool = &self.pools[slot];
        if pool.limits.min_size > 0 && in_use(&pool.key) {
            pool.limits.min_size
        } else {
            0
        }
    }

    fn close_old(&mut self, slot: usize, least: u32, now: Instant) {
        let pool = &self.pools[slot];
        if pool.idle.is_empty() {
            return;
        }
        let timeout = pool.limits.idle_timeout;
        // Not below the least that is to be kept: those would be opened again at once.
        let mut spare = pool.total().saturating_sub(least);
        let idle: Vec<_> = pool.idle.iter().map(|(_, idle)| *idle).collect();
        for idle in idle {
            let idled = now.saturating_duration_since(idle.since);
            if self.retire(idle.conn, now) {
                self.close_idle(idle.conn, "server lifetime over");
            } else if spare > 0 && !timeout.is_zero() && idled >= timeout {
                self.close_idle(idle.conn, "server idle timeout");
            } else {
                continue;
            }
            spare = spare.saturating_sub(1);
        }
    }

    fn close_idle(&mut self, id: ConnId, reason: &'static str) {
        debug_assert!(matches!(self.conn(id).place, Place::Idle(_)));
        self.put_away(id, reason);
    }

    /// Opens what is missing to the least that is to be kept. Nobody is evicted for it.
    fn fill(&mut self, slot: usize, least: u32, now: Instant) {
        loop {
            let pool = &self.pools[slot];
            let missing = pool.key.kind == Kind::Normal
                && pool.total() < least
                && pool.limits.room(self.total(slot), false)
                && pool.may_try(now)
                && !self.shutting_down
                && !self.databases.get(pool.database).is_full()
                && !self.users.get(pool.user).is_full();
            if !missing {
                return;
            }
            let worker = self.some_worker();
            self.open(slot, worker, now);
        }
    }
}
