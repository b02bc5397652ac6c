//! Several processes that pass cancel requests on to each other.

use std::collections::BTreeMap;
use std::fmt::Write;
use std::fs;
use std::net::TcpListener;
use std::thread;

use nix::sys::signal::Signal;
use pgweir_tests::{
    Cluster, Config, Identity, Major, Pooler, Room, Starting, Target, Wire, cases, eventually,
    free_port,
};
use pgweir_wire::encode;
use pgweir_wire::startup::PROTOCOL_3_2;

cases! {
    a_cancel_that_comes_to_the_wrong_process;
    long_keys_find_home_too;
    on_one_port;
    a_request_that_nobody_wants_is_passed_on_three_times;
    a_peer_that_hangs;
    a_peer_that_is_down_or_unknown;
    a_reload_changes_the_peers;
    clients_keep_the_keys_that_they_were_given;
}

/// `[peers]`, by their number.
type Peers<'a> = BTreeMap<u16, (&'a str, u16)>;

fn sections(peers: &Peers<'_>) -> String {
    let mut text = String::new();
    for (id, (host, port)) in peers {
        let _ = writeln!(text, "\n[peers.{id}]\nhost = {host:?}\nport = {port}");
    }
    text
}

/// A process with these peers, on this port of its own.
fn start(config: &Config, port: u16, peers: &Peers<'_>) -> Pooler {
    let room = Room::new("peers");
    let file = room.join("pgweir.toml");
    fs::write(&file, config.text(port) + &sections(peers)).expect("ours");
    let starting = Starting::new(Pooler::program(), "KILL", &room.join("log"));
    Pooler::start_as(starting.arg(&file), room, port)
}

/// As many processes as ports, whose numbers begin with 300: both bytes of it count.
fn fleet<const N: usize>(config: &Config) -> [Pooler; N] {
    let ports = [(); N].map(|()| free_port());
    let peers = ports.iter().zip(300..);
    let peers: Peers<'_> = peers.map(|(port, id)| (id, ("127.0.0.1", *port))).collect();
    let mut number = 299;
    ports.map(|port| {
        number += 1;
        start(&config.clone().set("peer_id", number), port, &peers)
    })
}

/// A client that sleeps for long.
fn sleeper(target: &Target) -> Wire {
    let mut wire = Wire::connect(target);
    sleep(&mut wire);
    wire
}

fn sleep(wire: &mut Wire) {
    wire.write(|out| encode::query(b"SELECT 'asleep', pg_sleep(30)", out));
}

/// Waits until as many queries run.
fn asleep(cluster: &Cluster, database: &str, count: &str) {
    eventually("the queries run", || {
        let sql = format!(
            "SELECT count(*) FROM pg_stat_activity WHERE datname = '{database}' AND query LIKE '%asleep%' \
             AND state = 'active' AND pid <> pg_backend_pid()"
        );
        (cluster.admin(database, &sql) == count).then_some(())
    });
}

/// A cancel key.
fn identity(pid: [u8; 4], key: &[u8]) -> Identity {
    Identity {
        pid: u32::from_be_bytes(pid),
        key: key.to_vec(),
        ..Identity::default()
    }
}

fn is_cancelled(wire: &mut Wire) {
    let frames = wire.until_ready();
    let error = frames.iter().find(|frame| frame.tag == b'E');
    assert_eq!(error.expect("it was cancelled").error().sqlstate, "57014");
}

fn a_cancel_that_comes_to_the_wrong_process(major: Major) {
    let cluster = Cluster::shared(major);
    let database = cluster.database();
    let [one, two, three] = fleet(&Config::of(cluster, &database).set("workers", 2));
    let mut clients: Vec<Wire> = [&one, &one, &two, &three]
        .map(|pooler| sleeper(&pooler.target(&database)))
        .into();
    asleep(cluster, &database, "4");
    // Wherever it is asked, it is the one whose key it is, and nobody else.
    for at in [&three, &one, &two, &one] {
        let mut meant = clients.remove(0);
        meant.cancel(&at.target(&database));
        is_cancelled(&mut meant);
        assert_eq!(meant.sql("SELECT 1"), ["1"]);
        asleep(cluster, &database, &clients.len().to_string());
        for other in &mut clients {
            other.silent();
        }
    }
    let pools = three.ask("SHOW PEER_POOLS");
    assert_eq!(pools, "300|0|0|0|0");
    assert_eq!(three.ask("SHOW LISTS").lines().nth(4), Some("peer_pools|1"));
}

fn long_keys_find_home_too(major: Major) {
    let cluster = Cluster::shared(major);
    let database = cluster.database();
    let [one, two] = fleet(&Config::of(cluster, &database));
    let target = one.target(&database);
    let mut wire = Wire::open(&target);
    wire.startup(&target, PROTOCOL_3_2, &[]);
    wire.login(&target).expect("the login is right");
    assert_eq!(wire.identity.key.len(), 32);
    sleep(&mut wire);
    asleep(cluster, &database, "1");
    // Each of these bytes counts, apart from the two bits that count the hops.
    for wrong in [0, 31] {
        let mut identity = wire.identity.clone();
        identity.key[wrong] ^= 1;
        identity.cancel(&two.target(&database));
    }
    wire.silent();
    wire.cancel(&two.target(&database));
    is_cancelled(&mut wire);
}

fn on_one_port(major: Major) {
    let cluster = Cluster::shared(major);
    let database = cluster.database();
    let rooms = [Room::new("peer"), Room::new("peer")];
    let dirs = rooms
        .each_ref()
        .map(|room| room.path().display().to_string());
    let port = free_port();
    let peers: Peers<'_> = (1..)
        .zip(&dirs)
        .map(|(id, dir)| (id, (dir.as_str(), port)))
        .collect();
    let config = Config::of(cluster, &database).set("so_reuseport", true);
    let own = |number: usize| {
        let config = config.clone().set("peer_id", number as i32 + 1);
        config.set("unix_socket_dir", dirs[number].as_str())
    };
    let poolers = [0, 1].map(|number| start(&own(number), port, &peers));
    let target = poolers[0].target(&database);
    // The kernel gives each connection to one of the two, and every second to the wrong one.
    for _ in 0..12 {
        let mut wire = sleeper(&target);
        asleep(cluster, &database, "1");
        wire.cancel(&target);
        is_cancelled(&mut wire);
    }
}

fn a_request_that_nobody_wants_is_passed_on_three_times(major: Major) {
    let cluster = Cluster::shared(major);
    let database = cluster.database();
    let ports = [free_port(), free_port()];
    let config = Config::of(cluster, &database).set("log_disconnections", true);
    // Each believes that the other is number 9.
    let poolers = [0, 1].map(|at: usize| {
        let peers = Peers::from([(9, ("127.0.0.1", ports[1 - at]))]);
        let config = config.clone().set("peer_id", at as i32 + 1);
        start(&config, ports[at], &peers)
    });
    let nobodys = identity([0, 9, 0, 0], &[1, 2, 3, 0xFF]);
    nobodys.cancel(&poolers[0].target(&database));
    let count = |text: &str| poolers.each_ref().map(|it| it.log().matches(text).count());
    poolers[1].logs("TTL was exhausted");
    assert_eq!(count("its TTL was exhausted"), [0, 1]);
    assert_eq!(count("closing because: cancel request "), [2, 1]);
    for pooler in &poolers {
        assert_eq!(pooler.ask("SHOW PEER_POOLS"), "9|0|0|0|0");
    }
}

fn a_peer_that_hangs(major: Major) {
    let cluster = Cluster::shared(major);
    let database = cluster.database();
    let silent = TcpListener::bind(("127.0.0.1", 0)).expect("a free port");
    let port = silent.local_addr().expect("it is bound").port();
    let peers = Peers::from([(2, ("127.0.0.1", port))]);
    let config = Config::of(cluster, &database)
        .set("peer_id", 1)
        .set("default_pool_size", 1)
        .set("cancel_wait_timeout", 3)
        .set("server_tls_sslmode", "disable");
    let pooler = start(&config, free_port(), &peers);
    let target = pooler.target(&database);
    let meant_for_two = identity([0, 2, 0, 0], &[1, 2, 3, 0xFF]);
    thread::scope(|scope| {
        let asking: Vec<_> = (0..3)
            .map(|_| scope.spawn(|| meant_for_two.cancel(&target)))
            .collect();
        // One at a time, and who waits is not lost sight of.
        eventually("one is sent, two wait", || {
            (pooler.ask("SHOW PEER_POOLS") == "2|1|2|1|0").then_some(())
        });
        for one in asking {
            one.join().expect("it is closed after cancel_wait_timeout");
        }
    });
    assert_eq!(pooler.ask("SHOW PEER_POOLS"), "2|0|0|0|0");
    assert!(pooler.log().contains("cancel request to peer timed out"));
    // Somebody who has gone does not wait on.
    assert_eq!(Wire::connect(&target).sql("SELECT 1"), ["1"]);
}

fn a_peer_that_is_down_or_unknown(major: Major) {
    let cluster = Cluster::shared(major);
    let database = cluster.database();
    let peers = Peers::from([(2, ("127.0.0.1", free_port()))]);
    let config = Config::of(cluster, &database).set("peer_id", 1);
    let pooler = start(&config, free_port(), &peers);
    let target = pooler.target(&database);
    for (peer, said) in [
        (2, "cancel request to peer failed"),
        (3, "could not find peer to forward request to"),
        (1, "failed cancel request"),
    ] {
        let request = identity([0, peer, 0, 0], &[1, 2, 3, 0xFF]);
        request.cancel(&target);
        pooler.logs(said);
    }
    // A key that is too short to say anything.
    let short = identity([0, 2, 0, 0], &[1]);
    let mut wire = Wire::open(&target);
    wire.write(|out| encode::cancel_request(short.pid, &short.key, out));
    wire.rest();
    assert_eq!(Wire::connect(&target).sql("SELECT 1"), ["1"]);
}

fn a_reload_changes_the_peers(major: Major) {
    let cluster = Cluster::shared(major);
    let database = cluster.database();
    let config = Config::of(cluster, &database).set("peer_id", 1);
    let peers = Peers::from([(1, ("127.0.0.1", 7000)), (2, ("db", 7001))]);
    let pooler = start(&config, free_port(), &peers);
    assert_eq!(
        pooler.ask("SHOW PEERS"),
        "1|127.0.0.1|7000|20\n2|db|7001|20"
    );
    let text = |peers: &str| config.text(pooler.port()) + peers;
    pooler.write_text(&text(
        "[peers.2]\nhost = '/run'\npool_size = 3\n[peers.7]\nhost = 'x'\n",
    ));
    let said = pooler.console().psql("RELOAD");
    assert!(
        said.stderr
            .contains("peers added: 7; peers removed: 1; peers changed: 2 (host, port, pool_size)"),
        "{}",
        said.stderr
    );
    let changed = "2|/run|6432|3\n7|x|6432|20";
    assert_eq!(pooler.ask("SHOW PEERS"), changed);
    // All or nothing.
    pooler.write_text(&text("[peers.3]\nhost = 'y'\n[peers.20000]\nhost = 'x'\n"));
    pooler.signal(Signal::SIGHUP);
    pooler.logs("the name of a peer is its peer_id: a number from 1 to 16383");
    assert_eq!(pooler.ask("SHOW PEERS"), changed);
}

fn clients_keep_the_keys_that_they_were_given(major: Major) {
    let cluster = Cluster::shared(major);
    let database = cluster.database();
    let pooler = Pooler::start(&Config::of(cluster, &database));
    let target = pooler.target(&database);
    let mut before = sleeper(&target);
    pooler.ask("SET peer_id = 2");
    let mut among_peers = sleeper(&target);
    pooler.ask("SET peer_id = 3");
    asleep(cluster, &database, "2");
    for wire in [&mut before, &mut among_peers] {
        wire.cancel(&target);
        is_cancelled(wire);
    }
}
