//! SHOW SERVERS: connections to servers.

use super::Needs;
use super::connection::{BACK, ConnectionRow, FRONT, OURS, STATE};
use crate::column::Table;

pub(crate) static SHOW: Table<ConnectionRow> = Table {
    columns: &[FRONT, STATE, BACK, OURS],
    each: |snapshot, show| snapshot.servers.iter().for_each(show),
    needs: Needs {
        servers: true,
        ..Needs::NOTHING
    },
};
