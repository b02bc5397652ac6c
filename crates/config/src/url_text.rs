//! A connection string as a whole configuration: one database, on the default port if nothing else is
//! said.
//!
//! Read as libpq reads it, which is not quite as browsers do: several hosts with commas between
//! them, no host at all, a socket's directory with its slashes as `%2F`.

use crate::check::check;
use crate::database::Database;
use crate::host::{Host, PORT};
use crate::mistake::Mistake;
use crate::model::Config;
use crate::percent;
use crate::place::{Place, unknown_key};
use crate::secret::Secret;
use crate::settings::Settings;
use crate::suggest::did_you_mean;
use crate::table::Table;
use crate::user::User;
use crate::value::words::AuthType;
use crate::value::{Raw, Value};

/// Parameters of a connection string that mean something here.
const PARAMETERS: [&str; 9] = [
    "host",
    "port",
    "dbname",
    "user",
    "password",
    "sslmode",
    "sslrootcert",
    "sslcert",
    "sslkey",
];

/// A configuration that pools the one database of
/// `postgres://user:password@host:port/name?sslmode=…`, with some settings in the place of defaults, as
/// pairs of key and value.
///
/// The user and its password are asked of clients and given to the server; without a password
/// clients need none. The user may look on the console. Several hosts have commas between them, as
/// in libpq; without a host it is the local Unix socket, without a name of the database that of the
/// user.
///
/// # Errors
///
/// All that is wrong with the string, without repeating it: it may have a password in it; and with
/// the settings.
pub fn from_url(url: &str, settings: &[(String, String)]) -> Result<Config, Vec<Mistake>> {
    let mut mistakes = Vec::new();
    let mut config = Parts::read(url, &mut mistakes).config(&mut mistakes);
    for (key, value) in settings {
        let assigned = match Settings::key(key) {
            Some(found) => (found.assign)(&mut config.settings, &Raw::Text(value.clone())),
            None => Err(unknown_key::<Settings>(&Place::Settings, key)),
        };
        mistakes.extend(assigned.err().map(|message| wrong(key, message)));
    }
    if mistakes.is_empty() {
        // What follows from a mistake that is named already is not another one.
        mistakes.extend(check(&config).iter().map(|wrong| wrong.mistake(None)));
    }
    if mistakes.is_empty() {
        return Ok(config);
    }
    Err(mistakes)
}

/// The string taken apart and decoded.
#[derive(Default)]
struct Parts {
    /// Host and port each, as they stand there.
    hosts: Vec<(String, Option<String>)>,
    port: Option<String>,
    user: Option<String>,
    password: Option<String>,
    dbname: Option<String>,
    sslmode: Option<String>,
    sslrootcert: Option<String>,
    sslcert: Option<String>,
    sslkey: Option<String>,
}

impl Parts {
    fn read(url: &str, mistakes: &mut Vec<Mistake>) -> Parts {
        let rest = ["postgres://", "postgresql://"]
            .into_iter()
            .find_map(|scheme| url.strip_prefix(scheme));
        let Some(rest) = rest else {
            let message = "expected postgres://user:password@host:port/name".to_owned();
            mistakes.push(wrong("", message));
            return Parts::default();
        };
        let mut keep = |result: Result<Option<String>, Mistake>| {
            result.unwrap_or_else(|mistake| {
                mistakes.push(mistake);
                None
            })
        };
        let (rest, query) = rest.split_once('?').unwrap_or((rest, ""));
        let (authority, path) = rest.split_once('/').unwrap_or((rest, ""));
        let (login, hosts) = authority.rsplit_once('@').unwrap_or(("", authority));
        let (user, password) = match login.split_once(':') {
            Some((user, password)) => (user, Some(password)),
            None => (login, None),
        };
        let mut parts = Parts {
            user: keep(decode("user", user)),
            password: keep(decode("password", password.unwrap_or_default())),
            dbname: keep(decode("dbname", path)),
            ..Parts::default()
        };
        for host in hosts.split(',').filter(|host| !host.is_empty()) {
            let (name, port) = split_port(host);
            let name = keep(decode("host", name)).unwrap_or_default();
            parts.hosts.push((name, keep(decode("port", port))));
        }
        for pair in query.split('&').filter(|pair| !pair.is_empty()) {
            let (name, value) = pair.split_once('=').unwrap_or((pair, ""));
            let name = keep(decode("", name)).unwrap_or_default();
            let value = keep(decode(&name, value));
            keep(parts.parameter(&name, value).map(|()| None));
        }
        parts
    }

    fn parameter(&mut self, name: &str, value: Option<String>) -> Result<(), Mistake> {
        let place = match name {
            "host" => {
                let hosts = value.unwrap_or_default();
                self.hosts = hosts
                    .split(',')
                    .map(|host| (host.to_owned(), None))
                    .collect();
                return Ok(());
            }
            "port" => &mut self.port,
            "dbname" => &mut self.dbname,
            "user" => &mut self.user,
            "password" => &mut self.password,
            "sslmode" => &mut self.sslmode,
            "sslrootcert" => &mut self.sslrootcert,
            "sslcert" => &mut self.sslcert,
            "sslkey" => &mut self.sslkey,
            other => {
                let meant = did_you_mean(other, PARAMETERS);
                let message = format!("is not a parameter that can be used here{meant}");
                return Err(wrong(other, message));
            }
        };
        *place = value;
        Ok(())
    }

    fn config(self, mistakes: &mut Vec<Mistake>) -> Config {
        let user = self.user.clone().unwrap_or_else(|| {
            // A string that is none of ours has no user either.
            if mistakes.is_empty() {
                let message = "is missing: postgres://user:password@host/name".to_owned();
                mistakes.push(wrong("user", message));
            }
            String::new()
        });
        let mut config = Config::default();
        let settings = &mut config.settings;
        settings.stats_users = vec![user.clone()];
        settings.auth_type = match self.password {
            Some(_) => AuthType::ScramSha256,
            None => AuthType::Trust,
        };
        let mut keep = |result: Result<(), Mistake>| mistakes.extend(result.err());
        keep(read_into(
            &mut settings.server_tls_sslmode,
            "sslmode",
            self.sslmode.as_deref(),
        ));
        keep(read_into(
            &mut settings.server_tls_ca_file,
            "sslrootcert",
            self.sslrootcert.as_deref(),
        ));
        keep(read_into(
            &mut settings.server_tls_cert_file,
            "sslcert",
            self.sslcert.as_deref(),
        ));
        keep(read_into(
            &mut settings.server_tls_key_file,
            "sslkey",
            self.sslkey.as_deref(),
        ));

        let password = self.password.as_deref().map(Secret::plain);
        let database = Database {
            hosts: self.hosts(mistakes),
            user: Some(user.clone()),
            password: password.clone(),
            ..Database::default()
        };
        let name = self.dbname.unwrap_or_else(|| user.clone());
        config.databases.insert(name, database);
        config.users.insert(
            user,
            User {
                password,
                ..User::default()
            },
        );
        config.complete_hosts();
        config
    }

    /// Those that are well formed.
    fn hosts(&self, mistakes: &mut Vec<Mistake>) -> Vec<Host> {
        let host = |(name, own): &(String, Option<String>)| {
            let port = match own.as_deref().or(self.port.as_deref()) {
                Some(text) => u16::from_text(text).map_err(|message| wrong("port", message))?,
                None => PORT,
            };
            Host::from_parts(name, port).map_err(|error| wrong("host", error.to_string()))
        };
        let mut hosts = Vec::new();
        for read in self.hosts.iter().map(host) {
            match read {
                Ok(host) => hosts.push(host),
                // One port for several hosts is one mistake.
                Err(mistake) if mistakes.contains(&mistake) => {}
                Err(mistake) => mistakes.push(mistake),
            }
        }
        hosts
    }
}

fn read_into<T: Value>(to: &mut T, key: &str, text: Option<&str>) -> Result<(), Mistake> {
    if let Some(text) = text {
        let raw = Raw::Text(text.to_owned());
        *to = T::from_raw(&raw).map_err(|message| wrong(key, message))?;
    }
    Ok(())
}

/// `name:port`; the colons of an IPv6 address are between brackets.
fn split_port(host: &str) -> (&str, &str) {
    let name_ends = host.rfind(']').map_or(0, |at| at + 1);
    match host[name_ends..].find(':') {
        Some(colon) => (&host[..name_ends + colon], &host[name_ends + colon + 1..]),
        None => (host, ""),
    }
}

fn decode(key: &str, text: &str) -> Result<Option<String>, Mistake> {
    percent::decode(text).map_err(|message| wrong(key, message.to_owned()))
}

fn wrong(key: &str, message: String) -> Mistake {
    Mistake::new(key, message)
}
