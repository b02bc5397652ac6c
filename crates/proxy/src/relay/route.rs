//! Which host of a cluster serves a client's next unit.

use std::rc::Rc;
use std::sync::Arc;
use std::time::Instant;

use parking_lot::Mutex;
use pgweir_config::{Config, Consistency, Routing};
use pgweir_pool::PoolId;
use pgweir_route::intent::{Intent, Reason};
use pgweir_route::topology::NoPrimary;
use pgweir_route::{Choice, HostIndex, Policy, Seen, Want, Why};
use pgweir_session::{Client, Setback, Target, Unit};

use super::again::Asked;
use super::{Link, Relay};
use crate::client::{ClientState, Login};
use crate::cluster::{Cluster, InUse, policy};
use crate::routes::{Place, Routes};
use crate::worker::Worker;

/// The routing side of a conversation.
#[derive(Debug)]
pub struct Route {
    cluster: Arc<Cluster>,
    login: Rc<Login>,
    /// The configuration that the rest was taken from.
    source: Arc<Config>,
    policy: Policy,
    way: Way,
    /// Whether all clients of an `application_name` count as one.
    is_shared: bool,
    pools: Vec<Option<PoolId>>,
    seen: Seen,
    group: Option<Joined>,
    counts: Arc<Routes>,
    /// The host that was chosen last, until it has done its part.
    pub(super) used: Option<Used>,
    /// When it has answered last.
    heard: Option<Instant>,
    /// The standby that it would have been, if that was only asked for counting.
    would: Option<Choice>,
    /// What has been asked of it and may have to be asked of another.
    pub(super) asked: Asked,
}

/// What clients of a group have in common.
#[derive(Debug)]
struct Joined {
    application_name: Box<[u8]>,
    seen: Arc<Mutex<Seen>>,
}

/// A host in use.
#[derive(Debug)]
pub(super) struct Used {
    pub(super) host: InUse,
    /// Whether it is used as the primary.
    pub(super) is_primary: bool,
    /// What it was when it was chosen.
    incarnation: u64,
    /// What it is counted as: where it goes, and why.
    counted: (Place, &'static str),
}

/// By what a unit is sent.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
enum Way {
    /// All to the primary.
    Primary,
    /// All to standbys.
    Standby,
    /// As what is in it asks for.
    Intent,
    /// All to the primary; counted is what would be done otherwise.
    Shadow,
}

impl Route {
    /// For a client of a database that lies on a cluster.
    pub fn of(worker: &Worker, login: &Rc<Login>) -> Option<Self> {
        let source = worker.shared.config.load_full();
        let cluster = worker.shared.cluster_of(&source, &login.database)?;
        let pools = vec![None; cluster.hosts.len()];
        let counts = worker.shared.routes.of(&login.database);
        let mut route = Self {
            cluster,
            login: Rc::clone(login),
            source: Arc::clone(&source),
            policy: Policy::default(),
            way: Way::Primary,
            is_shared: false,
            pools,
            seen: Seen::default(),
            group: None,
            counts,
            used: None,
            heard: None,
            would: None,
            asked: Asked::default(),
        };
        route.follow(&source);
        Some(route)
    }

    /// Its cluster.
    pub fn cluster(&self) -> &Arc<Cluster> {
        &self.cluster
    }

    /// Its database.
    pub fn database(&self) -> &Arc<str> {
        &self.login.database
    }

    /// Whether units must be judged.
    pub fn judges(&self) -> bool {
        matches!(self.way, Way::Intent | Way::Shadow)
    }

    /// Takes from a configuration what it says.
    fn follow(&mut self, config: &Config) {
        let Some(entry) = config.database(&self.login.database) else {
            return;
        };
        self.way = match entry.routing() {
            Routing::Automatic => Way::Intent,
            Routing::Shadow => Way::Shadow,
            Routing::ByName if entry.is_read_only() => Way::Standby,
            Routing::ByName | Routing::Off => Way::Primary,
        };
        self.policy = policy(config, &entry);
        self.is_shared = entry.consistency() == Consistency::Application;
    }

    /// Looks whether the configuration is still the one that was followed.
    fn refresh(&mut self, worker: &Worker) {
        let config = worker.shared.config.load();
        if Arc::ptr_eq(&config, &self.source) {
            return;
        }
        let config = Arc::clone(&config);
        if let Some(cluster) = worker.shared.cluster_of(&config, &self.login.database)
            && !Arc::ptr_eq(&cluster, &self.cluster)
        {
            self.pools = vec![None; cluster.hosts.len()];
            // Positions of one cluster say nothing about another one. If it is the same with other hosts, what
            // was seen until now must be seen from then on.
            (self.seen, self.group) = (Seen::default(), None);
            self.seen.primary(Instant::now());
            self.cluster = cluster;
        }
        self.follow(&config);
        self.source = config;
    }

    /// The pool that is to serve what the client asks for next.
    ///
    /// # Errors
    /// There is no host for it.
    pub(super) fn choose(
        &mut self,
        worker: &Worker,
        client: &Client,
        now: Instant,
    ) -> Result<Option<PoolId>, NoPrimary> {
        self.refresh(worker);
        // Whatever it waited for before, it does not any more.
        self.used = None;
        self.heard = None;
        self.asked.begin();
        let unit = client.unit();
        let want = self.want(unit);
        if self.is_shared {
            self.join(client);
        }
        self.seen.at_least(client.own().min_lsn);
        let choice = self
            .cluster
            .choose(&self.policy, want, &mut self.seen, now)?;
        let is_primary = matches!(
            choice.why,
            Why::Asked | Why::Share | Why::NotFresh | Why::NoStandby
        );
        let counted = self.counted(unit, choice.why, is_primary, now);
        self.used = Some(Used {
            counted,
            host: InUse::new(&self.cluster, choice.host),
            is_primary,
            incarnation: choice.incarnation,
        });
        Ok(self.pool(worker, choice.host))
    }

    /// Whether the host in use has gone and come back since it was chosen. A standby may then be older than
    /// what was seen of it.
    pub(super) fn is_outdated(&self) -> bool {
        self.used.as_ref().is_some_and(|used| {
            let now = self.cluster.incarnation(used.host.host());
            !used.is_primary && self.policy.as_seen && now != used.incarnation
        })
    }

    /// The pool of the host in use, made anew: the one that was there is gone.
    pub(super) fn successor(&mut self, worker: &Worker) -> Option<PoolId> {
        let host = self.used.as_ref()?.host.host();
        self.pools[host.0] = None;
        self.pool(worker, host)
    }

    fn pool(&mut self, worker: &Worker, host: HostIndex) -> Option<PoolId> {
        if self.pools[host.0].is_none() {
            let Login { database, user, .. } = &*self.login;
            let place = &self.cluster.hosts[host.0];
            self.pools[host.0] = worker.shared.pool_at(database, user, place);
        }
        self.pools[host.0]
    }

    fn want(&self, unit: Option<Unit>) -> Want {
        // Where nothing is judged, it is what the client has asked for at its login.
        let said = self.login.target.filter(|_| unit.is_none());
        match (self.way, unit) {
            (Way::Shadow, _) => Want::Primary,
            _ if self.asked.of_primary() || said == Some(Target::Primary) => Want::Primary,
            _ if said == Some(Target::Standby) => Want::Read,
            (Way::Standby, _) => Want::Read,
            (Way::Intent, Some(unit)) if unit.intent() != Intent::Primary => Want::Read,
            _ => Want::Primary,
        }
    }

    /// The host that was chosen gets what the client asks for.
    pub(super) fn count(&self) {
        if let Some(Used {
            counted: (target, word),
            ..
        }) = self.used
        {
            self.counts.count(target, word);
        }
    }

    fn counted(
        &mut self,
        unit: Option<Unit>,
        why: Why,
        is_primary: bool,
        now: Instant,
    ) -> (Place, &'static str) {
        let target = if is_primary {
            Place::Primary
        } else {
            Place::Standby
        };
        match (self.way, unit) {
            (Way::Primary | Way::Standby, _) | (_, None) => (target, "name"),
            (Way::Shadow, Some(unit)) => self.shadow(unit, now),
            (Way::Intent, Some(unit)) => (target, reason(unit.reason, why)),
        }
    }

    /// A unit could not be done where it was sent, and is asked anew.
    pub(super) fn count_setback(&self, setback: Option<Setback>) {
        let target = match &self.used {
            Some(used) if !used.is_primary => Place::Standby,
            _ => Place::Primary,
        };
        let word = match setback {
            Some(Setback::ReadOnly) => "again_read_only",
            Some(Setback::Conflict) => "again_conflict",
            Some(Setback::Goodbye) => "again_goodbye",
            None => "again_lost",
        };
        self.counts.count(target, word);
    }

    /// What would have been done.
    fn shadow(&mut self, unit: Unit, now: Instant) -> (Place, &'static str) {
        if unit.intent() == Intent::Primary {
            return (Place::Primary, unit.reason.word());
        }
        let choice = self
            .cluster
            .choose(&self.policy, Want::Read, &mut self.seen, now);
        match choice {
            Ok(choice) if matches!(choice.why, Why::Standby | Why::LastResort) => {
                self.would = Some(choice);
                (Place::Standby, unit.reason.word())
            }
            Ok(choice) => (Place::Primary, reason(unit.reason, choice.why)),
            Err(_) => (Place::Primary, "no_standby"),
        }
    }

    /// Counts as one with the others of its `application_name`.
    fn join(&mut self, client: &Client) {
        let name = client.application_name();
        let joined = match &self.group {
            Some(joined) if *joined.application_name == *name => joined,
            _ => {
                let Login { database, user, .. } = &*self.login;
                let group = (Arc::clone(database), Arc::clone(user), name.into());
                self.group.insert(Joined {
                    application_name: name.into(),
                    seen: self.cluster.seen_by(group),
                })
            }
        };
        self.seen.join(&joined.seen.lock());
    }

    /// The host in use has answered, and the client has not heard it yet.
    pub(super) fn heard(&mut self) {
        // Later than whatever of the host's is in the answer: the task may have begun its turn long before.
        let now = Instant::now();
        self.heard = Some(now);
        if let (true, Some(used), Some(joined)) = (self.is_shared, &self.used, &self.group) {
            used.shows(&mut joined.seen.lock(), now);
        }
    }

    /// The lease has ended at a boundary: what the client has seen is known.
    pub(super) fn done(&mut self, since: Instant, now: Instant) {
        self.asked.end();
        let Some(used) = self.used.take() else {
            return;
        };
        used.host.took(now.saturating_duration_since(since));
        let Some(heard) = self.heard.take() else {
            return;
        };
        match self.would.take() {
            Some(would) => self.seen.standby(would.host, would.incarnation, heard),
            None => used.shows(&mut self.seen, heard),
        }
    }
}

impl Used {
    /// Somebody has seen something of it, not later than `now`.
    fn shows(&self, seen: &mut Seen, now: Instant) {
        if self.is_primary {
            seen.primary(now);
        } else {
            seen.standby(self.host.host(), self.incarnation, now);
        }
    }
}

impl Relay {
    /// A transaction that no server has heard of yet is one all the same.
    pub(super) fn note_begun(&self, now: Instant) {
        if !matches!(self.link, Link::None) || self.route.is_none() {
            return;
        }
        if self.session.has_begun() {
            self.client.enter(ClientState::InTransaction, now);
            let since = self.client.transaction_since.get();
            self.client.transaction_since.set(since.or(Some(now)));
        } else if self.client.state.get() == ClientState::InTransaction {
            self.client.enter(ClientState::Idle, now);
            self.client.transaction_since.set(None);
        }
    }
}

/// The word for why a unit goes where it goes: its own reason, unless that is not what decided.
fn reason(reason: Reason, why: Why) -> &'static str {
    match why {
        Why::Asked | Why::Standby => reason.word(),
        Why::Share => "share",
        Why::NotFresh => "not_fresh",
        Why::NoStandby => "no_standby",
        Why::LastResort => "last_resort",
    }
}
