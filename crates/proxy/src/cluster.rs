//! The clusters that databases lie on, and what is known of their hosts.
//!
//! Databases with the same hosts have one cluster in common. Each is watched by tasks of `monitor`.

use std::pin::pin;
use std::sync::Arc;
use std::sync::atomic::{
    AtomicBool, AtomicU32, AtomicU64,
    Ordering::{Acquire, Relaxed, Release},
};
use std::time::{Duration, Instant};

use hashbrown::HashMap;
use parking_lot::Mutex;
use pgweir_config::{Balance, Config, Consistency, Database, Host, PrimaryReads, Routing};
use pgweir_route::topology::{
    Event, Freshness, HostView, NoPrimary, Pace, Probe, Topology, Trouble,
};
use pgweir_route::{Chance, Choice, HostIndex, HostPolicy, Policy, Seen, Want, Why, choose};
use tokio::sync::{Notify, watch};

use crate::limits;

/// How fast a host's latency follows what is measured: a new one counts as one of so many.
const LATENCY_SHARE: u64 = 16;

/// See the module.
#[derive(Debug)]
pub struct Cluster {
    /// The names of its hosts, as a pool has them.
    pub name: Arc<str>,
    /// Its hosts.
    pub hosts: Vec<Host>,
    /// A database that lies on it, in which the hosts are asked what they are.
    pub database: Arc<str>,
    /// Changes whenever its hosts' roles do.
    pub version: watch::Sender<u64>,
    /// Has the tasks that watch it look whether somebody is to be asked, or whether it is retired.
    pub nudge: Notify,
    topology: Mutex<Topology>,
    /// Somebody may wait for an answer.
    answered: Notify,
    loads: Vec<Load>,
    /// What asking each of them came to last, if it went wrong.
    failures: Mutex<Vec<Option<Arc<str>>>>,
    turn: AtomicU64,
    holding: AtomicU32,
    retired: AtomicBool,
    /// What clients that count as one have seen.
    groups: Arc<Mutex<Groups>>,
}

/// No host is made anew from an older copy in less time.
const STALE_AFTER_MIN: Duration = Duration::from_secs(1);

type Groups = HashMap<Group, Arc<Mutex<Seen>>>;

/// Database, user and `application_name`.
pub type Group = (Arc<str>, Arc<str>, Box<[u8]>);

/// So many groups are remembered before those without clients are swept out.
const GROUPS_SWEEP: usize = 1024;

#[derive(Debug, Default)]
struct Load {
    /// Leases, and clients that wait for one.
    outstanding: AtomicU32,
    /// How long a lease takes, in microseconds.
    latency: AtomicU64,
    /// A copy of [`Topology::incarnation`], for those who only want to know whether it is still the same.
    incarnation: AtomicU64,
}

impl Cluster {
    fn new(hosts: Vec<Host>, database: &str, pace: Pace) -> Arc<Self> {
        let names: Vec<String> = hosts.iter().map(ToString::to_string).collect();
        let topology = Topology::new(hosts.len(), pace, Instant::now());
        let load = |host| Load {
            incarnation: AtomicU64::new(topology.incarnation(HostIndex(host))),
            ..Load::default()
        };
        let loads = (0..hosts.len()).map(load).collect();
        Arc::new(Self {
            name: names.join(",").into(),
            database: database.into(),
            version: watch::Sender::new(0),
            nudge: Notify::new(),
            answered: Notify::new(),
            topology: Mutex::new(topology),
            loads,
            failures: Mutex::new(vec![None; hosts.len()]),
            turn: AtomicU64::new(0),
            holding: AtomicU32::new(0),
            retired: AtomicBool::new(false),
            groups: Arc::default(),
            hosts,
        })
    }

    /// The same with other hosts: it knows what this one does of those that stay.
    fn with_hosts(&self, hosts: Vec<Host>, database: &str, pace: Pace) -> Arc<Self> {
        let before: Vec<Option<HostIndex>> = hosts
            .iter()
            .map(|host| self.host(&host.to_string()))
            .collect();
        let mut new = Self::new(hosts, database, pace);
        let this = Arc::get_mut(&mut new).expect("nobody else has it yet");
        let topology = self.topology.lock();
        this.topology = Mutex::new(topology.with_hosts(&before, pace, Instant::now()));
        for (load, before) in this.loads.iter_mut().zip(&before) {
            let Some(before) = before else { continue };
            *load.incarnation.get_mut() = topology.incarnation(*before);
            *load.latency.get_mut() = self.loads[before.0].latency.load(Relaxed);
        }
        drop(topology);
        this.groups = Arc::clone(&self.groups);
        new
    }

    /// Where a statement goes.
    ///
    /// # Errors
    /// Nowhere, for now.
    pub fn choose(
        &self,
        policy: &Policy,
        want: Want,
        seen: &mut Seen,
        now: Instant,
    ) -> Result<Choice, NoPrimary> {
        let load = |host: HostIndex| {
            let load = &self.loads[host.0];
            let latency = load.latency.load(Relaxed).max(1);
            (u64::from(load.outstanding.load(Relaxed)) + 1) * latency
        };
        let chance = Chance {
            load: &load,
            dice: rand::random(),
            turn: self.turn.fetch_add(1, Relaxed),
        };
        let mut topology = self.topology.lock();
        let choice = choose(&topology, policy, want, seen, &chance, now);
        if choice.is_ok_and(|choice| choice.why == Why::NotFresh) {
            topology.freshness_is_wanted(now);
            drop(topology);
            self.nudge.notify_one();
        }
        choice
    }

    /// Whether a host is the primary.
    pub fn is_primary(&self, host: HostIndex) -> bool {
        self.topology.lock().primary() == Ok(host)
    }

    /// The host to ask when it does not matter which one it is, if there are any.
    pub fn any_host(&self) -> Option<&Host> {
        let topology = self.topology.lock();
        let primary = topology.primary().ok();
        let known = primary
            .or_else(|| standby(&topology))
            .or_else(|| topology.last_resort());
        self.hosts.get(known.map_or(0, |host| host.0))
    }

    /// Whether there is a host that can serve somebody.
    pub fn serves(&self) -> Result<(), NoPrimary> {
        let topology = self.topology.lock();
        match topology.primary() {
            Err(why) if standby(&topology).is_none() => Err(why),
            _ => Ok(()),
        }
    }

    /// The place of a host that a pool is named after.
    pub fn host(&self, name: &str) -> Option<HostIndex> {
        let place = self.hosts.iter().position(|host| host.to_string() == name);
        place.map(HostIndex)
    }

    /// Does something with what is known of the hosts.
    pub fn topology<R>(&self, look: impl FnOnce(&mut Topology) -> R) -> R {
        look(&mut self.topology.lock())
    }

    /// A host has said what it is.
    #[must_use]
    pub fn probed(&self, host: HostIndex, probe: Probe, asked: Instant) -> Vec<Event> {
        self.failures.lock()[host.0] = None;
        let events = {
            let mut topology = self.topology.lock();
            topology.probed(host, probe, asked, Instant::now())
        };
        self.answered.notify_waiters();
        events
    }

    /// Something has gone wrong with a host since then.
    #[must_use]
    pub fn troubled(
        &self,
        host: HostIndex,
        trouble: Trouble,
        cause: Option<&str>,
        since: Instant,
    ) -> Vec<Event> {
        if let Some(cause) = cause {
            self.failures.lock()[host.0] = Some(cause.into());
        }
        let events = {
            let mut topology = self.topology.lock();
            let events = topology.troubled(host, trouble, since, Instant::now());
            let incarnation = topology.incarnation(host);
            self.loads[host.0].incarnation.store(incarnation, Release);
            events
        };
        // It may be due earlier than it was.
        self.nudge.notify_one();
        events
    }

    /// A number that changes whenever a host may have begun anew.
    pub fn incarnation(&self, host: HostIndex) -> u64 {
        self.loads[host.0].incarnation.load(Acquire)
    }

    /// Waits until a standby has shown, on the connection on which it is watched, that it has not begun anew before
    /// a connection to it was opened. Who knows it from before would take it for what it was.
    pub async fn is_confirmed(&self, host: HostIndex, opened: Instant) {
        while !self.is_retired() {
            let mut answered = pin!(self.answered.notified());
            answered.as_mut().enable();
            let is_so = self.topology(|topology| {
                if topology.primary() == Ok(host) || topology.has_answered_since(host, opened) {
                    return true;
                }
                topology.hurry(host, Instant::now());
                false
            });
            if is_so {
                return;
            }
            self.nudge.notify_one();
            answered.await;
        }
    }

    /// For SHOW HOSTS: what is known of a host, and what asking it came to if that went wrong.
    pub fn view(&self, host: HostIndex, now: Instant) -> Option<(HostView, Option<Arc<str>>)> {
        let view = self.topology.lock().view(host, now)?;
        let failure = self.failures.lock().get(host.0).cloned().flatten();
        Some((view, failure))
    }

    /// Whether statements go to a host, as long as nothing else is asked for than this.
    pub fn is_in_rotation(&self, host: HostIndex, wanted: Freshness, now: Instant) -> bool {
        self.topology.lock().may_read(host, wanted, now)
    }

    /// How much a host has to do: leases, clients that wait for one, and how long a lease takes.
    pub fn load(&self, host: HostIndex) -> (u32, Duration) {
        let load = &self.loads[host.0];
        let latency = Duration::from_micros(load.latency.load(Relaxed));
        (load.outstanding.load(Relaxed), latency)
    }

    /// What went wrong with the hosts, for an error.
    pub fn failures(&self) -> Vec<String> {
        let failures = self.failures.lock();
        let hosts = self.hosts.iter().zip(&*failures);
        hosts
            .filter_map(|(host, failure)| Some(format!("{host}: {}", failure.as_ref()?)))
            .collect()
    }

    /// What all clients of a group have seen.
    pub fn seen_by(&self, group: Group) -> Arc<Mutex<Seen>> {
        let mut groups = self.groups.lock();
        if groups.len() >= GROUPS_SWEEP {
            groups.retain(|_, seen| Arc::strong_count(seen) > 1);
        }
        Arc::clone(groups.entry(group).or_default())
    }

    /// Whether nobody is to watch it any more.
    pub fn is_retired(&self) -> bool {
        self.retired.load(Relaxed)
    }

    fn retire(&self) {
        self.retired.store(true, Relaxed);
        self.nudge.notify_one();
        self.answered.notify_waiters();
        self.version.send_modify(|version| *version += 1);
    }
}

/// Why there is no primary, in half a sentence.
pub fn say(cluster: &Cluster, why: NoPrimary) -> String {
    let host = |host: HostIndex| &cluster.hosts[host.0];
    match why {
        NoPrimary::NotYetKnown if cluster.hosts.is_empty() => {
            "Patroni has not said yet what the hosts are".to_owned()
        }
        NoPrimary::NotYetKnown => "not all hosts have been asked yet".to_owned(),
        NoPrimary::None => "no host is out of recovery".to_owned(),
        NoPrimary::Down(it) => format!("{} was it, and does not answer", host(it)),
        NoPrimary::InDoubt(it) => format!("{} was it, and is being asked again", host(it)),
        NoPrimary::Paused(it) => format!("{} is it, and PAUSE is in force", host(it)),
        NoPrimary::Several => "several hosts claim to be it, on the same timeline".to_owned(),
    }
}

/// That no host of a cluster may serve a client.
#[derive(Debug)]
pub struct NoHost {
    /// Why not, in half a sentence.
    pub why: String,
    /// What asking the hosts came to.
    pub failures: Vec<String>,
    /// How long it has waited; nothing if there were too many who wait already.
    pub waited: Option<Duration>,
}

/// A standby that answers.
fn standby(topology: &Topology) -> Option<HostIndex> {
    let mut hosts = (0..topology.len()).map(HostIndex);
    let (any, now) = (Freshness::default(), Instant::now());
    hosts.find(|host| topology.may_read(*host, any, now))
}

/// A client's use of a host, from the choice to the end of the lease.
#[derive(Debug)]
pub struct InUse {
    cluster: Arc<Cluster>,
    host: HostIndex,
}

impl InUse {
    /// A host has been chosen.
    pub fn new(cluster: &Arc<Cluster>, host: HostIndex) -> Self {
        cluster.loads[host.0].outstanding.fetch_add(1, Relaxed);
        Self {
            cluster: Arc::clone(cluster),
            host,
        }
    }

    /// Which one.
    pub fn host(&self) -> HostIndex {
        self.host
    }

    /// The lease has ended as it should, after so long.
    pub fn took(&self, time: Duration) {
        let latency = &self.cluster.loads[self.host.0].latency;
        let before = latency.load(Relaxed);
        let time = time.as_micros() as u64;
        // What another thread adds meanwhile may be lost: it is an average.
        let after = if before == 0 {
            time
        } else {
            (before * (LATENCY_SHARE - 1) + time) / LATENCY_SHARE
        };
        latency.store(after, Relaxed);
    }
}

impl Drop for InUse {
    fn drop(&mut self) {
        let load = &self.cluster.loads[self.host.0];
        load.outstanding.fetch_sub(1, Relaxed);
    }
}

/// A client that waits because there is no host for it.
#[derive(Debug)]
pub struct Held {
    cluster: Arc<Cluster>,
    /// Since when.
    pub since: Instant,
    /// Why.
    pub why: NoPrimary,
}

impl Held {
    /// One more waits, unless there are as many already as may; 0: any number may.
    pub fn new(cluster: &Arc<Cluster>, why: NoPrimary, max: u32, now: Instant) -> Option<Self> {
        let before = cluster.holding.fetch_add(1, Relaxed);
        let held = Self {
            cluster: Arc::clone(cluster),
            since: now,
            why,
        };
        (max == 0 || before < max).then_some(held)
    }
}

impl Drop for Held {
    fn drop(&mut self) {
        self.cluster.holding.fetch_sub(1, Relaxed);
    }
}

/// The clusters in force.
#[derive(Debug, Default)]
pub struct Clusters(Mutex<HashMap<String, Arc<Cluster>>>);

impl Clusters {
    /// The cluster of a database, if it lies on one; and whether it is new, so that somebody has to watch it.
    pub fn of(&self, config: &Config, name: &str) -> Option<(Arc<Cluster>, bool)> {
        let entry = config.database(name)?;
        if entry.routing() == Routing::Off {
            return None;
        }
        let names = limits::host_names(config, entry.database);
        let mut clusters = self.0.lock();
        if let Some(cluster) = clusters.get(&names) {
            return Some((Arc::clone(cluster), false));
        }
        let hosts = limits::hosts(config, entry.database);
        let pace = pace(config, entry.database);
        let shared = |cluster: &&Arc<Cluster>| {
            let is_there = |host: &&Host| cluster.hosts.contains(host);
            hosts.iter().filter(is_there).count()
        };
        let predecessor = clusters.values().max_by_key(shared);
        let cluster = match predecessor.filter(|it| shared(it) > 0) {
            Some(before) => before.with_hosts(hosts, name, pace),
            None => Cluster::new(hosts, name, pace),
        };
        clusters.insert(names, Arc::clone(&cluster));
        Some((cluster, true))
    }

    /// All of them, by name.
    pub fn all(&self) -> Vec<Arc<Cluster>> {
        let mut all: Vec<_> = self.0.lock().values().cloned().collect();
        all.sort_by(|a, b| a.name.cmp(&b.name));
        all
    }

    /// Those that no database of the configuration lies on any more are not watched any longer, and returned.
    pub fn keep_those_of(&self, config: &Config) -> Vec<Arc<Cluster>> {
        let is_used = |names: &str| {
            let mut databases = config.databases.values();
            databases.any(|database| {
                database.routing() != Routing::Off && limits::host_names(config, database) == names
            })
        };
        let mut gone = Vec::new();
        self.0.lock().retain(|names, cluster| {
            let used = is_used(names);
            if !used {
                cluster.retire();
                gone.push(Arc::clone(cluster));
            }
            used
        });
        gone
    }
}

/// How a database uses its hosts.
pub fn policy(config: &Config, entry: &Database) -> Policy {
    let consistency = entry.consistency();
    let is_eventual = consistency == Consistency::Eventual;
    let here = config.settings.zone.as_deref();
    let hosts = limits::hosts(config, entry);
    let said = |host: &Host| HostPolicy {
        weight: entry.weight(host),
        is_near: here.is_none() || entry.zone(host) == here,
    };
    Policy {
        as_seen: matches!(consistency, Consistency::Session | Consistency::Application),
        lag_max: entry.max_lag().filter(|_| !is_eventual),
        lag_bytes_max: entry.max_lag_bytes().filter(|_| !is_eventual),
        last_resort: is_eventual,
        balance: match entry.balance() {
            Balance::LeastOutstanding => pgweir_route::Balance::LeastOutstanding,
            Balance::RoundRobin => pgweir_route::Balance::RoundRobin,
            Balance::Random => pgweir_route::Balance::Random,
        },
        primary_shares: entry.primary_reads() == PrimaryReads::Share,
        hosts: hosts.iter().map(said).collect(),
        slow_start: entry.slow_start(),
    }
}

/// How often the hosts are asked: often enough for what is asked of their lag.
fn pace(config: &Config, database: &Database) -> Pace {
    let bound = database.max_lag().map(|lag| lag / 4);
    let every = config.settings.monitor_interval;
    let every = bound.map_or(every, |bound| every.min(bound));
    let every = every.max(Duration::from_millis(10));
    Pace {
        every,
        stale_after: (every * 3).max(STALE_AFTER_MIN),
    }
}
