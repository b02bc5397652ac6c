//! SHOW DNS_ZONES: always empty, names are looked up for each connection and not kept.

use super::dns_hosts::Never;
use crate::column::{Table, int4, int8, text};
use crate::snapshot::Needs;

pub(crate) static SHOW: Table<Never> = Table {
    columns: &[&[
        text("zonename", |row| match *row {}),
        int8("serial", |row| match *row {}),
        int4("count", |row| match *row {}),
    ]],
    each: |_, _| (),
    needs: Needs::NOTHING,
};
