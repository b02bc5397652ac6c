//! Columns as data, and how values go over the wire.

use pgweir_wire::{encode, tag};

use crate::snapshot::{Needs, Snapshot};

/// Type of a column. Its OID and size are those of PostgreSQL's catalogue.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(crate) enum Type {
    Text,
    Bytea,
    Int4,
    Int8,
    Numeric,
}

impl Type {
    pub(crate) fn oid(self) -> u32 {
        match self {
            Self::Text => 25,
            Self::Bytea => 17,
            Self::Int4 => 23,
            Self::Int8 => 20,
            Self::Numeric => 1700,
        }
    }

    /// Bytes of its binary form; -1 if they vary.
    fn size(self) -> i16 {
        match self {
            Self::Text | Self::Bytea | Self::Numeric => -1,
            Self::Int4 => 4,
            Self::Int8 => 8,
        }
    }
}

/// In which form values go to the client.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Default)]
pub enum Format {
    /// As people read them: the only one of the simple protocol.
    #[default]
    Text,
    /// As PostgreSQL's types send them.
    Binary,
}

/// The result formats of a Bind: none means text, one is for all columns, else one for each.
#[derive(Debug, Clone, PartialEq, Eq, Default)]
pub struct Formats(pub Vec<Format>);

impl Formats {
    fn of(&self, column: usize) -> Format {
        match self.0.as_slice() {
            [all] => *all,
            each => each.get(column).copied().unwrap_or_default(),
        }
    }
}

/// One column of a SHOW whose rows are `R`: its name, its type, and where its value comes from.
pub(crate) struct Column<R> {
    name: &'static str,
    value: Accessor<R>,
}

enum Accessor<R> {
    Text(fn(&R) -> &str),
    Nullable(fn(&R) -> Option<&str>),
    /// Always NULL: what there would be is nobody's to see.
    Withheld(Type),
    Made(fn(&R) -> String),
    Int4(fn(&R) -> u64),
    Flag(fn(&R) -> bool),
    Int8(fn(&R) -> u64),
    Maybe(fn(&R) -> Option<u64>),
    Numeric(fn(&R) -> u64),
}

/// A text that is always there.
pub(crate) const fn text<R>(name: &'static str, value: fn(&R) -> &str) -> Column<R> {
    Column {
        name,
        value: Accessor::Text(value),
    }
}

/// A text, or NULL.
pub(crate) const fn nullable<R>(name: &'static str, value: fn(&R) -> Option<&str>) -> Column<R> {
    Column {
        name,
        value: Accessor::Nullable(value),
    }
}

/// A column that others have, and that has a secret there: always NULL.
pub(crate) const fn withheld<R>(name: &'static str, kind: Type) -> Column<R> {
    Column {
        name,
        value: Accessor::Withheld(kind),
    }
}

/// A text that is put together when asked for.
pub(crate) const fn made<R>(name: &'static str, value: fn(&R) -> String) -> Column<R> {
    Column {
        name,
        value: Accessor::Made(value),
    }
}

/// A number of four bytes; a greater one is shown as the greatest.
pub(crate) const fn int4<R>(name: &'static str, value: fn(&R) -> u64) -> Column<R> {
    Column {
        name,
        value: Accessor::Int4(value),
    }
}

/// A yes or no, shown as 1 or 0 of four bytes.
pub(crate) const fn flag<R>(name: &'static str, value: fn(&R) -> bool) -> Column<R> {
    Column {
        name,
        value: Accessor::Flag(value),
    }
}

/// A number of eight bytes; a greater one is shown as the greatest.
pub(crate) const fn int8<R>(name: &'static str, value: fn(&R) -> u64) -> Column<R> {
    Column {
        name,
        value: Accessor::Int8(value),
    }
}

/// A number of eight bytes, or NULL.
pub(crate) const fn maybe<R>(name: &'static str, value: fn(&R) -> Option<u64>) -> Column<R> {
    Column {
        name,
        value: Accessor::Maybe(value),
    }
}

/// A number of any size.
pub(crate) const fn numeric<R>(name: &'static str, value: fn(&R) -> u64) -> Column<R> {
    Column {
        name,
        value: Accessor::Numeric(value),
    }
}

impl<R> Column<R> {
    fn kind(&self) -> Type {
        match self.value {
            Accessor::Text(_) | Accessor::Nullable(_) | Accessor::Made(_) => Type::Text,
            Accessor::Withheld(kind) => kind,
            Accessor::Int4(_) | Accessor::Flag(_) => Type::Int4,
            Accessor::Int8(_) | Accessor::Maybe(_) => Type::Int8,
            Accessor::Numeric(_) => Type::Numeric,
        }
    }

    /// Its value in a row; `None` is NULL.
    fn bytes(&self, row: &R, format: Format) -> Option<Vec<u8>> {
        let number = match self.value {
            Accessor::Text(value) => return Some(value(row).into()),
            Accessor::Nullable(value) => return value(row).map(Into::into),
            Accessor::Withheld(_) => return None,
            Accessor::Made(value) => return Some(value(row).into()),
            Accessor::Int4(value) => value(row).min(i32::MAX as u64),
            Accessor::Flag(value) => value(row).into(),
            Accessor::Int8(value) => value(row).min(i64::MAX as u64),
            Accessor::Maybe(value) => value(row)?.min(i64::MAX as u64),
            Accessor::Numeric(value) => value(row),
        };
        Some(match (format, self.kind()) {
            (Format::Text, _) | (_, Type::Text | Type::Bytea) => number.to_string().into(),
            (Format::Binary, Type::Int4) => (number as u32).to_be_bytes().into(),
            (Format::Binary, Type::Int8) => number.to_be_bytes().into(),
            (Format::Binary, Type::Numeric) => binary_numeric(number),
        })
    }
}

/// `numeric_send` of PostgreSQL: digits of base 10000 behind their number, the weight of the first,
/// sign and scale.
fn binary_numeric(number: u64) -> Vec<u8> {
    const BASE: u64 = 10_000;
    let mut digits = Vec::new();
    let mut rest = number;
    while rest > 0 {
        digits.push((rest % BASE) as u16);
        rest /= BASE;
    }
    let count = digits.len() as u16;
    let header = [count, count.saturating_sub(1), 0, 0];
    let words = header.into_iter().chain(digits.into_iter().rev());
    words.flat_map(u16::to_be_bytes).collect()
}

/// Calls a function with each row, in the order in which they are shown.
type Each<R> = fn(&Snapshot, &mut dyn FnMut(&R));

/// The columns of a SHOW, in order, in one or more pieces, and its rows.
pub(crate) struct Table<R: 'static> {
    pub(crate) columns: &'static [&'static [Column<R>]],
    pub(crate) each: Each<R>,
    /// What of the snapshot `each` looks at.
    pub(crate) needs: Needs,
}

/// A [`Table`], whatever its rows are.
pub(crate) trait Relation {
    /// Names and types.
    fn columns(&self) -> Vec<(&'static str, Type)>;
    /// What has to be gathered.
    fn needs(&self) -> Needs;
    /// Writes the rows as DataRows.
    fn rows(&self, snapshot: &Snapshot, formats: &Formats, out: &mut Vec<u8>);
}

impl<R> Relation for Table<R> {
    fn columns(&self) -> Vec<(&'static str, Type)> {
        let columns = self.columns.iter().copied().flatten();
        columns.map(|column| (column.name, column.kind())).collect()
    }

    fn needs(&self) -> Needs {
        self.needs
    }

    fn rows(&self, snapshot: &Snapshot, formats: &Formats, out: &mut Vec<u8>) {
        (self.each)(snapshot, &mut |row| {
            let columns = self.columns.iter().copied().flatten().enumerate();
            let values: Vec<Option<Vec<u8>>> = columns
                .map(|(place, column)| column.bytes(row, formats.of(place)))
                .collect();
            let values: Vec<Option<&[u8]>> = values.iter().map(Option::as_deref).collect();
            encode::data_row(&values, out);
        });
    }
}

/// Writes RowDescription. (That of `wire` is for text form only.)
pub(crate) fn row_description(columns: &[(&str, Type)], formats: &Formats, out: &mut Vec<u8>) {
    let mut body = (columns.len() as u16).to_be_bytes().to_vec();
    for (place, (name, kind)) in columns.iter().enumerate() {
        body.extend_from_slice(name.as_bytes());
        // End of the name; no table, no column of one.
        body.extend_from_slice(&[0; 1 + 4 + 2]);
        body.extend_from_slice(&kind.oid().to_be_bytes());
        body.extend_from_slice(&kind.size().to_be_bytes());
        body.extend_from_slice(&(-1_i32).to_be_bytes());
        body.extend_from_slice(&(formats.of(place) as u16).to_be_bytes());
    }
    encode::frame(tag::backend::ROW_DESCRIPTION, &body, out);
}

/// Calls `show` with each row in the order of `key`.
pub(crate) fn sorted<'a, R, K: Ord>(rows: &'a [R], key: fn(&'a R) -> K, show: &mut dyn FnMut(&R)) {
    let mut rows: Vec<&R> = rows.iter().collect();
    rows.sort_by_key(|row| key(row));
    rows.into_iter().for_each(show);
}
