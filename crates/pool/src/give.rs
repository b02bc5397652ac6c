//! Connections that become free: given back, just opened, failed or lost.

use std::sync::Arc;
use std::time::{Duration, Instant};

use crate::action::{Action, Fatal, Release};
use crate::backoff::Failing;
use crate::conn::Place;
use crate::control::OUTDATED;
use crate::pool::Kind;
use crate::pools::Pools;
use crate::token::{ConnId, Lease, Permit};

/// How much longer somebody in another pool under a full cap must have waited to be given the slot
/// of a connection that is wanted in its own pool too. Closing one and opening another costs
/// some ten milliseconds of the server's time, so it is done to end a starvation, not in turn.
const PATIENCE: Duration = Duration::from_millis(100);

impl Pools {
    /// A lease ends. A clean connection goes to who waits, or lies down; if it has become too
    /// old, or one too many, the caller is told to close it.
    pub fn release(&mut self, lease: Lease, how: Release, now: Instant) {
        let id = lease.conn;
        let conn = self.conn(id);
        debug_assert!(matches!(conn.place, Place::Leased(_)));
        let dedicated = self.pools[conn.slot()].key.kind == Kind::Dedicated;
        let idle_since = match how {
            Release::Clean => None,
            Release::Unused => lease.idle_since,
            Release::Close(_) => return self.end_lease(id, now),
        };
        if dedicated {
            return self.end_lease(id, now);
        }
        self.place(id, idle_since, now);
    }

    fn end_lease(&mut self, id: ConnId, now: Instant) {
        self.end(id);
        self.settle(now);
    }

    /// A permit has been used: the connection is there, at [`Permit::worker`].
    pub fn opened(&mut self, permit: Permit, now: Instant) {
        let id = permit.conn;
        let conn = self.conn_mut(id);
        debug_assert_eq!(conn.place, Place::Opening);
        conn.born = now;
        let slot = conn.slot();
        self.pools[slot].failing = None;
        self.place(id, None, now);
        // Those whose turn was put off by failures, or by too many attempts at once.
        self.settle(now);
    }

    /// A permit could not be used.
    pub fn failed(&mut self, permit: Permit, cause: Arc<str>, fatal: Fatal, now: Instant) {
        let id = permit.conn;
        let conn = self.conn(id);
        debug_assert_eq!(conn.place, Place::Opening);
        let (begun, slot) = (conn.born, conn.slot());
        let pool = &mut self.pools[slot];
        let (last, pause_max) = (pool.failing.take(), pool.limits.login_retry);
        let failing = Failing::again(last, Arc::clone(&cause), pause_max, begun, now);
        pool.failing = Some(failing);
        self.end(id);
        if fatal == Fatal::FailWaiters
            && let Some(slot) = self.slot(permit.pool)
        {
            self.refuse_if_alone(slot, &cause);
        }
        self.settle(now);
    }

    /// An idle connection has died. `false`: it is not idle any more. Somebody has it meanwhile,
    /// and will see; or it is to be closed already.
    pub fn lost(&mut self, id: ConnId, now: Instant) -> bool {
        let conn = self.conns.get(id.slot as usize);
        let idle = conn.is_some_and(|conn| {
            conn.generation == id.generation && matches!(conn.place, Place::Idle(_))
        });
        if idle {
            self.end(id);
            self.settle(now);
        }
        idle
    }

    /// A clean connection that nobody uses: to the next who waits, or to the idle, or away.
    /// `idle_since`: for one that has not been used since.
    fn place(&mut self, id: ConnId, idle_since: Option<Instant>, now: Instant) {
        let (slot, worker) = (self.conn(id).slot(), self.conn(id).worker);
        if let Some(reason) = self.unwanted(id, now) {
            self.put_away(id, reason);
            return self.settle(now);
        }
        let pool = &mut self.pools[slot];
        if let Some((ticket, waiter)) = pool.queue.next(worker, self.locality) {
            self.note_hunger(slot);
            let lease = self.lend(id, waiter.worker, idle_since, now);
            self.actions.push_back(Action::Hand {
                client: waiter.client,
                to: waiter.worker,
                ticket,
                lease,
            });
        } else if pool.key.kind == Kind::Dedicated {
            self.put_away(id, "client left");
            self.settle(now);
        } else {
            self.lay_idle(id, idle_since.unwrap_or(now));
            if self.is_limited(slot) {
                // It may be in the way of somebody who waits in another pool.
                self.settle(now);
            }
        }
    }

    /// Why a connection that nobody uses is to be closed, whoever waits for it.
    fn unwanted(&mut self, id: ConnId, now: Instant) -> Option<&'static str> {
        let conn = self.conn(id);
        let slot = conn.slot();
        let pool = &self.pools[slot];
        if self.shutting_down {
            return Some("server shutting down");
        }
        if pool.removed.is_some() {
            return pool.removed;
        }
        if conn.stale {
            return Some(OUTDATED);
        }
        if pool.paused {
            return Some("database paused");
        }
        if let Some(reason) = self.excess(slot) {
            return Some(reason);
        }
        if self.retire(id, now) {
            return Some("server lifetime over");
        }
        self.owed_elsewhere(slot, now).then_some("evicted")
    }

    /// Why a pool has a connection too many, if it has.
    pub(crate) fn excess(&self, slot: usize) -> Option<&'static str> {
        let pool = &self.pools[slot];
        let others = self.total(slot).saturating_sub(1);
        if !pool.limits.room(others, true) {
            Some("pool size reduced")
        } else if self.databases.get(pool.database).is_over() {
            Some("max_db_connections reduced")
        } else if self.users.get(pool.user).is_over() {
            Some("max_user_connections reduced")
        } else {
            None
        }
    }

    /// Whether a connection that nobody uses is to be closed for its age. Not while there may be
    /// none to take its place, and not all at once.
    pub(crate) fn retire(&mut self, id: ConnId, now: Instant) -> bool {
        let conn = self.conn(id);
        let slot = conn.slot();
        let pool = &self.pools[slot];
        let lifetime = pool.limits.lifetime;
        let age = now.saturating_duration_since(conn.born);
        if !conn.used && lifetime.is_zero() || age < lifetime || pool.failing.is_some() {
            return false;
        }
        let gap = pool.limits.retirement_gap(pool.total());
        let early = |last| now.saturating_duration_since(last) < gap;
        if pool.retired.is_some_and(early) {
            return false;
        }
        self.pools[slot].retired = Some(now);
        true
    }

    /// Whether the size or a cap is reached, so that others may wait for what this pool has.
    fn is_limited(&self, slot: usize) -> bool {
        let pool = &self.pools[slot];
        let wanted = |slot| self.pools[slot as usize].hungry.is_some();
        !self.hungry.is_empty()
            && (pool.sibling.is_some_and(wanted)
                || self.databases.get(pool.database).is_full()
                || self.users.get(pool.user).is_full())
    }

    /// Whether somebody in another pool has waited so much longer than those in this one that the
    /// slot of a connection of this pool should be theirs.
    fn owed_elsewhere(&self, slot: usize, now: Instant) -> bool {
        if self.hungry.len() < 2 || !self.is_limited(slot) {
            return false;
        }
        let Some(oldest) = self.pools[slot].queue.oldest() else {
            return false;
        };
        self.hungry
            .iter()
            .map(|other| *other as usize)
            .any(|other| {
                let owed = other != slot && self.pools[other].failing.is_none();
                let want = self.pools[other].want(now).filter(|_| owed);
                want.is_some_and(|want| {
                    oldest.since.saturating_duration_since(want.since) >= PATIENCE
                        && self
                            .obstacles(other, &want)
                            .are_gone_with(self, other, slot)
                })
            })
    }
}
