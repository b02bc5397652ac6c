//! Opening connections for those who wait, as far as the limits allow.

use std::time::Instant;

use crate::action::Action;
use crate::pool::Pool;
use crate::pools::{Conn, Place, Pools};
use crate::token::{ConnId, Permit, PoolId, WorkerId};

impl Pools {
    /// Opens what those who wait need, wherever they wait.
    pub(crate) fn grow_all(&mut self, now: Instant) {
        if self.hungry == 0 {
            return;
        }
        // The one that has waited longest has the first chance.
        let mut hungry: Vec<_> = self
            .pools
            .iter()
            .filter_map(|(id, pool)| pool.queue.oldest().map(|oldest| (oldest.number, *id)))
            .collect();
        hungry.sort_unstable();
        for (_, id) in hungry {
            self.grow(id, now);
        }
    }

    /// Opens what those who wait in a pool need, as far as the limits allow.
    pub(crate) fn grow(&mut self, id: PoolId, now: Instant) {
        loop {
            let Some(pool) = self.pools.get(&id) else {
                return;
            };
            let wanted = pool.queue.len().min(pool.limits.opening_max);
            if pool.opening >= wanted || !pool.may_try(now) || self.shutting_down {
                return;
            }
            // While the host fails, one attempt at a time tells whether it is back.
            if pool.failing.is_some() && pool.opening > 0 {
                return;
            }
            if !pool.limits.room(pool.total(), pool.reserve_due(now)) {
                return;
            }
            let worker = pool
                .queue
                .oldest()
                .map_or(WorkerId(0), |oldest| oldest.worker);
            if !self.make_room(id, now) {
                return;
            }
            self.open(id, worker, now);
        }
    }

    pub(crate) fn open(&mut self, id: PoolId, worker: WorkerId, now: Instant) {
        let generation = self.next_generation;
        self.next_generation = self.next_generation.wrapping_add(1);
        let conn = Conn {
            generation,
            pool: id,
            place: Place::Opening,
            worker,
            born: now,
            stale: false,
        };
        let slot = self.conns.insert(conn) as u32;
        let pool = self.pools.get_mut(&id).expect("the caller has looked");
        pool.opening += 1;
        self.databases.add(pool.database);
        self.users.add(pool.user);
        let conn = ConnId { slot, generation };
        self.actions.push_back(Action::Open(Permit {
            conn,
            pool: id,
            worker,
        }));
    }

    /// Whether the caps let a pool have one more connection, if need be in the place of an idle
    /// one of another pool.
    pub(crate) fn make_room(&mut self, id: PoolId, now: Instant) -> bool {
        for _ in 0..2 {
            let pool = &self.pools[&id];
            let (database, user) = (pool.database, pool.user);
            let by_database = self.databases.is_full(database);
            let by_user = self.users.is_full(user);
            if !by_database && !by_user {
                return true;
            }
            // Of those that would help, the one that has idled longest.
            let helps = |other: &Pool| {
                (!by_database || other.database == database) && (!by_user || other.user == user)
            };
            let others = self
                .pools
                .iter()
                .filter(|(other, pool)| **other != id && helps(pool));
            let victim = others
                .filter_map(|(other, pool)| pool.idle.front().map(|idle| (idle.since, *other)))
                .min_by_key(|(since, _)| *since);
            let Some((_, other)) = victim else {
                return false;
            };
            let idle = self
                .pools
                .get_mut(&other)
                .and_then(|pool| pool.idle.pop_front());
            if let Some(idle) = idle {
                let reason = if by_database {
                    "evicted for max_db_connections"
                } else {
                    "evicted for max_user_connections"
                };
                // Its slot is this pool's now: nobody else is to be asked.
                let hungry = std::mem::take(&mut self.hungry);
                self.put_away(idle.conn, reason, now);
                self.hungry = hungry;
            }
        }
        let pool = &self.pools[&id];
        !self.databases.is_full(pool.database) && !self.users.is_full(pool.user)
    }

    /// Whether an idle connection of this pool would stand in the way of somebody who waits in
    /// another pool under the same cap.
    pub(crate) fn blocks_somebody(&self, id: PoolId) -> bool {
        let pool = &self.pools[&id];
        let full_database = self.databases.is_full(pool.database);
        let full_user = self.users.is_full(pool.user);
        (full_database || full_user)
            && self.pools.iter().any(|(other, waiting)| {
                *other != id
                    && !waiting.queue.is_empty()
                    && !waiting.paused
                    && waiting.opening < waiting.queue.len()
                    && waiting.limits.room(waiting.total(), true)
                    && ((full_database && waiting.database == pool.database)
                        || (full_user && waiting.user == pool.user))
            })
    }
}
