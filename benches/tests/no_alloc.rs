//! A transaction in steady state asks for no memory: not in `session`, not in `pool`, not in `route`.
//!
//! Counts calls of the allocator, on each test's thread by itself.
#![allow(unsafe_code, reason = "a global allocator cannot be written without")]

use std::alloc::{GlobalAlloc, Layout, System};
use std::cell::Cell;

use pgweir_benches::{Crowd, Line, requests, rows};
use pgweir_route::intent::{Cache, NoCatalog};
use pgweir_route::judge;
use pgweir_route::lex::Dialect;

struct Counting;

thread_local! {
    static ALLOCATIONS: Cell<usize> = const { Cell::new(0) };
}

fn count() {
    ALLOCATIONS.set(ALLOCATIONS.get() + 1);
}

// SAFETY: everything is the system allocator's; counting touches no memory of its blocks.
unsafe impl GlobalAlloc for Counting {
    unsafe fn alloc(&self, layout: Layout) -> *mut u8 {
        count();
        // SAFETY: the caller's promises are handed on.
        unsafe { System.alloc(layout) }
    }

    unsafe fn realloc(&self, block: *mut u8, layout: Layout, size: usize) -> *mut u8 {
        count();
        // SAFETY: the caller's promises are handed on.
        unsafe { System.realloc(block, layout, size) }
    }

    unsafe fn dealloc(&self, block: *mut u8, layout: Layout) {
        // SAFETY: the caller's promises are handed on.
        unsafe { System.dealloc(block, layout) }
    }
}

#[global_allocator]
static COUNTING: Counting = Counting;

/// Until buffers have the size that they keep.
const WARM_UP: usize = 100;
const ROUNDS: usize = 1000;

/// How often `round` asks for memory, in all rounds after the first ones together.
fn allocations(mut round: impl FnMut()) -> usize {
    for _ in 0..WARM_UP {
        round();
    }
    let before = ALLOCATIONS.get();
    for _ in 0..ROUNDS {
        round();
    }
    ALLOCATIONS.get() - before
}

fn of_transactions(request: &[u8]) -> usize {
    let mut line = Line::new();
    line.converse(&requests::preparation());
    line.converse(request);
    let reply = line.converse(request);
    allocations(|| {
        line.transaction(request, &reply);
    })
}

fn of_rows(count: usize, width: usize) -> usize {
    let (request, reply) = (requests::simple(), rows(count, width));
    let mut line = Line::new();
    allocations(|| {
        line.transaction(&request, &reply);
    })
}

fn of_leases(workers: u16, clients: usize) -> usize {
    let mut crowd = Crowd::new(20, workers);
    for _ in 1..clients {
        crowd.come();
    }
    allocations(|| {
        crowd.come();
        crowd.go();
    })
}

fn of_judgements(text: &str) -> usize {
    let mut cache = Cache::new(16, 1);
    allocations(|| {
        judge(text.as_bytes(), Dialect::default(), &NoCatalog);
        cache.judge(text.as_bytes(), Dialect::default(), &NoCatalog);
    })
}

fn check(found: &[(&str, usize)]) {
    let too_many: Vec<_> = found.iter().filter(|(_, count)| *count > 0).collect();
    assert!(too_many.is_empty(), "in {ROUNDS} rounds: {too_many:?}");
}

#[test]
fn a_transaction_asks_for_no_memory() {
    check(&[
        ("simple", of_transactions(&requests::simple())),
        ("extended", of_transactions(&requests::extended())),
    ]);
}

#[test]
fn a_statement_prepared_before_asks_for_no_memory() {
    check(&[
        ("prepared", of_transactions(&requests::prepared())),
        ("pipeline", of_transactions(&requests::pipeline(10))),
        ("describe", of_transactions(&requests::description())),
    ]);
}

#[test]
fn a_result_asks_for_no_memory() {
    check(&[
        ("many rows", of_rows(3000, 40)),
        ("large rows", of_rows(3, 200_000)),
    ]);
}

#[test]
fn a_lease_asks_for_no_memory() {
    check(&[
        ("idle connections", of_leases(1, 8)),
        ("clients waiting", of_leases(1, 256)),
        ("idle connections, two workers", of_leases(2, 8)),
        ("clients waiting, two workers", of_leases(2, 256)),
    ]);
}

#[test]
fn a_judgement_asks_for_no_memory() {
    check(&[
        (
            "short",
            of_judgements("select lower(a), \"B\" from t where c = $1"),
        ),
        (
            "names that are folded",
            of_judgements("SELECT Mine(1), \"a\"\"b\"(2), Public.Lower('x')"),
        ),
        (
            "writes",
            of_judgements("with a as (delete from t returning *) select * from a"),
        ),
        (
            "deep",
            of_judgements(&format!("select {}1{}", "(".repeat(500), ")".repeat(500))),
        ),
        (
            "long",
            of_judgements(&"select $$a$$, 'b' /* c */; ".repeat(1000)),
        ),
    ]);
}
