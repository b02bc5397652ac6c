//! What is taken, and as what.

use std::time::Duration;

use super::{bad, good, read, warnings};
use crate::{AuthType, Config, LoadBalanceHosts, PoolMode, Settings, Size, SslMode};

/// What operators copy from each other.
const EXAMPLE: &str = "
;; the databases
[databases]
myapp = host=127.0.0.1 port=5432 dbname=myapp_production
myapp_readonly = host=10.0.0.2,10.0.0.3 port=5433 dbname=myapp_production load_balance_hosts=disable
myapp_notify = host=127.0.0.1 dbname=myapp_production pool_mode=session pool_size=5

[pgbouncer]
listen_addr = *
listen_port = 6432
auth_type = scram-sha-256
auth_file = /etc/pgbouncer/userlist.txt
admin_users = ops, postgres,
pool_mode = transaction
default_pool_size = 25
max_client_conn = 1000
max_db_connections = 50
reserve_pool_size = 5
reserve_pool_timeout = 3
server_idle_timeout = 300
client_idle_timeout = 0
query_timeout = 0
query_wait_timeout = 60
idle_transaction_timeout = 60.5
client_tls_sslmode = require
client_tls_key_file = /etc/ssl/key.pem
client_tls_cert_file = /etc/ssl/cert.pem
server_tls_sslmode = require
stats_period = 60
";

#[test]
fn the_usual_file() {
    let ini = good(EXAMPLE);
    assert_eq!(warnings(&ini), [""; 0]);
    let Config {
        settings,
        databases,
        users,
        peers,
    } = ini.config;
    assert_eq!(settings.listen_addr, ["*"]);
    assert_eq!(settings.admin_users, ["ops", "postgres"]);
    assert_eq!(settings.pool_mode, PoolMode::Transaction);
    assert_eq!(settings.auth_type, AuthType::ScramSha256);
    assert_eq!(settings.client_tls_sslmode, SslMode::Require);
    let expected = Duration::from_millis(60_500);
    assert_eq!(settings.idle_transaction_timeout, expected);
    assert!(users.is_empty() && peers.is_empty());

    let hosts = |name: &str| {
        let hosts = databases[name].hosts.iter().map(ToString::to_string);
        hosts.collect::<Vec<_>>()
    };
    assert_eq!(hosts("myapp"), ["127.0.0.1:5432"]);
    assert_eq!(hosts("myapp_readonly"), ["10.0.0.2:5433", "10.0.0.3:5433"]);
    let notify = &databases["myapp_notify"];
    assert_eq!(notify.dbname.as_deref(), Some("myapp_production"));
    assert_eq!(notify.pool_mode, Some(PoolMode::Session));
    assert_eq!(notify.pool_size, Some(5));
    assert_eq!(databases.len(), 3);
}

#[test]
fn where_nothing_is_said_pgbouncers_defaults_hold() {
    let settings = good("[pgbouncer]").config.settings;
    assert_eq!(settings.listen_addr, [""; 0]);
    assert_eq!(settings.listen_backlog, 128);
    assert_eq!(settings.pool_mode, PoolMode::Session);
    assert_eq!(settings.max_client_conn, 100);
    assert_eq!(settings.auth_type, AuthType::Md5);
    assert_eq!(settings.server_tls_sslmode, SslMode::Prefer);
    assert_ne!(settings, Settings::default());
}

fn settings(line: &str) -> Settings {
    good(&format!("[pgbouncer]\n{line}")).config.settings
}

#[test]
fn values_of_the_main_section() {
    assert_eq!(settings("max_client_conn = 0x10").max_client_conn, 16);
    assert_eq!(settings("max_client_conn = 010").max_client_conn, 8);
    assert_eq!(
        settings("unix_socket_mode = 0700").unix_socket_mode.bits(),
        0o700
    );
    assert_eq!(
        settings("unix_socket_mode = 511").unix_socket_mode.bits(),
        0o777
    );
    assert_eq!(
        settings("max_packet_size = 0x10000").max_packet_size,
        Size::of_bytes(65536)
    );
    assert_eq!(
        settings("server_lifetime = .5").server_lifetime,
        Duration::from_millis(500)
    );
    assert_eq!(
        settings("tcp_user_timeout = 500")
            .tcp_user_timeout
            .duration(),
        Duration::from_millis(500)
    );
    assert!(!settings("log_connections = 0").log_connections);
    assert_eq!(
        settings("pool_mode = Transaction").pool_mode,
        PoolMode::Transaction
    );
    assert_eq!(settings("auth_file =").auth_file, None);
    assert_eq!(settings("server_reset_query =").server_reset_query, "");
    assert_eq!(
        settings("server_check_query = select 1; ")
            .server_check_query
            .text(),
        Some("select 1;")
    );
    assert_eq!(
        settings("server_check_query = <empty>")
            .server_check_query
            .text(),
        Some("")
    );
    assert_eq!(
        settings("ignore_startup_parameters = extra_float_digits,options ")
            .ignore_startup_parameters,
        ["extra_float_digits", "options"]
    );
    let protocols = settings("client_tls_protocols = TLSv1.2:tlsv1.3").client_tls_protocols;
    assert!(protocols.tls12() && protocols.tls13());
    // A key of ours that PgBouncer does not have.
    assert_eq!(settings("workers = 3").workers, 3);
    assert_eq!(
        settings("max_client_conn = 1\nmax_client_conn = 2").max_client_conn,
        2
    );
}

#[test]
fn values_that_pgbouncer_refuses_or_misreads() {
    let check = |line: &str, expected: &str| {
        let found = bad(&format!("[pgbouncer]\n{line}"));
        assert_eq!(found, [format!("2: {expected}")], "{line}");
    };
    check(
        "listen_backlog = abc",
        "listen_backlog: invalid value \"abc\" for parameter listen_backlog: expected a whole number from 0 to 4294967295",
    );
    check(
        "log_stats = yes",
        "log_stats: invalid value \"yes\" for parameter log_stats: expected 0 or 1",
    );
    check(
        "log_stats = 2",
        "log_stats: invalid value \"2\" for parameter log_stats: expected 0 or 1",
    );
    check(
        "server_lifetime = 5s",
        "server_lifetime: invalid value \"5s\" for parameter server_lifetime: expected seconds without a unit (\"15\", \"0.5\")",
    );
    check(
        "server_lifetime = -1",
        "server_lifetime: invalid value \"-1\" for parameter server_lifetime: expected seconds without a unit (\"15\", \"0.5\")",
    );
    check(
        "pool_mode = transction",
        "pool_mode: invalid value \"transction\" for parameter pool_mode: expected one of session, transaction, statement (did you mean \"transaction\"?)",
    );
    check(
        "unix_socket_mode = 1000",
        "unix_socket_mode: invalid value \"1000\" for parameter unix_socket_mode: expected permission bits in octal with a 0 in front (\"0777\")",
    );
    check(
        "auth_file = ~/userlist.txt",
        "auth_file: invalid value \"~/userlist.txt\" for parameter auth_file: \"~\" is not expanded: expected the whole path",
    );
    check(
        "max_packet_size = 64kB",
        "max_packet_size: invalid value \"64kB\" for parameter max_packet_size: expected a number of bytes",
    );
}

#[test]
fn a_section_may_come_again_and_a_database_counts_the_last_time() {
    let ini = good(
        "[pgbouncer]\nmax_client_conn = 7\n[databases] a = host=b pool_size=3\na=host=c\n\
         [pgbouncer] ; again\nlisten_port = 1\n[databases]\n[users]\nann = pool_size=4",
    );
    let config = ini.config;
    assert_eq!(config.settings.max_client_conn, 7);
    assert_eq!(config.settings.listen_port, 1);
    assert_eq!(config.databases["a"].hosts[0].name(), "c");
    assert_eq!(config.databases["a"].pool_size, None);
    assert_eq!(config.users["ann"].pool_size, Some(4));
}

#[test]
fn names_may_be_quoted() {
    let config = good(
        "[pgbouncer]\n[databases]\n'my app' = host=a\n\"it's\" = host=b\n* = host=c\n\
         [users]\n'o''brien' = pool_mode=session",
    )
    .config;
    let names: Vec<&str> = config.databases.keys().map(String::as_str).collect();
    assert_eq!(names, ["*", "it's", "my app"]);
    assert!(config.users.contains_key("o'brien"));
}

#[test]
fn connection_strings() {
    let config = good(
        "[pgbouncer]\nunix_socket_dir = /run/pg\n[databases]\n\
         a = dbname='it''s' user = ann password='a b' connect_query='select 1' reserve_pool=2\n\
         b =\n\
         c = port=6000\n\
         d = host=::1,/run/other port = 010 load_balance_hosts=disable\n\
         e = pool_size=-1 min_pool_size=-1 reserve_pool_size=-1 max_db_connections=0 \
             max_db_client_connections=-1 server_lifetime=0 query_wait_timeout=0\n\
         f = pool_size=0 min_pool_size=0 server_lifetime=60 hosts='x:1,y:2' \
             server_tls_sslmode=verify-full\n\
         [users]\nann = max_user_connections=0 query_timeout=0 pool_size=-1\nbob = query_timeout=9",
    )
    .config;
    let a = &config.databases["a"];
    assert_eq!(a.dbname.as_deref(), Some("it's"));
    assert_eq!(a.password, Some(crate::Secret::parse("a b")));
    assert_eq!(a.connect_query.as_deref(), Some("select 1"));
    assert_eq!(a.reserve_pool_size, Some(2));
    let hosts = |name: &str| {
        let hosts = config.databases[name].hosts.iter().map(ToString::to_string);
        hosts.collect::<Vec<_>>()
    };
    assert_eq!(hosts("a"), ["/run/pg:5432"]);
    assert_eq!(hosts("b"), ["/run/pg:5432"]);
    assert_eq!(hosts("c"), ["/run/pg:6000"]);
    assert_eq!(hosts("d"), ["[::1]:10", "/run/other:10"]);
    assert_eq!(hosts("f"), ["x:1", "y:2"]);
    // -1, or 0 where that would be no limit, says that the general value counts.
    assert_eq!(config.databases["e"], config.databases["b"]);
    let f = &config.databases["f"];
    assert_eq!((f.pool_size, f.min_pool_size), (Some(0), Some(0)));
    assert_eq!(f.server_lifetime, Some(Duration::from_secs(60)));
    assert_eq!(config.users["ann"], crate::User::default());
    assert_eq!(
        config.users["bob"].query_timeout,
        Some(Duration::from_secs(9))
    );
}

#[test]
fn includes_continue_the_section_they_stand_in() {
    let ini = read(
        "[databases]\n%include dbs.ini\nc = host=c\n%include /etc/main.ini\nlisten_port = 9",
        &[
            ("dbs.ini", "a = host=a\r\n%include more.ini\r\n"),
            ("more.ini", "b = host=b"),
            ("/etc/main.ini", "[pgbouncer]\nauth_file = users.txt"),
        ],
    )
    .expect("no mistakes");
    let names: Vec<&str> = ini.config.databases.keys().map(String::as_str).collect();
    assert_eq!(names, ["a", "b", "c"]);
    assert_eq!(ini.config.settings.listen_port, 9);
    let mut mistake = crate::Mistake::new("auth_file", "is not there");
    ini.places.locate(&mut mistake);
    assert_eq!(
        mistake.to_string(),
        "/etc/main.ini:2: auth_file: is not there"
    );
    let mut mistake = crate::Mistake::new("listen_port", "is taken");
    ini.places.locate(&mut mistake);
    assert_eq!(mistake.to_string(), "5: listen_port: is taken");
}

#[test]
fn what_has_no_effect_is_told_with_its_reason() {
    let ini = good(
        "[pgbouncer]\npkt_buf = 4096\n[databases]\na = host=b,c password=x\n\
         [pgbouncer]\nclient_tls_protocols = all",
    );
    let found = warnings(&ini);
    let expected = [
        "2: pkt_buf: has no effect: a buffer belongs to a thread and not to a connection",
        "4: databases.a.password: has no effect: it is the password of \"user\", and there is none",
        "6: client_tls_protocols: \"all\" means TLS 1.2 and 1.3",
    ];
    assert_eq!(found.len(), expected.len(), "{found:?}");
    for (found, expected) in found.iter().zip(expected) {
        assert!(found.starts_with(expected), "{found}");
    }
    assert_eq!(ini.config.databases["a"].password, None);
    assert_eq!(ini.config.settings.pkt_buf, Settings::default().pkt_buf);
}

#[test]
fn a_file_is_ini_by_its_name_or_its_first_section() {
    let check = |file: &str, text: &str, expected: bool| {
        assert_eq!(
            crate::is_ini(file.as_ref(), text),
            expected,
            "{file}: {text}"
        );
    };
    check("pgbouncer.ini", "", true);
    check("pgweir.toml", "[pgbouncer]", false);
    check("pool.conf", "; mine\n\n[databases]\na = host=b", true);
    check("pool.conf", "%include other.ini\n", true);
    check("pool", "[pgbouncer]", true);
    check("pool", "# mine\n[pgweir]", false);
    check("pool", "[databases.a]", false);
    check("pool", "listen_port = 1\n[pgbouncer]", false);
    check("pool", "", false);
}

#[test]
fn several_hosts_take_turns_unless_said_otherwise() {
    let check = |text: &str, expected: Option<LoadBalanceHosts>| {
        let ini = format!("[pgbouncer]\nlisten_addr = *\n[databases]\nd = {text}\n");
        assert_eq!(
            good(&ini).config.databases["d"].load_balance_hosts,
            expected,
            "{text}"
        );
    };
    check("host=a", None);
    check("host=a,b", Some(LoadBalanceHosts::RoundRobin));
    for order in LoadBalanceHosts::ALL {
        check(
            &format!("host=a,b load_balance_hosts={order}"),
            Some(*order),
        );
    }
}
