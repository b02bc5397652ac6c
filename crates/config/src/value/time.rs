//! Lengths of time.

use std::time::Duration;

use super::pgbouncer::{decimal, integer, seconds};
use super::{Raw, Shape, Value, expected, unexpected};

/// Longest time that may be configured, in seconds: 68 years, so that adding it to a clock never
/// overflows.
const SECONDS_MAX: u64 = i32::MAX as u64;

const NANOS: [(&str, u64); 6] = [
    ("us", 1_000),
    ("ms", 1_000_000),
    ("s", 1_000_000_000),
    ("min", 60_000_000_000),
    ("h", 3_600_000_000_000),
    ("d", 86_400_000_000_000),
];

impl Value for Duration {
    const KIND: &'static str =
        "a duration (\"500ms\", \"30s\", \"5min\", \"1h\", or a number of seconds)";

    fn from_text(text: &str) -> Result<Self, String> {
        read(text, 1_000_000_000).ok_or_else(|| expected::<Self>(text))
    }

    fn from_ini(text: &str) -> Result<Self, String> {
        let time = seconds(text).filter(|time| time.as_secs() <= SECONDS_MAX);
        let found = text.escape_debug();
        time.ok_or_else(|| {
            format!("expected seconds without a unit (\"15\", \"0.5\"), found \"{found}\"")
        })
    }

    fn from_connect(text: &str) -> Result<Self, String> {
        let time = decimal(text).and_then(|number| u64::try_from(number).ok());
        let time = time.filter(|seconds| *seconds <= SECONDS_MAX);
        let found = text.escape_debug();
        time.map(Duration::from_secs)
            .ok_or_else(|| format!("expected whole seconds, found \"{found}\""))
    }

    fn from_raw(raw: &Raw) -> Result<Self, String> {
        match raw {
            Raw::Text(text) => Self::from_text(text),
            Raw::Number(number) => Self::from_text(&number.to_string()),
            Raw::Decimal(number) => Self::from_text(&number.to_string()),
            other => Err(unexpected::<Self>(other)),
        }
    }

    /// Seconds without a unit, as PgBouncer prints them: `600`, `0.5`.
    fn to_text(&self) -> Option<String> {
        let text = format!("{}.{:09}", self.as_secs(), self.subsec_nanos());
        Some(text.trim_end_matches('0').trim_end_matches('.').to_owned())
    }

    /// In the largest unit that says it exactly.
    fn to_toml(&self) -> Option<String> {
        if self.is_zero() {
            return Some("0".to_owned());
        }
        let nanos = self.as_nanos();
        let whole = |(_, unit): &&(&str, u64)| nanos.is_multiple_of(u128::from(*unit));
        match NANOS.iter().rev().find(whole) {
            Some((name, unit)) => Some(format!("\"{}{name}\"", nanos / u128::from(*unit))),
            None => self.to_text().map(|seconds| format!("\"{seconds}s\"")),
        }
    }
}

/// A length of time whose plain number means milliseconds, as PgBouncer and the kernel have it.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Default)]
pub struct Millis(u32);

impl Millis {
    /// As a duration.
    pub fn duration(self) -> Duration {
        Duration::from_millis(self.0.into())
    }
}

impl Value for Millis {
    const KIND: &'static str = "a duration (\"500ms\", \"30s\", or a number of milliseconds)";
    const SHAPE: Shape = Shape::Text;

    fn from_text(text: &str) -> Result<Self, String> {
        read(text, 1_000_000)
            .filter(|time| time.subsec_nanos().is_multiple_of(1_000_000))
            .and_then(|time| u32::try_from(time.as_millis()).ok())
            .map(Millis)
            .ok_or_else(|| expected::<Self>(text))
    }

    fn from_ini(text: &str) -> Result<Self, String> {
        let time = integer(text).and_then(|number| u32::try_from(number).ok());
        let found = text.escape_debug();
        time.map(Millis)
            .ok_or_else(|| format!("expected whole milliseconds, found \"{found}\""))
    }

    fn from_raw(raw: &Raw) -> Result<Self, String> {
        match raw {
            Raw::Text(text) => Self::from_text(text),
            Raw::Number(number) => Self::from_text(&number.to_string()),
            other => Err(unexpected::<Self>(other)),
        }
    }

    /// Milliseconds without a unit, as PgBouncer prints them.
    fn to_text(&self) -> Option<String> {
        Some(self.0.to_string())
    }

    fn to_toml(&self) -> Option<String> {
        self.duration().to_toml()
    }
}

/// `digits[.digits][unit]`; exact, so that what is printed is read as the same.
fn read(text: &str, nanos_without_unit: u64) -> Option<Duration> {
    let digits = text
        .find(|c: char| !c.is_ascii_digit() && c != '.')
        .unwrap_or(text.len());
    let (number, unit) = text.split_at(digits);
    let unit_nanos = match unit.trim_start() {
        "" if unit.is_empty() => nanos_without_unit,
        unit => NANOS.iter().find(|(name, _)| *name == unit)?.1,
    };
    let (whole, fraction) = number.split_once('.').unwrap_or((number, "0"));
    if whole.is_empty() || fraction.is_empty() || fraction.len() > 9 {
        return None;
    }
    let whole: u64 = whole.parse().ok()?;
    let scale = 10_u128.pow(fraction.len() as u32);
    let fraction: u64 = fraction.parse().ok()?;
    let units = u128::from(whole) * scale + u128::from(fraction);
    let nanos = units.checked_mul(u128::from(unit_nanos))? / scale;
    let seconds = u64::try_from(nanos / 1_000_000_000).ok()?;
    if seconds > SECONDS_MAX {
        return None;
    }
    Some(Duration::new(seconds, (nanos % 1_000_000_000) as u32))
}
