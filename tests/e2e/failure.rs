//! Servers that die, hang or are not there.

use std::sync::atomic::{AtomicBool, AtomicU32, Ordering};
use std::thread;
use std::time::Duration;

use nix::sys::signal::{Signal, kill};
use nix::unistd::Pid;
use pgweir_tests::{
    Cluster, Config, Major, Options, Pooler, Target, Wire, cases, eventually, free_port,
};
use pgweir_wire::encode;

cases! {
    killed_under_load;
    a_backend_is_terminated;
    a_backend_dies_without_a_word;
    not_there_at_first;
    restarted;
    one_of_two_hosts_is_down;
}

fn start(major: Major, change: impl FnOnce(Config) -> Config) -> (Cluster, Pooler, Target) {
    let cluster = Cluster::start(major, &Options::default());
    let config = Config::of(&cluster, "postgres").set("default_pool_size", 4);
    let pooler = Pooler::start(&change(config));
    let target = pooler.target("postgres");
    (cluster, pooler, target)
}

/// Asks until the connection breaks. Every answer must be the right one.
fn work(target: &Target, stop: &AtomicBool, answers: &AtomicU32, number: u32) {
    while !stop.load(Ordering::Relaxed) {
        let Ok(mut wire) = Wire::try_connect(target, &[]) else {
            thread::sleep(Duration::from_millis(20));
            continue;
        };
        for turn in 0.. {
            if stop.load(Ordering::Relaxed) {
                return;
            }
            let mut out = Vec::new();
            encode::query(format!("SELECT {number}, {turn}").as_bytes(), &mut out);
            if wire.try_send(&out).is_err() {
                break;
            }
            match wire.answer() {
                Ok(frames) => {
                    let row = frames.iter().find(|frame| frame.tag == b'D');
                    if let Some(row) = row {
                        assert_eq!(row.row(), [number.to_string(), turn.to_string()]);
                        answers.fetch_add(1, Ordering::Relaxed);
                    }
                }
                Err(_) => break,
            }
        }
    }
}

fn killed_under_load(major: Major) {
    let (cluster, pooler, target) =
        start(major, |config| config.set("server_login_retry", "200ms"));
    let stop = AtomicBool::new(false);
    let answers = AtomicU32::new(0);
    thread::scope(|scope| {
        for number in 0..16 {
            let (target, stop, answers) = (&target, &stop, &answers);
            scope.spawn(move || work(target, stop, answers, number));
        }
        let more = || {
            let before = answers.load(Ordering::Relaxed);
            eventually("clients are served", || {
                (answers.load(Ordering::Relaxed) > before + 200).then_some(())
            });
        };
        more();
        cluster.kill_all();
        cluster.start_again();
        more();
        cluster.crash();
        cluster.start_again();
        more();
        cluster.stop();
        cluster.start_again();
        more();
        stop.store(true, Ordering::Relaxed);
    });
    // Nothing is lost of the pool, and it is not larger than it may be.
    eventually("the pool is at rest", || {
        let pool = pooler.pool("postgres");
        let servers = pool.number("sv_active")
            + pool.number("sv_idle")
            + pool.number("sv_used")
            + pool.number("sv_tested");
        (pool.number("cl_active") + pool.number("cl_waiting") + pool.number("sv_active") == 0
            && servers <= 4)
            .then_some(())
    });
    let mut all: Vec<Wire> = (0..4).map(|_| Wire::connect(&target)).collect();
    for wire in &mut all {
        wire.sql("BEGIN");
    }
}

fn a_backend_is_terminated(major: Major) {
    let (cluster, _pooler, target) = start(major, |config| config);
    for (begin, query) in [
        ("BEGIN", "SELECT pg_sleep(30)"),
        ("SELECT 1", "SELECT pg_sleep(30)"),
    ] {
        let mut wire = Wire::connect(&target);
        wire.sql(begin);
        wire.write(|out| encode::query(query.as_bytes(), out));
        let kill = "SELECT pg_terminate_backend(pid) FROM pg_stat_activity
                    WHERE query LIKE 'SELECT pg_sleep%' AND state = 'active'";
        eventually("it is terminated", || {
            (cluster.admin("postgres", kill) == "t").then_some(())
        });
        // The server's own words reach the client.
        let mut said = wire.frame();
        while said.tag != b'E' {
            said = wire.frame();
        }
        assert_eq!(said.error().sqlstate, "57P01");
        // And no others behind them.
        wire.closed();
    }
    // While a transaction is idle, too.
    let mut wire = Wire::connect(&target);
    wire.sql("BEGIN");
    let pid = wire.sql("SELECT pg_backend_pid()");
    cluster.admin(
        "postgres",
        &format!("SELECT pg_terminate_backend({})", pid[0]),
    );
    let error = wire.frame().error();
    assert_eq!(
        (error.severity.as_str(), error.sqlstate.as_str()),
        ("FATAL", "57P01")
    );
    wire.closed();
    assert_eq!(target.sql("SELECT 1"), "1");
}

fn a_backend_dies_without_a_word(major: Major) {
    let (_cluster, _pooler, target) = start(major, |config| config);
    let mut wire = Wire::connect(&target);
    wire.sql("BEGIN");
    let pid = wire.sql("SELECT pg_backend_pid()")[0].parse().unwrap();
    kill(Pid::from_raw(pid), Signal::SIGKILL).unwrap();
    let error = wire.last_error();
    assert_eq!(
        (&*error.severity, &*error.sqlstate, &*error.message),
        ("FATAL", "08006", "server conn crashed?")
    );
}

fn not_there_at_first(major: Major) {
    let cluster = Cluster::start(major, &Options::default());
    cluster.stop();
    let config = Config::of(&cluster, "postgres").set("server_login_retry", "200ms");
    let pooler = Pooler::start(&config);
    let target = pooler.target("postgres");
    thread::scope(|scope| {
        let early = scope.spawn(|| target.sql("SELECT 'patience'"));
        pooler.logs("server login failed");
        cluster.start_again();
        assert_eq!(early.join().unwrap(), "patience");
    });
}

fn restarted(major: Major) {
    let (cluster, _pooler, target) =
        start(major, |config| config.set("server_login_retry", "200ms"));
    // A client that is idle while the server restarts notices nothing.
    let mut wires: Vec<Wire> = (0..8).map(|_| Wire::connect(&target)).collect();
    for wire in &mut wires {
        wire.sql("SELECT 1");
    }
    cluster.stop();
    cluster.start_again();
    for wire in &mut wires {
        assert_eq!(wire.sql("SELECT 'still here'"), ["still here"]);
    }
}

fn one_of_two_hosts_is_down(major: Major) {
    let cluster = Cluster::start(major, &Options::default());
    let (dead, alive) = (
        format!("127.0.0.1:{}", free_port()),
        format!("127.0.0.1:{}", cluster.port()),
    );
    for hosts in [
        [dead.as_str(), alive.as_str()],
        [alive.as_str(), dead.as_str()],
    ] {
        let config = Config::new()
            .database_set("postgres", "hosts", hosts)
            .user("app");
        let pooler = Pooler::start(&config);
        for _ in 0..3 {
            assert_eq!(pooler.target("postgres").sql("SELECT 1"), "1");
        }
    }
}
