//! SHOW SERVERS: connections to servers.

use super::connection::{BACK, FRONT, OURS, STATE};
use crate::column::Table;
use crate::snapshot::Needs;
use crate::snapshot::connection::ConnectionRow;

pub(crate) static SHOW: Table<ConnectionRow> = Table {
    columns: &[FRONT, STATE, BACK, OURS],
    each: |snapshot, show| snapshot.servers.iter().for_each(show),
    needs: Needs {
        servers: true,
        ..Needs::NOTHING
    },
};
