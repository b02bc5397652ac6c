//! SHOW CONFIG and SET as PgBouncer has them.

use super::ini::good;
use crate::ini::options::all;
use crate::{Config, Notation, ShownSetting};

fn shown(text: &str) -> Vec<ShownSetting> {
    good(&format!("[pgbouncer]\n{text}"))
        .config
        .show(Notation::PgBouncer)
}

fn row<'a>(shown: &'a [ShownSetting], key: &str) -> &'a ShownSetting {
    shown.iter().find(|shown| shown.key == key).expect(key)
}

#[test]
fn pgbouncers_options_come_first_and_in_its_order() {
    let shown = shown("");
    let names: Vec<&str> = shown.iter().map(|shown| shown.key).collect();
    let theirs: Vec<&str> = all().map(|(name, _)| name).collect();
    assert_eq!(theirs.len(), 100);
    assert_eq!(names[..100], theirs[..]);
    assert!(names[100..].is_sorted() && names.contains(&"workers"));
    let at = |name| names.iter().position(|other| *other == name);
    assert!(at("pool_mode") < at("pool_idle_timeout"));
    for (shown, (_, default)) in shown.iter().zip(all()) {
        assert_eq!(shown.default.as_deref(), default, "{}", shown.key);
    }
}

#[test]
fn values_look_as_pgbouncers() {
    let check = |text: &str, key: &str, value: Option<&str>, default: Option<&str>| {
        let shown = shown(text);
        let row = row(&shown, key);
        let found = (row.value.as_deref(), row.default.as_deref());
        assert_eq!(found, (value, default), "{text} {key}");
    };
    check("", "unix_socket_mode", Some("511"), Some("0777"));
    check(
        "unix_socket_mode = 0700",
        "unix_socket_mode",
        Some("448"),
        Some("0777"),
    );
    check("", "auth_file", None, None);
    check("", "logfile", Some(""), Some(""));
    check("", "auth_type", Some("md5"), Some("md5"));
    check("", "listen_addr", Some(""), Some(""));
    check(
        "max_client_conn = 0x10",
        "max_client_conn",
        Some("16"),
        Some("100"),
    );
    check(
        "max_client_conn = 010",
        "max_client_conn",
        Some("8"),
        Some("100"),
    );
    check(
        "server_lifetime = 0.5",
        "server_lifetime",
        Some("0.5"),
        Some("3600"),
    );
    check("tcp_keepalive = 0", "tcp_keepalive", Some("0"), Some("1"));
    check("", "server_check_query", Some("<empty>"), Some("<empty>"));
    check("", "error_style", Some("pgbouncer"), Some("pgbouncer"));
}

#[test]
fn values_are_set_as_in_its_file() {
    let config = good("[pgbouncer]").config;
    let set = |key: &str, value: &str| config.set(key, value, Notation::PgBouncer);
    let limit =
        |value: &str| set("max_client_conn", value).map(|config| config.settings.max_client_conn);
    assert_eq!(limit("0x10").ok(), Some(16));
    assert_eq!(limit("010").ok(), Some(8));
    assert!(limit("10 ").is_err() && limit("many").is_err());
    assert!(set("log_connections", "yes").is_err());
    assert!(set("log_connections", "0").is_ok_and(|config| !config.settings.log_connections));
    assert!(set("pool_mode", "Transaction").is_ok());
    assert!(set("server_idle_timeout", "5min").is_err());
    assert!(set("listen_port", "1").is_err() && set("nothing", "1").is_err());
    // It is so in pgweir.toml, where nothing is C.
    let ours = |value| Config::default().set("max_client_conn", value, Notation::Pgweir);
    assert!(ours("0x10").is_err());
    assert_eq!(
        ours("010")
            .map(|config| config.settings.max_client_conn)
            .ok(),
        Some(10)
    );
}
