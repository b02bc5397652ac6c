//! Names that may be left empty, which is as good as not giving them.

use std::ops::Deref;

use super::{Value, expected};

/// The name of something, never empty: where a key takes one, `""` is none.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Name(String);

impl Deref for Name {
    type Target = str;

    fn deref(&self) -> &str {
        &self.0
    }
}

impl Value for Name {
    const KIND: &'static str = "a name";
    const EMPTY_IS_ABSENT: bool = true;

    fn from_text(text: &str) -> Result<Self, String> {
        if text.is_empty() || text.contains('\0') {
            return Err(expected::<Self>(text));
        }
        Ok(Self(text.to_owned()))
    }

    fn to_text(&self) -> Option<String> {
        Some(self.0.clone())
    }
}
