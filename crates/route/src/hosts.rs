//! The hosts of a database and what is known of their health.

use std::time::{Duration, Instant};

/// A host's place in the list of the configuration.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct HostIndex(pub usize);

/// How an attempt to connect ended.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Outcome {
    /// The host answered, be it with an error.
    Connected,
    /// It did not.
    Failed,
}

/// A host that does not answer.
#[derive(Debug, Clone, Copy)]
struct Down {
    /// Until then it is not asked, if another one can be.
    until: Instant,
    pause: Duration,
}

const PAUSE_MIN: Duration = Duration::from_millis(100);

/// Which of several hosts that are up is next.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Order {
    /// The first in the list.
    First,
    /// Each in its turn.
    RoundRobin,
    /// The last one again.
    Sticky,
}

/// The hosts of one database, in the order of the configuration.
#[derive(Debug)]
pub struct Hosts {
    down: Vec<Option<Down>>,
    pause_max: Duration,
    order: Order,
    /// The one that was chosen last.
    last: Option<usize>,
}

impl Hosts {
    /// `count` hosts that are all taken to be up. A host that fails is left alone for 100 ms, then
    /// for twice as long each time, up to `pause_max`.
    ///
    /// # Panics
    /// When there are none.
    pub fn new(count: usize, pause_max: Duration, order: Order) -> Self {
        assert!(count > 0, "a database has at least one host");
        Self {
            down: vec![None; count],
            pause_max: pause_max.max(PAUSE_MIN),
            order,
            last: None,
        }
    }

    /// How many there are.
    pub fn len(&self) -> usize {
        self.down.len()
    }

    /// Never: there is at least one.
    pub fn is_empty(&self) -> bool {
        self.down.is_empty()
    }

    /// In which order they are chosen.
    pub fn order(&self) -> Order {
        self.order
    }

    /// Where to connect: of the hosts that are not down, the one whose turn it is. If all are, the
    /// one whose pause ends first.
    pub fn target(&mut self, now: Instant) -> HostIndex {
        let count = self.down.len();
        let start = match (self.order, self.last) {
            (Order::First, _) | (_, None) => 0,
            (Order::RoundRobin, Some(last)) => last + 1,
            (Order::Sticky, Some(last)) => last,
        };
        let in_turn = (start..start + count).map(|place| place % count);
        let is_up = |place: &usize| self.down[*place].is_none_or(|down| now >= down.until);
        let up = in_turn.into_iter().find(is_up);
        let next = || {
            let pauses = self.down.iter().enumerate();
            let first = pauses.min_by_key(|(_, down)| down.map(|down| down.until));
            first.map_or(0, |(index, _)| index)
        };
        let chosen = up.unwrap_or_else(next);
        self.last = Some(chosen);
        HostIndex(chosen)
    }

    /// An attempt to connect has ended.
    pub fn report(&mut self, host: HostIndex, outcome: Outcome, now: Instant) {
        let Some(down) = self.down.get_mut(host.0) else {
            return;
        };
        *down = match outcome {
            Outcome::Connected => None,
            Outcome::Failed => {
                let pause = down
                    .map_or(PAUSE_MIN, |down| down.pause * 2)
                    .min(self.pause_max);
                Some(Down {
                    until: now + pause,
                    pause,
                })
            }
        };
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    const MAX: Duration = Duration::from_secs(1);

    #[test]
    fn r3_a_host_that_is_down_is_left_out_for_a_growing_while() {
        let mut hosts = Hosts::new(2, MAX, Order::First);
        let start = Instant::now();
        let at = |ms| start + Duration::from_millis(ms);
        assert_eq!(hosts.target(at(0)), HostIndex(0));
        hosts.report(HostIndex(0), Outcome::Failed, at(0));
        assert_eq!(hosts.target(at(99)), HostIndex(1));
        assert_eq!(hosts.target(at(100)), HostIndex(0));
        hosts.report(HostIndex(0), Outcome::Failed, at(100));
        assert_eq!(hosts.target(at(299)), HostIndex(1));
        assert_eq!(hosts.target(at(300)), HostIndex(0));
        for round in 0..10 {
            hosts.report(HostIndex(0), Outcome::Failed, at(400 + round));
        }
        assert_eq!(
            hosts.target(at(409) + MAX),
            HostIndex(0),
            "pauses end growing"
        );
        hosts.report(HostIndex(0), Outcome::Connected, at(500));
        assert_eq!(hosts.target(at(500)), HostIndex(0));
    }

    #[test]
    fn r3_the_last_candidate_is_never_excluded() {
        let mut hosts = Hosts::new(2, MAX, Order::First);
        let now = Instant::now();
        hosts.report(HostIndex(1), Outcome::Failed, now);
        hosts.report(HostIndex(0), Outcome::Failed, now);
        hosts.report(HostIndex(0), Outcome::Failed, now);
        assert_eq!(
            hosts.target(now),
            HostIndex(1),
            "the one whose pause ends first"
        );
    }

    #[test]
    fn hosts_take_turns() {
        let mut hosts = Hosts::new(3, MAX, Order::RoundRobin);
        let now = Instant::now();
        let turns = |hosts: &mut Hosts| [(); 4].map(|()| hosts.target(now).0);
        assert_eq!(turns(&mut hosts), [0, 1, 2, 0]);
        hosts.report(HostIndex(1), Outcome::Failed, now);
        assert_eq!(turns(&mut hosts), [2, 0, 2, 0]);
    }

    #[test]
    fn the_last_host_is_kept_until_it_fails() {
        let mut hosts = Hosts::new(3, MAX, Order::Sticky);
        let now = Instant::now();
        assert_eq!([hosts.target(now).0, hosts.target(now).0], [0, 0]);
        hosts.report(HostIndex(0), Outcome::Failed, now);
        assert_eq!([hosts.target(now).0, hosts.target(now).0], [1, 1]);
        hosts.report(HostIndex(0), Outcome::Connected, now);
        assert_eq!(hosts.target(now).0, 1);
    }
}
