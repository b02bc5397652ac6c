//! SHOW PEERS: processes that cancel requests are passed on to.

use crate::column::{Table, int4, text};
use crate::snapshot::Needs;
use crate::snapshot::peer::PeerRow;

pub(crate) static SHOW: Table<PeerRow> = Table {
    columns: &[&[
        int4("peer_id", |row| row.peer_id),
        text("host", |row| &row.host),
        int4("port", |row| row.port),
        int4("pool_size", |row| row.pool_size),
    ]],
    each: |snapshot, show| snapshot.peers.iter().for_each(show),
    needs: Needs {
        peers: true,
        ..Needs::NOTHING
    },
};
