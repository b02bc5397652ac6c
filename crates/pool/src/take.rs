//! Asking for a connection, and no longer asking.

use std::sync::Arc;
use std::time::Instant;

use crate::action::{Action, Hindrance, Refusal, Take};
use crate::pools::Pools;
use crate::token::{ClientId, PoolId, Ticket, WorkerId};
use crate::waiting::Waiter;

impl Pools {
    /// Asks for a connection, for a client of a worker: one that is idle if nobody waits, else a
    /// place at the end of the queue. One operation, so that nobody is overtaken and no
    /// connection that comes back in between is missed.
    ///
    /// From the answer on the pool counts a leased connection as lying on that worker.
    pub fn take(&mut self, id: PoolId, worker: WorkerId, client: ClientId, now: Instant) -> Take {
        if self.shutting_down {
            return Take::Refused(Refusal::ShuttingDown);
        }
        let there = self
            .slot(id)
            .filter(|slot| self.pools[*slot].removed.is_none());
        let Some(slot) = there else {
            return Take::Refused(Refusal::Removed);
        };
        let pool = &self.pools[slot];
        if pool.queue.is_empty()
            && !pool.paused
            && let Some(idle) = pool.next_idle(worker)
        {
            return Take::Lease(self.lend(idle.conn, worker, Some(idle.since), now));
        }
        if let Some(why) = pool.hopeless(now) {
            return Take::Refused(why);
        }
        let number = self.next_ticket;
        self.next_ticket += 1;
        let ticket = self.pools[slot].queue.push(Waiter {
            client,
            worker,
            number,
            since: now,
        });
        self.note_hunger(slot);
        self.grow(slot, now);
        Take::Wait(ticket)
    }

    /// A client no longer waits. `false`: it was not in the queue any more; the lease or the
    /// refusal that it was given is on its way as an [`Action`] and must be taken: a lease nobody
    /// wants goes back through [`Self::release`].
    pub fn leave(&mut self, ticket: Ticket, _now: Instant) -> bool {
        let Some(slot) = self.slot(ticket.pool) else {
            return false;
        };
        let left = self.pools[slot].queue.remove(ticket);
        self.note_hunger(slot);
        left
    }

    /// Tells everybody who waits in a pool that there will be nothing.
    pub(crate) fn fail_all(&mut self, slot: usize, why: &Refusal) {
        while let Some((ticket, waiter)) = self.pools[slot].queue.pop_oldest() {
            self.fail(ticket, &waiter, why.clone());
        }
        self.note_hunger(slot);
    }

    /// Refuses those who have waited for too long.
    pub(crate) fn refuse_late(&mut self, slot: usize, now: Instant) {
        let timeout = self.pools[slot].limits.wait_timeout;
        if timeout.is_zero() {
            return;
        }
        while let Some(oldest) = self.pools[slot].queue.oldest() {
            let waited = now.saturating_duration_since(oldest.since);
            if waited < timeout {
                break;
            }
            let why = Refusal::WaitTimeout {
                waited,
                figures: self.pools[slot].figures(),
                hindrance: self.hindrance(slot),
            };
            if let Some((ticket, waiter)) = self.pools[slot].queue.pop_oldest() {
                self.fail(ticket, &waiter, why);
            }
        }
        self.note_hunger(slot);
    }

    /// What keeps those who wait in a pool from getting a connection, the plainest first.
    fn hindrance(&self, slot: usize) -> Hindrance {
        let pool = &self.pools[slot];
        if pool.paused {
            Hindrance::Paused
        } else if let Some(failing) = &pool.failing {
            Hindrance::Failing {
                cause: failing.cause(),
            }
        } else if !pool.limits.room(self.total(slot), false) {
            Hindrance::Size
        } else if self.databases.get(pool.database).is_full() {
            Hindrance::DatabaseCap
        } else if self.users.get(pool.user).is_full() {
            Hindrance::UserCap
        } else {
            Hindrance::Size
        }
    }

    /// The server has refused a login: nobody need wait, unless another connection works, or may
    /// yet.
    pub(crate) fn refuse_if_alone(&mut self, slot: usize, cause: &Arc<str>) {
        if self.pools[slot].total() == 0 {
            let cause = Arc::clone(cause);
            self.fail_all(slot, &Refusal::LoginRefused { cause });
        }
    }

    fn fail(&mut self, ticket: Ticket, waiter: &Waiter, why: Refusal) {
        self.actions.push_back(Action::Fail {
            client: waiter.client,
            to: waiter.worker,
            ticket,
            why,
        });
    }
}
