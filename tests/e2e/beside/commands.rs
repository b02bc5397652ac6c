//! What the console is told to do.

use pgweir_tests::Wire;
use pgweir_wire::encode;

use super::stage::{Side, Stage};

/// Commands that only answer, good and bad.
const ANSWERS: &[&str] = &[
    "",
    ";",
    "nonsense",
    "nonsense with words",
    "SELECT 1",
    "SELECT version",
    "SHOW",
    "SHOW nonsense",
    "SHOW VERSION extra",
    "show state",
    "SHOW STATE;",
    "  SHOW  STATE  ; ",
    "SHOW STATE; SHOW STATE",
    "SHOW STATE -- comment",
    "PAUSE nowhere",
    "PAUSE pgbouncer",
    "PAUSE shop extra",
    "PAUSE \"shop\"",
    "PAUSE shop",
    "RESUME shop",
    "RESUME shop;",
    "RESUME",
    "RESUME nowhere",
    "RESUME pgbouncer",
    "PAUSE",
    "PAUSE;",
    "RESUME;",
    "DISABLE",
    "DISABLE nowhere",
    "DISABLE pgbouncer",
    "DISABLE shop",
    "ENABLE",
    "ENABLE nowhere",
    "ENABLE pgbouncer",
    "ENABLE shop",
    "KILL nowhere",
    "KILL pgbouncer",
    "KILL shop",
    "KILL shop;",
    "RESUME  shop",
    "RECONNECT",
    "RECONNECT nowhere",
    "RECONNECT pgbouncer",
    "RECONNECT shop",
    "WAIT_CLOSE",
    "WAIT_CLOSE nowhere",
    "WAIT_CLOSE pgbouncer",
    "WAIT_CLOSE shop",
    "RELOAD",
    "RELOAD extra",
    "SUSPEND extra",
    "SHUTDOWN extra",
    "SET query_timeout = 5",
    "SET query_timeout = '6'",
    "SET query_timeout TO 7",
    "SET query_timeout=8;",
    "SET query_timeout = nonsense",
    "SET query_timeout = -1",
    "SET query_timeout",
    "SET nonsense = 1",
    "SET pool_mode = transaction",
    "SET pool_mode = nonsense",
    "SET listen_port = 1",
    "SET listen_backlog = 1",
    "SET server_reset_query = 'it''s'",
    "SET client_encoding = 'UTF8'",
    "SET datestyle TO ISO",
    "SET timezone = 'GMT'",
    "SET standard_conforming_strings = on",
    "SET default_transaction_isolation = 'read committed'",
    "SET extra_float_digits = 3",
    "SET application_name = 'me'",
    "SHOW client_encoding",
    "SHOW default_transaction_isolation",
    "SHOW standard_conforming_strings",
    "SHOW datestyle",
    "SHOW timezone",
    "BEGIN",
    "PAUSE this_word_has_more_than_sixty_three_bytes_and_that_is_too_many_for_it",
    "THISWORDHASMANYBYTES",
];

/// What a command answers.
pub(super) fn commands(stage: &mut Stage) {
    let pooler = stage.start(&[], "");
    let mut console = Wire::connect(&Stage::console(&pooler));
    for command in ANSWERS {
        stage.ask("", &mut console, command);
    }
    let mut watch = Wire::connect(&pooler.target("pgbouncer").user("watch"));
    for command in [
        "SHOW STATE",
        "SHOW DATABASES extra",
        "SHOW FDS",
        "PAUSE",
        "RESUME",
        "DISABLE shop",
        "ENABLE shop",
        "KILL",
        "RECONNECT",
        "WAIT_CLOSE",
        "RELOAD",
        "SUSPEND",
        "SHUTDOWN",
        "SET query_timeout = 1",
        "SET client_encoding = 'UTF8'",
        "nonsense",
    ] {
        stage.ask("stats user", &mut watch, command);
    }
    stage.send("extended query", &mut console, |out| {
        encode::parse(b"", b"SHOW VERSION", &[], out);
        encode::sync(out);
    });
    let mut console = Wire::connect(&Stage::console(&pooler));
    stage.send("function call", &mut console, |out| {
        encode::frame(b'F', b"\0\0\0\0", out);
    });
    let mut console = Wire::connect(&Stage::console(&pooler));
    stage.send("an unknown packet", &mut console, |out| {
        encode::frame(b'y', b"", out);
    });
}

/// What commands do to the others.
pub(super) fn effects(stage: &mut Stage) {
    let pooler = stage.start(&[("pool_mode", "transaction")], "");
    let mut console = Wire::connect(&Stage::console(&pooler));
    let mut client = Wire::connect(&pooler.target("shop"));
    client.sql("SELECT 1");
    stage.ask("first", &mut console, "PAUSE shop");
    stage.ask("again", &mut console, "PAUSE shop");
    stage.ask("a database is paused", &mut console, "SUSPEND");
    client.write(|out| encode::query(b"SELECT 2", out));
    client.silent();
    stage.ask("first", &mut console, "RESUME shop");
    stage.hear("a query that waited for RESUME", &mut client);

    stage.ask("all", &mut console, "PAUSE");
    stage.ask("all, again", &mut console, "PAUSE");
    stage.ask("all paused", &mut console, "SHOW STATE");
    stage.ask("all paused", &mut console, "KILL shop");
    stage.ask("all paused", &mut console, "RESUME");

    stage.ask("", &mut console, "RECONNECT shop");
    stage.ask("after RECONNECT", &mut client, "SELECT 3");
    stage.ask("", &mut console, "DISABLE shop");
    stage.ask("after DISABLE", &mut client, "SELECT 4");
    stage.ask("", &mut console, "ENABLE shop");
    client.sql("BEGIN");
    stage.ask("", &mut console, "KILL shop");
    stage.hear("a client that is killed", &mut client);
    stage.ask("after KILL", &mut console, "RESUME shop");
    stage.login("after KILL and RESUME", &pooler.target("shop"));

    stage.ask("", &mut console, "SUSPEND");
    stage.ask("again", &mut console, "SUSPEND");
    stage.ask("suspended", &mut console, "PAUSE");
    stage.ask("suspended", &mut console, "SHOW STATE");
    stage.ask("suspended", &mut console, "RESUME");

    let mut waiting = Wire::connect(&pooler.target("shop"));
    waiting.sql("BEGIN");
    console.write(|out| encode::query(b"PAUSE", out));
    console.silent();
    let mut second = Wire::connect(&Stage::console(&pooler));
    stage.ask("while PAUSE waits", &mut second, "PAUSE");
    stage.ask("while PAUSE waits", &mut second, "SHOW STATE");
    console.cancel(&Stage::console(&pooler));
    // PgBouncer has resumed when the request is over, and never answers the command; pgweir does both in order.
    if stage.side == Side::Pgweir {
        console.until_ready();
    }
    waiting.sql("COMMIT");
    stage.ask("after the cancelled PAUSE", &mut waiting, "SELECT 5");

    let mut client = Wire::connect(&pooler.target("shop"));
    let mut second = Wire::connect(&Stage::console(&pooler));
    // After it, PgBouncer may answer PAUSE and SUSPEND with this command's tag.
    stage.ask("", &mut second, "WAIT_CLOSE shop");
    stage.ask("", &mut second, "SHUTDOWN");
    stage.hear("a client at SHUTDOWN", &mut client);
}
