//! Numbers, switches, texts, paths, lists.

use std::path::PathBuf;

use super::pgbouncer::{decimal, integer};
use super::{Raw, Shape, Value, expected, unexpected};
use crate::host::Host;

macro_rules! number {
    ($type:ty, $kind:literal) => {
        impl Value for $type {
            const KIND: &'static str = $kind;
            const SHAPE: Shape = Shape::Bare;

            fn from_text(text: &str) -> Result<Self, String> {
                // `+5` is a number to Rust and a slip to everybody else.
                if text.is_empty() || !text.bytes().all(|byte| byte.is_ascii_digit()) {
                    return Err(expected::<Self>(text));
                }
                text.parse().map_err(|_| expected::<Self>(text))
            }

            fn from_ini(text: &str) -> Result<Self, String> {
                let number = integer(text).and_then(|number| Self::try_from(number).ok());
                number.ok_or_else(|| expected::<Self>(text))
            }

            fn from_connect(text: &str) -> Result<Self, String> {
                let number = decimal(text).and_then(|number| Self::try_from(number).ok());
                number.ok_or_else(|| expected::<Self>(text))
            }

            fn from_raw(raw: &Raw) -> Result<Self, String> {
                match raw {
                    Raw::Text(text) => Self::from_text(text),
                    Raw::Number(number) => Self::try_from(*number)
                        .map_err(|_| format!("expected {}, found {number}", Self::KIND)),
                    other => Err(unexpected::<Self>(other)),
                }
            }

            fn to_text(&self) -> Option<String> {
                Some(self.to_string())
            }

            fn to_toml(&self) -> Option<String> {
                self.to_text()
            }
        }
    };
}

number!(u16, "a whole number from 0 to 65535");
number!(u32, "a whole number from 0 to 4294967295");

impl Value for bool {
    const KIND: &'static str = "true or false";
    const SHAPE: Shape = Shape::Bare;

    fn from_text(text: &str) -> Result<Self, String> {
        match text {
            "1" | "true" | "on" | "yes" => Ok(true),
            "0" | "false" | "off" | "no" => Ok(false),
            other => Err(expected::<Self>(other)),
        }
    }

    fn from_ini(text: &str) -> Result<Self, String> {
        match integer(text) {
            Some(0) => Ok(false),
            Some(1) => Ok(true),
            _ => Err(format!(
                "expected 0 or 1, found \"{}\"",
                text.escape_debug()
            )),
        }
    }

    fn from_raw(raw: &Raw) -> Result<Self, String> {
        match raw {
            Raw::Bool(value) => Ok(*value),
            Raw::Number(0) => Ok(false),
            Raw::Number(1) => Ok(true),
            Raw::Text(text) => Self::from_text(text),
            other => Err(unexpected::<Self>(other)),
        }
    }

    /// As PgBouncer's `SHOW CONFIG` prints it.
    fn to_text(&self) -> Option<String> {
        Some(u8::from(*self).to_string())
    }

    fn to_toml(&self) -> Option<String> {
        Some(self.to_string())
    }
}

impl Value for String {
    const KIND: &'static str = "text";

    fn from_text(text: &str) -> Result<Self, String> {
        // It ends up in messages of the protocol, where NUL ends a text.
        if text.contains('\0') {
            return Err("contains a NUL character".to_owned());
        }
        Ok(text.to_owned())
    }

    fn to_text(&self) -> Option<String> {
        Some(self.clone())
    }
}

impl Value for PathBuf {
    const KIND: &'static str = "the path of a file";
    const EMPTY_IS_ABSENT: bool = true;

    fn from_text(text: &str) -> Result<Self, String> {
        if text.is_empty() || text.contains('\0') {
            return Err(expected::<Self>(text));
        }
        Ok(PathBuf::from(text))
    }

    fn from_ini(text: &str) -> Result<Self, String> {
        if text.starts_with('~') {
            return Err("\"~\" is not expanded: expected the whole path".to_owned());
        }
        Self::from_text(text)
    }

    fn to_text(&self) -> Option<String> {
        Some(self.to_string_lossy().into_owned())
    }
}

/// What may stand in a list. As text a list is its items with commas between them, so an item has
/// none.
pub(crate) trait Item: Value {
    const LIST_KIND: &'static str;
}

impl Item for String {
    const LIST_KIND: &'static str = "a list of texts";
}

impl Item for Host {
    const LIST_KIND: &'static str =
        "a list of hosts (\"db:5432\", \"[::1]:5432\", \"/socket/dir:5432\")";
}

impl<T: Item> Value for Vec<T> {
    const KIND: &'static str = T::LIST_KIND;
    const SHAPE: Shape = Shape::List;

    fn from_text(text: &str) -> Result<Self, String> {
        if text.trim().is_empty() {
            return Ok(Vec::new());
        }
        all(text.split(',').map(item))
    }

    /// A comma too many is none of an item.
    fn from_ini(text: &str) -> Result<Self, String> {
        let items = text.split(',').map(str::trim);
        all(items.filter(|text| !text.is_empty()).map(T::from_text))
    }

    fn from_raw(raw: &Raw) -> Result<Self, String> {
        match raw {
            Raw::Text(text) => Self::from_text(text),
            Raw::List(items) => all(items.iter().map(|raw| match raw {
                Raw::Text(text) if text.contains(',') => Err(format!(
                    "\"{}\" contains a comma: write the items of a list one by one",
                    text.escape_debug()
                )),
                Raw::Text(text) => item(text),
                other => Err(unexpected::<T>(other)),
            })),
            other => Err(unexpected::<Self>(other)),
        }
    }

    fn to_text(&self) -> Option<String> {
        let items: Vec<String> = self.iter().filter_map(T::to_text).collect();
        Some(items.join(", "))
    }

    fn to_toml(&self) -> Option<String> {
        let items: Vec<String> = self.iter().filter_map(T::to_toml).collect();
        Some(format!("[{}]", items.join(", ")))
    }
}

/// All items, or all that is wrong with any of them.
pub(crate) fn all<T>(items: impl Iterator<Item = Result<T, String>>) -> Result<Vec<T>, String> {
    let (mut good, mut wrong) = (Vec::new(), Vec::new());
    for item in items {
        match item {
            Ok(item) => good.push(item),
            Err(message) => wrong.push(message),
        }
    }
    if wrong.is_empty() {
        return Ok(good);
    }
    Err(wrong.join("; "))
}

fn item<T: Item>(text: &str) -> Result<T, String> {
    match text.trim() {
        "" => Err("an item of the list is empty".to_owned()),
        text => T::from_text(text),
    }
}

impl Value for Host {
    const KIND: &'static str = "a host (\"db:5432\", \"[::1]:5432\", \"/socket/dir:5432\")";

    fn from_text(text: &str) -> Result<Self, String> {
        text.parse()
            .map_err(|error: crate::BadHost| error.to_string())
    }

    fn to_text(&self) -> Option<String> {
        Some(self.to_string())
    }
}
