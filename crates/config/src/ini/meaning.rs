//! Assignments become the sections, keys and values that the tables take.

use super::connect;
use super::options;
use super::source::{Assignment, Section as Kind, Source};
use crate::database::Database;
use crate::document::{Document, Entry, Section};
use crate::mistake::Mistake;
use crate::peer::Peer;
use crate::place::Place;
use crate::settings::Settings;
use crate::suggest::did_you_mean;
use crate::table::{Key, Table};
use crate::user::User;
use crate::value::Raw;
use crate::value::pgbouncer::decimal;

/// What the assignments say. Lines are those of the source.
#[derive(Default)]
pub(super) struct Meaning {
    pub(super) document: Document,
    pub(super) mistakes: Vec<Mistake>,
    pub(super) warnings: Vec<Mistake>,
}

type Pairs = Vec<(String, String)>;

impl Meaning {
    pub(super) fn of(source: &Source) -> Meaning {
        let mut meaning = Meaning {
            document: Document {
                defaults: Settings::of_ini(),
                sections: Vec::new(),
            },
            mistakes: source.mistakes.clone(),
            warnings: Vec::new(),
        };
        let settings = source.assignments.iter();
        let settings = settings
            .filter(|assignment| assignment.section == Kind::Main)
            .filter_map(|assignment| meaning.setting(assignment))
            .collect();
        meaning.document.sections.push(Section {
            place: Place::Settings,
            line: source.main,
            entries: settings,
        });
        let socket = meaning.socket_dir();
        for assignment in &source.assignments {
            match assignment.section {
                Kind::Main => {}
                Kind::Databases => meaning.database(assignment, &socket),
                Kind::Users => meaning.user(assignment),
                Kind::Peers => meaning.peer(assignment),
            }
        }
        meaning
    }

    fn setting(&mut self, assignment: &Assignment) -> Option<Entry> {
        let (key, value) = (assignment.key.as_str(), assignment.value.as_str());
        let without = options::WITHOUT_EFFECT.iter();
        if let Some((_, why)) = without.clone().find(|(name, _)| *name == key) {
            self.warn(assignment, key, why);
            return None;
        }
        let judged = match Settings::key(key) {
            Some(found) => judge(found, &mut Settings::default(), Raw::Ini(value.to_owned())),
            None => {
                let meant = did_you_mean(key, Settings::KEYS.iter().map(|key| key.name));
                Err(format!("unknown parameter: pgbouncer/{key}{meant}"))
            }
        };
        let remark = options::REMARKS
            .iter()
            .find(|(name, word, _)| *name == key && value.eq_ignore_ascii_case(word));
        if let Some((_, word, why)) = remark {
            self.warn(assignment, key, &format!("\"{word}\" {why}"));
        }
        self.entry(assignment, &Place::Settings, key, judged)
    }

    /// The directory that databases without a host lie in; none if there is no socket.
    fn socket_dir(&self) -> Option<String> {
        let mut settings = Settings::of_ini();
        for entry in self.document.sections.iter().flat_map(|it| &it.entries) {
            if let ("unix_socket_dir", Raw::Ini(dir)) = (entry.key.as_str(), &entry.value) {
                settings.unix_socket_dir.clone_from(dir);
            }
        }
        Some(settings.unix_socket_dir).filter(|dir| !dir.is_empty())
    }

    fn database(&mut self, assignment: &Assignment, socket: &Option<String>) {
        let place = Place::Database(assignment.key.clone());
        let Some(mut pairs) = self.pairs(assignment, &place, "connection string") else {
            return;
        };
        let has = |pairs: &Pairs, name: &str| pairs.iter().any(|(key, _)| key == name);
        if let Some(socket) = socket
            && has(&pairs, "port")
            && !has(&pairs, "host")
            && !has(&pairs, "hosts")
        {
            pairs.push(("host".to_owned(), socket.clone()));
        }
        if has(&pairs, "password") && !has(&pairs, "user") {
            pairs.retain(|(key, _)| key != "password");
            let why = "has no effect: it is the password of \"user\", and there is none";
            self.warn(assignment, &place.path("password"), why);
        }
        let several = |(key, value): &(String, String)| key == "host" && value.contains(',');
        if pairs.iter().any(several) && !has(&pairs, "load_balance_hosts") {
            // PgBouncer's default, where there is a choice.
            pairs.push(("load_balance_hosts".to_owned(), "round-robin".to_owned()));
        }
        self.connect::<Database>(assignment, place, pairs);
    }

    fn user(&mut self, assignment: &Assignment) {
        let place = Place::User(assignment.key.clone());
        if let Some(pairs) = self.pairs(assignment, &place, "user settings") {
            self.connect::<User>(assignment, place, pairs);
        }
    }

    fn peer(&mut self, assignment: &Assignment) {
        let place = Place::Peer(assignment.key.clone());
        if let Some(pairs) = self.pairs(assignment, &place, "connection string") {
            self.connect::<Peer>(assignment, place, pairs);
        }
    }

    fn pairs(&mut self, assignment: &Assignment, place: &Place, what: &str) -> Option<Pairs> {
        match connect::read(&assignment.value) {
            Ok(pairs) => Some(pairs),
            Err(why) => {
                let message = format!("syntax error in {what}: {why}");
                self.wrong(assignment, place.path(""), message);
                None
            }
        }
    }

    fn connect<T: Table>(&mut self, assignment: &Assignment, place: Place, pairs: Pairs) {
        let mut entries = Vec::new();
        for (key, value) in pairs {
            let name = match key.as_str() {
                "reserve_pool" => "reserve_pool_size",
                name => name,
            };
            if inherits(name, &value) {
                continue;
            }
            let is_host = matches!((&place, name), (Place::Database(_), "host" | "port"));
            let judged = match T::key(name) {
                // Read together, later.
                _ if is_host => Ok(Raw::Connect(value)),
                Some(found) => judge(found, &mut T::default(), Raw::Connect(value)),
                None => Err(unrecognized::<T>(&place, name)),
            };
            entries.extend(self.entry(assignment, &place, name, judged));
        }
        self.document.sections.push(Section {
            place,
            line: Some(assignment.line),
            entries,
        });
    }

    fn entry(
        &mut self,
        assignment: &Assignment,
        place: &Place,
        key: &str,
        judged: Result<Raw, String>,
    ) -> Option<Entry> {
        match judged {
            Ok(value) => Some(Entry {
                key: key.to_owned(),
                line: Some(assignment.line),
                value,
            }),
            Err(message) => {
                self.wrong(assignment, place.path(key), message);
                None
            }
        }
    }

    fn wrong(&mut self, assignment: &Assignment, key: String, message: String) {
        let mistake = Mistake::new(key, message).on_line(Some(assignment.line));
        self.mistakes.push(mistake);
    }

    fn warn(&mut self, assignment: &Assignment, key: &str, why: &str) {
        let warning = Mistake::new(key, why).on_line(Some(assignment.line));
        self.warnings.push(warning);
    }
}

/// Whether the key takes the value, by trying it on a section that nobody needs.
fn judge<T>(key: &Key<T>, scratch: &mut T, raw: Raw) -> Result<Raw, String> {
    let (Raw::Ini(value) | Raw::Connect(value)) = &raw else {
        return Ok(raw);
    };
    let Err(message) = (key.assign)(scratch, &raw) else {
        return Ok(raw);
    };
    if key.name == "password" {
        return Err(format!("invalid value for parameter password: {message}"));
    }
    let value = value.escape_debug();
    // It is said in PgBouncer's words already.
    let message = message.replace(&format!(", found \"{value}\""), "");
    let name = key.name;
    Err(format!(
        "invalid value \"{value}\" for parameter {name}: {message}"
    ))
}

fn unrecognized<T: Table>(place: &Place, key: &str) -> String {
    let (kind, ours): (_, &[&str]) = match place {
        Place::User(_) => ("user", &[]),
        Place::Peer(_) => ("connection", &[]),
        _ => ("connection", &["host", "port", "reserve_pool"]),
    };
    let names = T::KEYS.iter().map(|key| key.name);
    let meant = did_you_mean(key, names.chain(ours.iter().copied()));
    format!("unrecognized {kind} parameter: {key}{meant}")
}

/// Whether a value of a connection string says that the general one counts: a number below 0, and
/// where 0 would be no limit or no time, 0 too.
fn inherits(key: &str, value: &str) -> bool {
    let is_size = matches!(key, "pool_size" | "min_pool_size" | "reserve_pool_size");
    let is_cap = key.starts_with("max_");
    let is_time = key.ends_with("_timeout") || key == "server_lifetime";
    decimal(value).is_some_and(|number| {
        (is_size && number < 0) || (is_cap && number <= 0) || (is_time && number == 0)
    })
}
