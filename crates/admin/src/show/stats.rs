//! SHOW STATS: totals and averages by database. Also the counters that its relatives show.

use crate::column::{Table, numeric, sorted, text};
use crate::snapshot::Needs;
use crate::snapshot::stats::StatsRow;

pub(crate) static SHOW: Table<StatsRow> = Table {
    columns: &[
        &[
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
        ],
        &[
            numeric("p50_wait_time", |row| row.waits.p50),
            numeric("p95_wait_time", |row| row.waits.p95),
            numeric("p99_wait_time", |row| row.waits.p99),
            numeric("p50_query_time", |row| row.queries.p50),
            numeric("p95_query_time", |row| row.queries.p95),
            numeric("p99_query_time", |row| row.queries.p99),
            numeric("p50_client_time", |row| row.clients.p50),
            numeric("p95_client_time", |row| row.clients.p95),
            numeric("p99_client_time", |row| row.clients.p99),
        ],
    ],
    each: |snapshot, show| sorted(&snapshot.stats, |row| &row.database, show),
    needs: Needs {
        stats: true,
        ..Needs::NOTHING
    },
};
