//! What all workers have in common.

use std::rc::Rc;
use std::sync::Arc;
use std::sync::atomic::{AtomicU32, AtomicU64, Ordering::Relaxed};
use std::time::{Duration, Instant};

use arc_swap::ArcSwap;
use hashbrown::HashMap;
use parking_lot::Mutex;
use pgweir_auth::{ScramKeys, Secret};
use pgweir_config::Config;
use pgweir_pool::{Kind, PoolId, PoolKey, Pools, WorkerId};
use pgweir_route::Hosts;
use pgweir_session::{Parameters, Rules, Statements};
use tokio::sync::{mpsc, watch};

use crate::listen::Open;
use crate::report::Report;
use crate::stats::{Stats, Totals};
use crate::tls::Tls;
use crate::worker::Mail;

/// How much younger a waiter on the worker where a connection is given back may be than the
/// oldest waiter of another worker and still be served first: moving a connection costs more.
const LOCALITY: Duration = Duration::from_millis(2);

/// Settings that workers need for each transaction, in the form in which they need them.
#[derive(Debug)]
pub struct Limits {
    /// The configuration that they were taken from.
    source: Arc<Config>,
    max_prepared_statements: usize,
    /// `server_reset_query`.
    pub reset_query: Vec<u8>,
    /// `server_reset_query_always`.
    pub reset_always: bool,
    /// `server_check_query`; none: connections are not checked.
    pub check_query: Option<Vec<u8>>,
    /// `server_connect_timeout`.
    pub connect_timeout: Duration,
    /// `cancel_wait_timeout`.
    pub cancel_timeout: Duration,
}

impl Limits {
    /// From a configuration.
    pub fn of(source: Arc<Config>) -> Rc<Self> {
        let settings = &source.settings;
        Rc::new(Self {
            max_prepared_statements: settings.max_prepared_statements as usize,
            reset_query: settings.server_reset_query.clone().into_bytes(),
            reset_always: settings.server_reset_query_always,
            check_query: settings
                .server_check_query
                .text()
                .map(|text| text.as_bytes().to_vec()),
            connect_timeout: or_for_ever(settings.server_connect_timeout),
            cancel_timeout: or_for_ever(settings.cancel_wait_timeout),
            source,
        })
    }

    /// Whether they were taken from this configuration.
    pub fn is_of(&self, config: &Arc<Config>) -> bool {
        Arc::ptr_eq(&self.source, config)
    }

    /// The rules of a conversation.
    pub fn rules<'a>(&self, statements: &'a Statements) -> Rules<'a> {
        let settings = &self.source.settings;
        Rules {
            statements,
            max_statement_size: u64::from(settings.max_statement_size.bytes()),
            max_packet_size: settings.max_packet_size.bytes(),
            max_prepared_statements: self.max_prepared_statements,
        }
    }
}

/// A timeout of zero means none; a day is as good as none and always representable.
pub fn or_for_ever(timeout: Duration) -> Duration {
    if timeout.is_zero() {
        Duration::from_secs(86_400)
    } else {
        timeout
    }
}

/// Secrets of the users, from the configuration and `auth_file`.
pub type Users = HashMap<String, Arc<Secret>>;

/// Numbers of clients by database and by user.
#[derive(Debug, Default)]
struct Admissions {
    total: u32,
    databases: HashMap<Arc<str>, u32>,
    users: HashMap<Arc<str>, u32>,
}

/// One client's place among `max_client_conn` and the like; given back when dropped.
#[derive(Debug)]
pub struct Admission {
    shared: Arc<Shared>,
    database: Arc<str>,
    user: Arc<str>,
}

impl Drop for Admission {
    fn drop(&mut self) {
        let mut admissions = self.shared.admissions.lock();
        admissions.total -= 1;
        let less = |count: Option<&mut u32>| {
            if let Some(count) = count {
                *count -= 1;
            }
        };
        less(admissions.databases.get_mut(&self.database));
        less(admissions.users.get_mut(&self.user));
    }
}

/// Statistics of one database: each worker's counters, and the last averages.
#[derive(Debug, Default)]
pub struct DatabaseStats {
    /// One for each worker.
    pub workers: Vec<Arc<Stats>>,
    /// Totals when the last period ended.
    pub before: Totals,
    /// Averages of the last period.
    pub averages: Totals,
}

impl DatabaseStats {
    /// Sum over the workers.
    pub fn totals(&self) -> Totals {
        self.workers
            .iter()
            .fold(Totals::default(), |sum, stats| sum.plus(&stats.totals()))
    }
}

/// See the module.
#[derive(Debug)]
pub struct Shared {
    /// Who may use which server connection. Held for well under a microsecond at a time, never
    /// across an await (X2).
    pub pools: Mutex<Pools>,
    /// The configuration in force.
    pub config: ArcSwap<Config>,
    /// The secrets in force.
    pub users: ArcSwap<Users>,
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
    /// Health of the hosts of each database.
    pub hosts: Mutex<HashMap<Arc<str>, Hosts>>,
    /// Counters by database.
    pub stats: Mutex<std::collections::BTreeMap<Arc<str>, DatabaseStats>>,
    /// The same for all databases together; its `workers` are empty.
    pub overall: Mutex<DatabaseStats>,
    /// When the averages were last taken.
    pub averaged: Mutex<Instant>,
    /// Which sockets accept.
    pub open: watch::Sender<Open>,
    /// What the console and signals ask of the main thread.
    pub orders: mpsc::UnboundedSender<crate::run::Order>,
    /// When the process started.
    pub started: jiff::Timestamp,
    admissions: Mutex<Admissions>,
    mailboxes: Vec<mpsc::UnboundedSender<Mail>>,
    /// Clients of each worker, those that log in included.
    busy: Vec<AtomicU32>,
    next_id: AtomicU64,
}

impl Shared {
    /// For as many workers as there are mailboxes.
    pub fn new(
        config: Arc<Config>,
        mut users: Users,
        tls: Tls,
        mailboxes: Vec<mpsc::UnboundedSender<Mail>>,
        orders: mpsc::UnboundedSender<crate::run::Order>,
    ) -> Arc<Self> {
        let workers = mailboxes.len();
        let process_secret = rand::random();
        crate::reload::prepare_users(&mut users, &Users::default(), &process_secret);
        Arc::new(Self {
            pools: Mutex::new(Pools::new(workers as u16, LOCALITY)),
            config: ArcSwap::new(config),
            users: ArcSwap::from_pointee(users),
            tls: ArcSwap::from_pointee(tls),
            statements: Statements::new(rand::random()),
            process_secret,
            welcome: Mutex::default(),
            scram_keys: Mutex::default(),
            hosts: Mutex::default(),
            stats: Mutex::default(),
            overall: Mutex::default(),
            averaged: Mutex::new(Instant::now()),
            open: watch::Sender::new(Open::Everything),
            orders,
            started: jiff::Timestamp::now(),
            admissions: Mutex::default(),
            busy: (0..workers).map(|_| AtomicU32::new(0)).collect(),
            mailboxes,
            next_id: AtomicU64::new(1),
        })
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

    /// Sends mail to a worker. A worker that has stopped drops it, and with it whatever it holds.
    pub fn mail(&self, worker: WorkerId, mail: Mail) {
        let _ = self.mailboxes[usize::from(worker.0)].send(mail);
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

    /// A client of a worker is gone.
    pub fn less_busy(&self, worker: WorkerId) {
        self.busy[usize::from(worker.0)].fetch_sub(1, Relaxed);
    }

    /// The pool for a client of this database and user; `None` if the database is not configured.
    pub fn pool(&self, database: &str, user: &str, kind: Kind) -> Option<PoolId> {
        let config = self.config.load();
        let key = pool_key(&config, database, user, kind)?;
        let mut pools = self.pools.lock();
        if let Some(pool) = pools.find(&key) {
            return Some(pool);
        }
        let limits = crate::reload::pool_limits(&config, &key);
        crate::reload::set_caps(&config, &key, &mut pools);
        Some(pools.pool(&key, &limits))
    }

    /// A place for a client that has proved who it is.
    ///
    /// # Errors
    /// When a limit is reached; the text names it.
    pub fn admit(self: &Arc<Self>, database: &str, user: &str) -> Result<Admission, Report> {
        let config = self.config.load();
        let mut admissions = self.admissions.lock();
        let in_database = admissions.databases.get(database).copied().unwrap_or(0);
        let of_user = admissions.users.get(user).copied().unwrap_or(0);
        let entry = config.database(database);
        let in_database_max =
            entry.map_or(0, |entry| config.max_db_client_connections(entry.database));
        let full = |count: u32, limit: u32| limit > 0 && count >= limit;
        let refuse = |text: &str, count: u32, setting: &str| {
            Err(Report::new("53300", text)
                .detail(format!("There are {count} client connections already."))
                .hint(format!("Raise {setting}.")))
        };
        if full(admissions.total, config.settings.max_client_conn) {
            return refuse(
                "no more connections allowed (max_client_conn)",
                admissions.total,
                "max_client_conn",
            );
        }
        if full(in_database, in_database_max) {
            let text = "client connections exceeded (max_db_client_connections)";
            return refuse(text, in_database, "max_db_client_connections");
        }
        if full(of_user, config.max_user_client_connections(user)) {
            let text = "client connections exceeded (max_user_client_connections)";
            return refuse(text, of_user, "max_user_client_connections");
        }
        let (database, user): (Arc<str>, Arc<str>) = (database.into(), user.into());
        admissions.total += 1;
        *admissions
            .databases
            .entry(Arc::clone(&database))
            .or_default() += 1;
        *admissions.users.entry(Arc::clone(&user)).or_default() += 1;
        Ok(Admission {
            shared: Arc::clone(self),
            database,
            user,
        })
    }

    /// How many clients there are, those of the console not counted.
    pub fn client_count(&self) -> u32 {
        self.admissions.lock().total
    }

    /// Clients that are admitted: of a database, and of a user.
    pub fn admitted(&self) -> (HashMap<Arc<str>, u32>, HashMap<Arc<str>, u32>) {
        let admissions = self.admissions.lock();
        (admissions.databases.clone(), admissions.users.clone())
    }

    /// The counters of a database on one worker.
    pub fn stats_of(&self, database: &str, worker: WorkerId) -> Arc<Stats> {
        let mut stats = self.stats.lock();
        let workers = self.workers();
        let entry = stats
            .entry(database.into())
            .or_insert_with(|| DatabaseStats {
                workers: (0..workers).map(|_| Arc::default()).collect(),
                before: Totals::default(),
                averages: Totals::default(),
            });
        Arc::clone(&entry.workers[usize::from(worker.0)])
    }
}

/// The key of the pool that serves clients of this database and user.
pub fn pool_key(config: &Config, database: &str, user: &str, kind: Kind) -> Option<PoolKey> {
    let entry = config.database(database)?;
    let hosts: Vec<String> = hosts(config, entry.database)
        .iter()
        .map(ToString::to_string)
        .collect();
    let user = entry.pool_user(user);
    Some(PoolKey {
        database: database.into(),
        user: user.into(),
        host: hosts.join(",").into(),
        kind,
    })
}

/// Where a database lies: without `hosts`, as with libpq, behind the Unix socket.
pub fn hosts(config: &Config, database: &pgweir_config::Database) -> Vec<pgweir_config::Host> {
    if database.hosts.is_empty() {
        let dir = config.settings.unix_socket_dir.clone();
        return vec![pgweir_config::Host::Unix { dir, port: 5432 }];
    }
    database.hosts.clone()
}
