//! The users of a configuration and their secrets.

use std::path::Path;
use std::sync::Arc;

use hashbrown::HashMap;
use pgweir_auth::Secret;
use pgweir_config::{Config, Mistake};

/// Secrets of the users, from the configuration and `auth_file`.
pub type Users = HashMap<String, Arc<Secret>>;

/// Reads the users of a configuration; what is wrong goes to `mistakes`.
pub fn read(config: &Config, mistakes: &mut Vec<Mistake>) -> Users {
    let mut users = Users::default();
    if let Some(path) = &config.settings.auth_file {
        match read_userlist(path) {
            Ok(list) => users.extend(
                list.into_iter()
                    .map(|(name, secret)| (name, Arc::new(secret))),
            ),
            Err(message) => mistakes.push(Mistake::new("auth_file", message)),
        }
    }
    for (name, user) in &config.users {
        if let Some(password) = &user.password {
            users.insert(name.clone(), Arc::new(password.clone()));
        }
    }
    users
}

fn read_userlist(path: &Path) -> Result<Vec<(String, Secret)>, String> {
    let text =
        std::fs::read_to_string(path).map_err(|error| format!("{}: {error}", path.display()))?;
    pgweir_auth::userlist::parse(&text)
        .map_err(|error| format!("{}:{}: {}", path.display(), error.line, error.what))
}

/// Makes ready what the first login of each user would otherwise have to wait for: half a
/// millisecond for each password. Secrets that are the same as before keep what they have.
pub fn prepare(users: &mut Users, before: &Users, process_secret: &[u8; 32]) {
    for (name, secret) in users.iter_mut() {
        match before.get(name) {
            Some(old) if old == secret => *secret = Arc::clone(old),
            _ => secret.prepare(name, process_secret),
        }
    }
}
