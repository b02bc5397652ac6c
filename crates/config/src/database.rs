//! `[databases.NAME]`: what clients may connect to, and where it lies.

use std::time::Duration;

use crate::host::Host;
use crate::secret::Secret;
use crate::table::table;
use crate::value::endpoint::Endpoint;
use crate::value::name::Name;
use crate::value::per_host::{self, PerHost};
use crate::value::size::Size;
use crate::value::tls::SslMode;
use crate::value::words::{
    Balance, Consistency, LoadBalanceHosts, PoolMode, PrimaryReads, Routing,
};

/// The name of the section that stands for every database not named.
pub(crate) const ANY: &str = "*";

/// What the name of a database ends with whose reads go to the standbys, with `routing = "by-name"`.
const READ_ONLY: &str = "_readonly";

/// How much of the reads a host gets of which nothing is said.
const WEIGHT: u32 = 100;

table! {
    /// A database that clients may connect to. `None` is what the settings say.
    pub struct Database {
        /// Where it lies. Not given: where the members are that Patroni knows (`patroni`), or else the Unix socket in
        /// `unix_socket_dir`. A port not given is 5432.
        hosts: Vec<Host> as "[\"10.0.0.1:5432\", \"[::1]:5432\", \"/run/postgresql:5432\"]" => Reconnect;
        /// Which of several hosts a new server connection goes to: `round-robin` for each in its
        /// turn, or `disable` for the one that the last connection went to, until it fails. Not given:
        /// the first in the list. A host that is down is left out.
        load_balance_hosts: Option<LoadBalanceHosts> as "\"round-robin\"" => Reconnect;
        /// What several hosts are to each other. `off`, as if nothing is said: places where the server may be, used
        /// as `load_balance_hosts` says. All others take them for a cluster and find out by themselves who
        /// is the primary. `by-name`: everything goes to the primary, and to the standbys for clients that
        /// put `_readonly` behind the name of the database. `automatic`: each statement goes where it may run.
        /// `shadow`: everything goes to the primary, and SHOW ROUTES counts what `automatic` would do.
        routing: Option<Routing> as "\"automatic\"" => Reconnect;
        /// REST addresses of the Patroni members that look after the hosts; any of them will do. What Patroni says is
        /// believed about who its members are, if `hosts` does not say it, and about who does not lead, and SWITCHOVER asks it for another leader.
        /// With `https://`, members are believed by `server_tls_ca_file` (not given: the system's authorities), their certificate must be for what the address
        /// says, and they are shown `server_tls_cert_file`. Where Patroni has `restapi.authentication`, its user and password stand in front of the host:
        /// `https://user:password@10.0.0.1:8008`.
        patroni: Vec<Endpoint> as "[\"http://10.0.0.1:8008\", \"http://10.0.0.2:8008\"]" => AtOnce;
        /// How new what is read from standbys must be: as new as what the client itself has written and read
        /// (`session`, as if nothing is said), or one of its `application_name` has written (`application`); not older than `max_lag`
        /// and `max_lag_bytes` (`bounded`, which holds for the others too); or anything (`eventual`).
        consistency: Option<Consistency> as "\"application\"" => AtOnce;
        /// How far behind a standby may be that is read from, unless with `consistency = "eventual"`. Hosts are
        /// asked often enough for it. 0: any time. Not given: 10 s.
        max_lag: Option<Duration> as "\"500ms\"" => AtOnce;
        /// The same in bytes of WAL. 0, or not given: any number.
        max_lag_bytes: Option<Size> as "\"16MB\"" => AtOnce;
        /// Which standby a read goes to: of two the one with less to do (`least-outstanding`, as if nothing is
        /// said), each in turn (`round-robin`), or any (`random`).
        balance: Option<Balance> as "\"round-robin\"" => AtOnce;
        /// How much of the reads hosts get, measured against each other. A host that is not there has 100; one with
        /// 0 gets any only where no other may serve them.
        weights: Vec<PerHost<u32>> as "[\"10.0.0.1:5432 = 50\"]" => AtOnce;
        /// In which zones hosts are. Reads go to those in the `zone` of this process, as long as one of them may
        /// serve them.
        zones: Vec<PerHost<Name>> as "[\"10.0.0.1:5432 = west\", \"[::1]:5432 = east\"]" => AtOnce;
        /// A host that was down gets its part of the reads little by little, within so long. 0: at once. Not given: 30 s.
        slow_start: Option<Duration> as "\"1min\"" => AtOnce;
        /// Whether the primary serves reads that a standby could: only where none may (`fallback`, as if
        /// nothing is said), or as if it were one (`share`).
        primary_reads: Option<PrimaryReads> as "\"share\"" => AtOnce;
        /// A statement that needs a host of the cluster waits for so long while there is none, as during a
        /// failover. 0: it does not. Not given: 30 s.
        failover_hold: Option<Duration> as "\"10s\"" => AtOnce;
        /// So many clients of the cluster may wait for that at most; others are refused. 0: no limit. Not
        /// given: 10000.
        failover_hold_clients: Option<u32> as "1000" => AtOnce;
        /// Its name on the server. Not given: the name clients use.
        dbname: Option<String> as "\"shop\"" => Reconnect;
        /// Every client uses the server as this user. Not given: as who it is.
        user: Option<String> as "\"shop_app\"" => Reconnect;
        /// The password of `user` for the server. Not given: the one of the user's section or
        /// `auth_file`, never one that `auth_query` found.
        password: Option<Secret> as "\"secret\"" => AtOnce;
        /// Instead of the general `auth_user`.
        auth_user: Option<Name> as "\"pooler\"" => AtOnce;
        /// Instead of the general `auth_query`.
        auth_query: Option<String> as "\"SELECT name, secret FROM pooler.secret_of($1)\"" => AtOnce;
        /// Instead of the general `auth_dbname`.
        auth_dbname: Option<Name> as "\"postgres\"" => AtOnce;
        /// Instead of `pool_mode`.
        pool_mode: Option<PoolMode> as "\"session\"" => AtOnce;
        /// Instead of `default_pool_size`.
        pool_size: Option<u32> as "20" => AtOnce;
        /// Instead of `min_pool_size`.
        min_pool_size: Option<u32> as "2" => AtOnce;
        /// Instead of `reserve_pool_size`.
        reserve_pool_size: Option<u32> as "5" => AtOnce;
        /// Instead of the general `max_db_connections`.
        max_db_connections: Option<u32> as "50" => AtOnce;
        /// Instead of the general `max_db_client_connections`.
        max_db_client_connections: Option<u32> as "1000" => AtOnce;
        /// Instead of the general `server_lifetime`.
        server_lifetime: Option<Duration> as "\"30min\"" => AtOnce;
        /// Instead of the general `query_wait_timeout`.
        query_wait_timeout: Option<Duration> as "\"30s\"" => AtOnce;
        /// Run on each server connection after its login.
        connect_query: Option<String> as "\"SET jit = off\"" => Reconnect;
        /// Sent to the server when a connection to it begins: the default of those clients that do
        /// not say anything else.
        client_encoding: Option<String> as "\"UTF8\"" => Reconnect;
        /// The same for `DateStyle`.
        datestyle: Option<String> as "\"ISO, DMY\"" => Reconnect;
        /// The same for `TimeZone`.
        timezone: Option<String> as "\"Europe/Berlin\"" => Reconnect;
        /// The same for `application_name`.
        application_name: Option<String> as "\"pooled\"" => Reconnect;
        /// Instead of the general `server_tls_sslmode`.
        server_tls_sslmode: Option<SslMode> as "\"verify-full\"" => Reconnect;
    }
}

impl Database {
    /// What several hosts are to each other.
    pub fn routing(&self) -> Routing {
        self.routing.unwrap_or(Routing::Off)
    }

    /// Whether nobody has said where it lies but Patroni, which is to be asked.
    pub fn is_for_patroni_to_say(&self) -> bool {
        self.hosts.is_empty() && !self.patroni.is_empty() && self.routing() != Routing::Off
    }

    /// How new what a client reads must be.
    pub fn consistency(&self) -> Consistency {
        self.consistency.unwrap_or(Consistency::Session)
    }

    /// How far behind a standby may be that is read from; `None`: any time.
    pub fn max_lag(&self) -> Option<Duration> {
        let max = self.max_lag.unwrap_or(Duration::from_secs(10));
        (!max.is_zero()).then_some(max)
    }

    /// The same in bytes of WAL.
    pub fn max_lag_bytes(&self) -> Option<u64> {
        let max = self.max_lag_bytes.map_or(0, Size::bytes);
        (max > 0).then_some(max.into())
    }

    /// Which of several standbys a read goes to.
    pub fn balance(&self) -> Balance {
        self.balance.unwrap_or(Balance::LeastOutstanding)
    }

    /// Whether reads go to the primary.
    pub fn primary_reads(&self) -> PrimaryReads {
        self.primary_reads.unwrap_or(PrimaryReads::Fallback)
    }

    /// How much of the reads a host gets, measured against the others.
    pub fn weight(&self, host: &Host) -> u32 {
        per_host::of(&self.weights, host).copied().unwrap_or(WEIGHT)
    }

    /// In which zone a host is.
    pub fn zone(&self, host: &Host) -> Option<&str> {
        per_host::of(&self.zones, host).map(|zone| &**zone)
    }

    /// How long a host that was down gets less than its part.
    pub fn slow_start(&self) -> Duration {
        self.slow_start.unwrap_or(Duration::from_secs(30))
    }

    /// How long a statement waits for a host of the cluster.
    pub fn failover_hold(&self) -> Duration {
        self.failover_hold.unwrap_or(Duration::from_secs(30))
    }

    /// How many clients may wait for one; 0: no limit.
    pub fn failover_hold_clients(&self) -> u32 {
        self.failover_hold_clients.unwrap_or(10_000)
    }
}

/// A database as a client asked for it.
#[derive(Debug, Clone, Copy, PartialEq)]
pub struct DatabaseRef<'a> {
    /// The name the client used, under which pools and statistics are kept.
    pub name: &'a str,
    /// The section that serves it: its own, that of the name without `_readonly`, or `*`.
    pub database: &'a Database,
}

impl<'a> DatabaseRef<'a> {
    /// The name on the server.
    pub fn dbname(&self) -> &'a str {
        self.database
            .dbname
            .as_deref()
            .unwrap_or_else(|| self.base().unwrap_or(self.name))
    }

    /// Whether its clients are to be served by standbys, because of the name that they use.
    pub fn is_read_only(&self) -> bool {
        self.base().is_some()
    }

    /// The name without the ending that says that standbys are meant.
    fn base(&self) -> Option<&'a str> {
        read_only_base(self.name).filter(|_| self.database.routing() == Routing::ByName)
    }

    /// The user of the pool, for a client that logged in as `login`.
    pub fn pool_user(&self, login: &'a str) -> &'a str {
        self.database.user.as_deref().unwrap_or(login)
    }
}

/// What stands in front of `_readonly`.
pub(crate) fn read_only_base(name: &str) -> Option<&str> {
    name.strip_suffix(READ_ONLY).filter(|base| !base.is_empty())
}

impl std::ops::Deref for DatabaseRef<'_> {
    type Target = Database;

    fn deref(&self) -> &Database {
        self.database
    }
}
