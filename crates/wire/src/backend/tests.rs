use super::*;

const INSUFFICIENT: &str = "insufficient data left in message";
const UNTERMINATED: &str = "invalid string in message";

/// `start` is how the error's text begins.
fn check_refused<T>(got: Result<T, Error>, start: &str) {
    let error = got.err().expect(start).to_string();
    assert!(error.starts_with(start), "{error:?} instead of {start:?}");
}

#[test]
fn authentication_bodies() {
    let check = |body, expected| assert_eq!(authentication(body), Ok(expected));
    check(b"\0\0\0\0", Authentication::Ok);
    check(b"\0\0\0\x03", Authentication::Cleartext);
    check(b"\0\0\0\x05salt", Authentication::Md5 { salt: *b"salt" });
    check(b"\0\0\0\x0bdata", Authentication::SaslContinue(b"data"));
    check(b"\0\0\0\x0c", Authentication::SaslFinal(b""));
    check(b"\0\0\0\x07", Authentication::Other(7));
    check(b"\0\0\0\x08gss data", Authentication::Other(8));

    check_refused(authentication(b""), INSUFFICIENT);
    check_refused(authentication(b"\0\0\0"), INSUFFICIENT);
    check_refused(authentication(b"\0\0\0\0\0"), "invalid format");
    check_refused(authentication(b"\0\0\0\x05sal"), INSUFFICIENT);
    check_refused(authentication(b"\0\0\0\x05salty"), "invalid format");
}

#[test]
fn mechanisms_of_sasl() {
    let check = |body: &[u8], expected: &[&[u8]]| match authentication(body) {
        Ok(Authentication::Sasl { mechanisms }) => {
            assert_eq!(mechanisms.collect::<Vec<_>>(), expected);
        }
        other => panic!("{other:?}"),
    };
    check(
        b"\0\0\0\x0aSCRAM-SHA-256-PLUS\0SCRAM-SHA-256\0\0",
        &[b"SCRAM-SHA-256-PLUS", b"SCRAM-SHA-256"],
    );
    check(b"\0\0\0\x0a\0", &[]);

    check_refused(authentication(b"\0\0\0\x0a"), UNTERMINATED);
    check_refused(authentication(b"\0\0\0\x0aSCRAM-SHA-256\0"), UNTERMINATED);
    check_refused(
        authentication(b"\0\0\0\x0aSCRAM-SHA-256\0\0\0"),
        "invalid format",
    );
}

#[test]
fn parameter_status_bodies() {
    let expected = ParameterStatus {
        name: b"TimeZone",
        value: b"",
    };
    assert_eq!(parameter_status(b"TimeZone\0\0"), Ok(expected));

    check_refused(parameter_status(b""), UNTERMINATED);
    check_refused(parameter_status(b"TimeZone\0"), UNTERMINATED);
    check_refused(parameter_status(b"a\0b\0c"), "invalid format");
}

#[test]
fn backend_keys() {
    let key = |len| [b"\0\0\x01\0".to_vec(), vec![7; len]].concat();
    for len in [4, 32, 256] {
        let body = key(len);
        let got = backend_key(&body).unwrap();
        assert_eq!((got.pid, got.key), (256, &body[4..]));
    }
    check_refused(backend_key(b"\0\0\0"), INSUFFICIENT);
    for len in [0, 3, 257] {
        check_refused(
            backend_key(&key(len)),
            &format!("invalid key length {len} in message BackendKeyData"),
        );
    }
}

#[test]
fn ready_bodies() {
    for status in [Status::Idle, Status::Transaction, Status::Failed] {
        assert_eq!(ready(&[status.to_byte()]), Ok(status));
    }
    check_refused(ready(b""), INSUFFICIENT);
    check_refused(ready(b"X"), "invalid status 88 in message ReadyForQuery");
    check_refused(ready(b"II"), "invalid format");
}

#[test]
fn command_tags() {
    assert_eq!(command_tag(b"INSERT 0 1\0"), Ok(&b"INSERT 0 1"[..]));
    check_refused(command_tag(b"INSERT 0 1"), UNTERMINATED);
    check_refused(command_tag(b"INSERT\0 0 1\0"), "invalid format");
}

#[test]
fn fields_of_errors() {
    let fields = Fields::new(b"SFEHLER\0VERROR\0C26000\0Mgibt es nicht: \xe4\0\0");
    assert_eq!(fields.severity(), Some(&b"ERROR"[..]));
    assert_eq!(fields.sqlstate(), Some(&b"26000"[..]));
    assert_eq!(fields.message(), Some(&b"gibt es nicht: \xe4"[..]));
    assert_eq!(fields.field(b'D'), None);
    assert_eq!(fields.map(|field| field.0).collect::<Vec<_>>(), b"SVCM");
    // Before PostgreSQL 9.6 there was only the translated one.
    assert_eq!(Fields::new(b"SFATAL\0\0").severity(), Some(&b"FATAL"[..]));
}

#[test]
fn malformed_errors_have_fewer_fields() {
    let check = |body: &[u8], expected: &[u8]| {
        let codes: Vec<u8> = Fields::new(body).map(|field| field.0).collect();
        assert_eq!(codes, expected, "{body:?}");
    };
    check(b"", b"");
    check(b"\0", b"");
    check(b"S", b"");
    check(b"SERROR", b"");
    check(b"SERROR\0", b"S");
    check(b"SERROR\0C", b"S");
    check(b"SERROR\0\0Clater\0", b"S");
}

#[test]
fn negotiations() {
    let check = |body: &[u8], minor, options: &[&[u8]]| {
        let got = negotiate(body).unwrap();
        assert_eq!(
            (got.minor, got.options.collect::<Vec<_>>().as_slice()),
            (minor, options)
        );
    };
    check(b"\0\x03\0\0\0\0\0\0", 0, &[]);
    check(
        b"\0\x03\0\x02\0\0\0\x02_pq_.a\0_pq_.b\0",
        2,
        &[b"_pq_.a", b"_pq_.b"],
    );
    check(b"\0\0\0\x02\0\0\0\0", 2, &[]);

    check_refused(negotiate(b"\0\x03\0\0"), INSUFFICIENT);
    check_refused(negotiate(b"\0\x02\0\0\0\0\0\0"), "invalid version 131072");
    check_refused(negotiate(b"\0\x03\0\0\xff\xff\xff\xff"), UNTERMINATED);
    check_refused(negotiate(b"\0\x03\0\0\0\0\0\x01a"), UNTERMINATED);
    check_refused(negotiate(b"\0\x03\0\0\0\0\0\x01a\0b\0"), "invalid format");
}
