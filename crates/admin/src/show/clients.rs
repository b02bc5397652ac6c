//! SHOW CLIENTS: connections of clients that have logged in, those of the console included.

use super::Needs;
use super::connection::{BACK, ConnectionRow, FRONT, OURS, STATE, State};
use crate::column::Table;

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
