//! Replication connections through the pooler.

use std::fs;

use pgweir_tests::{
    Cluster, Config, Major, Options, Outcome, Pooler, Process, Room, Scene, Starting, Way, Wire,
    cases, eventually,
};
use pgweir_wire::encode;

cases! {
    identify_system: direct session transaction;
    streaming: direct session transaction;
    a_logical_subscription;
    a_standby_through_the_pooler;
}

fn identify_system(scene: &Scene) {
    let target = scene.target().user("walker");
    for replication in ["database", "true"] {
        let mut wire = Wire::try_connect(&target, &[("replication", replication)]).unwrap();
        let rows = wire.sql("IDENTIFY_SYSTEM");
        let database = if replication == "database" {
            scene.database.as_str()
        } else {
            "NULL"
        };
        assert!(rows[0].ends_with(&format!("|{database}")), "{rows:?}");
        if replication == "database" {
            assert_eq!(wire.sql("SELECT 6 * 7"), ["42"]);
        }
    }
    // Ordinary connections are not disturbed.
    assert_eq!(scene.target().sql("SELECT 1"), "1");
}

fn streaming(scene: &Scene) {
    let target = scene.target().user("walker");
    let mut wire = Wire::try_connect(&target, &[("replication", "database")]).unwrap();
    let slot = format!("slot_{}", scene.database);
    wire.sql(&format!(
        "CREATE_REPLICATION_SLOT {slot} TEMPORARY LOGICAL pgoutput"
    ));
    scene.admin(
        "CREATE TABLE streamed (a int PRIMARY KEY); CREATE PUBLICATION streamed FOR TABLE streamed",
    );
    let sql = format!(
        "START_REPLICATION SLOT {slot} LOGICAL 0/0 (proto_version '1', publication_names 'streamed')"
    );
    wire.write(|out| encode::query(sql.as_bytes(), out));
    assert_eq!(wire.frame().tag, b'W', "CopyBothResponse");
    scene.admin("INSERT INTO streamed VALUES (42)");
    // XLogData with an Insert in it.
    loop {
        let frame = wire.frame();
        assert_eq!(frame.tag, b'd');
        if frame.body[0] == b'w' && frame.body[25] == b'I' {
            assert!(frame.body.ends_with(b"42"), "{frame:?}");
            break;
        }
    }
    // Both sides may speak, and either may end it.
    wire.send(b"c\0\0\0\x04");
    let frames = wire.until_ready();
    assert!(frames.iter().any(|frame| frame.tag == b'c'), "{frames:?}");
    assert_eq!(wire.sql("SELECT 1"), ["1"]);
    if scene.way != Way::Direct {
        drop(wire);
        let active = "SELECT count(*) FROM pg_stat_activity WHERE usename = 'walker' AND datname = current_database()";
        eventually("the connection is closed, not kept", || {
            (scene.admin(active) == "0").then_some(())
        });
    }
}

fn a_logical_subscription(major: Major) {
    let publisher = Cluster::start(major, &Options::default());
    let subscriber = Cluster::start(major, &Options::default());
    let config = Config::of(&publisher, "postgres").set("default_pool_size", 2);
    let pooler = Pooler::start(&config);
    let table = "CREATE TABLE shared (a int PRIMARY KEY, b text)";
    publisher.admin(
        "postgres",
        &format!("{table}; INSERT INTO shared SELECT i, 'before' FROM generate_series(1, 1000) i"),
    );
    publisher.admin("postgres", "CREATE PUBLICATION shared FOR TABLE shared");
    subscriber.admin("postgres", table);
    let conninfo = pooler
        .target("postgres")
        .user("walker")
        .conninfo()
        .replace('\'', "''");
    subscriber.admin(
        "postgres",
        &format!("CREATE SUBSCRIPTION shared CONNECTION '{conninfo}' PUBLICATION shared"),
    );
    let count = || subscriber.admin("postgres", "SELECT count(*) FROM shared");
    eventually("the table is copied", || (count() == "1000").then_some(()));
    publisher.admin(
        "postgres",
        "INSERT INTO shared SELECT i, 'after' FROM generate_series(1001, 3000) i",
    );
    publisher.admin("postgres", "UPDATE shared SET b = 'changed' WHERE a = 7");
    eventually("the changes come", || {
        let sql = "SELECT count(*), (SELECT b FROM shared WHERE a = 7) FROM shared";
        (subscriber.admin("postgres", sql) == "3000|changed").then_some(())
    });
    // It comes back by itself.
    let walkers = "SELECT count(pg_terminate_backend(pid)) FROM pg_stat_replication";
    publisher.admin("postgres", walkers);
    publisher.admin("postgres", "INSERT INTO shared VALUES (9999, 'again')");
    eventually("the changes come again", || {
        (count() == "3001").then_some(())
    });
    subscriber.admin("postgres", "DROP SUBSCRIPTION shared");
    let slots = publisher.admin("postgres", "SELECT count(*) FROM pg_replication_slots");
    assert_eq!(slots, "0");
}

fn a_standby_through_the_pooler(major: Major) {
    let cluster = Cluster::start(major, &Options::default());
    // Physical replication needs no database: PostgreSQL's own standbys ask for "replication".
    let config = Config::of(&cluster, "replication").set("default_pool_size", 2);
    let pooler = Pooler::start(&config);
    let standby = cluster.standby();
    standby.follow(&pooler.target("replication").user("walker").conninfo());
    let addresses = || {
        cluster.admin("postgres", "SELECT count(*) FROM pg_stat_replication WHERE usename = 'walker' AND state = 'streaming'")
    };
    eventually("the standby streams through the pooler", || {
        (addresses() == "1").then_some(())
    });
    cluster.admin(
        "postgres",
        "CREATE TABLE streamed AS SELECT generate_series(1, 1000) AS a",
    );
    eventually("the standby has it", || {
        let sql = "SELECT count(*) FROM pg_class WHERE relname = 'streamed'";
        (standby.admin("postgres", sql) == "1").then_some(())
    });
    assert_eq!(
        standby.admin(
            "postgres",
            "SELECT count(*), pg_is_in_recovery() FROM streamed"
        ),
        "1000|t"
    );
}

/// With the system's programs, which speak with servers of their own version or older.
#[test]
fn pg_basebackup() {
    // A server of its own: the shared one is large by now, and others change its files.
    let cluster = Cluster::start(Major::System, &Options::default());
    let pooler = Pooler::start(&Config::of(&cluster, "postgres"));
    cluster.admin(
        "postgres",
        "CREATE TABLE kept AS SELECT generate_series(1, 1000) AS a",
    );
    let target = pooler.target("postgres").user("walker");
    let room = Room::new("backup");
    for method in ["fetch", "stream", "none"] {
        let directory = room.join(method);
        let mut program = target.program("pg_basebackup");
        program.args(["--checkpoint=fast", "--wal-method", method, "--dbname"]);
        program.arg(target.conninfo()).arg("-D").arg(&directory);
        Outcome::of(&mut program, "").check(method);
        assert!(
            directory.join("PG_VERSION").exists() && directory.join("backup_manifest").exists()
        );
        let mut verify = target.program("pg_verifybackup");
        verify.arg("--no-parse-wal").arg(&directory);
        Outcome::of(&mut verify, "").check(method);
    }
}

#[test]
fn pg_receivewal() {
    let scene = Scene::new(Major::System, Way::Transaction);
    let room = Room::new("wal");
    let directory = room.join("wal");
    fs::create_dir(&directory).unwrap();
    let program = Major::System.programs().join("pg_receivewal");
    let mut receiver: Process = Starting::new(program, "KILL", &room.join("log"))
        .args([
            "--no-loop",
            "--dbname",
            &scene.target().user("walker").conninfo(),
            "-D",
        ])
        .arg(&directory)
        .start();
    eventually("it streams", || {
        let sql =
            "SELECT count(*) FROM pg_stat_replication WHERE application_name = 'pg_receivewal'";
        assert!(receiver.ended().is_none(), "{}", receiver.log());
        (scene.admin(sql) == "1").then_some(())
    });
    scene.admin(
        "CREATE TABLE written AS SELECT generate_series(1, 10000) AS a; SELECT pg_switch_wal()",
    );
    eventually("a whole segment is there", || {
        fs::read_dir(&directory)
            .unwrap()
            .flatten()
            .any(|file| file.path().extension().is_none())
            .then_some(())
    });
    receiver.signal(nix::sys::signal::Signal::SIGINT);
    assert!(receiver.wait(std::time::Duration::from_secs(10)).success());
}
