//! Files become one list of assignments, each with its section and line.

use std::collections::BTreeMap;

use super::line::{self, Line};
use super::{Place, Places};
use crate::mistake::Mistake;

/// How deep includes may lie in each other.
const NESTING_MAX: usize = 10;

/// How many files one configuration may include: files that include each other twice would be a
/// thousand before they are ten deep.
const INCLUDES_MAX: usize = 1000;

#[derive(Clone, Copy, PartialEq)]
pub(super) enum Section {
    Main,
    Databases,
    Users,
    Peers,
}

pub(super) struct Assignment {
    pub(super) section: Section,
    /// Its number among all lines of all files, counted from 1.
    pub(super) line: usize,
    pub(super) key: String,
    pub(super) value: String,
}

/// What was read.
#[derive(Default)]
pub(super) struct Source {
    pub(super) assignments: Vec<Assignment>,
    /// The line of the first `[pgbouncer]`.
    pub(super) main: Option<usize>,
    pub(super) mistakes: Vec<Mistake>,
    /// All lines of all files, in the order in which they are read.
    lines: Vec<Place>,
}

impl Source {
    pub(super) fn read(
        text: &str,
        include: &mut dyn FnMut(&str) -> Result<String, String>,
    ) -> Source {
        let mut reader = Reader {
            include,
            source: Source::default(),
            open: Vec::new(),
            included: 0,
            section: Current::None,
        };
        // Editors of Windows put a mark in front.
        reader.file(text.strip_prefix('\u{feff}').unwrap_or(text));
        let mut source = reader.source;
        if source.main.is_none() {
            let message = "main section missing from config file: [pgbouncer]";
            source.mistakes.push(Mistake::new("", message));
        }
        source
    }

    /// A mistake whose line is one among all, with its file and the line in it.
    pub(super) fn place(&self, mistake: Mistake) -> Mistake {
        let place = mistake.line.and_then(|line| self.lines.get(line - 1));
        match place.cloned() {
            Some(Place { file, line }) => Mistake {
                file,
                line: Some(line),
                ..mistake
            },
            None => mistake,
        }
    }

    pub(super) fn places(&self) -> Places {
        let main = |assignment: &&Assignment| assignment.section == Section::Main;
        let place = |assignment: &Assignment| {
            let place = self.lines.get(assignment.line - 1)?;
            Some((assignment.key.clone(), place.clone()))
        };
        let places: BTreeMap<_, _> = self
            .assignments
            .iter()
            .filter(main)
            .filter_map(place)
            .collect();
        Places(places)
    }
}

/// The section that assignments belong to.
#[derive(Clone, Copy)]
enum Current {
    None,
    Known(Section),
    /// Named already as the mistake it is.
    Unknown,
}

struct Reader<'a> {
    include: &'a mut dyn FnMut(&str) -> Result<String, String>,
    source: Source,
    /// Included files that are being read, each in the one before it.
    open: Vec<String>,
    included: usize,
    section: Current,
}

impl Reader<'_> {
    fn file(&mut self, text: &str) {
        for (at, line) in text.lines().enumerate() {
            self.source.lines.push(Place {
                file: self.open.last().cloned(),
                line: at + 1,
            });
            self.line(self.source.lines.len(), line);
        }
    }

    fn line(&mut self, number: usize, mut text: &str) {
        let mut read = line::read(text);
        while let Ok(Line::Section(name, rest)) = read {
            self.section(number, name);
            text = rest;
            read = line::read(text);
        }
        match read {
            Ok(Line::Empty | Line::Section(..)) => {}
            Ok(Line::Include(path)) => self.include(number, path),
            Ok(Line::Assign(key, value)) => self.assign(number, &key, value),
            Err(what) => {
                self.wrong(number, "", format!("syntax error in configuration: {what}"));
            }
        }
    }

    fn section(&mut self, line: usize, name: &str) {
        self.section = match name {
            "pgbouncer" => {
                self.source.main.get_or_insert(line);
                Current::Known(Section::Main)
            }
            "databases" => Current::Known(Section::Databases),
            "users" => Current::Known(Section::Users),
            "peers" => Current::Known(Section::Peers),
            _ => {
                let name = name.escape_debug();
                self.wrong(line, "", format!("invalid section \"{name}\""));
                Current::Unknown
            }
        };
    }

    fn assign(&mut self, line: usize, key: &str, value: &str) {
        match self.section {
            Current::Known(section) => self.source.assignments.push(Assignment {
                section,
                line,
                key: key.to_owned(),
                value: value.to_owned(),
            }),
            Current::None => self.wrong(line, key, format!("value without section: {key}")),
            Current::Unknown => {}
        }
    }

    fn include(&mut self, line: usize, path: &str) {
        let found = path.escape_debug();
        if self.open.len() >= NESTING_MAX || self.open.iter().any(|open| open == path) {
            return self.wrong(line, "", format!("include nesting level too deep: {found}"));
        }
        if self.included >= INCLUDES_MAX {
            return self.wrong(
                line,
                "",
                format!("more than {INCLUDES_MAX} includes: {found}"),
            );
        }
        self.included += 1;
        match (self.include)(path) {
            Ok(text) => {
                self.open.push(path.to_owned());
                self.file(&text);
                self.open.pop();
            }
            Err(error) => {
                self.wrong(
                    line,
                    "",
                    format!("could not load file \"{found}\": {error}"),
                );
            }
        }
    }

    fn wrong(&mut self, line: usize, key: &str, message: String) {
        let mistake = Mistake::new(key, message).on_line(Some(line));
        self.source.mistakes.push(mistake);
    }
}
