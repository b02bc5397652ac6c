//! The format of PgBouncer's `pgbouncer.ini`.
//!
//! Knows how it is written and what of it is spelled otherwise in pgweir; what the keys mean is the
//! tables' business, as in TOML. Where PgBouncer stops at the first mistake, or reads letters as 0,
//! each mistake is told here.

mod connect;
mod line;
mod meaning;
pub(crate) mod options;
mod source;

use std::collections::BTreeMap;
use std::path::Path;

use self::line::Line;
use self::meaning::Meaning;
use self::source::Source;
use crate::mistake::{Mistake, Rejected};
use crate::model::Config;

/// What a file of PgBouncer says.
#[derive(Debug)]
pub struct Ini {
    /// The model, with PgBouncer's defaults where the file says nothing.
    pub config: Config,
    /// What is understood and has no effect, or not quite the effect it has in PgBouncer, each with
    /// the reason. Nothing in it is wrong.
    pub warnings: Vec<Mistake>,
    /// Where the keys of `[pgbouncer]` stand.
    pub places: Places,
}

/// Where the keys of `[pgbouncer]` stand, for what turns out to be wrong with them later: the file
/// that one names may be none.
#[derive(Debug, Clone, Default)]
pub struct Places(BTreeMap<String, Place>);

/// An included file, or none, and a line in it, counted from 1.
#[derive(Debug, Clone)]
struct Place {
    file: Option<String>,
    line: usize,
}

impl Places {
    /// Fills in file and line of a mistake, if its key is known.
    pub fn locate(&self, mistake: &mut Mistake) {
        if let Some(place) = self.0.get(&mistake.key) {
            mistake.file.clone_from(&place.file);
            mistake.line = Some(place.line);
        }
    }
}

/// Reads a configuration in PgBouncer's format. `include` gives the text of a file that `%include`
/// names, or says why it cannot be read; a relative path is one from the directory in which the
/// process runs.
///
/// # Errors
///
/// Everything that is wrong with it and its includes, in the order in which they are read.
pub fn from_ini(
    text: &str,
    include: &mut dyn FnMut(&str) -> Result<String, String>,
) -> Result<Ini, Rejected<Ini>> {
    let source = Source::read(text, include);
    let Meaning {
        document,
        mistakes,
        warnings,
    } = Meaning::of(&source);
    // Up to here a line is its number among all lines of all files.
    let place = |mistakes: Vec<Mistake>| {
        let placed = mistakes.into_iter().map(|mistake| source.place(mistake));
        placed.collect::<Vec<_>>()
    };
    let (config, mistakes) = document.lower(mistakes);
    let mut warnings = warnings;
    warnings.sort_by_key(|warning| warning.line);
    let ini = Ini {
        config,
        warnings: place(warnings),
        places: source.places(),
    };
    if mistakes.is_empty() {
        return Ok(ini);
    }
    Err(Rejected {
        mistakes: place(mistakes),
        understood: Box::new(ini),
    })
}

/// Whether a configuration is PgBouncer's: by the name of the file, or where that does not tell, by
/// its first section.
pub fn is_ini(file: &Path, text: &str) -> bool {
    match file.extension().and_then(|extension| extension.to_str()) {
        Some("ini") => true,
        Some("toml") => false,
        _ => {
            let mut lines = text.lines().map(line::read);
            // What comes before a section is an include, or no ini.
            let first = lines.find(|line| !matches!(line, Ok(Line::Empty)));
            matches!(
                first,
                Some(Ok(Line::Include(_)
                    | Line::Section(
                        "pgbouncer" | "databases" | "users" | "peers",
                        _
                    )))
            )
        }
    }
}
