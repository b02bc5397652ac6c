//! What operators do with psql in the database `pgweir`.

mod config;
mod counts;
mod suspend;

use std::thread;
use std::time::Duration;

use pgweir_tests::{Config, Major, Pooler, Scene, Way, Wire, cases, eventually};
use pgweir_wire::encode;

cases! {
    every_show: transaction;
    columns_are_those_of_pgbouncer: transaction;
    who_may_do_what: transaction;
    errors: transaction;
    what_is_going_on: transaction;
    statistics: transaction;
    disable_and_enable: transaction;
    reconnect: transaction;
    a_console_that_is_killed;
    kill: transaction;
    kill_client: session transaction;
    set_and_show_config: transaction;
    reload: transaction;
    extended_protocol: transaction;
    sockets_by_their_descriptors;
}

/// Names of columns by SHOW, as monitoring programs expect them; ours may follow.
const COLUMNS: &[(&str, &str)] = &[
    (
        "POOLS",
        "database user cl_active cl_waiting cl_active_cancel_req cl_waiting_cancel_req sv_active sv_active_cancel \
         sv_being_canceled sv_idle sv_used sv_tested sv_login maxwait maxwait_us pool_mode load_balance_hosts",
    ),
    (
        "CLIENTS",
        "type user database replication state addr port local_addr local_port connect_time request_time wait wait_us \
         close_needed ptr link remote_pid tls application_name prepared_statements id",
    ),
    (
        "SERVERS",
        "type user database replication state addr port local_addr local_port connect_time request_time wait wait_us \
         close_needed ptr link remote_pid tls application_name prepared_statements id",
    ),
    (
        "DATABASES",
        "name host port database force_user pool_size min_pool_size reserve_pool_size server_lifetime pool_mode \
         load_balance_hosts max_connections current_connections max_client_connections current_client_connections \
         paused disabled",
    ),
    (
        "USERS",
        "name pool_size reserve_pool_size pool_mode max_user_connections current_connections \
         max_user_client_connections current_client_connections",
    ),
    ("LISTS", "list items"),
    (
        "STATS",
        "database total_server_assignment_count total_xact_count total_query_count total_received total_sent \
         total_xact_time total_query_time total_wait_time total_client_parse_count total_server_parse_count \
         total_bind_count total_client_login_count avg_server_assignment_count avg_xact_count avg_query_count avg_recv \
         avg_sent avg_xact_time avg_query_time avg_wait_time avg_client_parse_count avg_server_parse_count \
         avg_bind_count avg_client_login_count",
    ),
    (
        "STATS_TOTALS",
        "database server_assignment_count xact_count query_count bytes_received bytes_sent xact_time query_time \
         wait_time client_parse_count server_parse_count bind_count client_login_count",
    ),
    ("CONFIG", "key value default changeable"),
    ("STATE", "key value"),
    ("VERSION", "version"),
    ("MEM", "name size used free memtotal"),
    ("TOTALS", "name value"),
];

fn every_show(scene: &Scene) {
    scene.target().sql("SELECT 1");
    for show in [
        "HELP",
        "POOLS",
        "CLIENTS",
        "SERVERS",
        "DATABASES",
        "USERS",
        "LISTS",
        "STATS",
        "STATS_TOTALS",
        "STATS_AVERAGES",
        "TOTALS",
        "CONFIG",
        "STATE",
        "VERSION",
        "MEM",
        "SOCKETS",
        "ACTIVE_SOCKETS",
    ] {
        for database in ["pgweir", "pgbouncer"] {
            let mut wire = Wire::connect(&scene.pooler().console().database(database));
            let frames = wire.query(&format!("SHOW {show};"));
            let tags: String = frames.iter().map(|frame| char::from(frame.tag)).collect();
            let expected = if show == "HELP" { "NCZ" } else { "TCZ" };
            assert_eq!(tags.replace('D', ""), expected, "SHOW {show}");
            assert_eq!(frames[frames.len() - 2].text(), "SHOW");
        }
    }
}

fn columns_are_those_of_pgbouncer(scene: &Scene) {
    // With a row in each table: psql shows the names even without.
    let _held = Wire::connect(&scene.target()).sql("SELECT 1");
    for (show, columns) in COLUMNS {
        let mut program = scene.pooler().console().program("psql");
        program.args(["-XAq", "-P", "footer=off", "-c", &format!("SHOW {show}")]);
        let outcome = pgweir_tests::Outcome::of(&mut program, "");
        outcome.check(show);
        let expected = columns
            .split_ascii_whitespace()
            .collect::<Vec<_>>()
            .join("|");
        let line = outcome.stdout.lines().next().unwrap_or_default();
        assert!(
            line == expected || line.starts_with(&format!("{expected}|")),
            "SHOW {show}\n{line}\n{expected}"
        );
    }
}

fn who_may_do_what(scene: &Scene) {
    let console = scene.pooler().console();
    let watcher = console.user("watch");
    assert!(watcher.sql("SHOW DATABASES").contains(&scene.database));
    watcher.psql("PAUSE").check_failure("admin access needed");
    watcher.psql("RELOAD").check_failure("admin access needed");
    watcher
        .psql("SHUTDOWN")
        .check_failure("admin access needed");
    console
        .user("app")
        .psql("SHOW POOLS")
        .check_failure("not allowed");
    console
        .password("wrong")
        .psql("SHOW POOLS")
        .check_failure("FATAL");
    // What drivers say before anything else.
    assert_eq!(
        watcher.sql("SET client_encoding = 'UTF8'; SHOW client_encoding"),
        "UTF-8"
    );
}

fn errors(scene: &Scene) {
    let mut wire = Wire::connect(&scene.pooler().console());
    for (command, message) in [
        (
            "SHOW NOTHING",
            "invalid command 'SHOW NOTHING', use SHOW HELP;",
        ),
        ("", "invalid command '', use SHOW HELP;"),
        (
            "DROP DATABASE x",
            "invalid command 'DROP DATABASE x', use SHOW HELP;",
        ),
        // It showed secrets; PgBouncer 1.26 has it no more.
        ("PAUSE nowhere", "no such database: nowhere"),
        ("RESUME", "pooler is not paused/suspended"),
        ("DISABLE", "a database is required"),
        ("KILL_CLIENT 4711", "client not found"),
    ] {
        let error = wire.sql_error(command);
        assert_eq!(
            (error.severity.as_str(), error.sqlstate.as_str()),
            ("ERROR", "08P01"),
            "{command}"
        );
        assert_eq!(error.message, message);
    }
    let name = &scene.database;
    assert_eq!(
        wire.sql_error(&format!("RESUME {name}")).message,
        format!("database {name} is not paused")
    );
}

fn what_is_going_on(scene: &Scene) {
    let pooler = scene.pooler();
    let parameters = [("application_name", "shown")];
    let mut wire = Wire::try_connect(&scene.target(), &parameters).unwrap();
    wire.sql("BEGIN");
    let pid = wire.sql("SELECT pg_backend_pid()");
    let find = |show: &str, state: &str| {
        let rows = pooler.rows(show);
        let row = rows
            .iter()
            .find(|row| row.text("database") == scene.database && row.text("state") == state);
        row.unwrap_or_else(|| panic!("no {state} in {rows:?}"))
            .clone()
    };
    let client = find("SHOW CLIENTS", "active");
    let server = find("SHOW SERVERS", "active");
    assert_eq!(
        (client.text("user"), client.text("application_name")),
        ("app", "shown")
    );
    assert_eq!(
        (client.text("link"), server.text("link")),
        (server.text("ptr"), client.text("ptr"))
    );
    assert_eq!(server.text("remote_pid"), pid[0]);
    assert_eq!(server.number("port"), i64::from(scene.cluster.port()));
    wire.sql("COMMIT");
    assert_eq!(find("SHOW CLIENTS", "idle").text("link"), "");
    assert_eq!(find("SHOW SERVERS", "idle").text("link"), "");
    let databases = pooler.rows("SHOW DATABASES");
    let database = databases
        .iter()
        .find(|row| row.text("name") == scene.database)
        .unwrap();
    assert_eq!(
        (
            database.number("current_connections"),
            database.number("current_client_connections")
        ),
        (1, 1)
    );
    assert_eq!(database.number("pool_size"), 4);
    let lists = pooler.rows("SHOW LISTS");
    let used = lists
        .iter()
        .find(|row| row.text("list") == "used_clients")
        .unwrap();
    assert_eq!(used.number("items"), 2);
}

fn statistics(scene: &Scene) {
    let pooler = scene.pooler();
    let mut wire = Wire::connect(&scene.target());
    for _ in 0..10 {
        wire.sql("SELECT repeat('x', 10000)");
    }
    wire.sql("BEGIN");
    wire.sql("SELECT pg_sleep(0.1)");
    wire.sql("COMMIT");
    let stats = || {
        let rows = pooler.rows("SHOW STATS");
        rows.into_iter()
            .find(|row| row.text("database") == scene.database)
            .unwrap()
    };
    let row = stats();
    assert_eq!(
        (
            row.number("total_xact_count"),
            row.number("total_query_count")
        ),
        (11, 13)
    );
    assert!(
        row.number("total_sent") > 100_000 && row.number("total_sent") < 120_000,
        "{row:?}"
    );
    assert!(
        row.number("total_received") > 250 && row.number("total_received") < 2000,
        "{row:?}"
    );
    assert!(
        row.number("total_xact_time") >= 100_000 && row.number("total_query_time") >= 100_000,
        "{row:?}"
    );
    assert_eq!(row.number("total_client_login_count"), 1);
    // Asking does not change what is asked for.
    assert_eq!(stats(), row);
    wire.write(|out| {
        encode::parse(b"name", b"SELECT 1", &[], out);
        for _ in 0..3 {
            encode::bind(b"", b"name", &[], out);
            encode::execute(b"", 0, out);
        }
        encode::sync(out);
    });
    wire.until_ready();
    let row = stats();
    let counts = [
        "total_client_parse_count",
        "total_server_parse_count",
        "total_bind_count",
    ];
    assert_eq!(counts.map(|name| row.number(name)), [1, 1, 3]);
}

fn disable_and_enable(scene: &Scene) {
    let pooler = scene.pooler();
    let mut wire = Wire::connect(&scene.target());
    pooler.ask(&format!("DISABLE {}", scene.database));
    let error = Wire::try_connect(&scene.target(), &[]).unwrap_err();
    assert_eq!(
        error.message,
        format!("database \"{}\" is disabled", scene.database)
    );
    assert_eq!(wire.sql("SELECT 1"), ["1"]);
    pooler.ask(&format!("ENABLE {}", scene.database));
    assert_eq!(scene.target().sql("SELECT 1"), "1");
}

fn reconnect(scene: &Scene) {
    let mut wire = Wire::connect(&scene.target());
    let pid = wire.sql("SELECT pg_backend_pid()");
    assert_eq!(wire.sql("SELECT pg_backend_pid()"), pid);
    scene.pooler().ask("RECONNECT");
    let new = wire.sql("SELECT pg_backend_pid()");
    assert_ne!(new, pid);
    // A transaction keeps its connection; WAIT_CLOSE waits for its end.
    wire.sql("BEGIN");
    scene.pooler().ask(&format!("RECONNECT {}", scene.database));
    assert_eq!(wire.sql("SELECT pg_backend_pid()"), new);
    let mut console = Wire::connect(&scene.pooler().console());
    console.write(|out| encode::query(b"WAIT_CLOSE", out));
    console.silent();
    wire.sql("COMMIT");
    console.until_ready();
    assert_ne!(wire.sql("SELECT pg_backend_pid()"), new);
}

fn a_console_that_is_killed(major: Major) {
    let scene = Scene::new(major, Way::Transaction);
    let mut idle = Wire::connect(&scene.pooler().console());
    idle.sql("SHOW VERSION");
    let rows = scene.pooler().rows("SHOW CLIENTS");
    let first = rows.iter().map(|row| row.number("id")).min().unwrap();
    scene.pooler().ask(&format!("KILL_CLIENT {first}"));
    idle.closed();
}

fn kill(scene: &Scene) {
    let mut wire = Wire::connect(&scene.target());
    wire.sql("BEGIN");
    scene.pooler().ask(&format!("KILL {}", scene.database));
    let error = wire.last_error();
    assert_eq!(
        (error.severity.as_str(), error.message.as_str()),
        ("FATAL", "database removed")
    );
    // The database is paused now.
    let target = scene.target();
    let late = thread::spawn(move || target.sql("SELECT 'at last'"));
    thread::sleep(Duration::from_millis(100));
    scene.pooler().ask(&format!("RESUME {}", scene.database));
    assert_eq!(late.join().unwrap(), "at last");
}

fn kill_client(scene: &Scene) {
    let mut wire = Wire::try_connect(&scene.target(), &[("application_name", "victim")]).unwrap();
    let mut other = Wire::connect(&scene.target());
    other.sql("SELECT 1");
    wire.write(|out| encode::query(b"SELECT pg_sleep(30)", out));
    scene.busy();
    let rows = scene.pooler().rows("SHOW CLIENTS");
    let row = rows
        .iter()
        .find(|row| row.text("application_name") == "victim")
        .unwrap();
    scene
        .pooler()
        .ask(&format!("KILL_CLIENT {}", row.number("id")));
    let error = wire.last_error();
    assert_eq!(
        (error.severity.as_str(), error.message.as_str()),
        ("FATAL", "admin forced disconnect")
    );
    assert_eq!(other.sql("SELECT 1"), ["1"]);
    let sleeping = "SELECT count(*) FROM pg_stat_activity WHERE query LIKE '%pg_sleep(30)' AND state = 'active'";
    eventually("its query is cancelled", || {
        (scene.admin(sleeping) == "0").then_some(())
    });
}

fn config(pooler: &Pooler, key: &str) -> String {
    let rows = pooler.rows("SHOW CONFIG");
    rows.iter()
        .find(|row| row.text("key") == key)
        .unwrap()
        .text("value")
        .to_owned()
}

fn set_and_show_config(scene: &Scene) {
    let pooler = scene.pooler();
    assert_eq!(config(pooler, "default_pool_size"), "4");
    pooler.ask("SET default_pool_size = 1");
    assert_eq!(config(pooler, "default_pool_size"), "1");
    let mut wires: Vec<Wire> = (0..2).map(|_| Wire::connect(&scene.target())).collect();
    wires[0].sql("BEGIN");
    wires[1].write(|out| encode::query(b"SELECT 1", out));
    wires[1].silent();
    pooler.ask("SET default_pool_size = '2'");
    wires[1].until_ready();
    pooler
        .console()
        .psql("SET default_pool_size = many")
        .check_failure("SET failed");
    pooler
        .console()
        .psql("SET nothing = 1")
        .check_failure("SET failed");
    // Until the next reload.
    pooler.ask("RELOAD");
    assert_eq!(config(pooler, "default_pool_size"), "4");
}

fn reload(scene: &Scene) {
    let pooler = scene.pooler();
    let base = Config::of(scene.cluster, &scene.database);
    let mut wire = Wire::connect(&scene.target());
    wire.sql("BEGIN");
    let pid = wire.sql("SELECT pg_backend_pid()");
    // More of everything; nobody is disturbed.
    let more = base.clone().database("added", scene.cluster).database_set(
        "added",
        "dbname",
        scene.database.clone(),
    );
    pooler.write(
        &more
            .set("default_pool_size", 7)
            .user_set("newcomer", "password", "x"),
    );
    pooler.ask("RELOAD");
    assert_eq!(config(pooler, "default_pool_size"), "7");
    assert_eq!(pooler.target("added").sql("SELECT 1"), "1");
    assert_eq!(wire.sql("SELECT pg_backend_pid()"), pid);
    wire.sql("COMMIT");
    assert_eq!(wire.sql("SELECT pg_backend_pid()"), pid);
    // A mistake: nothing changes, and the answer says so.
    pooler.write_text("[pgweir]\nlisten_port = 1\ndefault_pool_size = \"many\"\n");
    let error = Wire::connect(&pooler.console()).sql_error("RELOAD");
    assert_eq!(error.sqlstate, "F0000");
    pooler.logs("default_pool_size");
    assert_eq!(config(pooler, "default_pool_size"), "7");
    assert_eq!(wire.sql("SELECT pg_backend_pid()"), pid);
    // A database that is gone.
    let mut leaver = Wire::connect(&pooler.target("added"));
    leaver.sql("SELECT 1");
    pooler.write(&base);
    pooler.ask("RELOAD");
    assert_eq!(leaver.last_error().message, "database removed");
    pooler
        .target("added")
        .psql("SELECT 1")
        .check_failure("no such database: added");
    assert_eq!(wire.sql("SELECT pg_backend_pid()"), pid);
    // Counters go on.
    let rows = pooler.rows("SHOW STATS");
    let row = rows
        .iter()
        .find(|row| row.text("database") == scene.database)
        .unwrap();
    assert!(row.number("total_query_count") >= 7, "{row:?}");
}

fn extended_protocol(scene: &Scene) {
    // Some programs ask everything by Parse, Bind and Execute.
    let mut wire = Wire::connect(&scene.pooler().console());
    wire.write(|out| {
        encode::parse(b"", b"SHOW VERSION", &[], out);
        encode::bind(b"", b"", &[], out);
        encode::describe(b'P', b"", out);
        encode::execute(b"", 0, out);
        encode::sync(out);
    });
    let frames = wire.until_ready();
    let tags: String = frames.iter().map(|frame| char::from(frame.tag)).collect();
    assert_eq!(tags, "12TDCZ");
}

fn sockets_by_their_descriptors(major: Major) {
    let scene = Scene::new(major, Way::Transaction);
    let mut wire = Wire::connect(&scene.target());
    wire.sql("BEGIN");
    let pooler = scene.pooler();
    let rows = pooler.rows("SHOW FDS");
    let of = |task: &str, user: &str| {
        let rows = rows
            .iter()
            .filter(|row| row.text("task") == task && row.text("user") == user);
        rows.collect::<Vec<_>>()
    };
    let (listening, clients, servers) =
        (of("pooler", ""), of("client", "app"), of("server", "app"));
    assert_eq!(
        (listening.len(), clients.len(), servers.len()),
        (1, 1, 1),
        "{rows:#?}"
    );
    assert_eq!(listening[0].number("port"), i64::from(pooler.port()));
    assert_eq!(clients[0].text("database"), scene.database);
    assert_eq!(clients[0].number("link"), servers[0].number("fd"));
    assert_eq!(servers[0].number("link"), clients[0].number("fd"));
    // They are what the system calls them.
    let own = format!("/proc/{}/fd", pooler.process().id());
    // (The console's client has gone.)
    for row in [listening[0], clients[0], servers[0]] {
        let leads = std::fs::read_link(format!("{own}/{}", row.number("fd"))).expect("it is open");
        assert!(
            leads.display().to_string().starts_with("socket:"),
            "{row:?}"
        );
        for secret in ["cancel", "password", "scram_client_key", "scram_server_key"] {
            assert_eq!(row.text(secret), "");
        }
    }
    let watcher = pooler.console().user("watch");
    watcher
        .psql("SHOW FDS")
        .check_failure("admin access needed");
}
