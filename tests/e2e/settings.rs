//! What settings change that no other subject is about.

mod clients;

use pgweir_tests::{Cluster, Config, Major, Pooler, Scene, Way, Wire, cases};
use pgweir_wire::encode;

cases! {
    ignore_startup_parameters;
    server_reset_query;
    server_reset_query_always;
    server_round_robin;
    server_check_query;
    max_statement_size;
    load_balance_hosts;
    parameters_of_a_database;
}

fn ignore_startup_parameters(major: Major) {
    for (ignored, seen) in [("extra_float_digits", "off"), ("geqo", "on")] {
        let scene = Scene::with(major, Way::Transaction, |config| {
            config.set("ignore_startup_parameters", [ignored])
        });
        let parameters = [("geqo", "off")];
        let mut wire = Wire::try_connect(&scene.target(), &parameters).unwrap();
        assert_eq!(wire.sql("SHOW geqo"), [seen], "{ignored} is ignored");
    }
}

fn server_reset_query(major: Major) {
    let scene = Scene::with(major, Way::Session, |config| {
        config.set("default_pool_size", 1).set(
            "server_reset_query",
            "RESET ALL; INSERT INTO resets DEFAULT VALUES",
        )
    });
    scene.admin("CREATE TABLE resets (at timestamptz DEFAULT now())");
    scene.admin("GRANT ALL ON resets TO app");
    for number in 0..3 {
        let mut wire = Wire::connect(&scene.target());
        assert_eq!(wire.sql("SHOW work_mem"), ["4MB"]);
        assert_eq!(
            wire.sql("SELECT count(*) FROM resets"),
            [number.to_string()]
        );
        wire.sql("SET work_mem = '77MB'");
    }
}

fn server_reset_query_always(major: Major) {
    for (always, left) in [(false, "77MB"), (true, "4MB")] {
        let scene = Scene::with(major, Way::Transaction, |config| {
            config
                .set("default_pool_size", 1)
                .set("server_reset_query_always", always)
        });
        // What a function does in its body cannot be seen from outside.
        scene.admin(
            "CREATE FUNCTION greedy() RETURNS text LANGUAGE sql AS \
             $$ SELECT set_config('work_mem', '77MB', false) $$",
        );
        let mut first = Wire::connect(&scene.target());
        assert_eq!(first.sql("SELECT greedy()"), ["77MB"]);
        let mut second = Wire::connect(&scene.target());
        assert_eq!(second.sql("SHOW work_mem"), [left], "always: {always}");
    }
}

fn server_round_robin(major: Major) {
    for (round_robin, used) in [(false, 1), (true, 3)] {
        let scene = Scene::with(major, Way::Transaction, |config| {
            config
                .set("workers", 1)
                .set("server_round_robin", round_robin)
        });
        let mut wires: Vec<Wire> = (0..3).map(|_| Wire::connect(&scene.target())).collect();
        for sql in ["BEGIN", "COMMIT"] {
            for wire in &mut wires {
                wire.sql(sql);
            }
        }
        let pids = (0..6).map(|_| wires[0].sql("SELECT pg_backend_pid()"));
        let mut pids: Vec<_> = pids.collect();
        pids.sort();
        pids.dedup();
        assert_eq!(pids.len(), used, "round robin: {round_robin}");
    }
}

fn server_check_query(major: Major) {
    for (query, stays) in [("SELECT 1", true), ("SELECT 1/0", false), ("", true)] {
        let scene = Scene::with(major, Way::Transaction, |config| {
            config
                .set("default_pool_size", 1)
                .set("server_check_delay", 0)
                .set("server_check_query", query)
        });
        let mut wire = Wire::connect(&scene.target());
        let first = wire.sql("SELECT pg_backend_pid()");
        let second = wire.sql("SELECT pg_backend_pid()");
        assert_eq!(first == second, stays, "{query:?}");
    }
}

fn load_balance_hosts(major: Major) {
    let clusters = [
        Cluster::shared(Major::System),
        Cluster::shared(Major::Eighteen),
    ];
    let hosts = clusters.map(|cluster| format!("127.0.0.1:{}", cluster.port()));
    let hosts = [hosts[0].as_str(), hosts[1].as_str()];
    let database = Cluster::shared(major).database();
    for (order, expected) in [(None, 1), (Some("disable"), 1), (Some("round-robin"), 2)] {
        let mut config = Config::of(Cluster::shared(major), &database)
            .database_set(&database, "hosts", hosts)
            .database_set(&database, "dbname", "postgres");
        if let Some(order) = order {
            config = config.database_set(&database, "load_balance_hosts", order);
        }
        let pooler = Pooler::start(&config);
        let mut wires: Vec<Wire> = (0..4)
            .map(|_| Wire::connect(&pooler.target(&database)))
            .collect();
        let mut ports: Vec<_> = wires
            .iter_mut()
            .map(|wire| {
                wire.sql("BEGIN");
                wire.sql("SHOW port")
            })
            .collect();
        ports.sort();
        ports.dedup();
        assert_eq!(ports.len(), expected, "{order:?} {ports:?}");
        let shown = pooler.pool(&database);
        assert_eq!(shown.text("load_balance_hosts"), order.unwrap_or_default());
    }
}

fn parameters_of_a_database(major: Major) {
    let cluster = Cluster::shared(major);
    let database = cluster.database();
    let config = [
        ("timezone", "Asia/Tokyo"),
        ("datestyle", "German, DMY"),
        ("client_encoding", "LATIN1"),
        ("application_name", "pooled"),
    ]
    .into_iter()
    .fold(Config::of(cluster, &database), |config, (key, value)| {
        config.database_set(&database, key, value)
    });
    let pooler = Pooler::start(&config);
    let mut wire = Wire::connect(&pooler.target(&database));
    for (name, value) in [
        ("timezone", "Asia/Tokyo"),
        ("datestyle", "German, DMY"),
        ("client_encoding", "LATIN1"),
        ("application_name", "pooled"),
    ] {
        assert_eq!(wire.sql(&format!("SHOW {name}")), [value]);
    }
    // Who says otherwise gets what it says, before and after somebody else.
    let own = [("TimeZone", "Europe/Berlin")];
    let mut other = Wire::try_connect(&pooler.target(&database), &own).unwrap();
    assert_eq!(other.sql("SHOW timezone"), ["Europe/Berlin"]);
    assert_eq!(wire.sql("SHOW timezone"), ["Asia/Tokyo"]);
}

fn max_statement_size(major: Major) {
    let scene = Scene::with(major, Way::Transaction, |config| {
        config.set("max_statement_size", "1kB")
    });
    for (len, name, fits) in [(100, "s", true), (2000, "", true), (2000, "s", false)] {
        let mut wire = Wire::connect(&scene.target());
        let sql = format!("SELECT '{}'", "x".repeat(len));
        wire.write(|out| {
            encode::parse(name.as_bytes(), sql.as_bytes(), &[], out);
            encode::sync(out);
        });
        if fits {
            let tags: Vec<u8> = wire.until_ready().iter().map(|frame| frame.tag).collect();
            assert_eq!(tags, b"1Z", "{len} {name:?}");
        } else {
            let error = wire.last_error();
            assert!(error.message.contains("max_statement_size"), "{error:?}");
        }
    }
}
