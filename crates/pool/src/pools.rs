//! All pools of the process, and what can be asked about them.

use std::cmp::Reverse;
use std::collections::{BinaryHeap, HashMap, VecDeque};
use std::sync::Arc;
use std::time::{Duration, Instant};

use slab::Slab;

use crate::action::Action;
use crate::backoff::Failing;
use crate::caps::Caps;
use crate::conn::Conn;
use crate::limits::Limits;
use crate::lines::Lines;
use crate::pool::{Counts, Phase, Pool, PoolKey};
use crate::token::{ConnId, PoolId, WorkerId};
use crate::waiting::Queue;

/// One pool, as seen from outside.
#[derive(Debug, Clone, Copy)]
pub struct PoolRef<'a> {
    /// Its number.
    pub id: PoolId,
    /// What makes it.
    pub key: &'a PoolKey,
    /// What it is allowed.
    pub limits: &'a Limits,
    /// Whether PAUSE is in force.
    pub paused: bool,
}

/// See the crate.
#[derive(Debug)]
pub struct Pools {
    pub(crate) pools: Slab<Pool>,
    pub(crate) by_key: HashMap<PoolKey, PoolId>,
    pub(crate) conns: Slab<Conn>,
    pub(crate) databases: Caps,
    pub(crate) users: Caps,
    pub(crate) actions: VecDeque<Action>,
    /// The pools that somebody waits in, by slot, in no order.
    pub(crate) hungry: Vec<u32>,
    /// For `settle`, which would have to allocate it each time. Invariant: empty between calls.
    pub(crate) candidates: BinaryHeap<Reverse<(u64, u32)>>,
    /// Databases for which DISABLE is in force.
    pub(crate) disabled: Vec<Arc<str>>,
    /// Databases for which PAUSE is in force, their pools of later included.
    pub(crate) paused: Vec<Arc<str>>,
    /// PAUSE of everything.
    pub(crate) all_paused: bool,
    pub(crate) shutting_down: bool,
    pub(crate) workers: u16,
    pub(crate) locality: Duration,
    pub(crate) next_generation: u32,
    pub(crate) next_ticket: u64,
    /// Where the next connection is opened that nobody waits for.
    pub(crate) next_worker: u16,
}

impl Pools {
    /// No pools yet. `locality`: how much later than the oldest waiter of another worker one may
    /// have come who is on the worker where a connection is given back, and still get it:
    /// moving a connection to another worker costs system calls.
    pub fn new(workers: u16, locality: Duration) -> Self {
        Self {
            pools: Slab::new(),
            by_key: HashMap::new(),
            conns: Slab::new(),
            databases: Caps::default(),
            users: Caps::default(),
            actions: VecDeque::new(),
            hungry: Vec::new(),
            candidates: BinaryHeap::new(),
            disabled: Vec::new(),
            paused: Vec::new(),
            all_paused: false,
            shutting_down: false,
            workers: workers.max(1),
            locality,
            next_generation: 0,
            next_ticket: 0,
            next_worker: 0,
        }
    }

    /// The pool of a key, made with these limits if there is none; or with those of the pool of the
    /// other kind that it shares its size with.
    pub fn pool(&mut self, key: &PoolKey, limits: &Limits) -> PoolId {
        if let Some(id) = self.find(key) {
            return id;
        }
        let other = PoolKey {
            kind: key.kind.other(),
            ..key.clone()
        };
        let sibling = self.by_key.get(&other).map(|id| id.slot);
        let limits = sibling.map_or(limits, |slot| &self.pools[slot as usize].limits);
        let limits = limits.clone();
        let entry = self.pools.vacant_entry();
        let id = PoolId {
            slot: entry.key() as u32,
            generation: self.next_generation,
        };
        self.next_generation = self.next_generation.wrapping_add(1);
        let pool = Pool {
            key: key.clone(),
            generation: id.generation,
            limits,
            database: self.databases.group(&key.database),
            user: self.users.group(&key.user),
            sibling,
            idle: Lines::new(self.workers),
            leased: [0; 3],
            opening: 0,
            queue: Queue::new(id, self.workers),
            hungry: None,
            failing: None,
            retired: None,
            paused: self.all_paused || self.paused.contains(&key.database),
            removed: None,
        };
        self.databases.get_mut(pool.database).pools.push(id.slot);
        self.users.get_mut(pool.user).pools.push(id.slot);
        entry.insert(pool);
        if let Some(sibling) = sibling {
            self.pools[sibling as usize].sibling = Some(id.slot);
        }
        self.by_key.insert(key.clone(), id);
        id
    }

    /// The pool of a key, if there is one.
    pub fn find(&self, key: &PoolKey) -> Option<PoolId> {
        self.by_key.get(key).copied()
    }

    /// What makes a pool.
    ///
    /// # Panics
    /// For a pool that has ended: who holds a lease or a permit of it need not fear that.
    pub fn key(&self, pool: PoolId) -> &PoolKey {
        let slot = self
            .slot(pool)
            .expect("a pool is there for as long as its connections");
        &self.pools[slot].key
    }

    /// All pools.
    pub fn iter(&self) -> impl Iterator<Item = PoolRef<'_>> {
        let there = self.pools.iter().filter(|(_, pool)| pool.removed.is_none());
        there.map(|(slot, pool)| PoolRef {
            id: PoolId {
                slot: slot as u32,
                generation: pool.generation,
            },
            key: &pool.key,
            limits: &pool.limits,
            paused: pool.paused,
        })
    }

    /// What is to be done next. To be asked after each call that changes anything, until `None`.
    pub fn next_action(&mut self) -> Option<Action> {
        self.actions.pop_front()
    }

    /// How many of what there is in a pool.
    pub fn counts(&self, pool: PoolId, now: Instant) -> Counts {
        self.slot(pool)
            .map(|slot| self.pools[slot].counts(now))
            .unwrap_or_default()
    }

    /// Server connections of a database, over all pools, those being opened included.
    pub fn database_connections(&self, database: &str) -> u32 {
        self.databases.find(database).map_or(0, |group| group.count)
    }

    /// Server connections of a user, over all pools, those being opened included.
    pub fn user_connections(&self, user: &str) -> u32 {
        self.users.find(user).map_or(0, |group| group.count)
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

    /// What a leased connection is doing. Of one that is not leased any more it says nothing.
    pub fn note(&mut self, id: ConnId, phase: Phase) {
        let conn = self.conns.get(id.slot as usize);
        if conn.is_some_and(|conn| conn.generation == id.generation) {
            self.change_phase(id, phase);
        }
    }

    /// Whether a connection is to be closed as soon as nobody uses it.
    pub fn is_stale(&self, id: ConnId) -> bool {
        let conn = self.conns.get(id.slot as usize);
        conn.is_some_and(|conn| conn.generation == id.generation && conn.stale)
    }

    /// How the last attempt to connect failed, if none has worked since.
    pub fn failure(&self, pool: PoolId) -> Option<Arc<str>> {
        let failing = self.pools[self.slot(pool)?].failing.as_ref();
        failing.map(Failing::cause)
    }

    /// Whether no connection of a database (of any, if none is named) is in use or being opened.
    pub fn quiescent(&self, database: Option<&str>) -> bool {
        self.pools.iter().all(|(_, pool)| {
            database.is_some_and(|name| *pool.key.database != *name)
                || (pool.leased() == 0 && pool.opening == 0)
        })
    }

    /// Whether no connection that RECONNECT or a reload marked is left.
    pub fn refreshed(&self, database: Option<&str>) -> bool {
        self.conns.iter().all(|(_, conn)| {
            let key = &self.pools[conn.slot()].key;
            !conn.stale || database.is_some_and(|name| *key.database != *name)
        })
    }

    /// Where a pool is, if it has not ended.
    pub(crate) fn slot(&self, id: PoolId) -> Option<usize> {
        let pool = self.pools.get(id.slot as usize)?;
        (pool.generation == id.generation).then_some(id.slot as usize)
    }

    /// Connections that count against the size of a pool: its own, and those of the other kind.
    pub(crate) fn total(&self, slot: usize) -> u32 {
        let pool = &self.pools[slot];
        let sibling = pool.sibling.map(|slot| self.pools[slot as usize].total());
        pool.total() + sibling.unwrap_or(0)
    }

    /// Keeps the list of the hungry, after a change of a pool's queue.
    pub(crate) fn note_hunger(&mut self, slot: usize) {
        let pool = &mut self.pools[slot];
        match (pool.hungry, pool.queue.is_empty()) {
            (None, false) => {
                pool.hungry = Some(self.hungry.len() as u32);
                self.hungry.push(slot as u32);
            }
            (Some(at), true) => {
                pool.hungry = None;
                self.hungry.swap_remove(at as usize);
                if let Some(moved) = self.hungry.get(at as usize) {
                    self.pools[*moved as usize].hungry = Some(at);
                }
            }
            _ => {}
        }
    }

    /// A removed pool ends with its last connection.
    pub(crate) fn end_pool_if_over(&mut self, slot: usize) {
        let pool = &self.pools[slot];
        if pool.removed.is_none() || pool.total() > 0 {
            return;
        }
        debug_assert!(pool.queue.is_empty(), "nobody waits in a removed pool");
        let Pool {
            key,
            database,
            user,
            ..
        } = self.pools.remove(slot);
        self.databases.part(database, &key.database, slot as u32);
        self.users.part(user, &key.user, slot as u32);
    }

    /// Workers in turn.
    pub(crate) fn some_worker(&mut self) -> WorkerId {
        self.next_worker = (self.next_worker + 1) % self.workers;
        WorkerId(self.next_worker)
    }
}
