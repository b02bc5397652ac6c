//! Where something answers over HTTP.

use std::fmt;

use pgweir_auth::Secret;

use super::basic::Item;
use super::{Value, expected, toml_text};
use crate::host::Host;
use crate::percent::{decode, encode};

/// An address of `http://` or `https://`, without a path. Whoever has it printed does not see the password.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Endpoint {
    /// Whether it is spoken to in TLS.
    pub https: bool,
    /// Who we say we are.
    pub login: Option<Login>,
    /// Name or address, without brackets.
    pub host: String,
    /// Port.
    pub port: u16,
}

/// A user and its password, for HTTP's Basic authentication (RFC 7617).
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Login {
    /// Who, without a colon.
    pub user: String,
    /// What proves it.
    pub password: Secret,
}

impl fmt::Display for Endpoint {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "{}{}", self.scheme(), self.authority())
    }
}

impl Endpoint {
    fn scheme(&self) -> &'static str {
        if self.https { "https://" } else { "http://" }
    }

    /// Host and port, as they stand in a URL.
    pub fn authority(&self) -> String {
        let (host, port) = (&self.host, self.port);
        if host.contains(':') {
            format!("[{host}]:{port}")
        } else {
            format!("{host}:{port}")
        }
    }
}

impl Value for Endpoint {
    const KIND: &'static str =
        "an address (\"http://10.0.0.1:8008\", \"https://user:password@10.0.0.1:8008\")";

    fn from_text(text: &str) -> Result<Self, String> {
        let (https, place) = None
            .or_else(|| Some((true, text.strip_prefix("https://")?)))
            .or_else(|| Some((false, text.strip_prefix("http://")?)))
            // What is none may have a password in it as well.
            .ok_or_else(|| match text.contains('@') {
                true => format!("expected {}", Self::KIND),
                false => expected::<Self>(text),
            })?;
        let (login, place) = match place.rsplit_once('@') {
            Some((login, place)) => (Some(Login::from_text(login)?), place),
            None => (None, place),
        };
        let place = place.strip_suffix('/').unwrap_or(place);
        match place.parse::<Host>().map_err(|error| error.to_string())? {
            Host::Tcp { name, port } => Ok(Self {
                https,
                login,
                host: name,
                port,
            }),
            Host::Unix { .. } => Err(expected::<Self>(place)),
        }
    }

    fn to_text(&self) -> Option<String> {
        Some(self.to_string())
    }

    fn to_toml(&self) -> Option<String> {
        let login = self.login.as_ref().map(Login::to_text).unwrap_or_default();
        Some(toml_text(&format!(
            "{}{login}{}",
            self.scheme(),
            self.authority()
        )))
    }
}

impl Item for Endpoint {
    const LIST_KIND: &'static str = "a list of addresses (\"http://10.0.0.1:8008\")";
}

impl Login {
    fn from_text(text: &str) -> Result<Self, String> {
        let message = "expected user:password in front of the @, each with %3A for : and %40 for @";
        let (user, password) = text.split_once(':').ok_or(message)?;
        let part = |text: &str| match decode(text) {
            Ok(Some(text)) => Ok(text),
            _ => Err(message.to_owned()),
        };
        Ok(Self {
            user: part(user)?,
            password: Secret::plain(&part(password)?),
        })
    }

    /// As it stands in a URL, `@` and all.
    fn to_text(&self) -> String {
        let password = self.password.to_text();
        format!("{}:{}@", encode(&self.user), encode(&password))
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn addresses_read_as_they_print() {
        for (text, host, port) in [
            ("http://10.0.0.1:8008", "10.0.0.1", 8008),
            ("http://[::1]:8008/", "::1", 8008),
            ("https://pg-1:443", "pg-1", 443),
        ] {
            let endpoint = Endpoint::from_text(text).expect("it is one");
            assert_eq!((endpoint.host.as_str(), endpoint.port), (host, port));
            assert_eq!(endpoint.https, text.starts_with("https"));
            assert_eq!(Endpoint::from_text(&endpoint.to_string()), Ok(endpoint));
        }
        for text in [
            "ftp://a:1",
            "a:1",
            "http://a:1/path",
            "http:///tmp",
            "http://",
            "http://user@a:1",
            "http://us%er:x@a:1",
        ] {
            assert!(Endpoint::from_text(text).is_err(), "{text}");
        }
    }

    #[test]
    fn nobody_is_shown_the_password() {
        let text = "https://weir:s%3Ae%40cret%20x@pg-1:8008";
        let endpoint = Endpoint::from_text(text).expect("it is one");
        let login = endpoint.login.as_ref().expect("it has one");
        assert_eq!(login.user, "weir");
        assert_eq!(*login.password.to_text(), "s:e@cret x");
        assert_eq!(endpoint.to_string(), "https://pg-1:8008");
        assert_eq!(
            endpoint.to_text().as_deref(),
            Some("https://pg-1:8008"),
            "what a reload says has changed"
        );
        assert!(!format!("{endpoint:?}").contains("cret x"));
        assert_eq!(endpoint.to_toml(), Some(format!("\"{text}\"")));
        for wrong in ["weir:s3cret@pg-1:8008", "http://weir:s3cret@/tmp"] {
            let error = Endpoint::from_text(wrong).expect_err("none");
            assert!(!error.contains("s3cret"), "{error}");
        }
    }
}
