//! SHOW ROUTES: where statements went, and why. PgBouncer has no such thing.

use crate::column::{Table, int8, text};
use crate::snapshot::Needs;
use crate::snapshot::host::RouteRow;

pub(crate) static SHOW: Table<RouteRow> = Table {
    columns: &[&[
        text("database", |row| &row.database),
        text("target", |row| &row.target),
        text("reason", |row| &row.reason),
        int8("count", |row| row.count),
    ]],
    each: |snapshot, show| snapshot.routes.iter().for_each(show),
    needs: Needs {
        hosts: true,
        ..Needs::NOTHING
    },
};
