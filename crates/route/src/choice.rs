//! Which host of a cluster a statement goes to.

use std::time::{Duration, Instant};

use crate::HostIndex;
use crate::topology::{Freshness, Lsn, NoPrimary, Topology};

/// Which of several hosts a read goes to.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Default)]
pub enum Balance {
    /// Of two at random the one with less load.
    #[default]
    LeastOutstanding,
    /// Each in its turn.
    RoundRobin,
    /// Any.
    Random,
}

/// How a database uses the hosts of its cluster.
#[derive(Debug, Clone, PartialEq, Eq, Default)]
pub struct Policy {
    /// Whether what is read must not be older than what has been [seen](Seen).
    pub as_seen: bool,
    /// How far behind a standby may be that is read from.
    pub lag_max: Option<Duration>,
    /// The same in bytes of WAL.
    pub lag_bytes_max: Option<u64>,
    /// Whether a host of which nothing is known is better than none.
    pub last_resort: bool,
    /// Which of several hosts a read goes to.
    pub balance: Balance,
    /// Whether the primary serves reads as any standby does.
    pub primary_shares: bool,
    /// What is said of each host, in their order. A host behind the end is as good as any.
    pub hosts: Vec<HostPolicy>,
    /// A host that was down gets its part of the reads little by little, within so long.
    pub slow_start: Duration,
}

/// What is said of a host.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct HostPolicy {
    /// How much of the reads it gets, measured against the others. With 0, none that another may serve.
    pub weight: u32,
    /// Whether it is in our own zone: others get no reads as long as such a one may serve them.
    pub is_near: bool,
}

impl Default for HostPolicy {
    fn default() -> Self {
        Self {
            weight: 1,
            is_near: true,
        }
    }
}

/// What a statement asks for.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Want {
    /// The primary.
    Primary,
    /// Any host that is new enough.
    Read,
}

/// Where it goes, and why there.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct Choice {
    /// The host.
    pub host: HostIndex,
    /// Why.
    pub why: Why,
    /// The host's [incarnation](Topology::incarnation): the choice stands as long as it does.
    pub incarnation: u64,
}

/// Why a statement goes to the host it goes to.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Hash)]
pub enum Why {
    /// It asked for the primary.
    Asked,
    /// A standby may serve it.
    Standby,
    /// The primary has its share of reads.
    Share,
    /// No standby is as new as it must be: so it is the primary.
    NotFresh,
    /// No standby answers: so it is the primary.
    NoStandby,
    /// Nobody is known to answer, and something is better than nothing.
    LastResort,
}

/// What a client has seen of a cluster: what it reads from now on must not be older (R4).
///
/// How far the primary was at some moment is known once it has been asked later than that, so
/// moments are kept until then, and positions from then on.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Default)]
pub struct Seen {
    /// It has used the primary then, or before.
    primary: Option<Instant>,
    /// It has read from this standby then, or before.
    standby: Option<ReadFrom>,
    /// It may have seen everything up to here.
    floor: Lsn,
}

/// A standby that was read from. It does not go back, unless it begins anew.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
struct ReadFrom {
    host: HostIndex,
    incarnation: u64,
    last: Instant,
}

impl Seen {
    /// The primary has answered, not later than `now`.
    pub fn primary(&mut self, now: Instant) {
        self.primary = self.primary.max(Some(now));
        // Whatever a standby has shown, the primary has had before.
        self.standby = self.standby.filter(|read| read.last > now);
    }

    /// A standby has answered, not later than `now`, and was of this incarnation when it was chosen.
    pub fn standby(&mut self, host: HostIndex, incarnation: u64, now: Instant) {
        let read = ReadFrom {
            host,
            incarnation,
            last: now,
        };
        self.add(read);
    }

    fn add(&mut self, read: ReadFrom) {
        let Some(before) = self.standby else {
            self.standby = Some(read);
            return;
        };
        let is_same = (before.host, before.incarnation) == (read.host, read.incarnation);
        let (first, last) = if before.last <= read.last {
            (before, read)
        } else {
            (read, before)
        };
        self.standby = Some(last);
        if !is_same {
            // Two have been read from: what the first has shown, the primary had at that time.
            self.primary = self.primary.max(Some(first.last));
        }
    }

    /// Everything up to a position is to be counted as seen.
    pub fn at_least(&mut self, lsn: Lsn) {
        self.floor = self.floor.max(lsn);
    }

    /// Counts as seen what another has seen.
    pub fn join(&mut self, other: &Self) {
        self.floor = self.floor.max(other.floor);
        self.primary = self.primary.max(other.primary);
        if let Some(read) = other.standby {
            self.add(read);
        }
    }

    /// A position that is not before anything that was seen of the primary, if it is known.
    pub fn position(&self, topology: &Topology) -> Option<Lsn> {
        let moments = self.primary.max(self.standby.map(|read| read.last));
        match moments {
            None => Some(self.floor),
            Some(moment) => Some(topology.sampled_after(moment)?.max(self.floor)),
        }
    }

    /// Makes positions of moments, where they are known by now.
    fn settle(&mut self, topology: &Topology) {
        if let Some(moment) = self.primary
            && let Some(lsn) = topology.sampled_after(moment)
        {
            self.floor = self.floor.max(lsn);
            self.primary = None;
        }
    }

    /// What a host must have, if it is known.
    fn at_least_of(&self, host: HostIndex, topology: &Topology) -> Option<Lsn> {
        if self.primary.is_some() {
            return None;
        }
        let mut floor = self.floor;
        // A host does not go back: only another one could be older.
        if let Some(read) = self.standby.filter(|read| !read.is_still(host, topology)) {
            floor = floor.max(topology.sampled_after(read.last)?);
        }
        Some(floor)
    }
}

impl ReadFrom {
    /// Whether it is this host, as it was.
    fn is_still(&self, host: HostIndex, topology: &Topology) -> bool {
        self.host == host && self.incarnation == topology.incarnation(host)
    }
}

/// Chooses the host of a statement.
///
/// # Errors
/// There is none: the statement waits.
pub fn choose(
    topology: &Topology,
    policy: &Policy,
    want: Want,
    seen: &mut Seen,
    chance: &Chance<'_>,
    now: Instant,
) -> Result<Choice, NoPrimary> {
    let primary = topology.primary();
    let choice = |host: HostIndex, why: Why| Choice {
        host,
        why,
        incarnation: topology.incarnation(host),
    };
    if want == Want::Primary {
        return primary.map(|host| choice(host, Why::Asked));
    }
    seen.settle(topology);
    let hosts = || (0..topology.len()).map(HostIndex);
    let is_standby = |host: &HostIndex| primary != Ok(*host);
    let wanted = |host: HostIndex| {
        let at_least = if policy.as_seen {
            seen.at_least_of(host, topology)?
        } else {
            Lsn::default()
        };
        Some(Freshness {
            at_least: (at_least > Lsn::default()).then_some(at_least),
            lag_max: policy.lag_max,
            lag_bytes_max: policy.lag_bytes_max,
        })
    };
    let fits = |host: &HostIndex| {
        let wanted = wanted(*host);
        wanted.is_some_and(|wanted| topology.may_read(*host, wanted, now))
    };
    let share = primary.ok().filter(|_| policy.primary_shares);
    let able = hosts().filter(is_standby).filter(fits).chain(share);
    if let Some(host) = chance.pick(policy.balance, policy.candidates(able, topology, now)) {
        let is_primary = share == Some(host);
        let why = if is_primary { Why::Share } else { Why::Standby };
        return Ok(choice(host, why));
    }
    let answers = |host: HostIndex| topology.may_read(host, Freshness::default(), now);
    let why = if hosts().filter(is_standby).any(answers) {
        Why::NotFresh
    } else {
        Why::NoStandby
    };
    let resort = || {
        let any = topology.last_resort().filter(|_| policy.last_resort);
        any.map(|host| choice(host, Why::LastResort))
    };
    primary
        .map(|host| choice(host, why))
        .or_else(|none| resort().ok_or(none))
}

/// Hosts of which one is to be chosen, and what their part is. Invariant: no part is 0.
type Candidates = smallvec::SmallVec<[(HostIndex, u64); 8]>;

/// The part of a host of weight 1 that was not down: so fine are the steps of the slow start.
const PART: u64 = 256;

impl Policy {
    /// Those among which chance decides.
    fn candidates(
        &self,
        able: impl Iterator<Item = HostIndex>,
        topology: &Topology,
        now: Instant,
    ) -> Candidates {
        let of = |host: HostIndex| self.hosts.get(host.0).copied().unwrap_or_default();
        let able: smallvec::SmallVec<[HostIndex; 8]> = able.collect();
        let best = able.iter().map(|host| {
            let HostPolicy { weight, is_near } = of(*host);
            (weight > 0, is_near)
        });
        // Weight before zone: who has weight 0 is to get nothing.
        let best = best.max().unwrap_or_default();
        let candidates = able.iter().filter_map(|host| {
            let HostPolicy { weight, is_near } = of(*host);
            let part = u64::from(weight.max(1)) * self.warmth(*host, topology, now);
            ((weight > 0, is_near) == best).then_some((*host, part))
        });
        candidates.collect()
    }

    /// Of [`PART`] how much a host gets that has come up.
    fn warmth(&self, host: HostIndex, topology: &Topology, now: Instant) -> u64 {
        let Some(up) = topology.up_since(host) else {
            return PART;
        };
        let up = now.saturating_duration_since(up).as_millis() as u64;
        let whole = self.slow_start.as_millis() as u64;
        if up >= whole {
            return PART;
        }
        (PART * up / whole).max(1)
    }
}

/// What choosing among equals goes by.
pub struct Chance<'a> {
    /// How much a host has to do, by any measure.
    pub load: &'a dyn Fn(HostIndex) -> u64,
    /// A random number.
    pub dice: u64,
    /// How many choices were made before.
    pub turn: u64,
}

impl Chance<'_> {
    fn pick(&self, balance: Balance, mut among: Candidates) -> Option<HostIndex> {
        if among.len() <= 1 {
            return among.first().map(|(host, _)| *host);
        }
        if balance == Balance::RoundRobin {
            return self.in_turn(&among);
        }
        let one = draw(self.dice as u32, &among)?;
        if balance == Balance::Random {
            return Some(among[one].0);
        }
        // Another one: never the same.
        let (one, part) = among.remove(one);
        let (other, other_part) = among[draw((self.dice >> 32) as u32, &among)?];
        let load = |host: HostIndex| u128::from((self.load)(host));
        // What it has to do for its part.
        let (here, there) = (
            load(one) * u128::from(other_part),
            load(other) * u128::from(part),
        );
        Some(if there < here { other } else { one })
    }

    /// In each round a host is next as often as its part is of the smallest one.
    fn in_turn(&self, among: &Candidates) -> Option<HostIndex> {
        let smallest = among.iter().map(|(_, part)| *part).min()?;
        let turns = |part: u64| part / smallest;
        let round: u64 = among.iter().map(|(_, part)| turns(*part)).sum();
        let mut place = self.turn % round;
        for (host, part) in among {
            match place.checked_sub(turns(*part)) {
                Some(rest) => place = rest,
                None => return Some(*host),
            }
        }
        None
    }
}

/// The place of one of several, each as likely as its part is large.
fn draw(dice: u32, among: &Candidates) -> Option<usize> {
    let whole: u64 = among.iter().map(|(_, part)| part).sum();
    // As far along the whole as the dice among all numbers.
    let mut place = ((u128::from(dice) * u128::from(whole)) >> 32) as u64;
    among.iter().position(|(_, part)| {
        let is_here = place < *part;
        place = place.saturating_sub(*part);
        is_here
    })
}

impl std::fmt::Debug for Chance<'_> {
    fn fmt(&self, out: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        let Self { dice, turn, .. } = self;
        out.debug_struct("Chance")
            .field("dice", dice)
            .field("turn", turn)
            .finish_non_exhaustive()
    }
}

#[cfg(test)]
mod tests;
