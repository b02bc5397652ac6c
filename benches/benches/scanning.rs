//! Finding frames in what a server sends: bytes per second by size of row.
#![allow(missing_docs, reason = "criterion's macros make public functions")]

use std::hint::black_box;

use criterion::{BenchmarkId, Criterion, Throughput, criterion_group, criterion_main};
use pgweir_benches::{Line, requests, rows};
use pgweir_wire::Scanner;

/// Rows, and bytes in the one column of each.
const RESULTS: [(usize, usize); 4] = [(1, 4), (1000, 16), (1000, 200), (10, 100_000)];
const READ_LEN: usize = 64 * 1024;

fn scan(stream: &[u8]) -> usize {
    let mut scanner = Scanner::new(u32::MAX);
    let (mut at, mut frames) = (0, 0);
    while at < stream.len() {
        let end = (at + READ_LEN).min(stream.len());
        while let Some(piece) = scanner.next(&stream[at..end]).expect("valid frames") {
            at += piece.bytes.len();
            frames += usize::from(piece.ends);
        }
    }
    frames
}

fn scanning(criterion: &mut Criterion) {
    let mut group = criterion.benchmark_group("scanner");
    for (count, width) in RESULTS {
        let stream = rows(count, width);
        group.throughput(Throughput::Bytes(stream.len() as u64));
        let id = BenchmarkId::from_parameter(format!("{count}x{width}"));
        group.bench_with_input(id, &stream, |bench, stream| {
            bench.iter(|| scan(black_box(stream)));
        });
    }
    group.finish();
}

fn matching(criterion: &mut Criterion) {
    let mut group = criterion.benchmark_group("replies");
    for (count, width) in RESULTS {
        let stream = rows(count, width);
        let request = requests::simple();
        let mut line = Line::new();
        group.throughput(Throughput::Bytes(stream.len() as u64));
        let id = BenchmarkId::from_parameter(format!("{count}x{width}"));
        group.bench_with_input(id, &stream, |bench, stream| {
            bench.iter(|| line.transaction(&request, black_box(stream)));
        });
    }
    group.finish();
}

criterion_group!(benches, scanning, matching);
criterion_main!(benches);
