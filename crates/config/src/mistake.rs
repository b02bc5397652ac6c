//! One thing that is wrong with a configuration.

use std::fmt;

/// One thing that is wrong with a configuration, for the eyes of whoever wrote it.
///
/// Never contains a secret: a value is quoted only where it is not one.
#[derive(Debug, Clone, PartialEq, Eq, thiserror::Error)]
pub struct Mistake {
    /// The file, as its include names it; `None` in the file that the caller named.
    pub file: Option<String>,
    /// Line of the text, counted from 1; `None` where the text has no lines or the mistake no
    /// place.
    pub line: Option<usize>,
    /// The key it is about: `listen_port`, `databases.shop.pool_size`; empty for mistakes of
    /// syntax.
    pub key: String,
    /// What is wrong, and where it is known, what was probably meant.
    pub message: String,
}

/// A configuration that is wrong.
#[derive(Debug, Clone)]
pub struct Rejected<T> {
    /// Everything that is wrong with it.
    pub mistakes: Vec<Mistake>,
    /// What it says apart from that, with defaults in the place of what is wrong. Never to be put in
    /// force: it is there so that what is wrong with the files it names can be told at once.
    pub understood: Box<T>,
}

impl Mistake {
    /// Without a place.
    pub fn new(key: impl Into<String>, message: impl Into<String>) -> Mistake {
        Mistake {
            file: None,
            line: None,
            key: key.into(),
            message: message.into(),
        }
    }

    pub(crate) fn on_line(self, line: Option<usize>) -> Mistake {
        Mistake { line, ..self }
    }
}

impl fmt::Display for Mistake {
    /// `12: pool_size: message`, with the name of an included file and a colon in front; the caller
    /// puts that of the file it named there.
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        if let Some(file) = &self.file {
            write!(f, "{file}:")?;
            if self.line.is_none() {
                f.write_str(" ")?;
            }
        }
        if let Some(line) = self.line {
            write!(f, "{line}: ")?;
        }
        if !self.key.is_empty() {
            write!(f, "{}: ", self.key)?;
        }
        f.write_str(&self.message)
    }
}
