//! SHOW SOCKETS: connections of both sides, with their buffers. Cancel requests are not listed.

use super::connection::{BACK, FRONT};
use crate::column::{Column, Table, int4, text};
use crate::snapshot::Needs;
use crate::snapshot::Snapshot;
use crate::snapshot::connection::ConnectionRow;

/// The names of SHOW CLIENTS and SERVERS do not say which side it is.
pub(super) const STATE: &[Column<ConnectionRow>] = &[text("state", |row| {
    row.state.socket_name().unwrap_or_default()
})];

pub(super) const BUFFERS: &[Column<ConnectionRow>] = &[
    int4("recv_pos", |row| row.buffers.recv_pos),
    int4("pkt_pos", |row| row.buffers.pkt_pos),
    int4("pkt_remain", |row| row.buffers.pkt_remain),
    int4("send_pos", |row| row.buffers.send_pos),
    int4("send_remain", |row| row.buffers.send_remain),
    int4("pkt_avail", |row| row.buffers.pkt_avail),
    int4("send_avail", |row| row.buffers.send_avail),
];

pub(super) fn sockets(snapshot: &Snapshot) -> impl Iterator<Item = &ConnectionRow> {
    let sockets = snapshot.clients.iter().chain(&snapshot.servers);
    sockets.filter(|socket| socket.state.socket_name().is_some())
}

pub(crate) static SHOW: Table<ConnectionRow> = Table {
    columns: &[FRONT, STATE, BACK, BUFFERS],
    each: |snapshot, show| sockets(snapshot).for_each(show),
    needs: Needs {
        clients: true,
        servers: true,
        ..Needs::NOTHING
    },
};
