//! Judging where a text may run: time per text that comes again and again, with and without the cache.
#![allow(missing_docs, reason = "criterion's macros make public functions")]

use std::hint::black_box;
use std::time::{Duration, Instant};

use criterion::{Criterion, Throughput, criterion_group, criterion_main};
use pgweir_route::intent::{Cache, Intent, NoCatalog};
use pgweir_route::lex::Dialect;
use pgweir_route::topology::{Lsn, Pace, Probe};
use pgweir_route::{Chance, HostIndex, Policy, Seen, Topology, Want, choose, judge};

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

/// A primary and two standbys that have what it has.
fn cluster(now: Instant) -> Topology {
    let mut topology = Topology::new(3, Pace::default(), now);
    let asked = now - Duration::from_millis(20);
    for place in 0..3 {
        let probe = Probe {
            in_recovery: place > 0,
            timeline: 1,
            system: 1,
            lsn: Lsn(1 << 32),
        };
        topology.probed(HostIndex(place), probe, asked, now);
    }
    topology
}

/// What a repeated statement costs in all: what it wants, and which host that is.
fn routing_again(criterion: &mut Criterion) {
    let mut group = criterion.benchmark_group("routing_again");
    let now = Instant::now();
    let topology = cluster(now);
    let policy = Policy {
        as_seen: true,
        lag_max: Some(Duration::from_secs(10)),
        ..Policy::default()
    };
    let mut seen = Seen::default();
    let mut cache = Cache::new(1024, 7);
    for (name, text) in texts() {
        let mut dice = 1_u64;
        group.bench_function(name, |bench| {
            bench.iter(|| {
                let text = black_box(text.as_bytes());
                let judgement = cache.judge(text, Dialect::default(), &NoCatalog);
                let want = match judgement.intent() {
                    Intent::Primary => Want::Primary,
                    _ => Want::Read,
                };
                dice = dice.wrapping_mul(6_364_136_223_846_793_005).wrapping_add(1);
                let chance = Chance {
                    load: &|host| host.0 as u64,
                    dice,
                    turn: 0,
                };
                choose(&topology, &policy, want, &mut seen, &chance, now)
            });
        });
    }
    group.finish();
}

criterion_group!(benches, judging, judging_again, routing_again);
criterion_main!(benches);
