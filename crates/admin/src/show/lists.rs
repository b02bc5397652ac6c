//! SHOW LISTS: how many there are of what.

use super::Needs;
use crate::column::{Table, int4, text};

/// The numbers, in the order in which they are shown.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Default)]
pub struct Lists {
    /// Databases, the console included.
    pub databases: u64,
    /// Users that are known.
    pub users: u64,
    /// Always 0: there is no peering.
    pub peers: u64,
    /// Pools, the console's included.
    pub pools: u64,
    /// Always 0: there is no peering.
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

/// One number.
pub(crate) struct ListRow {
    list: &'static str,
    items: u64,
}

pub(crate) static SHOW: Table<ListRow> = Table {
    columns: &[&[text("list", |row| row.list), int4("items", |row| row.items)]],
    each: |snapshot, show| {
        let lists = &snapshot.lists;
        for (list, items) in [
            ("databases", lists.databases),
            ("users", lists.users),
            ("peers", lists.peers),
            ("pools", lists.pools),
            ("peer_pools", lists.peer_pools),
            ("free_clients", lists.free_clients),
            ("used_clients", lists.used_clients),
            ("login_clients", lists.login_clients),
            ("free_servers", lists.free_servers),
            ("used_servers", lists.used_servers),
            ("dns_names", lists.dns_names),
            ("dns_zones", lists.dns_zones),
            ("dns_queries", lists.dns_queries),
            ("dns_pending", lists.dns_pending),
        ] {
            show(&ListRow { list, items });
        }
    },
    needs: Needs {
        lists: true,
        ..Needs::NOTHING
    },
};
