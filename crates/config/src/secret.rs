//! What a user proves to know.

pub use pgweir_auth::Secret;

use crate::value::Value;

/// A text that nobody is shown, since part of it is a secret. Never empty: where a key takes one, `""`
/// is none.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Hidden(Secret);

impl Hidden {
    /// The text, for whoever it is meant for; never for a log or a message.
    pub fn text(&self) -> impl std::ops::Deref<Target = String> {
        self.0.to_text()
    }
}

impl Value for Hidden {
    const KIND: &'static str = "text";
    const EMPTY_IS_ABSENT: bool = true;

    fn from_text(text: &str) -> Result<Self, String> {
        if text.is_empty() || text.contains('\0') {
            return Err("expected a text, without NUL characters".to_owned());
        }
        Ok(Self(Secret::plain(text)))
    }

    fn to_text(&self) -> Option<String> {
        None
    }

    fn to_toml(&self) -> Option<String> {
        Some(crate::value::toml_text(&self.text()))
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

    fn to_toml(&self) -> Option<String> {
        // Inherent: the secret's own text.
        Some(crate::value::toml_text(&Secret::to_text(self)))
    }
}
