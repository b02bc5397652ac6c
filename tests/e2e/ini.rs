//! PgBouncer's file in the place of ours.

use std::fs;
use std::path::Path;
use std::process::Command;

use nix::sys::signal::Signal;
use pgweir_tests::{Cluster, Major, Outcome, Pooler, Room, Wire, cases, certificates};

cases! {
    an_ini_runs_and_is_read_again;
    an_ini_is_checked_and_converted;
    the_file_that_operators_copy;
}

const USERS: &str = "\"app\" \"app-secret\"\n\"ops\" \"ops-secret\"\n";

/// A configuration as PgBouncer has it, its databases in a file of their own.
fn write(cluster: &Cluster, room: &Room, port: u16, databases: &str) -> String {
    let file = |name: &str, text: &str| {
        let path = room.join(name);
        fs::write(&path, text).expect("ours");
        path.display().to_string()
    };
    let users = file("userlist.txt", USERS);
    let server = format!("host=127.0.0.1 port={}", cluster.port());
    let databases = file("databases.ini", &databases.replace("SERVER", &server));
    format!(
        ";; of PgBouncer\n[databases]\n%include {databases}\n[pgbouncer]\nlisten_addr = 127.0.0.1\n\
         listen_port = {port}\nunix_socket_dir =\nauth_type = scram-sha-256\nauth_file = {users}\n\
         admin_users = ops\npkt_buf = 4096\n"
    )
}

fn an_ini_runs_and_is_read_again(major: Major) {
    let cluster = Cluster::shared(major);
    let database = cluster.database();
    let shop = format!("shop = SERVER dbname={database}\n");
    let pooler = Pooler::start_with_file("pgbouncer.ini", |room, port| {
        write(cluster, room, port, &shop)
    });
    pooler.logs("pgbouncer.ini:11: pkt_buf: has no effect");
    let mut wire = Wire::connect(&pooler.target("shop"));
    assert_eq!(wire.sql("SELECT current_database()"), [&*database]);
    let mode = || pooler.pool("shop").text("pool_mode").to_owned();
    assert_eq!(mode(), "session");

    let reload = |databases: &str| {
        let text = write(cluster, pooler.room(), pooler.port(), databases);
        fs::write(pooler.room().join("pgbouncer.ini"), text).expect("ours");
        pooler.signal(Signal::SIGHUP);
    };
    reload(&format!("{shop}more = SERVER pool_sise=1\n"));
    pooler.logs("databases.ini:2: databases.more.pool_sise: unrecognized connection parameter");
    reload(&format!(
        "shop = SERVER dbname={database} pool_mode=transaction\n"
    ));
    pooler.logs("databases changed: shop (pool_mode)");
    assert_eq!(mode(), "transaction");
    assert_eq!(wire.sql("SELECT 1"), ["1"]);
}

fn pgweir(command: &str, file: &Path) -> Outcome {
    Outcome::of(Command::new(Pooler::program()).arg(command).arg(file), "")
}

fn an_ini_is_checked_and_converted(major: Major) {
    let cluster = Cluster::shared(major);
    let database = cluster.database();
    let room = Room::new("convert");
    let file = room.join("pgbouncer.ini");
    let put = |text: String| fs::write(&file, text).expect("ours");

    put(write(cluster, &room, 6432, "shop = SERVER pool_sise=1\n")
        + "dns_zone_check_period = soon\n");
    for command in ["check", "convert"] {
        let outcome = pgweir(command, &file);
        outcome.check_failure("databases.ini:1: databases.shop.pool_sise: ");
        outcome.check_failure("pgbouncer.ini:12: dns_zone_check_period: invalid value \"soon\"");
    }

    let converted = Pooler::start_with_file("pgweir.toml", |room, port| {
        put(write(
            cluster,
            room,
            port,
            &format!("shop = SERVER dbname={database}\n"),
        ));
        let checked = pgweir("check", &file);
        checked.check("check");
        assert!(checked.stderr.contains("pkt_buf: has no effect"));
        let outcome = pgweir("convert", &file);
        outcome.check("convert");
        outcome.stdout
    });
    let mut wire = Wire::connect(&converted.target("shop"));
    assert_eq!(wire.sql("SELECT current_database()"), [&*database]);
    assert_eq!(converted.pool("shop").text("pool_mode"), "session");
}

/// The options that the examples of many a handbook have, all together.
fn the_file_that_operators_copy(major: Major) {
    let cluster = crate::tls::cluster(major);
    let database = cluster.database();
    let pooler = Pooler::start_with_file("pgbouncer.ini", |room, port| {
        let put = |name: &str, from: std::path::PathBuf| {
            fs::copy(from, room.join(name)).expect("ours");
            room.join(name).display().to_string()
        };
        let cert = put("server.crt", certificates().server());
        let key = put("server.key", certificates().server_key());
        fs::write(room.join("userlist.txt"), "\"app\" \"app-secret\"\n").expect("ours");
        let server = cluster.port();
        format!(
            "[databases]\n\
             myapp = host=127.0.0.1 port={server} dbname={database}\n\
             myapp_readonly = host=127.0.0.2,127.0.0.3 port={server} dbname={database}\n\
             myapp_notify = host=127.0.0.1 port={server} dbname={database} pool_mode=session pool_size=5\n\
             \n[pgbouncer]\n\
             listen_addr = 127.0.0.1\nlisten_port = {port}\nunix_socket_dir =\n\
             auth_type = scram-sha-256\nauth_file = {}\nadmin_users = app\n\
             pool_mode = transaction\ndefault_pool_size = 25\nmax_client_conn = 1000\nmax_db_connections = 50\n\
             reserve_pool_size = 5\nreserve_pool_timeout = 3\n\
             server_idle_timeout = 300\nclient_idle_timeout = 0\nquery_timeout = 0\nquery_wait_timeout = 60\n\
             idle_transaction_timeout = 60\n\
             client_tls_sslmode = require\nclient_tls_key_file = {key}\nclient_tls_cert_file = {cert}\n\
             server_tls_sslmode = require\nstats_period = 60\n",
            room.join("userlist.txt").display(),
        )
    });
    let target = pooler.target("myapp").with("sslmode", "require");
    for (name, mode) in [
        ("myapp", "transaction"),
        ("myapp_readonly", "transaction"),
        ("myapp_notify", "session"),
    ] {
        let sql = "SELECT current_database(), ssl FROM pg_stat_ssl WHERE pid = pg_backend_pid()";
        let answer = target.database(name).sql(sql);
        assert_eq!(answer, format!("{database}|t"), "{name}");
        let console = target.database("pgbouncer");
        let pools = console.sql("SHOW POOLS");
        let pool = pools
            .lines()
            .find(|line| line.starts_with(&format!("{name}|app|")));
        assert!(
            pool.expect(&pools).contains(&format!("|{mode}|")),
            "{pools}"
        );
    }
    assert!(!pooler.log().contains("WARNING"), "{}", pooler.log());
    // Without TLS nobody comes in.
    pooler
        .target("myapp")
        .psql("SELECT 1")
        .check_failure("SSL required");
}
