//! SUSPEND, and what lies in buffers.

use pgweir_tests::{Major, Row, Scene, Way, Wire, cases, eventually};
use pgweir_wire::encode;
use pgweir_wire::startup::PROTOCOL_3_0;

cases! {
    nothing_is_read_until_resume: session transaction;
    it_ends_with_the_last_console: transaction;
    paused_databases: transaction;
    what_was_read_is_written_first: transaction;
    who_takes_nothing_is_dropped;
    cancelled: transaction;
    replication_waits_too: transaction;
}

fn state(console: &mut Wire) -> String {
    console.sql("SHOW STATE").join(" ")
}

fn ask(wire: &mut Wire, command: &str) {
    wire.write(|out| encode::query(command.as_bytes(), out));
}

fn nothing_is_read_until_resume(scene: &Scene) {
    let mut inside = Wire::connect(&scene.target());
    inside.sql("BEGIN");
    let mut idle = Wire::connect(&scene.target());
    let mut console = Wire::connect(&scene.pooler().console());
    assert_eq!(console.query("SUSPEND")[0].text(), "SUSPEND");
    assert_eq!(state(&mut console), "active|no paused|no suspended|yes");
    let mut late = Wire::open(&scene.target());
    late.startup(&scene.target(), PROTOCOL_3_0, &[]);
    ask(&mut inside, "SELECT 'inside'");
    ask(&mut idle, "SELECT 'idle'");
    for wire in [&mut inside, &mut idle, &mut late] {
        wire.silent();
    }
    for command in ["SUSPEND", "PAUSE", "KILL"] {
        let error = console.sql_error(command);
        assert_eq!(error.message, "already suspended/paused", "{command}");
    }
    assert_eq!(console.query("RESUME")[0].text(), "RESUME");
    assert_eq!(state(&mut console), "active|yes paused|no suspended|no");
    for (wire, answer) in [(&mut inside, "inside"), (&mut idle, "idle")] {
        assert_eq!(wire.until_ready()[1].row(), [answer]);
    }
    late.login(&scene.target()).unwrap();
    assert_eq!(late.sql("SELECT 1"), ["1"]);
    assert_eq!(
        console.sql_error("RESUME").message,
        "pooler is not paused/suspended"
    );
}

fn it_ends_with_the_last_console(scene: &Scene) {
    let mut client = Wire::connect(&scene.target());
    let mut first = Wire::connect(&scene.pooler().console());
    let second = Wire::connect(&scene.pooler().console());
    first.query("SUSPEND");
    ask(&mut client, "SELECT 1");
    drop(second);
    client.silent();
    drop(first);
    client.until_ready();
}

fn paused_databases(scene: &Scene) {
    let mut console = Wire::connect(&scene.pooler().console());
    console.query(&format!("PAUSE {}", scene.database));
    let error = console.sql_error("SUSPEND");
    assert_eq!(error.message, "cannot suspend with paused databases");
    console.query("RESUME");
    console.query("PAUSE");
    assert_eq!(
        console.sql_error("SUSPEND").message,
        "already suspended/paused"
    );
    console.query("RESUME");
    console.query("SUSPEND");
}

/// What SHOW ACTIVE_SOCKETS has of the clients of the database.
fn active(scene: &Scene) -> Vec<Row> {
    let rows = scene.pooler().rows("SHOW ACTIVE_SOCKETS");
    let ours = rows
        .into_iter()
        .filter(|row| row.text("type") == "C" && row.text("database") == scene.database);
    ours.collect()
}

/// A client that asks for more than sockets hold, and reads none of it.
fn with_unread_answer(scene: &Scene) -> Wire {
    let mut wire = Wire::connect(&scene.target());
    assert_eq!(active(scene).len(), 0);
    ask(&mut wire, "SELECT repeat('x', 40000000)");
    eventually("the pooler holds some of the answer", || {
        let rows = active(scene);
        (rows.iter().any(|row| row.number("send_avail") > 0)).then_some(())
    });
    wire
}

fn what_was_read_is_written_first(scene: &Scene) {
    let mut wire = with_unread_answer(scene);
    let rows = active(scene);
    assert_eq!(rows[0].text("state"), "cl_active");
    let mut console = Wire::connect(&scene.pooler().console());
    ask(&mut console, "SUSPEND");
    console.silent();
    // The header of the first frame, and then as much as is needed for the buffer to become empty.
    assert_eq!(wire.skip_frame().0, b'T');
    wire.patience(std::time::Duration::from_millis(200));
    let mut taken = Vec::new();
    while wire.has_something() {
        taken.extend(wire.take());
    }
    assert!(taken.len() < 40_000_000, "{}", taken.len());
    assert_eq!(console.until_ready()[0].text(), "SUSPEND");
    assert_eq!(active(scene).len(), 0);
    console.query("RESUME");
    wire.patience(std::time::Duration::from_secs(20));
    while taken.len() < 40_000_000 || !taken.ends_with(b"Z\0\0\0\x05I") {
        taken.extend(wire.take());
    }
    let text = taken.iter().filter(|byte| **byte == b'x').count();
    assert_eq!(text, 40_000_000);
    assert_eq!(wire.sql("SELECT 1"), ["1"]);
}

fn who_takes_nothing_is_dropped(major: Major) {
    let scene = Scene::with(major, Way::Transaction, |config| {
        config.set("suspend_timeout", "300ms")
    });
    let mut patient = Wire::connect(&scene.target());
    patient.sql("BEGIN");
    let mut wire = with_unread_answer(&scene);
    let mut console = Wire::connect(&scene.pooler().console());
    console.query("SUSPEND");
    assert_eq!(state(&mut console), "active|no paused|no suspended|yes");
    scene.pooler().logs("suspend_timeout");
    wire.rest();
    console.query("RESUME");
    assert_eq!(patient.sql("SELECT 1"), ["1"]);
}

fn cancelled(scene: &Scene) {
    let wire = with_unread_answer(scene);
    let target = scene.pooler().console();
    let mut console = Wire::connect(&target);
    ask(&mut console, "SUSPEND");
    console.silent();
    console.cancel(&target);
    assert_eq!(console.until_ready()[0].error().sqlstate, "57014");
    assert_eq!(state(&mut console), "active|yes paused|no suspended|no");
    drop(wire);
}

fn replication_waits_too(scene: &Scene) {
    let target = scene.target().user("walker");
    let mut wire = Wire::try_connect(&target, &[("replication", "true")]).unwrap();
    wire.query("IDENTIFY_SYSTEM");
    let mut console = Wire::connect(&scene.pooler().console());
    console.query("SUSPEND");
    ask(&mut wire, "IDENTIFY_SYSTEM");
    wire.silent();
    console.query("RESUME");
    assert_eq!(wire.until_ready()[0].tag, b'T');
}
