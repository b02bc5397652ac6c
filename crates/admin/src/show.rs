//! The SHOWs: one file for each, with its columns, and what it needs to know.

pub(crate) mod active_sockets;
pub(crate) mod clients;
pub(crate) mod config;
pub(crate) mod connection;
pub(crate) mod databases;
pub(crate) mod dns_hosts;
pub(crate) mod dns_zones;
pub(crate) mod explained;
pub(crate) mod fake;
pub(crate) mod fds;
pub(crate) mod help;
pub(crate) mod hosts;
pub(crate) mod lists;
pub(crate) mod mem;
pub(crate) mod peer_pools;
pub(crate) mod peers;
pub(crate) mod pools;
pub(crate) mod routes;
pub(crate) mod servers;
pub(crate) mod sockets;
pub(crate) mod state;
pub(crate) mod stats;
pub(crate) mod stats_averages;
pub(crate) mod stats_totals;
pub(crate) mod totals;
pub(crate) mod users;
pub(crate) mod version;

use fake::Fake;

use crate::column::Relation;
use crate::snapshot::Needs;

/// A question about the state of things.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Hash)]
pub enum Show {
    /// SHOW HELP: the commands, as a notice.
    Help,
    /// SHOW POOLS: clients and server connections by database and user.
    Pools,
    /// SHOW DATABASES: what clients may connect to.
    Databases,
    /// SHOW CLIENTS: connections of clients.
    Clients,
    /// SHOW SERVERS: connections to servers.
    Servers,
    /// SHOW USERS: limits of users.
    Users,
    /// SHOW LISTS: how many there are of what.
    Lists,
    /// SHOW STATS: totals and averages by database.
    Stats,
    /// SHOW STATS_TOTALS: totals by database.
    StatsTotals,
    /// SHOW STATS_AVERAGES: averages of the last period by database.
    StatsAverages,
    /// SHOW TOTALS: totals and averages over all databases.
    Totals,
    /// SHOW CONFIG: the settings in force.
    Config,
    /// SHOW STATE: whether everything is paused.
    State,
    /// SHOW VERSION: which PgBouncer this behaves like, and what it is.
    Version,
    /// SHOW MEM: memory by kind of object.
    Mem,
    /// SHOW SOCKETS: connections of both sides, with their buffers.
    Sockets,
    /// SHOW ACTIVE_SOCKETS: those with something in their buffers.
    ActiveSockets,
    /// SHOW FDS: sockets by their file descriptors; for administrators.
    Fds,
    /// SHOW PEERS: processes that cancel requests are passed on to.
    Peers,
    /// SHOW PEER_POOLS: cancel requests that are being passed on.
    PeerPools,
    /// SHOW DNS_HOSTS: names of hosts and their addresses.
    DnsHosts,
    /// SHOW DNS_ZONES: zones that they are in.
    DnsZones,
    /// SHOW HOSTS: the hosts of clusters, and what they turned out to be.
    Hosts,
    /// SHOW ROUTES: where statements went, and why.
    Routes,
    /// EXPLAIN ROUTE: where a statement would go, and why.
    Explained,
    /// SHOW of a setting of PostgreSQL that drivers ask for.
    Fake(Fake),
}

/// Names, all in lower case.
const NAMES: [(&str, Show); 24] = [
    ("help", Show::Help),
    ("pools", Show::Pools),
    ("databases", Show::Databases),
    ("clients", Show::Clients),
    ("servers", Show::Servers),
    ("users", Show::Users),
    ("lists", Show::Lists),
    ("stats", Show::Stats),
    ("stats_totals", Show::StatsTotals),
    ("stats_averages", Show::StatsAverages),
    ("totals", Show::Totals),
    ("config", Show::Config),
    ("state", Show::State),
    ("version", Show::Version),
    ("mem", Show::Mem),
    ("sockets", Show::Sockets),
    ("active_sockets", Show::ActiveSockets),
    ("fds", Show::Fds),
    ("peers", Show::Peers),
    ("peer_pools", Show::PeerPools),
    ("dns_hosts", Show::DnsHosts),
    ("dns_zones", Show::DnsZones),
    ("hosts", Show::Hosts),
    ("routes", Show::Routes),
];

impl Show {
    /// The SHOW of this name, in any case.
    pub(crate) fn named(name: &[u8]) -> Option<Self> {
        let mut names = NAMES.iter();
        let found = names.find(|(known, _)| name.eq_ignore_ascii_case(known.as_bytes()));
        found
            .map(|(_, show)| *show)
            .or_else(|| Fake::named(name).map(Self::Fake))
    }

    /// Which parts of the snapshot have to be gathered to answer it.
    pub fn needs(self) -> Needs {
        self.relation()
            .map_or(Needs::NOTHING, |relation| relation.needs())
    }

    /// The tag with which CommandComplete reports it as done.
    pub(crate) fn tag(self) -> &'static str {
        match self {
            Self::Explained => "EXPLAIN",
            _ => "SHOW",
        }
    }

    /// Its columns and rows; SHOW HELP has none.
    pub(crate) fn relation(self) -> Option<&'static dyn Relation> {
        Some(match self {
            Self::Help => return None,
            Self::Pools => &pools::SHOW,
            Self::Databases => &databases::SHOW,
            Self::Clients => &clients::SHOW,
            Self::Servers => &servers::SHOW,
            Self::Users => &users::SHOW,
            Self::Lists => &lists::SHOW,
            Self::Stats => &stats::SHOW,
            Self::StatsTotals => &stats_totals::SHOW,
            Self::StatsAverages => &stats_averages::SHOW,
            Self::Totals => &totals::SHOW,
            Self::Config => &config::SHOW,
            Self::State => &state::SHOW,
            Self::Version => &version::SHOW,
            Self::Mem => &mem::SHOW,
            Self::Sockets => &sockets::SHOW,
            Self::ActiveSockets => &active_sockets::SHOW,
            Self::Fds => &fds::SHOW,
            Self::Peers => &peers::SHOW,
            Self::PeerPools => &peer_pools::SHOW,
            Self::DnsHosts => &dns_hosts::SHOW,
            Self::DnsZones => &dns_zones::SHOW,
            Self::Hosts => &hosts::SHOW,
            Self::Routes => &routes::SHOW,
            Self::Explained => &explained::SHOW,
            Self::Fake(fake) => fake.relation(),
        })
    }
}
