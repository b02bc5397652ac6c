//! SHOW STATS_TOTALS: totals by database.

use crate::column::{Table, numeric, sorted, text};
use crate::snapshot::Needs;
use crate::snapshot::stats::StatsRow;

pub(crate) static SHOW: Table<StatsRow> = Table {
    columns: &[&[
        text("database", |row| &row.database),
        numeric("server_assignment_count", |row| {
            row.totals.server_assignment_count
        }),
        numeric("xact_count", |row| row.totals.xact_count),
        numeric("query_count", |row| row.totals.query_count),
        numeric("bytes_received", |row| row.totals.bytes_received),
        numeric("bytes_sent", |row| row.totals.bytes_sent),
        numeric("xact_time", |row| row.totals.xact_time),
        numeric("query_time", |row| row.totals.query_time),
        numeric("wait_time", |row| row.totals.wait_time),
        numeric("client_parse_count", |row| row.totals.client_parse_count),
        numeric("server_parse_count", |row| row.totals.server_parse_count),
        numeric("bind_count", |row| row.totals.bind_count),
        numeric("client_login_count", |row| row.totals.client_login_count),
    ]],
    each: |snapshot, show| sorted(&snapshot.stats, |row| &row.database, show),
    needs: Needs {
        stats: true,
        ..Needs::NOTHING
    },
};
