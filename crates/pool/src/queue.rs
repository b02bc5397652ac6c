//! Those who wait: one line per worker, first come first served.

use std::collections::VecDeque;
use std::time::{Duration, Instant};

use crate::token::{ClientId, WorkerId};

/// One client in the queue.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(crate) struct Waiter {
    pub(crate) client: ClientId,
    pub(crate) worker: WorkerId,
    /// Numbers grow in the order of arrival.
    pub(crate) number: u64,
    pub(crate) since: Instant,
}

/// The queue of a pool.
///
/// Invariant: each line is sorted by `number`; `len` is the sum of their lengths.
#[derive(Debug)]
pub(crate) struct Queue {
    lines: Vec<VecDeque<Waiter>>,
    len: u32,
}

impl Queue {
    pub(crate) fn new(workers: u16) -> Self {
        Self {
            lines: (0..workers).map(|_| VecDeque::new()).collect(),
            len: 0,
        }
    }

    pub(crate) fn len(&self) -> u32 {
        self.len
    }

    pub(crate) fn is_empty(&self) -> bool {
        self.len == 0
    }

    pub(crate) fn push(&mut self, waiter: Waiter) {
        self.lines[usize::from(waiter.worker.0)].push_back(waiter);
        self.len += 1;
    }

    /// Who came first of all.
    pub(crate) fn oldest(&self) -> Option<&Waiter> {
        if self.len == 0 {
            return None;
        }
        self.lines
            .iter()
            .filter_map(|line| line.front())
            .min_by_key(|waiter| waiter.number)
    }

    /// Takes out who is next for a connection that lies at `worker`: the first of that worker's
    /// line, unless somebody elsewhere came earlier by more than `locality`.
    pub(crate) fn next(&mut self, worker: WorkerId, locality: Duration) -> Option<Waiter> {
        let oldest = *self.oldest()?;
        let here = self.lines[usize::from(worker.0)].front();
        let line = match here {
            Some(here) if here.since.saturating_duration_since(oldest.since) <= locality => worker,
            _ => oldest.worker,
        };
        self.len -= 1;
        self.lines[usize::from(line.0)].pop_front()
    }

    /// Takes out the oldest.
    pub(crate) fn pop_oldest(&mut self) -> Option<Waiter> {
        let worker = self.oldest()?.worker;
        self.len -= 1;
        self.lines[usize::from(worker.0)].pop_front()
    }

    /// Takes one out wherever it stands.
    pub(crate) fn remove(&mut self, worker: WorkerId, number: u64) -> bool {
        let line = &mut self.lines[usize::from(worker.0)];
        match line.binary_search_by_key(&number, |waiter| waiter.number) {
            Ok(at) => {
                line.remove(at);
                self.len -= 1;
                true
            }
            Err(_) => false,
        }
    }

    #[cfg(test)]
    pub(crate) fn iter(&self) -> impl Iterator<Item = &Waiter> {
        self.lines.iter().flatten()
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn the_own_line_first_within_the_locality() {
        let start = Instant::now();
        let at = |ms| start + Duration::from_millis(ms);
        let waiter = |number, worker, ms| Waiter {
            client: ClientId(number),
            worker: WorkerId(worker),
            number,
            since: at(ms),
        };
        let mut queue = Queue::new(2);
        queue.push(waiter(1, 0, 0));
        queue.push(waiter(2, 1, 1));
        queue.push(waiter(3, 1, 5));
        let locality = Duration::from_millis(2);
        assert_eq!(queue.next(WorkerId(1), locality).map(|w| w.number), Some(2));
        assert_eq!(queue.next(WorkerId(1), locality).map(|w| w.number), Some(1));
        assert!(queue.remove(WorkerId(1), 3) && !queue.remove(WorkerId(1), 3));
        assert!(queue.is_empty());
    }
}
