//! The counts of SHOW POOLS.

use pgweir_tests::{Config, Major, Scene, Way, Wire, cases, eventually};
use pgweir_wire::encode;

cases! {
    each_client_is_counted_once;
}

/// Also where the pool's user is not who the clients log in as.
fn each_client_is_counted_once(major: Major) {
    for forced in [None, Some("other")] {
        let scene = Scene::new(major, Way::Transaction);
        let name = &scene.database;
        let mut config = Config::of(scene.cluster, name).set("default_pool_size", 1);
        if let Some(user) = forced {
            config = config.database_set(name, "user", user).database_set(
                name,
                "password",
                format!("{user}-secret"),
            );
        }
        scene.pooler().write(&config);
        scene.pooler().ask("RELOAD");
        let mut wires: Vec<Wire> = (0..4).map(|_| Wire::connect(&scene.target())).collect();
        wires[0].sql("BEGIN");
        for wire in &mut wires[1..3] {
            wire.write(|out| encode::query(b"SELECT 1", out));
        }
        let mut console = Wire::connect(&scene.pooler().console());
        let user = forced.unwrap_or("app");
        let mut counts = |user: &str, database: &str| -> Vec<String> {
            let rows = console.sql("SHOW POOLS");
            let row = rows
                .iter()
                .find(|row| row.starts_with(&format!("{database}|{user}|")));
            let columns = row.expect("there is a pool").split('|').skip(2);
            columns.take(2).map(str::to_owned).collect()
        };
        eventually("two wait, one is busy and one does nothing", || {
            (counts(user, &scene.database) == ["2", "2"]).then_some(())
        });
        assert_eq!(counts("pgbouncer", "pgbouncer"), ["1", "0"]);
        wires[0].sql("COMMIT");
        eventually("nobody waits", || {
            (counts(user, &scene.database) == ["4", "0"]).then_some(())
        });
    }
}
