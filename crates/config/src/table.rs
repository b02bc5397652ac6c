//! One table for each section: what its keys are called, hold, default to and mean.
//!
//! `table!` writes a struct and the list of its keys from the same lines, so reading a file, `SET`,
//! `SHOW CONFIG`, differences and the reference cannot disagree.

use crate::value::{Raw, Shape};

/// What has to happen before a changed value is in force.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(crate) enum Applies {
    /// Nothing: it counts from the next time it is asked for.
    AtOnce,
    /// Server connections made before must give way to new ones.
    Reconnect,
    /// The process starts again.
    Restart,
}

/// One key of the section whose values lie in `T`.
pub(crate) struct Key<T: 'static> {
    pub(crate) name: &'static str,
    /// As one would write it; `None`: no value, or one from elsewhere.
    #[cfg_attr(
        not(test),
        expect(dead_code, reason = "the reference is written by a test")
    )]
    pub(crate) default: Option<&'static str>,
    /// What PgBouncer's files have in its place where they say nothing.
    pub(crate) ini_default: Option<&'static str>,
    /// A value to show in the reference, in TOML, where there is no default.
    #[cfg_attr(
        not(test),
        expect(dead_code, reason = "the reference is written by a test")
    )]
    pub(crate) example: Option<&'static str>,
    #[cfg_attr(
        not(test),
        expect(dead_code, reason = "the reference is written by a test")
    )]
    pub(crate) doc: &'static str,
    #[cfg_attr(
        not(test),
        expect(dead_code, reason = "the reference is written by a test")
    )]
    pub(crate) kind: &'static str,
    #[cfg_attr(
        not(test),
        expect(dead_code, reason = "the reference is written by a test")
    )]
    pub(crate) shape: Shape,
    pub(crate) applies: Applies,
    /// Reads a value into its field; the message of a failure names no key.
    pub(crate) assign: fn(&mut T, &Raw) -> Result<(), String>,
    /// The value as `SHOW CONFIG` prints it.
    pub(crate) text: fn(&T) -> Option<String>,
    /// The value as PgBouncer's prints it.
    pub(crate) ini: fn(&T) -> Option<String>,
    /// The value as it is written in TOML, secrets included; `None`: there is none.
    pub(crate) toml: fn(&T) -> Option<String>,
    pub(crate) same: fn(&T, &T) -> bool,
    /// Takes the value of the second into the first.
    pub(crate) copy: fn(&mut T, &T),
}

/// A struct that is a section.
pub(crate) trait Table: Default + Clone + 'static {
    const KEYS: &'static [Key<Self>];

    fn key(name: &str) -> Option<&'static Key<Self>> {
        Self::KEYS.iter().find(|key| key.name == name)
    }

    /// Keys whose values differ, in the order of the table.
    fn differing<'a>(&'a self, other: &'a Self) -> impl Iterator<Item = &'static Key<Self>> + 'a {
        Self::KEYS
            .iter()
            .filter(move |key| !(key.same)(self, other))
    }
}

/// The value a field begins with: what the table says, or what its type begins with.
macro_rules! initial {
    ($ty:ty) => {
        <$ty>::default()
    };
    ($ty:ty, $default:literal) => {
        <$ty as $crate::value::Value>::from_text($default).expect("defaults are read by a test")
    };
}

/// `None`, or the literal there is.
macro_rules! optional {
    () => {
        None
    };
    ($literal:literal) => {
        Some($literal)
    };
}

/// Each line: documentation, `name: Type`, then `= "default"` (and `, ini "…"` where PgBouncer's
/// files have another) or `as "example, in TOML"`, and what
/// a change asks for.
macro_rules! table {
    (
        $(#[$meta:meta])*
        pub struct $name:ident {
            $(
                $(#[doc = $doc:literal])+
                $field:ident: $ty:ty $(= $default:literal $(, ini $ini:literal)?)? $(as $example:literal)? => $applies:ident;
            )+
        }
    ) => {
        $(#[$meta])*
        #[derive(Debug, Clone, PartialEq)]
        pub struct $name {
            $( $(#[doc = $doc])+ pub $field: $ty, )+
        }

        impl Default for $name {
            fn default() -> Self {
                $name { $( $field: $crate::table::initial!($ty $(, $default)?), )+ }
            }
        }

        impl $crate::table::Table for $name {
            const KEYS: &'static [$crate::table::Key<$name>] = &[ $(
                $crate::table::Key {
                    name: stringify!($field),
                    default: $crate::table::optional!($($default)?),
                    ini_default: $crate::table::optional!($($($ini)?)?),
                    example: $crate::table::optional!($($example)?),
                    doc: concat!($($doc, "\n"),+),
                    kind: <$ty as $crate::value::Value>::KIND,
                    shape: <$ty as $crate::value::Value>::SHAPE,
                    applies: $crate::table::Applies::$applies,
                    assign: |section, raw| {
                        section.$field = <$ty as $crate::value::Value>::read(raw)?;
                        Ok(())
                    },
                    text: |section| $crate::value::Value::to_text(&section.$field),
                    ini: |section| $crate::value::Value::to_ini(&section.$field),
                    toml: |section| $crate::value::Value::to_toml(&section.$field),
                    same: |one, other| one.$field == other.$field,
                    copy: |to, from| to.$field.clone_from(&from.$field),
                },
            )+ ];
        }
    };
}

pub(crate) use {initial, optional, table};
