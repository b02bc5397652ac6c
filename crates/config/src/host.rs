//! Where a PostgreSQL server listens.

use std::fmt;
use std::net::Ipv6Addr;
use std::str::FromStr;

/// PostgreSQL's port, where none is given.
pub(crate) const PORT: u16 = 5432;

/// Where a PostgreSQL server listens. Made by parsing, so a host that exists is well formed.
#[derive(Debug, Clone, PartialEq, Eq, Hash, PartialOrd, Ord)]
pub enum Host {
    /// Over TCP.
    Tcp {
        /// Name or address; an IPv6 address without brackets.
        name: String,
        /// Port, not 0.
        port: u16,
    },
    /// Over a Unix socket: the file `.s.PGSQL.PORT` in the directory.
    Unix {
        /// Absolute path of the directory, or `@` and a name in the abstract namespace.
        dir: String,
        /// The number in the name of the socket, not 0.
        port: u16,
    },
}

/// A text that is no host.
#[derive(Debug, Clone, PartialEq, Eq, thiserror::Error)]
pub enum BadHost {
    /// Nothing where the name should be.
    #[error("the host has no name")]
    NoName,
    /// The port is no number from 1 to 65535.
    #[error("\"{0}\" is no port: expected a number from 1 to 65535")]
    Port(String),
    /// An IPv6 address without brackets, whose port could not be told from it.
    #[error("an IPv6 address needs brackets: \"[::1]:5432\"")]
    Brackets,
    /// No IPv6 address between brackets.
    #[error("\"{0}\" is no IPv6 address")]
    Ipv6(String),
    /// A character that no name of a host has.
    #[error("{0:?} does not belong in a host")]
    Character(char),
    /// Longer than DNS allows.
    #[error("the name of the host is longer than 253 bytes")]
    TooLong,
}

impl Host {
    /// From a name, address or directory and a port that were given apart.
    ///
    /// # Errors
    /// They are none of a host.
    pub fn from_parts(name: &str, port: u16) -> Result<Host, BadHost> {
        if port == 0 {
            return Err(BadHost::Port("0".to_owned()));
        }
        if name.starts_with(['/', '@']) {
            if name == "@" {
                return Err(BadHost::NoName);
            }
            check_characters(name, |c| !c.is_control() && c != ',')?;
            return Ok(Host::Unix {
                dir: name.to_owned(),
                port,
            });
        }
        let name = name
            .strip_prefix('[')
            .and_then(|name| name.strip_suffix(']'))
            .unwrap_or(name);
        if name.contains(':') {
            check_ipv6(name)?;
        } else {
            check_name(name)?;
        }
        Ok(Host::Tcp {
            name: name.to_owned(),
            port,
        })
    }

    /// The port.
    pub fn port(&self) -> u16 {
        match self {
            Host::Tcp { port, .. } | Host::Unix { port, .. } => *port,
        }
    }

    /// The name, address or directory: what `host` means to libpq.
    pub fn name(&self) -> &str {
        match self {
            Host::Tcp { name, .. } => name,
            Host::Unix { dir, .. } => dir,
        }
    }

    /// Whether it is a Unix socket, where TLS has no place.
    pub fn is_unix(&self) -> bool {
        matches!(self, Host::Unix { .. })
    }
}

impl FromStr for Host {
    type Err = BadHost;

    /// `name`, `name:port`, `[ipv6]`, `[ipv6]:port`, `/dir`, `/dir:port`, `@abstract`,
    /// `@abstract:port`.
    fn from_str(text: &str) -> Result<Host, BadHost> {
        if text.starts_with(['/', '@']) {
            // A directory may have a colon of its own; a port is all digits.
            return match text.rsplit_once(':') {
                Some((dir, port)) if port.bytes().all(|byte| byte.is_ascii_digit()) => {
                    Host::from_parts(dir, read_port(port)?)
                }
                _ => Host::from_parts(text, PORT),
            };
        }
        if text.starts_with('[') {
            let (address, rest) = text.split_once(']').ok_or(BadHost::Brackets)?;
            check_ipv6(&address[1..])?;
            let port = match rest.strip_prefix(':') {
                Some(port) => read_port(port)?,
                None if rest.is_empty() => PORT,
                None => return Err(BadHost::Brackets),
            };
            return Host::from_parts(&address[1..], port);
        }
        match text.split_once(':') {
            Some((_, rest)) if rest.contains(':') => Err(BadHost::Brackets),
            Some((name, port)) => Host::from_parts(name, read_port(port)?),
            None => Host::from_parts(text, PORT),
        }
    }
}

impl fmt::Display for Host {
    /// Always with the port; reads back as the same host.
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            Host::Tcp { name, port } if name.contains(':') => write!(f, "[{name}]:{port}"),
            Host::Tcp { name, port } => write!(f, "{name}:{port}"),
            Host::Unix { dir, port } => write!(f, "{dir}:{port}"),
        }
    }
}

fn read_port(text: &str) -> Result<u16, BadHost> {
    let digits = !text.is_empty() && text.bytes().all(|byte| byte.is_ascii_digit());
    match text.parse() {
        Ok(port) if digits && port > 0 => Ok(port),
        _ => Err(BadHost::Port(text.to_owned())),
    }
}

fn check_name(name: &str) -> Result<(), BadHost> {
    if name.is_empty() {
        return Err(BadHost::NoName);
    }
    if name.len() > 253 {
        return Err(BadHost::TooLong);
    }
    // The resolver judges names; here only what would be read differently elsewhere is refused.
    check_characters(name, |c| {
        c.is_alphanumeric() || matches!(c, '-' | '.' | '_')
    })
}

fn check_ipv6(address: &str) -> Result<(), BadHost> {
    let (address, zone) = address.split_once('%').unwrap_or((address, "0"));
    let zone_is_good = !zone.is_empty() && zone.bytes().all(|b| b.is_ascii_alphanumeric());
    match address.parse::<Ipv6Addr>() {
        Ok(_) if zone_is_good => Ok(()),
        _ => Err(BadHost::Ipv6(address.to_owned())),
    }
}

fn check_characters(text: &str, allowed: impl Fn(char) -> bool) -> Result<(), BadHost> {
    match text.chars().find(|c| !allowed(*c)) {
        Some(c) => Err(BadHost::Character(c)),
        None => Ok(()),
    }
}
