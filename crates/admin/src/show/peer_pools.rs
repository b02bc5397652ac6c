//! SHOW PEER_POOLS: cancel requests that are being passed on.

use crate::column::{Table, int4};
use crate::snapshot::Needs;
use crate::snapshot::peer::PeerPoolRow;

pub(crate) static SHOW: Table<PeerPoolRow> = Table {
    columns: &[&[
        int4("peer_id", |row| row.peer_id),
        int4("cl_active_cancel_req", |row| row.cl_active_cancel_req),
        int4("cl_waiting_cancel_req", |row| row.cl_waiting_cancel_req),
        int4("sv_active_cancel", |row| row.sv_active_cancel),
        int4("sv_login", |row| row.sv_login),
    ]],
    each: |snapshot, show| snapshot.peer_pools.iter().for_each(show),
    needs: Needs {
        peers: true,
        ..Needs::NOTHING
    },
};
