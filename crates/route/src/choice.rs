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
    /// The host's [incarnation](Topology::incarnation): the choice stands as long as it does.
    pub incarnation: u32,
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
    incarnation: u32,
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
    pub fn standby(&mut self, host: HostIndex, incarnation: u32, now: Instant) {
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
    let fresh: Candidates = hosts().filter(is_standby).filter(fits).collect();
    let share = primary.ok().filter(|_| policy.primary_shares);
    // Where it has read before, it has not to ask whether it is new enough.
    if let Some(ReadFrom { host, .. }) = seen.standby.filter(|_| policy.as_seen)
        && fresh.contains(&host)
    {
        return Ok(choice(host, Why::Standby));
    }
    let all: Candidates = fresh.iter().copied().chain(share).collect();
    if let Some(host) = chance.pick(policy.balance, &all) {
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
