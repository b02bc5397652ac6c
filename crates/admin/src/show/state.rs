//! SHOW STATE: whether everything is paused or suspended.

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
        let (paused, suspended) = (snapshot.is_paused, snapshot.is_suspended);
        let active = !paused && !suspended;
        for (key, value) in [
            ("active", active),
            ("paused", paused),
            ("suspended", suspended),
        ] {
            show(&StateRow { key, value });
        }
    },
    needs: Needs {
        state: true,
        ..Needs::NOTHING
    },
};
