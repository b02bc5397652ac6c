//! Words about TLS.

use super::words::words;
use super::{Raw, Value, unexpected};

words! {
    /// Whether a connection is encrypted and whose certificate is believed: libpq's names and
    /// meanings.
    pub enum SslMode, "one of disable, allow, prefer, require, verify-ca, verify-full" {
        /// Never TLS.
        Disable = "disable",
        /// TLS if the other side insists.
        Allow = "allow",
        /// TLS if the other side can.
        Prefer = "prefer",
        /// TLS, whoever it is.
        Require = "require",
        /// TLS, with a certificate of a known authority.
        VerifyCa = "verify-ca",
        /// TLS, with a certificate of a known authority for this very host.
        VerifyFull = "verify-full",
    }
}

impl SslMode {
    /// Whether a certificate of the other side is asked for and checked.
    pub fn verifies(self) -> bool {
        matches!(self, SslMode::VerifyCa | SslMode::VerifyFull)
    }
}

/// The versions of TLS that are spoken. Invariant: at least one.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct TlsProtocols {
    tls12: bool,
    tls13: bool,
}

impl TlsProtocols {
    /// Whether TLS 1.2 is spoken.
    pub fn tls12(self) -> bool {
        self.tls12
    }

    /// Whether TLS 1.3 is spoken.
    pub fn tls13(self) -> bool {
        self.tls13
    }

    fn read_words<'a>(words: impl Iterator<Item = &'a str>) -> Result<Self, String> {
        let mut read = TlsProtocols {
            tls12: false,
            tls13: false,
        };
        for word in words.map(str::trim) {
            match word {
                "secure" | "all" => {
                    read = TlsProtocols {
                        tls12: true,
                        tls13: true,
                    }
                }
                "tlsv1.2" => read.tls12 = true,
                "tlsv1.3" => read.tls13 = true,
                "tlsv1.0" | "tlsv1.1" => {
                    return Err(format!(
                        "{word} is not spoken: it is broken; use tlsv1.2 or tlsv1.3"
                    ));
                }
                other => return Err(super::expected::<Self>(other)),
            }
        }
        if read.tls12 || read.tls13 {
            Ok(read)
        } else {
            Err("no version of TLS is named".to_owned())
        }
    }
}

impl Value for TlsProtocols {
    const KIND: &'static str = "\"secure\" (1.2 and 1.3), or a list of tlsv1.2, tlsv1.3";

    fn from_text(text: &str) -> Result<Self, String> {
        Self::read_words(text.split(','))
    }

    fn from_ini(text: &str) -> Result<Self, String> {
        let text = text.to_ascii_lowercase();
        let words = text.split([',', ':']).map(|word| match word.trim() {
            "default" => "secure",
            word => word,
        });
        Self::read_words(words)
    }

    fn from_raw(raw: &Raw) -> Result<Self, String> {
        match raw {
            Raw::Text(text) => Self::from_text(text),
            Raw::List(items) => {
                let words = items.iter().map(|item| match item {
                    Raw::Text(text) => Ok(text.as_str()),
                    other => Err(unexpected::<Self>(other)),
                });
                Self::read_words(words.collect::<Result<Vec<_>, _>>()?.into_iter())
            }
            other => Err(unexpected::<Self>(other)),
        }
    }

    fn to_text(&self) -> Option<String> {
        Some(
            match (self.tls12, self.tls13) {
                (true, false) => "tlsv1.2",
                (false, true) => "tlsv1.3",
                _ => "secure",
            }
            .to_owned(),
        )
    }
}
