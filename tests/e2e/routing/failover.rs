//! The primary goes away, and another one comes.

use std::sync::atomic::{AtomicBool, AtomicU32, Ordering};
use std::thread;
use std::time::Duration;

use pgweir_tests::{Major, Target, Wire, cases, eventually};
use pgweir_wire::encode;

use super::{Place, Trio, WHERE, routed};

cases! {
    statements_wait_for_the_new_primary;
    reads_in_flight_run_elsewhere;
    who_waits_for_too_long_is_told_why;
    r3_an_old_primary_that_comes_back_is_fenced;
    r3_what_is_under_way_on_an_old_primary_ends;
    a_host_is_paused;
}

fn statements_wait_for_the_new_primary(major: Major) {
    let trio = Trio::start(major);
    let (pooler, target) = trio.pooler(|config, _| config);
    let mut idle = Wire::connect(&target);
    idle.sql("CREATE TABLE t (v int)");
    trio.settled(&pooler);
    let mut writer = Wire::connect(&target);
    trio.primary.stop();
    writer.write(|out| encode::query(b"INSERT INTO t VALUES (1)", out));
    writer.silent();
    // Reads go on meanwhile.
    let mut reader = Wire::connect(&target);
    assert_eq!(trio.place_of(&mut reader, WHERE), Place::Standby);
    trio.standbys[0].promote();
    let frames = writer.until_ready();
    assert_eq!(frames[0].text(), "INSERT 0 1");
    assert_eq!(
        idle.sql("SELECT count(*) FROM t"),
        ["1"],
        "idle sessions survive"
    );
    assert_eq!(
        idle.sql("INSERT INTO t VALUES (2) RETURNING current_setting('port')"),
        [trio.standbys[0].port().to_string()]
    );
    pooler.logs("primary");
}

/// Asks until told to stop; nothing may fail.
fn reads(target: &Target, stop: &AtomicBool, count: &AtomicU32) {
    let mut wire = Wire::connect(target);
    while !stop.load(Ordering::Relaxed) {
        assert_eq!(
            wire.sql("SELECT count(*) FROM pg_class WHERE oid = 1259"),
            ["1"]
        );
        count.fetch_add(1, Ordering::Relaxed);
    }
}

fn reads_in_flight_run_elsewhere(major: Major) {
    let trio = Trio::start(major);
    let (pooler, target) = trio.pooler(|config, _| config);
    let (stop, count) = (AtomicBool::new(false), AtomicU32::new(0));
    let more = |than: u32| {
        eventually("reads go on", || {
            (count.load(Ordering::Relaxed) > than).then_some(())
        });
    };
    thread::scope(|scope| {
        for _ in 0..16 {
            scope.spawn(|| reads(&target, &stop, &count));
        }
        more(500);
        for standby in &trio.standbys {
            standby.crash();
            more(count.load(Ordering::Relaxed) + 500);
            standby.start_again();
        }
        stop.store(true, Ordering::Relaxed);
    });
    let again: i64 = ["again_lost", "again_goodbye"]
        .map(|reason| routed(&pooler, "standby", reason))
        .iter()
        .sum();
    assert!(again > 0, "some were in flight");
}

fn who_waits_for_too_long_is_told_why(major: Major) {
    let trio = Trio::start(major);
    let (pooler, target) = trio.pooler(|config, database| {
        config
            .database_set(database, "failover_hold", "1s")
            .database_set(database, "failover_hold_clients", 1)
    });
    let mut clients = [(); 2].map(|()| Wire::connect(&target));
    for wire in &mut clients {
        wire.sql("SELECT 1");
    }
    let [mut first, mut second] = clients;
    trio.primary.kill_all();
    eventually("it is known to be gone", || {
        let rows = pooler.rows("SHOW HOSTS");
        rows.iter()
            .any(|row| row.text("state") == "down")
            .then_some(())
    });
    first.write(|out| encode::query(b"CREATE TABLE t (v int)", out));
    thread::sleep(Duration::from_millis(100));
    second.write(|out| encode::query(b"CREATE TABLE t (v int)", out));
    let error = second.last_error();
    assert_eq!(error.sqlstate, "57P03");
    assert!(error.hint.contains("failover_hold_clients"), "{error:?}");
    let error = first.last_error();
    assert_eq!(error.sqlstate, "57P03");
    assert!(
        error.message.starts_with("there is no primary"),
        "{error:?}"
    );
    assert!(error.detail.contains("failover_hold"), "{error:?}");
    assert!(
        error.detail.contains(&trio.primary.port().to_string()),
        "{error:?}"
    );
}

fn r3_an_old_primary_that_comes_back_is_fenced(major: Major) {
    let trio = Trio::start(major);
    let (pooler, target) = trio.pooler(|config, _| config);
    Wire::connect(&target).sql("CREATE TABLE t (v int)");
    trio.settled(&pooler);
    trio.primary.kill_all();
    trio.standbys[0].promote();
    let mut wire = Wire::connect(&target);
    wire.sql("INSERT INTO t VALUES (1)");
    trio.primary.start_again();
    eventually("it is seen to be an old one", || {
        let rows = pooler.rows("SHOW HOSTS");
        let is_fenced = |row: &pgweir_tests::Row| {
            row.text("role") == "fenced"
                && row.text("state") == "up"
                && row.number("in_rotation") == 0
        };
        rows.iter().any(is_fenced).then_some(())
    });
    for _ in 0..20 {
        let mut wire = Wire::connect(&target);
        let written = wire.sql("INSERT INTO t VALUES (2) RETURNING current_setting('port')");
        assert_eq!(written, [trio.standbys[0].port().to_string()]);
        let read = wire.sql(WHERE);
        assert_ne!(read, [trio.primary.port().to_string()]);
    }
}

fn r3_what_is_under_way_on_an_old_primary_ends(major: Major) {
    let trio = Trio::start(major);
    let (pooler, target) = trio.pooler(|config, _| config);
    let mut wire = Wire::connect(&target);
    wire.sql("CREATE TABLE t (v int)");
    trio.settled(&pooler);
    wire.sql("BEGIN");
    wire.sql("INSERT INTO t VALUES (1)");
    // Nobody has told the old one.
    trio.standbys[0].promote();
    let error = wire.last_error();
    assert_eq!(error.sqlstate, "08006", "{error:?}");
    assert!(error.message.contains("no longer the primary"), "{error:?}");
    let mut wire = Wire::connect(&target);
    assert_eq!(wire.sql("SELECT count(*) FROM t"), ["0"]);
    let written = wire.sql("INSERT INTO t VALUES (2) RETURNING current_setting('port')");
    assert_eq!(written, [trio.standbys[0].port().to_string()]);
}

fn a_host_is_paused(major: Major) {
    let trio = Trio::start(major);
    let (pooler, target) =
        trio.pooler(|config, database| config.database_set(database, "failover_hold", "300ms"));
    let mut wire = Wire::connect(&target);
    wire.sql("CREATE TABLE t (v int)");
    trio.settled(&pooler);
    let name = |port: u16| format!("\"127.0.0.1:{port}\"");
    let [primary, one, other] = trio.ports();
    pooler.ask(&format!("PAUSE {}", name(one)));
    for _ in 0..10 {
        let mut wire = Wire::connect(&target);
        assert_eq!(wire.sql(WHERE), [other.to_string()]);
    }
    let row = |port: u16| {
        let rows = pooler.rows("SHOW HOSTS");
        let own = format!("127.0.0.1:{port}");
        let row = rows.into_iter().find(|row| row.text("host") == own);
        row.expect("it is one of them")
    };
    assert_eq!(
        (row(one).text("state"), row(one).number("in_rotation")),
        ("paused", 0)
    );
    pooler.ask(&format!("RESUME {}", name(one)));
    assert_eq!(row(one).text("state"), "up");
    // Of the primary, a transaction is waited for, and what comes next waits.
    wire.sql("BEGIN");
    wire.sql("INSERT INTO t VALUES (1)");
    let mut console = Wire::connect(&pooler.console());
    console.write(|out| encode::query(format!("PAUSE {}", name(primary)).as_bytes(), out));
    console.silent();
    let mut second = Wire::connect(&target);
    second.write(|out| encode::query(b"INSERT INTO t VALUES (2)", out));
    second.silent();
    wire.sql("COMMIT");
    console.until_ready();
    // That lasts for as long as it takes: it is no failover.
    thread::sleep(Duration::from_millis(800));
    second.silent();
    let error = console.sql_error(&format!("PAUSE {}", name(primary)));
    assert_eq!(error.message, "already suspended/paused");
    pooler.ask(&format!("RESUME {}", name(primary)));
    assert_eq!(second.until_ready()[0].text(), "INSERT 0 1");
}
