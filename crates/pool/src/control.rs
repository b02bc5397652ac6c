//! What operators and configurations do to pools.
//!
//! Each of these changes all that it is about first and settles who may have what at the end, so
//! that nothing is opened for a pool whose turn to be changed comes next.

use std::time::Instant;

use crate::action::Refusal;
use crate::conn::Place;
use crate::limits::Limits;
use crate::pools::Pools;
use crate::token::{ConnId, PoolId};

/// Why a connection that RECONNECT or a changed address has marked is closed, in PgBouncer's words.
pub(crate) const OUTDATED: &str = "database configuration changed";

impl Pools {
    /// New limits for a pool; what is too much goes as soon as nobody uses it. The normal and the
    /// dedicated pool of a database, user and host share one size, so they share all limits:
    /// those of the other are changed too.
    pub fn set_limits(&mut self, id: PoolId, limits: Limits, now: Instant) {
        let Some(slot) = self.slot(id) else {
            return;
        };
        if let Some(sibling) = self.pools[slot].sibling {
            let sibling = sibling as usize;
            self.pools[sibling].limits = limits.clone();
            self.pools[slot].limits = limits;
            self.shed(sibling);
        } else {
            self.pools[slot].limits = limits;
        }
        self.shed(slot);
        self.settle(now);
    }

    /// Closes idle connections of a pool that are too many.
    fn shed(&mut self, slot: usize) {
        while let Some(reason) = self.excess(slot)
            && let Some(idle) = self.pools[slot].longest_idle()
        {
            self.put_away(idle.conn, reason);
        }
    }

    /// Server connections of a database at most, over all its pools; 0: no limit. What is too
    /// much goes as soon as nobody uses it.
    pub fn set_database_cap(&mut self, database: &str, max: u32, now: Instant) {
        let group = self.databases.group(database);
        self.databases.get_mut(group).max = max;
        while self.databases.get(group).is_over()
            && let Some(idle) = self.longest_idle(&self.databases.get(group).pools, |_| true)
        {
            self.put_away(idle, "max_db_connections reduced");
        }
        self.settle(now);
    }

    /// The same for a user.
    pub fn set_user_cap(&mut self, user: &str, max: u32, now: Instant) {
        let group = self.users.group(user);
        self.users.get_mut(group).max = max;
        while self.users.get(group).is_over()
            && let Some(idle) = self.longest_idle(&self.users.get(group).pools, |_| true)
        {
            self.put_away(idle, "max_user_connections reduced");
        }
        self.settle(now);
    }

    /// PAUSE: nobody gets a connection of the database (of any, if none is named); idle ones are
    /// closed, the others when they are given back.
    pub fn pause(&mut self, database: Option<&str>, now: Instant) {
        match database {
            Some(name) if !self.paused.iter().any(|other| **other == *name) => {
                self.paused.push(name.into());
            }
            Some(_) => {}
            None => self.all_paused = true,
        }
        for slot in self.of(database) {
            self.pools[slot].paused = true;
            self.close_idle_of(slot, "database paused");
        }
        self.settle(now);
    }

    /// Closes idle connections to a host, in whichever pool.
    pub fn close_idle_at(&mut self, host: &str, now: Instant) {
        let slots: Vec<usize> = self.of(None);
        for slot in slots {
            if *self.pools[slot].key.host == *host {
                self.close_idle_of(slot, "host paused");
            }
        }
        self.settle(now);
    }

    /// RESUME.
    pub fn resume(&mut self, database: Option<&str>, now: Instant) {
        match database {
            Some(name) => self.paused.retain(|other| **other != *name),
            None => {
                self.paused.clear();
                self.all_paused = false;
            }
        }
        for slot in self.of(database) {
            self.pools[slot].paused = self.all_paused;
        }
        self.settle(now);
    }

    /// Whether PAUSE is in force: of this database, or of everything.
    pub fn is_paused(&self, database: Option<&str>) -> bool {
        self.all_paused
            || database.is_some_and(|name| self.paused.iter().any(|other| **other == *name))
    }

    /// Whether PAUSE is in force of anything.
    pub fn is_any_paused(&self) -> bool {
        self.all_paused || !self.paused.is_empty()
    }

    /// DISABLE: new clients of the database are to be refused. Those that are there go on.
    pub fn disable(&mut self, database: &str) {
        if !self.is_disabled(database) {
            self.disabled.push(database.into());
        }
    }

    /// ENABLE.
    pub fn enable(&mut self, database: &str) {
        self.disabled.retain(|other| **other != *database);
    }

    /// Whether DISABLE is in force.
    pub fn is_disabled(&self, database: &str) -> bool {
        self.disabled.iter().any(|other| **other == *database)
    }

    /// RECONNECT: connections of the database (of all, if none is named) are closed, those in use
    /// when they are given back, those being opened as soon as they are there. What was learnt
    /// about failures is forgotten.
    pub fn reconnect(&mut self, database: Option<&str>, now: Instant) {
        for slot in self.of(database) {
            self.close_idle_of(slot, OUTDATED);
            let conns = self.conns.iter_mut();
            for (_, conn) in conns.filter(|(_, conn)| conn.slot() == slot) {
                conn.stale = true;
            }
            if let Some(pool) = self.pools.get_mut(slot) {
                pool.failing = None;
            }
        }
        self.settle(now);
    }

    /// Connections that lead to where they should not any more: the idle among them are closed, others
    /// when they are given back. What is not there any more is passed over.
    pub fn outdate(&mut self, ids: &[ConnId], now: Instant) {
        for id in ids {
            let conn = self.conns.get_mut(id.slot as usize);
            let Some(conn) = conn.filter(|conn| conn.generation == id.generation) else {
                continue;
            };
            conn.stale = true;
            if matches!(conn.place, Place::Idle(_)) {
                self.put_away(*id, OUTDATED);
            }
        }
        self.settle(now);
    }

    /// A database is gone from the configuration: who waits is refused, connections go as soon as
    /// nobody uses them, and the pools with the last of them. Its cap is forgotten.
    pub fn remove_database(&mut self, database: &str, now: Instant) {
        for slot in self.of(Some(database)) {
            self.remove(slot, "database removed");
        }
        self.paused.retain(|other| **other != *database);
        self.disabled.retain(|other| **other != *database);
        self.databases.end(database);
        self.settle(now);
    }

    /// The same for one pool: whoever waits or asks from now on finds [`Refusal::Removed`], and
    /// under its key there may be a new one. Its connections are closed for `reason`.
    pub fn remove_pool(&mut self, id: PoolId, reason: &'static str, now: Instant) {
        if let Some(slot) = self.slot(id) {
            self.remove(slot, reason);
            self.settle(now);
        }
    }

    /// The process goes down: who waits is refused, and whoever asks from now on.
    pub fn shut_down(&mut self, _now: Instant) {
        self.shutting_down = true;
        for slot in self.of(None) {
            self.fail_all(slot, &Refusal::ShuttingDown);
            self.close_idle_of(slot, "server shutting down");
        }
    }

    fn of(&self, database: Option<&str>) -> Vec<usize> {
        let pools = self.pools.iter();
        let named = |key: &str| database.is_none_or(|name| key == name);
        pools
            .filter(|(_, pool)| named(&pool.key.database))
            .map(|(slot, _)| slot)
            .collect()
    }

    fn remove(&mut self, slot: usize, reason: &'static str) {
        let pool = &mut self.pools[slot];
        if pool.removed.replace(reason).is_some() {
            return;
        }
        self.by_key.remove(&pool.key);
        if let Some(sibling) = pool.sibling.take() {
            self.pools[sibling as usize].sibling = None;
        }
        self.fail_all(slot, &Refusal::Removed);
        if self.pools[slot].total() == 0 {
            self.end_pool_if_over(slot);
        } else {
            self.close_idle_of(slot, reason);
        }
    }

    /// Closes the idle connections of a pool, with which it ends if it has been removed.
    fn close_idle_of(&mut self, slot: usize, reason: &'static str) {
        while let Some(pool) = self.pools.get(slot)
            && let Some(idle) = pool.longest_idle()
        {
            self.put_away(idle.conn, reason);
        }
    }
}
