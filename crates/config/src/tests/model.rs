//! Which value holds for a database and a user.

use std::time::Duration;

use super::good;
use crate::PoolMode;
use crate::document::{Document, Entry, Section};
use crate::place::Place;
use crate::value::Raw;

const CONFIG: &str = "
[pgweir]
pool_mode = 'transaction'
default_pool_size = 20
query_wait_timeout = 120
query_timeout = 10
max_user_connections = 7

[databases.shop]
hosts = ['db']
pool_mode = 'session'
pool_size = 5
query_wait_timeout = 30
max_db_connections = 0
server_tls_sslmode = 'require'

[databases.forced]
hosts = ['a', 'b:6000']
dbname = 'real'
user = 'app'
password = 'secret'

[databases.'*']
host = 'c, ::1'
port = 7000

[users.ann]
pool_mode = 'statement'
pool_size = 3
query_wait_timeout = 5
query_timeout = 0
max_user_connections = 2
";

#[test]
fn user_goes_before_database_before_settings() {
    let config = good(CONFIG);
    let shop = config.database("shop").unwrap();
    let other = config.database("other").unwrap();
    let check = |found: (PoolMode, u32, Duration), mode, size, wait| {
        assert_eq!(found, (mode, size, Duration::from_secs(wait)));
    };
    let of = |database: &crate::Database, user| {
        let (mode, size) = (
            config.pool_mode(database, user),
            config.pool_size(database, user),
        );
        (mode, size, config.query_wait_timeout(database, user))
    };
    check(of(&shop, "ann"), PoolMode::Statement, 3, 5);
    check(of(&shop, "bob"), PoolMode::Session, 5, 30);
    check(of(&other, "ann"), PoolMode::Statement, 3, 5);
    check(of(&other, "bob"), PoolMode::Transaction, 20, 120);
    assert_eq!(config.query_timeout("ann"), Duration::ZERO);
    assert_eq!(config.query_timeout("bob"), Duration::from_secs(10));
    assert_eq!(config.max_user_connections("ann"), 2);
    assert_eq!(config.max_user_connections("bob"), 7);
    assert_eq!(config.server_tls_sslmode(&shop), crate::SslMode::Require);
    assert_eq!(config.server_tls_sslmode(&other), crate::SslMode::Prefer);
}

#[test]
fn a_database_is_its_own_section_or_the_star() {
    let config = good(CONFIG);
    let forced = config.database("forced").unwrap();
    assert_eq!((forced.dbname(), forced.pool_user("ann")), ("real", "app"));
    let other = config.database("other").unwrap();
    assert_eq!(
        (other.name, other.dbname(), other.pool_user("ann")),
        ("other", "other", "ann")
    );
    let hosts: Vec<String> = other.hosts.iter().map(ToString::to_string).collect();
    assert_eq!(hosts, ["c:7000", "[::1]:7000"]);
    assert!(
        good("[databases.a]\nhosts = ['b']")
            .database("other")
            .is_none()
    );
}

#[test]
fn a_database_without_hosts_lies_behind_the_local_socket() {
    let config = good("[pgweir]\nunix_socket_dir = '/run/pg'\n[databases.a]");
    assert_eq!(config.databases["a"].hosts[0].to_string(), "/run/pg:5432");
}

/// What a format without types hands over: nothing but texts.
fn texts(place: Place, entries: &[(&str, &str)]) -> Section {
    let entry = |(key, value): &(&str, &str)| Entry {
        key: (*key).to_owned(),
        line: None,
        value: Raw::Text((*value).to_owned()),
    };
    let entries = entries.iter().map(entry).collect();
    Section {
        place,
        line: None,
        entries,
    }
}

#[test]
fn a_format_that_has_only_texts_gives_the_same_model() {
    let settings = [
        ("pool_mode", "transaction"),
        ("default_pool_size", "20"),
        ("query_wait_timeout", "120"),
        ("query_timeout", "10"),
        ("max_user_connections", "7"),
    ];
    let shop = [
        ("host", "db"),
        ("pool_mode", "session"),
        ("pool_size", "5"),
        ("query_wait_timeout", "30"),
        ("max_db_connections", "0"),
        ("server_tls_sslmode", "require"),
    ];
    let forced = [
        ("hosts", "a, b:6000"),
        ("dbname", "real"),
        ("user", "app"),
        ("password", "secret"),
    ];
    let ann = [
        ("pool_mode", "session"),
        ("pool_mode", "statement"),
        ("pool_size", "3"),
        ("query_wait_timeout", "5"),
        ("query_timeout", "0"),
        ("max_user_connections", "2"),
    ];
    let sections = vec![
        texts(Place::Settings, &settings),
        texts(Place::Database("shop".to_owned()), &shop),
        texts(Place::Database("forced".to_owned()), &forced),
        texts(
            Place::Database("*".to_owned()),
            &[("host", "c, ::1"), ("port", "7000")],
        ),
        texts(Place::User("ann".to_owned()), &ann),
    ];
    let document = Document {
        sections,
        ..Document::default()
    };
    let (config, mistakes) = document.lower(Vec::new());
    assert_eq!((config, mistakes), (good(CONFIG), Vec::new()));
}
