//! Where in a configuration a key stands.

use crate::database::Database;
use crate::peer::Peer;
use crate::settings::Settings;
use crate::suggest::did_you_mean;
use crate::table::Table;
use crate::user::User;

/// A section, whatever the format calls it.
#[derive(Debug, Clone, PartialEq, Eq)]
pub(crate) enum Place {
    Settings,
    Database(String),
    User(String),
    Peer(String),
}

impl Place {
    /// The whole name of one of its keys, for a mistake.
    pub(crate) fn path(&self, key: &str) -> String {
        let section = match self {
            Place::Settings => return key.to_owned(),
            Place::Database(name) => format!("databases.{}", quoted(name)),
            Place::User(name) => format!("users.{}", quoted(name)),
            Place::Peer(name) => format!("peers.{}", quoted(name)),
        };
        if key.is_empty() {
            section
        } else {
            format!("{section}.{key}")
        }
    }
}

/// As TOML wants the name of a section: bare if it can be.
fn quoted(name: &str) -> String {
    let bare = |c: char| c.is_ascii_alphanumeric() || c == '_' || c == '-';
    if !name.is_empty() && name.chars().all(bare) {
        name.to_owned()
    } else {
        format!("\"{}\"", name.escape_debug())
    }
}

/// Why a key is not one of this section: mistyped, or at home in another.
pub(crate) fn unknown_key<T: Table>(place: &Place, key: &str) -> String {
    let here = match place {
        Place::Settings => "pgweir",
        Place::Database(_) => "databases.NAME",
        Place::User(_) => "users.NAME",
        Place::Peer(_) => "peers.ID",
    };
    let elsewhere = [
        ("pgweir", Settings::key(key).is_some()),
        (
            "databases.NAME",
            Database::key(key).is_some() || matches!(key, "host" | "port"),
        ),
        ("users.NAME", User::key(key).is_some()),
        ("peers.ID", Peer::key(key).is_some()),
    ];
    let homes: Vec<String> = elsewhere
        .iter()
        .filter(|(section, has)| *has && *section != here)
        .map(|(section, _)| format!("[{section}]"))
        .collect();
    if !homes.is_empty() {
        let (last, others) = homes.split_last().expect("there is one");
        let between = if others.is_empty() { "" } else { " and " };
        let others = others.join(", ");
        return format!("is not a key of [{here}], but of {others}{between}{last}");
    }
    let names = T::KEYS.iter().map(|key| key.name);
    format!("is not a key of [{here}]{}", did_you_mean(key, names))
}
