//! Judging where a text may run: time per text that comes again and again, with and without the cache.
#![allow(missing_docs, reason = "criterion's macros make public functions")]

use std::hint::black_box;

use criterion::{Criterion, Throughput, criterion_group, criterion_main};
use pgweir_route::intent::{Cache, NoCatalog};
use pgweir_route::judge;
use pgweir_route::lex::Dialect;

/// Names and texts as applications send them.
fn texts() -> Vec<(&'static str, String)> {
    let columns: Vec<String> = (0..40)
        .map(|number| format!("\"users\".\"column_{number}\""))
        .collect();
    let list: Vec<String> = (0..1000).map(|number| number.to_string()).collect();
    vec![
        ("begin", "BEGIN".to_owned()),
        ("select_1", "SELECT 1".to_owned()),
        (
            "pgbench_select",
            "SELECT abalance FROM pgbench_accounts WHERE aid = 27149;".to_owned(),
        ),
        (
            "pgbench_update",
            "UPDATE pgbench_accounts SET abalance = abalance + 17 WHERE aid = 1;".to_owned(),
        ),
        (
            "orm_short",
            "SELECT \"users\".* FROM \"users\" WHERE \"users\".\"id\" = $1 AND \"users\".\"active\" = $2 \
             ORDER BY \"users\".\"id\" ASC LIMIT $3"
                .to_owned(),
        ),
        (
            "functions",
            "select date_trunc('day', o.at) as day, count(*), coalesce(sum(o.total), 0) from orders o \
             where o.customer = $1 and lower(o.state) in ('paid', 'sent') group by 1 order by 1"
                .to_owned(),
        ),
        (
            "orm_long",
            format!(
                "SELECT {} FROM \"users\" INNER JOIN \"posts\" ON \"posts\".\"user_id\" = \"users\".\"id\" \
                 WHERE \"users\".\"id\" = $1",
                columns.join(", ")
            ),
        ),
        (
            "list",
            format!("SELECT * FROM users WHERE id IN ({})", list.join(",")),
        ),
    ]
}

fn judging(criterion: &mut Criterion) {
    let mut group = criterion.benchmark_group("intent");
    for (name, text) in texts() {
        group.throughput(Throughput::Bytes(text.len() as u64));
        group.bench_function(name, |bench| {
            bench.iter(|| judge(black_box(text.as_bytes()), Dialect::default(), &NoCatalog));
        });
    }
    group.finish();
}

fn judging_again(criterion: &mut Criterion) {
    let mut group = criterion.benchmark_group("intent_again");
    let mut cache = Cache::new(1024, 7);
    for (name, text) in texts() {
        group.throughput(Throughput::Bytes(text.len() as u64));
        group.bench_function(name, |bench| {
            bench.iter(|| cache.judge(black_box(text.as_bytes()), Dialect::default(), &NoCatalog));
        });
    }
    group.finish();
}

criterion_group!(benches, judging, judging_again);
criterion_main!(benches);
