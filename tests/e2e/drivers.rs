//! Programs in Python and JavaScript: `tests/clients` has what they do.

use pgweir_tests::script::{node, python};
use pgweir_tests::{Scene, Way, cases};

cases! {
    psycopg: direct session transaction;
    asyncpg: direct session transaction;
    node_postgres: direct session transaction;
}

fn psycopg(scene: &Scene) {
    python("psycopg_cases.py", &scene.target(), &[mode(scene)]).check("psycopg");
}

fn asyncpg(scene: &Scene) {
    python("asyncpg_cases.py", &scene.target(), &[mode(scene)]).check("asyncpg");
}

fn node_postgres(scene: &Scene) {
    node("node_cases.js", &scene.target(), &[mode(scene)]).check("node-postgres");
}

fn mode(scene: &Scene) -> &'static str {
    match scene.way {
        Way::Direct | Way::Session => "session",
        Way::Transaction | Way::Statement => "transaction",
    }
}
