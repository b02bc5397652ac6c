//! Promise X4 of proxy: an error in one connection ends that connection only.

use std::collections::BTreeSet;
use std::sync::atomic::{AtomicBool, AtomicU64, Ordering::Relaxed};
use std::thread;
use std::time::Duration;

use pgweir_tests::{Cluster, Gate, Major, Scene, Way, Wire, cases, eventually};
use pgweir_wire::encode;
use pgweir_wire::startup::PROTOCOL_3_0;

use crate::misbehaviour::{
    GARBAGE, GARBAGE_BEFORE_THE_LOGIN, GARBAGE_WITHIN_THE_LOGIN, last_words,
};

cases! {
    x4_bystanders_notice_nothing;
}

const BYSTANDERS: usize = 6;
/// How often each misbehaves in every way.
const ROUNDS: usize = 2;
/// Server connections for all of them.
const SIZE: i32 = 8;

/// What no server says, at least not now.
const LIES: &[&[u8]] = &[
    b"Z\0\0\0\x01",
    b"D\xff\xff\xff\xff",
    b"\0\0\0\0\0\0\0\0",
    b"D\0\0\0\x0a\0\x01\0\0\0\0",
    b"Z\0\0\0\x05?",
    b"E\0\0\0\x05\0",
    b"\x15\x03\x01\0\x02\x02\x28",
];

/// A client that does everything right, and the next number that it asks for.
struct Bystander {
    wire: Wire,
    number: u64,
}

impl Bystander {
    fn new(scene: &Scene, first: u64) -> Self {
        let mut wire = Wire::connect(&scene.target());
        wire.write(|out| {
            encode::parse(
                b"echo",
                b"SELECT $1::text, current_setting('work_mem')",
                &[],
                out,
            );
            encode::sync(out);
        });
        wire.until_ready();
        Self {
            wire,
            number: first,
        }
    }

    /// The worker that serves it: a part of its cancel key.
    fn worker(&self) -> u32 {
        self.wire.identity.pid >> 24
    }

    fn next(&mut self) -> String {
        self.number += 1;
        self.number.to_string()
    }

    /// A transaction, a pipeline, and a statement that a server connection may not have yet. Each
    /// answer is its own, on a connection as clean as ever.
    fn turn(&mut self) {
        let number = self.next();
        self.wire.sql("BEGIN");
        let sql = format!("SELECT {number}, current_setting('work_mem')");
        assert_eq!(self.wire.sql(&sql), [format!("{number}|4MB")]);
        self.wire.sql("COMMIT");
        let numbers = [self.next(), self.next(), self.next()];
        self.wire.write(|out| {
            for number in &numbers {
                encode::bind(b"", b"echo", &[Some(number.as_bytes())], out);
                encode::execute(b"", 0, out);
                encode::sync(out);
            }
        });
        for number in &numbers {
            let frames = self.wire.until_ready();
            let tags: Vec<u8> = frames.iter().map(|frame| frame.tag).collect();
            assert_eq!(tags, b"2DCZ", "{frames:?}");
            assert_eq!(frames[1].row(), [number.as_str(), "4MB"]);
        }
    }
}

fn x4_bystanders_notice_nothing(major: Major) {
    let gate = Gate::before(Cluster::shared(major));
    let scene = Scene::with(major, Way::Transaction, |config| {
        config
            .set("workers", 2)
            .set("default_pool_size", SIZE)
            .database_set("lying", "hosts", [gate.host().as_str()])
            .database_set("lying", "dbname", "postgres")
    });
    scene.admin("CREATE TABLE kept (a int); GRANT ALL ON kept TO app");
    let mut bystanders: Vec<Bystander> = (1..=BYSTANDERS)
        .map(|number| Bystander::new(&scene, number as u64 * 1_000_000))
        .collect();
    let workers: BTreeSet<u32> = bystanders.iter().map(Bystander::worker).collect();
    assert_eq!(workers.len(), 2);
    let (stop, turns) = (AtomicBool::new(false), AtomicU64::new(0));
    thread::scope(|scope| {
        for bystander in &mut bystanders {
            let (stop, turns) = (&stop, &turns);
            scope.spawn(move || {
                while !stop.load(Relaxed) {
                    bystander.turn();
                    turns.fetch_add(1, Relaxed);
                }
            });
        }
        let (scene, gate) = (&scene, &gate);
        let others = [
            scope.spawn(move || rounds(|| vanish(scene))),
            scope.spawn(move || rounds(|| talk_nonsense(scene))),
            scope.spawn(move || rounds(|| lose_the_server(scene))),
            scope.spawn(move || rounds(|| believe_lies(scene, gate))),
        ];
        // If one of them fails, the others must end all the same.
        let ended = others.map(thread::ScopedJoinHandle::join);
        stop.store(true, Relaxed);
        assert!(ended.iter().all(Result::is_ok), "see above");
    });
    assert!(turns.load(Relaxed) > 100, "{turns:?} turns");
    nothing_is_left_behind(&scene);
    for bystander in &mut bystanders {
        bystander.turn();
    }
}

fn rounds(mut misbehave: impl FnMut()) {
    for _ in 0..ROUNDS {
        misbehave();
    }
}

/// Clients that go, whatever they were about.
fn vanish(scene: &Scene) {
    for (what, words) in last_words() {
        for wait in [true, false] {
            let mut wire = Wire::connect(&scene.target());
            wire.send(&words);
            wire.patience(Duration::from_millis(20));
            if wait && what != "nothing" {
                wire.has_something();
            }
        }
    }
    for sql in [
        "SELECT pg_sleep(300)",
        "BEGIN; SET LOCAL work_mem = '77MB'; SELECT pg_sleep(300)",
    ] {
        let mut wire = Wire::connect(&scene.target());
        wire.write(|out| encode::query(sql.as_bytes(), out));
    }
}

/// Clients that do not speak the protocol, or somebody else's part of it.
fn talk_nonsense(scene: &Scene) {
    let target = scene.target();
    for body in GARBAGE {
        for prefix in [
            "",
            "BEGIN; INSERT INTO kept VALUES (1); SELECT pg_advisory_lock(77)",
        ] {
            let mut wire = Wire::connect(&target);
            wire.query(prefix);
            wire.send(body);
            wire.shut_down_writing();
            wire.rest();
        }
    }
    for packet in GARBAGE_BEFORE_THE_LOGIN {
        let mut wire = Wire::open(&target);
        let _ = wire.try_send(packet);
        wire.shut_down_writing();
        wire.rest();
    }
    for message in GARBAGE_WITHIN_THE_LOGIN {
        let mut wire = Wire::open(&target);
        wire.startup(&target, PROTOCOL_3_0, &[]);
        assert_eq!(wire.frame().tag, b'R');
        let _ = wire.try_send(message);
        wire.shut_down_writing();
        wire.rest();
    }
    // Cancel keys that are nobody's, of both workers.
    for pid in [0, 1, 2, 1 << 24, (1 << 24) + 1, u32::MAX] {
        let mut wire = Wire::open(&target);
        wire.write(|out| encode::cancel_request(pid, b"0000", out));
        wire.closed();
    }
}

/// Clients whose server process ends.
fn lose_the_server(scene: &Scene) {
    for prefix in ["BEGIN", "SELECT 1", "BEGIN; INSERT INTO kept VALUES (1)"] {
        let mut wire = Wire::connect(&scene.target());
        wire.query(prefix);
        wire.write(|out| encode::query(b"SELECT pg_terminate_backend(pg_backend_pid())", out));
        wire.rest();
    }
    for prefix in ["BEGIN", "BEGIN; DECLARE c CURSOR FOR SELECT 1"] {
        let mut wire = Wire::connect(&scene.target());
        wire.query(prefix);
        let pid = &wire.sql("SELECT pg_backend_pid()")[0];
        scene.admin(&format!("SELECT pg_terminate_backend({pid})"));
        assert_eq!(wire.frame().error().sqlstate, "57P01");
        wire.rest();
    }
}

/// Clients of a server that breaks the protocol.
fn believe_lies(scene: &Scene, gate: &Gate) {
    let target = scene.pooler().target("lying");
    for lie in LIES {
        for sql in ["BEGIN", "SELECT pg_sleep(0.05)"] {
            let mut wire = Wire::connect(&target);
            wire.write(|out| encode::query(sql.as_bytes(), out));
            gate.say(lie);
            wire.shut_down_writing();
            wire.rest();
        }
        // It was said on all connections. Who is given one of them may be the one who hears it, and so is cut off;
        // but nobody believes it, and each connection can cut off one client only.
        let mut cut_off = 0;
        loop {
            let mut honest = Wire::connect(&target);
            honest.write(|out| encode::query(b"SELECT 'truth'", out));
            match honest.answer() {
                Ok(frames) if frames.last().is_some_and(|frame| frame.tag == b'Z') => {
                    let rows = frames.iter().filter(|frame| frame.tag == b'D');
                    let rows: Vec<_> = rows.map(pgweir_tests::Frame::row).collect();
                    assert_eq!(rows, [["truth"]], "{lie:?}");
                    break;
                }
                _ => cut_off += 1,
            }
            assert!(cut_off <= SIZE, "{lie:?}");
        }
    }
}

fn nothing_is_left_behind(scene: &Scene) {
    eventually("the pools are at rest", || {
        let pools = scene.pooler().rows("SHOW POOLS");
        let under_way = [
            "cl_waiting",
            "sv_active",
            "sv_being_canceled",
            "sv_tested",
            "sv_login",
        ];
        let mut numbers = pools
            .iter()
            .flat_map(|pool| under_way.map(|column| pool.number(column)));
        numbers.all(|number| number == 0).then_some(())
    });
    eventually("the bystanders and the console's client are left", || {
        (scene.pooler().rows("SHOW CLIENTS").len() == BYSTANDERS + 1).then_some(())
    });
    eventually("the server has idle sessions only", || {
        let sql = "SELECT count(*) FROM pg_stat_activity WHERE datname = current_database()
                   AND usename = 'app' AND state <> 'idle'";
        (scene.admin(sql) == "0").then_some(())
    });
    let sessions = "SELECT count(*) FROM pg_stat_activity WHERE datname = current_database() AND usename = 'app'";
    assert!(scene.admin(sessions).parse::<i32>().unwrap() <= SIZE);
    assert_eq!(scene.admin("SELECT count(*) FROM kept"), "0");
    assert_eq!(
        scene.admin("SELECT count(*) FROM pg_locks WHERE locktype = 'advisory'"),
        "0"
    );
    let log = scene.pooler().log();
    assert!(!log.contains("panicked"), "a task has panicked");
}
