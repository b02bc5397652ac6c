//! SHOW POOLS: clients and server connections by database and user.

use crate::column::{Table, int4, nullable, sorted, text};
use crate::snapshot::Needs;
use crate::snapshot::pool::PoolRow;

pub(crate) static SHOW: Table<PoolRow> = Table {
    columns: &[
        &[
            text("database", |row| &row.database),
            text("user", |row| &row.user),
            int4("cl_active", |row| row.cl_active),
            int4("cl_waiting", |row| row.cl_waiting),
            int4("cl_active_cancel_req", |row| row.cl_active_cancel_req),
            int4("cl_waiting_cancel_req", |row| row.cl_waiting_cancel_req),
            int4("sv_active", |row| row.sv_active),
            int4("sv_active_cancel", |row| row.sv_active_cancel),
            int4("sv_being_canceled", |row| row.sv_being_canceled),
            int4("sv_idle", |row| row.sv_idle),
            int4("sv_used", |row| row.sv_used),
            int4("sv_tested", |row| row.sv_tested),
            int4("sv_login", |row| row.sv_login),
            int4("maxwait", |row| row.maxwait.as_secs()),
            int4("maxwait_us", |row| row.maxwait.subsec_micros().into()),
            text("pool_mode", |row| &row.pool_mode),
            nullable("load_balance_hosts", |row| {
                row.load_balance_hosts.as_deref()
            }),
        ],
        // Ours.
        &[
            text("host", |row| &row.host),
            int4("pool_size", |row| row.pool_size),
        ],
    ],
    each: |snapshot, show| sorted(&snapshot.pools, |row| (&row.database, &row.user), show),
    needs: Needs {
        pools: true,
        ..Needs::NOTHING
    },
};
