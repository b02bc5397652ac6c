//! SHOW CLIENTS: connections of clients that have logged in, those of the console included.

use super::connection::{BACK, FRONT, OURS, STATE};
use crate::column::Table;
use crate::snapshot::Needs;
use crate::snapshot::connection::{ConnectionRow, State};

pub(crate) static SHOW: Table<ConnectionRow> = Table {
    columns: &[FRONT, STATE, BACK, OURS],
    each: |snapshot, show| {
        let clients = snapshot.clients.iter();
        clients
            .filter(|client| client.state != State::ClientLogin)
            .for_each(show);
    },
    needs: Needs {
        clients: true,
        ..Needs::NOTHING
    },
};
