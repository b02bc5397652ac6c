//! SHOW MEM: memory by kind of object, named as PgBouncer's caches.

use crate::column::{Table, int4, text};
use crate::snapshot::Needs;
use crate::snapshot::mem::Cache;

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
