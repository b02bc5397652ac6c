use super::*;
use crate::encode;

fn made(write: impl FnOnce(&mut Vec<u8>)) -> Vec<u8> {
    let mut out = Vec::new();
    write(&mut out);
    out
}

/// A packet of that code or version around `body`.
fn around(code: u32, body: &[u8]) -> Vec<u8> {
    let len = u32::try_from(body.len() + 8).unwrap();
    [&len.to_be_bytes(), &code.to_be_bytes(), body].concat()
}

fn check_refused(bytes: &[u8], expected: &Error) {
    match packet(bytes) {
        Err(error) => assert_eq!(error, *expected, "{bytes:?}"),
        Ok(_) => panic!("{bytes:?} was accepted"),
    }
}

fn check_layout_refused(body: &[u8], what: &'static str) {
    check_refused(&around(PROTOCOL_3_0, body), &Error::PacketLayout { what });
}

#[test]
fn lengths() {
    let check = |bytes: &[u8], expected| assert_eq!(packet_len(bytes), expected);
    let wrong = |len| Err(Error::PacketLength { len });
    check(b"", Ok(None));
    check(b"\0\0\0", Ok(None));
    check(b"\0\0\0\x08", Ok(Some(8)));
    check(b"\0\0\x27\x10 and more", Ok(Some(10_000)));
    check(b"\0\0\0\0", wrong(0));
    check(b"\0\0\0\x07", wrong(7));
    check(b"\0\0\x27\x11", wrong(10_001));
    check(b"\xff\xff\xff\xff", wrong(u32::MAX));
    // What a program sends that does not speak the protocol: HTTP, a TLS ClientHello.
    check(b"GET / HTTP", wrong(u32::from_be_bytes(*b"GET ")));
    check(b"\x16\x03\x01\x02\x00", wrong(0x1603_0102));
}

#[test]
fn startups() {
    let parameters = [("user", "ann"), ("database", ""), ("user", "bob")];
    let bytes = made(|out| encode::startup_message(PROTOCOL_3_2, parameters, out));
    let Ok(Packet::Startup(startup)) = packet(&bytes) else {
        panic!("{bytes:?}")
    };
    assert_eq!(startup.version, PROTOCOL_3_2);
    let got: Vec<_> = startup.parameters().collect();
    let expected = parameters.map(|(name, value)| (name.as_bytes(), value.as_bytes()));
    assert_eq!(got, expected);
    assert_eq!(startup.parameter("user"), Some(&b"bob"[..]));
    assert_eq!(startup.parameter("database"), Some(&b""[..]));
    assert_eq!(startup.parameter("options"), None);
}

#[test]
fn versions() {
    let version_of = |version| match packet(&around(version, b"\0")) {
        Ok(Packet::Startup(startup)) => Ok(startup.version),
        Ok(_) => panic!("{version} is not a startup"),
        Err(error) => Err(error),
    };
    // Newer minor versions are negotiated by the caller, libpq's probe 3.9999 among them.
    for version in [PROTOCOL_3_0, 196_609, PROTOCOL_3_2, 3 << 16 | 9999] {
        assert_eq!(version_of(version), Ok(version));
    }
    for version in [0, 131_072, 4 << 16, u32::MAX] {
        assert_eq!(version_of(version), Err(Error::Version { version }));
    }
}

#[test]
fn startup_layouts_that_are_refused() {
    const TERMINATOR: &str = "expected terminator as last byte";
    check_layout_refused(b"", TERMINATOR);
    check_layout_refused(b"user", TERMINATOR);
    check_layout_refused(b"user\0ann", TERMINATOR);
    check_layout_refused(b"user\0ann\0x", TERMINATOR);
    check_layout_refused(b"user\0ann\0\0\0", TERMINATOR);
    check_layout_refused(b"\0\0\0", TERMINATOR);
    check_layout_refused(b"user\0", TERMINATOR);
    // The value is empty, and the terminator missing.
    check_layout_refused(b"user\0\0", TERMINATOR);
}

#[test]
fn requests_for_encryption() {
    assert!(matches!(
        packet(&made(encode::ssl_request)),
        Ok(Packet::SslRequest)
    ));
    assert!(matches!(
        packet(&around(GSS_ENC_REQUEST, b"")),
        Ok(Packet::GssEncRequest)
    ));
    let expected = Error::PacketLayout {
        what: "a request for encryption has no fields",
    };
    check_refused(&around(SSL_REQUEST, b"\0"), &expected);
    check_refused(&around(GSS_ENC_REQUEST, b"more"), &expected);
}

#[test]
fn cancels() {
    for len in [4, 32, 256] {
        let key = vec![9; len];
        let bytes = made(|out| encode::cancel_request(77, &key, out));
        let Ok(Packet::Cancel(cancel)) = packet(&bytes) else {
            panic!("{bytes:?}")
        };
        assert_eq!((cancel.pid, cancel.key), (77, key.as_slice()));
    }
    let expected = Error::PacketLayout {
        what: "a cancel request has a key of 4 to 256 bytes",
    };
    for len in [0, 3, 7, 4 + 257] {
        check_refused(&around(CANCEL_REQUEST, &vec![9; len]), &expected);
    }
}

#[test]
fn exactly_one_whole_packet() {
    let bytes = around(PROTOCOL_3_0, b"user\0ann\0\0");
    let expected = Error::PacketLayout {
        what: "its length is another",
    };
    for len in 0..bytes.len() {
        check_refused(&bytes[..len], &expected);
    }
    check_refused(&[&bytes[..], b"Q"].concat(), &expected);
    check_refused(b"\0\0\0\x07\0\0\0", &Error::PacketLength { len: 7 });
}
