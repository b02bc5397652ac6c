//! SHOW DNS_ZONES: zones that names of hosts are in.

use crate::column::{Table, int4, int8, text};
use crate::snapshot::Needs;
use crate::snapshot::dns::DnsZoneRow;

pub(crate) static SHOW: Table<DnsZoneRow> = Table {
    columns: &[&[
        text("zonename", |row| &row.zonename),
        int8("serial", |row| row.serial),
        int4("count", |row| row.count),
    ]],
    each: |snapshot, show| snapshot.dns_zones.iter().for_each(show),
    needs: Needs {
        dns: true,
        ..Needs::NOTHING
    },
};
