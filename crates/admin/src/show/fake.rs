//! SHOW of settings that drivers ask PostgreSQL for. The console has one answer for each, and a SET
//! of them is ignored.

use crate::column::{Relation, Table, text};
use crate::snapshot::Needs;

/// A setting of PostgreSQL's that the console pretends to have.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Hash)]
pub enum Fake {
    /// `client_encoding`.
    ClientEncoding,
    /// `default_transaction_isolation`.
    DefaultTransactionIsolation,
    /// `standard_conforming_strings`.
    StandardConformingStrings,
    /// `datestyle`.
    DateStyle,
    /// `timezone`.
    TimeZone,
}

/// A setting has one column, named after it, and one row.
macro_rules! setting {
    ($name:literal, $value:literal) => {{
        static SHOW: Table<()> = Table {
            columns: &[&[text($name, |()| $value)]],
            each: |_, show| show(&()),
            needs: Needs::NOTHING,
        };
        &SHOW
    }};
}

impl Fake {
    /// The setting of this name, in any case.
    pub(crate) fn named(name: &[u8]) -> Option<Self> {
        Some(match name.to_ascii_lowercase().as_slice() {
            b"client_encoding" => Self::ClientEncoding,
            b"default_transaction_isolation" => Self::DefaultTransactionIsolation,
            b"standard_conforming_strings" => Self::StandardConformingStrings,
            b"datestyle" => Self::DateStyle,
            b"timezone" => Self::TimeZone,
            _ => return None,
        })
    }

    pub(super) fn relation(self) -> &'static dyn Relation {
        match self {
            Self::ClientEncoding => setting!("client_encoding", "UTF-8"),
            Self::DefaultTransactionIsolation => {
                setting!("default_transaction_isolation", "read committed")
            }
            Self::StandardConformingStrings => setting!("standard_conforming_strings", "on"),
            Self::DateStyle => setting!("datestyle", "ISO"),
            Self::TimeZone => setting!("timezone", "GMT"),
        }
    }
}
