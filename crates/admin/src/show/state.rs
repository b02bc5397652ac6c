//! SHOW STATE: whether everything is paused.

use crate::column::{Table, text};
use crate::snapshot::Needs;

/// A question and its answer.
pub(crate) struct StateRow {
    key: &'static str,
    value: bool,
}

pub(crate) static SHOW: Table<StateRow> = Table {
    columns: &[&[
        text("key", |row| row.key),
        text("value", |row| if row.value { "yes" } else { "no" }),
    ]],
    each: |snapshot, show| {
        let paused = snapshot.is_paused;
        show(&StateRow {
            key: "active",
            value: !paused,
        });
        show(&StateRow {
            key: "paused",
            value: paused,
        });
        // There is no SUSPEND.
        show(&StateRow {
            key: "suspended",
            value: false,
        });
    },
    needs: Needs {
        state: true,
        ..Needs::NOTHING
    },
};
