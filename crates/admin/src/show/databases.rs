//! SHOW DATABASES: what clients may connect to.

use crate::column::{Table, flag, int4, nullable, sorted, text};
use crate::snapshot::Needs;
use crate::snapshot::database::DatabaseRow;

pub(crate) static SHOW: Table<DatabaseRow> = Table {
    columns: &[&[
        text("name", |row| &row.name),
        nullable("host", |row| row.host.as_deref()),
        int4("port", |row| row.port),
        text("database", |row| &row.database),
        nullable("force_user", |row| row.force_user.as_deref()),
        int4("pool_size", |row| row.pool_size),
        int4("min_pool_size", |row| row.min_pool_size),
        int4("reserve_pool_size", |row| row.reserve_pool_size),
        int4("server_lifetime", |row| row.server_lifetime),
        nullable("pool_mode", |row| row.pool_mode.as_deref()),
        nullable("load_balance_hosts", |row| {
            row.load_balance_hosts.as_deref()
        }),
        int4("max_connections", |row| row.max_connections),
        int4("current_connections", |row| row.current_connections),
        int4("max_client_connections", |row| row.max_client_connections),
        int4("current_client_connections", |row| {
            row.current_client_connections
        }),
        flag("paused", |row| row.paused),
        flag("disabled", |row| row.disabled),
    ]],
    each: |snapshot, show| sorted(&snapshot.databases, |row| &row.name, show),
    needs: Needs {
        databases: true,
        ..Needs::NOTHING
    },
};
