use super::*;

fn check(write: impl FnOnce(&mut Vec<u8>), expected: &[u8]) {
    let mut out = b"before".to_vec();
    write(&mut out);
    let expected = [b"before", expected].concat();
    assert_eq!(out, expected, "{}", out.escape_ascii());
}

#[test]
fn a_text_ends_at_its_first_nul() {
    check(
        |out| query(b"select 1\0X\0\0\0\x04", out),
        b"Q\0\0\0\x0dselect 1\0",
    );
    check(|out| close(b'S', b"a\0b", out), b"C\0\0\0\x07Sa\0");
    check(
        |out| {
            let parameters = [("user", "ann\0database\0other"), ("", "x"), ("\0y", "x")];
            startup_message(crate::startup::PROTOCOL_3_0, parameters, out);
        },
        b"\0\0\0\x12\0\x03\0\0user\0ann\0\0",
    );
    let fields = ErrorFields {
        message: "a\0Cfalse\0b",
        ..ErrorFields::default()
    };
    check(|out| error(&fields, out), b"E\0\0\0\x0eS\0V\0C\0Ma\0\0");
    check(
        |out| row_description(&[("a\0b", 25)], out),
        b"T\0\0\0\x1a\0\x01a\0\0\0\0\0\0\0\0\0\0\x19\xff\xff\xff\xff\xff\xff\0\0",
    );
}

#[test]
fn foreign_bytes_are_kept_as_they_are() {
    check(
        |out| query(b"select '\xe9'", out),
        b"Q\0\0\0\x0fselect '\xe9'\0",
    );
    check(
        |out| parameter_status(b"a", b"\xff", out),
        b"S\0\0\0\x08a\0\xff\0",
    );
    // Values may hold anything; only texts end at a NUL.
    check(
        |out| data_row(&[Some(b"\0\xff"), None, Some(b"")], out),
        b"D\0\0\0\x14\0\x03\0\0\0\x02\0\xff\xff\xff\xff\xff\0\0\0\0",
    );
    check(|out| frame(b'd', b"\0\x01", out), b"d\0\0\0\x06\0\x01");
}

#[test]
fn messages_without_a_body() {
    check(sync, b"S\0\0\0\x04");
    check(flush, b"H\0\0\0\x04");
    check(terminate, b"X\0\0\0\x04");
    check(parse_complete, b"1\0\0\0\x04");
    check(bind_complete, b"2\0\0\0\x04");
    check(close_complete, b"3\0\0\0\x04");
    check(no_data, b"n\0\0\0\x04");
    check(empty_query, b"I\0\0\0\x04");
}

#[test]
fn types_of_parse_come_in_fours() {
    check(
        |out| parse(b"", b"", b"\0\0\0\x17\0", out),
        b"P\0\0\0\x0c\0\0\0\x01\0\0\0\x17",
    );
}

#[test]
fn sizes_of_fixed_types() {
    for (oid, size) in [(16, 1), (21, 2), (23, 4), (26, 4), (20, 8), (25, -1i16)] {
        let mut out = Vec::new();
        row_description(&[("a", oid)], &mut out);
        assert_eq!(out[19..21], size.to_be_bytes(), "type {oid}");
    }
}
