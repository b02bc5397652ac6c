//! Which host of a cluster is what, from what is observed.
//!
//! Roles are nobody's word: a host is the primary because a probe found it out of recovery on the
//! highest timeline that anybody has, and only until something speaks against it. All facts about a
//! host are ordered by when they were *asked* for, so answers may come late, twice, or never.
//!
//! Sans-IO: the caller asks the hosts that are [`Topology::due`], and says what came of it. No host's
//! clock is believed: lag is measured by when the primary's positions were sampled.

mod event;
mod host;
mod lag;
mod view;

use std::fmt;
use std::time::{Duration, Instant};

use crate::HostIndex;

pub use event::Event;
pub use host::{Probe, Trouble};
pub use lag::Lag;
pub use view::{HostView, Role};

use host::Host;
use lag::Samples;

/// A position in the WAL, in bytes.
#[derive(Debug, Clone, Copy, PartialEq, Eq, PartialOrd, Ord, Default, Hash)]
pub struct Lsn(pub u64);

impl Lsn {
    /// As PostgreSQL writes it: `16/B374D848`.
    pub fn read(text: &[u8]) -> Option<Self> {
        let (high, low) = str::from_utf8(text).ok()?.split_once('/')?;
        let half = |text: &str| {
            let digits = text.bytes().all(|byte| byte.is_ascii_hexdigit());
            let number = u32::from_str_radix(text, 16).ok();
            number.filter(|_| digits).map(u64::from)
        };
        Some(Self(half(high)? << 32 | half(low)?))
    }
}

impl fmt::Display for Lsn {
    fn fmt(&self, out: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(out, "{:X}/{:X}", self.0 >> 32, self.0 as u32)
    }
}

/// How often hosts are asked, and what to make of silence.
#[derive(Debug, Clone, Copy)]
pub struct Pace {
    /// From one probe of a host to the next; sooner where something is wrong.
    pub every: Duration,
    /// What a host said so long ago is not believed any more about what it has replayed. A host that loses
    /// what it had (it was made anew from an older copy) must have been away for longer.
    pub stale_after: Duration,
}

/// From one probe of a host to the next while somebody waits for a standby to be new enough.
const FRESH_PACE: Duration = Duration::from_millis(25);

/// For how long somebody is taken to wait: a client that pauses for less than the usual pace finds a standby.
const FRESH_FOR: Duration = Duration::from_millis(250);

/// From one probe of a host to the next while there is no primary.
const SEARCH_PACE: Duration = Duration::from_millis(100);

impl Default for Pace {
    fn default() -> Self {
        Self {
            every: Duration::from_secs(1),
            stale_after: Duration::from_secs(3),
        }
    }
}

/// What Patroni says of a member.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct Told {
    /// Which.
    pub host: HostIndex,
    /// Whether it holds the leader's lock.
    pub leads: bool,
    /// Its timeline, if Patroni knows it.
    pub timeline: Option<u32>,
}

/// Why a statement that needs the primary has to wait.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum NoPrimary {
    /// Not all hosts have been asked yet.
    NotYetKnown,
    /// No host is out of recovery, on a timeline that is not too old.
    None,
    /// The host that was the primary does not answer.
    Down(HostIndex),
    /// It has said or done what a primary does not, and has not been asked again since.
    InDoubt(HostIndex),
    /// Several hosts are out of recovery on the same timeline, and none was the primary before.
    Several,
    /// An operator wants nothing to go there.
    Paused(HostIndex),
}

/// How new a state must be that is read. By default any state of a standby that answers.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Default)]
pub struct Freshness {
    /// Everything up to this position.
    pub at_least: Option<Lsn>,
    /// Everything up to so long ago.
    pub lag_max: Option<Duration>,
    /// All but so many bytes.
    pub lag_bytes_max: Option<u64>,
}

/// The hosts of a cluster, in the order of the configuration, and what is known of them.
#[derive(Debug)]
pub struct Topology {
    pace: Pace,
    hosts: Vec<Host>,
    /// The cluster's system identifier. Invariant: once there is a primary, it does not change.
    system: Option<u64>,
    /// The highest timeline that a host of this system was seen or told to have. Invariant: never falls
    /// while the system is the same.
    timeline: u32,
    /// Who was the primary last. Invariant: was out of recovery on `timeline` of its time.
    primary: Option<usize>,
    samples: Samples,
    /// Until then hosts are asked often: somebody waits for a standby to be new enough.
    wanted_until: Option<Instant>,
}

impl Topology {
    /// `count` hosts of which nothing is known: all are due at once.
    pub fn new(count: usize, pace: Pace, now: Instant) -> Self {
        Self {
            pace,
            hosts: vec![Host::new(now); count],
            system: None,
            timeline: 0,
            primary: None,
            samples: Samples::default(),
            wanted_until: None,
        }
    }

    /// The same cluster with other hosts: for each, which one it was, if it was there before. What is known
    /// of those stays known.
    #[must_use]
    pub fn with_hosts(&self, before: &[Option<HostIndex>], pace: Pace, now: Instant) -> Self {
        let place = |old: usize| before.iter().position(|it| *it == Some(HostIndex(old)));
        let host = |old: &Option<HostIndex>| {
            let known = old.and_then(|old| self.hosts.get(old.0)).cloned();
            known.unwrap_or_else(|| Host::new(now))
        };
        let primary = self.primary.and_then(place);
        Self {
            pace,
            hosts: before.iter().map(host).collect(),
            system: self.system,
            timeline: self.timeline,
            // Positions of another primary say nothing about the standbys of whoever is next.
            samples: primary.map_or_else(Samples::default, |_| self.samples.clone()),
            wanted_until: self.wanted_until,
            primary,
        }
    }

    /// How many hosts there are.
    pub fn len(&self) -> usize {
        self.hosts.len()
    }

    /// Whether there are none: nobody has said yet who they are.
    pub fn is_empty(&self) -> bool {
        self.hosts.is_empty()
    }

    /// Somebody waits for a standby to be new enough: all hosts are due soon, and for a while. What is asked now may be
    /// asked before the somebody has its answer from the primary, and would not count.
    pub fn freshness_is_wanted(&mut self, now: Instant) {
        self.wanted_until = Some(now + FRESH_FOR);
        for host in &mut self.hosts {
            host.due_after(FRESH_PACE);
        }
    }

    /// A host is due at once.
    pub fn hurry(&mut self, host: HostIndex, now: Instant) {
        if let Some(host) = self.hosts.get_mut(host.0) {
            host.hurry(now);
        }
    }

    /// A number that changes whenever a host may have begun anew: a standby that has crashed begins with less
    /// than it has shown before.
    pub fn incarnation(&self, host: HostIndex) -> u64 {
        self.hosts.get(host.0).map_or(0, Host::incarnation)
    }

    /// When a host that was down was first heard of again; none: it was never down.
    pub fn up_since(&self, host: HostIndex) -> Option<Instant> {
        self.hosts.get(host.0).and_then(Host::up_since)
    }

    /// Whether a host has answered what was asked later than that. A connection to it that was opened before
    /// is then one to what it is known to be.
    pub fn has_answered_since(&self, host: HostIndex, since: Instant) -> bool {
        let host = self.hosts.get(host.0);
        host.is_some_and(|host| host.has_answered_since(since))
    }

    /// The hosts to be asked now. Each is due again after its pace, whatever comes of this.
    pub fn due(&mut self, now: Instant) -> Vec<HostIndex> {
        // Whoever becomes the primary is waited for.
        let every = match self.primary() {
            Ok(_) => self.pace.every,
            Err(_) => self.pace.every.min(SEARCH_PACE),
        };
        let is_wanted = self.wanted_until.is_some_and(|until| now < until);
        let mut due = Vec::new();
        for (index, host) in self.hosts.iter_mut().enumerate() {
            if host.is_due(now) {
                host.asked(now, every);
                if is_wanted {
                    host.due_after(FRESH_PACE);
                }
                due.push(HostIndex(index));
            }
        }
        due
    }

    /// When the next host is due.
    pub fn next_due(&self) -> Option<Instant> {
        self.hosts.iter().map(Host::due_at).min()
    }

    /// A host has answered what was asked at `asked`.
    pub fn probed(
        &mut self,
        host: HostIndex,
        probe: Probe,
        asked: Instant,
        now: Instant,
    ) -> Vec<Event> {
        self.change(now, |topology| {
            let Some(known) = topology.hosts.get_mut(host.0) else {
                return;
            };
            let is_news = known.answered(probe, asked, now);
            if topology.primary.is_some() && Some(probe.system) == topology.system {
                // What a timeline was once it stays, so this counts however late it comes.
                topology.timeline = topology.timeline.max(probe.timeline);
            }
            if is_news {
                topology.learn();
                if topology.primary() == Ok(host) {
                    topology.samples.add(probe.lsn, asked);
                }
            }
        })
    }

    /// Something went wrong with a host, be it with a probe or in traffic. `since` is when it showed, and of
    /// a probe when it was asked: what was asked later is believed more.
    pub fn troubled(
        &mut self,
        host: HostIndex,
        trouble: Trouble,
        since: Instant,
        now: Instant,
    ) -> Vec<Event> {
        self.change(now, |topology| {
            if let Some(known) = topology.hosts.get_mut(host.0) {
                known.troubled(trouble, since, now);
            }
        })
    }

    /// What Patroni has answered. It is believed about who does *not* lead and how far timelines are; who
    /// leads must show it when probed, which happens at once.
    pub fn told(&mut self, members: &[Told], asked: Instant, now: Instant) -> Vec<Event> {
        self.change(now, |topology| {
            for member in members {
                let is_primary = topology.primary == Some(member.host.0);
                let Some(known) = topology.hosts.get_mut(member.host.0) else {
                    continue;
                };
                let disagrees = is_primary != member.leads;
                known.told(member.leads, disagrees, asked, now);
                if known.is_of(topology.system) {
                    let timeline = member.timeline.unwrap_or_default();
                    topology.timeline = topology.timeline.max(timeline);
                }
            }
        })
    }

    /// Where a statement goes that needs the primary.
    ///
    /// # Errors
    /// There is none now; the statement waits.
    pub fn primary(&self) -> Result<HostIndex, NoPrimary> {
        let all_asked = self.hosts.iter().all(Host::has_been_asked);
        if self.primary.is_none() && (!all_asked || self.is_empty()) {
            // Another one may have a higher timeline, or all others another system.
            return Err(NoPrimary::NotYetKnown);
        }
        let primary = self.claimant()?.ok_or(NoPrimary::None)?;
        let host = &self.hosts[primary];
        if host.is_down() {
            return Err(NoPrimary::Down(HostIndex(primary)));
        }
        if host.is_in_doubt() {
            return Err(NoPrimary::InDoubt(HostIndex(primary)));
        }
        if host.is_paused() {
            return Err(NoPrimary::Paused(HostIndex(primary)));
        }
        Ok(HostIndex(primary))
    }

    /// Whether a statement that only reads may go to a host. The primary is always new enough.
    pub fn may_read(&self, host: HostIndex, want: Freshness, now: Instant) -> bool {
        if self.primary() == Ok(host) {
            return true;
        }
        let Some(known) = self.hosts.get(host.0).filter(|_| self.is_standby(host.0)) else {
            return false;
        };
        let is_stale = known.is_stale(now, self.pace.stale_after);
        if known.is_down() || known.is_in_doubt() || is_stale || known.is_paused() {
            return false;
        }
        if want == Freshness::default() {
            return true;
        }
        // Positions on different timelines cannot be compared: one that has not followed the new
        // primary may be far ahead in what nobody else has.
        if known.timeline() != Some(self.timeline) {
            return false;
        }
        let lag = self.lag(known, now);
        want.at_least.is_none_or(|lsn| known.lsn() >= Some(lsn))
            && want
                .lag_max
                .is_none_or(|max| lag.is_some_and(|lag| lag.time <= max))
            && want
                .lag_bytes_max
                .is_none_or(|max| lag.is_some_and(|lag| lag.bytes <= max))
    }

    /// Nothing goes to a host, or everything that may does again. Says whether that is a change.
    pub fn pause(&mut self, host: HostIndex, paused: bool, now: Instant) -> (bool, Vec<Event>) {
        let mut is_change = false;
        let events = self.change(now, |topology| {
            if let Some(known) = topology.hosts.get_mut(host.0) {
                is_change = known.pause(paused);
            }
        });
        (is_change, events)
    }

    /// Whether nothing goes to a host because an operator has said so.
    pub fn is_paused(&self, host: HostIndex) -> bool {
        self.hosts.get(host.0).is_some_and(Host::is_paused)
    }

    /// Whether what a host does is nobody's business any more: it is out of recovery where another one is
    /// the primary, or is of another cluster.
    pub fn is_fenced(&self, host: HostIndex) -> bool {
        host.0 < self.hosts.len() && !self.role(host.0).is_candidate()
    }

    /// The host to try when no host may be read from: of those that are neither fenced nor of another
    /// system, the one that is asked next. What it answers may be old, and it may not answer.
    pub fn last_resort(&self) -> Option<HostIndex> {
        let candidates = (0..self.hosts.len())
            .filter(|host| self.role(*host).is_candidate() && !self.hosts[*host].is_paused());
        candidates
            .min_by_key(|host| self.hosts[*host].due_at())
            .map(HostIndex)
    }

    /// The primary's position as of a moment not before `since`, if it has been asked since: what was
    /// written before `since` is at or before it.
    pub fn sampled_after(&self, since: Instant) -> Option<Lsn> {
        self.samples.after(since)
    }

    /// For SHOW HOSTS.
    pub fn view(&self, host: HostIndex, now: Instant) -> Option<HostView> {
        let known = self.hosts.get(host.0)?;
        let standby = self.is_standby(host.0);
        Some(HostView {
            role: self.role(host.0),
            timeline: known.timeline(),
            lsn: known.lsn(),
            lag: self.lag(known, now).filter(|_| standby),
            is_paused: known.is_paused(),
            is_down: known.is_down(),
            is_in_doubt: known.is_in_doubt(),
            is_stale: known.is_stale(now, self.pace.stale_after),
            trouble: known.trouble(),
        })
    }

    fn lag(&self, host: &Host, now: Instant) -> Option<Lag> {
        self.samples.lag(host.lsn()?, now)
    }

    fn is_standby(&self, host: usize) -> bool {
        self.role(host) == Role::Standby
    }

    fn role(&self, host: usize) -> Role {
        let known = &self.hosts[host];
        let Some(probe) = known.probe() else {
            return Role::Unknown;
        };
        if !known.is_of(self.system) {
            Role::OtherSystem
        } else if probe.in_recovery {
            Role::Standby
        } else if probe.timeline < self.timeline {
            Role::Fenced
        } else if self.claimant() == Ok(Some(host)) {
            Role::Primary
        } else {
            Role::Rival
        }
    }

    /// The one host that is out of recovery on the highest timeline.
    fn claimant(&self) -> Result<Option<usize>, NoPrimary> {
        let claims = |host: &Host| {
            let claims = |probe: &Probe| !probe.in_recovery && probe.timeline >= self.timeline;
            host.is_of(self.system) && host.probe().is_some_and(claims)
        };
        let all = || (0..self.hosts.len()).filter(|host| claims(&self.hosts[*host]));
        if all().count() <= 1 {
            return Ok(all().next());
        }
        // Of equals the one that holds the lock, or else the one that it was. If there is neither, a
        // write might go to the one that will be thrown away.
        let leader = all().find(|host| self.hosts[*host].leads());
        let incumbent = || all().find(|host| Some(*host) == self.primary);
        leader
            .or_else(incumbent)
            .map(Some)
            .ok_or(NoPrimary::Several)
    }

    /// Takes in what hosts have shown.
    fn learn(&mut self) {
        if self.primary.is_none() {
            let system = self.system_of_most();
            if system != self.system {
                (self.system, self.timeline) = (system, 0);
            }
        }
        let ours = self.hosts.iter().filter(|host| host.is_of(self.system));
        let seen = ours.filter_map(Host::timeline).max().unwrap_or_default();
        self.timeline = self.timeline.max(seen);
    }

    /// The system identifier that most hosts have; of equally many, that of the first in the list.
    fn system_of_most(&self) -> Option<u64> {
        let systems = || {
            self.hosts
                .iter()
                .filter_map(|host| host.probe().map(|probe| probe.system))
        };
        let count = |system: u64| systems().filter(|other| *other == system).count();
        // `max_by_key` takes the last of equals.
        let listed: Vec<u64> = systems().collect();
        listed.into_iter().rev().max_by_key(|system| count(*system))
    }

    /// Makes a change and says what it did to the hosts' roles.
    fn change(&mut self, now: Instant, make: impl FnOnce(&mut Self)) -> Vec<Event> {
        let before = self.outcome();
        make(self);
        if let Ok(primary) = self.primary() {
            if self.primary != Some(primary.0) {
                // Positions of another primary say nothing about this one's standbys.
                self.samples = Samples::default();
            }
            self.primary = Some(primary.0);
        }
        let after = self.outcome();
        if before.0 != after.0 {
            // Whoever it is now is found by asking all; and how far the others are behind a new one.
            for host in &mut self.hosts {
                host.hurry(now);
            }
        }
        event::between(&before, &after)
    }

    fn outcome(&self) -> event::Outcome {
        let hosts = 0..self.hosts.len();
        let known = hosts.map(|host| (self.role(host), self.hosts[host].is_down()));
        (self.primary(), known.collect())
    }
}

#[cfg(test)]
mod tests;
