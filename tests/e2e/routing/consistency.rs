//! What a client reads is never older than what it has written or read (R4).

use std::sync::atomic::{AtomicBool, AtomicI64, AtomicU32, AtomicUsize, Ordering};
use std::thread;
use std::time::Duration;

use pgweir_tests::{Major, Target, Wire, cases, eventually};

use super::{Trio, routed};

cases! {
    r4_a_client_reads_its_own_writes;
    r4_clients_of_one_application_read_each_others_writes;
    r4_while_standbys_die_and_come_back;
}

const CLIENTS: usize = 50;

/// Pairs of a write and reads of it, of all clients together. More of them: `PGWEIR_PAIRS=100000`.
fn pairs() -> usize {
    let asked = std::env::var("PGWEIR_PAIRS").ok();
    asked.map_or(5_000, |pairs| pairs.parse().expect("a number"))
}

/// Clients that only read, one read after the other, what all the others write.
const WATCHERS: usize = 4;

/// One less is at work, however it ends.
struct Done<'a>(&'a AtomicUsize);

impl Drop for Done<'_> {
    fn drop(&mut self) {
        self.0.fetch_sub(1, Ordering::Relaxed);
    }
}

/// It is over, however it ends.
struct Over<'a>(&'a AtomicBool);

impl Drop for Over<'_> {
    fn drop(&mut self) {
        self.0.store(true, Ordering::Relaxed);
    }
}

/// Each client writes to a row of its own, and `reader` gives the connection that has to see it; without one,
/// each counts for itself. Nobody goes back in time.
fn writes_and_reads(target: &Target, reader: impl Fn(&Target) -> Option<Wire> + Sync) {
    Wire::connect(target).sql(
        "CREATE TABLE t (id int PRIMARY KEY, v int); INSERT INTO t SELECT g, 0 FROM generate_series(1, 100) g",
    );
    let (working, together) = (AtomicUsize::new(CLIENTS), AtomicI64::new(0));
    thread::scope(|scope| {
        for watcher in 0..WATCHERS {
            let (reader, working, together) = (&reader, &working, &together);
            scope.spawn(move || {
                let own = AtomicI64::new(0);
                let (mut wire, most) = match reader(target) {
                    Some(wire) => (wire, together),
                    None => (Wire::connect(target), &own),
                };
                // Who has written knows that the table is there.
                wire.sql("UPDATE t SET v = 0 WHERE id = 100");
                while working.load(Ordering::Relaxed) > 0 {
                    let before = most.load(Ordering::SeqCst);
                    let now: i64 = wire.sql("SELECT sum(v) FROM t")[0]
                        .parse()
                        .expect("a number");
                    assert!(now >= before, "watcher {watcher}: {now} after {before}");
                    most.fetch_max(now, Ordering::SeqCst);
                }
            });
        }
        for client in 1..=CLIENTS {
            let (reader, working) = (&reader, &working);
            scope.spawn(move || {
                let _done = Done(working);
                let mut writer = Wire::connect(target);
                let mut reader = reader(target);
                for value in 1..=pairs() / CLIENTS {
                    writer.sql(&format!("UPDATE t SET v = {value} WHERE id = {client}"));
                    let reader = reader.as_mut().unwrap_or(&mut writer);
                    for turn in 0..3 {
                        // Sometimes at once, sometimes when a standby may have it, or not yet.
                        thread::sleep(Duration::from_millis((value * 7 + turn * 13) as u64 % 40));
                        let seen = reader.sql(&format!("SELECT v FROM t WHERE id = {client}"));
                        assert_eq!(seen, [value.to_string()], "client {client}, read {turn}");
                    }
                }
            });
        }
    });
}

/// One of the standbys is late.
fn delayed(major: Major) -> Trio {
    let trio = Trio::start(major);
    trio.standbys[0].admin(
        "postgres",
        "ALTER SYSTEM SET recovery_min_apply_delay = '150ms'",
    );
    trio.standbys[0].admin("postgres", "SELECT pg_reload_conf()");
    trio
}

fn r4_a_client_reads_its_own_writes(major: Major) {
    let trio = delayed(major);
    let (pooler, target) = trio.pooler(|config, _| config);
    writes_and_reads(&target, |_| None);
    assert!(routed(&pooler, "primary", "not_fresh") > 0);
    // Who has written and then rests is served by a standby again.
    let mut wire = Wire::connect(&target);
    wire.sql("UPDATE t SET v = -1 WHERE id = 1");
    eventually("a standby has it", || {
        assert_eq!(wire.sql("SELECT v FROM t WHERE id = 1"), ["-1"]);
        (routed(&pooler, "standby", "query") > 0).then_some(())
    });
}

fn r4_clients_of_one_application_read_each_others_writes(major: Major) {
    let trio = delayed(major);
    let (pooler, target) =
        trio.pooler(|config, database| config.database_set(database, "consistency", "application"));
    writes_and_reads(&target, |target| Some(Wire::connect(target)));
    assert!(routed(&pooler, "primary", "not_fresh") > 0);
}

fn r4_while_standbys_die_and_come_back(major: Major) {
    let trio = delayed(major);
    let (pooler, target) = trio.pooler(|config, _| config);
    let over = AtomicBool::new(false);
    let rounds = AtomicU32::new(0);
    thread::scope(|scope| {
        scope.spawn(|| {
            let rest = || thread::sleep(Duration::from_millis(200));
            while !over.load(Ordering::Relaxed) {
                let standby = &trio.standbys[rounds.load(Ordering::Relaxed) as usize % 2];
                standby.kill_all();
                rest();
                standby.start_again();
                rest();
                standby.freeze();
                rest();
                standby.thaw();
                rest();
                standby.stop();
                rest();
                standby.start_again();
                rounds.fetch_add(1, Ordering::Relaxed);
            }
        });
        let _over = Over(&over);
        writes_and_reads(&target, |_| None);
    });
    assert!(rounds.load(Ordering::Relaxed) > 0);
    drop(pooler);
}
