//! What happens because time has passed.

use std::time::Instant;

use crate::action::{Action, Refusal};
use crate::pool::Kind;
use crate::pools::Pools;
use crate::token::{PoolId, Ticket, WorkerId};

impl Pools {
    /// To be called a few times a second: every timeout is exact to this.
    pub fn tick(&mut self, now: Instant) {
        let all: Vec<PoolId> = self.pools.keys().copied().collect();
        for id in all {
            self.refuse_late(id, now);
            self.close_old(id, now);
            // After a pause for failures, and when the reserve is due.
            self.grow(id, now);
            self.fill(id, now);
        }
    }

    fn refuse_late(&mut self, id: PoolId, now: Instant) {
        while let Some(pool) = self.pools.get_mut(&id)
            && !pool.limits.wait_timeout.is_zero()
            && let Some(oldest) = pool.queue.oldest().copied()
        {
            let waited = now.saturating_duration_since(oldest.since);
            if waited < pool.limits.wait_timeout {
                return;
            }
            let figures = pool.figures();
            pool.queue.pop_oldest();
            if pool.queue.is_empty() {
                self.hungry -= 1;
            }
            let ticket = Ticket {
                pool: id,
                worker: oldest.worker,
                number: oldest.number,
            };
            let why = Refusal::WaitTimeout { waited, figures };
            self.actions.push_back(Action::Fail {
                client: oldest.client,
                to: oldest.worker,
                ticket,
                why,
            });
        }
    }

    fn close_old(&mut self, id: PoolId, now: Instant) {
        let Some(pool) = self.pools.get(&id) else {
            return;
        };
        let limits = &pool.limits;
        // Not below the least that is to be kept: those would be opened again at once.
        let mut spare = pool.total().saturating_sub(limits.min_size);
        let mut old = Vec::new();
        for idle in &pool.idle {
            let age = now.saturating_duration_since(self.conns[idle.conn.slot as usize].born);
            let idled = now.saturating_duration_since(idle.since);
            if age > limits.lifetime {
                old.push((idle.conn, "server lifetime over"));
            } else if !limits.idle_timeout.is_zero() && idled > limits.idle_timeout && spare > 0 {
                spare -= 1;
                old.push((idle.conn, "server idle timeout"));
            }
        }
        for (conn, reason) in old {
            if let Some(pool) = self.pools.get_mut(&id) {
                pool.idle.retain(|idle| idle.conn != conn);
            }
            self.put_away(conn, reason, now);
        }
    }

    /// Opens what is missing to the least that is to be kept.
    fn fill(&mut self, id: PoolId, now: Instant) {
        let missing = |pools: &Self| {
            pools.pools.get(&id).is_some_and(|pool| {
                pool.key.kind == Kind::Normal
                    && pool.may_try(now)
                    && pool.total() < pool.limits.min_size
                    && pool.limits.room(pool.total(), false)
                    && pool.opening < pool.limits.opening_max
                    && (pool.failing.is_none() || pool.opening == 0)
            })
        };
        while !self.shutting_down && missing(self) {
            let (database, user) = match self.pools.get(&id) {
                Some(pool) => (pool.database, pool.user),
                None => return,
            };
            // Nobody is evicted for a connection that nobody waits for.
            if self.databases.is_full(database) || self.users.is_full(user) {
                return;
            }
            self.open(id, WorkerId(0), now);
        }
    }
}
