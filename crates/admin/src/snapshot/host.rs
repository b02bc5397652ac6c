//! Hosts of clusters and where statements went, for SHOW HOSTS, SHOW ROUTES and EXPLAIN ROUTE.

use std::time::Duration;

/// One host, as one database uses it.
#[derive(Debug, Clone, PartialEq, Eq, Default)]
pub struct HostRow {
    /// The database.
    pub database: String,
    /// `host:port`
    pub host: String,
    /// `primary`, `standby`, `fenced`, `rival`, `other_system` or `unknown`.
    pub role: String,
    /// Its timeline, if it has said.
    pub timeline: Option<u32>,
    /// What it has written, or replayed, as PostgreSQL writes it.
    pub lsn: Option<String>,
    /// Bytes of WAL that a standby is behind the primary.
    pub lag_bytes: Option<u64>,
    /// How old what it shows is at most.
    pub lag: Option<Duration>,
    /// `up`, `down`, `doubt`, `stale`, `paused` or `unknown`.
    pub state: String,
    /// What asking it came to, if that went wrong.
    pub reason: Option<String>,
    /// How long a lease of it takes.
    pub latency: Duration,
    /// Clients that use it, or wait for it.
    pub clients: u64,
    /// Whether statements go there.
    pub in_rotation: bool,
}

/// How often statements of a database went to a host of one kind for one reason.
#[derive(Debug, Clone, PartialEq, Eq, Default)]
pub struct RouteRow {
    /// The database.
    pub database: String,
    /// `primary` or `standby`.
    pub target: String,
    /// A word.
    pub reason: String,
    /// How often.
    pub count: u64,
}

/// Where a statement would go in a database.
#[derive(Debug, Clone, PartialEq, Eq, Default)]
pub struct ExplainedRow {
    /// The database; none if no database has its statements routed.
    pub database: Option<String>,
    /// `primary`, `standby` or `any`.
    pub target: String,
    /// The host, as things are.
    pub host: Option<String>,
    /// A word.
    pub reason: String,
    /// The same in a sentence.
    pub because: String,
    /// The word of the statement that made it so.
    pub word: Option<String>,
}
