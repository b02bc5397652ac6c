//! SHOW LISTS: how many there are of what.

use crate::column::{Table, int4, text};
use crate::snapshot::Needs;

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
