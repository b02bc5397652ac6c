//! Promise X3 of proxy: every wait has a deadline. For each wait there is a peer that keeps
//! silent, the deadline that ends it, what the client is told, and that nothing is lost by it.

use pgweir_tests::{Cluster, Config, Gate, Pooler, Scene, Way, Wire, eventually};

mod clients;
mod ending;
mod servers;

/// Server connections of each pool.
const SIZE: i32 = 3;

/// A database behind a gate, in transaction mode.
fn gated(cluster: &'static Cluster, change: impl FnOnce(Config) -> Config) -> (Gate, Scene) {
    gated_database(cluster, cluster.database(), change)
}

fn gated_database(
    cluster: &'static Cluster,
    database: String,
    change: impl FnOnce(Config) -> Config,
) -> (Gate, Scene) {
    let gate = Gate::before(cluster);
    let config = Config::of(cluster, &database)
        .database_set(&database, "hosts", [gate.host().as_str()])
        .set("pool_mode", "transaction")
        .set("default_pool_size", SIZE);
    let pooler = Pooler::start(&change(config));
    let scene = Scene {
        cluster,
        database,
        way: Way::Transaction,
        pooler: Some(pooler),
    };
    (gate, scene)
}

/// What is going on in a pool, apart from clients that do nothing.
const UNDER_WAY: [&str; 8] = [
    "cl_waiting",
    "cl_active_cancel_req",
    "cl_waiting_cancel_req",
    "sv_active",
    "sv_active_cancel",
    "sv_being_canceled",
    "sv_tested",
    "sv_login",
];

/// All pools come to rest, and then as many clients are served at once as ever.
fn nothing_is_lost(scene: &Scene) {
    eventually("the pools are at rest", || {
        let pools = scene.pooler().rows("SHOW POOLS");
        let mut numbers = pools
            .iter()
            .flat_map(|pool| UNDER_WAY.map(|column| pool.number(column)));
        numbers.all(|number| number == 0).then_some(())
    });
    let mut all: Vec<Wire> = (0..SIZE).map(|_| Wire::connect(&scene.target())).collect();
    for wire in &mut all {
        wire.sql("BEGIN");
    }
}
