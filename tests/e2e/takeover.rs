//! A new process in the place of the old one, without anybody noticing.

use std::fs;
use std::process::Command;
use std::sync::atomic::{AtomicBool, Ordering};
use std::thread;
use std::time::Duration;

use pgweir_tests::{
    Cluster, Config, Major, Outcome, Pooler, Room, Starting, Target, Wire, cases, eventually,
    free_port,
};

cases! {
    nobody_is_refused;
    nobody_to_take_over_from;
    what_it_needs;
}

/// A configuration with everything that -R needs, in a room.
fn config(cluster: &Cluster, database: &str, room: &Room) -> Config {
    Config::of(cluster, database)
        .set("unix_socket_dir", room.path().display().to_string())
        .set("so_reuseport", true)
        .set("pidfile", room.join("pid"))
}

/// A process in a room of its own, so that its log is its own.
fn start(arguments: &[&str], file: &std::path::Path, port: u16) -> Pooler {
    let room = Room::new("takeover-pooler");
    let starting = Starting::new(Pooler::program(), "KILL", &room.join("log"));
    Pooler::start_as(starting.args(arguments).arg(file), room, port)
}

fn pid(room: &Room) -> u32 {
    let text = fs::read_to_string(room.join("pid")).expect("it is there at every moment");
    text.trim().parse().expect("a number")
}

fn nobody_is_refused(major: Major) {
    let cluster = Cluster::shared(major);
    let database = cluster.database();
    let (room, port) = (Room::new("takeover"), free_port());
    let file = room.join("pgweir.toml");
    fs::write(&file, config(cluster, &database, &room).text(port)).unwrap();
    let target = Target::new(port, &database, "app");
    let unix = Target {
        host: room.path().display().to_string(),
        ..target.clone()
    };

    let mut old = start(&[], &file, port);
    assert_eq!(pid(&room), old.process().id());
    let mut stays = Wire::connect(&target);
    stays.sql("BEGIN");
    let is_over = AtomicBool::new(false);
    let mut new = thread::scope(|scope| {
        let crowd: Vec<_> = (0..2)
            .map(|_| {
                scope.spawn(|| {
                    let mut served = 0;
                    while !is_over.load(Ordering::Relaxed) {
                        assert_eq!(Wire::connect(&target).sql("SELECT 1"), ["1"]);
                        served += 1;
                    }
                    served
                })
            })
            .collect();
        let new = start(&["-R"], &file, port);
        new.logs("process up");
        old.logs("got SIGTERM, shutting down, waiting for all clients disconnect");
        eventually("the new one has the port for itself", || {
            (new.log().matches("login attempt succeeded").count() > 4).then_some(())
        });
        is_over.store(true, Ordering::Relaxed);
        for client in crowd {
            assert!(client.join().expect("nobody was refused") > 0);
        }
        new
    });
    assert_eq!(pid(&room), new.process().id());
    assert!(!old.ended());
    // Its client goes on; new ones come to the new one, by the Unix socket too.
    assert_eq!(stays.sql("SELECT 'as before'"), ["as before"]);
    stays.sql("COMMIT");
    let served = |pooler: &Pooler| pooler.log().matches("login attempt succeeded").count();
    let before = (served(&old), served(&new));
    assert_eq!(target.sql("SELECT 1"), "1");
    assert_eq!(unix.sql("SELECT 1"), "1");
    assert_eq!((served(&old), served(&new)), (before.0, before.1 + 2));

    drop(stays);
    assert!(old.wait(Duration::from_secs(10)).success());
    // What the new one has put there stays there.
    assert_eq!(pid(&room), new.process().id());
    assert_eq!(unix.sql("SELECT 1"), "1");
    new.signal(nix::sys::signal::Signal::SIGINT);
    assert!(new.wait(Duration::from_secs(10)).success());
    assert!(!room.join("pid").exists());
    assert!(!room.join(&format!(".s.PGSQL.{port}")).exists());
}

fn nobody_to_take_over_from(major: Major) {
    let cluster = Cluster::shared(major);
    let database = cluster.database();
    let (room, port) = (Room::new("takeover"), free_port());
    let file = room.join("pgweir.toml");
    fs::write(&file, config(cluster, &database, &room).text(port)).unwrap();
    // No process has this number: the kernel's greatest is 2^22.
    fs::write(room.join("pid"), "99999999\n").unwrap();
    let pooler = start(&["--reboot"], &file, port);
    pooler.logs("old process not found, try to continue normally");
    assert_eq!(pooler.target(&database).sql("SELECT 1"), "1");
    assert_eq!(pid(&room), pooler.process().id());
}

fn what_it_needs(major: Major) {
    let cluster = Cluster::shared(major);
    let database = cluster.database();
    let (room, port) = (Room::new("takeover"), free_port());
    let file = room.join("pgweir.toml");
    let run = |config: Config| {
        fs::write(&file, config.text(port)).unwrap();
        Outcome::of(Command::new(Pooler::program()).arg("-R").arg(&file), "")
    };
    let outcome = run(Config::of(cluster, &database));
    outcome.check_failure("-R finds the old process by its pidfile");

    let alone = config(cluster, &database, &room).set("so_reuseport", false);
    fs::write(&file, alone.text(port)).unwrap();
    let mut old = start(&[], &file, port);
    run(alone).check_failure("-R needs so_reuseport");
    // The old one does not share its port, whatever the new one says.
    run(config(cluster, &database, &room)).check_failure("Address already in use");
    assert!(!old.ended());
    assert_eq!(pid(&room), old.process().id());
    let target = old.target(&database);
    assert_eq!(target.sql("SELECT 1"), "1");
    let host = room.path().display().to_string();
    assert_eq!(Target { host, ..target }.sql("SELECT 1"), "1");
}
