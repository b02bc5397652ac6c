//! SHOW MEM: memory by kind of object, named as PgBouncer's caches.

use super::Needs;
use crate::column::{Table, int4, text};

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

/// One kind.
pub(crate) struct MemRow {
    name: &'static str,
    cache: Cache,
}

pub(crate) static SHOW: Table<MemRow> = Table {
    columns: &[&[
        text("name", |row| row.name),
        int4("size", |row| row.cache.size),
        int4("used", |row| row.cache.used),
        int4("free", |row| row.cache.free),
        int4("memtotal", |row| {
            row.cache
                .size
                .saturating_mul(row.cache.used.saturating_add(row.cache.free))
        }),
    ]],
    each: |snapshot, show| {
        let mem = &snapshot.mem;
        for (name, cache) in [
            ("user_cache", mem.user_cache),
            ("credentials_cache", mem.credentials_cache),
            ("db_cache", mem.db_cache),
            ("peer_cache", mem.peer_cache),
            ("peer_pool_cache", mem.peer_pool_cache),
            ("pool_cache", mem.pool_cache),
            ("outstanding_request_cache", mem.outstanding_request_cache),
            ("server_cache", mem.server_cache),
            ("client_cache", mem.client_cache),
            ("iobuf_cache", mem.iobuf_cache),
            ("var_list_cache", mem.var_list_cache),
            (
                "server_prepared_statement_cache",
                mem.server_prepared_statement_cache,
            ),
        ] {
            show(&MemRow { name, cache });
        }
    },
    needs: Needs {
        mem: true,
        ..Needs::NOTHING
    },
};
