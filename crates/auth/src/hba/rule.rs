//! One line of the file.

use super::address;
use super::directory::Directory;
use super::names::{self, Files};
use super::options;
use super::{Origin, Rule, Transport};
use crate::exchange::Method;
use crate::mistake::shown;
use crate::words::{Line, Unreadable};

/// How a client proves who it is.
#[derive(Debug, Clone, PartialEq, Eq)]
pub enum Way {
    /// By an exchange, or with `trust` by nothing.
    Ask(Method),
    /// By the certificate of its TLS connection.
    Certificate {
        /// The map that says which names may be which users.
        map: Option<String>,
    },
    /// By the user that its process runs as, on this machine.
    Peer {
        /// The map that says which names may be which users.
        map: Option<String>,
    },
    /// By a password that a directory is asked about.
    Ldap(Directory),
    /// By a password that the system's PAM is asked about. No line says so.
    Pam,
}

impl Way {
    /// The map that it names.
    #[must_use]
    pub fn map(&self) -> Option<&str> {
        match self {
            Self::Certificate { map } | Self::Peer { map } => map.as_deref(),
            Self::Ask(_) | Self::Ldap(_) | Self::Pam => None,
        }
    }
}

/// What a line says of those that it is about.
#[derive(Debug, Clone, PartialEq, Eq)]
pub(super) enum Verdict {
    Reject,
    Admit(Way),
}

const METHODS: &str = "trust, reject, md5, password, scram-sha-256, cert, peer, ldap";

/// Reads a line that is not blank. What is wrong goes to `mistakes`; a line without a mistake gives a
/// rule.
pub(super) fn read(
    number: usize,
    line: &mut Line<'_>,
    files: &mut Files<'_>,
    mistakes: &mut Vec<String>,
) -> Option<Rule> {
    match fields(number, line, files, mistakes) {
        Ok(rule) => rule,
        Err(unreadable) => {
            mistakes.push(unreadable.to_owned());
            None
        }
    }
}

/// All fields are read before one of them counts, so that all their mistakes are told.
fn fields(
    number: usize,
    line: &mut Line<'_>,
    files: &mut Files<'_>,
    mistakes: &mut Vec<String>,
) -> Result<Option<Rule>, Unreadable> {
    let Some(connections) = connections(line, mistakes)? else {
        return Ok(None);
    };
    let databases = names::databases(line, files, mistakes)?;
    if line.is_end() && databases.is_none() {
        return Ok(None);
    }
    let users = names::users(line, files, mistakes)?;
    if line.is_end() && users.is_none() {
        return Ok(None);
    }
    if line.is_end() {
        let missing = match connections {
            Connections::Local => "expected a method after the user",
            Connections::Host(_) => "expected an address and a method after the user",
        };
        mistakes.push(missing.to_owned());
        return Ok(None);
    }
    let origin = match connections {
        Connections::Local => Some(Origin::Local),
        Connections::Host(transport) => {
            address::read(line, mistakes)?.map(|addresses| Origin::Host(transport, addresses))
        }
    };
    // Without an address nobody knows which word was meant to be the method.
    let Some(origin) = origin else {
        return Ok(None);
    };
    let verdict = verdict(line, mistakes)?;
    let (Some(databases), Some(users), Some(verdict)) = (databases, users, verdict) else {
        return Ok(None);
    };
    mistakes.extend(hopeless(origin, &verdict).map(str::to_owned));
    Ok(Some(Rule {
        line: number,
        origin,
        databases,
        users,
        verdict,
    }))
}

/// The first word of a line.
#[derive(Clone, Copy)]
enum Connections {
    Local,
    Host(Transport),
}

fn connections(
    line: &mut Line<'_>,
    mistakes: &mut Vec<String>,
) -> Result<Option<Connections>, Unreadable> {
    let word = line.word()?;
    let text = word
        .as_ref()
        .filter(|word| !word.quoted)
        .map_or("", |word| &word.text);
    let what = match text {
        "local" => return Ok(Some(Connections::Local)),
        "host" => return Ok(Some(Connections::Host(Transport::Any))),
        "hostssl" => return Ok(Some(Connections::Host(Transport::Tls))),
        "hostnossl" => return Ok(Some(Connections::Host(Transport::Plain))),
        "hostgssenc" | "hostnogssenc" => {
            format!("{text} is not supported: there is no GSS encryption")
        }
        "include" | "include_if_exists" | "include_dir" => format!("{text} is not supported"),
        _ => {
            let found = shown(word.as_ref().map_or(",", |word| &word.text));
            format!("expected local, host, hostssl or hostnossl, found {found}")
        }
    };
    mistakes.push(what);
    Ok(None)
}

fn verdict(line: &mut Line<'_>, mistakes: &mut Vec<String>) -> Result<Option<Verdict>, Unreadable> {
    let Some(word) = line.word()? else {
        mistakes.push(format!("expected a method: one of {METHODS}"));
        return Ok(None);
    };
    let name = word.text.as_str();
    let known = match name {
        "cert" | "peer" => options::MAP,
        "ldap" => options::LDAP,
        "trust" | "reject" | "md5" | "password" | "scram-sha-256" => options::NONE,
        _ => {
            let found = shown(name);
            mistakes.push(format!(
                "method {found} is not supported: expected one of {METHODS}"
            ));
            return Ok(None);
        }
    };
    let Some(options) = options::read(line, known, name, mistakes) else {
        return Ok(None);
    };
    let map = options.value("map").map(str::to_owned);
    Ok(Some(match name {
        "reject" => Verdict::Reject,
        "trust" => Verdict::Admit(Way::Ask(Method::Trust)),
        "md5" => Verdict::Admit(Way::Ask(Method::Md5)),
        "password" => Verdict::Admit(Way::Ask(Method::Password)),
        "cert" => Verdict::Admit(Way::Certificate { map }),
        "peer" => Verdict::Admit(Way::Peer { map }),
        "ldap" => match Directory::of(&options) {
            Ok(directory) => Verdict::Admit(Way::Ldap(directory)),
            Err(wrong) => {
                mistakes.extend(wrong);
                return Ok(None);
            }
        },
        _ => Verdict::Admit(Way::Ask(Method::Scram)),
    }))
}

/// Why nobody can come in by a line, whoever it is.
fn hopeless(origin: Origin, verdict: &Verdict) -> Option<&'static str> {
    match (verdict, origin) {
        (Verdict::Admit(Way::Peer { .. }), Origin::Host(..)) => {
            Some("peer can only succeed on local connections: all of this line are refused")
        }
        (
            Verdict::Admit(Way::Certificate { .. }),
            Origin::Local | Origin::Host(Transport::Plain, _),
        ) => Some("cert can only succeed with TLS: all of this line are refused"),
        _ => None,
    }
}
