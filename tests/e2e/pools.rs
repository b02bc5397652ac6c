//! Who gets a server connection, when, and in which state.

use std::sync::atomic::{AtomicBool, Ordering::Relaxed};
use std::thread;
use std::time::{Duration, Instant};

use pgweir_tests::{
    Config, Frame, Major, Pooler, Scene, Way, Wire, cases, eventually, for_a_while,
};
use pgweir_wire::encode;

cases! {
    clients_wait_in_order;
    the_reserve;
    a_cap_for_a_database;
    a_cap_for_a_user;
    a_busy_pool_gives_way_under_a_cap;
    a_wait_that_ends_names_what_was_in_the_way;
    more_clients_than_allowed;
    a_minimum_is_kept;
    idle_connections_are_closed;
    old_connections_are_closed;
    a_dead_idle_connection_is_not_handed_out;
    modes_of_databases_and_users;
    statement_mode_refuses_transactions;
    statement_mode_tells_a_client_that_reads_slowly;
    connect_query_and_forced_user;
    a_database_nobody_named_is_forgotten;
    many_clients_and_few_connections;
    clients_of_all_workers_share_the_connections;
}

fn waiting(scene: &Scene, count: i64) {
    eventually(&format!("{count} clients wait"), || {
        (scene.pooler().pool(&scene.database).number("cl_waiting") == count).then_some(())
    });
}

fn transaction_mode(major: Major, change: impl FnOnce(Config) -> Config) -> Scene {
    Scene::with(major, Way::Transaction, change)
}

/// Connections of the pooler to the database, as the server sees them.
fn connections(scene: &Scene, user: &str) -> i64 {
    let sql = format!(
        "SELECT count(*) FROM pg_stat_activity WHERE datname = '{}' AND usename = '{user}'",
        scene.database
    );
    scene.cluster.admin("postgres", &sql).parse().unwrap()
}

fn clients_wait_in_order(major: Major) {
    // One worker: among several, the order may be a little different for speed.
    let scene = transaction_mode(major, |config| {
        config.set("default_pool_size", 1).set("workers", 1)
    });
    scene.admin(
        "CREATE TABLE served (at serial, client int); GRANT ALL ON served, served_at_seq TO app",
    );
    let mut first = Wire::connect(&scene.target());
    first.sql("BEGIN");
    let mut queue: Vec<Wire> = (0..8).map(|_| Wire::connect(&scene.target())).collect();
    for (number, wire) in queue.iter_mut().enumerate() {
        wire.write(|out| {
            encode::query(
                format!("INSERT INTO served (client) VALUES ({number})").as_bytes(),
                out,
            )
        });
        waiting(&scene, i64::try_from(number).unwrap() + 1);
    }
    let pool = scene.pooler().pool(&scene.database);
    assert_eq!(
        (
            pool.number("cl_active"),
            pool.number("sv_active"),
            pool.number("sv_idle")
        ),
        (1, 1, 0)
    );
    first.sql("COMMIT");
    for wire in &mut queue {
        wire.until_ready();
    }
    assert_eq!(
        first.sql("SELECT string_agg(client::text, '' ORDER BY at) FROM served"),
        ["01234567"]
    );
    waiting(&scene, 0);
}

fn the_reserve(major: Major) {
    let scene = transaction_mode(major, |config| {
        config
            .set("default_pool_size", 1)
            .set("reserve_pool_size", 1)
            .set("reserve_pool_timeout", "300ms")
    });
    let mut wires: Vec<Wire> = (0..3).map(|_| Wire::connect(&scene.target())).collect();
    wires[0].sql("BEGIN");
    let began = Instant::now();
    wires[1].sql("BEGIN");
    assert!(
        began.elapsed() >= Duration::from_millis(290),
        "{:?}",
        began.elapsed()
    );
    wires[2].write(|out| encode::query(b"SELECT 1", out));
    waiting(&scene, 1);
    thread::sleep(Duration::from_millis(400));
    waiting(&scene, 1);
    assert_eq!(connections(&scene, "app"), 2);
    wires[1].sql("COMMIT");
    wires[2].until_ready();
}

fn a_cap_for_a_database(major: Major) {
    let scene = transaction_mode(major, |config| config.set("max_db_connections", 2));
    let mut app: Vec<Wire> = (0..2).map(|_| Wire::connect(&scene.target())).collect();
    for wire in &mut app {
        wire.sql("BEGIN");
    }
    assert_eq!(connections(&scene, "app"), 2);
    // Another user's client waits until one is free, though that user has no connection yet.
    thread::scope(|scope| {
        let target = scene.target().user("other");
        let other = scope.spawn(move || target.sql("SELECT current_user"));
        eventually("the other user waits", || {
            let rows = scene.pooler().rows("SHOW POOLS");
            let row = rows.iter().find(|row| row.text("user") == "other")?;
            (row.number("cl_waiting") == 1).then_some(())
        });
        app[0].sql("COMMIT");
        assert_eq!(other.join().unwrap(), "other");
    });
    assert!(connections(&scene, "app") + connections(&scene, "other") <= 2);
    app[1].sql("COMMIT");
    assert_eq!(app[0].sql("SELECT current_user"), ["app"]);
}

fn a_cap_for_a_user(major: Major) {
    let scene = transaction_mode(major, |config| {
        config.user_set("app", "max_user_connections", 1)
    });
    let mut wires: Vec<Wire> = (0..2).map(|_| Wire::connect(&scene.target())).collect();
    wires[0].sql("BEGIN");
    wires[1].write(|out| encode::query(b"SELECT 1", out));
    waiting(&scene, 1);
    assert_eq!(scene.target().user("other").sql("SELECT 1"), "1");
    wires[0].sql("COMMIT");
    wires[1].until_ready();
    assert_eq!(connections(&scene, "app"), 1);
}

fn a_busy_pool_gives_way_under_a_cap(major: Major) {
    let scene = transaction_mode(major, |config| config.set("max_db_connections", 1));
    let done = AtomicBool::new(false);
    thread::scope(|scope| {
        // Two clients that leave no pause between their transactions: there is always one in the queue.
        for _ in 0..2 {
            scope.spawn(|| {
                let mut wire = Wire::connect(&scene.target());
                while !done.load(Relaxed) {
                    assert_eq!(wire.sql("SELECT 1 FROM pg_sleep(0.005)"), ["1"]);
                }
            });
        }
        scene.busy();
        let mut wire = Wire::connect(&scene.target().user("other"));
        for _ in 0..3 {
            assert_eq!(wire.sql("SELECT current_user"), ["other"]);
        }
        done.store(true, Relaxed);
    });
}

fn a_wait_that_ends_names_what_was_in_the_way(major: Major) {
    let scene = transaction_mode(major, |config| {
        config
            .set("max_db_connections", 1)
            .set("query_wait_timeout", "300ms")
    });
    let mut first = Wire::connect(&scene.target());
    first.sql("BEGIN");
    let mut second = Wire::connect(&scene.target());
    second.write(|out| encode::query(b"SELECT 1", out));
    let error = second.last_error();
    assert!(error.hint.contains("max_db_connections"), "{error:?}");
    assert!(error.detail.contains("pool size 4, 1 in use"), "{error:?}");
}

fn more_clients_than_allowed(major: Major) {
    for (key, message) in [
        (
            "max_client_conn",
            "no more connections allowed (max_client_conn)",
        ),
        (
            "max_db_client_connections",
            "client connections exceeded (max_db_client_connections)",
        ),
        (
            "max_user_client_connections",
            "client connections exceeded (max_user_client_connections)",
        ),
    ] {
        let scene = transaction_mode(major, |config| config.set(key, 2));
        let mut wires: Vec<Wire> = (0..2)
            .map(|_| {
                // The connection by which the harness looked whether anybody accepts counts until
                // its end is noticed.
                eventually("there is room", || {
                    Wire::try_connect(&scene.target(), &[]).ok()
                })
            })
            .collect();
        let error = Wire::try_connect(&scene.target(), &[]).unwrap_err();
        assert_eq!(
            (error.severity.as_str(), error.message.as_str()),
            ("FATAL", message)
        );
        for wire in &mut wires {
            assert_eq!(wire.sql("SELECT 1"), ["1"]);
        }
        drop(wires);
        eventually("there is room again", || {
            Wire::try_connect(&scene.target(), &[]).ok()
        });
    }
}

fn a_minimum_is_kept(major: Major) {
    let scene = transaction_mode(major, |config| {
        config.set("min_pool_size", 3).set("server_lifetime", "1s")
    });
    let mut wire = Wire::connect(&scene.target());
    wire.sql("SELECT 1");
    eventually("three connections are open", || {
        (connections(&scene, "app") == 3).then_some(())
    });
    // Also when they have been replaced because of their age.
    thread::sleep(Duration::from_millis(1500));
    eventually("three connections are open", || {
        (connections(&scene, "app") == 3).then_some(())
    });
    // For nobody, none is kept.
    drop(wire);
    eventually("all connections are closed", || {
        (connections(&scene, "app") == 0).then_some(())
    });
}

fn idle_connections_are_closed(major: Major) {
    let scene = transaction_mode(major, |config| config.set("server_idle_timeout", "500ms"));
    let mut wire = Wire::connect(&scene.target());
    let first = wire.sql("SELECT pg_backend_pid()");
    eventually("it is closed", || {
        (connections(&scene, "app") == 0).then_some(())
    });
    assert_ne!(wire.sql("SELECT pg_backend_pid()"), first);
}

fn old_connections_are_closed(major: Major) {
    let scene = transaction_mode(major, |config| config.set("server_lifetime", "500ms"));
    let mut wire = Wire::connect(&scene.target());
    let first = wire.sql("SELECT pg_backend_pid()");
    eventually("another one serves", || {
        (wire.sql("SELECT pg_backend_pid()") != first).then_some(())
    });
    // Never in the middle of a transaction.
    wire.sql("BEGIN");
    let pid = wire.sql("SELECT pg_backend_pid()");
    thread::sleep(Duration::from_millis(700));
    assert_eq!(wire.sql("SELECT pg_backend_pid()"), pid);
    wire.sql("COMMIT");
}

fn a_dead_idle_connection_is_not_handed_out(major: Major) {
    for way in [Way::Session, Way::Transaction] {
        let scene = Scene::new(major, way);
        for round in 0..5 {
            // Some idle connections, and all of them are killed.
            let wires: Vec<Wire> = (0..4)
                .map(|_| {
                    let mut wire = Wire::connect(&scene.target());
                    wire.sql("SELECT 1");
                    wire
                })
                .collect();
            drop(wires);
            let kill = "SELECT count(pg_terminate_backend(pid)) FROM pg_stat_activity
                        WHERE datname = current_database() AND usename = 'app'";
            eventually("all clients are gone", || {
                let pool = scene.pooler().pool(&scene.database);
                (pool.number("cl_active") == 0
                    && pool.number("sv_active") + pool.number("sv_tested") == 0)
                    .then_some(())
            });
            scene.admin(kill);
            eventually("the server has closed them", || {
                (connections(&scene, "app") == 0).then_some(())
            });
            let mut next = Wire::connect(&scene.target());
            assert_eq!(
                next.sql("SELECT 'fine'"),
                ["fine"],
                "{way:?}, round {round}"
            );
        }
    }
}

fn modes_of_databases_and_users(major: Major) {
    let scene = Scene::new(major, Way::Direct);
    let config = Config::of(scene.cluster, &scene.database)
        .database("jobs", scene.cluster)
        .database_set("jobs", "dbname", scene.database.clone())
        .database_set("jobs", "pool_mode", "session")
        .user_set("other", "pool_mode", "session")
        .set("default_pool_size", 2);
    let pooler = Pooler::start(&config);
    let keeps = |wire: &mut Wire| {
        wire.sql("SET work_mem = '77MB'");
        wire.sql("SHOW work_mem") == ["77MB"]
    };
    let target = pooler.target(&scene.database);
    assert!(!keeps(&mut Wire::connect(&target)));
    assert!(keeps(&mut Wire::connect(&target.database("jobs"))));
    assert!(keeps(&mut Wire::connect(&target.user("other"))));
    let modes: Vec<String> = pooler
        .rows("SHOW POOLS")
        .iter()
        .filter(|row| row.text("database") != "pgweir")
        .map(|row| {
            format!(
                "{} {} {}",
                row.text("database"),
                row.text("user"),
                row.text("pool_mode")
            )
        })
        .collect();
    assert!(
        modes.contains(&format!("{} app transaction", scene.database)),
        "{modes:?}"
    );
    assert!(
        modes.contains(&format!("{} other session", scene.database)),
        "{modes:?}"
    );
    assert!(modes.contains(&"jobs app session".to_owned()), "{modes:?}");
}

fn statement_mode_refuses_transactions(major: Major) {
    let scene = Scene::with(major, Way::Statement, |config| {
        config.set("default_pool_size", 1)
    });
    scene.admin("CREATE TABLE kept (a int); GRANT ALL ON kept TO app");
    let refusal = "transaction blocks not allowed in statement pooling mode";
    for (sql, tags) in [
        ("BEGIN", "E"),
        ("START TRANSACTION", "E"),
        ("BEGIN; INSERT INTO kept VALUES (1)", "CCE"),
        ("BEGIN; SELECT 1/0", "CEE"),
    ] {
        // The error is the end of the query's answer: no ReadyForQuery says that all is well.
        let mut wire = Wire::connect(&scene.target());
        wire.write(|out| encode::query(sql.as_bytes(), out));
        let frames: Vec<Frame> = tags.chars().map(|_| wire.frame()).collect();
        let seen: String = frames.iter().map(|frame| char::from(frame.tag)).collect();
        assert_eq!(seen, tags, "{sql}: {frames:?}");
        let error = frames[frames.len() - 1].error();
        assert_eq!((&*error.severity, &*error.message), ("FATAL", refusal));
        wire.closed();
        assert_eq!(scene.target().sql("SELECT count(*) FROM kept"), "0");
    }
    let told = scene.target().psql("BEGIN");
    assert!(!told.success && told.stderr.contains(refusal), "{told:?}");
    // A transaction that is whole in one query is fine.
    let mut wire = Wire::connect(&scene.target());
    wire.sql("BEGIN; INSERT INTO kept VALUES (1); COMMIT");
    assert_eq!(wire.sql("SELECT count(*) FROM kept"), ["1"]);
}

fn a_database_nobody_named_is_forgotten(major: Major) {
    let cluster = pgweir_tests::Cluster::shared(major);
    let host = format!("127.0.0.1:{}", cluster.port());
    let scene = transaction_mode(major, |config| {
        config
            .without_databases()
            .database_set("*", "hosts", [host.as_str()])
            .set("autodb_idle_timeout", "1s")
            .set("server_idle_timeout", "1s")
            .set("min_pool_size", 1)
    });
    let shown = |show: &str| {
        let rows = scene.pooler().rows(show);
        rows.iter()
            .any(|row| row.text("database") == scene.database)
    };
    let mut wire = Wire::connect(&scene.target());
    assert_eq!(wire.sql("SELECT 1"), ["1"]);
    for_a_while("the client keeps it", || {
        shown("SHOW POOLS") && shown("SHOW STATS")
    });
    assert_eq!(wire.sql("SELECT 1"), ["1"]);
    drop(wire);
    eventually("nothing is left of it", || {
        (!shown("SHOW POOLS") && !shown("SHOW STATS")).then_some(())
    });
    assert_eq!(scene.target().sql("SELECT 1"), "1");
}

fn statement_mode_tells_a_client_that_reads_slowly(major: Major) {
    let scene = Scene::with(major, Way::Statement, |config| {
        config.set("default_pool_size", 1)
    });
    let mut wire = Wire::connect(&scene.target());
    let sql = "BEGIN; SELECT repeat('x', 1000) FROM generate_series(1, 40000)";
    wire.write(|out| encode::query(sql.as_bytes(), out));
    // Far more than sockets hold: the end is there long before it can be told.
    thread::sleep(Duration::from_millis(300));
    let mut rows = 0;
    let error = loop {
        match wire.frame() {
            frame if frame.tag == b'E' => break frame.error(),
            frame => rows += usize::from(frame.tag == b'D'),
        }
    };
    assert_eq!((rows, &*error.severity), (40_000, "FATAL"));
    wire.closed();
}

fn connect_query_and_forced_user(major: Major) {
    let cluster = pgweir_tests::Cluster::shared(major);
    let database = cluster.database();
    let config = Config::of(cluster, &database)
        .database_set(&database, "user", "other")
        .database_set(&database, "password", "other-secret")
        .database_set(&database, "connect_query", "SET work_mem = '13MB'");
    let pooler = Pooler::start(&config);
    assert_eq!(
        pooler
            .target(&database)
            .sql("SELECT current_user, current_setting('work_mem')"),
        "other|13MB"
    );
}

fn many_clients_and_few_connections(major: Major) {
    let scene = transaction_mode(major, |config| config.set("default_pool_size", 3));
    let target = scene.target();
    thread::scope(|scope| {
        for client in 0..60 {
            let target = target.clone();
            scope.spawn(move || {
                let mut wire = Wire::connect(&target);
                for turn in 0..20 {
                    let answer = format!("{client}|{turn}");
                    assert_eq!(
                        wire.sql(&format!("SELECT {client}, {turn}")),
                        std::slice::from_ref(&answer)
                    );
                    let sql = format!("BEGIN; SELECT {client}, {turn}; COMMIT");
                    assert_eq!(wire.sql(&sql), [answer]);
                }
            });
        }
    });
    assert!(connections(&scene, "app") <= 3);
}

fn clients_of_all_workers_share_the_connections(major: Major) {
    let scene = transaction_mode(major, |config| {
        config.set("default_pool_size", 1).set("workers", 4)
    });
    // Clients on every worker, and one connection that goes from one to the other.
    let mut wires: Vec<Wire> = (0..8).map(|_| Wire::connect(&scene.target())).collect();
    let pid = wires[0].sql("SELECT pg_backend_pid()");
    for _ in 0..20 {
        for wire in &mut wires {
            assert_eq!(wire.sql("SELECT pg_backend_pid()"), pid);
        }
    }
    // All at once, and nobody starves.
    for _ in 0..20 {
        for wire in &mut wires {
            wire.write(|out| encode::query(b"SELECT pg_backend_pid()", out));
        }
        for wire in &mut wires {
            assert_eq!(wire.until_ready()[1].row(), pid);
        }
    }
    for_a_while("no other connection is opened", || {
        connections(&scene, "app") == 1
    });
}
