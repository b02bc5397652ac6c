//! Other processes, for SHOW PEERS and PEER_POOLS.

/// A process that cancel requests are passed on to.
#[derive(Debug, Clone, PartialEq, Eq, Default)]
pub struct PeerRow {
    /// Its number.
    pub peer_id: u64,
    /// Name, address or directory of its socket.
    pub host: String,
    /// Its port.
    pub port: u64,
    /// Requests on their way to it at most; 0 is no limit.
    pub pool_size: u64,
}

/// Cancel requests on their way to a process.
#[derive(Debug, Clone, PartialEq, Eq, Default)]
pub struct PeerPoolRow {
    /// Its number.
    pub peer_id: u64,
    /// Requests that have been sent on, and not been dealt with there.
    pub cl_active_cancel_req: u64,
    /// Requests that have not.
    pub cl_waiting_cancel_req: u64,
    /// Connections on which requests have been sent.
    pub sv_active_cancel: u64,
    /// Connections that are being made.
    pub sv_login: u64,
}
