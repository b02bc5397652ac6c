//! PgBouncer's `auth_hba_file`: who is asked what, by where a client comes from and where it wants to.
//!
//! ```text
//! local      DATABASE  USER                  METHOD  [OPTIONS]
//! host       DATABASE  USER  ADDRESS [MASK]  METHOD  [OPTIONS]
//! hostssl    DATABASE  USER  ADDRESS [MASK]  METHOD  [OPTIONS]
//! hostnossl  DATABASE  USER  ADDRESS [MASK]  METHOD  [OPTIONS]
//! ```
//!
//! - DATABASE: `all`, `sameuser`, `replication`, names; several with commas, `@file` for more of them.
//!   Physical replication has no database: only `replication` is about it, and about nothing else.
//! - USER: `all`, names; several with commas, `@file` for more of them.
//! - ADDRESS: `all`, an IPv4 or IPv6 address with `/bits` or with a MASK.
//! - METHOD: `trust`, `reject`, `md5`, `password`, `scram-sha-256`, `cert`, `peer`, `ldap`.
//! - OPTIONS: `map=name` for `cert` and `peer` (a map of [`ident`](crate::ident)); PostgreSQL's
//!   `ldap…=value` for `ldap`.
//!
//! A quoted word is a name, whatever it says. The first rule that fits decides; no later one is tried.
//!
//! # Mistakes
//!
//! [`parse`] reads to the end and tells all mistakes with their lines, several for one line too. What
//! they mean is the caller's to say: [`Parsed::strict`] refuses the file (and at a reload, or when it
//! cannot be read, what was in force stays); [`Parsed::good`] are the rules of the lines that can be
//! used, which is what PgBouncer goes on with after a warning for each other one.
//!
//! A line may be a mistake and still count: one whose method can never succeed on its connections
//! (`host … peer`, `local … cert`), or whose names have a regular expression among them, which is
//! taken for a name. Left out, it would hand its clients on to the lines below.
//!
//! # Use
//!
//! ```
//! use pgweir_auth::hba::{self, Attempt, Channel, Refusal, Replication, Way};
//!
//! let file = "host  all  @ops  10.0.0.0/8  scram-sha-256\nhost  all  all  all  reject";
//! let rules = hba::parse(file, |_name| Ok("alice\nbob".to_owned())).strict().unwrap();
//! let mut attempt = Attempt {
//!     channel: Channel::Plain([10, 1, 2, 3].into()),
//!     database: "shop",
//!     user: "alice",
//!     replication: Replication::No,
//! };
//! let decision = rules.decide(&attempt).unwrap();
//! assert_eq!((decision.line, decision.way), (1, &Way::Ask(pgweir_auth::Method::Scram)));
//! attempt.user = "eve";
//! assert_eq!(rules.decide(&attempt), Err(Refusal::Rejected { line: 2 }));
//! ```
//!
//! With a [`Way`] the caller goes on: [`Way::Ask`] is for [`Exchange::start`](crate::Exchange::start),
//! [`Way::Certificate`] for [`Exchange::certificate`](crate::Exchange::certificate), [`Way::Peer`] for
//! [`Exchange::peer`](crate::Exchange::peer); [`Way::Ldap`] needs a directory, which is not here.

mod address;
mod directory;
mod names;
mod options;
mod rule;

use std::net::IpAddr;

use crate::ident::Maps;
use crate::mistake::{Mistake, Parsed};
use crate::words::Line;

use address::Addresses;
use names::{Databases, Files, Users};
use rule::Verdict;

pub use directory::{Directory, Entry, Scope, USER_NAME};
pub use rule::Way;

/// Where a client comes from, and how.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Channel {
    /// A Unix socket.
    Local,
    /// TCP without TLS.
    Plain(IpAddr),
    /// TCP with TLS.
    Tls(IpAddr),
}

/// What the startup parameter `replication` asks for.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Replication {
    /// Nothing, or `false`.
    No,
    /// `database`: has a database, and is matched like any other connection.
    Logical,
    /// `true`: has none.
    Physical,
}

/// What is matched against the rules.
#[derive(Debug, Clone, Copy)]
pub struct Attempt<'a> {
    /// Where the client comes from.
    pub channel: Channel,
    /// The database that it asks for, under the pooler's name for it.
    pub database: &'a str,
    /// Who it says it is.
    pub user: &'a str,
    /// Whether it asks for replication.
    pub replication: Replication,
}

/// The rule that fits an attempt.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct Decision<'a> {
    /// Where it stands in the file.
    pub line: usize,
    /// How the client is to prove who it is.
    pub way: &'a Way,
}

/// Nobody is asked anything. The texts are PgBouncer's for the client.
#[derive(Debug, Clone, Copy, PartialEq, Eq, thiserror::Error)]
pub enum Refusal {
    /// No rule fits.
    #[error("no authentication method is found")]
    NoRule,
    /// The rule that fits says `reject`.
    #[error("login rejected")]
    Rejected {
        /// Where it stands in the file.
        line: usize,
    },
}

/// The rules of a file, in its order.
#[derive(Debug, Clone, Default, PartialEq, Eq)]
pub struct Rules(Vec<Rule>);

#[derive(Debug, Clone, PartialEq, Eq)]
struct Rule {
    line: usize,
    origin: Origin,
    databases: Databases,
    users: Users,
    verdict: Verdict,
}

/// Which connections a line is about.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
enum Origin {
    Local,
    Host(Transport, Addresses),
}

#[derive(Debug, Clone, Copy, PartialEq, Eq)]
enum Transport {
    Any,
    Tls,
    Plain,
}

/// Reads a file. `name_file` gives the contents of what a line names as `@name`, or says why it
/// cannot; it gets the name as it is written, in files named by such files too.
#[must_use]
pub fn parse(
    text: &str,
    mut name_file: impl FnMut(&str) -> Result<String, String>,
) -> Parsed<Rules> {
    let mut files = Files::new(&mut name_file);
    let mut rules = Rules::default();
    let mut mistakes = Vec::new();
    for (index, line) in text.lines().enumerate() {
        let number = index + 1;
        let mut line = Line::of(line);
        if line.is_end() {
            continue;
        }
        let mut found = Vec::new();
        let rule = rule::read(number, &mut line, &mut files, &mut found);
        rules.0.extend(rule);
        mistakes.extend(found.into_iter().map(|what| Mistake { line: number, what }));
    }
    let good = rules;
    Parsed { good, mistakes }
}

/// Reads LDAP options that stand alone, as in `auth_ldap_options`.
///
/// # Errors
/// All that is wrong with them.
pub fn ldap_options(text: &str) -> Result<Directory, Vec<String>> {
    let mut mistakes = Vec::new();
    let options = options::read(&mut Line::of(text), options::LDAP, "ldap", &mut mistakes);
    Directory::of(&options.ok_or(mistakes)?)
}

impl Rules {
    /// What is to become of an attempt: the first rule that fits says so.
    ///
    /// # Errors
    /// The client is refused before it is asked anything.
    pub fn decide(&self, attempt: &Attempt<'_>) -> Result<Decision<'_>, Refusal> {
        let rule = self.0.iter().find(|rule| rule.fits(attempt));
        let rule = rule.ok_or(Refusal::NoRule)?;
        let line = rule.line;
        match &rule.verdict {
            Verdict::Reject => Err(Refusal::Rejected { line }),
            Verdict::Admit(way) => Ok(Decision { line, way }),
        }
    }

    /// Rules whose map is not in the ident file: nobody comes in by them.
    #[must_use]
    pub fn missing_maps(&self, maps: &Maps) -> Vec<Mistake> {
        let mut missing = Vec::new();
        for rule in &self.0 {
            if let Verdict::Admit(way) = &rule.verdict
                && let Some(map) = way.map()
                && !maps.contains(map)
            {
                let what = format!("map {map:?} is not in the ident file");
                let line = rule.line;
                missing.push(Mistake { line, what });
            }
        }
        missing
    }

    /// How many rules there are.
    #[must_use]
    pub fn len(&self) -> usize {
        self.0.len()
    }

    /// Whether there is none: everybody is refused.
    #[must_use]
    pub fn is_empty(&self) -> bool {
        self.0.is_empty()
    }
}

impl Rule {
    fn fits(&self, attempt: &Attempt<'_>) -> bool {
        self.origin.fits(attempt.channel)
            && self.databases.fit(attempt)
            && self.users.fit(attempt.user)
    }
}

impl Origin {
    fn fits(self, channel: Channel) -> bool {
        match (self, channel) {
            (Self::Local, Channel::Local) => true,
            (Self::Host(Transport::Any | Transport::Plain, addresses), Channel::Plain(address))
            | (Self::Host(Transport::Any | Transport::Tls, addresses), Channel::Tls(address)) => {
                addresses.contain(address)
            }
            _ => false,
        }
    }
}

#[cfg(test)]
mod tests;
