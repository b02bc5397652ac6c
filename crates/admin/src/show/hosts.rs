//! SHOW HOSTS: the hosts of clusters, and what they turned out to be. PgBouncer has no such thing.

use std::time::Duration;

use crate::column::{Table, flag, int8, maybe, nullable, text};
use crate::snapshot::Needs;
use crate::snapshot::host::HostRow;

pub(crate) static SHOW: Table<HostRow> = Table {
    columns: &[&[
        text("database", |row| &row.database),
        text("host", |row| &row.host),
        text("role", |row| &row.role),
        maybe("timeline", |row| row.timeline.map(u64::from)),
        nullable("lsn", |row| row.lsn.as_deref()),
        maybe("lag_bytes", |row| row.lag_bytes),
        maybe("lag_ms", |row| row.lag.map(milliseconds)),
        text("state", |row| &row.state),
        nullable("reason", |row| row.reason.as_deref()),
        int8("latency_us", |row| row.latency.as_micros() as u64),
        int8("clients", |row| row.clients),
        flag("in_rotation", |row| row.in_rotation),
    ]],
    each: |snapshot, show| snapshot.hosts.iter().for_each(show),
    needs: Needs {
        hosts: true,
        ..Needs::NOTHING
    },
};

fn milliseconds(time: Duration) -> u64 {
    time.as_millis() as u64
}
