//! The users of a configuration and their secrets.

use std::path::Path;
use std::sync::Arc;

use hashbrown::HashMap;
use parking_lot::Mutex;
use pgweir_auth::userlist::User;
use pgweir_auth::{Salting, Secret};
use pgweir_config::{AuthType, Config, Mistake, Settings};

use crate::rules::on_line;

/// Secrets of the users, from the configuration and `auth_file`.
pub type Users = HashMap<String, Arc<Secret>>;

/// Reads the users of a configuration; what is wrong goes to `mistakes`,
/// and what is odd to `warnings`.
pub fn read(config: &Config, mistakes: &mut Vec<Mistake>, warnings: &mut Vec<Mistake>) -> Users {
    let mut users = Users::default();
    if let Some(path) = &config.settings.auth_file {
        read_userlist(path, &mut users, mistakes, warnings);
    }
    for (name, user) in &config.users {
        if let Some(password) = &user.password {
            let key = format!("users.{name}.password");
            warnings.extend(doubt(password).map(|what| Mistake::new(key, what)));
            users.insert(name.clone(), Arc::new(password.clone()));
        }
    }
    for (name, database) in &config.databases {
        if let Some(password) = &database.password {
            let key = format!("databases.{name}.password");
            warnings.extend(doubt(password).map(|what| Mistake::new(key, what)));
        }
    }
    without_secret(&config.settings, &users, warnings);
    users
}

/// Operators who would be asked for a password that nobody knows.
fn without_secret(settings: &Settings, users: &Users, warnings: &mut Vec<Mistake>) {
    let asks = matches!(
        settings.auth_type,
        AuthType::Plain | AuthType::Md5 | AuthType::ScramSha256
    );
    if !asks || settings.auth_user.is_some() {
        return;
    }
    for (key, names) in [
        ("admin_users", &settings.admin_users),
        ("stats_users", &settings.stats_users),
    ] {
        for name in names.iter().filter(|name| !users.contains_key(*name)) {
            let what = format!("\"{name}\" has no password and cannot log in");
            warnings.push(Mistake::new(key, what));
        }
    }
}

/// A secret that counts as a password, but looks as if it was to be something else.
fn doubt(secret: &Secret) -> Option<String> {
    let looks_like = secret.looks_like()?;
    Some(format!(
        "begins like {looks_like}, but is none: it is taken for a password in plain text"
    ))
}

/// Secrets that `auth_query` has found and whose owners have proved to be who they are: with them
/// the server is logged in to.
#[derive(Debug, Default)]
pub struct Found(Mutex<HashMap<Arc<str>, OfDatabase>>);

type OfDatabase = HashMap<Arc<str>, Arc<Secret>>;

impl Found {
    /// The secret of a user of a database.
    pub fn secret(&self, database: &str, user: &str) -> Option<Arc<Secret>> {
        self.0.lock().get(database)?.get(user).cloned()
    }

    /// The one to use for a secret that was found: the same that was found before, with what was
    /// derived from it, or this one.
    pub fn known(&self, database: &str, user: &str, secret: Secret) -> Arc<Secret> {
        let before = self.secret(database, user);
        let same = before.filter(|before| **before == secret);
        same.unwrap_or_else(|| Arc::new(secret))
    }

    /// Its owner has logged in.
    pub fn keep(&self, database: &str, user: &str, secret: Arc<Secret>) {
        let mut all = self.0.lock();
        let users = all.entry(database.into()).or_default();
        users.insert(user.into(), secret);
    }

    /// A database is gone.
    pub fn forget_database(&self, database: &str) {
        self.0.lock().remove(database);
    }
}

fn read_userlist(
    path: &Path,
    users: &mut Users,
    mistakes: &mut Vec<Mistake>,
    warnings: &mut Vec<Mistake>,
) {
    let text = match std::fs::read_to_string(path) {
        Ok(text) => text,
        Err(error) => {
            let message = format!("{}: {error}", path.display());
            return mistakes.push(Mistake::new("auth_file", message));
        }
    };
    let list = pgweir_auth::userlist::read(&text);
    mistakes.extend(list.mistakes.into_iter().map(|it| on_line(path, it)));
    for User { line, name, secret } in list.good {
        if let Some(what) = doubt(&secret) {
            let what = format!("the secret of \"{name}\" {what}");
            warnings.push(on_line(path, pgweir_auth::Mistake { line, what }));
        }
        users.insert(name, Arc::new(secret));
    }
}

/// Makes ready what the first login of each user would otherwise have to wait for: half a
/// millisecond for each password. Secrets that are the same as before keep what they have.
pub fn prepare(users: &mut Users, before: &Users, salting: &Salting) {
    for (name, secret) in users.iter_mut() {
        match before.get(name) {
            Some(old) if old == secret => *secret = Arc::clone(old),
            _ => {}
        }
        secret.prepare(name, salting);
    }
}
