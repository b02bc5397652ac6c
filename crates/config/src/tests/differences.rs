//! C3: a difference between two models names what it touches, and nothing else is disturbed.

use proptest::prelude::*;

use super::good;
use crate::database::Database;
use crate::settings::Settings;
use crate::table::{Applies, Table};
use crate::user::User;
use crate::{Changed, Config, Difference, difference};

const OLD: &str = "
[pgweir]
listen_port = 6000
pool_mode = 'session'
[databases.shop]
hosts = ['a']
user = 'ann'
password = 'one'
pool_size = 5
[databases.gone]
hosts = ['a']
[databases.same]
hosts = ['a']
[users.ann]
password = 'one'
[users.gone]
[users.same]
pool_size = 1
[peers.1]
host = 'a'
[peers.2]
host = 'b'
";

const NEW: &str = "
[pgweir]
listen_port = 6001
pool_mode = 'transaction'
stats_users = ['ann']
[databases.shop]
hosts = ['a', 'b']
user = 'ann'
password = 'two'
pool_size = 6
[databases.added]
hosts = ['a']
[databases.same]
host = 'a'
port = 5432
[users.ann]
password = 'two'
[users.added]
[users.same]
pool_size = 1
[peers.2]
host = 'c'
[peers.3]
host = 'd'
";

#[test]
fn c3_what_changed_is_named_and_nothing_else() {
    let names = |names: &[&str]| names.iter().map(ToString::to_string).collect::<Vec<_>>();
    let expected = Difference {
        settings: vec!["pool_mode", "stats_users"],
        needs_restart: vec!["listen_port"],
        reconnect: false,
        databases_added: names(&["added"]),
        databases_removed: names(&["gone"]),
        databases_changed: vec![Changed {
            name: "shop".to_owned(),
            keys: vec!["hosts", "password", "pool_size"],
            reconnect: true,
        }],
        users_added: names(&["added"]),
        users_removed: names(&["gone"]),
        users_changed: vec![Changed {
            name: "ann".to_owned(),
            keys: vec!["password"],
            reconnect: false,
        }],
        peers_added: names(&["3"]),
        peers_removed: names(&["1"]),
        peers_changed: vec![Changed {
            name: "2".to_owned(),
            keys: vec!["host"],
            reconnect: false,
        }],
    };
    assert_eq!(difference(&good(OLD), &good(NEW)), expected);
}

#[test]
fn c3_the_same_text_differs_in_nothing() {
    assert!(difference(&good(OLD), &good(OLD)).is_empty());
    assert!(!difference(&good(OLD), &good(NEW)).is_empty());
    // Another notation is no change.
    let seconds = good("[pgweir]\nserver_lifetime = 60\npkt_buf = '4kB'");
    let minutes = good("[pgweir]\npkt_buf = 4096\nserver_lifetime = '1min'");
    assert!(difference(&seconds, &minutes).is_empty());
}

#[test]
fn c3_server_connections_are_remade_only_if_they_lead_elsewhere() {
    let check = |line: &str, reconnect: bool| {
        let old = "[databases.a]\nhosts = ['a']\nuser = 'u'\n";
        let found = difference(&good(old), &good(&format!("{old}{line}")));
        assert_eq!(found.databases_changed[0].reconnect, reconnect, "{line}");
        assert!(!found.reconnect);
    };
    check("dbname = 'b'", true);
    check("connect_query = 'select 1'", true);
    check("server_tls_sslmode = 'require'", true);
    check("password = 'x'", false);
    check("pool_size = 1", false);
    check("pool_mode = 'session'", false);
    check("server_lifetime = 1", false);
    let check = |line: &str, reconnect: bool| {
        let found = difference(&Config::default(), &good(&format!("[pgweir]\n{line}")));
        assert_eq!(found.reconnect, reconnect, "{line}");
    };
    check("server_tls_sslmode = 'require'", true);
    check("server_tls_ca_file = '/ca.pem'", true);
    check("client_tls_ca_file = '/ca.pem'", false);
    check("default_pool_size = 1", false);
}

#[test]
fn c3_a_reload_leaves_what_only_a_start_changes() {
    let (old, new) = (good(OLD), good(NEW));
    let reloaded = old.reloaded(new.clone());
    assert_eq!(reloaded.settings.listen_port, 6000);
    assert_eq!(difference(&reloaded, &new).needs_restart, ["listen_port"]);
    assert!(difference(&reloaded, &new).settings.is_empty());
    assert_eq!(
        (&reloaded.databases, &reloaded.users),
        (&new.databases, &new.users)
    );
}

/// Gives a key another value than it has.
fn change<T: Table>(section: &mut T, key: &crate::table::Key<T>) {
    use crate::value::Raw;
    let before = section.clone();
    let words = [
        "7",
        "no",
        "yes",
        "/x",
        "0700",
        "json",
        "debug",
        "md5",
        "session",
        "require",
        "round-robin",
        "automatic",
        "eventual",
        "share",
        "statement",
        "pgbouncer",
        "local0",
    ];
    let versions = [
        "AES",
        "TLS_AES_128_GCM_SHA256",
        "X25519",
        "tlsv1.3",
        "db:7",
        "http://db:7",
        "db:7 = 7",
        "1MB",
    ];
    for word in words.into_iter().chain(versions) {
        let mut changed = before.clone();
        let assigned = (key.assign)(&mut changed, &Raw::Text(word.to_owned()));
        if assigned.is_ok() && !(key.same)(&changed, &before) {
            *section = changed;
            return;
        }
    }
    panic!("no other value found for {}", key.name);
}

fn names<T: Table>(keys: &[usize], restart: Option<bool>) -> Vec<&'static str> {
    let chosen = keys.iter().map(|at| &T::KEYS[*at]);
    let wanted = |restarts: bool| restart.is_none_or(|restart| restart == restarts);
    chosen
        .filter(|key| wanted(key.applies == Applies::Restart))
        .map(|key| key.name)
        .collect()
}

/// Some of the keys of a table, in its order.
fn some_keys<T: Table>() -> impl Strategy<Value = Vec<usize>> {
    prop::sample::subsequence((0..T::KEYS.len()).collect::<Vec<_>>(), 0..T::KEYS.len())
}

proptest! {
    #![proptest_config(ProptestConfig::with_cases(128))]

    /// Any keys of any sections may change: exactly those are named.
    #[test]
    fn c3_exactly_the_changed_keys_are_named(
        settings in some_keys::<Settings>(),
        database in some_keys::<Database>(),
        user in some_keys::<User>(),
    ) {
        let old = good(OLD);
        let mut new = old.clone();
        for at in &settings {
            change(&mut new.settings, &Settings::KEYS[*at]);
        }
        for at in &database {
            change(new.databases.get_mut("shop").unwrap(), &Database::KEYS[*at]);
        }
        for at in &user {
            change(new.users.get_mut("same").unwrap(), &User::KEYS[*at]);
        }
        let found = difference(&old, &new);
        prop_assert_eq!(found.settings, names::<Settings>(&settings, Some(false)));
        prop_assert_eq!(found.needs_restart, names::<Settings>(&settings, Some(true)));
        let changed = |changed: Vec<Changed>, name: &str| {
            let only = changed.iter().all(|changed| changed.name == name);
            assert!(only && changed.len() <= 1, "{changed:?}");
            changed.into_iter().next().map(|changed| changed.keys).unwrap_or_default()
        };
        let keys = names::<Database>(&database, None);
        prop_assert_eq!(changed(found.databases_changed, "shop"), keys);
        prop_assert_eq!(changed(found.users_changed, "same"), names::<User>(&user, None));
        prop_assert!(found.databases_added.is_empty() && found.databases_removed.is_empty());
        prop_assert!(found.users_added.is_empty() && found.users_removed.is_empty());
    }
}
