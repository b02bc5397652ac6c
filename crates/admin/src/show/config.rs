//! SHOW CONFIG: the settings in force.

use super::Needs;
use crate::column::{Table, nullable, text};

/// One setting.
#[derive(Debug, Clone, PartialEq, Default)]
pub struct ConfigRow {
    /// Its name.
    pub key: String,
    /// The value in force, if there is one.
    pub value: Option<String>,
    /// The value it has when nobody says anything.
    pub default: Option<String>,
    /// Whether SET and RELOAD change it.
    pub changeable: bool,
}

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
