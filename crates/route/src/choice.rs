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
#[derive(Debug, Clone, Copy, PartialEq, Eq, Default)]
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
    standby: Option<(HostIndex, Instant)>,
    /// It may have seen everything up to here.
    floor: Lsn,
}

impl Seen {
    /// The primary has answered.
    pub fn primary(&mut self, now: Instant) {
        self.primary = Some(now);
        // Whatever a standby has shown, the primary has had before.
        self.standby = None;
    }

    /// A standby has answered.
    pub fn standby(&mut self, host: HostIndex, now: Instant) {
        self.standby = Some((host, now));
    }

    /// Everything up to a position is to be counted as seen.
    pub fn at_least(&mut self, lsn: Lsn) {
        self.floor = self.floor.max(lsn);
    }

    /// Counts as seen what another has seen of the primary.
    pub fn join(&mut self, other: &Self) {
        self.floor = self.floor.max(other.floor);
        self.primary = self.primary.max(other.primary);
    }

    /// A position that is not before anything that was seen of the primary, if it is known.
    pub fn position(&self, topology: &Topology) -> Option<Lsn> {
        let moments = self.primary.max(self.standby.map(|(_, at)| at));
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
        if let Some((last, moment)) = self.standby
            && last != host
        {
            floor = floor.max(topology.sampled_after(moment)?);
        }
        Some(floor)
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
    if want == Want::Primary {
        let why = Why::Asked;
        return primary.map(|host| Choice { host, why });
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
    let fresh: Candidates = hosts().filter(is_standby).filter(fits).collect();
    let share = primary.ok().filter(|_| policy.primary_shares);
    // Where it has read before, it has not to ask whether it is new enough.
    if let Some((last, _)) = seen.standby.filter(|_| policy.as_seen)
        && fresh.contains(&last)
    {
        let why = Why::Standby;
        return Ok(Choice { host: last, why });
    }
    let all: Candidates = fresh.iter().copied().chain(share).collect();
    if let Some(host) = chance.pick(policy.balance, &all) {
        let is_primary = share == Some(host);
        let why = if is_primary { Why::Share } else { Why::Standby };
        return Ok(Choice { host, why });
    }
    let answers = |host: HostIndex| topology.may_read(host, Freshness::default(), now);
    let why = if hosts().filter(is_standby).any(answers) {
        Why::NotFresh
    } else {
        Why::NoStandby
    };
    let resort = || {
        let any = topology.last_resort().filter(|_| policy.last_resort);
        let why = Why::LastResort;
        any.map(|host| Choice { host, why })
    };
    primary
        .map(|host| Choice { host, why })
        .or_else(|none| resort().ok_or(none))
}

type Candidates = smallvec::SmallVec<[HostIndex; 8]>;

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
    fn pick(&self, balance: Balance, among: &[HostIndex]) -> Option<HostIndex> {
        let count = among.len() as u64;
        if count <= 1 {
            return among.first().copied();
        }
        let at = |number: u64| among[(number % count) as usize];
        Some(match balance {
            Balance::RoundRobin => at(self.turn),
            Balance::Random => at(self.dice),
            Balance::LeastOutstanding => {
                let one = self.dice % count;
                // Another one: never the same.
                let other = (one + 1 + (self.dice >> 32) % (count - 1)) % count;
                let (one, other) = (at(one), at(other));
                if (self.load)(other) < (self.load)(one) {
                    other
                } else {
                    one
                }
            }
        })
    }
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
