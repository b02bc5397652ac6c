//! Connection strings.

use proptest::prelude::*;

use crate::{AuthType, Config, Secret, SslMode, from_url};

fn good(url: &str) -> Config {
    from_url(url, &[]).unwrap_or_else(|mistakes| panic!("{url}: {mistakes:?}"))
}

#[test]
fn a_url_is_a_configuration() {
    let config = good("postgres://ann:s%40cr%2Bt+@db.example.com:6000/sh%6Fp?sslmode=verify-full");
    let shop = &config.databases["shop"];
    assert_eq!(shop.hosts[0].to_string(), "db.example.com:6000");
    assert_eq!(shop.user.as_deref(), Some("ann"));
    assert!(shop.password == Some(Secret::plain("s@cr+t+")));
    assert!(config.users["ann"].password == shop.password);
    assert_eq!(config.settings.auth_type, AuthType::ScramSha256);
    assert_eq!(config.settings.server_tls_sslmode, SslMode::VerifyFull);
    assert_eq!(config.settings.listen_port, 6432);
    assert_eq!(config.settings.stats_users, ["ann"]);
    assert_eq!(config.settings.admin_users, [""; 0]);
    assert_eq!((config.databases.len(), config.users.len()), (1, 1));
}

#[test]
fn what_is_left_out_is_as_in_libpq() {
    let config = good("postgresql://ann@");
    assert_eq!(config.databases["ann"].hosts[0].to_string(), "/tmp:5432");
    assert_eq!(config.settings.auth_type, AuthType::Trust);
    assert!(config.users["ann"].password.is_none());
    let check = |url, expected: &[&str]| {
        let config = good(url);
        let database = config.databases.values().next().unwrap();
        let hosts: Vec<String> = database.hosts.iter().map(ToString::to_string).collect();
        assert_eq!(hosts, expected, "{url}");
    };
    check("postgres://u@a", &["a:5432"]);
    check(
        "postgres://u@a:1,b,[::1]:3/d",
        &["a:1", "b:5432", "[::1]:3"],
    );
    check(
        "postgres://u@%2Frun%2Fpostgresql:1/d",
        &["/run/postgresql:1"],
    );
    check("postgres:///d?host=/run/pg&user=u&port=7", &["/run/pg:7"]);
    check("postgres://u@a,b/d?port=7", &["a:7", "b:7"]);
}

#[test]
fn a_plain_password_stays_plain_whatever_it_looks_like() {
    let looks_like_md5 = format!("md5{}", "0".repeat(32));
    let config = good(&format!("postgres://u:{looks_like_md5}@a/d"));
    assert!(config.users["u"].password == Some(Secret::plain(&looks_like_md5)));
}

#[test]
fn what_cannot_be_used_is_refused_without_repeating_it() {
    for (url, key) in [
        ("mysql://u:hunter2@a/d", ""),
        ("u:hunter2@a/d", ""),
        ("postgres://a/hunter2", "user"),
        ("postgres://u:hunter2%@a/d", "password"),
        ("postgres://u:hunter2%zz@a/d", "password"),
        ("postgres://u:hunter2%ff@a/d", "password"),
        ("postgres://u:hunter2%00@a/d", "password"),
        ("postgres://u:hunter2@a:0/d", "host"),
        ("postgres://u:hunter2@a:x/d", "port"),
        ("postgres://u:hunter2@a b/d", "host"),
        ("postgres://u:hunter2@a/d?sslmode=maybe", "sslmode"),
        ("postgres://u:hunter2@a/d?ssl_mode=require", "ssl_mode"),
        ("postgres://u:hunter2@a/d?sslkey=k", "server_tls_key_file"),
        ("postgres://u:hunter2@a/pgbouncer", "databases.pgbouncer"),
    ] {
        let mistakes = from_url(url, &[]).expect_err(url);
        assert_eq!(mistakes[0].key, key, "{url}: {mistakes:?}");
        assert_eq!(mistakes.len(), 1, "{url}: {mistakes:?}");
        assert!(
            !format!("{} {mistakes:?}", mistakes[0]).contains("hunter2"),
            "{url}: {mistakes:?}"
        );
    }
}

proptest! {
    #![proptest_config(ProptestConfig::with_cases(256))]

    #[test]
    fn any_url_is_judged(rest in "[a-z0-9:@/?&=%,\\[\\].]{0,40}|\\PC{0,30}") {
        let _ = from_url(&format!("postgres://{rest}"), &[]);
    }

    #[test]
    fn any_password_arrives(password in "[^\0]{1,20}") {
        let encoded: String = password.bytes().map(|byte| format!("%{byte:02x}")).collect();
        let config = good(&format!("postgres://u:{encoded}@a/d"));
        prop_assert!(config.users["u"].password == Some(Secret::plain(&password)));
    }
}

#[test]
fn settings_beside_a_url() {
    let with = |key: &str, value: &str| {
        from_url(
            "postgres://ann@db/shop",
            &[(key.to_owned(), value.to_owned())],
        )
    };
    let settings = with("listen_port", "7000").expect("it is one").settings;
    assert_eq!(settings.listen_port, 7000);
    for (key, value, message) in [
        ("listen_prot", "7000", "listen_port"),
        ("listen_port", "many", "a whole number"),
        ("listen_backlog", "0", "expected a number from 1"),
    ] {
        let mistake = with(key, value).expect_err(key)[0].to_string();
        assert!(
            mistake.starts_with(key) && mistake.contains(message),
            "{mistake}"
        );
    }
}

#[test]
fn c1_all_that_is_wrong_with_a_url_is_told() {
    let url = "postgres://u@a:x,b%zz/d?ssl_mode=require&sslmode=maybe&wrong=1";
    let settings = [("listen_prot", "7000"), ("listen_port", "many")];
    let settings = settings.map(|(key, value)| (key.to_owned(), value.to_owned()));
    let mistakes = from_url(url, &settings).expect_err(url);
    let keys: Vec<&str> = mistakes.iter().map(|it| it.key.as_str()).collect();
    let expected = [
        "host",
        "ssl_mode",
        "wrong",
        "sslmode",
        "port",
        "host",
        "listen_prot",
        "listen_port",
    ];
    assert_eq!(keys, expected, "{mistakes:#?}");
}
