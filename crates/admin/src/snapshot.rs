//! What the console knows when it is asked.

use crate::{
    ConfigRow, ConnectionRow, Counters, DatabaseRow, Lists, Mem, PoolRow, StatsRow, UserRow,
};

/// The proxy's state as plain data, gathered by the caller.
///
/// Only what [`Show::needs`](crate::Show::needs) names must be filled. Rows of pools, databases,
/// users and statistics may come in any order: they are shown in that of their names. PgBouncer
/// lists the console among them, as database `pgbouncer`, and console connections among the clients.
#[derive(Debug, Clone, PartialEq, Default)]
pub struct Snapshot {
    /// For SHOW POOLS.
    pub pools: Vec<PoolRow>,
    /// For SHOW CLIENTS and SOCKETS, those that still log in included.
    pub clients: Vec<ConnectionRow>,
    /// For SHOW SERVERS and SOCKETS, those that are being opened included.
    pub servers: Vec<ConnectionRow>,
    /// For SHOW DATABASES.
    pub databases: Vec<DatabaseRow>,
    /// For SHOW USERS.
    pub users: Vec<UserRow>,
    /// For SHOW LISTS.
    pub lists: Lists,
    /// For the SHOWs of statistics, one for each database.
    pub stats: Vec<StatsRow>,
    /// For SHOW TOTALS: averages of the last period over all databases together. (Averages of single
    /// databases do not add up.)
    pub averages: Counters,
    /// For SHOW CONFIG, in the order in which it is shown.
    pub config: Vec<ConfigRow>,
    /// For SHOW STATE: whether PAUSE of everything is in force.
    pub is_paused: bool,
    /// For SHOW MEM.
    pub mem: Mem,
    /// For SHOW VERSION: our own version, such as `0.1.0`.
    pub version: String,
}
