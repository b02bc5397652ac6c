//! Lines of the log, as PgBouncer's users and their tools know them.

use std::fs;
use std::os::unix::fs::MetadataExt;

use nix::sys::signal::Signal;
use pgweir_tests::{
    Cluster, Config, Major, Pooler, Room, Scene, Starting, Way, Wire, cases, eventually, free_port,
};

cases! {
    pgbouncers_lines;
    the_switches;
    pausing_twice;
    for_the_journal;
    too_few_open_files;
}

fn ini(cluster: &Cluster, database: &str, room: &Room, port: u16, more: &str) -> String {
    let users = room.join("userlist.txt");
    fs::write(&users, "\"app\" \"app-secret\"\n\"ops\" \"ops-secret\"\n").expect("ours");
    format!(
        "[databases]\n{database} = host=127.0.0.1 port={} pool_size=2\ngone = host=127.0.0.1 port={} dbname=nosuch\n[pgbouncer]\n\
         listen_addr = 127.0.0.1\nlisten_port = {port}\nunix_socket_dir = {}\n\
         auth_type = scram-sha-256\nauth_file = {}\nadmin_users = ops\n{more}",
        cluster.port(),
        cluster.port(),
        room.path().display(),
        users.display(),
    )
}

/// What a line says, if it is one: `2026-11-22 23:29:03.123 UTC [pid] LEVEL text`.
fn said<'a>(line: &'a str, pid: &str) -> Option<(&'a str, &'a str)> {
    let (time, rest) = line.split_at_checked(23)?;
    let shape: String = time
        .chars()
        .map(|c| if c.is_ascii_digit() { '0' } else { c })
        .collect();
    let rest = rest.strip_prefix(" UTC [")?.strip_prefix(pid)?;
    let (level, text) = rest.strip_prefix("] ")?.split_once(' ')?;
    (shape == "0000-00-00 00:00:00.000").then_some((level, text))
}

/// A text in which what differs from run to run is a `#`: addresses of connections, ports, ages.
fn masked(text: &str) -> String {
    let digits = |text: &str| {
        text.trim_start_matches(|c: char| c.is_ascii_hexdigit())
            .len()
    };
    let mut masked = String::new();
    let mut rest = text;
    while let Some(at) = ["0x", "127.0.0.1:", "age=", "unix("]
        .iter()
        .filter_map(|mark| Some(rest.find(mark)? + mark.len()))
        .min()
    {
        masked += &rest[..at];
        masked.push('#');
        rest = &rest[rest.len() - digits(&rest[at..])..];
    }
    masked + rest
}

fn pgbouncers_lines(major: Major) {
    let cluster = Cluster::shared(major);
    let database = cluster.database();
    let mut pooler = Pooler::start_with_file("pgbouncer.ini", |room, port| {
        ini(cluster, &database, room, port, "stats_period = 1\n")
    });
    let target = pooler.target(&database);
    let mut wire = Wire::connect(&target);
    assert_eq!(wire.sql("SELECT 1"), ["1"]);
    target
        .password("wrong")
        .psql("SELECT 1")
        .check_failure("FATAL");
    let refused = target.database("gone").psql("SELECT 1");
    refused.check_failure("does not exist");
    let unix = target.host(pooler.room().path());
    assert_eq!(unix.sql("SELECT 1"), "1");
    pooler.ask("RELOAD");
    pooler.signal(Signal::SIGHUP);
    pooler.logs("stats: ");
    pooler.logs("got SIGHUP, re-reading config");
    drop(wire);
    pooler.logs("closing because: client unexpected eof");
    pooler.signal(Signal::SIGTERM);
    assert!(pooler.wait(std::time::Duration::from_secs(10)).success());

    let pid = pooler.process().id().to_string();
    let log = pooler.log();
    let lines: Vec<(&str, String)> = log
        .lines()
        .map(|line| said(line, &pid).unwrap_or_else(|| panic!("{line:?}")))
        .map(|(level, text)| (level, masked(text)))
        .collect();
    let has = |level: &str, text: &str| {
        let found = lines
            .iter()
            .any(|line| line.0 == level && line.1.starts_with(text));
        assert!(found, "{level} {text}\n{log}");
    };
    let client = format!("C-0x#: {database}/app@127.0.0.1:#");
    has("LOG", "kernel file descriptor limit: ");
    has("LOG", "listening on 127.0.0.1:#");
    has("LOG", "listening on unix:/");
    has("LOG", "process up: pgweir ");
    has(
        "LOG",
        &format!("{client} login attempt: db={database} user=app tls=no replication=no"),
    );
    has(
        "LOG",
        &format!("S-0x#: {database}/app@127.0.0.1:# new connection to server (from 127.0.0.1:#)"),
    );
    has(
        "WARNING",
        "S-0x#: gone/app@127.0.0.1:# server login failed: FATAL database \"nosuch\" does not exist",
    );
    let unix = format!(
        "C-0x#: {database}/app@unix(#):{} login attempt: ",
        target.port
    );
    has("LOG", &unix);
    has(
        "WARNING",
        &format!("{client} pooler error: SASL authentication failed"),
    );
    has(
        "LOG",
        &format!("{client} closing because: client unexpected eof (age=#s)"),
    );
    has("LOG", "C-0x#: pgweir/ops@127.0.0.1:# RELOAD command issued");
    has("LOG", "got SIGHUP, re-reading config");
    has("LOG", "stats: ");
    has(
        "LOG",
        "got SIGTERM, shutting down, waiting for all clients disconnect",
    );
    has("LOG", "client connections dropped, exiting");
}

fn the_switches(major: Major) {
    let cluster = Cluster::shared(major);
    let database = cluster.database();
    for (switch, text) in [
        ("log_connections", "login attempt: "),
        ("log_connections", "new connection to server"),
        ("log_disconnections", "closing because: "),
        ("log_pooler_errors", "pooler error: "),
    ] {
        for on in [true, false] {
            let more = format!("{switch} = {}\n", u8::from(on));
            let pooler = Pooler::start_with_file("pgbouncer.ini", |room, port| {
                ini(cluster, &database, room, port, &more)
            });
            let target = pooler.target(&database);
            target
                .password("wrong")
                .psql("SELECT 1")
                .check_failure("FATAL");
            assert_eq!(target.sql("SELECT 1"), "1");
            // What came before has been logged by the time this is.
            pooler.ask("RELOAD");
            pooler.logs("RELOAD command issued");
            assert_eq!(pooler.log().contains(text), on, "{switch} {text}");
        }
    }
}

fn pausing_twice(major: Major) {
    let mut scene = Scene::new(major, Way::Transaction);
    let wire = Wire::connect(&scene.target());
    for (signal, text) in [
        (Signal::SIGUSR2, "got SIGUSR2, but not paused/suspended"),
        (Signal::SIGUSR1, "got SIGUSR1, pausing all activity"),
        (Signal::SIGUSR1, "got SIGUSR1, but already paused/suspended"),
        (Signal::SIGUSR2, "got SIGUSR2, continuing from PAUSE"),
        (Signal::SIGTERM, "got SIGTERM, shutting down"),
        (Signal::SIGUSR2, "got SIGUSR2 while shutting down, ignoring"),
        (
            Signal::SIGTERM,
            "got SIGTERM while shutting down, fast exit",
        ),
    ] {
        scene.pooler().signal(signal);
        scene.pooler().logs(text);
    }
    let status = scene
        .pooler
        .as_mut()
        .unwrap()
        .wait(std::time::Duration::from_secs(10));
    assert!(status.success(), "{status}");
    drop(wire);
}

fn for_the_journal(major: Major) {
    let cluster = Cluster::shared(major);
    let (room, port) = (Room::new("journal"), free_port());
    let (file, log) = (room.join("pgweir.toml"), room.join("log"));
    fs::write(&file, Config::of(cluster, &cluster.database()).text(port)).unwrap();
    fs::write(&log, "").unwrap();
    let found = fs::metadata(&log).unwrap();
    let stream = format!("{}:{}", found.dev(), found.ino());
    let starting = Starting::new(Pooler::program(), "KILL", &log);
    let pooler = Pooler::start_as(
        starting.env("JOURNAL_STREAM", stream).arg(&file),
        room,
        port,
    );
    pooler.logs("process up");
    assert!(
        pooler
            .log()
            .lines()
            .all(|line| line.starts_with("<6>") || line.starts_with("<4>"))
    );
}

fn too_few_open_files(major: Major) {
    let cluster = Cluster::shared(major);
    let database = cluster.database();
    let (room, port) = (Room::new("files"), free_port());
    let file = room.join("pgweir.toml");
    fs::write(&file, Config::of(cluster, &database).text(port)).unwrap();
    let starting = Starting::new("prlimit", "KILL", &room.join("log"))
        .arg("--nofile=48")
        .arg(Pooler::program())
        .arg(&file);
    let pooler = Pooler::start_as(starting, room, port);
    pooler.logs("48 open files are not enough for 5000 clients");
    let crowd: Vec<_> = (0..64)
        .map(|_| std::net::TcpStream::connect(("127.0.0.1", port)).unwrap())
        .collect();
    pooler.logs("accept() failed: ");
    drop(crowd);
    // It goes on when there is room again, and has not said more than it had to.
    eventually("somebody is let in", || {
        pooler
            .target(&database)
            .psql("SELECT 1")
            .success
            .then_some(())
    });
    assert!(pooler.log().matches("accept() failed").count() < 10);
}
