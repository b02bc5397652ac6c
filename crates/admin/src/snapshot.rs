//! What the console knows when it is asked.

pub(crate) mod config;
pub(crate) mod connection;
pub(crate) mod database;
pub(crate) mod dns;
pub(crate) mod fd;
pub(crate) mod host;
pub(crate) mod lists;
pub(crate) mod mem;
pub(crate) mod peer;
pub(crate) mod pool;
pub(crate) mod stats;
pub(crate) mod user;

use config::ConfigRow;
use connection::ConnectionRow;
use database::DatabaseRow;
use dns::{DnsHostRow, DnsZoneRow};
use fd::FdRow;
use host::{ExplainedRow, HostRow, RouteRow};
use lists::Lists;
use mem::Mem;
use peer::{PeerPoolRow, PeerRow};
use pool::PoolRow;
use stats::{Counters, StatsRow};
use user::UserRow;

/// The proxy's state as plain data, gathered by the caller.
///
/// Only what [`Show::needs`](crate::Show::needs) names must be filled. Rows of pools, databases,
/// users and statistics may come in any order: they are shown in that of their names. PgBouncer
/// lists the console among them, as database `pgbouncer`, and console connections among the clients.
#[derive(Debug, Clone, PartialEq, Default)]
pub struct Snapshot {
    /// For SHOW POOLS.
    pub pools: Vec<PoolRow>,
    /// For SHOW CLIENTS and SOCKETS, those that still log in included.
    pub clients: Vec<ConnectionRow>,
    /// For SHOW SERVERS and SOCKETS, those that are being opened included.
    pub servers: Vec<ConnectionRow>,
    /// For SHOW DATABASES.
    pub databases: Vec<DatabaseRow>,
    /// For SHOW USERS.
    pub users: Vec<UserRow>,
    /// For SHOW PEERS, in the order of their numbers.
    pub peers: Vec<PeerRow>,
    /// For SHOW PEER_POOLS, in the order of their numbers.
    pub peer_pools: Vec<PeerPoolRow>,
    /// For SHOW FDS, in any order that makes sense.
    pub fds: Vec<FdRow>,
    /// For SHOW DNS_HOSTS, in the order of their names.
    pub dns_hosts: Vec<DnsHostRow>,
    /// For SHOW DNS_ZONES, in the order of their names.
    pub dns_zones: Vec<DnsZoneRow>,
    /// For SHOW HOSTS, in the order in which they are shown.
    pub hosts: Vec<HostRow>,
    /// For SHOW ROUTES, in the order in which they are shown.
    pub routes: Vec<RouteRow>,
    /// For EXPLAIN ROUTE of the text that was [asked about](crate::Asked::text).
    pub explained: Vec<ExplainedRow>,
    /// For SHOW LISTS.
    pub lists: Lists,
    /// For the SHOWs of statistics, one for each database.
    pub stats: Vec<StatsRow>,
    /// For SHOW TOTALS: averages of the last period over all databases together. (Averages of single
    /// databases do not add up.)
    pub averages: Counters,
    /// For SHOW CONFIG, in the order in which it is shown.
    pub config: Vec<ConfigRow>,
    /// For SHOW STATE: whether PAUSE of everything is in force.
    pub is_paused: bool,
    /// For SHOW STATE: whether SUSPEND is in force.
    pub is_suspended: bool,
    /// For SHOW MEM.
    pub mem: Mem,
    /// For SHOW VERSION: our own version, such as `0.1.0`.
    pub version: String,
}

/// Parts of a [`Snapshot`] that a SHOW looks at; the others may stay empty.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Default)]
pub struct Needs {
    /// `pools`.
    pub pools: bool,
    /// `clients`.
    pub clients: bool,
    /// `servers`.
    pub servers: bool,
    /// `databases`.
    pub databases: bool,
    /// `users`.
    pub users: bool,
    /// `peers` and `peer_pools`.
    pub peers: bool,
    /// `fds`.
    pub fds: bool,
    /// `dns_hosts` and `dns_zones`.
    pub dns: bool,
    /// `hosts` and `routes`.
    pub hosts: bool,
    /// `lists`.
    pub lists: bool,
    /// `stats` and `averages`.
    pub stats: bool,
    /// `config`.
    pub config: bool,
    /// `is_paused` and `is_suspended`.
    pub state: bool,
    /// `mem`.
    pub mem: bool,
    /// `version`.
    pub version: bool,
}

impl Needs {
    /// No part at all.
    pub const NOTHING: Self = Self {
        pools: false,
        clients: false,
        servers: false,
        databases: false,
        users: false,
        peers: false,
        fds: false,
        dns: false,
        hosts: false,
        lists: false,
        stats: false,
        config: false,
        state: false,
        mem: false,
        version: false,
    };
}
