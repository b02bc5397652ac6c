//! How many there are of what, for SHOW LISTS.

/// The numbers, in the order in which they are shown.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Default)]
pub struct Lists {
    /// Databases, the console included.
    pub databases: u64,
    /// Users that are known.
    pub users: u64,
    /// Other processes, to which cancel requests are passed on.
    pub peers: u64,
    /// Pools, the console's included.
    pub pools: u64,
    /// Those of them that requests were passed on to.
    pub peer_pools: u64,
    /// Places for clients kept in memory and free.
    pub free_clients: u64,
    /// Clients.
    pub used_clients: u64,
    /// Clients that log in.
    pub login_clients: u64,
    /// Places for server connections kept in memory and free.
    pub free_servers: u64,
    /// Server connections.
    pub used_servers: u64,
    /// Host names in the cache of the DNS.
    pub dns_names: u64,
    /// Zones in the cache of the DNS.
    pub dns_zones: u64,
    /// Questions to the DNS under way.
    pub dns_queries: u64,
    /// Likewise, not yet asked.
    pub dns_pending: u64,
}
