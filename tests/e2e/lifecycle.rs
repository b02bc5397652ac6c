//! Starting, signals, the command line.

use std::fs;
use std::process::Command;
use std::thread;
use std::time::Duration;

use nix::sys::signal::Signal;
use pgweir_tests::{
    Cluster, Config, Major, Outcome, Pooler, Room, Scene, Way, Wire, cases, eventually,
};
use pgweir_wire::encode;

cases! {
    sighup_reloads: transaction;
    a_database_that_moves_takes_its_clients_along;
    a_login_that_waits_moves_too;
    a_user_that_is_forced_later;
    sigterm_waits_for_clients;
    sigint_waits_for_servers;
    a_second_signal_ends_it;
    sigquit_ends_it;
    sigusr1_and_sigusr2_pause_and_resume: transaction;
    a_limit_for_the_shutdown;
    a_logfile_that_is_moved_away;
    a_pidfile;
    shutdown;
    shutdown_that_waits_for_servers;
    shutdown_that_waits_for_clients;
}

fn ended(scene: &mut Scene) {
    let status = scene
        .pooler
        .as_mut()
        .expect("there is one")
        .wait(Duration::from_secs(10));
    assert!(status.success(), "{status}");
}

fn sighup_reloads(scene: &Scene) {
    let mut wire = Wire::connect(&scene.target());
    scene
        .pooler()
        .write(&Config::of(scene.cluster, &scene.database).set("default_pool_size", 9));
    scene.pooler().signal(Signal::SIGHUP);
    scene.pooler().logs("RELOAD");
    assert_eq!(wire.sql("SELECT 1"), ["1"]);
    let rows = scene.pooler().rows("SHOW CONFIG");
    let row = rows
        .iter()
        .find(|row| row.text("key") == "default_pool_size")
        .unwrap();
    assert_eq!(row.text("value"), "9");
}

fn other(major: Major) -> Major {
    match major {
        Major::System => Major::Eighteen,
        Major::Eighteen => Major::System,
    }
}

/// The pools of a database, as (user, idle server connections).
fn pools(scene: &Scene) -> Vec<(String, i64)> {
    let rows = scene.pooler().rows("SHOW POOLS");
    rows.iter()
        .filter(|row| row.text("database") == scene.database)
        .map(|row| (row.text("user").to_owned(), row.number("sv_idle")))
        .collect()
}

fn a_database_that_moves_takes_its_clients_along(major: Major) {
    let keep = |config: Config| config.set("min_pool_size", 2);
    let scene = Scene::with(major, Way::Transaction, keep);
    let mut idle = Wire::connect(&scene.target());
    let mut busy = Wire::connect(&scene.target());
    assert_eq!(idle.sql("SELECT current_database()"), [&*scene.database]);
    busy.sql("BEGIN");
    let there = Cluster::shared(other(major));
    let database = there.database();
    let host = format!("127.0.0.1:{}", there.port());
    let config = keep(Config::of(scene.cluster, &scene.database))
        .set("pool_mode", "transaction")
        .set("default_pool_size", 4)
        .database_set(&scene.database, "hosts", [host.as_str()])
        .database_set(&scene.database, "dbname", database.as_str());
    scene.pooler().write(&config);
    scene.pooler().signal(Signal::SIGHUP);
    scene.pooler().logs("RELOAD");
    // A transaction ends where it began.
    assert_eq!(busy.sql("SELECT current_database()"), [&*scene.database]);
    busy.sql("COMMIT");
    for wire in [&mut idle, &mut busy] {
        assert_eq!(wire.sql("SELECT current_database()"), [&*database]);
    }
    eventually("one pool, with its minimum", || {
        (pools(&scene) == [("app".to_owned(), 2)]).then_some(())
    });
    let left = format!(
        "SELECT count(*) FROM pg_stat_activity WHERE datname = '{}' AND usename = 'app'",
        scene.database
    );
    eventually("nothing is left at the old place", || {
        (scene.cluster.admin("postgres", &left) == "0").then_some(())
    });
}

fn a_login_that_waits_moves_too(major: Major) {
    let scene = Scene::with(major, Way::Transaction, |config| {
        config.set("default_pool_size", 1)
    });
    let mut busy = Wire::connect(&scene.target());
    busy.sql("BEGIN");
    // What the server reports is forgotten: who logs in now needs a connection first.
    scene.pooler().ask("RECONNECT");
    thread::scope(|scope| {
        let late = scope.spawn(|| scene.target().sql("SELECT current_database()"));
        eventually("it waits", || {
            (scene.pooler().pool(&scene.database).number("cl_waiting") == 1).then_some(())
        });
        let there = Cluster::shared(other(major));
        let database = there.database();
        let host = format!("127.0.0.1:{}", there.port());
        let config = Config::of(scene.cluster, &scene.database)
            .set("pool_mode", "transaction")
            .set("default_pool_size", 1)
            .database_set(&scene.database, "hosts", [host.as_str()])
            .database_set(&scene.database, "dbname", database.as_str());
        scene.pooler().write(&config);
        scene.pooler().signal(Signal::SIGHUP);
        assert_eq!(late.join().unwrap(), database);
    });
    busy.sql("COMMIT");
}

fn a_user_that_is_forced_later(major: Major) {
    let scene = Scene::new(major, Way::Transaction);
    let mut wire = Wire::connect(&scene.target());
    assert_eq!(wire.sql("SELECT current_user"), ["app"]);
    let config = Config::of(scene.cluster, &scene.database)
        .set("pool_mode", "transaction")
        .set("default_pool_size", 4);
    let forced = config
        .clone()
        .database_set(&scene.database, "user", "other")
        .database_set(&scene.database, "password", "other-secret");
    for (config, user) in [(forced, "other"), (config, "app")] {
        scene.pooler().write(&config);
        scene.pooler().signal(Signal::SIGHUP);
        eventually("the client's statements run as that user", || {
            (wire.sql("SELECT current_user") == [user]).then_some(())
        });
        assert_eq!(pools(&scene), [(user.to_owned(), 1)]);
    }
}

fn sigterm_waits_for_clients(major: Major) {
    let mut scene = Scene::new(major, Way::Transaction);
    let mut wire = Wire::connect(&scene.target());
    scene.pooler().signal(Signal::SIGTERM);
    scene
        .pooler()
        .logs("got SIGTERM, shutting down, waiting for all clients disconnect");
    assert_eq!(wire.sql("SELECT 1"), ["1"]);
    drop(wire);
    ended(&mut scene);
}

fn sigint_waits_for_servers(major: Major) {
    let mut scene = Scene::new(major, Way::Transaction);
    let mut wire = Wire::connect(&scene.target());
    wire.sql("BEGIN");
    scene.pooler().signal(Signal::SIGINT);
    scene
        .pooler()
        .logs("got SIGINT, shutting down, waiting for all servers connections to be released");
    assert_eq!(wire.sql("SELECT 1"), ["1"]);
    wire.write(|out| encode::query(b"COMMIT", out));
    let said = wire.rest();
    assert!(said.windows(6).any(|bytes| bytes == b"COMMIT"), "{said:?}");
    ended(&mut scene);
}

fn a_second_signal_ends_it(major: Major) {
    for signal in [Signal::SIGTERM, Signal::SIGINT] {
        let mut scene = Scene::new(major, Way::Transaction);
        let mut wire = Wire::connect(&scene.target());
        wire.sql("BEGIN");
        scene.pooler().signal(signal);
        scene.pooler().logs("shutting down");
        assert!(!scene.pooler.as_mut().unwrap().ended());
        scene.pooler().signal(signal);
        ended(&mut scene);
        wire.rest();
    }
}

fn sigquit_ends_it(major: Major) {
    let mut scene = Scene::new(major, Way::Transaction);
    let mut wire = Wire::connect(&scene.target());
    wire.sql("BEGIN");
    scene.pooler().signal(Signal::SIGQUIT);
    ended(&mut scene);
    wire.rest();
}

fn sigusr1_and_sigusr2_pause_and_resume(scene: &Scene) {
    let mut wire = Wire::connect(&scene.target());
    scene.pooler().signal(Signal::SIGUSR1);
    scene.pooler().logs("pausing all activity");
    wire.write(|out| encode::query(b"SELECT 'at last'", out));
    wire.silent();
    scene.pooler().signal(Signal::SIGUSR2);
    assert_eq!(wire.until_ready()[1].row(), ["at last"]);
}

fn a_logfile_that_is_moved_away(major: Major) {
    let room = Room::new("logfile");
    let (log, moved) = (room.join("pgweir.log"), room.join("pgweir.log.1"));
    let scene = Scene::with(major, Way::Transaction, |config| {
        config.set("logfile", log.clone())
    });
    let text = |path| fs::read_to_string(path).unwrap_or_default();
    // It says so after the ports are open.
    eventually("the log has begun", || {
        text(&log).contains("process up").then_some(())
    });
    fs::rename(&log, &moved).unwrap();
    scene.pooler().signal(Signal::SIGHUP);
    eventually("the log goes on in a new file", || {
        text(&log).contains("RELOAD").then_some(())
    });
    // Also when the configuration is broken.
    fs::rename(&log, &moved).unwrap();
    scene.pooler().write_text("nonsense");
    scene.pooler().signal(Signal::SIGHUP);
    eventually("and in another one", || {
        text(&log).contains("RELOAD failed").then_some(())
    });
}

fn a_pidfile(major: Major) {
    let room = Room::new("pidfile");
    let file = room.join("pgweir.pid");
    let mut scene = Scene::with(major, Way::Transaction, |config| {
        config.set("pidfile", file.clone())
    });
    let text = fs::read_to_string(&file).unwrap();
    let second = room.join("second.toml");
    fs::write(
        &second,
        format!("[pgweir]\nlisten_port = 0\nunix_socket_dir = \"\"\npidfile = {file:?}\n[databases.shop]\nhosts = [\"db\"]\n"),
    )
    .unwrap();
    let outcome = Outcome::of(Command::new(Pooler::program()).arg(&second), "");
    assert!(!outcome.success);
    assert!(
        outcome.stderr.contains("another instance running?"),
        "{}",
        outcome.stderr
    );
    assert_eq!(fs::read_to_string(&file).unwrap(), text, "it is as it was");
    scene.pooler().signal(Signal::SIGTERM);
    ended(&mut scene);
    assert!(!file.exists());
}

fn a_limit_for_the_shutdown(major: Major) {
    let mut scene = Scene::with(major, Way::Transaction, |config| {
        config.set("shutdown_timeout", "500ms")
    });
    let mut wire = Wire::connect(&scene.target());
    wire.sql("BEGIN");
    scene.pooler().signal(Signal::SIGTERM);
    ended(&mut scene);
    wire.rest();
}

fn shutdown(major: Major) {
    let mut scene = Scene::new(major, Way::Transaction);
    let mut wire = Wire::connect(&scene.target());
    wire.sql("BEGIN");
    let mut console = Wire::connect(&scene.pooler().console());
    console.write(|out| encode::query(b"SHUTDOWN", out));
    console.rest();
    wire.rest();
    ended(&mut scene);
}

fn shutdown_that_waits_for_servers(major: Major) {
    let mut scene = Scene::new(major, Way::Transaction);
    let mut busy = Wire::connect(&scene.target());
    let mut idle = Wire::connect(&scene.target());
    busy.sql("BEGIN");
    scene.pooler().ask("SHUTDOWN WAIT_FOR_SERVERS");
    assert_eq!(busy.sql("SELECT 'not yet'"), ["not yet"]);
    assert!(!scene.pooler.as_mut().unwrap().ended());
    // Those without a transaction get no new one.
    let _ = idle.try_send(b"Q\0\0\0\x0dSELECT 1\0");
    assert!(String::from_utf8_lossy(&idle.rest()).contains("server shutting down"));
    busy.write(|out| encode::query(b"COMMIT", out));
    let said = busy.rest();
    assert!(said.windows(6).any(|bytes| bytes == b"COMMIT"), "{said:?}");
    ended(&mut scene);
}

fn shutdown_that_waits_for_clients(major: Major) {
    let mut scene = Scene::new(major, Way::Transaction);
    let mut wire = Wire::connect(&scene.target());
    scene.pooler().ask("SHUTDOWN WAIT_FOR_CLIENTS");
    for _ in 0..3 {
        assert_eq!(wire.sql("SELECT 'not yet'"), ["not yet"]);
    }
    assert!(!scene.pooler.as_mut().unwrap().ended());
    let port = scene.pooler().port();
    eventually("nobody new gets in", || {
        std::net::TcpStream::connect(("127.0.0.1", port)).err()
    });
    drop(wire);
    ended(&mut scene);
}
