//! What goes where.

use pgweir_tests::{Major, Wire, cases, script};
use pgweir_wire::encode;

use super::{Place, Trio, WHERE, routed};

cases! {
    reads_go_to_standbys_and_writes_to_the_primary;
    a_name_says_who_is_meant;
    what_a_standby_refuses_runs_on_the_primary;
    r2_one_transaction_one_host;
    pipelines_go_where_each_part_may_run;
    prepared_statements_go_where_they_may_run;
    a_shadow_counts_and_changes_nothing;
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
    wire.sql(
        "CREATE FUNCTION note() RETURNS text LANGUAGE plpgsql AS \
         'BEGIN INSERT INTO t VALUES (current_setting(''port'')); RETURN ''noted''; END'",
    );
    wire.sql("CREATE VIEW noting AS SELECT note() AS v");
    trio.settled(&pooler);
    let mut others = [(); 2].map(|()| Wire::connect(&target));
    for other in &mut others {
        assert_eq!(other.sql("SELECT v FROM noting"), ["noted"]);
    }
    assert_eq!(routed(&pooler, "standby", "again_read_only"), 1);
    assert!(routed(&pooler, "primary", "refused") >= 1);
    let mut wire = Wire::connect(&target);
    wire.write(|out| {
        encode::parse(b"s", b"SELECT v, $1 FROM noting", &[], out);
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
