//! EXPLAIN ROUTE: where a statement would go, and why. PgBouncer has no such thing.

use crate::column::{Table, nullable, text};
use crate::snapshot::Needs;
use crate::snapshot::host::ExplainedRow;

pub(crate) static SHOW: Table<ExplainedRow> = Table {
    columns: &[&[
        nullable("database", |row| row.database.as_deref()),
        text("target", |row| &row.target),
        nullable("host", |row| row.host.as_deref()),
        text("reason", |row| &row.reason),
        text("because", |row| &row.because),
        nullable("word", |row| row.word.as_deref()),
    ]],
    each: |snapshot, show| snapshot.explained.iter().for_each(show),
    needs: Needs::NOTHING,
};
