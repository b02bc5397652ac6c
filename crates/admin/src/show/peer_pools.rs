//! SHOW PEER_POOLS: always empty, there is no peering. Exporters ask for it all the same.

use super::peers::Never;
use crate::column::{Table, int4};
use crate::snapshot::Needs;

pub(crate) static SHOW: Table<Never> = Table {
    columns: &[&[
        int4("peer_id", |row| match *row {}),
        int4("cl_active_cancel_req", |row| match *row {}),
        int4("cl_waiting_cancel_req", |row| match *row {}),
        int4("sv_active_cancel", |row| match *row {}),
        int4("sv_login", |row| match *row {}),
    ]],
    each: |_, _| (),
    needs: Needs::NOTHING,
};
