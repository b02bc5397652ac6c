//! A cluster with all that can go wrong, seen through a network that loses, delays and reorders.
//!
//! Three hosts that replicate, fail over, come back as what they were, crash, are rebuilt, freeze, and are
//! mistaken for others; a `Topology` that asks them; clients that write where it says and read where it allows.
//! What it did is judged by what was really so. Time is a number; hosts have no clocks that anybody asks.

mod clients;
mod real;

use std::collections::VecDeque;
use std::time::{Duration, Instant};

use crate::topology::{Freshness, Pace, Probe, Told, Topology, Trouble};
use crate::{HostIndex, Seen};

use clients::Asked;
use real::{Random, Real, Write};

const SEEDS: u64 = 400;
const STEP: Duration = Duration::from_millis(10);
/// Steps with faults, and without at the end.
const STEPS: (u64, u64) = (9000, 2000);
const HOSTS: usize = 3;
const TIMEOUT_STEPS: u64 = 100;
/// Who loses what it had was away for longer than positions are believed.
const AWAY_STEPS: u64 = 450;
/// For so long reads ask for a write.
const REMEMBERED: u64 = 500;

enum Message {
    /// Reaches the host.
    Question,
    /// With how often the host had been started.
    Answer(Probe, u32),
    Trouble(Trouble),
}

/// On its way: when it arrives, to or from whom, and when the probe was begun.
struct Flight(u64, usize, u64, Message);

struct World {
    random: Random,
    /// Messages take at most so many steps, as a rule.
    latency: u64,
    start: Instant,
    step: u64,
    hosts: Vec<Real>,
    /// Whom the cluster follows.
    leader: usize,
    timelines: u32,
    flights: Vec<Flight>,
    topology: Topology,
    /// Of each host, the answer that was asked for last and has come.
    heard: [Option<(u64, Probe)>; HOSTS],
    /// The highest timeline that was heard of.
    heard_timeline: u32,
    /// The last writes that were acknowledged, and when.
    written: VecDeque<(Write, u64)>,
    /// What two clients have seen that count as one: as they know it, and really.
    seen: Seen,
    shown: Vec<Write>,
    asked: [Option<Asked>; 2],
    /// Steps at the end in which everything was as it should be.
    well: u64,
    /// Steps without a primary, writes, refused writes, reads, clients' reads from standbys.
    counts: [u64; 5],
}

impl World {
    fn new(seed: u64) -> Self {
        let start = Instant::now();
        let real = |index: usize| Real {
            in_recovery: index != 0,
            history: vec![(1, 1000)],
            down_until: 0,
            frozen_until: 0,
            cut_until: 0,
            alone_until: 0,
            foreign_until: 0,
            started: 0,
            probed: 0,
            opened: (0, 0),
        };
        Self {
            random: Random(seed),
            latency: if seed.is_multiple_of(2) { 30 } else { 3 },
            start,
            step: 0,
            hosts: (0..HOSTS).map(real).collect(),
            leader: 0,
            timelines: 1,
            flights: Vec::new(),
            topology: Topology::new(HOSTS, Pace::default(), start),
            heard: [None; HOSTS],
            heard_timeline: 0,
            written: VecDeque::new(),
            seen: Seen::default(),
            shown: Vec::new(),
            asked: [None, None],
            well: 0,
            counts: [0; 5],
        }
    }

    fn at(&self, step: u64) -> Instant {
        self.start + STEP * u32::try_from(step).expect("a short simulation")
    }

    fn run(&mut self) {
        for _ in 0..STEPS.0 + STEPS.1 {
            self.step += 1;
            if self.step < STEPS.0 && self.step > 200 && self.random.below(250) == 0 {
                self.fault();
            }
            self.replicate();
            self.ask();
            self.deliver();
            self.tell();
            self.write();
            self.read();
            self.use_clients();
            let is_end = self.step + 300 > STEPS.0 + STEPS.1;
            self.well += u64::from(is_end && self.is_well());
        }
        // At one moment answers may be lost; not for seconds.
        assert!(self.well > 0, "the leader and its standbys are found again");
    }

    fn is_well(&self) -> bool {
        let now = self.at(self.step);
        let may_read = |host| {
            self.topology
                .may_read(HostIndex(host), Freshness::default(), now)
        };
        self.topology.primary() == Ok(HostIndex(self.leader)) && (0..HOSTS).all(may_read)
    }

    fn fault(&mut self) {
        let host = self.random.host();
        let until = self.step + self.random.below(800);
        match self.random.below(9) {
            // Flapping: it keeps what it has.
            0 => {
                let until = self.step + self.random.below(60);
                self.hosts[host].stop(until);
            }
            1 => self.hosts[host].cut_until = until,
            2 => self.hosts[host].frozen_until = until,
            3 if host != self.leader => self.hosts[host].foreign_until = until,
            // The old one lives on, out of the others' sight: two primaries.
            4 => {
                self.hosts[self.leader].alone_until = until;
                self.promote();
            }
            5 => {
                self.hosts[self.leader].stop(until);
                self.promote();
            }
            // A planned switchover.
            6 => {
                let old = self.leader;
                self.promote();
                if self.leader != old {
                    self.hosts[old].in_recovery = true;
                    self.hosts[old].stop(self.step + 20);
                }
            }
            7 => {
                let until = self.step + self.random.below(30);
                let lost = self.random.below(20);
                self.hosts[host].crash(until, lost);
            }
            _ if host != self.leader => self.rebuild(host),
            _ => {}
        }
    }

    /// The standby that has most becomes the leader, if there is one that can.
    fn promote(&mut self) {
        let step = self.step;
        let leads = self.hosts[self.leader].timeline();
        let can = |host: &&usize| {
            let real = &self.hosts[**host];
            real.in_recovery
                && real.timeline() == leads
                && step >= real.down_until.max(real.frozen_until)
        };
        let all: Vec<usize> = (0..HOSTS).filter(|host| *host != self.leader).collect();
        let Some(next) = all
            .iter()
            .filter(can)
            .max_by_key(|host| self.hosts[**host].lsn())
        else {
            return;
        };
        self.leader = *next;
        self.timelines += 1;
        let real = &mut self.hosts[self.leader];
        real.in_recovery = false;
        real.alone_until = 0;
        let fork = real.lsn();
        real.history.push((self.timelines, fork));
    }

    /// Made anew from an older copy of the leader.
    fn rebuild(&mut self, host: usize) {
        let mut history = self.hosts[self.leader].history.clone();
        let last = history.last_mut().expect("it has one");
        last.1 -= self.random.below(20).min(last.1);
        let real = &mut self.hosts[host];
        real.crash(self.step + AWAY_STEPS + self.random.below(200), 0);
        real.in_recovery = true;
        real.alone_until = 0;
        real.history = history;
    }

    fn replicate(&mut self) {
        let leader = self.hosts[self.leader].history.clone();
        let (timeline, end) = *leader.last().expect("it has one");
        let leads = self.leader;
        for host in (0..HOSTS).filter(|host| *host != leads) {
            let pace = self.random.below(4);
            let real = &mut self.hosts[host];
            if self.step < real.down_until.max(real.frozen_until).max(real.alone_until) {
                continue;
            }
            let own = *real.history.last().expect("it has one");
            let is_of_it = leader.iter().any(|(of, end)| *of == own.0 && own.1 <= *end);
            if !is_of_it || !real.in_recovery {
                // It has what the leader has not, or thinks that it leads: some day somebody cares.
                if self.random.below(300) == 0 || self.step > STEPS.0 {
                    self.rebuild(host);
                }
                continue;
            }
            if own.0 == timeline {
                real.history.last_mut().expect("it has one").1 = end.min(own.1 + pace);
            } else {
                // Up to the fork first, then along the new timeline.
                let behind = leader
                    .iter()
                    .position(|(of, _)| *of == own.0)
                    .expect("found above");
                *real.history.last_mut().expect("it has one") = leader[behind];
                real.history.push((leader[behind + 1].0, leader[behind].1));
            }
        }
    }

    fn ask(&mut self) {
        let now = self.at(self.step);
        for host in self.topology.due(now) {
            let arrives = self.step + 1 + self.random.below(self.latency);
            self.flights
                .push(Flight(arrives, host.0, self.step, Message::Question));
            let silent = Message::Trouble(Trouble::Silent);
            self.flights
                .push(Flight(self.step + TIMEOUT_STEPS, host.0, self.step, silent));
        }
    }

    fn deliver(&mut self) {
        let (arrived, flying) = self
            .flights
            .drain(..)
            .partition(|flight| flight.0 <= self.step);
        self.flights = flying;
        let arrived: Vec<Flight> = arrived;
        for Flight(_, host, asked, message) in arrived {
            let (now, asked_at) = (self.at(self.step), self.at(asked));
            match message {
                Message::Question => self.question(host, asked),
                Message::Answer(_, started) if started < self.hosts[host].probed => {
                    // Nobody listens any more on the connection by which it comes.
                }
                Message::Answer(probe, started) => {
                    if started > self.hosts[host].probed {
                        // It comes by another connection than the last, so the end of that one was noticed.
                        self.hosts[host].probed = started;
                        let (broken, noticed) = (Trouble::Broken, asked_at - STEP);
                        self.topology
                            .troubled(HostIndex(host), broken, noticed, now);
                    }
                    // The probe is over: its deadline with it.
                    self.flights
                        .retain(|flight| (flight.1, flight.2) != (host, asked));
                    if self.heard[host].is_none_or(|(last, _)| last < asked) {
                        self.heard[host] = Some((asked, probe));
                    }
                    if probe.system == 1 {
                        self.heard_timeline = self.heard_timeline.max(probe.timeline);
                    }
                    self.topology.probed(HostIndex(host), probe, asked_at, now);
                }
                Message::Trouble(trouble) => {
                    self.topology
                        .troubled(HostIndex(host), trouble, asked_at, now);
                }
            }
        }
    }

    /// A question reaches its host, or is lost, or finds nobody.
    fn question(&mut self, host: usize, asked: u64) {
        let is_lost = self.random.below(20) == 0;
        let is_slow = self.random.below(10) == 0;
        let delay = if is_slow { 150 } else { self.latency };
        let back = self.step + 1 + self.random.below(delay);
        let real = &self.hosts[host];
        if is_lost || self.step < real.cut_until.max(real.frozen_until) {
            return;
        }
        let message = if self.step < real.down_until {
            Message::Trouble(Trouble::Refused)
        } else {
            Message::Answer(real.probe(self.step), real.started)
        };
        self.flights.push(Flight(back, host, asked, message));
    }

    /// Patroni's word, now and then, old or new.
    fn tell(&mut self) {
        if self.random.below(500) != 0 {
            return;
        }
        let told = |host| Told {
            host: HostIndex(host),
            leads: host == self.leader,
            timeline: None,
        };
        let told: Vec<Told> = (0..HOSTS).map(told).collect();
        let now = self.at(self.step);
        self.topology.told(&told, now, now);
    }

    fn write(&mut self) {
        let Ok(primary) = self.topology.primary() else {
            self.counts[0] += 1;
            return;
        };
        let (_, heard) = self.heard[primary.0].expect("nobody is the primary unheard");
        assert!(!heard.in_recovery && heard.system == 1, "r3: {heard:?}");
        assert_eq!(heard.timeline, self.heard_timeline, "r3: an older timeline");
        if self.random.below(5) != 0 {
            return;
        }
        let (step, now) = (self.step, self.at(self.step));
        let real = &mut self.hosts[primary.0];
        if step < real.cut_until.max(real.frozen_until) {
            return;
        }
        let trouble = if step < real.down_until {
            Trouble::Refused
        } else if real.in_recovery {
            Trouble::ReadOnly
        } else if step < real.foreign_until {
            Trouble::Broken
        } else {
            let last = real.history.last_mut().expect("it has one");
            last.1 += 1;
            assert!(
                last.0 >= self.heard_timeline,
                "r3: written to what was known to be old"
            );
            self.written.push_back((*last, step));
            self.counts[1] += 1;
            return;
        };
        self.counts[2] += 1;
        self.topology.troubled(primary, trouble, now, now);
    }

    /// Of what was written some seconds ago, one is wanted to be read.
    fn read(&mut self) {
        while self
            .written
            .front()
            .is_some_and(|(_, at)| at + REMEMBERED < self.step)
        {
            self.written.pop_front();
        }
        if self.written.is_empty() {
            return;
        }
        let chosen = self.random.below(self.written.len() as u64) as usize;
        let (write, at) = self.written[chosen];
        let sampled = self.topology.sampled_after(self.at(at));
        let (Some(lsn), Ok(primary)) = (sampled, self.topology.primary()) else {
            return;
        };
        if !self.hosts[primary.0].has(write) {
            // It was lost in a failover, and nobody will see it again.
            return;
        }
        let want = Freshness {
            at_least: Some(lsn),
            ..Freshness::default()
        };
        for host in (0..HOSTS).filter(|host| *host != primary.0) {
            let now = self.at(self.step);
            let may_read = self.topology.may_read(HostIndex(host), want, now);
            if may_read && self.is_reached(host) && self.is_confirmed(host) {
                let real = &self.hosts[host];
                assert!(
                    real.has(write),
                    "r4: host {host} has {:?} and not {write:?}",
                    real.history
                );
                self.counts[3] += 1;
            }
        }
    }

    /// Whether a client has a connection to a host, a new one if need be.
    fn is_reached(&mut self, host: usize) -> bool {
        let step = self.step;
        let real = &mut self.hosts[host];
        let away = real.down_until.max(real.cut_until).max(real.frozen_until);
        if step < away.max(real.foreign_until) {
            return false;
        }
        if real.opened.1 != real.started {
            real.opened = (step, real.started);
        }
        true
    }

    /// Whether it is one to what the host is known to be.
    fn is_confirmed(&self, host: usize) -> bool {
        let opened = self.at(self.hosts[host].opened.0);
        self.topology.has_answered_since(HostIndex(host), opened)
    }
}

#[test]
fn r3_r4_hold_whatever_goes_wrong() {
    let mut counts = [0; 5];
    for seed in 0..SEEDS {
        let mut world = World::new(seed);
        let result = std::panic::catch_unwind(std::panic::AssertUnwindSafe(|| world.run()));
        if let Err(panic) = result {
            eprintln!("seed {seed}, step {}", world.step);
            std::panic::resume_unwind(panic);
        }
        for (sum, count) in counts.iter_mut().zip(world.counts) {
            *sum += count;
        }
    }
    let [waiting, written, refused, read, of_client] = counts;
    let steps = SEEDS * (STEPS.0 + STEPS.1);
    assert!(
        waiting < steps / 5,
        "no primary for {waiting} of {steps} steps"
    );
    assert!(
        written > steps / 10 && refused > SEEDS,
        "{written} writes, {refused} refused"
    );
    assert!(
        read > steps / 50,
        "{read} reads from standbys of what was just written"
    );
    assert!(
        of_client > steps / 200,
        "{of_client} reads of clients from standbys"
    );
}
