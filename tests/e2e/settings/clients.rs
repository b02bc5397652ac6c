//! What clients are told, and what they may not say.

use pgweir_tests::script::{node, python};
use pgweir_tests::{Frame, Major, Scene, Way, Wire, cases, eventually, for_a_while};
use pgweir_wire::encode;
use pgweir_wire::startup::PROTOCOL_3_0;

cases! {
    query_wait_notify;
    login_notify_message;
    disable_pqexec;
    application_name_add_host;
    server_fast_close;
    pool_idle_timeout;
    report_pooler;
    drivers_do_not_mind_what_the_pooler_reports;
}

fn query_wait_notify(major: Major) {
    for (limit, told) in [("300ms", true), ("0", false)] {
        let scene = Scene::with(major, Way::Transaction, |config| {
            config
                .set("default_pool_size", 1)
                .set("query_wait_notify", limit)
        });
        let mut holds = Wire::connect(&scene.target());
        holds.sql("BEGIN");
        let mut waits = Wire::connect(&scene.target());
        waits.write(|out| encode::query(b"SELECT 1", out));
        if told {
            let frame = waits.frame();
            assert_eq!(frame.tag, b'N');
            let notice = frame.error();
            let said = (&*notice.severity, &*notice.sqlstate, &*notice.message);
            let text = "No server connection available in postgres backend, client being queued";
            assert_eq!(said, ("NOTICE", "00000", text));
        }
        // Once only.
        waits.silent();
        holds.sql("COMMIT");
        assert_eq!(waits.until_ready()[1].row(), ["1"]);
    }
}

/// Everything from AuthenticationOk to ReadyForQuery.
fn greeting(scene: &Scene) -> Vec<Frame> {
    let mut wire = Wire::open(&scene.target());
    wire.startup(&scene.target(), PROTOCOL_3_0, &[]);
    wire.prove(&scene.target());
    wire.until_ready()
}

fn login_notify_message(major: Major) {
    let scene = Scene::with(major, Way::Transaction, |config| {
        config.set("login_notify_message", "maintenance at noon")
    });
    let frames = greeting(&scene);
    let [key, notice, ready] = &frames[frames.len() - 3..] else {
        panic!("{frames:?}");
    };
    assert_eq!([key.tag, notice.tag, ready.tag], *b"KNZ");
    let notice = notice.error();
    assert_eq!(
        (&*notice.severity, &*notice.message),
        ("NOTICE", "maintenance at noon")
    );
    // It is asked for each time.
    scene.pooler().ask("SET login_notify_message = ''");
    assert!(greeting(&scene).iter().all(|frame| frame.tag != b'N'));
}

fn disable_pqexec(major: Major) {
    let scene = Scene::with(major, Way::Transaction, |config| {
        config.set("disable_pqexec", true)
    });
    let mut wire = Wire::connect(&scene.target());
    wire.write(|out| {
        encode::parse(b"", b"SELECT 7", &[], out);
        encode::bind(b"", b"", &[], out);
        encode::execute(b"", 0, out);
        encode::sync(out);
    });
    let frames = wire.until_ready();
    assert_eq!(
        frames.iter().find(|frame| frame.tag == b'D').unwrap().row(),
        ["7"]
    );
    wire.write(|out| encode::query(b"SELECT 1", out));
    let error = wire.last_error();
    assert_eq!(
        (&*error.severity, &*error.message),
        ("FATAL", "PQexec disallowed")
    );
}

fn application_name_add_host(major: Major) {
    let scene = Scene::with(major, Way::Transaction, |config| {
        config.set("application_name_add_host", true)
    });
    for (parameters, name) in [
        (&[("application_name", "shop")][..], "shop"),
        (&[][..], "app"),
    ] {
        let mut wire = Wire::try_connect(&scene.target(), parameters).unwrap();
        let shown = wire.sql("SHOW application_name").remove(0);
        let rows = scene.pooler().rows("SHOW CLIENTS");
        let ours = rows
            .iter()
            .find(|row| row.text("database") == scene.database);
        let port = ours.expect("it is there").number("port");
        assert_eq!(shown, format!("{name} - 127.0.0.1:{port}"));
        drop(wire);
        eventually("it is gone", || {
            let rows = scene.pooler().rows("SHOW CLIENTS");
            (rows.len() == 1).then_some(())
        });
    }
}

fn server_fast_close(major: Major) {
    for fast in [false, true] {
        let scene = Scene::with(major, Way::Session, |config| {
            config.set("server_fast_close", fast)
        });
        let mut idle = Wire::connect(&scene.target());
        idle.sql("SELECT 1");
        let mut inside = Wire::connect(&scene.target());
        inside.sql("BEGIN");
        scene.pooler().ask("RECONNECT");
        if fast {
            let error = idle.last_error();
            assert_eq!(error.message, "database configuration changed");
            assert_eq!(inside.sql("SELECT 1"), ["1"]);
            inside.query("COMMIT");
            let error = inside.last_error();
            assert_eq!(error.message, "database configuration changed");
        } else {
            idle.silent();
            assert_eq!(idle.sql("SELECT 1"), ["1"]);
        }
    }
}

fn pool_idle_timeout(major: Major) {
    let pools = |scene: &Scene| {
        let rows = scene.pooler().rows("SHOW POOLS");
        let ours = rows
            .iter()
            .filter(|row| row.text("database") == scene.database);
        ours.count()
    };
    let scene = Scene::with(major, Way::Transaction, |config| {
        config
            .set("pool_idle_timeout", "500ms")
            .set("server_idle_timeout", "500ms")
    });
    let mut stays = Wire::connect(&scene.target());
    stays.sql("SELECT 1");
    let mut other = Wire::connect(&scene.target().user("other"));
    other.sql("SELECT 1");
    assert_eq!(pools(&scene), 2);
    drop(other);
    eventually("the pool of who has left is gone", || {
        (pools(&scene) == 1).then_some(())
    });
    for_a_while("who is there keeps its pool", || pools(&scene) == 1);
    assert_eq!(stays.sql("SELECT 1"), ["1"]);
    drop(stays);
    eventually("the last is gone", || (pools(&scene) == 0).then_some(()));
    assert_eq!(
        scene.target().user("other").sql("SELECT current_user"),
        "other"
    );
}

fn report_pooler(major: Major) {
    let scene = Scene::with(major, Way::Transaction, |config| {
        config
            .set("report_pooler", true)
            .set("max_prepared_statements", 7)
    });
    let reported = |scene: &Scene| {
        let wire = Wire::connect(&scene.target());
        let parameters = wire.identity.parameters.clone().into_iter();
        let mut ours: Vec<_> = parameters
            .filter(|(name, _)| name.starts_with("pgbouncer."))
            .collect();
        ours.sort();
        ours
    };
    let expected = [
        ("pgbouncer.max_prepared_statements", "7"),
        ("pgbouncer.pool_mode", "transaction"),
        ("pgbouncer.version", "1.25.2"),
    ];
    let expected = expected.map(|(name, value)| (name.to_owned(), value.to_owned()));
    assert_eq!(reported(&scene), expected);
    scene.pooler().ask("SET report_pooler = 0");
    assert_eq!(reported(&scene), []);
}

fn drivers_do_not_mind_what_the_pooler_reports(major: Major) {
    let scene = Scene::with(major, Way::Transaction, |config| {
        config
            .set("report_pooler", true)
            .set("login_notify_message", "welcome")
    });
    let target = scene.target();
    python("psycopg_cases.py", &target, &["transaction"]).check("psycopg");
    python("asyncpg_cases.py", &target, &["transaction"]).check("asyncpg");
    node("node_cases.js", &target, &["transaction"]).check("node-postgres");
}
