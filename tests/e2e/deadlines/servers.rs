//! Servers that fall silent.

use std::time::{Duration, Instant};

use pgweir_tests::{Cluster, Config, Gate, Major, Options, Pooler, Wire, cases, eventually};
use pgweir_wire::encode;

use super::{SIZE, gated, gated_database, nothing_is_lost};

cases! {
    x3_a_server_that_stops_in_its_login;
    x3_a_login_that_waits_for_a_server;
    x3_a_frozen_server;
    x3_one_of_two_hosts_is_silent;
    x3_a_check_query_without_answer;
    x3_a_reset_query_without_answer;
    x3_a_query_that_does_not_end;
    x3_a_cancel_request_without_answer;
    x3_a_silent_server_for_replication;
}

fn x3_a_server_that_stops_in_its_login(major: Major) {
    for (cluster, sslmode) in [
        (Cluster::shared(major), "disable"),
        (crate::tls::cluster(major), "require"),
    ] {
        let database = cluster.database();
        let (gate, scene) = gated_database(cluster, database.clone(), |config| {
            config
                .database_set(&database, "connect_query", "SELECT 'connect_query'")
                .set("server_tls_sslmode", sslmode)
                .set("server_connect_timeout", "200ms")
                .set("query_wait_timeout", "600ms")
        });
        let target = scene.target();
        let mut wire = Wire::connect(&target);
        let whole = gate.passed();
        // With TLS, the first byte agrees to it. The last message is the answer to the
        // connect_query, and ReadyForQuery, which has six bytes.
        for bytes in [0, 1, 9, whole / 2, whole - 6] {
            gate.limit(bytes);
            scene.pooler().ask("RECONNECT");
            let error = Wire::try_connect(&target, &[]).unwrap_err();
            assert_eq!(error.message, "query_wait_timeout", "{sslmode} {bytes}");
            assert!(error.detail.contains("connect timeout"), "{error:?}");
            // Who is logged in already hears the same.
            wire.write(|out| encode::query(b"SELECT 1", out));
            let error = wire.last_error();
            assert_eq!(error.message, "query_wait_timeout", "{sslmode} {bytes}");
            gate.open();
            wire = eventually("somebody is served again", || {
                Wire::try_connect(&target, &[]).ok()
            });
            nothing_is_lost(&scene);
        }
        scene.pooler().logs("server login failed: connect timeout");
    }
}

fn x3_a_login_that_waits_for_a_server(major: Major) {
    let (gate, scene) = gated(Cluster::shared(major), |config| {
        config
            .set("client_login_timeout", "500ms")
            .set("query_wait_timeout", 0)
            .set("server_connect_timeout", "1s")
    });
    gate.limit(0);
    let error = Wire::try_connect(&scene.target(), &[]).unwrap_err();
    let said = [&error.severity, &error.sqlstate, &error.message];
    assert_eq!(
        said,
        ["FATAL", "08006", "client_login_timeout (server down)"]
    );
    gate.open();
    eventually("somebody is served again", || {
        Wire::try_connect(&scene.target(), &[]).ok()
    });
    nothing_is_lost(&scene);
}

fn x3_a_frozen_server(major: Major) {
    let cluster = Cluster::start(major, &Options::default());
    let config = Config::of(&cluster, "postgres")
        .set("server_connect_timeout", "500ms")
        .set("query_wait_timeout", "1s");
    let pooler = Pooler::start(&config);
    let target = pooler.target("postgres");
    cluster.freeze();
    let began = Instant::now();
    let error = Wire::try_connect(&target, &[]).unwrap_err();
    assert!(
        began.elapsed() < Duration::from_secs(8),
        "{:?}",
        began.elapsed()
    );
    assert_eq!(error.severity, "FATAL");
    pooler.ask("SHOW POOLS");
    cluster.thaw();
    eventually("it is served again", || {
        target.psql("SELECT 1").success.then_some(())
    });
}

fn x3_one_of_two_hosts_is_silent(major: Major) {
    let cluster = Cluster::shared(major);
    let silent = Gate::before(cluster);
    silent.limit(0);
    let alive = format!("127.0.0.1:{}", cluster.port());
    let config = Config::new()
        .set("server_connect_timeout", "500ms")
        .database_set(
            "postgres",
            "hosts",
            [silent.host().as_str(), alive.as_str()],
        )
        .user("app");
    let pooler = Pooler::start(&config);
    let began = Instant::now();
    assert_eq!(pooler.target("postgres").sql("SELECT 1"), "1");
    assert!(
        began.elapsed() < Duration::from_secs(5),
        "{:?}",
        began.elapsed()
    );
}

fn x3_a_check_query_without_answer(major: Major) {
    let (gate, scene) = gated(Cluster::shared(major), |config| {
        config
            .set("server_check_delay", 0)
            .set("server_connect_timeout", "1s")
            .set("default_pool_size", 1)
    });
    let mut wire = Wire::connect(&scene.target());
    let pid = wire.sql("SELECT pg_backend_pid()");
    assert_eq!(wire.sql("SELECT pg_backend_pid()"), pid);
    gate.hush();
    wire.write(|out| encode::query(b"SELECT pg_backend_pid()", out));
    eventually("it is being checked", || {
        (scene.pooler().pool(&scene.database).number("sv_tested") == 1).then_some(())
    });
    // It is closed, and another one serves.
    assert_ne!(wire.until_ready()[1].row(), pid);
    scene.pooler().logs("server check failed");
    assert_eq!(gate.connections(), 1);
}

fn x3_a_reset_query_without_answer(major: Major) {
    let (gate, scene) = gated(Cluster::shared(major), |config| {
        config.set("pool_mode", "session")
    });
    let mut wire = Wire::connect(&scene.target());
    wire.sql("SET work_mem = '77MB'");
    gate.hush();
    wire.write(encode::terminate);
    eventually("it is being cleaned", || {
        (scene.pooler().pool(&scene.database).number("sv_tested") == 1).then_some(())
    });
    nothing_is_lost(&scene);
    scene.pooler().logs("reset query timed out");
}

fn x3_a_query_that_does_not_end(major: Major) {
    let (gate, scene) = gated(Cluster::shared(major), |config| {
        config.user_set("app", "query_timeout", "500ms")
    });
    let mut patient = Wire::connect(&scene.target());
    let mut gone = Wire::connect(&scene.target());
    for wire in [&mut patient, &mut gone] {
        wire.sql("BEGIN");
    }
    gate.hush();
    for wire in [&mut patient, &mut gone] {
        wire.write(|out| encode::query(b"SELECT 1", out));
    }
    drop(gone);
    let error = patient.last_error();
    assert_eq!(
        (error.sqlstate.as_str(), error.message.as_str()),
        ("57014", "query timeout")
    );
    // Both connections are asked to cancel what they do, and are waited for.
    eventually("both are being cancelled", || {
        let pool = scene.pooler().pool(&scene.database);
        (pool.number("sv_being_canceled") == 2).then_some(())
    });
    nothing_is_lost(&scene);
    assert_eq!(gate.connections(), SIZE as usize);
}

fn x3_a_cancel_request_without_answer(major: Major) {
    let (gate, scene) = gated(Cluster::shared(major), |config| {
        config
            .set("cancel_wait_timeout", "1s")
            .set("default_pool_size", 1)
    });
    let target = scene.target();
    let mut wire = Wire::connect(&target);
    let pid = wire.sql("SELECT pg_backend_pid()");
    wire.write(|out| encode::query(b"SELECT pg_sleep(300)", out));
    scene.busy();
    gate.limit(0);
    let began = Instant::now();
    std::thread::scope(|scope| {
        scope.spawn(|| wire.identity.clone().cancel(&target));
        eventually("it is seen on its way", || {
            let pool = scene.pooler().pool(&scene.database);
            let counted = [
                "cl_active_cancel_req",
                "sv_active_cancel",
                "sv_being_canceled",
            ];
            counted
                .map(|name| pool.number(name))
                .eq(&[1; 3])
                .then_some(())
        });
        let mut next = Wire::connect(&target);
        // It does arrive, but nobody gets the connection before that is known.
        assert_eq!(next.sql("SELECT pg_backend_pid()"), pid);
        assert!(
            began.elapsed() > Duration::from_millis(950),
            "{:?}",
            began.elapsed()
        );
    });
    scene.pooler().logs("cancel request timed out");
    let pool = scene.pooler().pool(&scene.database);
    assert_eq!(pool.number("cl_active_cancel_req"), 0);
    assert_eq!(pool.number("cl_waiting_cancel_req"), 0);
    let frames = wire.until_ready();
    assert!(frames.iter().any(|frame| frame.tag == b'E'), "{frames:?}");
    assert_eq!(gate.connections(), 1);
}

fn x3_a_silent_server_for_replication(major: Major) {
    let (gate, scene) = gated(Cluster::shared(major), |config| {
        config.set("server_connect_timeout", "500ms")
    });
    let target = scene.target().user("walker");
    let connect = || Wire::try_connect(&target, &[("replication", "database")]);
    gate.limit(0);
    for _ in 0..=SIZE {
        let error = connect().unwrap_err();
        let said = [&error.severity, &error.sqlstate, &error.message];
        assert_eq!(said, ["FATAL", "08006", "connect timeout"]);
    }
    gate.open();
    assert_eq!(connect().unwrap().sql("SELECT 6 * 7"), ["42"]);
    nothing_is_lost(&scene);
}
