//! Every option of PgBouncer is a key, or said to be missing, or said to have no effect.

use std::collections::BTreeSet;

use super::{good, warnings};
use crate::database::Database;
use crate::ini::options::{WITHOUT_EFFECT, all, is_restart};
use crate::peer::Peer;
use crate::settings::Settings;
use crate::table::{Applies, Table};
use crate::user::User;
use crate::value::Raw;

/// Keys of ours that PgBouncer does not have.
const OURS: [&str; 13] = [
    "error_style",
    "http_addr",
    "http_port",
    "log_format",
    "log_level",
    "max_statement_size",
    "monitor_interval",
    "monitor_user",
    "zone",
    "report_pooler",
    "shutdown_timeout",
    "pam_service",
    "workers",
];

/// What a connection string of `[databases]` may say to PgBouncer.
const OF_DATABASE: &str = "dbname host port user password auth_user auth_query auth_dbname \
    pool_size min_pool_size reserve_pool_size reserve_pool max_db_connections \
    max_db_client_connections pool_mode server_lifetime query_wait_timeout load_balance_hosts \
    connect_query client_encoding datestyle timezone application_name";

/// And one of `[users]`.
const OF_USER: &str = "pool_mode pool_size reserve_pool_size max_user_connections \
    max_user_client_connections query_timeout query_wait_timeout idle_transaction_timeout \
    transaction_timeout client_idle_timeout";

fn is_without_effect(name: &str) -> bool {
    WITHOUT_EFFECT.iter().any(|(option, _)| *option == name)
}

#[test]
fn every_option_is_somewhere() {
    assert_eq!(all().count(), 100);
    for (name, _) in all() {
        let is_key = Settings::key(name).is_some() && name != "pkt_buf";
        let places = [is_key, is_without_effect(name)];
        let count = places.iter().filter(|is| **is).count();
        assert_eq!(count, 1, "{name} is in {count} of: tables, no effect");
    }
    let known: BTreeSet<&str> = all().map(|(name, _)| name).chain(OURS).collect();
    let ours = Settings::KEYS.iter().map(|key| key.name);
    let without = WITHOUT_EFFECT.iter().map(|(name, _)| *name);
    for name in ours.chain(without) {
        assert!(known.contains(name) || name == "service_name", "{name}");
    }
}

#[test]
fn an_option_that_is_a_key_has_pgbouncers_default() {
    let defaults = Settings::of_ini();
    let mut said = "[pgbouncer]\n".to_owned();
    for (name, default) in all().filter(|(name, _)| !is_without_effect(name)) {
        let Some(key) = Settings::key(name) else {
            continue;
        };
        let mut settings = defaults.clone();
        let default = default.unwrap_or_default();
        let assigned = (key.assign)(&mut settings, &Raw::Ini(default.to_owned()));
        assert_eq!(assigned, Ok(()), "{name}");
        assert!((key.same)(&settings, &defaults), "{name}");
        said += &format!("{name} = {default}\n");
    }
    assert_eq!(good(&said).config, good("[pgbouncer]").config);
}

#[test]
fn an_option_without_effect_is_a_warning() {
    for (name, why) in WITHOUT_EFFECT {
        let ini = good(&format!("[pgbouncer]\n{name} = 1"));
        assert_eq!(warnings(&ini), [format!("2: {name}: {why}")]);
        assert_eq!(ini.config, good("[pgbouncer]").config);
    }
}

#[test]
fn every_key_of_a_connection_string_is_somewhere() {
    let spelled_otherwise = ["host", "port", "reserve_pool"];
    for name in OF_DATABASE.split_whitespace() {
        let is_key = Database::key(name).is_some() || spelled_otherwise.contains(&name);
        assert!(is_key, "{name}");
    }
    for name in OF_USER.split_whitespace() {
        assert!(User::key(name).is_some(), "{name}");
    }
}

#[test]
fn what_only_a_start_changes_is_so_in_both() {
    for (name, _) in all().filter(|(name, _)| *name != "disable_pqexec") {
        if let Some(key) = Settings::key(name) {
            assert_eq!(key.applies == Applies::Restart, is_restart(name), "{name}");
        }
    }
}

#[test]
fn every_key_of_a_peer_is_a_key() {
    for name in ["host", "port", "pool_size"] {
        assert!(Peer::key(name).is_some(), "{name}");
    }
}
