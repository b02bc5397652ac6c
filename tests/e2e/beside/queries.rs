//! Conversations with a server.

use pgweir_tests::{Wire, eventually};
use pgweir_wire::encode;

use super::stage::Stage;

/// Simple and extended queries, in every mode alike.
pub(super) fn queries(stage: &mut Stage) {
    for mode in ["session", "transaction"] {
        let pooler = stage.start(&[("pool_mode", mode)], "");
        let mut wire = Wire::connect(&pooler.target("shop"));
        for sql in [
            "SELECT 1 AS one, 'a'::text AS a, NULL::int8",
            "",
            " ; ",
            "SELECT 1; SELECT 2",
            "nonsense",
            "SELECT 1/0",
            "SELECT 1; nonsense; SELECT 2",
            "BEGIN",
            "SELECT 1/0 AS failed",
            "SELECT 'in a failed transaction'",
            "COMMIT",
            "CREATE TEMP TABLE t (a int)",
            "DROP TABLE IF EXISTS no_such_table",
            "SET application_name = 'x'",
            "RESET application_name",
            "SET client_encoding = 'LATIN1'",
            "SET TimeZone = 'Asia/Tokyo'",
            "SHOW TimeZone",
            "SET search_path = pg_catalog",
            "DISCARD ALL",
        ] {
            stage.ask(mode, &mut wire, sql);
        }
        extended(stage, mode, &mut wire);
        stage.send(&format!("{mode}: an unknown packet"), &mut wire, |out| {
            encode::frame(b'y', b"", out);
        });
        let mut wire = Wire::connect(&pooler.target("shop"));
        stage.send(&format!("{mode}: a server's packet"), &mut wire, |out| {
            encode::frame(b'T', b"\0\0", out);
        });
        let mut wire = Wire::connect(&pooler.target("shop"));
        wire.write(|out| encode::query(b"SELECT pg_sleep(60)", out));
        eventually("it runs", || {
            let sql = "SELECT 1 FROM pg_stat_activity WHERE query = 'SELECT pg_sleep(60)' AND datname = current_database()";
            (!stage.cluster.admin(&stage.database, sql).is_empty()).then_some(())
        });
        wire.cancel(&pooler.target("shop"));
        stage.hear(&format!("{mode}: cancelled"), &mut wire);
    }
}

fn extended(stage: &mut Stage, mode: &str, wire: &mut Wire) {
    let mut send = |what: &str, write: fn(&mut Vec<u8>)| {
        stage.send(&format!("{mode}: {what}"), wire, |out| {
            write(out);
            encode::sync(out);
        });
    };
    send("unnamed statement", |out| {
        encode::parse(b"", b"SELECT $1::int4 AS n", &[], out);
        encode::bind(b"", b"", &[Some(b"7")], out);
        encode::describe(b'P', b"", out);
        encode::execute(b"", 0, out);
    });
    send("a statement that fails", |out| {
        encode::parse(b"", b"SELECT nonsense", &[], out);
        encode::bind(b"", b"", &[], out);
    });
    send("some rows of many", |out| {
        encode::parse(b"", b"SELECT generate_series(1, 5)", &[], out);
        encode::bind(b"", b"", &[], out);
        encode::execute(b"", 2, out);
    });
    send("nothing", |_| {});
    send("an empty statement", |out| {
        encode::parse(b"", b"", &[], out);
        encode::bind(b"", b"", &[], out);
        encode::execute(b"", 0, out);
    });
}

/// What the modes refuse.
pub(super) fn modes(stage: &mut Stage) {
    let pooler = stage.start(&[("pool_mode", "statement")], "");
    for (what, sql) in [
        ("one statement", "SELECT 1"),
        ("BEGIN", "BEGIN"),
        ("a whole transaction", "BEGIN; SELECT 1; COMMIT"),
        ("a transaction that stays", "SELECT 1; BEGIN; SELECT 2"),
    ] {
        let mut wire = Wire::connect(&pooler.target("shop"));
        stage.ask(&format!("statement: {what}"), &mut wire, sql);
    }
    let pooler = stage.start(&[("disable_pqexec", "1")], "");
    let mut wire = Wire::connect(&pooler.target("shop"));
    stage.ask("disable_pqexec", &mut wire, "SELECT 1");
    let mut wire = Wire::connect(&pooler.target("shop"));
    stage.send("disable_pqexec: extended", &mut wire, |out| {
        encode::parse(b"", b"SELECT 1", &[], out);
        encode::bind(b"", b"", &[], out);
        encode::execute(b"", 0, out);
        encode::sync(out);
    });
}

/// What one client leaves to the next.
pub(super) fn sessions(stage: &mut Stage) {
    for (name, settings) in [
        ("DISCARD ALL", &[][..]),
        ("no reset query", &[("server_reset_query", "")][..]),
        (
            "transaction",
            &[
                ("pool_mode", "transaction"),
                ("server_reset_query_always", "0"),
            ][..],
        ),
        (
            "transaction, reset always",
            &[
                ("pool_mode", "transaction"),
                ("server_reset_query_always", "1"),
            ][..],
        ),
        (
            "application_name_add_host",
            &[("application_name_add_host", "1")][..],
        ),
    ] {
        let mut all = vec![("default_pool_size", "1")];
        all.extend(settings);
        let pooler = stage.start(&all, "");
        let shop = pooler.target("shop");
        let parameters = [("application_name", "first"), ("TimeZone", "Europe/Rome")];
        let mut first = Wire::try_connect(&shop, &parameters).expect("it comes in");
        for sql in ["SET work_mem = '5MB'", "SET application_name = 'changed'"] {
            stage.ask(&format!("{name}, first"), &mut first, sql);
        }
        first.write(encode::terminate);
        drop(first);
        let mut next = Wire::connect(&shop);
        for sql in ["SHOW work_mem", "SHOW TimeZone", "SHOW DateStyle"] {
            stage.ask(&format!("{name}, next"), &mut next, sql);
        }
        let named = Wire::try_connect(&shop, &[("application_name", "named")]);
        next.write(encode::terminate);
        drop(next);
        let mut named = named.expect("it comes in");
        let shown = named.sql("SHOW application_name").join(",");
        let shown = shown.split(':').next().unwrap_or_default().to_owned();
        stage.note(format!("{name}, application_name"), shown);
    }
}
