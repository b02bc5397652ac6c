//! What operators and configurations do to pools.

use std::sync::Arc;
use std::time::Instant;

use crate::action::Refusal;
use crate::limits::Limits;
use crate::pools::{Place, Pools};
use crate::token::{ConnId, PoolId};

impl Pools {
    /// New limits for a pool; what is too much goes as soon as nobody uses it.
    pub fn set_limits(&mut self, id: PoolId, limits: Limits, now: Instant) {
        let Some(pool) = self.pools.get_mut(&id) else {
            return;
        };
        pool.limits = limits;
        while let Some(pool) = self.pools.get_mut(&id)
            && !pool.limits.room(pool.total().saturating_sub(1), true)
            && let Some(idle) = pool.idle.pop_front()
        {
            self.put_away(idle.conn, "pool size reduced", now);
        }
        self.grow(id, now);
    }

    /// Server connections of a database at most, over all its pools; 0: no limit. What is too
    /// much goes as soon as nobody uses it.
    pub fn set_database_cap(&mut self, database: &str, max: u32, now: Instant) {
        self.databases.set(database, max);
        self.grow_all(now);
    }

    /// The same for a user.
    pub fn set_user_cap(&mut self, user: &str, max: u32, now: Instant) {
        self.users.set(user, max);
        self.grow_all(now);
    }

    fn of(&self, database: Option<&str>) -> Vec<PoolId> {
        let named = |id: &PoolId| database.is_none_or(|name| *self.pools[id].key.database == *name);
        self.pools.keys().copied().filter(named).collect()
    }

    /// PAUSE: nobody gets a connection of the database (of any, if none is named); idle ones are
    /// closed, the others when they are given back.
    pub fn pause(&mut self, database: Option<&str>, now: Instant) {
        match database {
            Some(name) if !self.paused.iter().any(|other| **other == *name) => {
                self.paused.push(name.into())
            }
            Some(_) => {}
            None => self.all_paused = true,
        }
        for id in self.of(database) {
            if let Some(pool) = self.pools.get_mut(&id) {
                pool.paused = true;
            }
            self.close_idle(id, "database paused", now);
        }
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
        for id in self.of(database) {
            if let Some(pool) = self.pools.get_mut(&id) {
                pool.paused = self.all_paused;
            }
            self.grow(id, now);
        }
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

    /// Server connections of a user, over all pools.
    pub fn user_connections(&self, user: &str) -> u32 {
        self.pools
            .values()
            .filter(|pool| *pool.key.user == *user)
            .map(|pool| pool.total())
            .sum()
    }

    /// DISABLE: new clients of the database are to be refused.
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
    /// when they are given back. What was learnt about failures is forgotten.
    pub fn reconnect(&mut self, database: Option<&str>, now: Instant) {
        for id in self.of(database) {
            for (_, conn) in self.conns.iter_mut().filter(|(_, conn)| conn.pool == id) {
                conn.stale = true;
            }
            if let Some(pool) = self.pools.get_mut(&id) {
                pool.failing = None;
            }
            self.close_idle(id, "database configuration changed", now);
            self.grow(id, now);
        }
    }

    /// A database is gone from the configuration: who waits is refused, connections go as soon as
    /// nobody uses them, and the pools with the last of them.
    pub fn remove_database(&mut self, database: &str, now: Instant) {
        for id in self.of(Some(database)) {
            if let Some(pool) = self.pools.get_mut(&id) {
                pool.removed = true;
                self.by_key.remove(&pool.key);
            }
            self.fail_all(id, &Refusal::Removed);
            self.close_idle(id, "database removed", now);
            self.end_if_over(id);
        }
        self.paused.retain(|other| **other != *database);
        self.disabled.retain(|other| **other != *database);
    }

    /// The process goes down: who waits is refused, and whoever asks from now on.
    pub fn shut_down(&mut self, now: Instant) {
        self.shutting_down = true;
        for id in self.of(None) {
            self.fail_all(id, &Refusal::ShuttingDown);
            self.close_idle(id, "server shutting down", now);
        }
    }

    /// Whether no connection of a database (of any, if none is named) is in use or being opened.
    pub fn quiescent(&self, database: Option<&str>) -> bool {
        let mut pools = self.pools.values();
        pools.all(|pool| {
            database.is_some_and(|name| *pool.key.database != *name)
                || (pool.leased == 0 && pool.opening == 0)
        })
    }

    /// Whether no connection that RECONNECT or a reload marked is left.
    pub fn refreshed(&self, database: Option<&str>) -> bool {
        self.conns.iter().all(|(_, conn)| {
            let key = &self.pools[&conn.pool].key;
            !conn.stale || database.is_some_and(|name| *key.database != *name)
        })
    }

    /// Databases that have pools.
    pub fn databases(&self) -> Vec<Arc<str>> {
        let mut names: Vec<_> = self
            .iter()
            .map(|pool| Arc::clone(&pool.key.database))
            .collect();
        names.sort_unstable();
        names.dedup();
        names
    }

    /// Whether a connection is to be closed as soon as nobody uses it.
    pub fn is_stale(&self, id: ConnId) -> bool {
        self.conns
            .get(id.slot as usize)
            .is_some_and(|conn| conn.stale)
    }

    pub(crate) fn close_idle(&mut self, id: PoolId, reason: &'static str, now: Instant) {
        while let Some(pool) = self.pools.get_mut(&id)
            && let Some(idle) = pool.idle.pop_front()
        {
            debug_assert_eq!(self.conns[idle.conn.slot as usize].place, Place::Idle);
            self.put_away(idle.conn, reason, now);
        }
    }
}
