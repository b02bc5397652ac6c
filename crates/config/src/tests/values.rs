//! Values: what is accepted and as what, what is refused, and that what is printed reads as the
//! same.

use std::time::Duration;

use proptest::prelude::*;

use super::{bad, good};
use crate::settings::Settings;
use crate::table::{Applies, Table};
use crate::value::{Raw, Value};
use crate::{
    AuthType, CheckQuery, Config, ErrorStyle, Host, LogFormat, LogLevel, Millis, Notation,
    PoolMode, Size, SocketMode, SslMode, TlsProtocols, without_effect,
};

fn check<T: Value + std::fmt::Debug>(text: &str, expected: T) {
    assert_eq!(T::from_text(text).as_ref(), Ok(&expected), "{text}");
}

fn check_refused<T: Value + std::fmt::Debug>(texts: &[&str]) {
    for text in texts {
        assert!(T::from_text(text).is_err(), "{text:?} as {}", T::KIND);
    }
}

#[test]
fn durations() {
    check("0", Duration::ZERO);
    check("15", Duration::from_secs(15));
    check("0.5", Duration::from_millis(500));
    check("500ms", Duration::from_millis(500));
    check("250us", Duration::from_micros(250));
    check("1.5s", Duration::from_millis(1500));
    check("5min", Duration::from_secs(300));
    check("5 min", Duration::from_secs(300));
    check("1h", Duration::from_secs(3600));
    check("2d", Duration::from_secs(172_800));
    check("0.000000001", Duration::from_nanos(1));
    check("2147483647", Duration::from_secs(2_147_483_647));
    check_refused::<Duration>(&[
        "",
        " ",
        "s",
        "-1",
        "1m",
        "1 ",
        "1S",
        "1.",
        ".5",
        "1.2.3",
        "1e3",
        "0x10",
        "NaN",
        "inf",
        "2147483648",
        "99999999999999999999999",
        "25000d",
        "0.0000000001",
        "5 fortnights",
    ]);
}

#[test]
fn milliseconds() {
    let check = |text, millis| {
        let read = Millis::from_text(text).map(Millis::duration);
        assert_eq!(read, Ok(Duration::from_millis(millis)), "{text}");
    };
    check("5", 5);
    check("5ms", 5);
    check("5s", 5000);
    check_refused::<Millis>(&["0.5", "5us", "-1", "", "99999999999"]);
}

#[test]
fn sizes() {
    check("0", Size::of_bytes(0));
    check("4096", Size::of_bytes(4096));
    check("4096B", Size::of_bytes(4096));
    check("64kB", Size::of_bytes(65536));
    check("64 kB", Size::of_bytes(65536));
    check("1MB", Size::of_bytes(1 << 20));
    check("1GB", Size::of_bytes(1 << 30));
    check_refused::<Size>(&[
        "", "kB", "-1", "1.5MB", "64k", "64KB", "4GB", "1TB", "64kB ",
    ]);
    assert_eq!(Size::of_bytes(65536).to_string(), "64kB");
    assert_eq!(Size::of_bytes(65537).to_string(), "65537");
}

#[test]
fn numbers_and_switches() {
    check("20", 20_u32);
    check("007", 7_u32);
    check_refused::<u32>(&["", "+5", "-1", "5 ", "0x10", "4294967296", "1.0"]);
    for (text, value) in [
        ("1", true),
        ("on", true),
        ("true", true),
        ("no", false),
        ("0", false),
    ] {
        check(text, value);
    }
    check_refused::<bool>(&["", "2", "TRUE", "maybe"]);
}

#[test]
fn notations() {
    assert_eq!(SocketMode::from_text("0750").unwrap().bits(), 0o750);
    assert_eq!(SocketMode::from_text("0o777").unwrap().to_string(), "0777");
    check_refused::<SocketMode>(&["", "0o", "0888", "1000", "+7", "rwx"]);
    check("", CheckQuery::Off);
    check("<empty>", CheckQuery::Query(String::new()));
    check("select 1", CheckQuery::Query("select 1".to_owned()));
    for (text, versions) in [
        ("secure", (true, true)),
        ("all", (true, true)),
        ("tlsv1.3", (false, true)),
        ("tlsv1.2", (true, false)),
        ("tlsv1.2, tlsv1.3", (true, true)),
    ] {
        let read = TlsProtocols::from_text(text).unwrap();
        assert_eq!((read.tls12(), read.tls13()), versions, "{text}");
    }
    check_refused::<TlsProtocols>(&["", "tlsv1.1", "tlsv1.2,tlsv1.0", "ssl", "tlsv1.2,"]);
    check_refused::<PoolMode>(&["", "Session", "transactions"]);
}

#[test]
fn lists() {
    check("", Vec::<String>::new());
    check("a", vec!["a".to_owned()]);
    check(" a , b ", vec!["a".to_owned(), "b".to_owned()]);
    check_refused::<Vec<String>>(&["a,", ",", "a,,b"]);
}

#[test]
fn hosts() {
    let tcp = |name: &str, port| Host::Tcp {
        name: name.to_owned(),
        port,
    };
    let unix = |dir: &str, port| Host::Unix {
        dir: dir.to_owned(),
        port,
    };
    check("db", tcp("db", 5432));
    check("db.example.com:6000", tcp("db.example.com", 6000));
    check("10.0.0.1:5432", tcp("10.0.0.1", 5432));
    check("[::1]", tcp("::1", 5432));
    check("[fe80::1%eth0]:6000", tcp("fe80::1%eth0", 6000));
    check("/run/postgresql", unix("/run/postgresql", 5432));
    check("/run/postgresql:6000", unix("/run/postgresql", 6000));
    check("/run/a:b", unix("/run/a:b", 5432));
    check("@abstract:1", unix("@abstract", 1));
    check_refused::<Host>(&[
        "",
        ":5432",
        "db:",
        "db:0",
        "db:65536",
        "db:+1",
        "db:x",
        "::1",
        "::1:5432",
        "[::1",
        "[::1]5",
        "[db]:5432",
        "[::1%]",
        "a b",
        "a/b",
        "a,b",
        "@",
        "/tmp:0",
        "/tmp:99999",
        "/a\nb",
        "user@db",
    ]);
    check_refused::<Host>(&[&"a".repeat(254)]);
}

#[test]
fn toml_types() {
    let config = good(
        "[pgweir]\nmax_client_conn = 1_000\ndefault_pool_size = 0x10\nserver_lifetime = 0.5\n\
         server_idle_timeout = 1e1\npkt_buf = 4096\ntcp_keepalive = 0\nlisten_addr = 'a, b'\n\
         unix_socket_mode = '0700'\nquery_timeout = '1min'\nlog_stats = false\nmin_pool_size = '3'\n\
         client_tls_protocols = ['tlsv1.3']\nauth_file = ''\ntcp_user_timeout = 20",
    );
    let settings = config.settings;
    assert_eq!(settings.max_client_conn, 1000);
    assert_eq!(settings.default_pool_size, 16);
    assert_eq!(settings.server_lifetime, Duration::from_millis(500));
    assert_eq!(settings.server_idle_timeout, Duration::from_secs(10));
    assert_eq!(settings.pkt_buf.bytes(), 4096);
    assert!(!settings.tcp_keepalive && !settings.log_stats);
    assert_eq!(settings.listen_addr, ["a", "b"]);
    assert_eq!(settings.unix_socket_mode.bits(), 0o700);
    assert_eq!(settings.query_timeout, Duration::from_secs(60));
    assert_eq!(settings.min_pool_size, 3);
    assert!(!settings.client_tls_protocols.tls12());
    assert_eq!(settings.auth_file, None);
    assert_eq!(
        settings.tcp_user_timeout.duration(),
        Duration::from_millis(20)
    );
    for refused in [
        "unix_socket_mode = 0o777",
        "max_client_conn = 5.0",
        "max_client_conn = 99999999999999999999",
        "max_client_conn = -1",
        "server_lifetime = nan",
        "server_lifetime = true",
        "tcp_keepalive = 2",
        "pool_mode = ['session']",
        "listen_addr = [['a']]",
        "log_level = {}",
    ] {
        let mistakes = bad(&format!("[pgweir]\n{refused}"));
        assert_eq!(mistakes.len(), 1, "{refused}: {mistakes:?}");
        assert_eq!(mistakes[0].line, Some(2), "{refused}");
    }
}

/// The words of a key.
fn of<T>(all: &[T], word: fn(&T) -> &'static str) -> Vec<&'static str> {
    all.iter().map(word).collect()
}

/// A text that the key takes, as somebody might write it.
fn some_text(key: &'static str) -> BoxedStrategy<String> {
    fn words<T: Copy + Into<&'static str>>(all: &[T]) -> BoxedStrategy<String> {
        let words: Vec<String> = all.iter().map(|word| (*word).into().to_owned()).collect();
        prop::sample::select(words).boxed()
    }
    let default = Settings::key(key).unwrap().default;
    let duration = || {
        (
            0..4_000_000_u64,
            prop::sample::select(vec!["us", "ms", "s", "min"]),
        )
    };
    match key {
        "peer_id" => (0..=16_383u16).prop_map(|n| n.to_string()).boxed(),
        "listen_port" | "http_port" | "workers" => any::<u16>().prop_map(|n| n.to_string()).boxed(),
        "listen_backlog" | "scram_iterations" => (1..9999_u32).prop_map(|n| n.to_string()).boxed(),
        "unix_socket_dir" => "/[a-z/]{0,20}".boxed(),
        "unix_socket_mode" => "[0-7]{3}".boxed(),
        "pool_mode" => words(&of(PoolMode::ALL, |w| w.as_str())),
        "server_tls_sslmode" => words(&of(SslMode::ALL, |w| w.as_str())),
        // Without those that need other settings beside them.
        "auth_type" => words(
            &AuthType::ALL
                .iter()
                .map(|w| w.as_str())
                .filter(|word| !["cert", "hba"].contains(word))
                .collect::<Vec<_>>(),
        ),
        "error_style" => words(&of(ErrorStyle::ALL, |w| w.as_str())),
        "log_level" => words(&of(LogLevel::ALL, |w| w.as_str())),
        "log_format" => words(&of(LogFormat::ALL, |w| w.as_str())),
        "syslog_facility" => words(&of(crate::SyslogFacility::ALL, |w| w.as_str())),
        "client_tls_sslmode" => Just("disable".to_owned()).boxed(),
        "auth_ldap_options" => Just(String::new()).boxed(),
        "client_tls_ciphers" | "server_tls_ciphers" => words(&["default", "HIGH", "AES:!aRSA"]),
        "client_tls13_ciphers" | "server_tls13_ciphers" => words(&["TLS_AES_128_GCM_SHA256"]),
        "client_tls_ecdhcurve" => words(&["auto", "X25519:P-256"]),
        "client_tls_protocols" | "server_tls_protocols" => words(&["secure", "tlsv1.2", "tlsv1.3"]),
        "server_tls_key_file" | "server_tls_cert_file" => Just("/a.pem".to_owned()).boxed(),
        "pkt_buf" => (1..1024_u32).prop_map(|n| format!("{n}kB")).boxed(),
        "max_packet_size" | "max_statement_size" => {
            (1..1024_u32).prop_map(|n| format!("{n}MB")).boxed()
        }
        "tcp_user_timeout" => any::<u16>().prop_map(|n| format!("{n}ms")).boxed(),
        "stats_period" | "monitor_interval" => (1..9999_u32).prop_map(|n| format!("{n}ms")).boxed(),
        "server_reset_query" | "server_check_query" => "\\PC{0,20}".boxed(),
        "listen_addr" | "admin_users" | "stats_users" | "ignore_startup_parameters" => {
            prop::collection::vec("[a-z0-9.:*]{1,9}", 1..4)
                .prop_map(|v| v.join(" ,"))
                .boxed()
        }
        "resolv_conf" => "/[a-z]{1,9}".boxed(),
        key if key.ends_with("_file") => "/[a-z]{1,9}".boxed(),
        _ if matches!(default, Some("true" | "false")) => words(&["yes", "0", "off", "true"]),
        _ if key.ends_with("timeout")
            || key.ends_with("delay")
            || key.starts_with("tcp_keepi")
            || key.ends_with("lifetime")
            || key.ends_with("notify")
            || key.ends_with("retry")
            || key.ends_with("_ttl")
            || key.ends_with("_period") =>
        {
            duration()
                .prop_map(|(n, unit)| format!("{n}{unit}"))
                .boxed()
        }
        _ => any::<u32>().prop_map(|n| n.to_string()).boxed(),
    }
}

fn some_config() -> impl Strategy<Value = Config> {
    let texts: Vec<_> = Settings::KEYS
        .iter()
        .map(|key| some_text(key.name))
        .collect();
    texts.prop_map(|texts| {
        let mut config = Config::default();
        for (key, text) in Settings::KEYS.iter().zip(texts) {
            let assigned = (key.assign)(&mut config.settings, &Raw::Text(text.clone()));
            assert_eq!(assigned, Ok(()), "{} = {text}", key.name);
        }
        config
    })
}

fn toml_of(text: &str) -> String {
    let escape = |c: char| format!("\\U{:08X}", u32::from(c));
    format!("\"{}\"", text.chars().map(escape).collect::<String>())
}

proptest! {
    #![proptest_config(ProptestConfig::with_cases(128))]

    /// What SHOW CONFIG prints, a file may say and SET takes: each gives the same model.
    #[test]
    fn what_is_shown_reads_as_the_same(config in some_config()) {
        let shown = config.show(Notation::Pgweir);
        let mut file = "[pgweir]\n".to_owned();
        for shown in &shown {
            let Some(value) = &shown.value else { continue };
            file += &format!("{} = {}\n", shown.key, toml_of(value));
        }
        prop_assert_eq!(&good(&file), &config);
        for notation in [Notation::Pgweir, Notation::PgBouncer] {
            let mut shown = config.show(notation);
            shown.retain(|shown| {
                shown.changeable
                    && !shown.key.starts_with("server_tls")
                    && without_effect(shown.key).is_none()
            });
            let mut set = Config::default();
            for shown in &shown {
                let Some(value) = &shown.value else { continue };
                let changed = set.set(shown.key, value, notation);
                set = changed.unwrap_or_else(|mistake| panic!("{mistake}"));
            }
            let all = set.show(notation);
            for shown in &shown {
                let now = all.iter().find(|now| now.key == shown.key).unwrap();
                prop_assert_eq!(&now.value, &shown.value, "{}", shown.key);
            }
        }
    }

    #[test]
    fn a_host_prints_as_it_reads(text in "[a-z0-9:/@.\\[\\]%-]{0,24}|\\PC{0,12}") {
        if let Ok(host) = text.parse::<Host>() {
            prop_assert_eq!(host.to_string().parse::<Host>(), Ok(host));
        }
    }

    #[test]
    fn a_duration_prints_as_it_reads(seconds in 0..2_147_483_647_u64, nanos in 0..1_000_000_000_u32) {
        let duration = Duration::new(seconds, nanos);
        prop_assert_eq!(Duration::from_text(&duration.to_text().unwrap()), Ok(duration));
    }

    #[test]
    fn no_text_makes_a_value_panic(text in "\\PC{0,40}|[0-9.a-zA-Z ]{0,30}") {
        for key in Settings::KEYS {
            let _ = (key.assign)(&mut Settings::default(), &Raw::Text(text.clone()));
        }
    }
}

#[test]
fn set_takes_what_can_be_changed_and_nothing_else() {
    let config = Config::default();
    let set = config
        .set("pool_mode", "session", Notation::Pgweir)
        .unwrap();
    assert_eq!(set.settings.pool_mode, PoolMode::Session);
    for (key, value, message) in [
        ("listen_port", "1", "can only be changed by a restart"),
        (
            "pool_mod",
            "session",
            "is not a key of [pgweir] (did you mean \"pool_mode\"?)",
        ),
        (
            "pool_size",
            "1",
            "is not a key of [pgweir], but of [databases.NAME], [users.NAME] and [peers.ID]",
        ),
        ("stats_period", "0", "expected more than 0"),
        (
            "max_client_conn",
            "-1",
            "expected a whole number from 0 to 4294967295, found \"-1\"",
        ),
    ] {
        assert_eq!(
            config
                .set(key, value, Notation::Pgweir)
                .unwrap_err()
                .message,
            message,
            "{key} = {value}"
        );
    }
}

#[test]
fn defaults_are_read_and_printed() {
    let defaults = Settings::default();
    for key in Settings::KEYS {
        let mut settings = Settings::default();
        if let Some(default) = key.default {
            assert_eq!(
                (key.assign)(&mut settings, &Raw::Text(default.to_owned())),
                Ok(())
            );
        }
        assert!((key.same)(&settings, &defaults), "{}", key.name);
    }
    let shown = Config::default().show(Notation::Pgweir);
    let check = |key, value: Option<&str>, changeable| {
        let shown = shown.iter().find(|shown| shown.key == key).expect(key);
        assert_eq!(shown.value.as_deref(), value, "{key}");
        assert_eq!(shown.default, shown.value, "{key}");
        assert_eq!(shown.changeable, changeable, "{key}");
    };
    check("listen_port", Some("6432"), false);
    check("pool_mode", Some("transaction"), true);
    check("server_idle_timeout", Some("600"), true);
    check("server_check_query", Some("<empty>"), true);
    check("auth_file", None, true);
    check("tcp_keepalive", Some("1"), true);
    check("max_packet_size", Some("2147483647"), true);
    check("unix_socket_mode", Some("0777"), false);
    assert!(shown.is_sorted_by_key(|shown| shown.key));
    assert_eq!(shown.len(), Settings::KEYS.len());
    let fixed = Settings::KEYS
        .iter()
        .filter(|key| key.applies == Applies::Restart)
        .count();
    assert_eq!(
        shown.iter().filter(|shown| !shown.changeable).count(),
        fixed
    );
}
