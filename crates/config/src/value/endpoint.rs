//! Where something answers over HTTP.

use std::fmt;

use super::basic::Item;
use super::{Value, expected};
use crate::host::Host;

/// An address of `http://`, without a path.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Endpoint {
    /// Name or address, without brackets.
    pub host: String,
    /// Port.
    pub port: u16,
}

impl fmt::Display for Endpoint {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "http://{}", self.authority())
    }
}

impl Endpoint {
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
    const KIND: &'static str = "an address (\"http://10.0.0.1:8008\")";

    fn from_text(text: &str) -> Result<Self, String> {
        let place = text.strip_prefix("http://");
        let place = place.ok_or_else(|| expected::<Self>(text))?;
        let place = place.strip_suffix('/').unwrap_or(place);
        match place.parse::<Host>().map_err(|error| error.to_string())? {
            Host::Tcp { name, port } => Ok(Self { host: name, port }),
            Host::Unix { .. } => Err(expected::<Self>(text)),
        }
    }

    fn to_text(&self) -> Option<String> {
        Some(self.to_string())
    }
}

impl Item for Endpoint {
    const LIST_KIND: &'static str = "a list of addresses (\"http://10.0.0.1:8008\")";
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn addresses_read_as_they_print() {
        for (text, host, port) in [
            ("http://10.0.0.1:8008", "10.0.0.1", 8008),
            ("http://[::1]:8008/", "::1", 8008),
        ] {
            let endpoint = Endpoint::from_text(text).expect("it is one");
            assert_eq!((endpoint.host.as_str(), endpoint.port), (host, port));
            assert_eq!(Endpoint::from_text(&endpoint.to_string()), Ok(endpoint));
        }
        for text in [
            "https://a:1",
            "a:1",
            "http://a:1/path",
            "http:///tmp",
            "http://",
        ] {
            assert!(Endpoint::from_text(text).is_err(), "{text}");
        }
    }
}
