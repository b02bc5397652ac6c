//! SHOW DNS_HOSTS: names of hosts and their addresses.

use crate::column::{Table, int8, made, text};
use crate::snapshot::Needs;
use crate::snapshot::dns::DnsHostRow;

pub(crate) static SHOW: Table<DnsHostRow> = Table {
    columns: &[&[
        text("hostname", |row| &row.hostname),
        int8("ttl", |row| row.ttl),
        made("addrs", |row| row.addrs.join(",")),
    ]],
    each: |snapshot, show| snapshot.dns_hosts.iter().for_each(show),
    needs: Needs {
        dns: true,
        ..Needs::NOTHING
    },
};
