//! PAUSE and RESUME, as operators and clients see them.

use pgweir_tests::{Major, Row, Scene, Way, Wire, cases, eventually};
use pgweir_wire::encode;

cases! {
    pause_and_resume: session transaction;
    pause_waits_for_transactions: transaction;
    a_pause_that_is_cancelled;
    a_pause_that_is_resumed;
}

fn pause_and_resume(scene: &Scene) {
    let pooler = scene.pooler();
    let mut wire = Wire::connect(&scene.target());
    wire.sql("SELECT 1");
    if scene.way == Way::Session {
        drop(wire);
        wire = Wire::connect(&scene.target());
    }
    for pause in ["PAUSE".to_owned(), format!("PAUSE {}", scene.database)] {
        pooler.ask(&pause);
        let open = format!(
            "SELECT count(*) FROM pg_stat_activity WHERE datname = '{}'",
            scene.database
        );
        eventually("the server's connections are closed", || {
            (scene.cluster.admin("postgres", &open) == "0").then_some(())
        });
        wire.write(|out| encode::query(b"SELECT 'at last'", out));
        wire.silent();
        pooler.ask(&pause.replace("PAUSE", "RESUME"));
        assert_eq!(wire.until_ready()[1].row(), ["at last"]);
        if scene.way == Way::Session {
            drop(wire);
            wire = Wire::connect(&scene.target());
        }
    }
}

fn pause_waits_for_transactions(scene: &Scene) {
    let mut wire = Wire::connect(&scene.target());
    wire.sql("BEGIN");
    let mut console = Wire::connect(&scene.pooler().console());
    console.write(|out| encode::query(b"PAUSE", out));
    console.silent();
    assert_eq!(wire.sql("SELECT 'still in it'"), ["still in it"]);
    wire.sql("COMMIT");
    console.until_ready();
    let error = console.sql_error("PAUSE");
    assert_eq!(error.message, "already suspended/paused");
    console.sql("RESUME");
    assert_eq!(wire.sql("SELECT 1"), ["1"]);
}

fn a_pause_that_is_cancelled(major: Major) {
    let scene = Scene::new(major, Way::Transaction);
    let mut busy = Wire::connect(&scene.target());
    busy.sql("BEGIN");
    for command in ["PAUSE".to_owned(), format!("PAUSE {}", scene.database)] {
        let console = scene.pooler().console();
        let mut ops = Wire::connect(&console);
        ops.write(|out| encode::query(command.as_bytes(), out));
        eventually("it is paused", || {
            let rows = scene.pooler().rows("SHOW DATABASES");
            let paused =
                |row: &Row| row.text("name") == scene.database && row.number("paused") == 1;
            rows.iter().any(paused).then_some(())
        });
        ops.cancel(&console);
        let frames = ops.until_ready();
        let error = frames[0].error();
        assert_eq!((&*error.severity, &*error.sqlstate), ("ERROR", "57014"));
        // The console goes on, and so does everybody.
        ops.sql("SHOW VERSION");
        assert_eq!(scene.target().sql("SELECT 1"), "1");
    }
    busy.sql("COMMIT");
}

fn a_pause_that_is_resumed(major: Major) {
    let scene = Scene::new(major, Way::Transaction);
    let mut busy = Wire::connect(&scene.target());
    busy.sql("BEGIN");
    let mut ops = Wire::connect(&scene.pooler().console());
    ops.write(|out| encode::query(b"PAUSE", out));
    eventually("it is paused", || {
        Wire::connect(&scene.pooler().console())
            .query("RESUME")
            .iter()
            .all(|frame| frame.tag != b'E')
            .then_some(())
    });
    let error = ops.until_ready()[0].error();
    assert_eq!(error.message, "pooler is not paused/suspended");
    assert_eq!(scene.target().sql("SELECT 1"), "1");
    busy.sql("COMMIT");
}
