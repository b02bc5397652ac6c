//! What is counted, for SHOW STATS and its relatives.

/// What is counted. As averages: per second of the last period; the times of transactions and
/// queries per transaction and query.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Default)]
pub struct Counters {
    /// Server connections given to clients.
    pub server_assignment_count: u64,
    /// Transactions.
    pub xact_count: u64,
    /// Queries.
    pub query_count: u64,
    /// Bytes from clients.
    pub bytes_received: u64,
    /// Bytes from servers.
    pub bytes_sent: u64,
    /// Microseconds in transactions.
    pub xact_time: u64,
    /// Microseconds in queries.
    pub query_time: u64,
    /// Microseconds for which clients waited for a server connection.
    pub wait_time: u64,
    /// Parse messages of clients.
    pub client_parse_count: u64,
    /// Parse messages to servers.
    pub server_parse_count: u64,
    /// Bind messages.
    pub bind_count: u64,
    /// Logins of clients.
    pub client_login_count: u64,
}

/// Statistics of one database.
#[derive(Debug, Clone, PartialEq, Eq, Default)]
pub struct StatsRow {
    /// Name by which clients connect.
    pub database: String,
    /// Since the start.
    pub totals: Counters,
    /// Of the last finished period.
    pub averages: Counters,
    /// Of the same: for how long clients waited for a server connection.
    pub waits: Quantiles,
    /// How long servers took for queries.
    pub queries: Quantiles,
    /// For how long servers waited for clients in transactions.
    pub clients: Quantiles,
}

/// So many microseconds, or less, took half of them, and so on; 0 if there are none.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Default)]
pub struct Quantiles {
    /// Half of them.
    pub p50: u64,
    /// 95 of a hundred.
    pub p95: u64,
    /// 99 of a hundred.
    pub p99: u64,
}
