//! Amounts of memory.

use std::fmt;

use super::pgbouncer::integer;
use super::{Raw, Value, expected, unexpected};

/// An amount of memory. Units are PostgreSQL's: 1 kB is 1024 bytes.
#[derive(Debug, Clone, Copy, PartialEq, Eq, PartialOrd, Ord, Default)]
pub struct Size(u32);

const UNITS: [(&str, u64); 3] = [("GB", 1 << 30), ("MB", 1 << 20), ("kB", 1 << 10)];

impl Size {
    /// In bytes.
    pub fn bytes(self) -> u32 {
        self.0
    }

    /// So many bytes.
    pub const fn of_bytes(bytes: u32) -> Self {
        Size(bytes)
    }
}

impl fmt::Display for Size {
    /// In the largest unit that says it exactly: `64kB`, `1000`.
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        let bytes = u64::from(self.0);
        let unit = UNITS
            .iter()
            .find(|(_, size)| bytes >= *size && bytes.is_multiple_of(*size));
        match unit {
            Some((name, size)) => write!(f, "{}{name}", bytes / size),
            None => write!(f, "{bytes}"),
        }
    }
}

impl Value for Size {
    const KIND: &'static str = "a size (\"64kB\", \"1MB\", or a number of bytes)";

    fn from_text(text: &str) -> Result<Self, String> {
        let read = || {
            let digits = text
                .find(|c: char| !c.is_ascii_digit())
                .unwrap_or(text.len());
            let (number, unit) = text.split_at(digits);
            let factor = match unit.trim_start() {
                "" if unit.is_empty() => 1,
                "B" => 1,
                unit => UNITS.iter().find(|(name, _)| *name == unit)?.1,
            };
            let bytes = number.parse::<u64>().ok()?.checked_mul(factor)?;
            u32::try_from(bytes).ok().map(Size)
        };
        read().ok_or_else(|| expected::<Self>(text))
    }

    fn from_ini(text: &str) -> Result<Self, String> {
        let bytes = integer(text).and_then(|number| u32::try_from(number).ok());
        let found = text.escape_debug();
        bytes
            .map(Size)
            .ok_or_else(|| format!("expected a number of bytes, found \"{found}\""))
    }

    fn from_raw(raw: &Raw) -> Result<Self, String> {
        match raw {
            Raw::Text(text) => Self::from_text(text),
            Raw::Number(number) => Self::from_text(&number.to_string()),
            other => Err(unexpected::<Self>(other)),
        }
    }

    /// In bytes, as PgBouncer prints it.
    fn to_text(&self) -> Option<String> {
        Some(self.0.to_string())
    }

    fn to_toml(&self) -> Option<String> {
        let text = self.to_string();
        let is_number = text.bytes().all(|byte| byte.is_ascii_digit());
        Some(if is_number {
            text
        } else {
            super::toml_text(&text)
        })
    }
}
