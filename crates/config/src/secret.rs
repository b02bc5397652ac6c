//! What a user proves to know.

pub use pgweir_auth::Secret;

use crate::value::Value;

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
