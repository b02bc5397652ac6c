//! What a startup packet asks for.

use pgweir_session::{Settings, Target};
use pgweir_wire::startup::{self, Startup};

use crate::place::Peer;
use crate::report::Report;

/// What PgBouncer says to `options` that it does not understand.
const BAD_OPTIONS: &str = "unsupported options startup parameter: only '-c config=val' and \
                           '--config=val' are allowed";

/// What a startup packet asks for.
pub(super) struct Wish {
    pub(super) version: u32,
    pub(super) user: String,
    pub(super) database: String,
    pub(super) replication: Option<&'static str>,
    pub(super) settings: Settings,
    /// As they came, for a replication connection.
    pub(super) parameters: Vec<(Vec<u8>, Vec<u8>)>,
    pub(super) application_name: String,
    pub(super) unsupported: Vec<Vec<u8>>,
    pub(super) target: Option<Target>,
}

impl Wish {
    /// Whether it is the console that the client wants.
    pub(super) fn is_for_console(&self) -> bool {
        matches!(self.database.as_str(), "pgbouncer" | "pgweir")
    }
}

/// Reads a startup packet of a client that comes from `peer`.
pub(super) fn wish(
    startup: &Startup<'_>,
    rules: &pgweir_config::Settings,
    peer: &Peer,
) -> Result<Wish, Report> {
    let mut pairs: Vec<(Vec<u8>, Vec<u8>)> = Vec::new();
    let mut wish = Wish {
        version: startup.version,
        user: String::new(),
        database: String::new(),
        replication: None,
        settings: Settings::default(),
        parameters: Vec::new(),
        application_name: String::new(),
        unsupported: Vec::new(),
        target: None,
    };
    let text = |value: &[u8]| {
        String::from_utf8(value.to_vec())
            .map_err(|_| Report::new("08P01", "user and database names must be encoded in UTF-8"))
    };
    for (name, value) in startup.parameters() {
        match name {
            b"user" => wish.user = text(value)?,
            b"database" => wish.database = text(value)?,
            b"replication" => {
                wish.replication = replication(value)?;
                wish.parameters.push((name.to_vec(), value.to_vec()));
            }
            b"options" => {
                let options = startup::options(value)
                    .map_err(|error| Report::new("08P01", error.to_string()).plain(BAD_OPTIONS))?;
                pairs.extend(options);
                wish.parameters.push((name.to_vec(), value.to_vec()));
            }
            b"target_session_attrs" => wish.target = target_session_attrs(value)?,
            name if name.starts_with(b"_pq_.") => wish.unsupported.push(name.to_vec()),
            name => {
                pairs.push((name.to_vec(), value.to_vec()));
                wish.parameters.push((name.to_vec(), value.to_vec()));
            }
        }
    }
    if let Some(place) = pairs.iter().rposition(|(name, _)| name == TARGET) {
        let (_, value) = pairs.remove(place);
        wish.target = Some(Target::named(&value).ok_or_else(|| invalid(TARGET, &value))?);
    }
    if wish.user.is_empty() {
        return Err(Report::new("28000", "no username supplied"));
    }
    if wish.user.len() > 127 {
        return Err(Report::new("08P01", "username too long"));
    }
    if wish.database.is_empty() {
        wish.database.clone_from(&wish.user);
    }
    pairs.retain(|(name, _)| {
        !rules
            .ignore_startup_parameters
            .iter()
            .any(|other| other.as_bytes().eq_ignore_ascii_case(name))
    });
    if rules.application_name_add_host {
        add_host(&mut pairs, peer);
        add_host(&mut wish.parameters, peer);
    }
    wish.settings = Settings::new(pairs.iter().map(|(name, value)| (&name[..], &value[..])));
    if let Some(name) = wish.settings.value(b"application_name") {
        wish.application_name = String::from_utf8_lossy(name).into_owned();
    }
    Ok(wish)
}

/// Our setting of which hosts are asked for, in `options`.
const TARGET: &[u8] = b"pgweir.target";

/// What libpq calls so, for drivers that send it on. (libpq itself looks at what the server reports.)
fn target_session_attrs(value: &[u8]) -> Result<Option<Target>, Report> {
    match value {
        b"any" => Ok(None),
        b"primary" | b"read-write" => Ok(Some(Target::Primary)),
        b"standby" | b"read-only" | b"prefer-standby" => Ok(Some(Target::Standby)),
        _ => Err(invalid(b"target_session_attrs", value)),
    }
}

fn invalid(name: &[u8], value: &[u8]) -> Report {
    let text = |bytes| String::from_utf8_lossy(bytes).into_owned();
    let (name, value) = (text(name), text(value));
    let message = format!("invalid value for parameter \"{name}\": \"{value}\"");
    Report::new("22023", message)
}

/// Puts behind `application_name` where the client comes from; who has none is called `app`, as by
/// PgBouncer.
fn add_host(pairs: &mut Vec<(Vec<u8>, Vec<u8>)>, peer: &Peer) {
    let is_name = |(name, _): &&mut (Vec<u8>, Vec<u8>)| name == b"application_name";
    match pairs.iter_mut().rfind(is_name) {
        Some((_, name)) => name.extend_from_slice(format!(" - {peer}").as_bytes()),
        None => {
            let name = format!("app - {peer}").into_bytes();
            pairs.push((b"application_name".to_vec(), name));
        }
    }
}

/// The values of `replication` (protocol-replication).
fn replication(value: &[u8]) -> Result<Option<&'static str>, Report> {
    match value.to_ascii_lowercase().as_slice() {
        b"database" => Ok(Some("logical")),
        b"true" | b"on" | b"yes" | b"1" | b"t" | b"y" => Ok(Some("physical")),
        b"false" | b"off" | b"no" | b"0" | b"f" | b"n" => Ok(None),
        _ => Err(Report::new(
            "22023",
            "invalid value for parameter \"replication\"",
        )),
    }
}
