//! One pool, for SHOW POOLS.

use std::time::Duration;

/// One pool. Dashboards expect one row for each database and user.
#[derive(Debug, Clone, PartialEq, Default)]
pub struct PoolRow {
    /// Name by which clients connect.
    pub database: String,
    /// User of the server connections.
    pub user: String,
    /// Clients with a server connection, and idle ones.
    pub cl_active: u64,
    /// Clients that wait for one.
    pub cl_waiting: u64,
    /// Cancel requests on their way to the server.
    pub cl_active_cancel_req: u64,
    /// Cancel requests that wait.
    pub cl_waiting_cancel_req: u64,
    /// Server connections that are leased.
    pub sv_active: u64,
    /// Server connections that carry a cancel request.
    pub sv_active_cancel: u64,
    /// Server connections kept from others while their query is being cancelled.
    pub sv_being_canceled: u64,
    /// Server connections that are ready to be leased.
    pub sv_idle: u64,
    /// Those idle for so long that they are tested first.
    pub sv_used: u64,
    /// Those being tested or cleaned.
    pub sv_tested: u64,
    /// Those being opened.
    pub sv_login: u64,
    /// For how long the first of the queue has been waiting; zero if nobody is.
    pub maxwait: Duration,
    /// `session`, `transaction` or `statement`.
    pub pool_mode: String,
    /// How one of several hosts is chosen; `None` if there is only one.
    pub load_balance_hosts: Option<String>,
    /// Hosts of the server connections.
    pub host: String,
    /// Server connections there may be; 0 for no limit.
    pub pool_size: u64,
}
