use super::*;
use crate::encode;

/// The body of the one frame that `write` makes.
fn body(write: impl FnOnce(&mut Vec<u8>)) -> Vec<u8> {
    let mut out = Vec::new();
    write(&mut out);
    out.split_off(crate::HEADER_LEN)
}

const INSUFFICIENT: &str = "insufficient data left in message";
const UNTERMINATED: &str = "invalid string in message";

/// `start` is how the error's text begins.
fn check_refused<T>(got: Result<T, Error>, start: &str) {
    let error = got.err().expect(start).to_string();
    assert!(error.starts_with(start), "{error:?} instead of {start:?}");
}

#[test]
fn parse_bodies() {
    let types = [0, 0, 0, 23, 0, 0, 0, 25];
    let got = body(|out| encode::parse(b"s1", b"select $1", &types, out));
    assert_eq!(
        parse(&got),
        Ok(Parse {
            name: b"s1",
            query: b"select $1",
            types: &types
        })
    );
    // LATIN1 text is not touched.
    assert_eq!(
        parse(b"\0select '\xe9'\0\0\0").unwrap().query,
        b"select '\xe9'"
    );

    check_refused(parse(b""), UNTERMINATED);
    check_refused(parse(b"name"), UNTERMINATED);
    check_refused(parse(b"name\0select"), UNTERMINATED);
    check_refused(parse(b"\0select 1\0"), INSUFFICIENT);
    check_refused(parse(b"\0select 1\0\0"), INSUFFICIENT);
    check_refused(parse(b"\0select 1\0\0\x01\0\0\0"), INSUFFICIENT);
    check_refused(parse(b"\0select 1\0\xff\xff"), INSUFFICIENT);
    check_refused(
        parse(b"\0select 1\0\0\0X"),
        "invalid format of message Parse: 1 bytes too many",
    );
}

#[test]
fn bind_names_need_only_the_front() {
    let got = body(|out| encode::bind(b"p", b"s1", &[Some(b"1")], out));
    let names = bind_names(&got).unwrap();
    assert_eq!(
        names,
        BindNames {
            portal: b"p",
            statement: b"s1",
            rest_at: 5
        }
    );
    assert_eq!(&got[names.rest_at..], b"\0\0\0\x01\0\0\0\x011\0\0");
    for len in 0..5 {
        assert_eq!(bind_names(&got[..len]), None);
    }
    assert_eq!(
        bind_names(b"\0\0"),
        Some(BindNames {
            portal: b"",
            statement: b"",
            rest_at: 2
        })
    );
}

#[test]
fn describe_and_close_bodies() {
    assert_eq!(
        describe(b"Ss1\0"),
        Ok(Describe {
            kind: b'S',
            name: b"s1"
        })
    );
    assert_eq!(
        close(b"P\0"),
        Ok(Close {
            kind: b'P',
            name: b""
        })
    );

    check_refused(describe(b""), INSUFFICIENT);
    check_refused(describe(b"S"), UNTERMINATED);
    check_refused(describe(b"Xs1\0"), "invalid kind 88 in message Describe");
    check_refused(close(b"\0\0"), "invalid kind 0 in message Close");
    check_refused(
        close(b"Sa\0b\0"),
        "invalid format of message Close: 2 bytes too many",
    );
}

#[test]
fn execute_bodies() {
    assert_eq!(
        execute(b"\0\0\0\0\0"),
        Ok(Execute {
            portal: b"",
            max_rows: 0
        })
    );
    assert_eq!(
        execute(b"p\0\0\0\x01\0"),
        Ok(Execute {
            portal: b"p",
            max_rows: 256
        })
    );

    check_refused(execute(b"p\0\0\0\0"), INSUFFICIENT);
    check_refused(execute(b"p"), UNTERMINATED);
    check_refused(execute(b"p\0\0\0\0\0\0"), "invalid format");
}

#[test]
fn bodies_of_one_text() {
    assert_eq!(query(b"select 1\0"), Ok(&b"select 1"[..]));
    assert_eq!(query(b"\0"), Ok(&b""[..]));
    assert_eq!(password(b"p\xc3\xa9\0"), Ok(&b"p\xc3\xa9"[..]));
    assert_eq!(copy_fail(b"no\0"), Ok(&b"no"[..]));

    check_refused(query(b""), UNTERMINATED);
    check_refused(query(b"abcd"), UNTERMINATED);
    // The tail must not become the next message.
    check_refused(
        query(b"a\0X\0\0\0\x04\0"),
        "invalid format of message Query: 6 bytes too many",
    );
    check_refused(
        password(b"secret"),
        "invalid string in message PasswordMessage",
    );
}

#[test]
fn sasl_bodies() {
    let initial = |bytes| sasl_initial(bytes).map(|got| (got.mechanism, got.response));
    assert_eq!(
        initial(b"X\0\0\0\0\x02hi"),
        Ok((&b"X"[..], Some(&b"hi"[..])))
    );
    assert_eq!(initial(b"X\0\0\0\0\0"), Ok((&b"X"[..], Some(&b""[..]))));
    assert_eq!(initial(b"X\0\xff\xff\xff\xff"), Ok((&b"X"[..], None)));
    assert_eq!(sasl_response(b"c=biws"), b"c=biws");

    check_refused(initial(b"X"), UNTERMINATED);
    check_refused(initial(b"X\0\0\0\0"), INSUFFICIENT);
    check_refused(initial(b"X\0\0\0\0\x03hi"), INSUFFICIENT);
    check_refused(initial(b"X\0\xff\xff\xff\xfehi"), INSUFFICIENT);
    check_refused(initial(b"X\0\0\0\0\x01hi"), "invalid format");
    check_refused(initial(b"X\0\xff\xff\xff\xffhi"), "invalid format");
}
