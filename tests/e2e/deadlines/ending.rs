//! Everything waits at once: the console answers meanwhile, and the process can end.

use std::fs;
use std::net::TcpStream;
use std::os::unix::fs::OpenOptionsExt;
use std::time::Duration;

use nix::fcntl::OFlag;
use nix::sys::signal::Signal;
use nix::sys::stat::Mode;
use pgweir_tests::{
    Cluster, Gate, Major, Pooler, Room, Scene, Starting, Target, Wire, cases, eventually, free_port,
};
use pgweir_wire::encode;
use pgweir_wire::startup::PROTOCOL_3_0;

use super::gated;

cases! {
    x2_the_console_answers_while_everything_waits;
    x3_the_process_ends_while_everything_waits;
    x3_an_operator_who_leaves;
}

/// One peer for each kind of wait, and none of them goes on by itself soon.
struct Waits {
    scene: Scene,
    /// The database `silent`, whose server never says a word.
    silent: Gate,
    /// The other database's.
    gate: Gate,
    /// The clients, and their connections that wait for an end.
    wires: Vec<Wire>,
}

fn silent(pooler: &Pooler) -> Target {
    pooler.target("silent")
}

fn everything_waits(major: Major) -> Waits {
    let cluster = Cluster::shared(major);
    let silent_gate = Gate::before(cluster);
    silent_gate.limit(0);
    let (gate, scene) = gated(cluster, |config| {
        config
            .database_set("silent", "hosts", [silent_gate.host().as_str()])
            .set("workers", 2)
            .set("default_pool_size", 4)
            .set("shutdown_timeout", "500ms")
    });
    let target = scene.target();
    let mut wires = Vec::new();
    // Queries with an answer that nobody reads, that takes long, and a transaction.
    let [mut lazy, mut slow, mut idle, mut gone] = [(); 4].map(|()| Wire::connect(&target));
    lazy.write(|out| {
        encode::query(
            b"SELECT repeat('x', 1000000) FROM generate_series(1, 300)",
            out,
        )
    });
    slow.write(|out| encode::query(b"SELECT pg_sleep(300)", out));
    idle.sql("BEGIN");
    gone.sql("BEGIN");
    eventually("both queries run", || {
        let sql = "SELECT count(*) FROM pg_stat_activity WHERE datname = current_database() AND state = 'active'
                   AND (query LIKE '%pg_sleep(300)' OR query LIKE '%generate_series(1, 300)') AND pid <> pg_backend_pid()";
        (scene.admin(sql) == "2").then_some(())
    });
    // From here on servers are silent: a client has gone and its query does not end, a cancel
    // request gets no answer, others wait for a connection.
    gate.hush();
    gate.limit(0);
    gone.write(|out| encode::query(b"SELECT 1", out));
    drop(gone);
    let mut cancel = Wire::open(&target);
    cancel.write(|out| encode::cancel_request(slow.identity.pid, &slow.identity.key, out));
    let mut queued = Wire::connect(&target);
    queued.write(|out| encode::query(b"SELECT 1", out));
    // Logins of clients and of servers.
    let mut half = Wire::open(&target);
    half.send(b"\0\0\0\x20\0\x03");
    let mut asked = Wire::open(&target);
    asked.startup(&target, PROTOCOL_3_0, &[]);
    assert_eq!(asked.frame().tag, b'R');
    let first = proven(&silent(scene.pooler()), &[]);
    let replication = proven(
        &silent(scene.pooler()).user("walker"),
        &[("replication", "database")],
    );
    // Operators.
    let mut pause = Wire::connect(&scene.pooler().console());
    pause.write(|out| encode::query(format!("PAUSE {}", scene.database).as_bytes(), out));
    let mut deaf = Wire::connect(&scene.pooler().console());
    let mut questions = Vec::new();
    for _ in 0..3000 {
        encode::query(b"SHOW CONFIG", &mut questions);
    }
    deaf.send(&questions);
    wires.extend([
        lazy,
        slow,
        idle,
        cancel,
        queued,
        half,
        asked,
        first,
        replication,
    ]);
    wires.extend([pause, deaf, Wire::open(&target)]);
    Waits {
        scene,
        silent: silent_gate,
        gate,
        wires,
    }
}

/// A client that has proved who it is and waits for its server.
fn proven(target: &Target, parameters: &[(&str, &str)]) -> Wire {
    let mut wire = Wire::open(target);
    wire.startup(target, PROTOCOL_3_0, parameters);
    wire.prove(target);
    wire
}

fn x2_the_console_answers_while_everything_waits(major: Major) {
    let waits = everything_waits(major);
    let pooler = waits.scene.pooler();
    let under_way = |database: &str, column: &str| {
        let rows = pooler.rows("SHOW POOLS");
        let of_it = rows.iter().filter(|row| row.text("database") == database);
        of_it.map(|row| row.number(column)).sum::<i64>()
    };
    let database = &waits.scene.database;
    eventually("all of it is under way", || {
        (under_way(database, "sv_active") == 3
            && under_way(database, "sv_being_canceled") == 1
            && under_way(database, "cl_waiting") == 1
            && under_way("silent", "sv_login") + under_way("silent", "sv_active") == 2)
            .then_some(())
    });
    for what in [
        "ACTIVE_SOCKETS",
        "CLIENTS",
        "CONFIG",
        "DATABASES",
        "LISTS",
        "MEM",
        "POOLS",
        "SERVERS",
        "SOCKETS",
        "STATE",
        "STATS",
        "STATS_AVERAGES",
        "STATS_TOTALS",
        "TOTALS",
        "USERS",
        "VERSION",
    ] {
        // Two connections lie on two workers.
        let mut wires = [(); 2].map(|()| Wire::connect(&pooler.console()));
        for wire in &mut wires {
            wire.sql(&format!("SHOW {what}"));
        }
    }
    pooler.ask("RELOAD");
}

fn x3_the_process_ends_while_everything_waits(major: Major) {
    let mut waits = everything_waits(major);
    let pooler = waits.scene.pooler.as_mut().expect("there is one");
    assert!(waits.gate.connections() > 3 && waits.silent.connections() > 0);
    pooler.signal(Signal::SIGTERM);
    // The last thing it does is to wait for its threads.
    let status = pooler.wait(Duration::from_secs(10));
    assert!(status.success(), "{status}");
    assert!(!pooler.log().contains("panicked"));
    for wire in &mut waits.wires {
        wire.rest();
    }
    eventually("no connection to a server is left", || {
        (waits.gate.connections() + waits.silent.connections() == 0).then_some(())
    });
}

fn x3_an_operator_who_leaves(major: Major) {
    let (_gate, scene) = gated(Cluster::shared(major), |config| config);
    let mut busy = Wire::connect(&scene.target());
    busy.sql("BEGIN");
    let mut pause = Wire::connect(&scene.pooler().console());
    pause.write(|out| encode::query(format!("PAUSE {}", scene.database).as_bytes(), out));
    let operators = || {
        let rows = scene.pooler().rows("SHOW CLIENTS");
        rows.iter().filter(|row| row.text("user") == "ops").count()
    };
    eventually("the command waits", || {
        scene.pooler().log().contains("PAUSE").then_some(())
    });
    assert_eq!(operators(), 2);
    drop(pause);
    eventually("nobody waits for the answer any more", || {
        (operators() == 1).then_some(())
    });
    assert_eq!(busy.sql("SELECT 1"), ["1"]);
}

/// A lookup that never ends: the resolver reads a pipe that nobody writes to.
#[test]
fn x3_a_name_that_is_being_looked_up() {
    let room = Room::new("resolver");
    let (file, pipe) = (room.join("pgweir.toml"), room.join("aliases"));
    nix::unistd::mkfifo(&pipe, Mode::S_IRWXU).expect("the room is ours");
    let port = free_port();
    let text = format!(
        "[pgweir]\nlisten_port = {port}\nlisten_addr = [\"127.0.0.1\"]\nunix_socket_dir = \"\"\n\
         [databases.shop]\nhosts = [\"unknown\"]\n[users.app]\npassword = \"app-secret\"\n"
    );
    fs::write(&file, text).expect("the room is ours");
    let mut process = Starting::new(Pooler::program(), "KILL", &room.join("log"))
        .env("HOSTALIASES", &pipe)
        .arg(&file)
        .start();
    eventually("it accepts", || {
        TcpStream::connect(("127.0.0.1", port)).ok()
    });
    let _client = proven(&Target::new(port, "shop", "app"), &[]);
    let _pipe = eventually("the name is being looked up", || {
        let mut options = fs::File::options();
        options.write(true).custom_flags(OFlag::O_NONBLOCK.bits());
        options.open(&pipe).ok()
    });
    process.signal(Signal::SIGQUIT);
    let status = process.wait(Duration::from_secs(5));
    assert!(status.success(), "{status}");
}
