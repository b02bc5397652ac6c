//! One setting changed, as the console's `SET` does it.

use crate::check::check;
use crate::mistake::Mistake;
use crate::model::Config;
use crate::place::{Place, unknown_key};
use crate::settings::Settings;
use crate::show::Notation;
use crate::table::{Applies, Table};
use crate::value::Raw;

impl Config {
    /// This configuration with one setting changed, as the console's `SET` does. The value is
    /// written as in a file of that notation.
    ///
    /// # Errors
    ///
    /// The key is unknown, changes only with a start, or the value is not one.
    pub fn set(&self, key: &str, value: &str, notation: Notation) -> Result<Config, Mistake> {
        let mistake = |message: String| Mistake::new(key, message);
        let raw = match notation {
            Notation::Pgweir => Raw::Text(value.to_owned()),
            Notation::PgBouncer => Raw::Ini(value.to_owned()),
        };
        let found = Settings::key(key)
            .ok_or_else(|| mistake(unknown_key::<Settings>(&Place::Settings, key)))?;
        if found.applies == Applies::Restart {
            return Err(mistake("can only be changed by a restart".to_owned()));
        }
        let mut changed = self.clone();
        (found.assign)(&mut changed.settings, &raw).map_err(mistake)?;
        match check(&changed).into_iter().next() {
            Some(wrong) => Err(wrong.mistake(None)),
            None => Ok(changed),
        }
    }
}
