//! Clients that break rules cost one connection at most, and nobody ever sees what they left.

use std::time::Duration;

use pgweir_tests::{Config, Major, Scene, Way, Wire, cases, eventually};
use pgweir_wire::encode;

cases! {
    leftovers_in_transaction_mode;
    leftovers_in_session_mode;
    leftovers_of_an_open_transaction;
    vanish;
    vanish_while_a_query_runs;
    who_leaves_while_it_logs_in;
    who_leaves_the_queue_with_much_unread;
    half_closed;
    garbage;
    garbage_before_the_login;
    a_client_that_does_not_read;
}

/// What a client can leave on a server connection, by statements outside transactions.
const LEFTOVERS: &[&str] = &[
    "SET work_mem = '77MB'",
    "SELECT set_config('work_mem', '77MB', false)",
    "SET search_path = pg_catalog",
    "SET SESSION CHARACTERISTICS AS TRANSACTION READ ONLY",
    "SET ROLE pg_monitor",
    "SET statement_timeout = '77s'",
    "SET LOCAL work_mem = '77MB'",
    "SET application_name = 'left'",
    "SET TimeZone = 'Asia/Tokyo'",
    "SELECT pg_advisory_lock(77)",
    "SELECT pg_advisory_lock_shared(77, 1)",
    "SELECT pg_try_advisory_lock(78)",
    "LISTEN left_over",
    "PREPARE left_over AS SELECT 1",
    "CREATE TEMPORARY TABLE left_over (a int)",
    "SELECT 1 AS a INTO TEMPORARY left_over",
    "BEGIN; DECLARE left_over CURSOR WITH HOLD FOR SELECT 1; COMMIT",
    "BEGIN; SET work_mem = '77MB'; SELECT pg_advisory_lock(77); COMMIT",
    "DO $$ BEGIN PERFORM set_config('work_mem', '77MB', false); PERFORM pg_advisory_lock(77); END $$",
    "SELECT setseed(0.5)",
];

/// One row that shows everything that could be left.
const STATE: &str = "SELECT
    (SELECT count(*) FROM pg_locks WHERE locktype = 'advisory' AND pid = pg_backend_pid()) AS locks,
    (SELECT count(*) FROM pg_cursors) AS cursors,
    (SELECT count(*) FROM pg_prepared_statements WHERE name NOT LIKE 'pgweir%') AS statements,
    (SELECT count(*) FROM pg_listening_channels()) AS channels,
    (SELECT count(*) FROM pg_class WHERE relname = 'left_over') AS tables,
    (SELECT xact_start = query_start FROM pg_stat_activity WHERE pid = pg_backend_pid()) AS own_transaction,
    current_user, session_user, current_setting('work_mem'), current_setting('search_path'),
    current_setting('statement_timeout'), current_setting('default_transaction_read_only'),
    current_setting('TimeZone'), current_setting('application_name')";

/// What [`STATE`] is on a connection that nobody used before.
fn clean_state(scene: &Scene) -> Vec<String> {
    let state = Wire::connect(&scene.direct()).sql(STATE);
    assert!(state[0].starts_with("0|0|0|0|0|t|app|app|"), "{state:?}");
    state
}

/// A pooler with one server connection, which every client must get.
fn one_connection(major: Major, way: Way) -> Scene {
    let scene = Scene::with(major, way, |config| config.set("default_pool_size", 1));
    scene.admin("GRANT pg_monitor TO app");
    scene
}

fn leftovers_in_transaction_mode(major: Major) {
    let scene = one_connection(major, Way::Transaction);
    let clean = clean_state(&scene);
    for leftover in LEFTOVERS {
        let mut first = Wire::connect(&scene.target());
        let mut second = Wire::connect(&scene.target());
        first.sql(leftover);
        assert_eq!(second.sql(STATE), clean, "{leftover}");
    }
    // The extended protocol leaves as much.
    for leftover in LEFTOVERS.iter().filter(|leftover| !leftover.contains(';')) {
        let mut first = Wire::connect(&scene.target());
        let mut second = Wire::connect(&scene.target());
        first.write(|out| {
            encode::parse(b"named", leftover.as_bytes(), &[], out);
            encode::bind(b"portal", b"named", &[], out);
            encode::execute(b"portal", 0, out);
            encode::sync(out);
        });
        let frames = first.until_ready();
        assert!(frames.iter().all(|frame| frame.tag != b'E'), "{frames:?}");
        assert_eq!(second.sql(STATE), clean, "{leftover}");
    }
}

fn leftovers_in_session_mode(major: Major) {
    let scene = one_connection(major, Way::Session);
    let clean = clean_state(&scene);
    let mut wire = Wire::connect(&scene.target());
    for leftover in LEFTOVERS {
        wire.query(leftover);
    }
    // Within the session everything stays.
    assert_ne!(wire.sql(STATE), clean);
    drop(wire);
    assert_eq!(Wire::connect(&scene.target()).sql(STATE), clean);
    for leftover in LEFTOVERS {
        let mut wire = Wire::connect(&scene.target());
        wire.sql(leftover);
        wire.write(encode::terminate);
        wire.closed();
        assert_eq!(
            Wire::connect(&scene.target()).sql(STATE),
            clean,
            "{leftover}"
        );
    }
}

fn leftovers_of_an_open_transaction(major: Major) {
    for way in [Way::Session, Way::Transaction] {
        let scene = one_connection(major, way);
        let clean = clean_state(&scene);
        scene.admin("CREATE TABLE kept (a int); GRANT ALL ON kept TO app");
        for (leftover, politely) in LEFTOVERS
            .iter()
            .flat_map(|leftover| [(leftover, true), (leftover, false)])
        {
            if leftover.contains(';') {
                continue;
            }
            let mut wire = Wire::connect(&scene.target());
            wire.sql("BEGIN");
            wire.sql("INSERT INTO kept VALUES (1)");
            wire.sql(leftover);
            if politely {
                wire.write(encode::terminate);
            }
            drop(wire);
            let mut next = Wire::connect(&scene.target());
            assert_eq!(next.sql(STATE), clean, "{way:?} {leftover}");
            assert_eq!(
                next.sql("SELECT count(*) FROM kept"),
                ["0"],
                "{way:?} {leftover}"
            );
        }
    }
}

/// What a client said before it vanished.
pub(crate) fn last_words() -> Vec<(&'static str, Vec<u8>)> {
    let write = |write: &dyn Fn(&mut Vec<u8>)| {
        let mut out = Vec::new();
        write(&mut out);
        out
    };
    let lock = "BEGIN; SELECT pg_advisory_lock(77); SET work_mem = '77MB'; DECLARE left_over CURSOR FOR SELECT 1";
    vec![
        ("nothing", Vec::new()),
        (
            "an open transaction",
            write(&|out| encode::query(lock.as_bytes(), out)),
        ),
        (
            "a failed transaction",
            write(&|out| encode::query(b"BEGIN; SELECT pg_advisory_lock(77); SELECT 1/0", out)),
        ),
        ("part of a header", b"Q\0\0".to_vec()),
        ("part of a query", b"Q\0\0\x01\0SELECT".to_vec()),
        ("part of a huge query", b"Q\x10\0\0\0SELECT".to_vec()),
        (
            "no Sync",
            write(&|out| {
                encode::parse(b"left_over", b"SELECT pg_advisory_lock(77)", &[], out);
                encode::bind(b"left_over", b"left_over", &[], out);
                encode::execute(b"left_over", 0, out);
            }),
        ),
        (
            "no Sync, and a header too much",
            write(&|out| {
                encode::parse(b"left_over", b"SELECT 1", &[], out);
                encode::flush(out);
                out.extend(b"B\0\0\x20\0");
            }),
        ),
        (
            "COPY under way",
            write(&|out| {
                encode::query(b"COPY kept FROM STDIN", out);
                out.extend(b"d\0\0\0\x061\n");
            }),
        ),
        (
            "COPY, in the middle of a message",
            write(&|out| {
                encode::query(b"COPY kept FROM STDIN", out);
                out.extend(b"d\0\x01\0\x001\n");
            }),
        ),
        (
            "COPY in a transaction",
            write(&|out| {
                encode::query(b"BEGIN", out);
                encode::query(b"SELECT pg_advisory_lock(77)", out);
                encode::query(b"COPY kept FROM STDIN", out);
            }),
        ),
        (
            "a large answer not read",
            write(&|out| {
                encode::query(
                    b"SELECT repeat('x', 1000000) FROM generate_series(1, 100)",
                    out,
                );
            }),
        ),
        (
            "a large COPY not read",
            write(&|out| {
                encode::query(
                    b"COPY (SELECT repeat('x', 1000000) FROM generate_series(1, 100)) TO STDOUT",
                    out,
                );
            }),
        ),
    ]
}

fn vanish(major: Major) {
    for way in [Way::Session, Way::Transaction, Way::Statement] {
        let scene = one_connection(major, way);
        let clean = clean_state(&scene);
        scene.admin("CREATE TABLE kept (a int); GRANT ALL ON kept TO app");
        for (what, words) in last_words() {
            let mut wire = Wire::connect(&scene.target());
            wire.send(&words);
            // Some get an answer, some do not wait for it.
            wire.patience(Duration::from_millis(20));
            if what != "nothing" {
                wire.has_something();
            }
            drop(wire);
            let mut wire = Wire::connect(&scene.target());
            wire.send(&words);
            drop(wire);
            let mut next = Wire::connect(&scene.target());
            assert_eq!(next.sql(STATE), clean, "{way:?} {what}");
            assert_eq!(
                next.sql("SELECT count(*) FROM kept"),
                ["0"],
                "{way:?} {what}"
            );
        }
        nobody_is_left(&scene);
    }
}

/// Every client is gone, and the server connection is idle or gone.
fn nobody_is_left(scene: &Scene) {
    eventually("the pool is at rest", || {
        let pool = scene.pooler().pool(&scene.database);
        let used = pool.number("cl_active") + pool.number("cl_waiting") + pool.number("sv_active");
        (used == 0).then_some(())
    });
}

fn vanish_while_a_query_runs(major: Major) {
    for way in [Way::Session, Way::Transaction] {
        let scene = one_connection(major, way);
        let clean = clean_state(&scene);
        let mut wire = Wire::connect(&scene.target());
        wire.write(|out| encode::query(b"SELECT pg_sleep(300)", out));
        scene.busy();
        drop(wire);
        // Nobody waits five minutes for the only connection.
        assert_eq!(Wire::connect(&scene.target()).sql(STATE), clean);
        let sleeping = "SELECT count(*) FROM pg_stat_activity WHERE query LIKE '%pg_sleep(300)' AND state = 'active'";
        eventually("the query was cancelled", || {
            (scene.admin(sleeping) == "0").then_some(())
        });
    }
}

fn who_leaves_while_it_logs_in(major: Major) {
    let scene = Scene::with(major, Way::Transaction, |config| {
        config.set("default_pool_size", 1)
    });
    let mut first = Wire::connect(&scene.target());
    first.sql("BEGIN");
    // Who logs in now needs a connection, to learn what the server reports.
    scene.pooler().ask("RECONNECT");
    let waiting = |count: i64| {
        eventually(&format!("{count} clients wait"), || {
            (scene.pooler().pool(&scene.database).number("cl_waiting") == count).then_some(())
        });
    };
    let mut child = std::process::Command::new("psql")
        .env("PGPASSWORD", "app-secret")
        .args(["-h", "127.0.0.1", "-U", "app", "-c", "SELECT 1"])
        .args(["-p", &scene.pooler().port().to_string()])
        .arg(&scene.database)
        .stderr(std::process::Stdio::null())
        .spawn()
        .unwrap();
    waiting(1);
    child.kill().unwrap();
    child.wait().unwrap();
    waiting(0);
    first.sql("COMMIT");
}

fn who_leaves_the_queue_with_much_unread(major: Major) {
    let scene = Scene::with(major, Way::Transaction, |config| {
        config.set("default_pool_size", 1)
    });
    let waiting = |count: i64| {
        eventually(&format!("{count} clients wait"), || {
            (scene.pooler().pool(&scene.database).number("cl_waiting") == count).then_some(())
        });
    };
    let mut first = Wire::connect(&scene.target());
    first.sql("BEGIN");
    let mut second = Wire::connect(&scene.target());
    // More than is kept of a client that waits, and not more than sockets hold: the end is behind it.
    let long = format!("SELECT '{}'", "x".repeat(100_000));
    second.write(|out| encode::query(long.as_bytes(), out));
    waiting(1);
    drop(second);
    waiting(0);
    first.sql("COMMIT");
}

fn half_closed(major: Major) {
    // A client that says nothing more may still wait for its answer.
    for way in [Way::Direct, Way::Session, Way::Transaction] {
        let scene = Scene::new(major, way);
        let mut wire = Wire::connect(&scene.target());
        wire.write(|out| {
            encode::query(b"SELECT 'one'", out);
            encode::terminate(out);
        });
        wire.shut_down_writing();
        let rest = wire.rest();
        assert!(
            rest.windows(3).any(|bytes| bytes == b"one"),
            "{way:?} {:?}",
            String::from_utf8_lossy(&rest)
        );
    }
}

/// Messages that break rules, after the login.
pub(crate) const GARBAGE: &[&[u8]] = &[
    b"Q\0\0\0\0",
    b"Q\0\0\0\x03",
    b"Q\xff\xff\xff\xff",
    b"Q\x80\0\0\x04SELECT",
    b"P\xff\xff\xff\xf0",
    b"Q\0\0\0\x06no",
    b"P\0\0\0\x06ab",
    b"B\0\0\0\x04",
    b"B\0\0\0\x05\0",
    b"D\0\0\0\x04",
    b"C\0\0\0\x06Xy",
    b"E\0\0\0\x05\0",
    b"S\0\0\0\x05x",
    b"\0\0\0\0\0\0\0\0",
    b"GET / HTTP/1.1\r\nHost: localhost\r\n\r\n",
    b"p\0\0\0\x09word\0",
];

/// Packets that no login begins with.
pub(crate) const GARBAGE_BEFORE_THE_LOGIN: &[&[u8]] = &[
    b"\0\0\0\0",
    b"\0\0\0\x07\0\x03\0",
    b"\xff\xff\xff\xff\xff\xff\xff\xff",
    b"\x7f\xff\xff\xff\0\x03\0\0",
    b"\0\0\x27\x11\0\x03\0\0",
    b"\0\0\0\x08\0\x03\0\0",
    b"\0\0\0\x09\0\x03\0\0\0",
    b"\0\0\0\x0c\0\x03\0\0user",
    b"\0\0\0\x0e\0\x03\0\0user\0\0",
    b"\0\0\0\x08\x04\xd2\x16\x2e",
    b"\0\0\0\x10\x04\xd2\x16\x2e\0\0\0\0",
    b"\0\0\0\x10\x04\xd2\x16\x2f\0\0\0\0\0\0\0\0",
    b"GET / HTTP/1.1\r\nHost: localhost\r\n\r\n",
    b"\x16\x03\x01\0\x05\x01\0\0\x01\0",
];

/// Messages that have no place in a login.
pub(crate) const GARBAGE_WITHIN_THE_LOGIN: &[&[u8]] = &[
    b"Q\0\0\0\x0dSELECT 1\0",
    b"p\0\0\0\0",
    b"p\xff\xff\xff\xff",
    b"p\0\0\0\x04",
    b"X\0\0\0\x04",
];

fn garbage(major: Major) {
    for way in [Way::Session, Way::Transaction] {
        let scene = one_connection(major, way);
        let clean = clean_state(&scene);
        for body in GARBAGE {
            for prefix in ["", "BEGIN", "BEGIN; SELECT pg_advisory_lock(77)"] {
                let mut wire = Wire::connect(&scene.target());
                wire.query(prefix);
                wire.send(body);
                // It may be answered by the server with an error, or refused and closed.
                wire.shut_down_writing();
                wire.rest();
                let state = Wire::connect(&scene.target()).sql(STATE);
                assert_eq!(
                    state,
                    clean,
                    "{way:?} {prefix} {:?}",
                    String::from_utf8_lossy(body)
                );
            }
        }
        nobody_is_left(&scene);
    }
}

fn garbage_before_the_login(major: Major) {
    let scene = one_connection(major, Way::Transaction);
    for packet in GARBAGE_BEFORE_THE_LOGIN {
        let mut wire = Wire::open(&scene.target());
        let _ = wire.try_send(packet);
        wire.shut_down_writing();
        wire.rest();
    }
    for message in GARBAGE_WITHIN_THE_LOGIN {
        let target = scene.target();
        let mut wire = Wire::open(&target);
        wire.startup(&target, pgweir_wire::startup::PROTOCOL_3_0, &[]);
        assert_eq!(wire.frame().tag, b'R');
        let _ = wire.try_send(message);
        wire.shut_down_writing();
        let said = String::from_utf8_lossy(&wire.rest()).into_owned();
        assert!(!said.contains("server_version"), "{said}");
    }
    assert_eq!(scene.target().sql("SELECT 1"), "1");
}

fn a_client_that_does_not_read(major: Major) {
    // Its answers pile up nowhere, and others are served meanwhile.
    let scene = Scene::with(major, Way::Transaction, |config: Config| {
        config.set("default_pool_size", 2)
    });
    let mut lazy = Wire::connect(&scene.target());
    let before = scene.pooler().process().memory("VmRSS");
    lazy.write(|out| {
        encode::query(
            b"SELECT repeat('x', 1000000) FROM generate_series(1, 300)",
            out,
        )
    });
    scene.busy();
    for _ in 0..50 {
        assert_eq!(scene.target().sql("SELECT 1"), "1");
    }
    let after = scene.pooler().process().memory("VmRSS");
    assert!(
        after < before + 16 * 1024 * 1024,
        "grew from {before} to {after} bytes"
    );
    let frames = lazy.until_ready();
    assert_eq!(frames.len(), 303);
}
