//! SHOW STATS_AVERAGES: averages of the last period by database.

use crate::column::{Table, numeric, sorted, text};
use crate::snapshot::Needs;
use crate::snapshot::stats::StatsRow;

pub(crate) static SHOW: Table<StatsRow> = Table {
    // Only the last four names say that they are averages: so it is in PgBouncer.
    columns: &[&[
        text("database", |row| &row.database),
        numeric("server_assignment_count", |row| {
            row.averages.server_assignment_count
        }),
        numeric("xact_count", |row| row.averages.xact_count),
        numeric("query_count", |row| row.averages.query_count),
        numeric("bytes_received", |row| row.averages.bytes_received),
        numeric("bytes_sent", |row| row.averages.bytes_sent),
        numeric("xact_time", |row| row.averages.xact_time),
        numeric("query_time", |row| row.averages.query_time),
        numeric("wait_time", |row| row.averages.wait_time),
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
