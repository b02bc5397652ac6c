//! One user, for SHOW USERS.

/// One user. Limits of 0 are none.
#[derive(Debug, Clone, PartialEq, Default)]
pub struct UserRow {
    /// Name by which clients log in.
    pub name: String,
    /// Server connections of each of the user's pools, if set for the user.
    pub pool_size: Option<u64>,
    /// Server connections beyond `pool_size`, if set for the user.
    pub reserve_pool_size: Option<u64>,
    /// Mode of the user's pools, if set for the user.
    pub pool_mode: Option<String>,
    /// Greatest number of server connections.
    pub max_user_connections: u64,
    /// Server connections now.
    pub current_connections: u64,
    /// Greatest number of clients.
    pub max_user_client_connections: u64,
    /// Clients now.
    pub current_client_connections: u64,
}
