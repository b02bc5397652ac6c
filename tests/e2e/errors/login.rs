//! Those of a login: nobody comes in.

use pgweir_tests::{Config, Major, Scene, ServerError, Way, Wire, cases, certificates, eventually};
use pgweir_wire::encode;

use super::{Case, Provoke, case, check, refused};

cases! {
    before_the_login;
    in_the_login;
    in_the_login_by_other_ways;
    who_may_come_in;
}

/// What is said to a client that begins with these bytes.
fn answer_to(scene: &Scene, bytes: &[u8]) -> ServerError {
    let mut wire = Wire::open(&scene.target());
    wire.send(bytes);
    wire.last_error()
}

fn before_the_login(major: Major) {
    let bytes: [(&str, Provoke, &str); 3] = [
        (
            "unsupported frontend protocol 4.0: server supports 3.0 to 3.2",
            |scene| answer_to(scene, b"\0\0\0\x09\0\x04\0\0\0"),
            "bad packet header: '0000000900040000'",
        ),
        (
            "unsupported frontend protocol 2.0: server supports 3.0 to 3.2",
            |scene| answer_to(scene, b"\0\0\0\x09\0\x02\0\0\0"),
            "old V2 protocol not supported",
        ),
        (
            "invalid length 2147483647 of startup packet",
            |scene| answer_to(scene, b"\x7f\xff\xff\xff\0\x03\0\0\0"),
            "bad packet header: '7fffffff00030000'",
        ),
    ];
    let mut cases: Vec<Case> = bytes
        .into_iter()
        .map(|(message, provoke, plain)| {
            let sqlstate = if message.contains("length") {
                "08P01"
            } else {
                "0A000"
            };
            case(provoke, sqlstate, message, false).plain(plain)
        })
        .collect();
    cases.push(case(
        |scene| answer_to(scene, b"\0\0\0\x0c\0\x03\0\0user"),
        "08P01",
        "invalid startup packet layout: expected terminator as last byte",
        false,
    ));
    cases.push(case(
        |scene| {
            let mut out = Vec::new();
            encode::ssl_request(&mut out);
            out.push(0);
            answer_to(scene, &out)
        },
        "08P01",
        "received unencrypted data after SSL request",
        false,
    ));
    check(major, Way::Transaction, |config| config, &cases);
    let tls = |config: Config| {
        config
            .set("client_tls_sslmode", "require")
            .set("client_tls_cert_file", certificates().server())
            .set("client_tls_key_file", certificates().server_key())
    };
    let plain = case(
        |scene| refused(&scene.target(), &[]),
        "28000",
        "SSL required",
        true,
    );
    check(major, Way::Transaction, tls, &[plain]);
}

fn in_the_login(major: Major) {
    let cases = [
        case(
            |scene| answer_to(scene, b"\0\0\0\x09\0\x03\0\0\0"),
            "28000",
            "no username supplied",
            false,
        ),
        case(
            |scene| refused(&scene.target().user(&"x".repeat(128)), &[]),
            "08P01",
            "username too long",
            false,
        ),
        case(
            |scene| refused(&scene.target(), &[("options", "-e")]),
            "08P01",
            "unsupported options startup parameter \"-e\": only -c name=value is allowed",
            false,
        )
        .plain(
            "unsupported options startup parameter: only '-c config=val' and '--config=val' are \
             allowed",
        ),
        case(
            |scene| refused(&scene.target().password("wrong"), &[]),
            "28P01",
            "SASL authentication failed",
            false,
        ),
        case(
            |scene| refused(&scene.target().user("nobody"), &[]),
            "28P01",
            "SASL authentication failed",
            false,
        ),
        case(
            |scene| refused(&scene.target().database("nowhere"), &[]),
            "3D000",
            "no such database: nowhere",
            false,
        ),
        // The name is cut where PostgreSQL would cut it.
        case(
            |scene| refused(&scene.target().database(&"n".repeat(100)), &[]),
            "3D000",
            "no such database: nnnnnnnnnnnnnnnnnnnnnnnnnnnnnnnnnnnnnnnnnnnnnnnnnnnnnnnnnnnnnnn",
            false,
        ),
        case(
            |scene| refused(&scene.pooler().console().user("app"), &[]),
            "42501",
            "not allowed",
            true,
        ),
    ];
    check(major, Way::Transaction, |config| config, &cases);
}

fn in_the_login_by_other_ways(major: Major) {
    let plain = |config: Config| config.set("auth_type", "plain");
    let cases = [
        case(
            |scene| refused(&scene.target().password("wrong"), &[]),
            "28P01",
            "password authentication failed",
            false,
        ),
        case(
            |scene| refused(&scene.target().password(""), &[]),
            "28P01",
            "empty password returned by client",
            false,
        ),
    ];
    check(major, Way::Transaction, plain, &cases);
    let trust = |config: Config| config.set("auth_type", "trust");
    let unknown = case(
        |scene| refused(&scene.target().user("nobody"), &[]),
        "28000",
        "\"trust\" authentication failed",
        false,
    );
    check(major, Way::Transaction, trust, &[unknown]);
}

/// The refusal of a client for which there is no room, while another one is there.
fn one_too_many(scene: &Scene) -> ServerError {
    // The connection by which the harness looked counts until its end is noticed.
    let first = eventually("there is room", || {
        Wire::try_connect(&scene.target(), &[]).ok()
    });
    let error = refused(&scene.target(), &[]);
    drop(first);
    error
}

fn who_may_come_in(major: Major) {
    type Change = fn(Config) -> Config;
    let limits: [(Change, &str); 3] = [
        (
            |config| config.set("max_client_conn", 1),
            "no more connections allowed (max_client_conn)",
        ),
        (
            |config| config.set("max_db_client_connections", 1),
            "client connections exceeded (max_db_client_connections)",
        ),
        (
            |config| config.set("max_user_client_connections", 1),
            "client connections exceeded (max_user_client_connections)",
        ),
    ];
    for (change, message) in limits {
        let limit = case(one_too_many, "53300", message, true);
        check(major, Way::Transaction, change, &[limit]);
    }
    let disabled = case(
        |scene| {
            scene.pooler().ask("DISABLE closed");
            refused(&scene.target().database("closed"), &[])
        },
        "57P03",
        "database \"closed\" is disabled",
        false,
    );
    let closed = |config: Config| {
        config
            .database_set("closed", "hosts", ["127.0.0.1:1"])
            .database_set("closed", "dbname", "postgres")
    };
    check(major, Way::Transaction, closed, &[disabled]);
}
