//! Kinds of replication: cascading, synchronous, logical.

use std::thread;
use std::time::Duration;

use pgweir_tests::{Cluster, Major, Options, Wire, cases, eventually};

use super::{Place, Trio, WHERE, routed};

cases! {
    a_standby_follows_a_standby;
    a_synchronous_standby;
    a_subscription_to_a_cluster;
}

/// In which a standby can be found to have what a client has seen.
const PAUSE: Duration = Duration::from_millis(200);

/// A client that writes reads what it has written, and reads from a standby when that has it.
fn write_and_read(trio: &Trio, wire: &mut Wire) {
    for value in 1..=20 {
        wire.sql(&format!("UPDATE t SET v = {value}"));
        assert_eq!(wire.sql("SELECT v FROM t"), [value.to_string()]);
    }
    eventually("it reads from a standby", || {
        // Who does not pause stays on the primary (decision 16).
        thread::sleep(PAUSE);
        (trio.place_of(wire, WHERE) == Place::Standby).then_some(())
    });
    assert_eq!(wire.sql("SELECT v FROM t"), ["20"]);
}

fn a_standby_follows_a_standby(major: Major) {
    let primary = Cluster::start(major, &Options::default());
    let first = primary.standby();
    let second = first.standby();
    let trio = Trio {
        primary,
        standbys: [first, second],
    };
    let (pooler, target) = trio.pooler(|config, _| config);
    let mut wire = Wire::connect(&target);
    wire.sql("CREATE TABLE t (v int); INSERT INTO t VALUES (0)");
    write_and_read(&trio, &mut wire);
    let [_, first, second] = trio.ports();
    // The one in the middle is the primary from now on, and the other one stays behind it.
    trio.primary.stop();
    trio.standbys[0].promote();
    let role_of = |port: u16| {
        let rows = pooler.rows("SHOW HOSTS");
        let host = format!("127.0.0.1:{port}");
        let row = rows.iter().find(|row| row.text("host") == host);
        row.map(|row| (row.text("role").to_owned(), row.number("in_rotation")))
    };
    wire.sql("UPDATE t SET v = 21");
    assert_eq!(role_of(first), Some(("primary".to_owned(), 1)));
    eventually("the other one follows", || {
        (role_of(second) == Some(("standby".to_owned(), 1))).then_some(())
    });
    assert_eq!(wire.sql("SELECT v FROM t"), ["21"]);
    let before = routed(&pooler, "standby", "query");
    eventually("it is read from", || {
        thread::sleep(PAUSE);
        assert_eq!(wire.sql("SELECT v FROM t"), ["21"]);
        (routed(&pooler, "standby", "query") > before).then_some(())
    });
}

fn a_synchronous_standby(major: Major) {
    let trio = Trio::start(major);
    for setting in [
        "synchronous_standby_names = 'ANY 2 (*)'",
        "synchronous_commit = 'remote_apply'",
    ] {
        let sql = format!("ALTER SYSTEM SET {setting}");
        trio.primary.admin("postgres", &sql);
    }
    trio.primary.admin("postgres", "SELECT pg_reload_conf()");
    let (_pooler, target) = trio.pooler(|config, _| config);
    let mut wire = Wire::connect(&target);
    wire.sql("CREATE TABLE t (v int); INSERT INTO t VALUES (0)");
    write_and_read(&trio, &mut wire);
}

/// What asks for WAL by the name of the cluster gets it from the primary.
fn a_subscription_to_a_cluster(major: Major) {
    let trio = Trio::start(major);
    let subscriber = Cluster::start(major, &Options::default());
    let (_pooler, target) = trio.pooler(|config, _| config.user("walker"));
    let database = target.sql("SELECT current_database()");
    let table = "CREATE TABLE shared (a int PRIMARY KEY)";
    for sql in [
        table,
        "INSERT INTO shared SELECT generate_series(1, 1000)",
        "GRANT SELECT ON shared TO walker",
        "CREATE PUBLICATION shared FOR TABLE shared",
    ] {
        trio.primary.admin(&database, sql);
    }
    subscriber.admin("postgres", table);
    let conninfo = target.user("walker").conninfo().replace('\'', "''");
    let subscribe =
        format!("CREATE SUBSCRIPTION shared CONNECTION '{conninfo}' PUBLICATION shared");
    subscriber.admin("postgres", &subscribe);
    let count = || subscriber.admin("postgres", "SELECT count(*) FROM shared");
    eventually("the table is copied", || (count() == "1000").then_some(()));
    trio.primary
        .admin(&database, "INSERT INTO shared VALUES (1001)");
    eventually("the change comes", || (count() == "1001").then_some(()));
    subscriber.admin("postgres", "DROP SUBSCRIPTION shared");
    let slots = "SELECT count(*) FROM pg_replication_slots";
    assert_eq!(trio.primary.admin("postgres", slots), "0");
}
