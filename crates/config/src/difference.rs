//! What changed between two configurations, so that a reload touches that and nothing else.

use std::collections::BTreeMap;

use crate::model::Config;
use crate::settings::Settings;
use crate::table::{Applies, Key, Table};

/// What changed between two configurations.
#[derive(Debug, Clone, PartialEq, Eq, Default)]
pub struct Difference {
    /// Settings that changed and are in force at once.
    pub settings: Vec<&'static str>,
    /// Settings that changed and wait for a start.
    pub needs_restart: Vec<&'static str>,
    /// Whether one of the settings makes every server connection give way to a new one.
    pub reconnect: bool,
    /// Databases that only the new one has.
    pub databases_added: Vec<String>,
    /// Databases that only the old one had.
    pub databases_removed: Vec<String>,
    /// Databases that both have, in different ways.
    pub databases_changed: Vec<Changed>,
    /// Users that only the new one has.
    pub users_added: Vec<String>,
    /// Users that only the old one had.
    pub users_removed: Vec<String>,
    /// Users that both have, in different ways.
    pub users_changed: Vec<Changed>,
    /// Peers that only the new one has.
    pub peers_added: Vec<String>,
    /// Peers that only the old one had.
    pub peers_removed: Vec<String>,
    /// Peers that both have, in different ways.
    pub peers_changed: Vec<Changed>,
}

/// A section that changed.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Changed {
    /// Name of the database, user or peer.
    pub name: String,
    /// The keys whose values differ.
    pub keys: Vec<&'static str>,
    /// Whether its server connections lead elsewhere now and must give way to new ones: another
    /// host, database, user, way of TLS or query after login. A new password or limit leaves them
    /// be.
    pub reconnect: bool,
}

impl Difference {
    /// Whether nothing changed.
    pub fn is_empty(&self) -> bool {
        *self == Difference::default()
    }
}

/// What changed from `old` to `new`.
pub fn difference(old: &Config, new: &Config) -> Difference {
    let (restart, live): (Vec<&Key<Settings>>, Vec<_>) = old
        .settings
        .differing(&new.settings)
        .partition(|key| key.applies == Applies::Restart);
    let databases = sections(&old.databases, &new.databases);
    let users = sections(&old.users, &new.users);
    let peers = sections(&old.peers, &new.peers);
    Difference {
        reconnect: live.iter().any(|key| key.applies == Applies::Reconnect),
        settings: live.iter().map(|key| key.name).collect(),
        needs_restart: restart.iter().map(|key| key.name).collect(),
        databases_added: databases.added,
        databases_removed: databases.removed,
        databases_changed: databases.changed,
        users_added: users.added,
        users_removed: users.removed,
        users_changed: users.changed,
        peers_added: peers.added,
        peers_removed: peers.removed,
        peers_changed: peers.changed,
    }
}

struct Sections {
    added: Vec<String>,
    removed: Vec<String>,
    changed: Vec<Changed>,
}

fn sections<K: Ord + ToString, T: Table>(old: &BTreeMap<K, T>, new: &BTreeMap<K, T>) -> Sections {
    let only = |these: &BTreeMap<K, T>, those: &BTreeMap<K, T>| {
        these
            .keys()
            .filter(|name| !those.contains_key(*name))
            .map(ToString::to_string)
            .collect()
    };
    let change = |(name, before): (&K, &T)| {
        let keys: Vec<&Key<T>> = before.differing(new.get(name)?).collect();
        (!keys.is_empty()).then(|| Changed {
            name: name.to_string(),
            keys: keys.iter().map(|key| key.name).collect(),
            reconnect: keys.iter().any(|key| key.applies == Applies::Reconnect),
        })
    };
    Sections {
        added: only(new, old),
        removed: only(old, new),
        changed: old.iter().filter_map(change).collect(),
    }
}
