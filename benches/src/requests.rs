//! What drivers send for one transaction of one statement.

use pgweir_wire::encode;

const TEXT: &[u8] = b"SELECT abalance FROM pgbench_accounts WHERE aid = $1;";

/// The simple protocol: Query.
pub fn simple() -> Vec<u8> {
    let mut out = Vec::new();
    encode::query(
        b"SELECT abalance FROM pgbench_accounts WHERE aid = 4711;",
        &mut out,
    );
    out
}

/// The extended protocol with the unnamed statement: Parse, Bind, Describe, Execute, Sync.
pub fn extended() -> Vec<u8> {
    let mut out = Vec::new();
    encode::parse(b"", TEXT, &[], &mut out);
    encode::bind(b"", b"", &[Some(b"4711")], &mut out);
    encode::describe(b'P', b"", &mut out);
    encode::execute(b"", 0, &mut out);
    encode::sync(&mut out);
    out
}

/// What makes the statement that [`prepared`] and [`pipeline`] use: Parse, Describe, Sync.
pub fn preparation() -> Vec<u8> {
    let mut out = Vec::new();
    encode::parse(b"P0_1", TEXT, &[], &mut out);
    encode::describe(b'S', b"P0_1", &mut out);
    encode::sync(&mut out);
    out
}

/// A statement prepared before: Bind, Execute, Sync.
pub fn prepared() -> Vec<u8> {
    pipeline(1)
}

/// So many executions of a statement prepared before, and one Sync.
pub fn pipeline(executions: usize) -> Vec<u8> {
    let mut out = Vec::new();
    for _ in 0..executions {
        encode::bind(b"", b"P0_1", &[Some(b"4711")], &mut out);
        encode::execute(b"", 0, &mut out);
    }
    encode::sync(&mut out);
    out
}

/// The statement described once more: Describe, Sync.
pub fn description() -> Vec<u8> {
    let mut out = Vec::new();
    encode::describe(b'S', b"P0_1", &mut out);
    encode::sync(&mut out);
    out
}

/// The statement closed and made anew under the same name: Close, Parse, Sync.
pub fn replacement() -> Vec<u8> {
    let mut out = Vec::new();
    encode::close(b'S', b"P0_1", &mut out);
    encode::parse(b"P0_1", TEXT, &[], &mut out);
    encode::sync(&mut out);
    out
}
