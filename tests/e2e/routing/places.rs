//! What goes where.

use pgweir_tests::{Major, Target, Wire, cases, script};
use pgweir_wire::encode;

use super::{Place, Trio, WHERE, routed};

cases! {
    reads_go_to_standbys_and_writes_to_the_primary;
    zones_and_weights_say_where_reads_go;
    a_name_says_who_is_meant;
    what_a_standby_refuses_runs_on_the_primary;
    r2_one_transaction_one_host;
    pipelines_go_where_each_part_may_run;
    prepared_statements_go_where_they_may_run;
    a_shadow_counts_and_changes_nothing;
    begin_decides_nothing;
    functions_are_known_by_the_catalog;
    a_client_says_what_it_wants;
    own_settings_are_prepared_like_any_other;
    r4_a_position_is_carried_to_another_client;
}

fn reads_go_to_standbys_and_writes_to_the_primary(major: Major) {
    let trio = Trio::shared(major);
    let (pooler, target) = trio.pooler(|config, _| config);
    let mut wire = Wire::connect(&target);
    wire.sql("CREATE TABLE t (v text)");
    wire.sql("INSERT INTO t VALUES ('one')");
    trio.settled(&pooler);
    for (sql, place) in [
        (WHERE, Place::Standby),
        (
            "/* pgweir: primary */ SELECT current_setting('port')",
            Place::Primary,
        ),
        (
            "/* pgweir: standby */ SELECT inet_server_port()",
            Place::Standby,
        ),
        ("SELECT inet_server_port()", Place::Primary),
        (
            "SELECT current_setting('port') FROM t FOR UPDATE",
            Place::Primary,
        ),
        ("SHOW port", Place::Standby),
    ] {
        let mut wire = Wire::connect(&target);
        assert_eq!(trio.place_of(&mut wire, sql), place, "{sql}");
    }
    let rows = wire.sql(
        "WITH w AS (INSERT INTO t VALUES (current_setting('port')) RETURNING v) SELECT v FROM w",
    );
    assert_eq!(trio.place(&rows[0]), Place::Primary);
    assert_eq!(wire.sql("SELECT count(*) FROM t"), ["2"]);
    assert!(routed(&pooler, "standby", "query") >= 1);
    assert_eq!(routed(&pooler, "primary", "write"), 1);
    assert_eq!(routed(&pooler, "primary", "write_in_query"), 1);
}

fn zones_and_weights_say_where_reads_go(major: Major) {
    let trio = Trio::shared(major);
    let [primary, one, other] = trio.hosts();
    let [_, one_port, other_port] = trio.ports();
    let all_read_at = |target: &Target, port: u16| {
        for _ in 0..20 {
            assert_eq!(Wire::connect(target).sql(WHERE), [port.to_string()]);
        }
    };
    let zones = [format!("{one} = here"), format!("{other} = there")];
    let (_pooler, target) = trio.pooler(|config, database| {
        let zones = zones.each_ref().map(String::as_str);
        let config = config.set("zone", "here");
        config.database_set(database, "zones", zones)
    });
    all_read_at(&target, one_port);
    let weights = [format!("{primary} = 0"), format!("{one} = 0")];
    let (_pooler, target) = trio.pooler(|config, database| {
        let weights = weights.each_ref().map(String::as_str);
        let config = config.database_set(database, "primary_reads", "share");
        config.database_set(database, "weights", weights)
    });
    all_read_at(&target, other_port);
}

fn a_name_says_who_is_meant(major: Major) {
    let trio = Trio::shared(major);
    for mode in ["transaction", "session"] {
        let (pooler, target) = trio.pooler(|config, database| {
            config
                .database_set(database, "routing", "by-name")
                .set("pool_mode", mode)
        });
        let database = target.sql("SELECT current_database()");
        let mut writer = Wire::connect(&target);
        assert_eq!(trio.place_of(&mut writer, WHERE), Place::Primary);
        writer.sql("CREATE TABLE IF NOT EXISTS t (v int)");
        trio.settled(&pooler);
        let reader = target.database(&format!("{database}_readonly"));
        let mut reader = Wire::connect(&reader);
        assert_eq!(trio.place_of(&mut reader, WHERE), Place::Standby);
        assert_eq!(reader.sql("SELECT current_database()"), [database]);
        let error = reader.sql_error("INSERT INTO t VALUES (1)");
        assert_eq!(
            error.sqlstate, "25006",
            "who says so gets what was asked for"
        );
        assert_eq!(trio.place_of(&mut reader, WHERE), Place::Standby);
    }
}

fn what_a_standby_refuses_runs_on_the_primary(major: Major) {
    let trio = Trio::shared(major);
    let (pooler, target) = trio.pooler(|config, _| config);
    let mut wire = Wire::connect(&target);
    wire.sql("CREATE TABLE t (v text)");
    // Nothing in a statement shows that an operator writes.
    wire.sql(
        "CREATE FUNCTION note(text, text) RETURNS text LANGUAGE plpgsql AS \
         'BEGIN INSERT INTO t VALUES (current_setting(''port'')); RETURN ''noted''; END'",
    );
    wire.sql("CREATE OPERATOR ### (LEFTARG = text, RIGHTARG = text, FUNCTION = note)");
    trio.settled(&pooler);
    let mut others = [(); 2].map(|()| Wire::connect(&target));
    for other in &mut others {
        assert_eq!(other.sql("SELECT 'a' ### 'b'"), ["noted"]);
    }
    assert_eq!(routed(&pooler, "standby", "again_read_only"), 1);
    assert!(routed(&pooler, "primary", "refused") >= 1);
    let mut wire = Wire::connect(&target);
    wire.write(|out| {
        encode::parse(b"s", b"SELECT 'a' ### 'b', $1", &[], out);
        encode::bind(b"", b"s", &[Some(b"x")], out);
        encode::describe(b'P', b"", out);
        encode::execute(b"", 0, out);
        encode::sync(out);
    });
    let tags: Vec<u8> = wire.until_ready().iter().map(|frame| frame.tag).collect();
    assert_eq!(tags, b"12TDCZ", "once each");
    assert_eq!(routed(&pooler, "standby", "again_read_only"), 2);
    // The name is there, and its statement is known to write.
    wire.write(|out| {
        encode::bind(b"", b"s", &[Some(b"y")], out);
        encode::execute(b"", 0, out);
        encode::sync(out);
    });
    let tags: Vec<u8> = wire.until_ready().iter().map(|frame| frame.tag).collect();
    assert_eq!(tags, b"2DCZ");
    assert_eq!(routed(&pooler, "standby", "again_read_only"), 2);
    assert_eq!(wire.sql("SELECT count(*) FROM t"), ["4"], "each ran once");
}

fn r2_one_transaction_one_host(major: Major) {
    let trio = Trio::shared(major);
    let (_pooler, target) = trio.pooler(|config, _| config);
    let mut wire = Wire::connect(&target);
    for (begin, place) in [
        ("BEGIN", Place::Primary),
        ("BEGIN READ ONLY", Place::Standby),
        ("START TRANSACTION READ WRITE", Place::Primary),
    ] {
        let mut wire = Wire::connect(&target);
        wire.sql(begin);
        for _ in 0..3 {
            assert_eq!(trio.place_of(&mut wire, WHERE), place, "{begin}");
        }
        wire.sql("COMMIT");
    }
    wire.sql("SET default_transaction_read_only = on");
    wire.sql("BEGIN");
    for _ in 0..3 {
        assert_eq!(trio.place_of(&mut wire, WHERE), Place::Standby);
    }
    let error = wire.sql_error("CREATE TABLE t (v int)");
    assert_eq!(error.sqlstate, "25006", "as anywhere");
    wire.sql("ROLLBACK");
    wire.sql("SET default_transaction_read_only = off");
    wire.sql("CREATE TABLE t (v int)");
    let rows = wire.sql("BEGIN; INSERT INTO t VALUES (1); SELECT current_setting('port'); COMMIT");
    assert_eq!(trio.place(&rows[0]), Place::Primary);
}

fn pipelines_go_where_each_part_may_run(major: Major) {
    let trio = Trio::shared(major);
    let (_pooler, target) = trio.pooler(|config, _| config);
    Wire::connect(&target).sql("CREATE TABLE t (v int)");
    let mut wire = Wire::connect(&target);
    let ask = |sql: &str, out: &mut Vec<u8>| {
        encode::parse(b"", sql.as_bytes(), &[], out);
        encode::bind(b"", b"", &[], out);
        encode::execute(b"", 0, out);
        encode::sync(out);
    };
    let insert = "INSERT INTO t VALUES (1) RETURNING current_setting('port')";
    wire.write(|out| {
        for sql in [WHERE, WHERE, insert, WHERE, insert] {
            ask(sql, out);
        }
    });
    let mut places = Vec::new();
    for _ in 0..5 {
        let frames = wire.until_ready();
        let row = frames.iter().find(|frame| frame.tag == b'D');
        places.push(trio.place(&row.unwrap_or_else(|| panic!("{frames:?}")).row()[0]));
    }
    use Place::{Primary, Standby};
    assert_eq!(places, [Standby, Standby, Primary, Primary, Primary]);
    // In one part all goes together.
    wire = Wire::connect(&target);
    wire.write(|out| {
        encode::parse(b"r", WHERE.as_bytes(), &[], out);
        encode::parse(b"w", insert.as_bytes(), &[], out);
        for name in [b"r", b"w"] {
            encode::bind(b"", name, &[], out);
            encode::execute(b"", 0, out);
        }
        encode::sync(out);
    });
    let frames = wire.until_ready();
    let rows = frames.iter().filter(|frame| frame.tag == b'D');
    let places: Vec<Place> = rows.map(|row| trio.place(&row.row()[0])).collect();
    assert_eq!(places, [Primary, Primary]);
    // Each name by itself goes by its own statement.
    for (name, place) in [(b"r", Primary), (b"w", Primary)] {
        wire.write(|out| {
            encode::bind(b"", name, &[], out);
            encode::execute(b"", 0, out);
            encode::sync(out);
        });
        let frames = wire.until_ready();
        let row = frames
            .iter()
            .find(|frame| frame.tag == b'D')
            .expect("a row");
        assert_eq!(trio.place(&row.row()[0]), place);
    }
}

fn prepared_statements_go_where_they_may_run(major: Major) {
    let trio = Trio::shared(major);
    let (_pooler, target) = trio.pooler(|config, _| config);
    let outcome = script::python("routed.py", &target, &[]);
    outcome.check("routed.py");
    let said = outcome.stdout;
    let lines: Vec<&str> = said.lines().collect();
    assert_eq!(trio.place(lines[0]), Place::Standby);
    assert_eq!(trio.place(lines[1]), Place::Primary);
    assert_eq!(lines[2..], ["5", "5", "6"]);
}

fn a_shadow_counts_and_changes_nothing(major: Major) {
    let trio = Trio::shared(major);
    let (pooler, target) =
        trio.pooler(|config, database| config.database_set(database, "routing", "shadow"));
    let mut wire = Wire::connect(&target);
    for _ in 0..3 {
        assert_eq!(trio.place_of(&mut wire, WHERE), Place::Primary);
    }
    wire.sql("CREATE TABLE t (v int)");
    assert_eq!(routed(&pooler, "standby", "query"), 3);
    assert_eq!(routed(&pooler, "primary", "definition"), 1);
}

fn begin_decides_nothing(major: Major) {
    let trio = Trio::shared(major);
    let (pooler, target) = trio.pooler(|config, _| config);
    let mut wire = Wire::connect(&target);
    wire.sql("CREATE TABLE t (v int)");
    trio.settled(&pooler);
    let in_use = || {
        pooler
            .pool(&target.sql("SELECT current_database()"))
            .number("sv_active")
    };
    for (texts, place) in [
        (&["BEGIN", "SET TRANSACTION READ ONLY"][..], Place::Standby),
        (
            &["START TRANSACTION ISOLATION LEVEL REPEATABLE READ, READ ONLY;"],
            Place::Standby,
        ),
        (
            &["BEGIN", "SET TRANSACTION ISOLATION LEVEL REPEATABLE READ"],
            Place::Primary,
        ),
        (&["BEGIN"], Place::Primary),
        (&["BEGIN ISOLATION LEVEL SERIALIZABLE"], Place::Primary),
    ] {
        let mut wire = Wire::connect(&target);
        for text in texts {
            let frames = wire.query(text);
            assert_eq!(frames.last().expect("ready").body, b"T", "{text}");
        }
        let level = texts.concat().contains("SERIALIZABLE");
        assert_eq!(in_use(), i64::from(level), "{texts:?}");
        assert_eq!(trio.place_of(&mut wire, WHERE), place, "{texts:?}");
        assert_eq!(trio.place_of(&mut wire, WHERE), place, "{texts:?}");
        let isolation = wire.sql("SHOW transaction_isolation");
        let repeatable = texts.concat().contains("REPEATABLE");
        assert_eq!(isolation[0] == "repeatable read", repeatable, "{texts:?}");
        let frames = wire.query("COMMIT");
        assert_eq!(frames[0].text(), "COMMIT");
        assert_eq!(frames[1].body, b"I");
    }
    for (end, tag) in [
        ("COMMIT", "COMMIT"),
        ("end;", "COMMIT"),
        ("ROLLBACK", "ROLLBACK"),
    ] {
        wire.sql("BEGIN");
        let frames = wire.query(end);
        assert_eq!(
            (frames[0].text(), &*frames[1].body),
            (tag.to_owned(), &b"I"[..])
        );
    }
    wire.sql("BEGIN");
    wire.sql("INSERT INTO t VALUES (1)");
    wire.sql("ROLLBACK");
    assert_eq!(wire.sql("SELECT count(*) FROM t"), ["0"]);
    // The server warns of a second one.
    wire.sql("BEGIN");
    let tags: Vec<u8> = wire.query("BEGIN").iter().map(|frame| frame.tag).collect();
    assert_eq!(tags, b"NCZ");
    wire.sql("COMMIT");
    // It is part of a unit of the extended protocol, too.
    wire.sql("BEGIN");
    wire.write(|out| {
        encode::parse(b"", b"INSERT INTO t VALUES (1)", &[], out);
        encode::bind(b"", b"", &[], out);
        encode::execute(b"", 0, out);
        encode::sync(out);
    });
    let frames = wire.until_ready();
    assert_eq!(frames.last().expect("ready").body, b"T");
    wire.sql("ROLLBACK");
    assert_eq!(wire.sql("SELECT count(*) FROM t"), ["0"]);
}

/// Rows, or an SQLSTATE.
type Said = Result<Vec<String>, String>;

fn own_settings_are_prepared_like_any_other(major: Major) {
    let trio = Trio::shared(major);
    let (_pooler, target) = trio.pooler(|config, _| config);
    let mut wire = Wire::connect(&target);
    let mut run = |name: &str, sql: &str| -> Said {
        let name = name.as_bytes();
        wire.write(|out| {
            if !sql.is_empty() {
                encode::parse(name, sql.as_bytes(), &[], out);
            }
            encode::bind(b"", name, &[], out);
            encode::execute(b"", 0, out);
            encode::sync(out);
        });
        let frames = wire.until_ready();
        match frames.iter().find(|frame| frame.tag == b'E') {
            Some(frame) => Err(frame.error().sqlstate),
            None => {
                let rows = frames.iter().filter(|frame| frame.tag == b'D');
                Ok(rows.map(|row| row.text().to_owned()).collect())
            }
        }
    };
    let place = |run: &mut dyn FnMut(&str, &str) -> Said| {
        let row = run("", WHERE).expect("a read");
        trio.place(row[0].trim_matches(|it: char| !it.is_ascii_digit()))
    };
    assert_eq!(place(&mut run), Place::Standby);
    for name in ["", "first"] {
        assert_eq!(run(name, "SET pgweir.target = 'primary'"), Ok(vec![]));
        assert_eq!(place(&mut run), Place::Primary);
        let lsn = run("", "SHOW pgweir.lsn").expect("it is known");
        assert!(lsn[0].contains("0/"), "{lsn:?}");
        assert_eq!(run("", "RESET pgweir.target"), Ok(vec![]));
    }
    // What was prepared once works again.
    assert_eq!(run("first", ""), Ok(vec![]));
    assert_eq!(place(&mut run), Place::Primary);
    for (sql, sqlstate) in [
        ("SET pgweir.target = 'no\\where''s'", "22023"),
        ("SET pgweir.nothing = 1", "42704"),
        ("SET LOCAL pgweir.target = 'primary'", "0A000"),
        ("SHOW pgweir.target", "0A000"),
    ] {
        assert_eq!(run("", sql), Err(sqlstate.to_owned()), "{sql}");
    }
    assert_eq!(place(&mut run), Place::Primary, "nothing has changed");
}

fn a_client_says_what_it_wants(major: Major) {
    let trio = Trio::shared(major);
    let (_pooler, target) = trio.pooler(|config, _| config);
    let mut wire = Wire::connect(&target);
    let host = "SELECT inet_server_port()";
    for (set, read, doubt) in [
        (
            "SET pgweir.target = 'standby'",
            Place::Standby,
            Place::Standby,
        ),
        (
            "SET pgweir.target TO primary",
            Place::Primary,
            Place::Primary,
        ),
        ("RESET pgweir.target", Place::Standby, Place::Primary),
    ] {
        let mut wire = Wire::connect(&target);
        wire.sql(set);
        assert_eq!(trio.place_of(&mut wire, WHERE), read, "{set}");
        assert_eq!(trio.place_of(&mut wire, host), doubt, "{set}");
    }
    wire.sql("SET pgweir.target = 'standby'");
    assert_eq!(wire.sql("SHOW pgweir.target"), ["standby"]);
    wire.sql("CREATE TABLE t (v int)");
    let error = wire.sql_error("SET pgweir.target = 'nowhere'");
    assert_eq!(error.sqlstate, "22023");
    let error = wire.sql_error("SET pgweir.nothing = 1");
    assert_eq!(error.sqlstate, "42704");
    let error = wire.sql_error("SET LOCAL pgweir.target = 'primary'");
    assert_eq!(error.sqlstate, "0A000");
    wire.sql("BEGIN");
    wire.sql("INSERT INTO t VALUES (1)");
    assert_eq!(
        wire.sql("SHOW pgweir.target"),
        ["standby"],
        "within a transaction"
    );
    wire.sql("COMMIT");
    let options = [("options", "-c pgweir.target=standby")];
    let mut wire = Wire::try_connect(&target, &options).expect("it may");
    assert_eq!(trio.place_of(&mut wire, host), Place::Standby);
    let options = [("target_session_attrs", "read-write")];
    let mut wire = Wire::try_connect(&target, &options).expect("it may");
    assert_eq!(trio.place_of(&mut wire, WHERE), Place::Primary);
    let error = Wire::try_connect(&target, &[("target_session_attrs", "best")]).unwrap_err();
    assert_eq!(error.sqlstate, "22023");
}

fn r4_a_position_is_carried_to_another_client(major: Major) {
    let trio = Trio::start(major);
    let (pooler, target) = trio.pooler(|config, _| config);
    let mut writer = Wire::connect(&target);
    writer.sql("CREATE TABLE t (v int)");
    for standby in &trio.standbys {
        standby.admin("postgres", "SELECT pg_wal_replay_pause()");
    }
    writer.sql("INSERT INTO t VALUES (1)");
    let position = writer.sql("SHOW pgweir.lsn").remove(0);
    let mut reader = Wire::connect(&target);
    reader.sql(&format!("SET pgweir.min_lsn = '{position}'"));
    assert_eq!(reader.sql("SHOW pgweir.min_lsn"), [&*position]);
    assert_eq!(reader.sql("SELECT count(*) FROM t"), ["1"]);
    assert_eq!(trio.place_of(&mut reader, WHERE), Place::Primary);
    for standby in &trio.standbys {
        standby.admin("postgres", "SELECT pg_wal_replay_resume()");
    }
    trio.settled(&pooler);
    pgweir_tests::eventually("a standby may serve it", || {
        let mut reader = Wire::connect(&target);
        reader.sql(&format!("SET pgweir.min_lsn = '{position}'"));
        let place = trio.place_of(&mut reader, WHERE);
        assert_eq!(reader.sql("SELECT count(*) FROM t"), ["1"]);
        (place == Place::Standby).then_some(())
    });
}

fn functions_are_known_by_the_catalog(major: Major) {
    let trio = Trio::shared(major);
    let (pooler, target) = trio.pooler(|config, _| config);
    let mut wire = Wire::connect(&target);
    wire.sql("CREATE TABLE t (v text)");
    let body = "LANGUAGE plpgsql AS 'BEGIN RETURN current_setting(''port''); END'";
    wire.sql(&format!(
        "CREATE FUNCTION calm() RETURNS text STABLE {body}"
    ));
    wire.sql(&format!(
        "CREATE FUNCTION wild() RETURNS text VOLATILE {body}"
    ));
    wire.sql("CREATE VIEW wilder AS SELECT wild() AS v");
    wire.sql("CREATE VIEW wildest AS SELECT v FROM wilder");
    trio.settled(&pooler);
    let reason = |sql: &str| {
        let rows = pooler.rows(&format!("EXPLAIN ROUTE {sql}"));
        rows[0].text("reason").to_owned()
    };
    // The last one to be made, and the one that makes a difference: one look may have come between them.
    pgweir_tests::eventually("somebody has looked", || {
        let views = reason("SELECT v FROM wildest") == "volatile_view";
        (views && reason("SELECT calm()") == "query").then_some(())
    });
    for (sql, expected, place) in [
        ("SELECT calm()", "query", Place::Standby),
        ("SELECT wild()", "volatile_function", Place::Primary),
        ("SELECT v FROM wilder", "volatile_view", Place::Primary),
        ("SELECT v FROM wildest", "volatile_view", Place::Primary),
        ("SELECT nobody_knows()", "unknown_function", Place::Primary),
    ] {
        assert_eq!(reason(sql), expected, "{sql}");
        let rows = pooler.rows(&format!("EXPLAIN ROUTE {sql}"));
        let host = rows[0].text("host").rsplit(':').next().expect("a port");
        assert_eq!(trio.place(host), place, "{sql}");
        if expected != "unknown_function" {
            let mut wire = Wire::connect(&target);
            assert_eq!(trio.place_of(&mut wire, sql), place, "{sql}");
        }
    }
    // What changes is seen.
    wire.sql("ALTER FUNCTION wild() STABLE");
    pgweir_tests::eventually("somebody has looked again", || {
        (reason("SELECT v FROM wildest") == "query").then_some(())
    });
}
