//! What a user proves to know.

use std::fmt;

use crate::value::Value;

/// A secret as it was configured. Never printed.
#[derive(Clone, PartialEq)]
pub struct Secret(String);

impl Secret {
    /// Takes a secret as `auth_file` has it: plain, `md5…` or `SCRAM-SHA-256$…`.
    pub fn parse(text: &str) -> Secret {
        Secret(text.to_owned())
    }

    /// A password, whatever it looks like.
    pub fn plain(text: &str) -> Secret {
        Secret(text.to_owned())
    }
}

impl fmt::Debug for Secret {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str("Secret")
    }
}

impl Value for Secret {
    const KIND: &'static str = "a password, plain or as PostgreSQL stores it";

    fn from_text(text: &str) -> Result<Self, String> {
        if text.contains('\0') {
            return Err("contains a NUL character".to_owned());
        }
        Ok(Secret::parse(text))
    }

    fn to_text(&self) -> Option<String> {
        None
    }
}
