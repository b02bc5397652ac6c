//! The TOML format: its text becomes sections, keys and values, each with its line.
//!
//! Knows how TOML is written and what sections there are; what the keys mean is the tables'
//! business.

use toml::Spanned;
use toml::de::{DeTable, DeValue};

use crate::document::{Document, Entry, Section};
use crate::mistake::{Mistake, Rejected};
use crate::model::Config;
use crate::place::Place;
use crate::settings::Settings;
use crate::suggest::did_you_mean;
use crate::table::Table;
use crate::value::Raw;

/// Sections a file may have.
const SECTIONS: [&str; 4] = ["pgweir", "databases", "users", "peers"];

/// Reads a configuration in TOML.
///
/// # Errors
///
/// Everything that is wrong with it, in the order of its lines.
pub fn parse(text: &str) -> Result<Config, Rejected<Config>> {
    let lines = Lines::of(text);
    let (root, errors) = DeTable::parse_recoverable(text);
    let mut mistakes: Vec<Mistake> = errors.iter().map(|error| lines.syntax(error)).collect();
    let broken: Vec<usize> = mistakes.iter().filter_map(|mistake| mistake.line).collect();
    let mut reader = Reader {
        lines: &lines,
        document: Document::default(),
        mistakes: Vec::new(),
    };
    reader.root(root.get_ref());
    let Reader {
        document,
        mistakes: found,
        ..
    } = reader;
    mistakes.extend(found);
    let (config, mut mistakes) = document.lower(mistakes);
    if mistakes.is_empty() {
        return Ok(config);
    }
    if !broken.is_empty() {
        // What else a broken line seems to say is the guess of a parser that recovers.
        let guess =
            |m: &Mistake| !m.key.is_empty() && m.line.is_none_or(|line| broken.contains(&line));
        mistakes.retain(|mistake| !guess(mistake));
        mistakes.dedup_by(|later, first| later.key.is_empty() && later.line == first.line);
    }
    Err(Rejected {
        mistakes,
        understood: Box::new(config),
    })
}

/// The line of a key of `[pgweir]`, or of `users.NAME.password` and the like, for what is wrong with
/// what it names.
pub fn line_of(text: &str, key: &str) -> Option<usize> {
    let lines = Lines::of(text);
    let (root, _) = DeTable::parse_recoverable(text);
    let mut section = root.into_inner();
    let mut path = vec!["pgweir"];
    let mut key = key;
    if let Some((kind, rest)) = key.split_once('.') {
        // A name may have dots of its own.
        let (name, last) = rest.rsplit_once('.')?;
        path = vec![kind, name];
        key = last;
    }
    for name in path {
        let DeValue::Table(inner) = section.remove(name)?.into_inner() else {
            return None;
        };
        section = inner;
    }
    let (found, _) = section.get_key_value(key)?;
    lines.at(found)
}

struct Reader<'a> {
    lines: &'a Lines,
    document: Document,
    mistakes: Vec<Mistake>,
}

type Pair<'a, 'i> = (
    &'a Spanned<std::borrow::Cow<'i, str>>,
    &'a Spanned<DeValue<'i>>,
);

impl Reader<'_> {
    fn root(&mut self, root: &DeTable<'_>) {
        for (key, value) in root {
            let name: &str = key.get_ref();
            match (name, value.get_ref()) {
                ("pgweir", DeValue::Table(table)) => {
                    self.section(Place::Settings, self.lines.at(key), table);
                }
                ("databases", DeValue::Table(named)) => self.named(named, Place::Database),
                ("users", DeValue::Table(named)) => self.named(named, Place::User),
                ("peers", DeValue::Table(named)) => self.named(named, Place::Peer),
                ("pgweir" | "databases" | "users" | "peers", _) => {
                    let message = format!("expected a section: [{name}]");
                    self.wrong(self.lines.at(key), name.to_owned(), message);
                }
                (_, DeValue::Table(_)) => {
                    let meant = did_you_mean(name, SECTIONS);
                    let message = format!("is not a section{meant}: they are {SECTIONS_READ}");
                    self.wrong(self.lines.at(key), name.to_owned(), message);
                }
                _ => {
                    let message = match Settings::key(name) {
                        Some(_) => "belongs into a section: put [pgweir] above it".to_owned(),
                        None => format!("stands outside of any section: they are {SECTIONS_READ}"),
                    };
                    self.wrong(self.lines.at(key), name.to_owned(), message);
                }
            }
        }
    }

    /// The sections below `[databases]`, `[users]` or `[peers]`.
    fn named(&mut self, named: &DeTable<'_>, place: fn(String) -> Place) {
        for (key, value) in named {
            let place = place(key.get_ref().to_string());
            match value.get_ref() {
                DeValue::Table(table) => self.section(place, self.lines.at(key), table),
                _ => {
                    let path = place.path("");
                    let message = format!("expected a section: [{path}]");
                    self.wrong(self.lines.at(key), path, message);
                }
            }
        }
    }

    fn section(&mut self, place: Place, line: Option<usize>, table: &DeTable<'_>) {
        let entry = |(key, value): Pair<'_, '_>| Entry {
            key: key.get_ref().to_string(),
            line: self.lines.at(key),
            value: raw(value.get_ref()),
        };
        let entries = table.iter().map(entry).collect();
        self.document.sections.push(Section {
            place,
            line,
            entries,
        });
    }

    fn wrong(&mut self, line: Option<usize>, key: String, message: String) {
        self.mistakes.push(Mistake::new(key, message).on_line(line));
    }
}

const SECTIONS_READ: &str = "[pgweir], [databases.NAME], [users.NAME] and [peers.ID]";

fn raw(value: &DeValue<'_>) -> Raw {
    match value {
        DeValue::String(text) => Raw::Text(text.to_string()),
        DeValue::Integer(number) => match i64::from_str_radix(number.as_str(), number.radix()) {
            Ok(number) => Raw::Number(number),
            Err(_) => Raw::Other("a number beyond all bounds"),
        },
        DeValue::Float(number) => match number.as_str().parse() {
            Ok(number) => Raw::Decimal(number),
            Err(_) => Raw::Other("a number beyond all bounds"),
        },
        DeValue::Boolean(value) => Raw::Bool(*value),
        DeValue::Datetime(_) => Raw::Other("a date"),
        DeValue::Array(items) => Raw::List(items.iter().map(|item| raw(item.get_ref())).collect()),
        DeValue::Table(_) => Raw::Other("a section"),
    }
}

/// Where the lines of a text begin.
struct Lines(Vec<usize>);

impl Lines {
    fn of(text: &str) -> Lines {
        let breaks = text.bytes().enumerate().filter(|(_, byte)| *byte == b'\n');
        Lines(
            std::iter::once(0)
                .chain(breaks.map(|(at, _)| at + 1))
                .collect(),
        )
    }

    /// The line of a byte, counted from 1.
    fn number(&self, offset: usize) -> usize {
        self.0.partition_point(|start| *start <= offset)
    }

    fn at<T>(&self, spanned: &Spanned<T>) -> Option<usize> {
        Some(self.number(spanned.span().start))
    }

    /// The error without the excerpt of the text it would print, which may have a password in it.
    fn syntax(&self, error: &toml::de::Error) -> Mistake {
        let message = match error.message() {
            // What the parser makes of any bare word that starts with t or f.
            guess if guess.starts_with("invalid boolean") => "expected a value; text needs quotes",
            message => message,
        };
        let line = error.span().map(|span| self.number(span.start));
        Mistake::new("", message).on_line(line)
    }
}
