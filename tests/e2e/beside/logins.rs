//! Who comes in, and what the others hear.

use pgweir_tests::{Target, Wire, eventually, free_port};
use pgweir_wire::encode;
use pgweir_wire::startup::PROTOCOL_3_0;

use super::stage::Stage;

/// Every way to log in, with every kind of user.
pub(super) fn logins(stage: &mut Stage) {
    for auth_type in ["trust", "plain", "md5", "scram-sha-256", "hba"] {
        let pooler = stage.start(&[("auth_type", auth_type)], "");
        let shop = pooler.target("shop");
        let mut attempt = |what: &str, target: &Target| {
            stage.login(&format!("{auth_type}: {what}"), target);
        };
        for user in ["app", "plain", "trusting", "old"] {
            attempt(user, &shop.user(user));
        }
        attempt("wrong password", &shop.password("wrong"));
        attempt(
            "wrong password of an md5 user",
            &shop.user("old").password("no"),
        );
        attempt(
            "wrong password of a plain user",
            &shop.user("plain").password("no"),
        );
        attempt("empty password", &shop.password(""));
        attempt(
            "empty password of a plain user",
            &shop.user("plain").password(""),
        );
        attempt("unknown user", &shop.user("stranger"));
        attempt("rejected user", &shop.user("rejected"));
        attempt("unknown database", &pooler.target("nowhere"));
        attempt(
            "unknown database, wrong password",
            &pooler.target("nowhere").password("wrong"),
        );
        let console = pooler.target("pgbouncer");
        attempt("console: admin", &console.user("ops"));
        attempt("console: stats", &console.user("watch"));
        attempt("console: neither", &console);
        attempt(
            "console: wrong password",
            &console.user("ops").password("no"),
        );
        attempt("console: unknown user", &console.user("stranger"));
        attempt("console: pgbouncer over TCP", &console.user("pgbouncer"));
    }
    let databases = "any = SERVER dbname=DATABASE user=app password=app-secret";
    let pooler = stage.start(&[("auth_type", "any")], databases);
    stage.login("any: forced user", &pooler.target("any").user("stranger"));
    stage.login("any: no forced user", &pooler.target("shop"));
    stage.login("any: console", &pooler.target("pgbouncer").user("stranger"));
    stage.login("any: unknown database", &pooler.target("nowhere"));
}

/// What a startup packet can be.
pub(super) fn packets(stage: &mut Stage) {
    let settings = &[
        ("ignore_startup_parameters", "extra_float_digits, ignored"),
        // For those who never say a whole packet.
        ("client_login_timeout", "2"),
    ];
    let pooler = stage.start(settings, "");
    let shop = pooler.target("shop");
    stage.told("settings", &shop);
    stage.told("settings of the console", &Stage::console(&pooler));
    for (name, value) in [
        ("application_name", "me"),
        ("client_encoding", "LATIN1"),
        ("client_encoding", "bogus"),
        ("DateStyle", "German"),
        ("TimeZone", "Europe/Rome"),
        ("standard_conforming_strings", "off"),
        ("IntervalStyle", "iso_8601"),
        ("extra_float_digits", "2"),
        ("ignored", "1"),
        ("search_path", "public"),
        ("geqo", "off"),
        ("no_such_parameter", "1"),
        ("options", "-c geqo=off"),
        ("options", "-c extra_float_digits=2"),
        ("options", "-c application_name=me"),
        ("options", "--application-name=me"),
        ("options", "-x"),
        ("replication", "off"),
        ("replication", "true"),
        ("replication", "database"),
        ("replication", "nonsense"),
        ("_pq_.what", "1"),
    ] {
        let what = format!("{name}={value}");
        stage.login_with(&what, &shop, PROTOCOL_3_0, &[(name, value)]);
    }
    for (what, version) in [
        ("protocol 2.0", 2 << 16),
        ("protocol 3.2", 3 << 16 | 2),
        ("protocol 3.9999", 3 << 16 | 9999),
        ("protocol 4.0", 4 << 16),
    ] {
        stage.login_with(what, &shop, version, &[]);
    }
    let long = |count: usize| "x".repeat(count);
    stage.login("no user", &Target::new(pooler.port(), "shop", ""));
    stage.login("user of 63 bytes", &shop.user(&long(63)));
    stage.login("user of 127 bytes", &shop.user(&long(127)));
    stage.login("user of 128 bytes", &shop.user(&long(128)));
    stage.login("database of 100 bytes", &pooler.target(&long(100)));
    nonsense(stage, &shop);
    for (name, code) in [("SSLRequest", 0x2f), ("GSSENCRequest", 0x30)] {
        let mut wire = Wire::open(&shop);
        wire.send(&[0, 0, 0, 8, 4, 0xd2, 0x16, code]);
        let answer = wire.bytes(1);
        stage.note(name, String::from_utf8_lossy(&answer));
        wire.startup(&shop, PROTOCOL_3_0, &[]);
        wire.login(&shop).expect("it goes on without");
    }
}

/// What is no startup packet at all.
fn nonsense(stage: &mut Stage, shop: &Target) {
    let mut raw = |name: &str, bytes: &[u8]| {
        let mut wire = Wire::open(shop);
        wire.send(bytes);
        stage.hear(name, &mut wire);
    };
    raw("HTTP", b"GET / HTTP/1.1\r\n\r\n");
    raw("length 3", &[0, 0, 0, 3, 0, 0, 0, 0]);
    raw("length 8 and no code", &[0, 0, 0, 8, 0, 0, 0, 0]);
    raw("no terminator", b"\0\0\0\x12\0\x03\0\0user\0app\0x");
    raw(
        "cancel nobody",
        &[0, 0, 0, 16, 4, 0xd2, 0x16, 0x2e, 1, 2, 3, 4, 5, 6, 7, 8],
    );
    let mut query = Vec::new();
    encode::startup_message(
        PROTOCOL_3_0,
        [("user", "app"), ("database", "shop")],
        &mut query,
    );
    encode::query(b"SELECT 1", &mut query);
    raw("a query in the place of a password", &query);
}

/// Where it is full or closed.
pub(super) fn limits(stage: &mut Stage) {
    let pooler = stage.start(&[("max_client_conn", "1")], "");
    let first = eventually("the one before has been forgotten", || {
        Wire::try_connect(&pooler.target("shop"), &[]).ok()
    });
    stage.login("max_client_conn", &pooler.target("shop"));
    stage.login("max_client_conn, console", &Stage::console(&pooler));
    drop(first);

    let pooler = stage.start(
        &[("max_db_connections", "1"), ("query_wait_timeout", "1")],
        "",
    );
    let mut first = Wire::connect(&pooler.target("shop"));
    first.sql("SELECT 1");
    let mut second = Wire::connect(&pooler.target("shop"));
    stage.ask("max_db_connections", &mut second, "SELECT 1");

    let pooler = stage.start(
        &[("max_user_connections", "1"), ("query_wait_timeout", "1")],
        "",
    );
    let mut first = Wire::connect(&pooler.target("shop"));
    first.sql("SELECT 1");
    let mut second = Wire::connect(&pooler.target("shop"));
    stage.ask("max_user_connections", &mut second, "SELECT 1");

    let pooler = stage.start(&[], "");
    let mut console = Wire::connect(&Stage::console(&pooler));
    stage.ask("", &mut console, "DISABLE shop");
    stage.login("database disabled", &pooler.target("shop"));
    stage.login(
        "database disabled, wrong password",
        &pooler.target("shop").password("no"),
    );
    stage.ask("", &mut console, "ENABLE shop");
    stage.login("database enabled", &pooler.target("shop"));
}

/// Servers that do not let anybody in, and servers that are not there.
pub(super) fn servers(stage: &mut Stage) {
    let down = free_port();
    let databases = format!(
        "nowhere = SERVER dbname=nowhere\ndown = host=127.0.0.1 port={down} dbname=DATABASE\n\
         stranger = SERVER dbname=DATABASE user=stranger password=x\n\
         wrong = SERVER dbname=DATABASE user=app password=wrong\n\
         unresolved = host=no-such-host.invalid dbname=DATABASE\n\
         bad = SERVER dbname=DATABASE connect_query='SELECT nonsense'\n\
         unset = SERVER dbname=DATABASE client_encoding=bogus"
    );
    let settings = &[("client_login_timeout", "3"), ("auth_type", "md5")];
    let pooler = stage.start(settings, &databases);
    for database in [
        "nowhere",
        "down",
        "stranger",
        "wrong",
        "unresolved",
        "bad",
        "unset",
    ] {
        stage.login(database, &pooler.target(database));
    }
    stage.login(
        "another password",
        &pooler
            .target("shop")
            .user("walker")
            .password("not the server's"),
    );
    stage.login("md5 hash for SCRAM", &pooler.target("shop").user("other"));

    let pooler = stage.start(&[("pool_mode", "transaction")], "");
    let mut wire = Wire::connect(&pooler.target("shop"));
    stage.ask(
        "server killed",
        &mut wire,
        "SELECT pg_terminate_backend(pg_backend_pid())",
    );
    let mut wire = Wire::connect(&pooler.target("shop"));
    wire.sql("BEGIN");
    let pid = wire.sql("SELECT pg_backend_pid()");
    stage.cluster.admin(
        "postgres",
        &format!("SELECT pg_terminate_backend({})", pid[0]),
    );
    stage.hear("server killed in a transaction", &mut wire);
    let mut wire = Wire::connect(&pooler.target("shop"));
    let pid = wire.sql("SELECT pg_backend_pid()");
    stage.cluster.admin(
        "postgres",
        &format!("SELECT pg_terminate_backend({})", pid[0]),
    );
    let gone = format!(
        "SELECT count(*) FROM pg_stat_activity WHERE pid = {}",
        pid[0]
    );
    eventually("the server has gone", || {
        (stage.cluster.admin("postgres", &gone) == "0").then_some(())
    });
    let mut console = Wire::connect(&Stage::console(&pooler));
    eventually("the pooler knows", || {
        console.sql("SHOW SERVERS").is_empty().then_some(())
    });
    stage.ask("after an idle server was killed", &mut wire, "SELECT 1");
}
