//! SHOW TOTALS: totals and averages over all databases, a row for each.

use crate::column::{Table, made, numeric};
use crate::snapshot::Needs;
use crate::snapshot::stats::Counters;

/// One figure: its name without `total_` or `avg_`, and where it is counted.
type Figure = (&'static str, fn(&Counters) -> u64);

const FIGURES: [Figure; 12] = [
    ("server_assignment_count", |counters| {
        counters.server_assignment_count
    }),
    ("xact_count", |counters| counters.xact_count),
    ("query_count", |counters| counters.query_count),
    ("client_bytes", |counters| counters.bytes_received),
    ("server_bytes", |counters| counters.bytes_sent),
    ("xact_time", |counters| counters.xact_time),
    ("query_time", |counters| counters.query_time),
    ("wait_time", |counters| counters.wait_time),
    ("ps_client_parse_count", |counters| {
        counters.client_parse_count
    }),
    ("ps_server_parse_count", |counters| {
        counters.server_parse_count
    }),
    ("ps_bind_count", |counters| counters.bind_count),
    ("client_login_count", |counters| counters.client_login_count),
];

/// One figure's value.
pub(crate) struct TotalRow {
    prefix: &'static str,
    name: &'static str,
    value: u64,
}

pub(crate) static SHOW: Table<TotalRow> = Table {
    columns: &[&[
        made("name", |row| format!("{}_{}", row.prefix, row.name)),
        numeric("value", |row| row.value),
    ]],
    each: |snapshot, show| {
        for (name, figure) in FIGURES {
            let databases = snapshot.stats.iter();
            let value = databases.fold(0_u64, |sum, row| sum.saturating_add(figure(&row.totals)));
            show(&TotalRow {
                prefix: "total",
                name,
                value,
            });
        }
        for (name, figure) in FIGURES {
            show(&TotalRow {
                prefix: "avg",
                name,
                value: figure(&snapshot.averages),
            });
        }
    },
    needs: Needs {
        stats: true,
        ..Needs::NOTHING
    },
};
