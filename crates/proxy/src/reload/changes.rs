//! What has changed with a configuration, in words for the log and the console.

use pgweir_admin::Notice;
use pgweir_config::{Changed, Config, Difference};

use crate::users::Users;

/// How many names of a kind are told.
const NAMES_MAX: usize = 20;

/// What has changed.
#[derive(Debug, Default)]
pub struct Changes {
    /// Kinds of things, each with the names of those that changed.
    parts: Vec<(&'static str, Vec<String>)>,
    /// Settings that have another value in the file, and not in force.
    needs_restart: Vec<&'static str>,
}

impl Changes {
    pub(super) fn of(difference: &Difference) -> Self {
        fn changed(all: &[Changed]) -> Vec<String> {
            all.iter()
                .map(|changed| format!("{} ({})", changed.name, changed.keys.join(", ")))
                .collect()
        }
        let settings = difference.settings.iter().map(ToString::to_string);
        let mut changes = Self {
            needs_restart: difference.needs_restart.clone(),
            ..Self::default()
        };
        let all = [
            ("settings", settings.collect()),
            ("databases added", difference.databases_added.clone()),
            ("databases removed", difference.databases_removed.clone()),
            ("databases changed", changed(&difference.databases_changed)),
            ("users added", difference.users_added.clone()),
            ("users removed", difference.users_removed.clone()),
            ("users changed", changed(&difference.users_changed)),
            ("peers added", difference.peers_added.clone()),
            ("peers removed", difference.peers_removed.clone()),
            ("peers changed", changed(&difference.peers_changed)),
        ];
        for (kind, names) in all {
            changes.add(kind, names);
        }
        changes
    }

    fn add(&mut self, kind: &'static str, mut names: Vec<String>) {
        if !names.is_empty() {
            names.sort_unstable();
            self.parts.push((kind, names));
        }
    }

    /// What has changed in `auth_file`: users that the configuration has a password of are not its.
    pub(super) fn userlist(
        &mut self,
        (old, before): (&Users, &Config),
        (new, now): (&Users, &Config),
    ) {
        let has_own = |config: &Config, name: &String| {
            let user = config.users.get(name);
            user.is_some_and(|user| user.password.is_some())
        };
        let of_file = |name: &&String| !has_own(before, name) && !has_own(now, name);
        let only = |these: &Users, those: &Users| {
            let names = these.keys().filter(of_file);
            let names = names.filter(|name| !those.contains_key(*name));
            names.cloned().collect()
        };
        let changed = new.iter().filter(|(name, secret)| {
            of_file(name) && old.get(*name).is_some_and(|other| other != *secret)
        });
        let changed = changed.map(|(name, _)| name.clone()).collect();
        self.add("users added to auth_file", only(new, old));
        self.add("users removed from auth_file", only(old, new));
        self.add("secrets changed in auth_file", changed);
    }

    /// A kind of thing changed as a whole.
    pub(super) fn whole(&mut self, kind: &'static str) {
        self.parts.push((kind, Vec::new()));
    }

    /// For the console: what changed, and what did not although the file says so.
    pub fn notices(&self) -> Vec<Notice> {
        let changed = Notice::Plain(format!("RELOAD: {self}"));
        let waiting = self.needs_restart.iter().map(|key| {
            let text = "changed in the configuration, takes effect only after a restart";
            Notice::Warning(format!("{key}: {text}"))
        });
        std::iter::once(changed).chain(waiting).collect()
    }

    /// Settings that have another value in the file, and not in force.
    pub fn needs_restart(&self) -> &[&'static str] {
        &self.needs_restart
    }
}

impl std::fmt::Display for Changes {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        if self.parts.is_empty() {
            return f.write_str("nothing changed");
        }
        for (at, (kind, names)) in self.parts.iter().enumerate() {
            let between = if at > 0 { "; " } else { "" };
            write!(f, "{between}{kind}")?;
            if let Some((first, rest)) = names.split_first() {
                write!(f, ": {first}")?;
                for name in rest.iter().take(NAMES_MAX - 1) {
                    write!(f, ", {name}")?;
                }
            }
            if names.len() > NAMES_MAX {
                write!(f, " and {} more", names.len() - NAMES_MAX)?;
            }
        }
        Ok(())
    }
}

#[cfg(test)]
mod tests {
    use std::sync::Arc;

    use pgweir_auth::Secret;

    use super::*;

    #[test]
    fn long_lists_are_cut() {
        let mut changes = Changes::default();
        assert_eq!(changes.to_string(), "nothing changed");
        changes.add("users added", (10..32).map(|n| n.to_string()).collect());
        let text = changes.to_string();
        assert!(
            text.starts_with("users added: 10, 11") && text.ends_with("28, 29 and 2 more"),
            "{text}"
        );
    }

    #[test]
    fn the_userlist_is_told_apart_from_the_configuration() {
        let users = |all: &[(&str, &str)]| -> Users {
            let all = all.iter();
            all.map(|(name, secret)| ((*name).to_owned(), Arc::new(Secret::plain(secret))))
                .collect()
        };
        let config = pgweir_config::parse("[users.own]\npassword = 'x'").expect("right");
        let (old, new) = (
            users(&[("gone", "1"), ("same", "2"), ("other", "3"), ("own", "x")]),
            users(&[("new", "1"), ("same", "2"), ("other", "4"), ("own", "y")]),
        );
        let mut changes = Changes::default();
        changes.userlist((&old, &config), (&new, &config));
        assert_eq!(
            changes.to_string(),
            "users added to auth_file: new; users removed from auth_file: gone; \
             secrets changed in auth_file: other"
        );
    }
}
