//! SHOW CONFIG: the settings in force.

use crate::column::{Table, nullable, text};
use crate::snapshot::Needs;
use crate::snapshot::config::ConfigRow;

pub(crate) static SHOW: Table<ConfigRow> = Table {
    columns: &[&[
        text("key", |row| &row.key),
        nullable("value", |row| row.value.as_deref()),
        nullable("default", |row| row.default.as_deref()),
        text(
            "changeable",
            |row| if row.changeable { "yes" } else { "no" },
        ),
    ]],
    each: |snapshot, show| snapshot.config.iter().for_each(show),
    needs: Needs {
        config: true,
        ..Needs::NOTHING
    },
};
