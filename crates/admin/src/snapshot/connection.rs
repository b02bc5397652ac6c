//! One connection, ours to a client or to a server, for SHOW CLIENTS, SERVERS and SOCKETS.

use std::time::Duration;

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
    /// File descriptor of its socket, for SHOW FDS.
    pub fd: u64,
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
