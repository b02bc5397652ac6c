//! Memory by kind of object, for SHOW MEM.

/// Objects of one kind.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Default)]
pub struct Cache {
    /// Bytes of one object.
    pub size: u64,
    /// Objects in use.
    pub used: u64,
    /// Objects kept in memory and free.
    pub free: u64,
}

/// The kinds, in the order in which they are shown. Kinds that we do not have stay at zero.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Default)]
pub struct Mem {
    /// Users.
    pub user_cache: Cache,
    /// Secrets.
    pub credentials_cache: Cache,
    /// Databases.
    pub db_cache: Cache,
    /// Peers.
    pub peer_cache: Cache,
    /// Pools of peers.
    pub peer_pool_cache: Cache,
    /// Pools.
    pub pool_cache: Cache,
    /// Requests that are owed a reply.
    pub outstanding_request_cache: Cache,
    /// Server connections.
    pub server_cache: Cache,
    /// Clients.
    pub client_cache: Cache,
    /// Buffers.
    pub iobuf_cache: Cache,
    /// Settings that follow clients.
    pub var_list_cache: Cache,
    /// Prepared statements of server connections.
    pub server_prepared_statement_cache: Cache,
}
