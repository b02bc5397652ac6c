//! The messages themselves: who is answered what, in which order.

use pgweir_tests::{Frame, Major, Scene, Target, Way, Wire, cases};
use pgweir_wire::encode;
use pgweir_wire::startup::{PROTOCOL_3_0, PROTOCOL_3_2};

cases! {
    extended_query: direct session transaction statement;
    a_pipeline: direct session transaction statement;
    a_pipeline_with_flush_only: direct session transaction;
    an_error_skips_to_sync: direct session transaction;
    pipelines_are_answered_in_order: direct session transaction;
    named_statements: direct session transaction;
    statements_and_portals_that_are_missing: direct session transaction;
    a_portal_in_parts: direct session transaction;
    function_call: direct session transaction;
    several_statements_in_one_query: direct session transaction;
    notices_and_settings: direct session transaction;
    foreign_encodings: direct session transaction;
    a_message_in_single_bytes: direct session transaction;
    unknown_messages: direct session transaction;
    unknown_versions: direct session transaction;
    encryption_is_refused: session transaction;
    protocol_3_2;
}

/// The tags of frames.
fn tags(frames: &[Frame]) -> String {
    frames.iter().map(|frame| char::from(frame.tag)).collect()
}

fn rows(frames: &[Frame]) -> Vec<String> {
    frames
        .iter()
        .filter(|frame| frame.tag == b'D')
        .map(|frame| frame.row().join("|"))
        .collect()
}

/// Parse, Bind, Describe and Execute of unnamed things.
fn ask(sql: &str, parameters: &[Option<&[u8]>], out: &mut Vec<u8>) {
    encode::parse(b"", sql.as_bytes(), &[], out);
    encode::bind(b"", b"", parameters, out);
    encode::describe(b'P', b"", out);
    encode::execute(b"", 0, out);
}

fn extended_query(scene: &Scene) {
    let mut wire = Wire::connect(&scene.target());
    for turn in 0..3 {
        let turn = turn.to_string();
        wire.write(|out| {
            ask(
                "SELECT $1::int + 1, $2::text",
                &[Some(turn.as_bytes()), None],
                out,
            );
            encode::sync(out);
        });
        let frames = wire.until_ready();
        assert_eq!(tags(&frames), "12TDCZ");
        assert_eq!(
            rows(&frames),
            [format!("{}|NULL", turn.parse::<u32>().unwrap() + 1)]
        );
        wire.write(|out| {
            ask("", &[], out);
            encode::sync(out);
        });
        assert_eq!(tags(&wire.until_ready()), "12nIZ");
    }
    wire.write(encode::sync);
    assert_eq!(tags(&wire.until_ready()), "Z");
}

fn a_pipeline(scene: &Scene) {
    let mut wire = Wire::connect(&scene.target());
    wire.write(|out| {
        for number in 0..100_u32 {
            ask(
                "SELECT $1::int",
                &[Some(number.to_string().as_bytes())],
                out,
            );
            if number % 10 == 9 {
                encode::sync(out);
            }
        }
    });
    for ten in 0..10 {
        let frames = wire.until_ready();
        assert_eq!(tags(&frames), "12TDC".repeat(10) + "Z");
        assert_eq!(
            rows(&frames),
            (ten * 10..ten * 10 + 10)
                .map(|number| number.to_string())
                .collect::<Vec<_>>()
        );
    }
}

fn a_pipeline_with_flush_only(scene: &Scene) {
    let mut wire = Wire::connect(&scene.target());
    for round in 0..3 {
        for number in 0..5_u32 {
            wire.write(|out| {
                ask(
                    "SELECT $1::int",
                    &[Some(number.to_string().as_bytes())],
                    out,
                );
                encode::flush(out);
            });
            let frames: Vec<Frame> = (0..5).map(|_| wire.frame()).collect();
            assert_eq!(tags(&frames), "12TDC", "round {round}");
            assert_eq!(rows(&frames), [number.to_string()]);
        }
        wire.silent();
        wire.write(encode::sync);
        assert_eq!(tags(&wire.until_ready()), "Z");
    }
}

fn an_error_skips_to_sync(scene: &Scene) {
    let mut wire = Wire::connect(&scene.target());
    wire.write(|out| {
        ask("SELECT 1", &[], out);
        ask("SELECT 1/0", &[], out);
        ask("SELECT 2", &[], out);
        encode::parse(b"skipped", b"SELECT 3", &[], out);
        encode::flush(out);
        encode::sync(out);
        ask("SELECT 4", &[], out);
        encode::bind(b"", b"skipped", &[], out);
        encode::sync(out);
        ask("SELECT 5", &[], out);
        encode::sync(out);
    });
    let first = wire.until_ready();
    assert_eq!(tags(&first), "12TDC1EZ");
    assert_eq!(first[6].error().sqlstate, "22012");
    let second = wire.until_ready();
    assert_eq!(tags(&second), "12TDCEZ");
    assert_eq!(second[5].error().sqlstate, "26000");
    assert_eq!(rows(&wire.until_ready()), ["5"]);
    assert_eq!(wire.sql("SELECT 6"), ["6"]);
}

fn pipelines_are_answered_in_order(scene: &Scene) {
    let mut wire = Wire::connect(&scene.target());
    // Simple and extended queries, one after the other, without waiting for any answer.
    wire.write(|out| {
        for number in 0..50 {
            encode::query(format!("SELECT 'simple', {number}").as_bytes(), out);
            ask(&format!("SELECT 'extended', {number}"), &[], out);
            encode::sync(out);
            encode::query(b"SELECT 1/0", out);
        }
    });
    for number in 0..50 {
        assert_eq!(rows(&wire.until_ready()), [format!("simple|{number}")]);
        assert_eq!(rows(&wire.until_ready()), [format!("extended|{number}")]);
        assert_eq!(tags(&wire.until_ready()).trim_start_matches('T'), "EZ");
    }
}

fn named_statements(scene: &Scene) {
    let mut wire = Wire::connect(&scene.target());
    let mut other = Wire::connect(&scene.target());
    for (wire, sql) in [
        (&mut wire, "SELECT 'mine', $1::int"),
        (&mut other, "SELECT 'theirs', $1::text"),
    ] {
        wire.write(|out| {
            encode::parse(b"same", sql.as_bytes(), &[], out);
            encode::describe(b'S', b"same", out);
            encode::sync(out);
        });
        assert_eq!(tags(&wire.until_ready()), "1tTZ");
    }
    for turn in 0..5 {
        for (wire, whose) in [(&mut wire, "mine"), (&mut other, "theirs")] {
            wire.write(|out| {
                encode::bind(b"", b"same", &[Some(turn.to_string().as_bytes())], out);
                encode::execute(b"", 0, out);
                encode::sync(out);
            });
            let frames = wire.until_ready();
            assert_eq!(tags(&frames), "2DCZ");
            assert_eq!(rows(&frames), [format!("{whose}|{turn}")]);
        }
    }
    wire.write(|out| {
        encode::parse(b"same", b"SELECT 3", &[], out);
        encode::sync(out);
    });
    let frames = wire.until_ready();
    assert_eq!(tags(&frames), "EZ");
    assert_eq!(frames[0].error().sqlstate, "42P05");
    assert!(frames[0].error().message.contains("\"same\""), "{frames:?}");
    wire.write(|out| {
        encode::close(b'S', b"same", out);
        encode::close(b'S', b"never there", out);
        encode::parse(b"same", b"SELECT 4", &[], out);
        encode::bind(b"", b"same", &[], out);
        encode::execute(b"", 0, out);
        encode::sync(out);
    });
    let frames = wire.until_ready();
    assert_eq!(tags(&frames), "3312DCZ");
    assert_eq!(rows(&frames), ["4"]);
}

fn statements_and_portals_that_are_missing(scene: &Scene) {
    let mut wire = Wire::connect(&scene.target());
    for (write, sqlstate) in [
        (
            (|out| encode::bind(b"", b"missing", &[], out)) as fn(&mut Vec<u8>),
            "26000",
        ),
        (|out| encode::describe(b'S', b"missing", out), "26000"),
        (|out| encode::describe(b'P', b"missing", out), "34000"),
        (|out| encode::execute(b"missing", 0, out), "34000"),
    ] {
        wire.write(|out| {
            write(out);
            encode::sync(out);
        });
        let frames = wire.until_ready();
        assert_eq!(tags(&frames), "EZ");
        assert_eq!(frames[0].error().sqlstate, sqlstate);
        assert!(
            frames[0].error().message.contains("\"missing\""),
            "{frames:?}"
        );
        assert_eq!(wire.sql("SELECT 1"), ["1"]);
    }
}

fn a_portal_in_parts(scene: &Scene) {
    let mut wire = Wire::connect(&scene.target());
    wire.sql("BEGIN");
    wire.write(|out| {
        encode::parse(b"", b"SELECT generate_series(1, 5)", &[], out);
        encode::bind(b"portal", b"", &[], out);
        encode::execute(b"portal", 2, out);
        encode::sync(out);
    });
    let frames = wire.until_ready();
    assert_eq!(
        (tags(&frames).as_str(), rows(&frames)),
        ("12DDsZ", vec!["1".to_owned(), "2".to_owned()])
    );
    wire.write(|out| {
        encode::execute(b"portal", 0, out);
        encode::close(b'P', b"portal", out);
        encode::sync(out);
    });
    let frames = wire.until_ready();
    assert_eq!(tags(&frames), "DDDC3Z");
    assert_eq!(frames.last().unwrap().body, b"T");
    wire.sql("COMMIT");
}

fn function_call(scene: &Scene) {
    let mut wire = Wire::connect(&scene.target());
    let function: u32 = wire.sql("SELECT 'int4pl'::regproc::oid")[0]
        .parse()
        .unwrap();
    let mut body = function.to_be_bytes().to_vec();
    // All arguments as text, two of them; the result as text.
    body.extend([0, 0, 0, 2]);
    for argument in [&b"40"[..], b"2"] {
        body.extend(u32::try_from(argument.len()).unwrap().to_be_bytes());
        body.extend(argument);
    }
    body.extend([0, 0]);
    let mut message = vec![b'F'];
    message.extend(u32::try_from(body.len() + 4).unwrap().to_be_bytes());
    message.extend(&body);
    wire.send(&message);
    let frames = wire.until_ready();
    assert_eq!(tags(&frames), "VZ");
    assert_eq!(&frames[0].body[4..], b"42");
}

fn several_statements_in_one_query(scene: &Scene) {
    let mut wire = Wire::connect(&scene.target());
    let frames = wire.query("SELECT 1; SELECT 2 WHERE false; ; SELECT 3");
    assert_eq!(tags(&frames), "TDCTCTDCZ");
    let frames = wire.query("SELECT 1; SELECT 1/0; SELECT 3");
    assert_eq!(tags(&frames), "TDCEZ");
    let frames = wire.query("BEGIN; SELECT 1; COMMIT; SELECT 2");
    assert_eq!(tags(&frames), "CTDCCTDCZ");
    assert_eq!(frames.last().unwrap().body, b"I");
}

fn notices_and_settings(scene: &Scene) {
    let mut wire = Wire::connect(&scene.target());
    let frames = wire.query("DO $$ BEGIN RAISE NOTICE 'hear'; END $$");
    assert_eq!(tags(&frames), "NCZ");
    assert_eq!(frames[0].error().message, "hear");
    wire.sql("SET application_name = 'changed'");
    assert_eq!(wire.identity.parameters["application_name"], "changed");
    let mut other = Wire::connect(&scene.target());
    assert_ne!(other.sql("SHOW application_name"), ["changed"]);
    assert_eq!(wire.sql("SHOW application_name"), ["changed"]);
    // A setting that was rolled back was never there.
    wire.sql("BEGIN");
    wire.sql("SET application_name = 'never'");
    assert_eq!(wire.identity.parameters["application_name"], "never");
    wire.sql("ROLLBACK");
    assert_eq!(wire.identity.parameters["application_name"], "changed");
    assert_eq!(wire.sql("SHOW application_name"), ["changed"]);
    other.sql("SET application_name = 'other'");
    assert_eq!(wire.sql("SHOW application_name"), ["changed"]);
    assert_eq!(other.sql("SHOW application_name"), ["other"]);
}

fn foreign_encodings(scene: &Scene) {
    let mut latin = Wire::try_connect(&scene.target(), &[("client_encoding", "LATIN1")]).unwrap();
    let mut utf8 = Wire::try_connect(&scene.target(), &[("client_encoding", "UTF8")]).unwrap();
    for _ in 0..3 {
        latin.write(|out| encode::query(b"SELECT '\xe4\xf6\xfc', length('\xe4')", out));
        let frames = latin.until_ready();
        assert!(
            frames[1]
                .body
                .windows(3)
                .any(|bytes| bytes == b"\xe4\xf6\xfc"),
            "{frames:?}"
        );
        assert_eq!(utf8.sql("SELECT 'äöü', length('ä')"), ["äöü|1"]);
    }
    // Not even text in the client's encoding.
    utf8.write(|out| encode::query(b"SELECT '\xff'", out));
    assert_eq!(utf8.until_ready()[0].error().sqlstate, "22021");
}

fn a_message_in_single_bytes(scene: &Scene) {
    let mut wire = Wire::connect(&scene.target());
    let mut bytes = Vec::new();
    encode::parse(b"name", b"SELECT $1::text", &[], &mut bytes);
    encode::bind(b"portal", b"name", &[Some(b"value")], &mut bytes);
    encode::describe(b'S', b"name", &mut bytes);
    encode::execute(b"portal", 0, &mut bytes);
    encode::close(b'S', b"name", &mut bytes);
    encode::sync(&mut bytes);
    encode::query(b"SELECT 'simple'", &mut bytes);
    for byte in bytes {
        wire.send(&[byte]);
    }
    assert_eq!(tags(&wire.until_ready()), "12tTDC3Z");
    assert_eq!(rows(&wire.until_ready()), ["simple"]);
}

fn unknown_messages(scene: &Scene) {
    for message in [&b"y\0\0\0\x04"[..], b"\x01\0\0\0\x05x", b"Z\0\0\0\x05I"] {
        let mut wire = Wire::connect(&scene.target());
        wire.send(message);
        assert_eq!(wire.last_error().sqlstate, "08P01");
    }
    assert_eq!(scene.target().sql("SELECT 1"), "1");
}

fn unknown_versions(scene: &Scene) {
    let target = scene.target();
    // What version 1 to 2 understood is not looked into.
    for version in [1 << 16, 2 << 16, (4 << 16) | 1] {
        let mut wire = Wire::open(&target);
        wire.startup(&target, version, &[]);
        let said = wire.rest();
        assert!(
            said.starts_with(b"E") && String::from_utf8_lossy(&said).contains("protocol"),
            "{said:?}"
        );
    }
    let mut wire = Wire::open(&target);
    wire.startup(&target, (3 << 16) | 99, &[("_pq_.unheard_of", "1")]);
    let frame = wire.frame();
    assert_eq!(frame.tag, b'v');
    let newest = u32::from_be_bytes(frame.body[..4].try_into().unwrap());
    assert!(
        [PROTOCOL_3_0, PROTOCOL_3_2, 0, 2].contains(&newest),
        "{newest}"
    );
    assert_eq!(&frame.body[4..], b"\0\0\0\x01_pq_.unheard_of\0");
    wire.login(&target).unwrap();
    assert_eq!(wire.sql("SELECT 1"), ["1"]);
}

fn encryption_is_refused(scene: &Scene) {
    let target = scene.target();
    let mut wire = Wire::open(&target);
    wire.send(&[0, 0, 0, 8, 0x04, 0xd2, 0x16, 0x30]);
    assert_eq!(wire.bytes(1), b"N", "GSSENCRequest");
    assert_eq!(wire.ask_for_tls(), b'N');
    wire.startup(&target, PROTOCOL_3_0, &[]);
    wire.login(&target).unwrap();
    assert_eq!(wire.sql("SELECT 1"), ["1"]);
}

fn protocol_3_2(major: Major) {
    let new = |target: &Target| {
        let mut wire = Wire::open(target);
        wire.startup(target, PROTOCOL_3_2, &[]);
        wire.login(target).unwrap();
        wire
    };
    let scene = Scene::new(major, Way::Transaction);
    if major.number() >= 18 {
        assert_eq!(new(&scene.direct()).identity.key.len(), 32);
    }
    let mut wire = new(&scene.target());
    assert!(wire.identity.key.len() > 4, "{:?}", wire.identity);
    wire.write(|out| encode::query(b"SELECT pg_sleep(20)", out));
    scene.busy();
    wire.cancel(&scene.target());
    assert_eq!(
        wire.until_ready()
            .iter()
            .find(|frame| frame.tag == b'E')
            .unwrap()
            .error()
            .sqlstate,
        "57014"
    );
    // An old key is four bytes long.
    assert_eq!(Wire::connect(&scene.target()).identity.key.len(), 4);
}
