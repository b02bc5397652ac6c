//! What every format is read into, and how the tables make the model of it.

use std::collections::BTreeMap;

use crate::check::check;
use crate::database::Database;
use crate::host::{Host, PORT};
use crate::mistake::Mistake;
use crate::model::Config;
use crate::peer::{self, Peer};
use crate::place::{Place, unknown_key};
use crate::settings::Settings;
use crate::table::Table;
use crate::user::User;
use crate::value::basic::all;
use crate::value::{Raw, Value};

/// Sections in the order they stand in the text. A key that comes twice counts the second time; so
/// does a database or user.
#[derive(Default)]
pub(crate) struct Document {
    /// What holds where nothing is said.
    pub(crate) defaults: Settings,
    pub(crate) sections: Vec<Section>,
}

pub(crate) struct Section {
    pub(crate) place: Place,
    pub(crate) line: Option<usize>,
    pub(crate) entries: Vec<Entry>,
}

pub(crate) struct Entry {
    pub(crate) key: String,
    pub(crate) line: Option<usize>,
    pub(crate) value: Raw,
}

impl Document {
    /// The model, and all that is wrong: with single values first, then with what they say together.
    pub(crate) fn lower(mut self, mut mistakes: Vec<Mistake>) -> (Config, Vec<Mistake>) {
        let mut config = Config {
            settings: std::mem::take(&mut self.defaults),
            databases: BTreeMap::new(),
            users: BTreeMap::new(),
            peers: BTreeMap::new(),
        };
        for section in &mut self.sections {
            match section.place.clone() {
                Place::Settings => section.assign(&mut config.settings, &mut mistakes),
                Place::Database(name) => {
                    section.join_host_and_port(&mut mistakes);
                    let mut database = Database::default();
                    section.assign(&mut database, &mut mistakes);
                    config.databases.insert(name, database);
                }
                Place::User(name) => {
                    let mut user = User::default();
                    section.assign(&mut user, &mut mistakes);
                    config.users.insert(name, user);
                }
                Place::Peer(name) => {
                    let mut peer = Peer::default();
                    section.assign(&mut peer, &mut mistakes);
                    match peer::id(&name) {
                        Ok(id) => drop(config.peers.insert(id, peer)),
                        Err(message) => {
                            let mistake = Mistake::new(section.place.path(""), message);
                            mistakes.push(mistake.on_line(section.line));
                        }
                    }
                }
            }
        }
        config.complete_hosts();
        for wrong in check(&config) {
            // What follows from a mistake that is named already is not another one.
            let path = |key: &&str| wrong.place.path(key);
            if !wrong
                .keys
                .iter()
                .map(path)
                .any(|path| mistakes.iter().any(|m| m.key == path))
            {
                mistakes.push(wrong.mistake(self.line(&wrong.place, wrong.keys)));
            }
        }
        mistakes.sort_by_key(|mistake| mistake.line.unwrap_or(usize::MAX));
        (config, mistakes)
    }

    /// Where the first of the keys that is there stands (the last time, which counts), or else
    /// their section.
    fn line(&self, place: &Place, keys: &[&str]) -> Option<usize> {
        let sections = || {
            let sections = self.sections.iter().rev();
            sections.filter(|section| section.place == *place)
        };
        let entry = |key: &&str| {
            sections()
                .flat_map(|section| section.entries.iter().rev())
                .filter(|entry| entry.key == **key)
                .find_map(|entry| entry.line)
        };
        keys.iter()
            .find_map(entry)
            .or_else(|| sections().find_map(|section| section.line))
    }
}

impl Section {
    fn assign<T: Table>(&self, to: &mut T, mistakes: &mut Vec<Mistake>) {
        for entry in &self.entries {
            let assigned = match T::key(&entry.key) {
                Some(key) => (key.assign)(to, &entry.value),
                None => Err(unknown_key::<T>(&self.place, &entry.key)),
            };
            if let Err(message) = assigned {
                mistakes.push(self.mistake(entry, message));
            }
        }
    }

    fn mistake(&self, entry: &Entry, message: String) -> Mistake {
        Mistake::new(self.place.path(&entry.key), message).on_line(entry.line)
    }

    /// `host` and `port` are another way to write `hosts`, and PgBouncer's: commas between the
    /// hosts, one port for all.
    fn join_host_and_port(&mut self, mistakes: &mut Vec<Mistake>) {
        let split = |entry: &Entry| matches!(entry.key.as_str(), "host" | "port");
        if !self.entries.iter().any(split) {
            return;
        }
        let (parts, rest) = std::mem::take(&mut self.entries)
            .into_iter()
            .partition(split);
        self.entries = rest;
        let parts: Vec<Entry> = parts;
        let last = |name: &str| parts.iter().rfind(|entry| entry.key == name);
        let whole = self.entries.iter().find(|entry| entry.key == "hosts");
        let joined = match (whole, last("host"), last("port")) {
            (Some(_), Some(part), _) | (Some(_), None, Some(part)) => {
                Err((part, "is already said by \"hosts\"".to_owned()))
            }
            (None, Some(host), port) => join(host, port),
            (None, None, Some(port)) => Err((port, "needs \"host\" beside it".to_owned())),
            (_, None, None) => return,
        };
        match joined {
            Ok(hosts) => self.entries.push(hosts),
            Err((entry, message)) => mistakes.push(self.mistake(entry, message)),
        }
    }
}

fn join<'a>(host: &'a Entry, port: Option<&'a Entry>) -> Result<Entry, (&'a Entry, String)> {
    let number = match port {
        None => PORT,
        Some(entry) => match u16::read(&entry.value) {
            Ok(number) if number > 0 => number,
            Ok(_) => return Err((entry, "expected a port from 1 to 65535, found 0".to_owned())),
            Err(message) => return Err((entry, message)),
        },
    };
    let names = String::read(&host.value).map_err(|message| (host, message))?;
    let hosts = all(names.split(',').map(|name| {
        let host = Host::from_parts(name.trim(), number).map_err(|error| error.to_string())?;
        Ok(Raw::Text(host.to_string()))
    }));
    match hosts {
        Ok(hosts) => Ok(Entry {
            key: "hosts".to_owned(),
            line: host.line,
            value: Raw::List(hosts),
        }),
        Err(message) => Err((host, message)),
    }
}
