//! What follows a client from one server connection to the next in transaction mode.

use pgweir_tests::{Config, Major, Scene, Way, Wire, cases};
use pgweir_wire::encode;

cases! {
    resets_to_the_servers_own_value: direct session transaction;
    a_discard_all_that_fails: direct session transaction;
    values_in_other_encodings;
    what_hides_from_a_quick_look;
    prepared_statements_are_shared;
    prepared_statements_beyond_the_limit;
    prepared_statements_and_discard;
    a_changed_table_is_prepared_again;
    settings_follow_the_client;
    what_a_server_has_anyway_is_not_set;
    the_defaults_of_a_login_last;
    a_reset_leads_back_to_the_startup_packet;
    a_bad_setting_of_the_startup_packet;
}

fn transaction_mode(major: Major, change: impl FnOnce(Config) -> Config) -> Scene {
    Scene::with(major, Way::Transaction, change)
}

/// Parse, Bind, Execute and Sync, or without Parse.
fn execute(wire: &mut Wire, name: &str, sql: Option<&str>) -> Vec<String> {
    wire.write(|out| {
        if let Some(sql) = sql {
            encode::parse(name.as_bytes(), sql.as_bytes(), &[], out);
        }
        encode::bind(b"", name.as_bytes(), &[], out);
        encode::execute(b"", 0, out);
        encode::sync(out);
    });
    let frames = wire.until_ready();
    if let Some(error) = frames.iter().find(|frame| frame.tag == b'E') {
        panic!("{name} {sql:?} {:?}", error.error());
    }
    frames
        .iter()
        .filter(|frame| frame.tag == b'D')
        .map(|frame| frame.row().join("|"))
        .collect()
}

const STATEMENTS: &str = "SELECT count(*) FROM pg_prepared_statements";

fn prepared_statements_are_shared(major: Major) {
    let scene = transaction_mode(major, |config| config.set("default_pool_size", 1));
    let mut wires: Vec<Wire> = (0..5).map(|_| Wire::connect(&scene.target())).collect();
    for (number, wire) in wires.iter_mut().enumerate() {
        // Names differ, the text does not.
        assert_eq!(
            execute(wire, &format!("mine{number}"), Some("SELECT 'same'")),
            ["same"]
        );
    }
    for (number, wire) in wires.iter_mut().enumerate() {
        assert_eq!(execute(wire, &format!("mine{number}"), None), ["same"]);
    }
    assert_eq!(wires[0].sql(STATEMENTS), ["1"]);
    // The text is the same, the types of the parameters are not.
    let types = [23_u32, 25];
    for (wire, kind) in wires.iter_mut().zip(types) {
        wire.write(|out| {
            encode::parse(b"typed", b"SELECT pg_typeof($1)", &kind.to_be_bytes(), out);
            encode::bind(b"", b"typed", &[Some(b"1")], out);
            encode::execute(b"", 0, out);
            encode::sync(out);
        });
        let frames = wire.until_ready();
        assert_eq!(
            frames[2].row(),
            [if kind == 23 { "integer" } else { "text" }]
        );
    }
}

fn prepared_statements_beyond_the_limit(major: Major) {
    let scene = transaction_mode(major, |config| {
        config
            .set("default_pool_size", 1)
            .set("max_prepared_statements", 5)
    });
    let mut wires: Vec<Wire> = (0..3).map(|_| Wire::connect(&scene.target())).collect();
    for wire in &mut wires {
        for number in 0..20 {
            let sql = format!("SELECT {number}");
            assert_eq!(
                execute(wire, &format!("name{number}"), Some(&sql)),
                [number.to_string()]
            );
        }
    }
    for number in [3, 17, 3, 0, 19, 11, 4] {
        for wire in &mut wires {
            assert_eq!(
                execute(wire, &format!("name{number}"), None),
                [number.to_string()]
            );
        }
    }
    let on_server: u32 = wires[0].sql(STATEMENTS)[0].parse().unwrap();
    assert!(on_server <= 6, "{on_server}");
    // More in one pipeline than the limit: all must be there at the same time.
    wires[0].write(|out| {
        for number in 0..20 {
            encode::bind(b"", format!("name{number}").as_bytes(), &[], out);
            encode::execute(b"", 0, out);
        }
        encode::sync(out);
    });
    let frames = wires[0].until_ready();
    let rows: Vec<String> = frames
        .iter()
        .filter(|frame| frame.tag == b'D')
        .map(|frame| frame.row().concat())
        .collect();
    assert_eq!(
        rows,
        (0..20).map(|number| number.to_string()).collect::<Vec<_>>()
    );
}

fn prepared_statements_and_discard(major: Major) {
    let scene = transaction_mode(major, |config| config.set("default_pool_size", 1));
    let mut first = Wire::connect(&scene.target());
    let mut second = Wire::connect(&scene.target());
    for discard in ["DISCARD ALL", "DEALLOCATE ALL", "DISCARD PLANS"] {
        assert_eq!(
            execute(&mut first, "name", Some("SELECT 'first'")),
            ["first"]
        );
        assert_eq!(
            execute(&mut second, "name", Some("SELECT 'second'")),
            ["second"]
        );
        // It throws away what the server has for the other client, too; that one must not notice.
        first.sql(discard);
        assert_eq!(execute(&mut second, "name", None), ["second"], "{discard}");
        for wire in [&mut first, &mut second] {
            wire.write(|out| {
                encode::close(b'S', b"name", out);
                encode::sync(out);
            });
            wire.until_ready();
        }
    }
}

fn a_changed_table_is_prepared_again(major: Major) {
    let scene = transaction_mode(major, |config| config.set("default_pool_size", 1));
    scene.admin("CREATE TABLE changing (a int); INSERT INTO changing VALUES (1); GRANT ALL ON changing TO app");
    let mut wire = Wire::connect(&scene.target());
    assert_eq!(
        execute(&mut wire, "name", Some("SELECT * FROM changing")),
        ["1"]
    );
    scene.admin("ALTER TABLE changing ADD b int");
    wire.write(|out| {
        encode::bind(b"", b"name", &[], out);
        encode::execute(b"", 0, out);
        encode::sync(out);
    });
    let frames = wire.until_ready();
    // PostgreSQL itself says "cached plan must not change result type", now and for ever.
    if let Some(error) = frames.iter().find(|frame| frame.tag == b'E') {
        assert_eq!(error.error().sqlstate, "0A000");
    }
    let mut next = Wire::connect(&scene.target());
    assert_eq!(
        execute(&mut next, "name", Some("SELECT * FROM changing")),
        ["1|NULL"]
    );
}

fn settings_follow_the_client(major: Major) {
    let scene = transaction_mode(major, |config| config.set("default_pool_size", 2));
    let zones = [
        "Asia/Tokyo",
        "America/New_York",
        "Europe/Berlin",
        "UTC",
        "Asia/Kolkata",
    ];
    let mut wires: Vec<Wire> = zones
        .iter()
        .map(|_| Wire::connect(&scene.target()))
        .collect();
    for (wire, zone) in wires.iter_mut().zip(zones) {
        wire.sql(&format!("SET TimeZone = '{zone}'"));
    }
    for _ in 0..5 {
        for (wire, zone) in wires.iter_mut().zip(zones) {
            wire.write(|out| encode::query(b"SELECT current_setting('TimeZone')", out));
            let frames = wire.until_ready();
            // Nothing but the answer: what was set to have it so is not the client's.
            let tags: String = frames.iter().map(|frame| char::from(frame.tag)).collect();
            assert_eq!(
                (tags.as_str(), frames[1].row()),
                ("TDCZ", vec![zone.to_owned()])
            );
        }
    }
    // In a failed or a rolled back transaction a setting does not last.
    wires[0].sql("BEGIN");
    wires[0].sql("SET TimeZone = 'Europe/Rome'");
    wires[0].sql_error("SELECT 1/0");
    wires[0].sql("ROLLBACK");
    assert_eq!(wires[0].sql("SHOW TimeZone"), [zones[0]]);
    wires[0].sql("RESET TimeZone");
    assert_ne!(wires[0].sql("SHOW TimeZone"), [zones[0]]);
    assert_eq!(wires[1].sql("SHOW TimeZone"), [zones[1]]);
}

fn what_a_server_has_anyway_is_not_set(major: Major) {
    let scene = transaction_mode(major, |config| config.set("default_pool_size", 1));
    let mut plain = Wire::connect(&scene.target());
    // As drivers spell it.
    let drivers = [
        ("client_encoding", "utf-8"),
        ("DateStyle", "ISO"),
        ("IntervalStyle", "POSTGRES"),
    ];
    let mut wire = Wire::try_connect(&scene.target(), &drivers).unwrap();
    for name in ["client_encoding", "DateStyle", "IntervalStyle"] {
        assert_eq!(
            wire.identity.parameters[name],
            plain.identity.parameters[name]
        );
        assert_eq!(
            wire.sql(&format!("SHOW {name}"))[0],
            plain.identity.parameters[name]
        );
    }
    let set = "SELECT name FROM pg_settings WHERE source = 'session'";
    for wire in [&mut plain, &mut wire] {
        assert_eq!(wire.sql(set), [""; 0]);
    }
    // What differs is in force.
    let mut german = Wire::try_connect(&scene.target(), &[("DateStyle", "german")]).unwrap();
    assert_eq!(german.identity.parameters["DateStyle"], "German, DMY");
    assert_eq!(german.sql("SHOW DateStyle"), ["German, DMY"]);
    assert_eq!(german.sql(set), ["DateStyle"]);
    assert_eq!(
        wire.sql("SHOW DateStyle")[0],
        plain.identity.parameters["DateStyle"]
    );
}

fn the_defaults_of_a_login_last(major: Major) {
    let scene = transaction_mode(major, |config| config.set("default_pool_size", 2));
    let zone = "SELECT current_setting('TimeZone')";
    let change = |zone: &str| {
        let database = &scene.database;
        scene.admin(&format!(
            "ALTER DATABASE {database} SET TimeZone = '{zone}'"
        ));
    };
    change("Asia/Tokyo");
    let mut early = Wire::connect(&scene.target());
    assert_eq!(early.sql(zone), ["Asia/Tokyo"]);
    change("Europe/Rome");
    // A second connection is opened, with other defaults.
    let mut holder = Wire::connect(&scene.target());
    holder.sql("BEGIN");
    assert_eq!(early.sql(zone), ["Asia/Tokyo"]);
    let mut late = Wire::connect(&scene.target());
    assert_eq!(late.identity.parameters["TimeZone"], "Europe/Rome");
    assert_eq!(late.sql(zone), ["Europe/Rome"]);
    holder.sql("COMMIT");
    // Whoever gets which of the two.
    let mut blocker = Wire::connect(&scene.target());
    for sql in ["BEGIN", "COMMIT"].repeat(3) {
        assert_eq!(early.sql(zone), ["Asia/Tokyo"]);
        assert_eq!(late.sql(zone), ["Europe/Rome"]);
        early.sql("SET TimeZone = 'Asia/Kolkata'");
        early.sql("RESET TimeZone");
        blocker.sql(sql);
    }
}

fn a_reset_leads_back_to_the_startup_packet(major: Major) {
    for way in [Way::Transaction, Way::Session] {
        let scene = Scene::with(major, way, |config| config.set("default_pool_size", 1));
        // One that servers report, and one that they do not.
        let startup = [("TimeZone", "Europe/Berlin"), ("statement_timeout", "77s")];
        let mut wire = Wire::try_connect(&scene.target(), &startup).unwrap();
        let show =
            "SELECT current_setting('TimeZone') || ' ' || current_setting('statement_timeout')";
        for (reset, prepared, seen) in [
            ("RESET TimeZone", false, "Europe/Berlin 5s"),
            ("RESET TimeZone", true, "Europe/Berlin 5s"),
            ("SET TimeZone TO DEFAULT", false, "Europe/Berlin 5s"),
            ("RESET statement_timeout", false, "Asia/Tokyo 77s"),
            ("RESET ALL", false, "Europe/Berlin 77s"),
        ] {
            for end in ["ROLLBACK", "COMMIT"] {
                wire.sql("BEGIN");
                wire.sql("SET TimeZone = 'Asia/Tokyo'");
                wire.sql("SET statement_timeout = '5s'");
                if prepared {
                    execute(&mut wire, "", Some(reset));
                } else {
                    wire.sql(reset);
                }
                assert_eq!(wire.sql(show), [seen], "{way:?} {reset}");
                wire.sql(end);
                let zone = wire.identity.parameters["TimeZone"].clone();
                assert_eq!(wire.sql("SHOW TimeZone"), [zone], "{way:?} {reset} {end}");
                wire.sql("RESET TimeZone");
                wire.sql("RESET statement_timeout");
                assert_eq!(
                    wire.sql(show),
                    ["Europe/Berlin 77s"],
                    "{way:?} {reset} {end}"
                );
            }
        }
    }
}

fn a_bad_setting_of_the_startup_packet(major: Major) {
    let scene = transaction_mode(major, |config| config.set("default_pool_size", 1));
    for (name, value) in [
        ("TimeZone", "Nowhere/Nothing"),
        ("client_encoding", "KLINGON"),
        ("DateStyle", "Stardate"),
    ] {
        // It fails at the login or with the first query, and never affects others.
        if let Ok(mut wire) = Wire::try_connect(&scene.target(), &[(name, value)]) {
            wire.write(|out| encode::query(b"SELECT 1", out));
            let said = wire.frame();
            assert_eq!(said.tag, b'E', "{name}: {said:?}");
        }
        assert_eq!(scene.target().sql("SELECT 1"), "1");
    }
}

fn resets_to_the_servers_own_value(scene: &Scene) {
    scene.admin(&format!(
        "ALTER DATABASE {} SET timezone = 'Etc/UTC'",
        scene.database
    ));
    let own = [("TimeZone", "Europe/Berlin")];
    let mut wire = Wire::try_connect(&scene.target(), &own).unwrap();
    for reset in [
        "RESET timezone",
        "SET timezone TO DEFAULT",
        "RESET ALL",
        "DISCARD ALL",
    ] {
        wire.sql("SET timezone = 'Etc/UTC'");
        wire.sql(reset);
        assert_eq!(wire.sql("SHOW timezone"), ["Europe/Berlin"], "{reset}");
        if scene.way == Way::Session {
            // What is prepared is not looked into there.
            continue;
        }
        wire.sql("SET timezone = 'Etc/UTC'");
        wire.write(|out| {
            encode::parse(b"", reset.as_bytes(), &[], out);
            encode::bind(b"", b"", &[], out);
            encode::execute(b"", 0, out);
            encode::sync(out);
        });
        let frames = wire.until_ready();
        let told = frames.iter().filter(|frame| frame.tag == b'S');
        assert_eq!(told.count(), 1, "{reset} {frames:?}");
        assert_eq!(wire.sql("SHOW timezone"), ["Europe/Berlin"], "{reset}");
    }
}

fn a_discard_all_that_fails(scene: &Scene) {
    let own = [("TimeZone", "Europe/Berlin")];
    let mut wire = Wire::try_connect(&scene.target(), &own).unwrap();
    wire.sql("SET timezone = 'Asia/Tokyo'");
    wire.sql("BEGIN");
    wire.sql("SET timezone = 'America/Lima'");
    assert_eq!(wire.sql_error("DISCARD ALL").sqlstate, "25001");
    wire.sql("ROLLBACK");
    assert_eq!(wire.sql("SHOW timezone"), ["Asia/Tokyo"]);
}

fn values_in_other_encodings(major: Major) {
    let scene = Scene::with(major, Way::Transaction, |config| {
        config.set("default_pool_size", 1)
    });
    for encoding in ["LATIN1", "SJIS", "EUC_JP"] {
        // Whoever had the connection before reads bytes in its own way.
        let mut before = Wire::connect(&scene.target());
        before.sql(&format!("SET client_encoding = '{encoding}'"));
        for value in ["é", "\"Ünï\", x", "Ã\\', é", "\"ソ\\'; SELECT 1; --\""] {
            let mut wire = Wire::connect(&scene.target());
            let set = "SELECT set_config('application_name', $1, false)";
            wire.write(|out| {
                encode::parse(b"", set.as_bytes(), &[], out);
                encode::bind(b"", b"", &[Some(value.as_bytes())], out);
                encode::execute(b"", 0, out);
                encode::sync(out);
            });
            wire.until_ready();
            before.sql("SELECT 1");
            let own = [("search_path", value)];
            let mut other = Wire::try_connect(&scene.target(), &own).unwrap();
            let path =
                "SELECT encode(convert_to(current_setting('search_path'), 'UTF8'), 'escape')";
            let direct = Wire::try_connect(&scene.direct(), &own).unwrap().sql(path);
            assert_eq!(other.sql(path), direct, "{encoding} {value}");
        }
    }
}

fn what_hides_from_a_quick_look(major: Major) {
    let scene = Scene::with(major, Way::Transaction, |config| {
        config.set("default_pool_size", 1)
    });
    let mut first = Wire::connect(&scene.target());
    let mut second = Wire::connect(&scene.target());
    first.sql("SET /* /* */ local */ work_mem = '77MB'");
    assert_eq!(second.sql("SHOW work_mem"), ["4MB"]);
    first.sql("SELECT U&\"pg\\005fadvisory\\005flock\"(4711)");
    let locks =
        "SELECT count(*) FROM pg_locks WHERE locktype = 'advisory' AND pid = pg_backend_pid()";
    assert_eq!(second.sql(locks), ["0"]);
    let own = [("search_path", "pg_temp")];
    let mut third = Wire::try_connect(&scene.target(), &own).unwrap();
    third.sql("CREATE TABLE leak (a int)");
    assert_eq!(
        second.sql("SELECT to_regclass('pg_temp.leak') IS NULL"),
        ["t"]
    );
}
