//! Who gets in, and how pgweir itself gets in.

mod ldap;
mod pam;
mod query;
mod rules;

use std::fs;

use pgweir_tests::{Cluster, Config, Major, Pooler, ServerError, Target, Wire, cases, eventually};
use pgweir_wire::encode;
use pgweir_wire::startup::PROTOCOL_3_0;

cases! {
    every_method_and_secret;
    a_verifier_is_enough;
    a_verifier_after_a_new_password;
    md5_hashes;
    rounds_of_scram;
    trust;
    unknown_user_and_wrong_password_look_the_same;
    unknown_databases_are_told_after_the_login;
    the_server_refuses;
    a_userlist_is_read_again;
    unix_sockets;
    ipv6_and_several_addresses;
}

/// A pooler whose client `app` has this secret and method.
fn pooler(cluster: &Cluster, database: &str, auth_type: &str, secret: &str) -> Pooler {
    let config = Config::new()
        .database(database, cluster)
        .set("auth_type", auth_type);
    // In every case the server is reached as somebody whose password is known.
    let config = config.database_set(database, "user", "other").database_set(
        database,
        "password",
        "other-secret",
    );
    Pooler::start(&config.user_set("app", "password", secret))
}

fn md5_of(cluster: &Cluster, role: &str) -> String {
    let secret = cluster.verifier(role);
    assert!(secret.starts_with("md5"));
    secret
}

fn every_method_and_secret(major: Major) {
    let cluster = Cluster::shared(major);
    let database = cluster.database();
    let scram = cluster.verifier("app");
    assert!(scram.starts_with("SCRAM-SHA-256$"));
    let hash = cluster.admin("postgres", "SELECT 'md5' || md5('app-secret' || 'app')");
    for (auth_type, secret, works) in [
        ("plain", "app-secret", true),
        ("plain", &hash, true),
        ("plain", &scram, true),
        ("md5", "app-secret", true),
        ("md5", &hash, true),
        // As PgBouncer does, the stronger method is asked for.
        ("md5", &scram, true),
        ("scram-sha-256", "app-secret", true),
        ("scram-sha-256", &scram, true),
        // There is no way to check a SCRAM login with an MD5 hash.
        ("scram-sha-256", &hash, false),
    ] {
        let pooler = pooler(cluster, &database, auth_type, secret);
        let target = pooler.target(&database);
        let outcome = Wire::try_connect(&target, &[]);
        assert_eq!(outcome.is_ok(), works, "{auth_type} {secret} {outcome:?}");
        assert!(
            Wire::try_connect(&target.password("wrong"), &[]).is_err(),
            "{auth_type} {secret}"
        );
        assert!(
            Wire::try_connect(&target.password(""), &[]).is_err(),
            "{auth_type} {secret}"
        );
        assert!(
            Wire::try_connect(&target.password(secret), &[]).is_ok() == (secret == "app-secret")
        );
    }
}

fn a_verifier_is_enough(major: Major) {
    let cluster = Cluster::shared(major);
    let database = cluster.database();
    // No password anywhere: the client's login gives the key for the server's.
    let config = Config::new().database(&database, cluster).user_set(
        "app",
        "password",
        cluster.verifier("app"),
    );
    let pooler = Pooler::start(&config.set("server_lifetime", "200ms"));
    let target = pooler.target(&database);
    let mut wire = Wire::connect(&target);
    let first = wire.sql("SELECT current_user, pg_backend_pid()");
    assert!(first[0].starts_with("app|"));
    // For later connections, too.
    eventually("a new connection serves", || {
        (wire.sql("SELECT current_user, pg_backend_pid()") != first).then_some(())
    });
    assert!(Wire::try_connect(&target.password("wrong"), &[]).is_err());
    assert_eq!(wire.sql("SELECT 1"), ["1"]);
}

fn a_verifier_after_a_new_password(major: Major) {
    let cluster = Cluster::start(major, &pgweir_tests::Options::default());
    let database = cluster.database();
    let config = Config::new().database(&database, &cluster).user_set(
        "app",
        "password",
        cluster.verifier("app"),
    );
    let pooler = Pooler::start(&config);
    let target = pooler.target(&database);
    assert_eq!(Wire::connect(&target).sql("SELECT 1"), ["1"]);
    cluster.admin("postgres", "ALTER ROLE app PASSWORD 'new-secret'");
    pooler.write(&config.user_set("app", "password", cluster.verifier("app")));
    pooler.ask("RELOAD");
    pooler.ask("RECONNECT");
    assert!(Wire::try_connect(&target, &[]).is_err());
    assert_eq!(
        Wire::connect(&target.password("new-secret")).sql("SELECT 1"),
        ["1"]
    );
}

fn md5_hashes(major: Major) {
    // The hash is all that an MD5 login needs, on both sides.
    let cluster = Cluster::shared(major);
    let database = cluster.database();
    let config = Config::new()
        .database(&database, cluster)
        .set("auth_type", "md5");
    let pooler = Pooler::start(&config.user_set("old", "password", md5_of(cluster, "old")));
    assert_eq!(
        Wire::connect(&pooler.target(&database).user("old")).sql("SELECT current_user"),
        ["old"]
    );
    // Where the server asks for the password in clear.
    let config = Config::new().database(&database, cluster).user("plain");
    let pooler = Pooler::start(&config);
    assert_eq!(
        Wire::connect(&pooler.target(&database).user("plain")).sql("SELECT current_user"),
        ["plain"]
    );
}

/// Logs in by SCRAM and gives how many rounds are asked for.
fn rounds(target: &Target) -> u32 {
    let mut wire = Wire::open(target);
    wire.startup(target, PROTOCOL_3_0, &[]);
    assert!(wire.frame().text().contains("SCRAM-SHA-256"));
    wire.write(|out| encode::sasl_initial("SCRAM-SHA-256", Some(b"n,,n=,r=abcdef"), out));
    let challenge = wire.frame().text();
    let rounds = challenge.split("i=").last().expect("a number");
    rounds.parse().expect("a number")
}

fn rounds_of_scram(major: Major) {
    let cluster = Cluster::shared(major);
    let database = cluster.database();
    let config = Config::of(cluster, &database)
        .user_set("stored", "password", cluster.verifier("app"))
        .set("scram_iterations", 1234);
    let pooler = Pooler::start(&config);
    let target = pooler.target(&database);
    let check = |expected: u32| {
        assert_eq!(rounds(&target), expected);
        // Who does not exist is not to be told from who does, and a verifier has its own.
        assert_eq!(rounds(&target.user("nobody")), expected);
        assert_eq!(rounds(&target.user("stored")), 4096);
        assert_eq!(target.sql("SELECT 1"), "1");
    };
    check(1234);
    pooler.ask("SET scram_iterations = 10000");
    check(10000);
    pooler.ask("RELOAD");
    check(1234);
    let outcome = pooler.console().psql("SET scram_iterations = 0");
    outcome.check_failure("expected a number from 1 to 1000000");
}

fn trust(major: Major) {
    let cluster = Cluster::shared(major);
    let database = cluster.database();
    let config = Config::new()
        .database(&database, cluster)
        .set("auth_type", "trust");
    let pooler = Pooler::start(&config.user("app").user_set("trusting", "password", ""));
    let target = pooler.target(&database);
    assert_eq!(
        Wire::connect(&target.password("whatever")).sql("SELECT current_user"),
        ["app"]
    );
    assert!(Wire::try_connect(&target.user("nobody"), &[]).is_err());
    // Nor does it help that the server is logged in to as somebody else.
    let pooler = self::pooler(cluster, &database, "trust", "");
    let nobody = pooler.target(&database).user("nobody").psql("SELECT 1");
    nobody.check_failure("\"trust\" authentication failed");
    assert_eq!(pooler.target(&database).sql("SELECT current_user"), "other");
}

/// Everything a client can see of a login that fails: the messages' tags, and the error.
fn failed_login(target: &Target) -> ServerError {
    let mut wire = Wire::open(target);
    wire.startup(target, PROTOCOL_3_0, &[]);
    let error = wire.login(target).unwrap_err();
    wire.closed();
    error
}

fn unknown_user_and_wrong_password_look_the_same(major: Major) {
    let cluster = Cluster::shared(major);
    let database = cluster.database();
    for auth_type in ["plain", "md5", "scram-sha-256"] {
        let secret = if auth_type == "md5" {
            "app-secret".to_owned()
        } else {
            cluster.verifier("app")
        };
        let pooler = pooler(cluster, &database, auth_type, &secret);
        let wrong = pooler.target(&database).password("wrong");
        let unknown = wrong.user("nobody").password("wrong");
        // That both cost the same is a matter of counting, done where the exchange is.
        assert_eq!(failed_login(&wrong), failed_login(&unknown), "{auth_type}");
    }
}

fn unknown_databases_are_told_after_the_login(major: Major) {
    let cluster = Cluster::shared(major);
    let database = cluster.database();
    let pooler = pooler(cluster, &database, "scram-sha-256", "app-secret");
    let target = pooler.target("nowhere");
    assert_eq!(
        Wire::try_connect(&target, &[]).unwrap_err().message,
        "no such database: nowhere"
    );
    let error = Wire::try_connect(&target.password("wrong"), &[]).unwrap_err();
    assert_eq!(error.message, "SASL authentication failed");
}

fn the_server_refuses(major: Major) {
    let cluster = Cluster::shared(major);
    let database = cluster.database();
    let config = Config::of(cluster, &database)
        .user_set("stranger", "password", "x")
        .database("missing", cluster)
        .database(&format!("{database}_wrong"), cluster)
        .database_set(&format!("{database}_wrong"), "dbname", database.clone())
        .database_set(&format!("{database}_wrong"), "user", "other")
        .database_set(&format!("{database}_wrong"), "password", "wrong");
    let pooler = Pooler::start(&config);
    for (target, sqlstate) in [
        (pooler.target("missing"), "3D000"),
        (
            pooler.target(&database).user("stranger").password("x"),
            "28P01",
        ),
        (pooler.target(&format!("{database}_wrong")), "28P01"),
    ] {
        let error = Wire::try_connect(&target, &[]).unwrap_err();
        assert_eq!(
            (error.severity.as_str(), error.sqlstate.as_str()),
            ("FATAL", sqlstate),
            "{error:?}"
        );
    }
    assert_eq!(pooler.target(&database).sql("SELECT 1"), "1");
}

fn a_userlist_is_read_again(major: Major) {
    let cluster = Cluster::shared(major);
    let database = cluster.database();
    let room = pgweir_tests::Room::new("users");
    let file = room.join("userlist.txt");
    fs::write(&file, "; users\n\"app\" \"app-secret\"\n").unwrap();
    let config = Config::new()
        .database(&database, cluster)
        .set("auth_file", file.clone());
    let pooler = Pooler::start(&config);
    assert_eq!(pooler.target(&database).sql("SELECT current_user"), "app");
    let other = pooler.target(&database).user("other");
    other
        .psql("SELECT 1")
        .check_failure("SASL authentication failed");
    fs::write(
        &file,
        format!(
            "\"app\" \"app-secret\"\n\"other\" \"{}\"\n",
            cluster.verifier("other")
        ),
    )
    .unwrap();
    pooler.ask("RELOAD");
    assert_eq!(other.sql("SELECT current_user"), "other");
}

fn unix_sockets(major: Major) {
    let cluster = Cluster::shared(major);
    let database = cluster.database();
    let room = pgweir_tests::Room::new("socket");
    let socket = room.path().display().to_string();
    let server = format!("{}:{}", cluster.socket().display(), cluster.port());
    let config = Config::new()
        .set("unix_socket_dir", socket.as_str())
        .set("unix_socket_mode", "0700")
        .database_set(&database, "hosts", [server.as_str()])
        .user("app");
    let pooler = Pooler::start(&config);
    let target = pooler.target(&database);
    let local = target.host(room.path());
    assert_eq!(
        local.sql("SELECT current_user, inet_server_addr() IS NULL"),
        "app|t"
    );
    assert_eq!(target.sql("SELECT inet_server_addr() IS NULL"), "t");
    let file = room.join(&format!(".s.PGSQL.{}", pooler.port()));
    let mode = std::os::unix::fs::PermissionsExt::mode(&fs::metadata(&file).unwrap().permissions());
    assert_eq!(mode & 0o777, 0o700);
    // Cancel requests come this way, too.
    let mut wire = Wire::connect(&local);
    wire.send(b"Q\0\0\0\x18SELECT pg_sleep(30)\0");
    eventually("the query runs", || {
        let sql = "SELECT 1 FROM pg_stat_activity WHERE query = 'SELECT pg_sleep(30)' AND datname = current_database()";
        (!cluster.admin(&database, sql).is_empty()).then_some(())
    });
    wire.cancel(&local);
    assert!(wire.until_ready().iter().any(|frame| frame.tag == b'E'));
    drop(wire);
    pooler.signal(nix::sys::signal::Signal::SIGTERM);
    eventually("the socket is removed", || (!file.exists()).then_some(()));
}

fn ipv6_and_several_addresses(major: Major) {
    if std::net::TcpListener::bind("[::1]:0").is_err() {
        println!("skipped: no IPv6 here");
        return;
    }
    let cluster = Cluster::shared(major);
    let database = cluster.database();
    let config = Config::of(cluster, &database).set("listen_addr", ["127.0.0.1", "::1"]);
    let pooler = Pooler::start(&config);
    let target = pooler.target(&database);
    assert_eq!(target.sql("SELECT 1"), "1");
    assert_eq!(target.host("::1").sql("SELECT 1"), "1");
}
