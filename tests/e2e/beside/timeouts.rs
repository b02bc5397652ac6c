//! Time that is over.

use pgweir_tests::Wire;
use pgweir_wire::startup::PROTOCOL_3_0;

use super::stage::Stage;

/// Each is one second here.
pub(super) fn timeouts(stage: &mut Stage) {
    let pooler = stage.start(&[("query_timeout", "1")], "");
    let mut wire = Wire::connect(&pooler.target("shop"));
    stage.ask("query_timeout", &mut wire, "SELECT pg_sleep(60)");

    let pooler = stage.start(&[("client_idle_timeout", "1")], "");
    let mut wire = Wire::connect(&pooler.target("shop"));
    stage.hear("client_idle_timeout", &mut wire);

    let pooler = stage.start(&[("idle_transaction_timeout", "1")], "");
    let mut wire = Wire::connect(&pooler.target("shop"));
    stage.ask("idle_transaction_timeout", &mut wire, "BEGIN");
    stage.hear("idle_transaction_timeout, then", &mut wire);

    let pooler = stage.start(&[("client_login_timeout", "1")], "");
    let mut wire = Wire::open(&pooler.target("shop"));
    stage.hear("client_login_timeout, nothing said", &mut wire);
    let shop = pooler.target("shop");
    let mut wire = Wire::open(&shop);
    wire.startup(&shop, PROTOCOL_3_0, &[]);
    stage.hear("client_login_timeout, no password", &mut wire);

    let settings = &[("query_wait_timeout", "1"), ("default_pool_size", "1")];
    let pooler = stage.start(settings, "");
    let mut first = Wire::connect(&pooler.target("shop"));
    first.sql("SELECT 1");
    let mut second = Wire::connect(&pooler.target("shop"));
    stage.ask("query_wait_timeout", &mut second, "SELECT 1");
}
