//! Clients that count as one.

use crate::{Chance, Choice, Policy, Seen, Want, Why, choose};

use super::World;
use super::real::Write;

/// What a client has asked.
pub(super) struct Asked {
    choice: Choice,
    /// What had been shown by then.
    shown: Vec<Write>,
    /// The step in which it is answered.
    served: u64,
}

impl World {
    /// Clients that count as one go wherever they are sent, which takes its time, and must never see less than had
    /// been seen when they asked.
    pub(super) fn use_clients(&mut self) {
        for client in 0..self.asked.len() {
            match self.asked[client].take() {
                Some(asked) if asked.served <= self.step => self.serve(asked),
                None if self.random.below(4) == 0 => self.asked[client] = self.choose(),
                waiting => self.asked[client] = waiting,
            }
        }
    }

    fn choose(&mut self) -> Option<Asked> {
        let policy = Policy {
            as_seen: true,
            ..Policy::default()
        };
        let want = if self.random.below(50) == 0 {
            Want::Primary
        } else {
            Want::Read
        };
        let nothing = |_| 0;
        let chance = Chance {
            load: &nothing,
            dice: self.random.below(u64::MAX),
            turn: 0,
        };
        let (now, mut seen) = (self.at(self.step), Seen::default());
        seen.join(&self.seen);
        let choice = choose(&self.topology, &policy, want, &mut seen, &chance, now).ok()?;
        if choice.why == Why::NotFresh {
            self.topology.freshness_is_wanted(now);
        }
        Some(Asked {
            choice,
            shown: self.shown.clone(),
            served: self.step + self.random.below(20),
        })
    }

    fn serve(&mut self, asked: Asked) {
        let (now, choice) = (self.at(self.step), asked.choice);
        let host = choice.host.0;
        if choice.why != Why::Standby {
            if !self.is_reached(host) || self.hosts[host].in_recovery {
                return;
            }
            self.seen.primary(now);
        } else {
            let is_so = choice.incarnation == self.topology.incarnation(choice.host);
            if !self.is_reached(host) || !is_so || !self.is_confirmed(host) {
                return;
            }
            // What was lost in a failover nobody will see again.
            let leads = &self.hosts[self.leader];
            let mut shown = asked.shown.iter().filter(|write| leads.has(**write));
            assert!(
                shown.all(|write| self.hosts[host].has(*write)),
                "r4: host {host} has {:?} and not all of {:?}",
                self.hosts[host].history,
                asked.shown
            );
            self.counts[4] += 1;
            self.seen.standby(choice.host, choice.incarnation, now);
        }
        let leads = &self.hosts[self.leader];
        self.shown.retain(|write| leads.has(*write));
        let last = *self.hosts[host].history.last().expect("it has one");
        match self.shown.iter_mut().find(|shown| shown.0 == last.0) {
            Some(shown) => shown.1 = shown.1.max(last.1),
            None => self.shown.push(last),
        }
    }
}
