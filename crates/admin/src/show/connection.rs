//! What SHOW CLIENTS, SERVERS and SOCKETS have in common: one connection, ours to a client or to a
//! server, and its columns.

use std::time::Duration;

use crate::column::{Column, flag, int4, made, nullable, text};

/// One connection.
#[derive(Debug, Clone, PartialEq, Default)]
pub struct ConnectionRow {
    /// Whose connection it is and what it does.
    pub state: State,
    /// `None` until the client has said it.
    pub user: Option<String>,
    /// `None` until the client has said it.
    pub database: Option<String>,
    /// Kind of replication connection, if it is one.
    pub replication: Replication,
    /// Address of the other side, `unix` for a Unix socket.
    pub addr: String,
    /// Port of the other side.
    pub port: u64,
    /// Address of our side, `unix` for a Unix socket.
    pub local_addr: String,
    /// Port of our side.
    pub local_port: u64,
    /// When it was made: `YYYY-MM-DD HH:MM:SS TZ`.
    pub connect_time: String,
    /// When the last request came: `YYYY-MM-DD HH:MM:SS TZ`, or empty.
    pub request_time: String,
    /// For how long the client has been waiting for a server connection.
    pub wait: Duration,
    /// Whether it is closed as soon as nobody uses it.
    pub close_needed: bool,
    /// `id` of the connection on the other side that it is linked with.
    pub link: Option<u64>,
    /// Process ID of the server's side, or of the client behind a Unix socket; 0 if unknown.
    pub remote_pid: u64,
    /// Version and cipher, such as `TLSv1.3/TLS_AES_256_GCM_SHA384`; empty without TLS.
    pub tls: String,
    /// As the client has set it.
    pub application_name: String,
    /// Prepared statements that it has.
    pub prepared_statements: u64,
    /// Its number, unique over clients and servers.
    pub id: u64,
    /// What is on its way, for SHOW SOCKETS.
    pub buffers: Buffers,
    /// Number of the worker on which it lies.
    pub worker: u64,
    /// Why the client keeps its server connection beyond the transaction, if it does.
    pub pin: Option<String>,
}

/// Bytes of a connection that are on their way, read and to be written.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Default)]
pub struct Buffers {
    /// Bytes read into the buffer.
    pub recv_pos: u64,
    /// Bytes of them that are judged.
    pub pkt_pos: u64,
    /// Bytes of the frame under way that have not been read.
    pub pkt_remain: u64,
    /// Bytes of the buffer that are written.
    pub send_pos: u64,
    /// Bytes of the frame under way that have not been written.
    pub send_remain: u64,
    /// Bytes that are read and not judged.
    pub pkt_avail: u64,
    /// Bytes that are judged and not written.
    pub send_avail: u64,
}

/// Kind of replication connection (startup parameter `replication`).
#[derive(Debug, Clone, Copy, PartialEq, Eq, Default)]
pub enum Replication {
    /// It is an ordinary one.
    #[default]
    None,
    /// `replication=database`.
    Logical,
    /// `replication=true`.
    Physical,
}

/// What a connection does; of a client first, then of a server.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Default)]
pub enum State {
    /// A client that logs in; not in SHOW CLIENTS.
    #[default]
    ClientLogin,
    /// A client with a server connection.
    ClientActive,
    /// A client without one, and without need of one.
    ClientIdle,
    /// A client that waits for one.
    ClientWaiting,
    /// A cancel request that is on its way to the server.
    ClientActiveCancel,
    /// A cancel request that waits.
    ClientWaitingCancel,
    /// A server connection that is being opened.
    ServerLogin,
    /// Leased to a client.
    ServerActive,
    /// Ready to be leased.
    ServerIdle,
    /// Idle for so long that it is tested before it is leased.
    ServerUsed,
    /// Being tested or cleaned.
    ServerTested,
    /// Carries a cancel request.
    ServerActiveCancel,
    /// Kept from others while its query is being cancelled.
    ServerBeingCanceled,
}

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
