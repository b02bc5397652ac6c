//! SHOW STATS: totals and averages by database. Also the counters that its relatives show.

use super::Needs;
use crate::column::{Table, numeric, sorted, text};

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
}

pub(crate) static SHOW: Table<StatsRow> = Table {
    columns: &[&[
        text("database", |row| &row.database),
        numeric("total_server_assignment_count", |row| {
            row.totals.server_assignment_count
        }),
        numeric("total_xact_count", |row| row.totals.xact_count),
        numeric("total_query_count", |row| row.totals.query_count),
        numeric("total_received", |row| row.totals.bytes_received),
        numeric("total_sent", |row| row.totals.bytes_sent),
        numeric("total_xact_time", |row| row.totals.xact_time),
        numeric("total_query_time", |row| row.totals.query_time),
        numeric("total_wait_time", |row| row.totals.wait_time),
        numeric("total_client_parse_count", |row| {
            row.totals.client_parse_count
        }),
        numeric("total_server_parse_count", |row| {
            row.totals.server_parse_count
        }),
        numeric("total_bind_count", |row| row.totals.bind_count),
        numeric("total_client_login_count", |row| {
            row.totals.client_login_count
        }),
        numeric("avg_server_assignment_count", |row| {
            row.averages.server_assignment_count
        }),
        numeric("avg_xact_count", |row| row.averages.xact_count),
        numeric("avg_query_count", |row| row.averages.query_count),
        numeric("avg_recv", |row| row.averages.bytes_received),
        numeric("avg_sent", |row| row.averages.bytes_sent),
        numeric("avg_xact_time", |row| row.averages.xact_time),
        numeric("avg_query_time", |row| row.averages.query_time),
        numeric("avg_wait_time", |row| row.averages.wait_time),
        numeric("avg_client_parse_count", |row| {
            row.averages.client_parse_count
        }),
        numeric("avg_server_parse_count", |row| {
            row.averages.server_parse_count
        }),
        numeric("avg_bind_count", |row| row.averages.bind_count),
        numeric("avg_client_login_count", |row| {
            row.averages.client_login_count
        }),
    ]],
    each: |snapshot, show| sorted(&snapshot.stats, |row| &row.database, show),
    needs: Needs {
        stats: true,
        ..Needs::NOTHING
    },
};
