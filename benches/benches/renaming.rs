//! Messages that name a prepared statement, from the client's name to the server's.
#![allow(missing_docs, reason = "criterion's macros make public functions")]

use std::hint::black_box;

use criterion::{Criterion, criterion_group, criterion_main};
use pgweir_benches::{Line, requests};

fn renaming(criterion: &mut Criterion) {
    let mut group = criterion.benchmark_group("renaming");
    for (name, request) in [
        ("Bind", requests::prepared()),
        ("Describe", requests::description()),
        ("Close and Parse", requests::replacement()),
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

criterion_group!(benches, renaming);
criterion_main!(benches);
