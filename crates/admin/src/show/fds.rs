//! SHOW FDS: sockets by their file descriptors, those with TLS left out. It was PgBouncer's way to hand them to a new
//! process, and told who asked cancel keys, passwords and SCRAM keys. Here those are NULL, as is what only a new process would need.

use crate::column::{Table, Type, int4, nullable, text, withheld};
use crate::snapshot::Needs;
use crate::snapshot::fd::FdRow;

pub(crate) static SHOW: Table<FdRow> = Table {
    columns: &[&[
        int4("fd", |row| row.fd),
        text("task", |row| row.task),
        nullable("user", |row| row.user.as_deref()),
        nullable("database", |row| row.database.as_deref()),
        text("addr", |row| &row.addr),
        int4("port", |row| row.port),
        withheld("cancel", Type::Int8),
        int4("link", |row| row.link),
        withheld("client_encoding", Type::Text),
        withheld("std_strings", Type::Text),
        withheld("datestyle", Type::Text),
        withheld("timezone", Type::Text),
        withheld("password", Type::Text),
        withheld("scram_client_key", Type::Bytea),
        withheld("scram_server_key", Type::Bytea),
    ]],
    each: |snapshot, show| snapshot.fds.iter().for_each(show),
    needs: Needs {
        fds: true,
        ..Needs::NOTHING
    },
};
