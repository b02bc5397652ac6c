//! SHOW USERS: limits of users.

use crate::column::{Table, int4, made, nullable, sorted, text};
use crate::snapshot::Needs;
use crate::snapshot::user::UserRow;

/// PgBouncer shows these sizes as texts of at least nine characters.
fn padded(size: Option<u64>) -> String {
    size.map(|size| format!("{size:9}")).unwrap_or_default()
}

pub(crate) static SHOW: Table<UserRow> = Table {
    columns: &[&[
        text("name", |row| &row.name),
        made("pool_size", |row| padded(row.pool_size)),
        made("reserve_pool_size", |row| padded(row.reserve_pool_size)),
        nullable("pool_mode", |row| row.pool_mode.as_deref()),
        int4("max_user_connections", |row| row.max_user_connections),
        int4("current_connections", |row| row.current_connections),
        int4("max_user_client_connections", |row| {
            row.max_user_client_connections
        }),
        int4("current_client_connections", |row| {
            row.current_client_connections
        }),
    ]],
    each: |snapshot, show| sorted(&snapshot.users, |row| &row.name, show),
    needs: Needs {
        users: true,
        ..Needs::NOTHING
    },
};
