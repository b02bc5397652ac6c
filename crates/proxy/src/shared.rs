//! What all workers have in common.

use std::net::SocketAddr;
use std::sync::Arc;
use std::sync::atomic::{AtomicU32, AtomicU64, Ordering::Relaxed};
use std::time::{Duration, Instant};

use arc_swap::ArcSwap;
use hashbrown::HashMap;
use parking_lot::Mutex;
use pgweir_admin::FdRow;
use pgweir_auth::{Salting, ScramKeys};
use pgweir_config::{Config, Host};
use pgweir_pool::{Fatal, Kind, PoolId, PoolKey, Pools, Release, WorkerId};
use pgweir_route::Hosts;
use pgweir_session::{Parameters, Statements};
use tokio::sync::mpsc::error::SendError;
use tokio::sync::{Semaphore, mpsc, watch};

use crate::admission::{Admissions, Newcomers};
use crate::cluster::{Cluster, Clusters};
use crate::discovered::Discovered;
use crate::dns::Dns;
use crate::faults::Faults;
use crate::files::Files;
use crate::limits;
use crate::mail::{Mail, Order};
use crate::pam;
use crate::peers::Peers;
use crate::requests::Requests;
use crate::routes::AllRoutes;
use crate::rules::Rules;
use crate::stats::{DatabaseStats, Stats};
use crate::suspension::Suspension;
use crate::tls::Tls;
use crate::users::{self, Found, Users};
use crate::written::Written;

/// How much younger a waiter on the worker where a connection is given back may be than the
/// oldest waiter of another worker and still be served first: moving a connection costs more.
/// More than the time that waiters of a busy pool wait anyway, less than anybody notices.
const LOCALITY: Duration = Duration::from_millis(15);

/// Which sockets accept.
#[derive(Debug, Clone, Copy, PartialEq, Eq, PartialOrd, Ord)]
pub enum Open {
    /// All.
    Everything,
    /// Only Unix sockets, and those only for the console: the pooler goes down.
    UnixOnly,
    /// None.
    Nothing,
}

/// See the module.
#[derive(Debug)]
pub struct Shared {
    /// Who may use which server connection. Held for well under a microsecond at a time, never
    /// across an await (X2).
    pub pools: Mutex<Pools>,
    /// The configuration in force.
    pub config: ArcSwap<Config>,
    /// Held by whoever makes a configuration from the one in force, until his is.
    pub changing: Mutex<()>,
    /// Where and how it is written.
    pub written: Written,
    /// The secrets in force.
    pub users: ArcSwap<Users>,
    /// Who is asked what.
    pub rules: ArcSwap<Rules>,
    /// Certificates and keys in force.
    pub tls: ArcSwap<Tls>,
    /// Prepared statements.
    pub statements: Statements,
    /// Of this process alone: makes cancel keys and the salts shown to unknown users.
    pub process_secret: [u8; 32],
    /// What servers of a pool report at login, to be told to clients.
    pub welcome: Mutex<HashMap<PoolId, Arc<Parameters>>>,
    /// Keys learnt from clients' SCRAM logins, by user.
    pub scram_keys: Mutex<HashMap<String, ScramKeys>>,
    /// Secrets that `auth_query` has found.
    pub found: Found,
    /// Health of the hosts of each database.
    pub hosts: Mutex<HashMap<Arc<str>, Hosts>>,
    /// Counters by database.
    pub stats: Mutex<std::collections::BTreeMap<Arc<str>, DatabaseStats>>,
    /// The same for all databases together; its `workers` are empty.
    pub overall: Mutex<DatabaseStats>,
    /// Sockets that listen, for SHOW FDS.
    pub listening: Mutex<Vec<FdRow>>,
    /// Taken by who asks PAM.
    pub pam: Semaphore,
    /// The clusters that databases lie on.
    pub clusters: Clusters,
    /// Hosts of clusters that Patroni knows.
    pub discovered: Discovered,
    /// Where their statements went.
    pub routes: AllRoutes,
    /// Names of hosts.
    pub dns: Dns,
    /// Errors of ours.
    pub faults: Faults,
    /// TLS handshakes with clients that have succeeded, and that have failed.
    pub tls_handshakes: [AtomicU64; 2],
    /// Cancel requests that have come.
    pub cancel_requests: AtomicU64,
    /// Cancel requests on their way to servers, by the pools of those; none that is over.
    pub cancels: Mutex<HashMap<PoolId, Arc<Requests>>>,
    /// Cancel requests on their way to other processes.
    pub peers: Peers,
    /// When the averages were last taken.
    pub averaged: Mutex<Instant>,
    /// The clients that are there.
    pub admissions: Arc<Admissions>,
    /// Which sockets accept.
    pub open: watch::Sender<Open>,
    /// SUSPEND.
    pub suspension: Suspension,
    /// Connections that have not logged in yet.
    pub newcomers: Newcomers,
    /// What the console and signals ask of the main thread.
    pub orders: mpsc::UnboundedSender<Order>,
    /// When the process started.
    pub started: jiff::Timestamp,
    mailboxes: Vec<mpsc::UnboundedSender<Mail>>,
    /// Clients of each worker, those that log in included.
    busy: Vec<AtomicU32>,
    next_id: AtomicU64,
}

impl Shared {
    /// For as many workers as there are mailboxes.
    pub fn new(
        mut config: Config,
        files: Files,
        written: Written,
        mailboxes: Vec<mpsc::UnboundedSender<Mail>>,
        orders: mpsc::UnboundedSender<Order>,
    ) -> Arc<Self> {
        let workers = mailboxes.len();
        let process_secret = rand::random();
        let discovered = Discovered::default();
        discovered.fill(&mut config);
        let Files {
            mut users,
            rules,
            tls,
        } = files;
        let salting = Salting {
            key: process_secret,
            iterations: config.settings.scram_iterations,
        };
        users::prepare(&mut users, &Users::default(), &salting);
        Arc::new(Self {
            pools: Mutex::new(Pools::new(workers as u16, LOCALITY)),
            config: ArcSwap::from_pointee(config),
            changing: Mutex::default(),
            written,
            users: ArcSwap::from_pointee(users),
            rules: ArcSwap::from_pointee(rules),
            tls: ArcSwap::from_pointee(tls),
            statements: Statements::new(rand::random()),
            process_secret,
            welcome: Mutex::default(),
            scram_keys: Mutex::default(),
            found: Found::default(),
            hosts: Mutex::default(),
            stats: Mutex::default(),
            overall: Mutex::default(),
            listening: Mutex::default(),
            pam: Semaphore::new(pam::AT_ONCE),
            discovered,
            clusters: Clusters::default(),
            routes: AllRoutes::default(),
            dns: Dns::default(),
            faults: Faults::default(),
            tls_handshakes: Default::default(),
            cancel_requests: AtomicU64::new(0),
            cancels: Mutex::default(),
            peers: Peers::default(),
            averaged: Mutex::new(Instant::now()),
            suspension: Suspension::default(),
            newcomers: Newcomers::default(),
            open: watch::Sender::new(Open::Everything),
            orders,
            started: jiff::Timestamp::now(),
            admissions: Arc::default(),
            busy: (0..workers).map(|_| AtomicU32::new(0)).collect(),
            mailboxes,
            next_id: AtomicU64::new(1),
        })
    }

    /// How verifiers are made of passwords.
    pub fn salting(&self) -> Salting {
        self.salting_of(&self.config.load())
    }

    /// The same under a configuration that may not be in force yet.
    pub fn salting_of(&self, config: &Config) -> Salting {
        Salting {
            key: self.process_secret,
            iterations: config.settings.scram_iterations,
        }
    }

    /// What a new connection of a pool has reported: one value as long as all report the same, so
    /// that it can be told by its address that they do.
    pub fn base(&self, pool: PoolId, reported: Parameters) -> Arc<Parameters> {
        let mut welcome = self.welcome.lock();
        if let Some(known) = welcome.get(&pool).filter(|known| ***known == reported) {
            return Arc::clone(known);
        }
        let base = Arc::new(reported);
        welcome.insert(pool, Arc::clone(&base));
        base
    }

    /// How many workers there are.
    pub fn workers(&self) -> usize {
        self.mailboxes.len()
    }

    /// Sends mail to a worker.
    pub fn mail(&self, worker: WorkerId, mail: Mail) {
        if let Err(SendError(mail)) = self.mailboxes[usize::from(worker.0)].send(mail) {
            self.send_back(mail);
        }
    }

    /// Mail for a worker that has stopped is dropped, but each permit and each lease in it is
    /// answered: they are the pools'.
    pub fn send_back(&self, mail: Mail) {
        let now = Instant::now();
        match mail {
            Mail::Open(permit) => {
                let cause = "the worker has stopped".into();
                let mut pools = self.pools.lock();
                pools.failed(permit, cause, Fatal::Retry, now);
            }
            Mail::Hand { lease, .. } | Mail::Arrive { lease, .. } | Mail::Slot { lease, .. } => {
                let mut pools = self.pools.lock();
                pools.release(lease, Release::Close("lost"), now);
            }
            _ => {}
        }
    }

    /// A name has some addresses no longer: connections to them are closed as soon as nobody uses them.
    pub fn outdate(&self, name: &str, gone: &[SocketAddr]) {
        if gone.is_empty() {
            return;
        }
        tracing::info!(name, ?gone, "host has other addresses");
        let (name, gone) = (Arc::<str>::from(name), Arc::<[SocketAddr]>::from(gone));
        for worker in 0..self.workers() {
            let (name, gone) = (Arc::clone(&name), Arc::clone(&gone));
            self.mail(WorkerId(worker as u16), Mail::Outdate { name, gone });
        }
    }

    /// SUSPEND, or its end; says whether that is a change.
    pub fn suspend(&self, suspended: bool) -> bool {
        let changed = self.suspension.set(suspended);
        if changed {
            for worker in 0..self.workers() {
                self.mail(WorkerId(worker as u16), Mail::Suspend(suspended));
            }
        }
        changed
    }

    /// The next number for SHOW CLIENTS and SHOW SERVERS.
    pub fn next_id(&self) -> u64 {
        self.next_id.fetch_add(1, Relaxed)
    }

    /// The worker with the fewest clients; it counts one more from now on.
    pub fn least_busy(&self) -> WorkerId {
        let loads = self.busy.iter().map(|busy| busy.load(Relaxed));
        let (worker, _) = loads
            .enumerate()
            .min_by_key(|(_, load)| *load)
            .unwrap_or((0, 0));
        self.busy[worker].fetch_add(1, Relaxed);
        WorkerId(worker as u16)
    }

    /// Connections of clients that are there: those of the console, and those that log in, too.
    pub fn connections(&self) -> u32 {
        self.busy.iter().map(|busy| busy.load(Relaxed)).sum()
    }

    /// A client of a worker is gone.
    pub fn less_busy(&self, worker: WorkerId) {
        self.busy[usize::from(worker.0)].fetch_sub(1, Relaxed);
    }

    /// The pool for a client of this database and user; `None` if the database is not configured. On a
    /// cluster it is that of the primary, as far as one is known.
    pub fn pool(&self, database: &str, user: &str, kind: Kind) -> Option<PoolId> {
        let config = self.config.load();
        let user = config.database(database)?.pool_user(user);
        self.pool_of_user(&config, database, user, kind)
    }

    /// The same of this very user, whoever the database's clients are on the server.
    pub fn pool_as(&self, database: &str, user: &str) -> Option<PoolId> {
        self.pool_of_user(&self.config.load(), database, user, Kind::Normal)
    }

    fn pool_of_user(
        &self,
        config: &Config,
        database: &str,
        user: &str,
        kind: Kind,
    ) -> Option<PoolId> {
        let cluster = self.cluster_of(config, database);
        let host = cluster.and_then(|cluster| Some(cluster.any_host()?.to_string()));
        let key = limits::key_as(config, database, user, kind, host.as_deref())?;
        Some(self.pool_of(config, &key))
    }

    /// The pool for a client of this database and user at one host of its cluster.
    pub fn pool_at(&self, database: &str, user: &str, host: &Host) -> Option<PoolId> {
        let config = self.config.load();
        let user = config.database(database)?.pool_user(user);
        let host = host.to_string();
        let key = limits::key_as(&config, database, user, Kind::Normal, Some(&host))?;
        Some(self.pool_of(&config, &key))
    }

    /// The cluster that a database lies on, if it does; it is watched from now on.
    pub fn cluster_of(&self, config: &Config, database: &str) -> Option<Arc<Cluster>> {
        let (cluster, is_new) = self.clusters.of(config, database)?;
        if is_new {
            // One worker does it for all.
            self.mail(WorkerId(0), Mail::Watch(Arc::clone(&cluster)));
        }
        Some(cluster)
    }

    fn pool_of(&self, config: &Config, key: &PoolKey) -> PoolId {
        let mut pools = self.pools.lock();
        if let Some(pool) = pools.find(key) {
            return pool;
        }
        let limits = limits::of_pool(config, key);
        limits::set_caps(config, key, &mut pools);
        pools.pool(key, &limits)
    }

    /// Drops what is kept of a database, counters included, unless clients have come meanwhile.
    pub fn forget_database(&self, database: &str, now: Instant) {
        self.admissions.unless_used(database, || {
            let mut pools = self.pools.lock();
            pools.remove_database(database, now);
            let there: Vec<PoolId> = pools.iter().map(|pool| pool.id).collect();
            drop(pools);
            self.welcome.lock().retain(|pool, _| there.contains(pool));
            self.hosts.lock().remove(database);
            self.stats.lock().remove(database);
            self.routes.forget(database);
            self.found.forget_database(database);
        });
    }

    /// The counters of a database on one worker.
    pub fn stats_of(&self, database: &str, worker: WorkerId) -> Arc<Stats> {
        let mut stats = self.stats.lock();
        let workers = self.workers();
        let entry = stats
            .entry(database.into())
            .or_insert_with(|| DatabaseStats {
                workers: (0..workers).map(|_| Arc::default()).collect(),
                ..DatabaseStats::default()
            });
        Arc::clone(&entry.workers[usize::from(worker.0)])
    }
}
