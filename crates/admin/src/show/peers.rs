//! SHOW PEERS: always empty, there is no peering. Exporters ask for it all the same.

use crate::column::{Table, int4, text};
use crate::snapshot::Needs;

/// A row that cannot be.
pub(crate) enum Never {}

pub(crate) static SHOW: Table<Never> = Table {
    columns: &[&[
        int4("peer_id", |row| match *row {}),
        text("host", |row| match *row {}),
        int4("port", |row| match *row {}),
        int4("pool_size", |row| match *row {}),
    ]],
    each: |_, _| (),
    needs: Needs::NOTHING,
};
