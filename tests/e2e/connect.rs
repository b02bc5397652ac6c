//! Getting in, and a first query.

use std::fs;
use std::process::Command;

use pgweir_tests::{
    Cluster, Config, Major, Outcome, Pooler, Room, Scene, Target, Wire, cases, free_port,
};

cases! {
    select: direct session transaction statement;
    settings_of_the_startup_packet: direct session transaction statement;
    why_no_server_can_be_reached;
    sockets_without_files;
}

fn select(scene: &Scene) {
    assert_eq!(
        scene.target().sql("SELECT 6 * 7; SELECT 'ä', NULL, 1"),
        "42\nä||1"
    );
    let mut wire = Wire::connect(&scene.target());
    assert_eq!(
        wire.sql("SELECT current_user, current_database()"),
        [format!("app|{}", scene.database)]
    );
    assert_eq!(wire.sql(""), [""; 0]);
    assert_eq!(wire.sql_error("SELECT 1/0").sqlstate, "22012");
    assert_eq!(wire.sql("SELECT generate_series(1, 3)"), ["1", "2", "3"]);
}

fn settings_of_the_startup_packet(scene: &Scene) {
    let parameters = [
        ("application_name", "a test"),
        ("TimeZone", "Asia/Tokyo"),
        ("options", "-c DateStyle=German -c IntervalStyle=iso_8601"),
    ];
    let mut wire = Wire::try_connect(&scene.target(), &parameters).expect("all are known");
    assert_eq!(wire.identity.parameters["application_name"], "a test");
    assert_eq!(wire.identity.parameters["TimeZone"], "Asia/Tokyo");
    assert_eq!(wire.identity.parameters["IntervalStyle"], "iso_8601");
    assert!(wire.identity.parameters["DateStyle"].starts_with("German"));
    let mut other = Wire::connect(&scene.target());
    for _ in 0..3 {
        assert_eq!(wire.sql("SHOW TimeZone"), ["Asia/Tokyo"]);
        assert_eq!(wire.sql("SELECT date '2026-02-01'"), ["01.02.2026"]);
        assert_eq!(other.sql("SHOW IntervalStyle"), ["postgres"]);
        assert_eq!(other.sql("SELECT date '2026-02-01'"), ["2026-02-01"]);
    }
}

fn why_no_server_can_be_reached(_: Major) {
    let down = format!("127.0.0.1:{}", free_port());
    let refused = format!("connect failed: {down}: Connection refused (os error 111)");
    for (host, why, hint) in [
        (&*down, &*refused, "whether the server is up"),
        (
            "/nowhere:5432",
            "connect failed: /nowhere/.s.PGSQL.5432: No such file",
            "whether the server is up",
        ),
        (
            "mistyped.invalid:5432",
            "server DNS lookup failed: mistyped.invalid: ",
            "the host of the database is spelled well",
        ),
    ] {
        let config = Config::new()
            .user("app")
            .database_set("shop", "hosts", [host])
            .set("client_login_timeout", "1s");
        let pooler = Pooler::start(&config);
        let error = Wire::try_connect(&pooler.target("shop"), &[]).expect_err("nobody is there");
        assert_eq!(error.message, "client_login_timeout (server down)");
        let detail = format!("The last attempt to connect failed: {why}");
        assert!(error.detail.starts_with(&detail), "{error:?}");
        assert!(error.hint.contains(hint), "{error:?}");
        // The same from an ini says what PgBouncer says, and nothing more.
        pooler.ask("SET error_style = pgbouncer");
        let error = Wire::try_connect(&pooler.target("shop"), &[]).expect_err("nobody is there");
        let said = (&*error.sqlstate, &*error.message, &*error.detail);
        assert_eq!(said, ("08P01", "client_login_timeout (server down)", ""));
        // Not a line for each client, but for each attempt, and those grow rare.
        let lines = pooler.log().matches("server login failed: ").count();
        assert!((1..=6).contains(&lines), "{lines}");
    }
}

fn sockets_without_files(major: Major) {
    let cluster = Cluster::shared(major);
    let database = cluster.database();
    // Names of the abstract namespace are the machine's.
    let name = format!("@pgweir-test-{}-{}", std::process::id(), free_port());
    let config = Config::of(cluster, &database).set("unix_socket_dir", name.as_str());
    let near = Pooler::start(&config);
    let target = Target {
        host: name.clone(),
        ..near.target(&database)
    };
    assert_eq!(target.sql("SELECT current_user"), "app");

    // A pooler may be another's server.
    let host = format!("{name}:{}", near.port());
    let far = Config::of(cluster, &database).database_set(&database, "hosts", [&*host]);
    let far = Pooler::start(&far);
    assert_eq!(far.target(&database).sql("SELECT current_user"), "app");

    // It is somebody's as long as somebody listens, and not a moment longer.
    let room = Room::new("second");
    let file = room.join("pgweir.toml");
    let text = config.clone().set("listen_addr", "").text(near.port());
    fs::write(&file, &text).expect("ours");
    let second = Outcome::of(Command::new(Pooler::program()).arg(&file), "");
    second.check_failure(&format!(
        "unix socket is in use, cannot continue: {name}/.s.PGSQL.{}",
        near.port()
    ));
    let port = near.port();
    drop(near);
    let again = Room::new("again");
    let file = again.join("pgweir.toml");
    fs::write(&file, config.text(port)).expect("ours");
    let starting = Pooler::starting(&again, "pgweir.toml").arg(file);
    let again = Pooler::start_as(starting, again, port);
    assert_eq!(target.sql("SELECT 1"), "1");
    drop(again);
}
