//! One database, for SHOW DATABASES.

/// One database. Limits of 0 are none.
#[derive(Debug, Clone, PartialEq, Default)]
pub struct DatabaseRow {
    /// Name by which clients connect.
    pub name: String,
    /// Host of the server, or several with commas between; `None` for a Unix socket.
    pub host: Option<String>,
    /// Port of the server.
    pub port: u64,
    /// Name on the server.
    pub database: String,
    /// User of all its server connections, if they do not have the client's.
    pub force_user: Option<String>,
    /// Server connections of each of its pools.
    pub pool_size: u64,
    /// Server connections kept in each pool.
    pub min_pool_size: u64,
    /// Server connections beyond `pool_size` for clients that have waited for long.
    pub reserve_pool_size: u64,
    /// Seconds after which a server connection is closed.
    pub server_lifetime: u64,
    /// Mode of its pools, if it has one of its own.
    pub pool_mode: Option<String>,
    /// How one of several hosts is chosen; `None` if there is only one.
    pub load_balance_hosts: Option<String>,
    /// Greatest number of server connections.
    pub max_connections: u64,
    /// Server connections now.
    pub current_connections: u64,
    /// Greatest number of clients.
    pub max_client_connections: u64,
    /// Clients now.
    pub current_client_connections: u64,
    /// Whether PAUSE or KILL is in force.
    pub paused: bool,
    /// Whether DISABLE is in force.
    pub disabled: bool,
}
