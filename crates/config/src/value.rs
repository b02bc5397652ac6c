//! The types a key can have: how each is read from text or from a typed value, and printed.

pub(crate) mod basic;
pub(crate) mod ciphers;
pub(crate) mod endpoint;
pub(crate) mod name;
pub(crate) mod per_host;
pub(crate) mod pgbouncer;
pub(crate) mod size;
pub(crate) mod time;
pub(crate) mod tls;
pub(crate) mod words;

use toml_writer::{ToTomlValue, TomlStringBuilder};

/// A value as a format gave it, before its key said what it should be.
#[derive(Clone, PartialEq)]
pub(crate) enum Raw {
    Text(String),
    Number(i64),
    Decimal(f64),
    Bool(bool),
    List(Vec<Raw>),
    /// The rest of a line in PgBouncer's ini, where numbers and times have a notation of their own.
    Ini(String),
    /// A value of a connection string there, where they have yet another.
    Connect(String),
    /// Something no key takes (a date, a table), in words.
    Other(&'static str),
}

impl Raw {
    /// What it is, for a message. Does not tell the content, which may be a secret.
    pub(crate) fn kind(&self) -> &'static str {
        match self {
            Raw::Text(_) | Raw::Ini(_) | Raw::Connect(_) => "text",
            Raw::Number(_) => "a number",
            Raw::Decimal(_) => "a decimal number",
            Raw::Bool(_) => "true or false",
            Raw::List(_) => "a list",
            Raw::Other(what) => what,
        }
    }
}

/// How a value is written in TOML.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(crate) enum Shape {
    Text,
    Bare,
    List,
}

/// The type of a key. What `to_text` prints, `from_text` reads as the same value.
pub(crate) trait Value: Sized + Clone + PartialEq {
    /// What is expected, as it reads in `expected …` and in the reference.
    const KIND: &'static str;
    const SHAPE: Shape = Shape::Text;
    /// Whether empty text means that an optional key has no value.
    const EMPTY_IS_ABSENT: bool = false;

    fn from_text(text: &str) -> Result<Self, String>;

    /// As PgBouncer's `[pgbouncer]` has it.
    fn from_ini(text: &str) -> Result<Self, String> {
        Self::from_text(text)
    }

    /// As PgBouncer's connection strings have it.
    fn from_connect(text: &str) -> Result<Self, String> {
        Self::from_ini(text)
    }

    /// A value of any format.
    fn read(raw: &Raw) -> Result<Self, String> {
        match raw {
            Raw::Ini(text) => Self::from_ini(text),
            Raw::Connect(text) => Self::from_connect(text),
            typed => Self::from_raw(typed),
        }
    }

    /// Formats that know types hand those over; what `Raw` kinds a type takes beyond text, it says
    /// here.
    fn from_raw(raw: &Raw) -> Result<Self, String> {
        match raw {
            Raw::Text(text) => Self::from_text(text),
            other => Err(unexpected::<Self>(other)),
        }
    }

    /// `None`: nothing to show, or nothing that may be shown.
    fn to_text(&self) -> Option<String>;

    /// The value as PgBouncer's `SHOW CONFIG` prints it, where that is something else.
    fn to_ini(&self) -> Option<String> {
        self.to_text()
    }

    /// The value as it is written in TOML, secrets included; `None`: there is none.
    fn to_toml(&self) -> Option<String> {
        self.to_text().map(|text| toml_text(&text))
    }
}

pub(crate) fn unexpected<T: Value>(raw: &Raw) -> String {
    format!("expected {}, found {}", T::KIND, raw.kind())
}

pub(crate) fn expected<T: Value>(text: &str) -> String {
    format!("expected {}, found \"{}\"", T::KIND, text.escape_debug())
}

/// A text in TOML, with the quotes and escapes it needs.
pub(crate) fn toml_text(text: &str) -> String {
    TomlStringBuilder::new(text).as_default().to_toml_value()
}

impl<T: Value> Value for Option<T> {
    const KIND: &'static str = T::KIND;
    const SHAPE: Shape = T::SHAPE;

    fn from_text(text: &str) -> Result<Self, String> {
        if T::EMPTY_IS_ABSENT && text.is_empty() {
            return Ok(None);
        }
        T::from_text(text).map(Some)
    }

    fn from_ini(text: &str) -> Result<Self, String> {
        if T::EMPTY_IS_ABSENT && text.is_empty() {
            return Ok(None);
        }
        T::from_ini(text).map(Some)
    }

    fn from_connect(text: &str) -> Result<Self, String> {
        T::from_connect(text).map(Some)
    }

    fn from_raw(raw: &Raw) -> Result<Self, String> {
        match raw {
            Raw::Text(text) => Self::from_text(text),
            other => T::from_raw(other).map(Some),
        }
    }

    fn to_text(&self) -> Option<String> {
        self.as_ref().and_then(T::to_text)
    }

    fn to_ini(&self) -> Option<String> {
        self.as_ref().and_then(T::to_ini)
    }

    fn to_toml(&self) -> Option<String> {
        self.as_ref().and_then(T::to_toml)
    }
}
