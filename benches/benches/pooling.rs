//! Taking connections and giving them back, with idle ones there and with clients waiting.
#![allow(missing_docs, reason = "criterion's macros make public functions")]

use criterion::{BenchmarkId, Criterion, criterion_group, criterion_main};
use pgweir_benches::Crowd;

const SIZE: u32 = 20;

fn pooling(criterion: &mut Criterion) {
    let mut group = criterion.benchmark_group("pool");
    for workers in [1, 2] {
        for clients in [1, 8, 64, 256] {
            let mut crowd = Crowd::new(SIZE, workers);
            for _ in 1..clients {
                crowd.come();
            }
            let id = BenchmarkId::new(format!("{workers} workers"), format!("{clients} clients"));
            group.bench_function(id, |bench| {
                // One client more comes, one goes: with more clients than connections the one that
                // comes waits, and the one that goes hands its connection to another.
                bench.iter(|| {
                    crowd.come();
                    crowd.go();
                });
            });
        }
    }
    group.finish();
}

criterion_group!(benches, pooling);
criterion_main!(benches);
