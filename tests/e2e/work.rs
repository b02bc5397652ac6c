//! What programs do all day: COPY, cancelling, pgbench.

use std::thread;
use std::time::{Duration, Instant};

use pgweir_tests::{Frame, Major, Scene, Way, Wire, cases, eventually};
use pgweir_wire::encode;

cases! {
    copy_out: direct session transaction statement;
    copy_in: direct session transaction statement;
    copy_in_that_fails: direct session transaction statement;
    copy_in_by_extended_query: direct session transaction;
    cancel: direct session transaction statement;
    cancel_in_the_queue;
    cancel_with_a_wrong_key: direct session transaction;
    cancel_of_nothing: direct session transaction;
    a_late_cancel_hits_nobody_else;
    cancel_in_a_crowd: session transaction;
    listen_and_notify: direct session;
    pgbench_simple: direct session transaction;
    pgbench_extended: direct session transaction;
    pgbench_prepared: direct session transaction;
    pgbench_select: statement;
}

fn tags(frames: &[Frame]) -> String {
    frames.iter().map(|frame| char::from(frame.tag)).collect()
}

fn copy_data(data: &[u8], out: &mut Vec<u8>) {
    out.push(b'd');
    out.extend(u32::try_from(data.len() + 4).unwrap().to_be_bytes());
    out.extend(data);
}

fn copy_done(out: &mut Vec<u8>) {
    out.extend(b"c\0\0\0\x04");
}

fn copy_out(scene: &Scene) {
    let mut wire = Wire::connect(&scene.target());
    let frames = wire.query("COPY (SELECT generate_series(1, 20000)) TO STDOUT");
    assert_eq!(tags(&frames), format!("H{}cCZ", "d".repeat(20000)));
    assert_eq!(frames[20000].body, b"20000\n");
    assert_eq!(
        tags(&wire.query("SELECT 1; COPY (SELECT 2) TO STDOUT; SELECT 3")),
        "TDCHdcCTDCZ"
    );
}

fn copy_in(scene: &Scene) {
    scene.admin("CREATE TABLE copied (a int, b text); GRANT ALL ON copied TO app");
    let mut wire = Wire::connect(&scene.target());
    wire.write(|out| encode::query(b"COPY copied FROM STDIN", out));
    assert_eq!(wire.frame().tag, b'G');
    for part in 0..100 {
        wire.write(|out| {
            for line in 0..100 {
                copy_data(
                    format!("{}\t{}\n", part * 100 + line, "x".repeat(line)).as_bytes(),
                    out,
                );
            }
        });
    }
    wire.write(copy_done);
    let frames = wire.until_ready();
    assert_eq!(
        (tags(&frames).as_str(), frames[0].text().as_str()),
        ("CZ", "COPY 10000")
    );
    assert_eq!(
        wire.sql("SELECT count(*), sum(a), sum(length(b)) FROM copied"),
        ["10000|49995000|495000"]
    );
    // All in one write, with the next query behind it, and cut anywhere by the network.
    wire.write(|out| {
        encode::query(b"COPY copied FROM STDIN", out);
        copy_data(b"1\t", out);
        copy_data(b"", out);
        copy_data(b"one\n", out);
        copy_done(out);
        encode::query(b"SELECT 'next'", out);
    });
    assert_eq!(tags(&wire.until_ready()), "GCZ");
    assert_eq!(tags(&wire.until_ready()), "TDCZ");
}

fn copy_in_that_fails(scene: &Scene) {
    scene.admin("CREATE TABLE copied (a int); GRANT ALL ON copied TO app");
    let mut wire = Wire::connect(&scene.target());
    for _ in 0..3 {
        // The server's fault: what the client still sends is to be thrown away.
        wire.write(|out| encode::query(b"COPY copied FROM STDIN", out));
        assert_eq!(wire.frame().tag, b'G');
        wire.write(|out| copy_data(b"not a number\n", out));
        assert_eq!(wire.frame().error().sqlstate, "22P02");
        wire.write(|out| {
            copy_data(b"1\n", out);
            copy_done(out);
        });
        assert_eq!(tags(&wire.until_ready()), "Z");
        assert_eq!(wire.sql("SELECT 'alive'"), ["alive"]);
        // The client's wish.
        wire.write(|out| {
            encode::query(b"COPY copied FROM STDIN", out);
            copy_data(b"1\n", out);
            encode::copy_fail("no longer wanted", out);
        });
        let frames = wire.until_ready();
        assert_eq!(
            (tags(&frames).as_str(), frames[1].error().sqlstate.as_str()),
            ("GEZ", "57014")
        );
        assert_eq!(wire.sql("SELECT count(*) FROM copied"), ["0"]);
    }
}

fn copy_in_by_extended_query(scene: &Scene) {
    scene.admin("CREATE TABLE copied (a int); GRANT ALL ON copied TO app");
    let mut wire = Wire::connect(&scene.target());
    for turn in 1..4 {
        wire.write(|out| {
            encode::parse(b"", b"COPY copied FROM STDIN", &[], out);
            encode::bind(b"", b"", &[], out);
            encode::execute(b"", 0, out);
            encode::flush(out);
        });
        assert_eq!(
            [wire.frame().tag, wire.frame().tag, wire.frame().tag],
            *b"12G"
        );
        wire.write(|out| {
            copy_data(b"1\n2\n", out);
            // Sync and Flush between the data are ignored.
            encode::flush(out);
            copy_data(b"3\n", out);
            copy_done(out);
            encode::sync(out);
        });
        assert_eq!(tags(&wire.until_ready()), "CZ");
        assert_eq!(
            wire.sql("SELECT count(*) FROM copied"),
            [(turn * 3).to_string()]
        );
        // As libpq does it: Sync right behind Execute, and a second one at the end.
        wire.write(|out| {
            encode::parse(b"", b"COPY (SELECT 1) TO STDOUT", &[], out);
            encode::bind(b"", b"", &[], out);
            encode::execute(b"", 0, out);
            encode::sync(out);
        });
        assert_eq!(tags(&wire.until_ready()), "12HdcCZ");
    }
}

/// Sends a query that takes long, and waits until the server is at it.
fn begin_to_sleep(scene: &Scene, wire: &mut Wire) {
    wire.write(|out| encode::query(b"SELECT pg_sleep(30)", out));
    scene.busy();
}

fn cancel(scene: &Scene) {
    let mut wire = Wire::connect(&scene.target());
    for _ in 0..3 {
        begin_to_sleep(scene, &mut wire);
        let began = Instant::now();
        wire.cancel(&scene.target());
        let frames = wire.until_ready();
        let error = frames
            .iter()
            .find(|frame| frame.tag == b'E')
            .expect("it was cancelled")
            .error();
        assert_eq!(error.sqlstate, "57014");
        assert!(began.elapsed() < Duration::from_secs(10));
        assert_eq!(wire.sql("SELECT 'alive'"), ["alive"]);
    }
}

fn cancel_in_the_queue(major: Major) {
    let scene = Scene::with(major, Way::Transaction, |config| {
        config.set("default_pool_size", 1)
    });
    let waiting = |count: i64| {
        eventually(&format!("{count} clients wait"), || {
            (scene.pooler().pool(&scene.database).number("cl_waiting") == count).then_some(())
        });
    };
    let mut first = Wire::connect(&scene.target());
    first.sql("BEGIN");
    let mut second = Wire::connect(&scene.target());
    for _ in 0..2 {
        second.write(|out| encode::query(b"SELECT 1", out));
        waiting(1);
        second.cancel(&scene.target());
        let frames = second.until_ready();
        assert_eq!(tags(&frames), "EZ");
        assert_eq!(frames[0].error().sqlstate, "57014");
        waiting(0);
    }
    // All up to Sync is one, what comes behind it is not meant.
    second.write(|out| {
        encode::parse(b"", b"SELECT 2", &[], out);
        encode::bind(b"", b"", &[], out);
        encode::execute(b"", 0, out);
        encode::sync(out);
        encode::query(b"SELECT 3", out);
    });
    waiting(1);
    second.cancel(&scene.target());
    assert_eq!(tags(&second.until_ready()), "EZ");
    waiting(1);
    first.sql("COMMIT");
    assert_eq!(tags(&second.until_ready()), "TDCZ");
    assert_eq!(second.sql("SELECT 4"), ["4"]);
}

fn cancel_with_a_wrong_key(scene: &Scene) {
    let mut wire = Wire::connect(&scene.target());
    begin_to_sleep(scene, &mut wire);
    let right = wire.identity.clone();
    for wrong in 0..4 {
        let mut identity = right.clone();
        identity.key[wrong] ^= 1;
        identity.cancel(&scene.target());
    }
    let mut longer = right.clone();
    longer.key.extend([0; 28]);
    longer.cancel(&scene.target());
    wire.silent();
    right.cancel(&scene.target());
    assert!(tags(&wire.until_ready()).contains('E'));
}

fn cancel_of_nothing(scene: &Scene) {
    let mut wire = Wire::connect(&scene.target());
    wire.sql("SELECT 1");
    for _ in 0..5 {
        wire.cancel(&scene.target());
    }
    if scene.way == Way::Direct {
        return;
    }
    // PostgreSQL itself may apply a cancel to the next query, if it comes late. A pooler knows
    // that there was nothing to cancel.
    assert_eq!(wire.sql("SELECT pg_sleep(0.1), 'alive'"), ["|alive"]);
}

fn a_late_cancel_hits_nobody_else(major: Major) {
    // One connection, so that both clients have the same.
    let scene = Scene::with(major, Way::Transaction, |config| {
        config.set("default_pool_size", 1)
    });
    let mut first = Wire::connect(&scene.target());
    let mut second = Wire::connect(&scene.target());
    for _ in 0..20 {
        first.sql("SELECT 1");
        second.write(|out| encode::query(b"SELECT pg_sleep(0.05), 'whole'", out));
        first.cancel(&scene.target());
        let frames = second.until_ready();
        assert_eq!(tags(&frames), "TDCZ", "{frames:?}");
    }
}

fn cancel_in_a_crowd(scene: &Scene) {
    let target = scene.target();
    let clients = if scene.way == Way::Session { 4 } else { 12 };
    thread::scope(|scope| {
        for number in 0..clients {
            let target = target.clone();
            scope.spawn(move || {
                let mut wire = Wire::connect(&target);
                for turn in 0..15 {
                    // A third of the clients is cancelled. Nobody else may notice.
                    if number % 3 == 0 {
                        wire.write(|out| encode::query(b"SELECT pg_sleep(30)", out));
                        eventually("the cancel comes while the query runs", || {
                            wire.cancel(&target);
                            wire.patience(Duration::from_millis(100));
                            wire.has_something().then_some(())
                        });
                        wire.patience(Duration::from_secs(20));
                        assert!(tags(&wire.until_ready()).ends_with("EZ"));
                    } else {
                        let answer = format!("{number} {turn}");
                        assert_eq!(
                            wire.sql(&format!("SELECT '{answer}' FROM pg_sleep(0.01)")),
                            [answer]
                        );
                    }
                }
            });
        }
    });
}

fn listen_and_notify(scene: &Scene) {
    let mut ear = Wire::connect(&scene.target());
    ear.sql("LISTEN news");
    let mut mouth = Wire::connect(&scene.target());
    for turn in 0..3 {
        mouth.sql(&format!("SELECT pg_notify('news', 'number {turn}')"));
        let frame = ear.frame();
        assert_eq!(frame.tag, b'A');
        assert!(
            frame.text().ends_with(&format!("news\0number {turn}")),
            "{frame:?}"
        );
    }
    assert_eq!(ear.sql("SELECT 1"), ["1"]);
}

/// pgbench's own script of seven statements, with transactions that meet each other.
fn pgbench(scene: &Scene, protocol: &str) {
    scene.direct().pgbench("-i -s 1 -q");
    // In session mode, a client keeps its server connection: no more clients than connections.
    // And pgbench 15 prepares its statements with PQprepare, which stops all clients of a thread
    // until it is answered: with more clients than connections it waits for a connection that
    // another client of the same thread holds, for ever.
    let clients = match (scene.way, protocol) {
        (Way::Session, _) | (Way::Transaction, "prepared") => 4,
        _ => 32,
    };
    let transactions = 1600 / clients;
    let report = scene.target().pgbench(&format!(
        "-n -M {protocol} -c {clients} -j 2 -t {transactions} --max-tries=1"
    ));
    assert!(
        report.contains("number of transactions actually processed: 1600/1600"),
        "{report}"
    );
    assert!(
        report.contains("number of failed transactions: 0 "),
        "{report}"
    );
    let sums = "SELECT (SELECT sum(abalance) FROM pgbench_accounts) = (SELECT sum(delta) FROM pgbench_history),
                (SELECT sum(bbalance) FROM pgbench_branches) = (SELECT sum(delta) FROM pgbench_history),
                (SELECT count(*) FROM pgbench_history)";
    assert_eq!(scene.admin(sums), "t|t|1600");
    if let Some(pooler) = &scene.pooler {
        let servers = pooler.rows("SHOW SERVERS").len();
        assert!((1..=4).contains(&servers), "{servers} connections");
    }
}

fn pgbench_simple(scene: &Scene) {
    pgbench(scene, "simple");
}

fn pgbench_extended(scene: &Scene) {
    pgbench(scene, "extended");
}

fn pgbench_prepared(scene: &Scene) {
    pgbench(scene, "prepared");
}

fn pgbench_select(scene: &Scene) {
    scene.direct().pgbench("-i -s 1 -q");
    for protocol in ["simple", "extended"] {
        let report = scene
            .target()
            .pgbench(&format!("-n -S -M {protocol} -c 32 -j 2 -t 50"));
        assert!(report.contains("1600/1600"), "{report}");
    }
}
