//! Clients that keep others waiting, and clients that wait.

use std::io::Write;
use std::net::TcpStream;
use std::thread;
use std::time::{Duration, Instant};

use pgweir_tests::{Config, Major, Scene, Target, Way, Wire, cases, certificates, eventually};
use pgweir_wire::encode;
use pgweir_wire::startup::PROTOCOL_3_0;

use super::nothing_is_lost;

cases! {
    x3_a_client_that_stops_in_its_login;
    x3_a_client_that_stops_in_its_handshake;
    x3_a_byte_now_and_then_prolongs_nothing;
    x3_a_client_in_the_queue;
    x3_clients_and_queries_that_take_too_long;
    x3_a_copy_that_begins_when_its_client_has_gone;
    x3_a_client_that_does_not_read;
    x3_an_operator_who_does_not_read;
}

fn with_login_timeout(major: Major, change: impl FnOnce(Config) -> Config) -> Scene {
    Scene::with(major, Way::Transaction, |config| {
        change(config.set("client_login_timeout", "500ms"))
    })
}

/// Nobody but the console's client is there.
fn all_are_gone(scene: &Scene) {
    eventually("all clients are gone", || {
        (scene.pooler().rows("SHOW CLIENTS").len() == 1).then_some(())
    });
}

#[track_caller]
fn is_told_of_the_login_timeout(wire: &mut Wire) {
    let error = wire.last_error();
    let said = [&error.severity, &error.sqlstate, &error.message];
    assert_eq!(said, ["FATAL", "08006", "client_login_timeout"]);
}

fn x3_a_client_that_stops_in_its_login(major: Major) {
    let scene = with_login_timeout(major, |config| config);
    let target = scene.target();
    let asked = |words: &[u8]| {
        let mut wire = Wire::open(&target);
        wire.startup(&target, PROTOCOL_3_0, &[]);
        assert_eq!(wire.frame().tag, b'R');
        wire.send(words);
        wire
    };
    let said = |words: &[u8]| {
        let mut wire = Wire::open(&target);
        wire.send(words);
        wire
    };
    let mut first = Vec::new();
    encode::sasl_initial("SCRAM-SHA-256", Some(b"n,,n=,r=nonce"), &mut first);
    let mut challenged = asked(&first);
    assert_eq!(challenged.frame().tag, b'R');
    let all = [
        said(b""),
        said(b"\0\0\0\x20\0\x03"),
        asked(b""),
        asked(&first[..9]),
        challenged,
    ];
    for mut wire in all {
        is_told_of_the_login_timeout(&mut wire);
    }
    all_are_gone(&scene);
    nothing_is_lost(&scene);
}

fn x3_a_client_that_stops_in_its_handshake(major: Major) {
    let scene = with_login_timeout(major, |config| {
        config
            .set("client_tls_sslmode", "prefer")
            .set("client_tls_cert_file", certificates().server())
            .set("client_tls_key_file", certificates().server_key())
    });
    let target = scene.target();
    let agreed = || {
        let mut wire = Wire::open(&target);
        assert_eq!(wire.ask_for_tls(), b'S');
        wire
    };
    let mut encrypted = agreed().encrypt(&[]);
    let mut others = [
        // The first byte would say whether a handshake begins.
        (Wire::open(&target), &b""[..]),
        (Wire::open(&target), b"\x16"),
        (agreed(), b""),
        (agreed(), b"\x16\x03\x01\x02\0\x01"),
    ];
    for (wire, words) in &mut others {
        wire.send(words);
    }
    is_told_of_the_login_timeout(&mut encrypted);
    // There is no way to tell these anything.
    for (wire, _) in &mut others {
        wire.closed();
    }
    all_are_gone(&scene);
    nothing_is_lost(&scene);
}

fn x3_a_byte_now_and_then_prolongs_nothing(major: Major) {
    let scene = with_login_timeout(major, |config| config);
    let target = scene.target();
    let mut drip = TcpStream::connect((target.host.as_str(), target.port)).unwrap();
    eventually("the slow client is thrown out", || {
        thread::sleep(Duration::from_millis(50));
        drip.write_all(b"\0").is_err().then_some(())
    });
    all_are_gone(&scene);
}

fn x3_a_client_in_the_queue(major: Major) {
    let scene = Scene::with(major, Way::Transaction, |config| {
        config
            .set("default_pool_size", 1)
            .set("query_wait_timeout", "300ms")
    });
    let mut first = Wire::connect(&scene.target());
    first.sql("BEGIN");
    let mut second = Wire::connect(&scene.target());
    let began = Instant::now();
    second.write(|out| encode::query(b"SELECT 1", out));
    let error = second.last_error();
    assert!(
        began.elapsed() >= Duration::from_millis(290),
        "{:?}",
        began.elapsed()
    );
    assert_eq!(
        (error.severity.as_str(), error.message.as_str()),
        ("FATAL", "query_wait_timeout")
    );
    assert!(error.hint.contains("default_pool_size"), "{error:?}");
    assert_eq!(first.sql("SELECT 1"), ["1"]);
    first.sql("COMMIT");
    assert_eq!(scene.target().sql("SELECT 1"), "1");
}

fn x3_clients_and_queries_that_take_too_long(major: Major) {
    let scene = Scene::with(major, Way::Transaction, |config| {
        config
            .set("default_pool_size", super::SIZE)
            .user_set("app", "query_timeout", "500ms")
            .user_set("other", "idle_transaction_timeout", "500ms")
            .user_set("plain", "transaction_timeout", "500ms")
            .user_set("old", "client_idle_timeout", "500ms")
    });
    let begin = |user: &str, sql: &str| {
        let target: Target = scene.target().user(user);
        let mut wire = Wire::connect(&target);
        wire.query(sql);
        wire
    };
    let mut wires = [
        (begin("app", "BEGIN"), "57014", "query timeout"),
        (begin("other", "BEGIN"), "25P03", "idle transaction timeout"),
        (begin("plain", "BEGIN"), "25P04", "transaction timeout"),
        (begin("old", "SELECT 1"), "57P05", "client_idle_timeout"),
    ];
    let sleep = |out: &mut Vec<u8>| encode::query(b"SELECT pg_sleep(300)", out);
    wires[0].0.write(sleep);
    wires[2].0.write(sleep);
    for (wire, sqlstate, message) in &mut wires {
        let error = wire.last_error();
        let said = [&*error.severity, &*error.sqlstate, &*error.message];
        assert_eq!(said, ["FATAL", *sqlstate, *message]);
    }
    all_are_gone(&scene);
    let left = "SELECT count(*) FROM pg_stat_activity
                WHERE datname = current_database() AND query LIKE '%pg_sleep(300)' AND state = 'active'";
    eventually("no query is left on the server", || {
        (scene.admin(left) == "0").then_some(())
    });
    nothing_is_lost(&scene);
}

fn x3_a_copy_that_begins_when_its_client_has_gone(major: Major) {
    let scene = Scene::with(major, Way::Transaction, |config| {
        config.set("default_pool_size", 1)
    });
    scene.admin("CREATE TABLE kept (a int); GRANT ALL ON kept TO app");
    let mut wire = Wire::connect(&scene.target());
    wire.write(|out| {
        encode::query(b"SELECT pg_sleep(300)", out);
        encode::query(b"COPY kept FROM STDIN", out);
    });
    scene.busy();
    drop(wire);
    // The first is cancelled. A cancel request does not end the second, which waits for data.
    let began = Instant::now();
    assert_eq!(scene.target().sql("SELECT 1"), "1");
    assert!(
        began.elapsed() < Duration::from_secs(5),
        "{:?}",
        began.elapsed()
    );
}

fn x3_a_client_that_does_not_read(major: Major) {
    let scene = Scene::with(major, Way::Transaction, |config| {
        config.set("default_pool_size", super::SIZE)
    });
    let mut lazy = Wire::connect(&scene.target());
    lazy.write(|out| {
        encode::query(
            b"SELECT repeat('x', 1000000) FROM generate_series(1, 300)",
            out,
        )
    });
    scene.busy();
    // Its goodbye would come behind all of that.
    let rows = scene.pooler().rows("SHOW CLIENTS");
    let row = rows.iter().find(|row| row.text("user") == "app").unwrap();
    scene
        .pooler()
        .ask(&format!("KILL_CLIENT {}", row.text("id")));
    all_are_gone(&scene);
    nothing_is_lost(&scene);
    lazy.rest();
}

fn x3_an_operator_who_does_not_read(major: Major) {
    let scene = Scene::new(major, Way::Transaction);
    let mut lazy = Wire::connect(&scene.pooler().console());
    let mut questions = Vec::new();
    for _ in 0..3000 {
        encode::query(b"SHOW CONFIG", &mut questions);
    }
    lazy.send(&questions);
    all_are_gone(&scene);
    lazy.rest();
}
