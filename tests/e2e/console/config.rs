//! SHOW CONFIG, SET and RELOAD.

use std::fs;

use pgweir_tests::{Cluster, Frame, Major, Pooler, Room, Scene, Way, Wire, cases, certificates};

cases! {
    pgbouncers_settings_in_its_notation;
    options_without_effect;
    every_setting_takes_its_own_value;
    certificates_by_set;
    users_by_set;
    what_drivers_set;
    a_reload_says_what_changed;
    a_reload_that_fails;
    the_log_says_who;
}

fn ini(room: &Room, port: u16, cluster: &Cluster, more: &str) -> String {
    let users = room.join("userlist.txt");
    fs::write(&users, "\"app\" \"app-secret\"\n\"ops\" \"ops-secret\"\n").expect("ours");
    format!(
        "[databases]\npostgres = host=127.0.0.1 port={}\n[pgbouncer]\nlisten_addr = 127.0.0.1\n\
         listen_port = {port}\nunix_socket_dir =\nauth_file = {}\nadmin_users = ops\n{more}\n",
        cluster.port(),
        users.display()
    )
}

fn with_ini(major: Major) -> Pooler {
    let cluster = Cluster::shared(major);
    Pooler::start_with_file("pgbouncer.ini", |room, port| ini(room, port, cluster, ""))
}

/// The rows of SHOW CONFIG: key, value, default, changeable.
fn settings(wire: &mut Wire) -> Vec<Vec<String>> {
    let frames = wire.query("SHOW CONFIG");
    let rows = frames.iter().filter(|frame| frame.tag == b'D');
    rows.map(Frame::row).collect()
}

fn value(wire: &mut Wire, key: &str) -> String {
    let rows = settings(wire);
    let row = rows.iter().find(|row| row[0] == key);
    row.expect(key)[1].clone()
}

/// What a command answers: its notices, and its tag.
fn answer(wire: &mut Wire, command: &str) -> (Vec<(String, String)>, String) {
    let frames = wire.query(command);
    let notices = frames.iter().filter(|frame| frame.tag == b'N');
    let notices = notices.map(|frame| (frame.error().severity, frame.error().message));
    let done = frames.iter().find(|frame| frame.tag == b'C');
    let done = done.unwrap_or_else(|| panic!("{command}: {frames:?}"));
    (notices.collect(), done.text())
}

fn pgbouncers_settings_in_its_notation(major: Major) {
    let pooler = with_ini(major);
    let mut console = Wire::connect(&pooler.console().database("pgbouncer"));
    let rows = settings(&mut console);
    let keys: Vec<&str> = rows.iter().map(|row| &*row[0]).collect();
    assert_eq!(
        keys[..3],
        ["admin_users", "application_name_add_host", "auth_dbname"]
    );
    assert_eq!(keys[99], "verbose");
    assert!(keys[100..].contains(&"error_style"));
    let check = |key: &str, expected: [&str; 3]| {
        let row = rows.iter().find(|row| row[0] == key).expect(key);
        assert_eq!(row[1..], expected, "{key}");
    };
    check("unix_socket_mode", ["511", "0777", "no"]);
    check("pool_mode", ["session", "session", "yes"]);
    check("listen_addr", ["127.0.0.1", "", "no"]);
    check("auth_ident_file", ["NULL", "NULL", "yes"]);
    let file = pooler.room().join("pgbouncer.ini");
    check("conffile", [&file.display().to_string(), "NULL", "yes"]);
    for (command, key, after) in [
        ("SET max_client_conn = 0x20", "max_client_conn", "32"),
        ("set \"max_client_conn\" to '010'", "max_client_conn", "8"),
        ("SET server_lifetime = '0.5';", "server_lifetime", "0.5"),
        ("SET pool_mode=Statement", "pool_mode", "statement"),
    ] {
        answer(&mut console, command);
        assert_eq!(value(&mut console, key), after, "{command}");
    }
    let (_, tag) = answer(
        &mut console,
        "set DEFAULT_pool_size = 5".to_lowercase().as_str(),
    );
    assert_eq!(tag, "SET default_pool_size=5");
    for command in [
        "SET max_client_conn = many",
        "SET log_stats = yes",
        "SET listen_port = 1",
        "SET nothing = 1",
    ] {
        let error = console.sql_error(command);
        let said = (&*error.severity, &*error.sqlstate, &*error.message);
        assert_eq!(said, ("ERROR", "08P01", "SET failed"), "{command}");
        assert!(!error.detail.is_empty());
    }
    // Until the next reload.
    answer(&mut console, "RELOAD");
    assert_eq!(value(&mut console, "pool_mode"), "session");
}

fn options_without_effect(major: Major) {
    let pooler = with_ini(major);
    let mut console = Wire::connect(&pooler.console());
    let (notices, tag) = answer(&mut console, "SET sbuf_loopcnt = 10");
    assert_eq!(tag, "SET sbuf_loopcnt=10");
    assert_eq!(notices[0].0, "WARNING");
    assert!(
        notices[0].1.starts_with("sbuf_loopcnt: has no effect"),
        "{notices:?}"
    );
}

/// What SHOW CONFIG shows, SET takes, in both notations.
fn every_setting_takes_its_own_value(major: Major) {
    let scene = Scene::new(major, Way::Transaction);
    for pooler in [scene.pooler(), &with_ini(major)] {
        let mut console = Wire::connect(&pooler.console());
        let before = settings(&mut console);
        for row in before
            .iter()
            .filter(|row| row[3] == "yes" && row[1] != "NULL")
        {
            let value = row[1].replace('\'', "''");
            answer(&mut console, &format!("SET {} = '{value}'", row[0]));
        }
        assert_eq!(settings(&mut console), before);
    }
}

fn certificates_by_set(major: Major) {
    let scene = Scene::new(major, Way::Transaction);
    let mut console = Wire::connect(&scene.pooler().console());
    let error = console.sql_error("SET client_tls_sslmode = require");
    assert!(error.detail.contains("client_tls_key_file"), "{error:?}");
    let certificate = certificates().server();
    answer(
        &mut console,
        &format!("SET client_tls_cert_file = '{}'", certificate.display()),
    );
    let key = certificates().server_key();
    answer(
        &mut console,
        &format!("SET client_tls_key_file = '{}'", key.display()),
    );
    answer(&mut console, "SET client_tls_sslmode = require");
    let error = Wire::try_connect(&scene.target(), &[]).unwrap_err();
    assert_eq!(error.message, "SSL required");
    assert_eq!(
        scene.target().with("sslmode", "require").sql("SELECT 1"),
        "1"
    );
}

fn users_by_set(major: Major) {
    let pooler = with_ini(major);
    let mut console = Wire::connect(&pooler.console());
    let more = pooler.room().join("more.txt");
    fs::write(
        &more,
        "\"other\" \"other-secret\"\n\"ops\" \"ops-secret\"\n",
    )
    .expect("ours");
    answer(
        &mut console,
        &format!("SET auth_file = '{}'", more.display()),
    );
    let target = pooler.target("postgres").user("other");
    assert_eq!(target.sql("SELECT current_user"), "other");
    let error = console.sql_error("SET auth_file = '/nowhere/at/all'");
    assert!(error.detail.contains("/nowhere/at/all"), "{error:?}");
    assert_eq!(target.sql("SELECT current_user"), "other");
}

fn what_drivers_set(major: Major) {
    let scene = Scene::new(major, Way::Transaction);
    let mut console = Wire::connect(&scene.pooler().console().user("watch"));
    for key in [
        "client_encoding",
        "default_transaction_isolation",
        "standard_conforming_strings",
        "datestyle",
        "timezone",
        "extra_float_digits",
    ] {
        let said = answer(&mut console, &format!("SET {key} = 'x'"));
        let notice = ("NOTICE".to_owned(), "SET ignored".to_owned());
        assert_eq!(said, (vec![notice], "SET".to_owned()), "{key}");
    }
    assert_eq!(console.sql("SHOW datestyle"), ["ISO"]);
    assert_eq!(
        console.sql_error("SET work_mem = 1").message,
        "admin access needed"
    );
}

fn a_reload_says_what_changed(major: Major) {
    let cluster = Cluster::shared(major);
    let pooler = with_ini(major);
    let mut console = Wire::connect(&pooler.console());
    let plain = |text: &str| ("NOTICE".to_owned(), format!("RELOAD: {text}"));
    let (notices, _) = answer(&mut console, "RELOAD");
    assert_eq!(notices, [plain("nothing changed")]);
    let users = "\"app\" \"changed\"\n\"new\" \"x\"\n\"ops\" \"ops-secret\"\n";
    fs::write(pooler.room().join("userlist.txt"), users).expect("ours");
    let (notices, tag) = answer(&mut console, "RELOAD");
    let text = "users added to auth_file: new; secrets changed in auth_file: app";
    assert_eq!((notices, tag), (vec![plain(text)], "RELOAD".to_owned()));
    let more = "listen_backlog = 7\nmax_client_conn = 7\n[users]\nold = pool_size=3";
    let text = ini(pooler.room(), pooler.port(), cluster, more);
    fs::write(pooler.room().join("pgbouncer.ini"), text).expect("ours");
    let (notices, _) = answer(&mut console, "RELOAD");
    let changed = "settings: max_client_conn; users added: old; \
                   users removed from auth_file: new; secrets changed in auth_file: app";
    let restart = "listen_backlog: changed in the configuration, takes effect only after a restart";
    assert_eq!(
        notices,
        [plain(changed), ("WARNING".to_owned(), restart.to_owned())]
    );
}

fn a_reload_that_fails(major: Major) {
    let pooler = with_ini(major);
    let mut console = Wire::connect(&pooler.console());
    fs::write(
        pooler.room().join("pgbouncer.ini"),
        "[pgbouncer]\npool_mode = x\n",
    )
    .expect("ours");
    let error = console.sql_error("RELOAD");
    assert_eq!(
        (&*error.severity, &*error.sqlstate, &*error.message),
        (
            "ERROR",
            "F0000",
            "RELOAD failed, see logs for additional details"
        )
    );
    assert!(
        error.detail.contains("pgbouncer.ini:2: pool_mode"),
        "{error:?}"
    );
    assert_eq!(value(&mut console, "pool_mode"), "session");
}

fn the_log_says_who(major: Major) {
    let scene = Scene::new(major, Way::Transaction);
    let pooler = scene.pooler();
    pooler.ask(&format!("DISABLE {}", scene.database));
    pooler.logs(&format!("DISABLE '{}' command issued", scene.database));
    pooler.ask("SET stats_period = 7");
    let log = pooler.log();
    let line = log
        .lines()
        .find(|line| line.contains("SET stats_period=7 command issued"));
    let line = line.expect("it is logged");
    assert!(
        line.contains("ops") && line.contains("peer=127.0.0.1:"),
        "{line}"
    );
}
