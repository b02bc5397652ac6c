//! `SHOW CONFIG`: the settings in force as rows, of pgweir or as PgBouncer has them.

use crate::ini::options::{self, WITHOUT_EFFECT};
use crate::model::Config;
use crate::settings::Settings;
use crate::table::{Applies, Key, Table};

/// Whose names, defaults and ways to write values count.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Notation {
    /// Those of `pgweir.toml`.
    Pgweir,
    /// Those of `pgbouncer.ini`.
    PgBouncer,
}

/// One line of `SHOW CONFIG`.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct ShownSetting {
    /// Name of the key.
    pub key: &'static str,
    /// The value in force, as `SET` takes it; `None` where there is none.
    pub value: Option<String>,
    /// The value it has when nobody says anything.
    pub default: Option<String>,
    /// Whether `SET` and a reload change it, or only a start.
    pub changeable: bool,
}

impl Config {
    /// The settings as `SHOW CONFIG` lists them: in alphabetical order, or PgBouncer's in PgBouncer's
    /// order and what it does not have behind them.
    pub fn show(&self, notation: Notation) -> Vec<ShownSetting> {
        match notation {
            Notation::Pgweir => self.own(&Settings::default(), |_| true),
            Notation::PgBouncer => {
                let mut shown: Vec<_> = options::all()
                    .map(|(key, default)| self.of_pgbouncer(key, default))
                    .collect();
                let has = |name: &str| options::all().any(|(option, _)| option == name);
                shown.extend(self.own(&Settings::of_ini(), |name| !has(name)));
                shown
            }
        }
    }

    /// Keys of the table, in alphabetical order.
    fn own(&self, defaults: &Settings, which: impl Fn(&str) -> bool) -> Vec<ShownSetting> {
        let keys = Settings::KEYS.iter().filter(|key| which(key.name));
        let show = |key: &Key<Settings>| ShownSetting {
            key: key.name,
            value: (key.text)(&self.settings),
            default: (key.text)(defaults),
            changeable: key.applies != Applies::Restart,
        };
        let mut shown: Vec<ShownSetting> = keys.map(show).collect();
        shown.sort_unstable_by_key(|shown| shown.key);
        shown
    }

    fn of_pgbouncer(&self, key: &'static str, default: Option<&'static str>) -> ShownSetting {
        let (value, changeable) = match Settings::key(key) {
            Some(found) => (
                (found.ini)(&self.settings),
                found.applies != Applies::Restart,
            ),
            // What has no effect cannot be other than it is.
            None => (default.map(str::to_owned), !options::is_restart(key)),
        };
        // Of no value PgBouncer has two kinds, and each option one of them.
        let value = match default {
            Some(_) => Some(value.unwrap_or_default()),
            None => value.filter(|value| !value.is_empty()),
        };
        ShownSetting {
            key,
            value,
            default: default.map(str::to_owned),
            changeable,
        }
    }
}

/// What there is to say to somebody who sets an option of PgBouncer's that does nothing here.
pub fn without_effect(key: &str) -> Option<&'static str> {
    let mut all = WITHOUT_EFFECT.iter();
    all.find(|(name, _)| *name == key).map(|(_, why)| *why)
}
