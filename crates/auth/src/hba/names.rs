//! The databases and users that a line is about.

use std::collections::BTreeSet;

use super::{Attempt, Replication};
use crate::mistake::shown;
use crate::words::{Line, Unreadable, Word};

/// The first field of names.
#[derive(Debug, Clone, Default, PartialEq, Eq)]
pub(super) struct Databases {
    all: bool,
    same_user: bool,
    replication: bool,
    names: BTreeSet<String>,
}

/// The second one.
#[derive(Debug, Clone, Default, PartialEq, Eq)]
pub(super) struct Users {
    all: bool,
    names: BTreeSet<String>,
}

impl Databases {
    pub(super) fn fit(&self, attempt: &Attempt<'_>) -> bool {
        match attempt.replication {
            Replication::Physical => self.replication,
            Replication::No | Replication::Logical => {
                self.all
                    || self.same_user && attempt.database == attempt.user
                    || self.names.contains(attempt.database)
            }
        }
    }
}

impl Users {
    pub(super) fn fit(&self, user: &str) -> bool {
        self.all || self.names.contains(user)
    }
}

/// Gives the contents of a file by its name, or says why it cannot.
pub(super) type Open<'a> = &'a mut dyn FnMut(&str) -> Result<String, String>;

/// The files that lines name as `@file`.
pub(super) struct Files<'a> {
    open: Open<'a>,
    /// How many have been read. Invariant: at most [`FILES_MAX`].
    read: usize,
}

/// How deep such files name each other, as in PostgreSQL.
const DEPTH_MAX: usize = 10;
/// How many are read for one set of rules: files that name each other several times multiply.
pub(super) const FILES_MAX: usize = 1000;

impl<'a> Files<'a> {
    pub(super) fn new(open: Open<'a>) -> Self {
        Self { open, read: 0 }
    }

    /// Adds the names in a file. They are separated by blanks, commas and ends of lines.
    fn names(
        &mut self,
        file: &str,
        depth: usize,
        words: &mut Vec<Word>,
        mistakes: &mut Vec<String>,
    ) {
        let mut mistake = |what: &str| mistakes.push(format!("@{file}: {what}"));
        if depth == DEPTH_MAX {
            return mistake("names files more than 10 deep");
        }
        if self.read == FILES_MAX {
            return mistake("more than 1000 files are named");
        }
        self.read += 1;
        let text = match (self.open)(file) {
            Ok(text) => text,
            Err(error) => return mistake(&error),
        };
        for (index, line) in text.lines().enumerate() {
            let mut line = Line::of(line);
            let mut found = Vec::new();
            while !line.is_end() {
                match line.word() {
                    Ok(Some(word)) => self.word(word, depth + 1, words, &mut found),
                    Ok(None) => {
                        line.comma();
                    }
                    Err(unreadable) => {
                        found.push(unreadable.to_owned());
                        break;
                    }
                }
            }
            let at = |what| format!("@{file} line {}: {what}", index + 1);
            mistakes.extend(found.into_iter().map(at));
        }
    }

    /// Adds a word, or the names in the file that it names.
    fn word(
        &mut self,
        word: Word,
        depth: usize,
        words: &mut Vec<Word>,
        mistakes: &mut Vec<String>,
    ) {
        match word.after('@') {
            Some("") => mistakes.push("expected the name of a file after @".to_owned()),
            Some(file) => self.names(file, depth, words, mistakes),
            None if word.after('+').is_some() => {
                let word = shown(&word.text);
                mistakes.push(format!("groups are not supported: {word}"));
            }
            None => words.push(word),
        }
    }
}

/// Reads the databases; `None` if a mistake is in the way.
pub(super) fn databases(
    line: &mut Line<'_>,
    files: &mut Files<'_>,
    mistakes: &mut Vec<String>,
) -> Result<Option<Databases>, Unreadable> {
    let before = mistakes.len();
    let words = list(line, files, "a database", mistakes)?;
    let mut databases = Databases::default();
    for word in words {
        if word.is("all") {
            databases.all = true;
        } else if word.is("sameuser") {
            databases.same_user = true;
        } else if word.is("replication") {
            databases.replication = true;
        } else if word.is("samerole") || word.is("samegroup") {
            mistakes.push(format!("{} is not supported", word.text));
        } else {
            databases.names.insert(word.text);
        }
    }
    let good = mistakes.len() == before;
    mistakes.extend(expressions(&databases.names));
    Ok(good.then_some(databases))
}

/// Reads the users; `None` if a mistake is in the way.
pub(super) fn users(
    line: &mut Line<'_>,
    files: &mut Files<'_>,
    mistakes: &mut Vec<String>,
) -> Result<Option<Users>, Unreadable> {
    let before = mistakes.len();
    let words = list(line, files, "a user", mistakes)?;
    let mut users = Users::default();
    for word in words {
        if word.is("all") {
            users.all = true;
        } else {
            users.names.insert(word.text);
        }
    }
    let good = mistakes.len() == before;
    mistakes.extend(expressions(&users.names));
    Ok(good.then_some(users))
}

/// Names that PostgreSQL would take for regular expressions.
fn expressions(names: &BTreeSet<String>) -> impl Iterator<Item = String> {
    let found = names.iter().filter(|name| name.starts_with('/'));
    found.map(|name| {
        let name = shown(name);
        format!("regular expressions are not supported: {name} is taken for a name")
    })
}

/// Words with commas between them.
fn list(
    line: &mut Line<'_>,
    files: &mut Files<'_>,
    what: &str,
    mistakes: &mut Vec<String>,
) -> Result<Vec<Word>, Unreadable> {
    let mut words = Vec::new();
    loop {
        match line.word()? {
            Some(word) => files.word(word, 0, &mut words, mistakes),
            None => mistakes.push(format!("expected {what}")),
        }
        if !line.comma() {
            return Ok(words);
        }
    }
}
