//! The files that a configuration names.

use pgweir_config::{Config, Mistake};

use crate::rules::Rules;
use crate::tls::{Misfit, Tls};
use crate::users::{self, Users};

/// What is in them.
#[derive(Debug)]
pub struct Files {
    /// Users and their secrets, those of the configuration included.
    pub users: Users,
    /// Who is asked what.
    pub rules: Rules,
    /// Certificates and keys.
    pub tls: Tls,
}

impl Files {
    /// Reads all of them; what is odd, but no mistake, goes to `warnings`.
    ///
    /// # Errors
    /// All that is wrong with any of them.
    pub fn read(config: &Config, warnings: &mut Vec<Mistake>) -> Result<Self, Vec<Mistake>> {
        let mut mistakes = Vec::new();
        let users = users::read(config, &mut mistakes, warnings);
        let rules = Rules::read(&config.settings, &mut mistakes);
        let tls = match Tls::load(&config.settings) {
            Ok(tls) => Some(tls),
            Err(misfits) => {
                let mistake = |misfit: &Misfit| Mistake::new(misfit.key, misfit.error.to_string());
                mistakes.extend(misfits.iter().map(mistake));
                None
            }
        };
        let resolv_conf = config.settings.resolv_conf.as_deref();
        let wrong = resolv_conf.and_then(|path| crate::dns::check(path).err());
        mistakes.extend(wrong.map(|what| Mistake::new("resolv_conf", what)));
        match tls {
            Some(tls) if mistakes.is_empty() => Ok(Self { users, rules, tls }),
            _ => Err(mistakes),
        }
    }
}
