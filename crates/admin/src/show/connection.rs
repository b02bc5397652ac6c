//! What SHOW CLIENTS, SERVERS and SOCKETS have in common: one connection, ours to a client or to a
//! server, and its columns.

use crate::column::{Column, flag, int4, made, nullable, text};
use crate::snapshot::connection::{ConnectionRow, Replication, State};

impl State {
    fn is_client(self) -> bool {
        use State::*;
        matches!(
            self,
            ClientLogin
                | ClientActive
                | ClientIdle
                | ClientWaiting
                | ClientActiveCancel
                | ClientWaitingCancel
        )
    }

    fn name(self) -> &'static str {
        match self {
            Self::ClientLogin => "login",
            Self::ClientActive | Self::ServerActive => "active",
            Self::ClientIdle | Self::ServerIdle => "idle",
            Self::ClientWaiting => "waiting",
            Self::ClientActiveCancel => "active_cancel_req",
            Self::ClientWaitingCancel => "waiting_cancel_req",
            Self::ServerLogin => "new",
            Self::ServerUsed => "used",
            Self::ServerTested => "tested",
            Self::ServerActiveCancel => "active_cancel",
            Self::ServerBeingCanceled => "being_canceled",
        }
    }

    /// Its name in SHOW SOCKETS, where cancel requests are not listed.
    pub(super) fn socket_name(self) -> Option<&'static str> {
        Some(match self {
            Self::ClientLogin => "cl_login",
            Self::ClientActive | Self::ClientIdle => "cl_active",
            Self::ClientWaiting => "cl_waiting",
            Self::ServerLogin => "sv_login",
            Self::ServerActive => "sv_active",
            Self::ServerIdle => "sv_idle",
            Self::ServerUsed => "sv_used",
            Self::ServerTested => "sv_tested",
            Self::ClientActiveCancel
            | Self::ClientWaitingCancel
            | Self::ServerActiveCancel
            | Self::ServerBeingCanceled => return None,
        })
    }
}

impl Replication {
    fn name(self) -> &'static str {
        match self {
            Self::None => "none",
            Self::Logical => "logical",
            Self::Physical => "physical",
        }
    }
}

/// There are no pointers to show; a number in their form does as well.
fn ptr(id: u64) -> String {
    format!("{id:#x}")
}

/// The columns in front of `state`.
pub(super) const FRONT: &[Column<ConnectionRow>] = &[
    text("type", |row| if row.state.is_client() { "C" } else { "S" }),
    text("user", |row| row.user.as_deref().unwrap_or("(nouser)")),
    text("database", |row| {
        row.database.as_deref().unwrap_or("(nodb)")
    }),
    text("replication", |row| row.replication.name()),
];

/// `state` in SHOW CLIENTS and SERVERS.
pub(super) const STATE: &[Column<ConnectionRow>] = &[text("state", |row| row.state.name())];

/// The columns behind `state`.
pub(super) const BACK: &[Column<ConnectionRow>] = &[
    text("addr", |row| &row.addr),
    int4("port", |row| row.port),
    text("local_addr", |row| &row.local_addr),
    int4("local_port", |row| row.local_port),
    text("connect_time", |row| &row.connect_time),
    text("request_time", |row| &row.request_time),
    int4("wait", |row| row.wait.as_secs()),
    int4("wait_us", |row| row.wait.subsec_micros().into()),
    flag("close_needed", |row| row.close_needed),
    made("ptr", |row| ptr(row.id)),
    made("link", |row| row.link.map(ptr).unwrap_or_default()),
    int4("remote_pid", |row| row.remote_pid),
    text("tls", |row| &row.tls),
    text("application_name", |row| &row.application_name),
    int4("prepared_statements", |row| row.prepared_statements),
    int4("id", |row| row.id),
];

/// Our own columns, behind PgBouncer's.
pub(super) const OURS: &[Column<ConnectionRow>] = &[
    int4("worker", |row| row.worker),
    nullable("pin", |row| row.pin.as_deref()),
];
