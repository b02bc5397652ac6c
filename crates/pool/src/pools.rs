//! All pools of the process, and what can happen to their connections.

use std::collections::{BTreeMap, HashMap, VecDeque};
use std::sync::Arc;
use std::time::{Duration, Instant};

use slab::Slab;

use crate::action::{Action, Fatal, Refusal, Release, Take};
use crate::caps::Caps;
use crate::limits::Limits;
use crate::pool::{Counts, Failing, Idle, Kind, Phase, Pool, PoolKey};
use crate::queue::{Queue, Waiter};
use crate::token::{ClientId, ConnId, Lease, Permit, PoolId, Ticket, WorkerId};

/// Where a connection is (P2: in exactly one place).
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(crate) enum Place {
    Opening,
    /// Also in its pool's `idle`.
    Idle,
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
    pub(crate) born: Instant,
    /// To be closed as soon as nobody uses it.
    pub(crate) stale: bool,
}

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
    pub(crate) pools: BTreeMap<PoolId, Pool>,
    pub(crate) by_key: HashMap<PoolKey, PoolId>,
    pub(crate) conns: Slab<Conn>,
    pub(crate) databases: Caps,
    pub(crate) users: Caps,
    pub(crate) actions: VecDeque<Action>,
    /// Databases for which DISABLE is in force.
    pub(crate) disabled: Vec<Arc<str>>,
    /// Databases for which PAUSE is in force, their pools of later included.
    pub(crate) paused: Vec<Arc<str>>,
    /// PAUSE of everything.
    pub(crate) all_paused: bool,
    pub(crate) shutting_down: bool,
    workers: u16,
    locality: Duration,
    next_pool: u32,
    pub(crate) next_generation: u32,
    next_ticket: u64,
    /// How many pools somebody waits in.
    pub(crate) hungry: u32,
}

impl Pools {
    /// No pools yet. `locality`: how much later than the oldest waiter of another worker one may
    /// have come who is on the worker where a connection is given back, and still get it:
    /// moving a connection to another worker costs system calls.
    pub fn new(workers: u16, locality: Duration) -> Self {
        Self {
            pools: BTreeMap::new(),
            by_key: HashMap::new(),
            conns: Slab::new(),
            databases: Caps::default(),
            users: Caps::default(),
            actions: VecDeque::new(),
            disabled: Vec::new(),
            paused: Vec::new(),
            all_paused: false,
            shutting_down: false,
            workers: workers.max(1),
            locality,
            next_pool: 0,
            next_generation: 0,
            next_ticket: 0,
            hungry: 0,
        }
    }

    /// The pool of a key, made with these limits if there is none.
    pub fn pool(&mut self, key: &PoolKey, limits: &Limits) -> PoolId {
        if let Some(id) = self.find(key) {
            return id;
        }
        let id = PoolId(self.next_pool);
        self.next_pool += 1;
        let pool = Pool {
            key: key.clone(),
            limits: limits.clone(),
            database: self.databases.group(&key.database),
            user: self.users.group(&key.user),
            idle: VecDeque::new(),
            leased: 0,
            opening: 0,
            queue: Queue::new(self.workers),
            failing: None,
            paused: self.all_paused || self.paused.contains(&key.database),
            removed: false,
        };
        self.pools.insert(id, pool);
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
        &self.pools[&pool].key
    }

    /// All pools.
    pub fn iter(&self) -> impl Iterator<Item = PoolRef<'_>> {
        self.pools
            .iter()
            .filter(|(_, pool)| !pool.removed)
            .map(|(id, pool)| PoolRef {
                id: *id,
                key: &pool.key,
                limits: &pool.limits,
                paused: pool.paused,
            })
    }

    /// What is to be done next. To be asked after each call that changes anything, until `None`.
    pub fn next_action(&mut self) -> Option<Action> {
        self.actions.pop_front()
    }

    /// Asks for a connection, for a client of a worker: one that is idle if nobody waits, else a
    /// place at the end of the queue. One operation, so that nobody is overtaken.
    pub fn take(&mut self, id: PoolId, worker: WorkerId, client: ClientId, now: Instant) -> Take {
        if self.shutting_down {
            return Take::Refused(Refusal::ShuttingDown);
        }
        let Some(pool) = self.pools.get_mut(&id).filter(|pool| !pool.removed) else {
            return Take::Refused(Refusal::Removed);
        };
        if pool.queue.is_empty()
            && !pool.paused
            && let Some(idle) = next_idle(pool, &self.conns, worker)
        {
            pool.leased += 1;
            let conn = &mut self.conns[idle.conn.slot as usize];
            conn.place = Place::Leased(Phase::Active);
            let from = std::mem::replace(&mut conn.worker, worker);
            let idled = now.saturating_duration_since(idle.since);
            let check = idled > pool.limits.check_delay || pool.limits.check_delay.is_zero();
            return Take::Lease(Lease {
                conn: idle.conn,
                pool: id,
                worker: from,
                check,
            });
        }
        if let Some(failing) = &pool.failing {
            // Fail fast once it is clear that this is more than a restart.
            let long = now.saturating_duration_since(failing.since) >= pool.limits.login_retry;
            if long && pool.total() == 0 && now < failing.until {
                return Take::Refused(Refusal::LoginFailing {
                    cause: Arc::clone(&failing.cause),
                });
            }
        }
        if pool.queue.is_empty() {
            self.hungry += 1;
        }
        let number = self.next_ticket;
        self.next_ticket += 1;
        pool.queue.push(Waiter {
            client,
            worker,
            number,
            since: now,
        });
        self.grow(id, now);
        Take::Wait(Ticket {
            pool: id,
            worker,
            number,
        })
    }

    /// A client no longer waits. `false`: it was not in the queue any more; what it was given,
    /// or told, is on its way.
    pub fn leave(&mut self, ticket: Ticket, now: Instant) -> bool {
        let Some(pool) = self.pools.get_mut(&ticket.pool) else {
            return false;
        };
        let left = pool.queue.remove(ticket.worker, ticket.number);
        if left && pool.queue.is_empty() {
            self.hungry -= 1;
            self.end_if_over(ticket.pool);
        }
        let _ = now;
        left
    }

    /// A lease ends. A clean connection goes to who waits, or lies down.
    pub fn release(&mut self, lease: Lease, how: Release, now: Instant) {
        let Lease {
            conn: id,
            pool: pool_id,
            ..
        } = lease;
        let pool = self
            .pools
            .get_mut(&pool_id)
            .expect("a pool outlives its connections");
        pool.leased -= 1;
        match how {
            Release::Close(_) => self.freed(id, now),
            Release::Clean if pool.key.kind == Kind::Dedicated => self.freed(id, now),
            Release::Clean => self.place(id, now),
        }
    }

    /// A permit has been used: the connection is there.
    pub fn opened(&mut self, permit: Permit, now: Instant) {
        let Permit {
            conn: id,
            pool: pool_id,
            ..
        } = permit;
        let pool = self
            .pools
            .get_mut(&pool_id)
            .expect("a pool outlives its connections");
        pool.opening -= 1;
        pool.failing = None;
        self.conns[id.slot as usize].born = now;
        self.place(id, now);
        // Those whose turn was put off by failures.
        self.grow(pool_id, now);
    }

    /// A permit could not be used.
    pub fn failed(&mut self, permit: Permit, cause: Arc<str>, fatal: Fatal, now: Instant) {
        let Permit {
            conn: id,
            pool: pool_id,
            ..
        } = permit;
        let pool = self
            .pools
            .get_mut(&pool_id)
            .expect("a pool outlives its connections");
        pool.opening -= 1;
        let last = pool.failing.take();
        pool.failing = Some(Failing::again(last, Arc::clone(&cause), &pool.limits, now));
        if fatal == Fatal::FailWaiters && pool.total() == 0 {
            self.fail_all(pool_id, &Refusal::LoginRefused { cause });
        }
        self.freed(id, now);
    }

    /// An idle connection has died. `false`: somebody has it meanwhile, and will see.
    pub fn lost(&mut self, id: ConnId, now: Instant) -> bool {
        let Some(conn) = self.conns.get(id.slot as usize) else {
            return false;
        };
        if conn.generation != id.generation || conn.place != Place::Idle {
            return false;
        }
        let pool = self
            .pools
            .get_mut(&conn.pool)
            .expect("a pool outlives its connections");
        pool.idle.retain(|idle| idle.conn != id);
        self.freed(id, now);
        true
    }

    /// What a leased connection is doing.
    pub fn note(&mut self, id: ConnId, phase: Phase) {
        if let Some(conn) = self.conns.get_mut(id.slot as usize)
            && conn.generation == id.generation
            && let Place::Leased(now) = &mut conn.place
        {
            *now = phase;
        }
    }

    /// How many of what there is in a pool.
    pub fn counts(&self, id: PoolId, now: Instant) -> Counts {
        let mut counts = Counts::default();
        let Some(pool) = self.pools.get(&id) else {
            return counts;
        };
        for idle in &pool.idle {
            let long = now.saturating_duration_since(idle.since) > pool.limits.check_delay;
            *(if long {
                &mut counts.used
            } else {
                &mut counts.idle
            }) += 1;
        }
        for (_, conn) in self.conns.iter().filter(|(_, conn)| conn.pool == id) {
            match conn.place {
                Place::Leased(Phase::Active) => counts.active += 1,
                Place::Leased(Phase::Tested) => counts.tested += 1,
                Place::Leased(Phase::BeingCanceled) => counts.being_canceled += 1,
                Place::Opening | Place::Idle => {}
            }
        }
        counts.opening = pool.opening;
        counts.waiting = pool.queue.len();
        counts.oldest_wait = pool.queue.oldest().map(|waiter| waiter.since);
        counts
    }

    /// A clean connection that nobody has: to the next who waits, or to the idle, or away.
    fn place(&mut self, id: ConnId, now: Instant) {
        let conn = &mut self.conns[id.slot as usize];
        let (pool_id, worker) = (conn.pool, conn.worker);
        let pool = self
            .pools
            .get_mut(&pool_id)
            .expect("a pool outlives its connections");
        let over_age = now.saturating_duration_since(conn.born) > pool.limits.lifetime;
        if conn.stale || pool.removed || pool.paused || self.shutting_down {
            return self.put_away(id, "database configuration changed", now);
        }
        // Also while somebody waits, or a busy pool would never shrink and never renew itself.
        if !pool.limits.room(pool.total(), true) {
            return self.put_away(id, "pool size reduced", now);
        }
        if over_age && pool.opening == 0 && pool.failing.is_none() {
            // One at a time: those who wait are not to wait for all of them.
            return self.put_away(id, "server lifetime over", now);
        }
        if let Some(waiter) = pool.queue.next(worker, self.locality) {
            pool.leased += 1;
            conn.place = Place::Leased(Phase::Active);
            conn.worker = waiter.worker;
            if pool.queue.is_empty() {
                self.hungry -= 1;
            }
            self.actions.push_back(Action::Hand {
                client: waiter.client,
                to: waiter.worker,
                ticket: Ticket {
                    pool: pool_id,
                    worker: waiter.worker,
                    number: waiter.number,
                },
                lease: Lease {
                    conn: id,
                    pool: pool_id,
                    worker,
                    check: false,
                },
            });
            return;
        }
        if over_age {
            return self.put_away(id, "server lifetime over", now);
        }
        if self.hungry > 0 && self.blocks_somebody(pool_id) {
            return self.put_away(id, "evicted", now);
        }
        let pool = self
            .pools
            .get_mut(&pool_id)
            .expect("a pool outlives its connections");
        self.conns[id.slot as usize].place = Place::Idle;
        pool.idle.push_back(Idle {
            conn: id,
            since: now,
        });
    }

    /// Has a connection closed that is in no list any more.
    pub(crate) fn put_away(&mut self, id: ConnId, reason: &'static str, now: Instant) {
        let worker = self.conns[id.slot as usize].worker;
        self.actions.push_back(Action::Close {
            conn: id,
            worker,
            reason,
        });
        self.freed(id, now);
    }

    /// A slot is free: whoever could not have one may now.
    pub(crate) fn freed(&mut self, id: ConnId, now: Instant) {
        let conn = self.conns.remove(id.slot as usize);
        debug_assert_eq!(conn.generation, id.generation);
        let pool = &self.pools[&conn.pool];
        self.databases.subtract(pool.database);
        self.users.subtract(pool.user);
        self.end_if_over(conn.pool);
        self.grow_all(now);
    }

    /// Tells everybody who waits in a pool that there will be nothing.
    pub(crate) fn fail_all(&mut self, id: PoolId, why: &Refusal) {
        let Some(pool) = self.pools.get_mut(&id) else {
            return;
        };
        if pool.queue.is_empty() {
            return;
        }
        while let Some(waiter) = pool.queue.pop_oldest() {
            let ticket = Ticket {
                pool: id,
                worker: waiter.worker,
                number: waiter.number,
            };
            let why = why.clone();
            self.actions.push_back(Action::Fail {
                client: waiter.client,
                to: waiter.worker,
                ticket,
                why,
            });
        }
        self.hungry -= 1;
    }

    /// A removed pool ends with its last connection.
    pub(crate) fn end_if_over(&mut self, id: PoolId) {
        if let Some(pool) = self.pools.get(&id)
            && pool.removed
            && pool.total() == 0
            && pool.queue.is_empty()
        {
            self.pools.remove(&id);
        }
    }
}

/// The idle connection to be used next: one that lies on the same worker, if it is among the few
/// first in line.
fn next_idle(pool: &mut Pool, conns: &Slab<Conn>, worker: WorkerId) -> Option<Idle> {
    const LOOK: usize = 8;
    let here = |idle: &Idle| conns[idle.conn.slot as usize].worker == worker;
    let len = pool.idle.len();
    if pool.limits.round_robin {
        let at = pool.idle.iter().take(LOOK).position(here).unwrap_or(0);
        return pool.idle.remove(at);
    }
    let at = pool
        .idle
        .iter()
        .rev()
        .take(LOOK)
        .position(here)
        .unwrap_or(0);
    pool.idle.remove(len.checked_sub(at + 1)?)
}
