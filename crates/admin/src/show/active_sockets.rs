//! SHOW ACTIVE_SOCKETS: what SHOW SOCKETS lists, where there is something in the buffers.

use super::connection::{BACK, FRONT};
use super::sockets::{BUFFERS, STATE, sockets};
use crate::column::Table;
use crate::snapshot::Needs;
use crate::snapshot::connection::{Buffers, ConnectionRow};

pub(crate) static SHOW: Table<ConnectionRow> = Table {
    columns: &[FRONT, STATE, BACK, BUFFERS],
    each: |snapshot, show| {
        sockets(snapshot)
            .filter(|socket| socket.buffers != Buffers::default())
            .for_each(show);
    },
    needs: Needs {
        clients: true,
        servers: true,
        ..Needs::NOTHING
    },
};
