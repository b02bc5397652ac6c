//! The way of one transaction through `session`: lease, request, replies, boundary.
#![allow(missing_docs, reason = "criterion's macros make public functions")]

use std::hint::black_box;

use criterion::{BatchSize, Criterion, criterion_group, criterion_main};
use pgweir_benches::{Line, requests};

fn relaying(criterion: &mut Criterion) {
    let mut group = criterion.benchmark_group("transaction");
    for (name, request) in [
        ("simple", requests::simple()),
        ("extended", requests::extended()),
        ("prepared", requests::prepared()),
        ("pipeline of 10 prepared", requests::pipeline(10)),
    ] {
        let mut line = Line::new();
        line.converse(&requests::preparation());
        line.converse(&request);
        let reply = line.converse(&request);
        group.bench_function(name, |bench| {
            bench.iter(|| line.transaction(black_box(&request), black_box(&reply)));
        });
    }
    group.finish();
}

fn elsewhere(criterion: &mut Criterion) {
    let request = requests::prepared();
    let made = || {
        let mut line = Line::new();
        line.converse(&requests::preparation());
        line.change_server();
        line
    };
    let reply = made().converse(&request);
    criterion.bench_function("transaction/prepared on a new server", |bench| {
        bench.iter_batched_ref(
            made,
            |line| line.transaction(black_box(&request), black_box(&reply)),
            BatchSize::SmallInput,
        );
    });
}

criterion_group!(benches, relaying, elsewhere);
criterion_main!(benches);
