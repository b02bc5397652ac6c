//! Configurations of pgweir for tests.

use std::fmt::Write;

use crate::cluster::Cluster;

/// What a key can be set to.
#[derive(Debug, Clone)]
pub struct Value(String);

impl From<&str> for Value {
    fn from(text: &str) -> Self {
        // The escapes of Rust's strings are TOML's, for the texts that tests use.
        Self(format!("{text:?}"))
    }
}

impl From<String> for Value {
    fn from(text: String) -> Self {
        Self::from(text.as_str())
    }
}

impl From<std::path::PathBuf> for Value {
    fn from(path: std::path::PathBuf) -> Self {
        Self::from(path.display().to_string())
    }
}

impl From<i32> for Value {
    fn from(number: i32) -> Self {
        Self(number.to_string())
    }
}

impl From<bool> for Value {
    fn from(flag: bool) -> Self {
        Self(flag.to_string())
    }
}

impl<const N: usize> From<[&str; N]> for Value {
    fn from(texts: [&str; N]) -> Self {
        Self(format!("{texts:?}"))
    }
}

type Section = Vec<(String, Value)>;

/// A configuration file in the making. A key that is set again has the last value.
#[derive(Debug, Clone)]
pub struct Config {
    settings: Section,
    databases: Vec<(String, Section)>,
    users: Vec<(String, Section)>,
}

impl Config {
    /// TCP on 127.0.0.1 only, `ops` as the console's administrator and `watch` to look.
    pub fn new() -> Self {
        let empty = Self {
            settings: Vec::new(),
            databases: Vec::new(),
            users: Vec::new(),
        };
        empty
            .set("listen_addr", ["127.0.0.1"])
            .set("unix_socket_dir", "")
            .set("admin_users", ["ops"])
            .set("stats_users", ["watch"])
            .user("ops")
            .user("watch")
    }

    /// In front of one database of a server, for the roles that every server has.
    pub fn of(cluster: &Cluster, database: &str) -> Self {
        let config = Self::new().database(database, cluster);
        ["app", "other", "plain", "walker", "old"]
            .into_iter()
            .fold(config, Self::user)
    }

    /// A general key.
    #[must_use]
    pub fn set(mut self, key: &str, value: impl Into<Value>) -> Self {
        put(&mut self.settings, key, value.into());
        self
    }

    /// A database of a server, under its own name.
    #[must_use]
    pub fn database(self, name: &str, cluster: &Cluster) -> Self {
        let host = format!("127.0.0.1:{}", cluster.port());
        self.database_set(name, "hosts", [host.as_str()])
    }

    /// A key of a database.
    #[must_use]
    pub fn database_set(mut self, name: &str, key: &str, value: impl Into<Value>) -> Self {
        put(section(&mut self.databases, name), key, value.into());
        self
    }

    /// Without this database.
    #[must_use]
    pub fn without_database(mut self, name: &str) -> Self {
        self.databases.retain(|(other, _)| other != name);
        self
    }

    /// A user with the password `NAME-secret`.
    #[must_use]
    pub fn user(self, name: &str) -> Self {
        self.user_set(name, "password", format!("{name}-secret"))
    }

    /// Without any database.
    #[must_use]
    pub fn without_databases(mut self) -> Self {
        self.databases.clear();
        self
    }

    /// A key of a user.
    #[must_use]
    pub fn user_set(mut self, name: &str, key: &str, value: impl Into<Value>) -> Self {
        put(section(&mut self.users, name), key, value.into());
        self
    }

    /// As TOML, with a port to listen on.
    pub fn text(&self, port: u16) -> String {
        let mut text = format!("[pgweir]\nlisten_port = {port}\n");
        write_section(&mut text, &self.settings);
        for (kind, sections) in [("databases", &self.databases), ("users", &self.users)] {
            for (name, keys) in sections {
                let _ = writeln!(text, "\n[{kind}.{name:?}]");
                write_section(&mut text, keys);
            }
        }
        text
    }
}

impl Default for Config {
    fn default() -> Self {
        Self::new()
    }
}

fn put(section: &mut Section, key: &str, value: Value) {
    match section.iter_mut().find(|(other, _)| other == key) {
        Some((_, old)) => *old = value,
        None => section.push((key.to_owned(), value)),
    }
}

fn section<'a>(sections: &'a mut Vec<(String, Section)>, name: &str) -> &'a mut Section {
    let at = sections
        .iter()
        .position(|(other, _)| other == name)
        .unwrap_or_else(|| {
            sections.push((name.to_owned(), Section::new()));
            sections.len() - 1
        });
    &mut sections[at].1
}

fn write_section(text: &mut String, keys: &Section) {
    for (key, Value(value)) in keys {
        let _ = writeln!(text, "{key} = {value}");
    }
}
