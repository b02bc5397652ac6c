//! TLS on both sides.

mod ciphers;

use std::fs;
use std::io::{self, Read, Write};
use std::net::{TcpListener, TcpStream};
use std::sync::OnceLock;
use std::thread;

use pgweir_tests::{
    Cluster, Config, Major, Options, Pooler, Target, Wire, cases, certificates, eventually,
};
use pgweir_wire::encode;
use pgweir_wire::startup::PROTOCOL_3_0;

cases! {
    modes_towards_clients;
    certificates_of_clients;
    modes_towards_servers;
    certificates_towards_servers;
    prefer_does_without_tls_that_fails;
    channel_binding;
    direct_tls;
    bytes_before_the_handshake;
    cancel_over_tls;
    a_renewed_certificate;
    queries_over_tls_on_both_sides;
    mistakes_in_files;
}

/// One server with TLS for each version.
pub(crate) fn cluster(major: Major) -> &'static Cluster {
    static CLUSTERS: [OnceLock<Cluster>; 2] = [const { OnceLock::new() }; 2];
    let options = Options {
        tls: true,
        hba: "hostnossl all other 127.0.0.1/32 reject\n".to_owned(),
        ..Options::default()
    };
    CLUSTERS[major as usize].get_or_init(|| Cluster::start(major, &options))
}

fn config(cluster: &Cluster, database: &str) -> Config {
    Config::of(cluster, database)
        .set("client_tls_cert_file", certificates().server())
        .set("client_tls_key_file", certificates().server_key())
}

fn with_sslmode(target: &Target, mode: &str) -> Target {
    target
        .with("sslmode", mode)
        .with("sslrootcert", certificates().authority())
}

fn modes_towards_clients(major: Major) {
    let cluster = cluster(major);
    let database = cluster.database();
    for (mode, plain, encrypted) in [
        ("disable", true, false),
        ("allow", true, true),
        ("prefer", true, true),
        ("require", false, true),
    ] {
        let pooler = Pooler::start(&config(cluster, &database).set("client_tls_sslmode", mode));
        let target = pooler.target(&database);
        assert_eq!(
            target.with("sslmode", "disable").psql("SELECT 1").success,
            plain,
            "{mode}"
        );
        assert_eq!(
            with_sslmode(&target, "require").psql("SELECT 1").success,
            encrypted,
            "{mode}"
        );
        assert_eq!(
            with_sslmode(&target, "verify-full")
                .psql("SELECT 1")
                .success,
            encrypted,
            "{mode}"
        );
        let strange = target
            .with("sslmode", "verify-full")
            .with("sslrootcert", certificates().stranger());
        assert!(!strange.psql("SELECT 1").success, "{mode}");
    }
}

fn certificates_of_clients(major: Major) {
    let cluster = cluster(major);
    let database = cluster.database();
    for (mode, authority, works) in [
        ("verify-ca", certificates().authority(), true),
        ("verify-full", certificates().authority(), true),
        ("verify-ca", certificates().stranger(), false),
    ] {
        let config = config(cluster, &database)
            .set("client_tls_sslmode", mode)
            .set("client_tls_ca_file", authority);
        let pooler = Pooler::start(&config);
        let target = with_sslmode(&pooler.target(&database), "require");
        let key = pooler.room().join("client.key");
        fs::copy(certificates().client_key(), &key).unwrap();
        let private = std::os::unix::fs::PermissionsExt::from_mode(0o600);
        fs::set_permissions(&key, private).unwrap();
        let with_certificate = target
            .with("sslcert", certificates().client())
            .with("sslkey", &key);
        let outcome = with_certificate.psql("SELECT 1");
        assert_eq!(outcome.success, works, "{mode} {outcome:?}");
        assert!(
            !target.with("sslcert", "/nowhere").psql("SELECT 1").success,
            "{mode}"
        );
    }
}

fn modes_towards_servers(major: Major) {
    let plain = Cluster::shared(major);
    let encrypted = cluster(major);
    let (good, strange) = (certificates().authority(), certificates().stranger());
    for (mode, authority, on_plain, on_encrypted) in [
        ("disable", &good, Some("f"), Some("f")),
        ("allow", &good, Some("f"), Some("f")),
        ("prefer", &good, Some("f"), Some("t")),
        ("require", &good, None, Some("t")),
        ("verify-ca", &good, None, Some("t")),
        ("verify-full", &good, None, Some("t")),
        ("verify-ca", &strange, None, None),
        ("verify-full", &strange, None, None),
    ] {
        for (cluster, expected) in [(plain, on_plain), (encrypted, on_encrypted)] {
            let database = cluster.database();
            let config = Config::of(cluster, &database)
                .set("server_tls_sslmode", mode)
                .set("server_tls_ca_file", authority.clone())
                .set(
                    "query_wait_timeout",
                    if expected.is_some() { "20s" } else { "1s" },
                );
            let pooler = Pooler::start(&config);
            let outcome = pooler
                .target(&database)
                .psql("SELECT ssl FROM pg_stat_ssl WHERE pid = pg_backend_pid()");
            let answer = outcome.success.then(|| outcome.stdout.trim());
            assert_eq!(answer, expected, "{mode} {authority:?} {outcome:?}");
        }
    }
    // A server that wants TLS and a mode that begins without: "allow" tries again.
    let database = encrypted.database();
    let config = Config::of(encrypted, &database).set("server_tls_sslmode", "allow");
    let pooler = Pooler::start(&config);
    let sql = "SELECT ssl FROM pg_stat_ssl WHERE pid = pg_backend_pid()";
    assert_eq!(pooler.target(&database).user("other").sql(sql), "t");
}

/// In front of a server: says that it speaks TLS, and then does not. Without TLS it is the server.
/// Gives its port; it ends with the test's process.
fn false_promise(server: u16) -> u16 {
    let listener = TcpListener::bind("127.0.0.1:0").unwrap();
    let port = listener.local_addr().unwrap().port();
    thread::spawn(move || {
        for client in listener.incoming() {
            let mut client = client.unwrap();
            thread::spawn(move || {
                let mut first = [0; 8];
                client.read_exact(&mut first).unwrap();
                if first == [0, 0, 0, 8, 0x04, 0xd2, 0x16, 0x2f] {
                    client.write_all(b"Sorry, no TLS today").unwrap();
                    return;
                }
                let mut there = TcpStream::connect(("127.0.0.1", server)).unwrap();
                there.write_all(&first).unwrap();
                let (mut from, mut to) = (there.try_clone().unwrap(), client.try_clone().unwrap());
                thread::spawn(move || io::copy(&mut from, &mut to));
                let _ = io::copy(&mut client, &mut there);
            });
        }
    });
    port
}

fn certificates_towards_servers(major: Major) {
    let options = Options {
        tls: true,
        hba: "hostssl all app 127.0.0.1/32 scram-sha-256 clientcert=verify-full\n".to_owned(),
        ..Options::default()
    };
    let cluster = Cluster::start(major, &options);
    let database = cluster.database();
    let config = Config::of(&cluster, &database).set("server_tls_sslmode", "require");
    let pooler = Pooler::start(&config);
    let error = Wire::try_connect(&pooler.target(&database), &[]).expect_err("no certificate");
    assert_eq!(error.sqlstate, "28000", "{error:?}");
    pooler.write(
        &config
            .set("server_tls_cert_file", certificates().client())
            .set("server_tls_key_file", certificates().client_key()),
    );
    pooler.ask("RELOAD");
    eventually("the server is shown the certificate", || {
        Wire::try_connect(&pooler.target(&database), &[]).ok()
    });
}

fn prefer_does_without_tls_that_fails(major: Major) {
    let cluster = Cluster::shared(major);
    let host = format!("127.0.0.1:{}", false_promise(cluster.port()));
    for (mode, works) in [("prefer", true), ("require", false)] {
        let database = cluster.database();
        let config = Config::of(cluster, &database)
            .set("server_tls_sslmode", mode)
            .set("query_wait_timeout", "20s")
            .database_set(&database, "hosts", [host.as_str()]);
        let pooler = Pooler::start(&config);
        let outcome = pooler.target(&database).psql("SELECT 1");
        assert_eq!(outcome.success, works, "{mode} {outcome:?}");
        if !works {
            assert!(
                outcome.stderr.contains("TLS handshake failed"),
                "{outcome:?}"
            );
        }
    }
}

fn channel_binding(major: Major) {
    let cluster = cluster(major);
    let database = cluster.database();
    let config = config(cluster, &database)
        .set("client_tls_sslmode", "prefer")
        .set("server_tls_sslmode", "require");
    let pooler = Pooler::start(&config);
    let target = with_sslmode(&pooler.target(&database), "require");
    assert_eq!(
        target.with("channel_binding", "require").sql("SELECT 1"),
        "1"
    );
    assert_eq!(
        target.with("channel_binding", "disable").sql("SELECT 1"),
        "1"
    );
    let plain = target
        .with("sslmode", "disable")
        .with("channel_binding", "require");
    assert!(!plain.psql("SELECT 1").success);
    let wrong = target.with("channel_binding", "require").password("wrong");
    wrong
        .psql("SELECT 1")
        .check_failure("SASL authentication failed");
}

fn direct_tls(major: Major) {
    let cluster = cluster(major);
    let database = cluster.database();
    let pooler = Pooler::start(&config(cluster, &database).set("client_tls_sslmode", "prefer"));
    let target = pooler.target(&database);
    let mut wire = Wire::open(&target).encrypt(&["postgresql"]);
    wire.startup(&target, PROTOCOL_3_0, &[]);
    wire.login(&target).unwrap();
    assert_eq!(wire.sql("SELECT 1"), ["1"]);
    // Without ALPN it could be another protocol's bytes, sent here by trickery.
    for alpn in [&[][..], &["http/1.1"]] {
        if let Ok(mut wire) = Wire::open(&target).try_encrypt(alpn) {
            let mut out = Vec::new();
            encode::startup_message(
                PROTOCOL_3_0,
                [("user", "app"), ("database", &database)],
                &mut out,
            );
            let _ = wire.try_send(&out);
            assert_eq!(wire.rest(), b"", "{alpn:?}");
        }
    }
}

fn bytes_before_the_handshake(major: Major) {
    let cluster = cluster(major);
    let database = cluster.database();
    let pooler = Pooler::start(&config(cluster, &database).set("client_tls_sslmode", "prefer"));
    let target = pooler.target(&database);
    let mut wire = Wire::open(&target);
    let mut out = Vec::new();
    encode::ssl_request(&mut out);
    encode::startup_message(
        PROTOCOL_3_0,
        [("user", "app"), ("database", &database)],
        &mut out,
    );
    wire.send(&out);
    let said = String::from_utf8_lossy(&wire.rest()).into_owned();
    assert!(
        !said.contains("SCRAM") && !said.contains("server_version"),
        "{said}"
    );
    assert_eq!(target.sql("SELECT 1"), "1");
}

fn cancel_over_tls(major: Major) {
    let cluster = cluster(major);
    let database = cluster.database();
    let config = config(cluster, &database)
        .set("client_tls_sslmode", "require")
        .set("server_tls_sslmode", "require");
    let pooler = Pooler::start(&config);
    let target = pooler.target(&database);
    let connect = || {
        let mut wire = Wire::open(&target);
        assert_eq!(wire.ask_for_tls(), b'S');
        wire.encrypt(&[])
    };
    let mut wire = connect();
    wire.startup(&target, PROTOCOL_3_0, &[]);
    wire.login(&target).unwrap();
    wire.write(|out| encode::query(b"SELECT pg_sleep(30)", out));
    let sql = "SELECT 1 FROM pg_stat_activity WHERE query = 'SELECT pg_sleep(30)' AND datname = current_database()";
    eventually("the query runs", || {
        (!cluster.admin(&database, sql).is_empty()).then_some(())
    });
    let mut cancel = connect();
    cancel.write(|out| encode::cancel_request(wire.identity.pid, &wire.identity.key, out));
    cancel.rest();
    assert!(
        wire.until_ready()
            .iter()
            .any(|frame| frame.tag == b'E' && frame.error().sqlstate == "57014")
    );
}

fn a_renewed_certificate(major: Major) {
    let cluster = cluster(major);
    let database = cluster.database();
    let room = pgweir_tests::Room::new("renewal");
    let (certificate, key) = (room.join("server.crt"), room.join("server.key"));
    fs::copy(certificates().server(), &certificate).unwrap();
    fs::copy(certificates().server_key(), &key).unwrap();
    let config = Config::of(cluster, &database)
        .set("client_tls_sslmode", "prefer")
        .set("client_tls_cert_file", certificate.clone())
        .set("client_tls_key_file", key.clone());
    let pooler = Pooler::start(&config);
    let target = pooler.target(&database);
    let connect = || {
        let mut wire = Wire::open(&target);
        assert_eq!(wire.ask_for_tls(), b'S');
        let mut wire = wire.encrypt(&[]);
        wire.startup(&target, PROTOCOL_3_0, &[]);
        wire.login(&target).unwrap();
        wire
    };
    let mut old = connect();
    fs::copy(certificates().renewed(), &certificate).unwrap();
    fs::copy(certificates().renewed_key(), &key).unwrap();
    pooler.ask("RELOAD");
    let new = connect();
    assert_ne!(old.server_certificate(), new.server_certificate());
    assert_eq!(old.sql("SELECT 1"), ["1"]);
    // What cannot be read changes nothing.
    fs::write(&certificate, "no certificate").unwrap();
    assert!(!pooler.console().psql("RELOAD").success);
    assert_eq!(connect().server_certificate(), new.server_certificate());
}

fn queries_over_tls_on_both_sides(major: Major) {
    let cluster = cluster(major);
    let database = cluster.database();
    let config = config(cluster, &database)
        .set("client_tls_sslmode", "require")
        .set("server_tls_sslmode", "verify-full")
        .set("server_tls_ca_file", certificates().authority())
        .set("default_pool_size", 4);
    let pooler = Pooler::start(&config);
    let target = with_sslmode(&pooler.target(&database), "verify-full");
    cluster.target(&database).pgbench("-i -s 1 -q");
    for what in ["-S -M prepared", "-M extended"] {
        let report = target.pgbench(&format!("-n {what} -c 16 -j 2 -t 30"));
        assert!(report.contains("480/480"), "{report}");
    }
    assert_eq!(target.sql("SELECT length(repeat('x', 5000000))"), "5000000");
    assert_eq!(target.sql("SELECT repeat('x', 5000000)").len(), 5_000_000);
    let clients = pooler
        .console()
        .with("sslmode", "require")
        .sql("SHOW SERVERS");
    assert!(clients.contains("TLSv1."), "{clients}");
}

fn mistakes_in_files(major: Major) {
    let cluster = cluster(major);
    let room = pgweir_tests::Room::new("mistakes");
    let file = room.join("bad.toml");
    fs::write(
        &file,
        format!(
            "[pgweir]\nclient_tls_sslmode = \"require\"\nclient_tls_cert_file = \"{}\"\nclient_tls_key_file = \"{}\"\n\
             server_tls_ca_file = \"/nowhere/ca.crt\"\n[databases.shop]\nhosts = [\"127.0.0.1:{}\"]\n",
            certificates().server().display(),
            certificates().client_key().display(),
            cluster.port()
        ),
    )
    .unwrap();
    let mut check = std::process::Command::new(Pooler::program());
    let outcome = pgweir_tests::Outcome::of(check.arg("check").arg(&file), "");
    assert!(!outcome.success);
    let said = outcome.stdout + &outcome.stderr;
    assert!(said.contains("client.key"), "{said}");
    assert!(said.contains("/nowhere/ca.crt"), "{said}");
}
