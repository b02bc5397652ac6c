//! Those who wait: first come, first served; across workers, up to the locality.

use std::time::{Duration, Instant};

use crate::lines::{Key, Lines};
use crate::token::{ClientId, PoolId, Ticket, WorkerId};

/// One client in the queue.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(crate) struct Waiter {
    pub(crate) client: ClientId,
    pub(crate) worker: WorkerId,
    /// Numbers grow in the order of arrival, over all pools.
    pub(crate) number: u64,
    pub(crate) since: Instant,
}

/// The queue of a pool.
///
/// Invariant: sorted by `number`, and by `since` as far as the caller's clock is.
#[derive(Debug)]
pub(crate) struct Queue {
    pool: PoolId,
    lines: Lines<Waiter>,
}

impl Queue {
    pub(crate) fn new(pool: PoolId, workers: u16) -> Self {
        Self {
            pool,
            lines: Lines::new(workers),
        }
    }

    pub(crate) fn len(&self) -> u32 {
        self.lines.len()
    }

    pub(crate) fn is_empty(&self) -> bool {
        self.lines.is_empty()
    }

    pub(crate) fn push(&mut self, waiter: Waiter) -> Ticket {
        let key = self.lines.push_back(waiter.worker, waiter);
        self.ticket(key, waiter.number)
    }

    /// Who came first of all.
    pub(crate) fn oldest(&self) -> Option<&Waiter> {
        self.lines.get(self.lines.front()?)
    }

    /// The first for whom no connection is on its way, if those before get one each.
    pub(crate) fn nth(&self, before: u32) -> Option<&Waiter> {
        if before >= self.len() {
            return None;
        }
        self.lines
            .iter()
            .nth(before as usize)
            .map(|(_, waiter)| waiter)
    }

    /// Takes out who is next for a connection that lies at `worker`: the first of that worker's
    /// line, unless somebody elsewhere came earlier by more than `locality`.
    pub(crate) fn next(
        &mut self,
        worker: WorkerId,
        locality: Duration,
    ) -> Option<(Ticket, Waiter)> {
        let oldest = self.lines.front()?;
        let since = |key| self.lines.get(key).map(|waiter| waiter.since);
        let near = self.lines.front_of(worker).filter(|own| {
            let later = since(*own).zip(since(oldest));
            later.is_some_and(|(own, oldest)| own.saturating_duration_since(oldest) <= locality)
        });
        Some(self.take_out(near.unwrap_or(oldest)))
    }

    /// Takes out the oldest.
    pub(crate) fn pop_oldest(&mut self) -> Option<(Ticket, Waiter)> {
        let oldest = self.lines.front()?;
        Some(self.take_out(oldest))
    }

    /// Takes one out wherever it stands; `false` when it no longer does.
    pub(crate) fn remove(&mut self, ticket: Ticket) -> bool {
        let waiter = self.lines.get(ticket.key);
        let there = waiter.is_some_and(|waiter| waiter.number == ticket.number);
        if there {
            self.lines.remove(ticket.key);
        }
        there
    }

    fn take_out(&mut self, key: Key) -> (Ticket, Waiter) {
        let waiter = self.lines.remove(key);
        (self.ticket(key, waiter.number), waiter)
    }

    fn ticket(&self, key: Key, number: u64) -> Ticket {
        Ticket {
            pool: self.pool,
            key,
            number,
        }
    }

    #[cfg(test)]
    pub(crate) fn iter(&self) -> impl Iterator<Item = &Waiter> {
        self.lines.iter().map(|(_, waiter)| waiter)
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn p3_the_own_line_goes_first_within_the_locality() {
        let start = Instant::now();
        let at = |ms| start + Duration::from_millis(ms);
        let waiter = |number, worker, ms| Waiter {
            client: ClientId(number),
            worker: WorkerId(worker),
            number,
            since: at(ms),
        };
        let pool = PoolId {
            slot: 0,
            generation: 0,
        };
        let mut queue = Queue::new(pool, 2);
        queue.push(waiter(1, 0, 0));
        queue.push(waiter(2, 1, 1));
        let last = queue.push(waiter(3, 1, 5));
        let locality = Duration::from_millis(2);
        let mut next = || {
            queue
                .next(WorkerId(1), locality)
                .map(|(_, waiter)| waiter.number)
        };
        assert_eq!(next(), Some(2));
        assert_eq!(next(), Some(1));
        assert!(queue.remove(last) && !queue.remove(last));
        assert!(queue.is_empty());
    }

    #[test]
    fn p4_a_ticket_does_not_stand_for_who_comes_after() {
        let pool = PoolId {
            slot: 0,
            generation: 0,
        };
        let mut queue = Queue::new(pool, 1);
        let waiter = |number| Waiter {
            client: ClientId(number),
            worker: WorkerId(0),
            number,
            since: Instant::now(),
        };
        let first = queue.push(waiter(1));
        assert!(queue.remove(first));
        let second = queue.push(waiter(2));
        assert_eq!(first.key, second.key, "the place is used again");
        assert!(!queue.remove(first));
        assert_eq!(queue.len(), 1);
    }
}
