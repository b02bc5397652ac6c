//! Where an LDAP directory is and how a user is found in it: what PostgreSQL's `ldap…` options say
//! (auth-ldap).
//!
//! There are two ways. With `ldapprefix` and `ldapsuffix` the name of the entry is made of the
//! user's; with `ldapbasedn`, or an `ldapurl`, it is searched for. Then the password must be the entry's.

use std::fmt;

use zeroize::Zeroizing;

use super::options::Options;

/// A directory that passwords are checked with.
#[derive(Clone, PartialEq, Eq)]
pub struct Directory {
    /// `ldap://host:port` or `ldaps://host:port`: the first that can be reached is asked.
    pub servers: Vec<String>,
    /// Whether `ldap://` connections are encrypted before anything is said.
    pub start_tls: bool,
    /// Which entry a user is.
    pub entry: Entry,
}

/// Which entry of a directory a user is.
#[derive(Clone, PartialEq, Eq)]
pub enum Entry {
    /// The one of this name, with the user's in the middle.
    Named {
        /// What stands before it.
        prefix: String,
        /// What stands behind it.
        suffix: String,
    },
    /// The only one that is found.
    Found {
        /// Where the search begins.
        base: String,
        /// How deep it goes.
        scope: Scope,
        /// What must hold; `$username` stands for the user's name.
        filter: String,
        /// Who searches, and with which password; both empty: nobody in particular.
        searcher: (String, Zeroizing<String>),
    },
}

/// How deep a search goes.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Scope {
    /// The entry that it begins with.
    Base,
    /// The entries right below.
    One,
    /// All below, and that one.
    Sub,
}

impl fmt::Debug for Directory {
    fn fmt(&self, out: &mut fmt::Formatter<'_>) -> fmt::Result {
        out.debug_struct("Directory")
            .field("servers", &self.servers)
            .finish_non_exhaustive()
    }
}

/// What stands for the user's name in a filter.
pub const USER_NAME: &str = "$username";

/// What an `ldapurl` says: `scheme://host:port/base?attribute?scope?filter`.
#[derive(Default)]
struct Url {
    scheme: String,
    host: String,
    port: String,
    base: String,
    attribute: String,
    scope: String,
    filter: String,
}

impl Directory {
    /// What the options say together.
    ///
    /// # Errors
    /// All that is wrong. Values are not repeated: one may be a password in the wrong place.
    pub(super) fn of(options: &Options) -> Result<Self, Vec<String>> {
        let mut wrong = Vec::new();
        let url = match options.value("ldapurl").map(url) {
            Some(Ok(url)) => Some(url),
            Some(Err(message)) => return Err(vec![message.to_owned()]),
            None => None,
        };
        let servers = servers(options, url.as_ref(), &mut wrong);
        let start_tls = match options.value("ldaptls") {
            None | Some("0") => false,
            Some("1") => true,
            Some(_) => {
                wrong.push("option \"ldaptls\" must be 0 or 1".to_owned());
                false
            }
        };
        let entry = entry(options, url, &mut wrong);
        match entry {
            Some(entry) if wrong.is_empty() => Ok(Self {
                servers,
                start_tls,
                entry,
            }),
            _ => Err(wrong),
        }
    }
}

fn servers(options: &Options, url: Option<&Url>, wrong: &mut Vec<String>) -> Vec<String> {
    let given = |key: &str, of_url: fn(&Url) -> &String| {
        let own = options.value(key).map(str::to_owned);
        let of_url = url.map(|url| of_url(url).clone());
        own.or(of_url).filter(|value| !value.is_empty())
    };
    let scheme = given("ldapscheme", |url| &url.scheme).unwrap_or_else(|| "ldap".to_owned());
    if !matches!(&*scheme, "ldap" | "ldaps") {
        wrong.push("option \"ldapscheme\" must be ldap or ldaps".to_owned());
    }
    let port = given("ldapport", |url| &url.port);
    let port = port.unwrap_or_else(|| if scheme == "ldaps" { "636" } else { "389" }.to_owned());
    if port.parse::<u16>().is_err() || port == "0" {
        wrong.push("option \"ldapport\" must be a port from 1 to 65535".to_owned());
    }
    let hosts = given("ldapserver", |url| &url.host).unwrap_or_default();
    let bracketed = |host: &str| {
        if host.contains(':') && !host.starts_with('[') {
            format!("[{host}]")
        } else {
            host.to_owned()
        }
    };
    let servers: Vec<String> = hosts
        .split_ascii_whitespace()
        .map(|host| format!("{scheme}://{}:{port}", bracketed(host)))
        .collect();
    if servers.is_empty() {
        wrong.push("ldap needs ldapserver, or an ldapurl with a host".to_owned());
    }
    servers
}

const OF_NAMES: [&str; 2] = ["ldapprefix", "ldapsuffix"];
const OF_SEARCHES: [&str; 6] = [
    "ldapbasedn",
    "ldapbinddn",
    "ldapbindpasswd",
    "ldapsearchattribute",
    "ldapsearchfilter",
    "ldapurl",
];

fn entry(options: &Options, url: Option<Url>, wrong: &mut Vec<String>) -> Option<Entry> {
    let has = |keys: &[&str]| keys.iter().any(|key| options.value(key).is_some());
    let text = |key: &str| options.value(key).unwrap_or_default().to_owned();
    // A URL may say no more than where the directory is.
    let searches = has(&OF_SEARCHES[..5]) || url.as_ref().is_some_and(|url| !url.base.is_empty());
    match (has(&OF_NAMES), searches) {
        (true, true) => {
            wrong.push(format!(
                "{} go with none of {}",
                OF_NAMES.join(" and "),
                OF_SEARCHES.join(", ")
            ));
            None
        }
        (true, false) => Some(Entry::Named {
            prefix: text("ldapprefix"),
            suffix: text("ldapsuffix"),
        }),
        (false, _) => found(options, url.unwrap_or_default(), wrong),
    }
}

fn found(options: &Options, url: Url, wrong: &mut Vec<String>) -> Option<Entry> {
    let own = |key: &str| options.value(key).filter(|value| !value.is_empty());
    let or = |key: &str, of_url: String| own(key).map_or(of_url, str::to_owned);
    let base = or("ldapbasedn", url.base);
    if base.is_empty() {
        wrong.push("ldap needs ldapbasedn, ldapprefix or ldapsuffix".to_owned());
        return None;
    }
    let scope = match (&*url.scope, own("ldapurl")) {
        ("sub" | "subtree", _) | ("", None) => Scope::Sub,
        ("one" | "onelevel", _) => Scope::One,
        ("base" | "", _) => Scope::Base,
        _ => {
            wrong.push("the scope of \"ldapurl\" must be base, one or sub".to_owned());
            return None;
        }
    };
    let attribute = or("ldapsearchattribute", url.attribute);
    let filter = or("ldapsearchfilter", url.filter);
    if !attribute.is_empty() && own("ldapsearchfilter").is_some() {
        wrong.push("ldapsearchattribute and ldapsearchfilter exclude each other".to_owned());
    }
    let attribute = if attribute.is_empty() {
        "uid"
    } else {
        &attribute
    };
    let filter = if filter.is_empty() {
        format!("({attribute}={USER_NAME})")
    } else {
        filter
    };
    Some(Entry::Found {
        base,
        scope,
        filter,
        searcher: (
            own("ldapbinddn").unwrap_or_default().to_owned(),
            own("ldapbindpasswd").unwrap_or_default().to_owned().into(),
        ),
    })
}

/// Reads an LDAP URL (RFC 4516).
fn url(text: &str) -> Result<Url, &'static str> {
    let bad = "option \"ldapurl\" must be ldap[s]://host[:port]/base[?attribute[?scope[?filter]]]";
    let (scheme, rest) = text.split_once("://").ok_or(bad)?;
    if !matches!(scheme, "ldap" | "ldaps") {
        return Err(bad);
    }
    let (place, path) = rest.split_once('/').unwrap_or((rest, ""));
    // The colons of an IPv6 address stand in brackets.
    let (host, port) = match place.rsplit_once(':') {
        Some((host, port)) if !port.contains(']') => (host, port),
        _ => (place, ""),
    };
    let mut parts = path.splitn(4, '?').map(|part| decoded(part).ok_or(bad));
    let mut next = || parts.next().unwrap_or(Ok(String::new()));
    Ok(Url {
        scheme: scheme.to_owned(),
        host: host.to_owned(),
        port: port.to_owned(),
        base: next()?,
        attribute: next()?,
        scope: next()?,
        filter: next()?,
    })
}

/// Takes `%xx` for the byte that it means.
fn decoded(text: &str) -> Option<String> {
    let mut bytes = Vec::with_capacity(text.len());
    let mut rest = text.as_bytes();
    while let Some((&byte, after)) = rest.split_first() {
        rest = after;
        if byte != b'%' {
            bytes.push(byte);
            continue;
        }
        let (digits, after) = rest.split_first_chunk::<2>()?;
        let digits = std::str::from_utf8(digits).ok()?;
        bytes.push(u8::from_str_radix(digits, 16).ok()?);
        rest = after;
    }
    String::from_utf8(bytes).ok()
}

#[cfg(test)]
mod tests {
    use super::super::ldap_options;
    use super::*;

    fn good(text: &str) -> Directory {
        ldap_options(text).unwrap_or_else(|wrong| panic!("{text}: {wrong:?}"))
    }

    #[test]
    fn names_are_made_or_searched_for() {
        let directory = good("ldapserver=\"a b\" ldapprefix=\"cn=\" ldapsuffix=\",dc=x\"");
        assert_eq!(directory.servers, ["ldap://a:389", "ldap://b:389"]);
        let (prefix, suffix) = ("cn=".to_owned(), ",dc=x".to_owned());
        assert!(directory.entry == Entry::Named { prefix, suffix });
        assert!(!directory.start_tls);

        let check = |text: &str, server: &str, scope: Scope, filter: &str| {
            let directory = good(text);
            assert_eq!(directory.servers, [server], "{text}");
            let Entry::Found {
                base,
                scope: found_scope,
                filter: found_filter,
                ..
            } = directory.entry
            else {
                panic!("{text}")
            };
            assert_eq!((&*base, found_scope), ("dc=x", scope), "{text}");
            assert_eq!(found_filter, filter, "{text}");
        };
        let own = "(uid=$username)";
        let h = "ldap://h:389";
        check("ldapserver=h ldapbasedn=\"dc=x\"", h, Scope::Sub, own);
        check("ldapurl=ldap://h/dc=x", h, Scope::Base, own);
        check("ldapurl=ldap://h/dc%3Dx??one", h, Scope::One, own);
        let s = "ldaps://h:7";
        check(
            "ldapurl=ldaps://h:7/dc=x?cn?sub",
            s,
            Scope::Sub,
            "(cn=$username)",
        );
        let filter = "(&(a=b)(cn=$username))";
        let text = format!("ldapurl=\"ldap://[::1]/dc=x??sub?{filter}\"");
        check(&text, "ldap://[::1]:389", Scope::Sub, filter);
        let text = "ldapserver=::1 ldapscheme=ldaps ldapbasedn=\"dc=x\" ldapsearchattribute=cn";
        check(text, "ldaps://[::1]:636", Scope::Sub, "(cn=$username)");
        assert!(good("ldapurl=ldap://h ldapsuffix=@x ldaptls=1").start_tls);
    }

    #[test]
    fn what_does_not_fit_is_told() {
        let check = |text: &str, expected: &[&str]| {
            let wrong = ldap_options(text).unwrap_err();
            let fits = wrong
                .iter()
                .zip(expected)
                .all(|(wrong, expected)| wrong.contains(expected));
            assert!(fits && wrong.len() == expected.len(), "{text}: {wrong:?}");
        };
        check("", &["needs ldapserver", "needs ldapbasedn"]);
        check("ldapserver=h", &["needs ldapbasedn"]);
        check(
            "ldapserver=h ldapprefix=a ldapbasedn=b",
            &["ldapprefix and ldapsuffix go with none of"],
        );
        check(
            "ldapserver=h ldapbasedn=b ldapport=0 ldapscheme=x ldaptls=2",
            &["ldapscheme", "ldapport", "ldaptls"],
        );
        check(
            "ldapserver=h ldapbasedn=b ldapsearchattribute=c ldapsearchfilter=d",
            &["exclude each other"],
        );
        for url in [
            "h",
            "http://h/dc=x",
            "ldap://h/%",
            "ldap://h/%zz",
            "ldap://h/%ff",
        ] {
            check(&format!("ldapurl={url}"), &["must be ldap[s]://"]);
        }
        check("ldapurl=ldap://h/dc=x??deep", &["the scope of"]);
        check("ldapurl=ldap:///dc=x", &["needs ldapserver"]);
    }
}
