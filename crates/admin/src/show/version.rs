//! SHOW VERSION: which PgBouncer the console behaves like, and what it really is.
//!
//! Tools read the first column to know which columns to expect elsewhere.

use crate::PGBOUNCER_VERSION;
use crate::column::{Table, made, text};
use crate::snapshot::Needs;
use crate::snapshot::Snapshot;

pub(crate) static SHOW: Table<Snapshot> = Table {
    columns: &[
        &[made("version", |_| {
            format!("PgBouncer {PGBOUNCER_VERSION}")
        })],
        // Ours.
        &[text("pgweir", |row| &row.version)],
    ],
    each: |snapshot, show| show(snapshot),
    needs: Needs {
        version: true,
        ..Needs::NOTHING
    },
};
