//! Where a configuration comes from: a file in either format, or a URL.

use std::path::{Path, PathBuf};

use pgweir_config::{Config, Mistake, Notation, Places, Rejected};

use crate::written::Written;

/// Where the configuration comes from.
#[derive(Debug, Clone)]
pub enum Source {
    /// A file, pgweir's or PgBouncer's, read again at each reload.
    File(PathBuf),
    /// A URL on the command line, and settings beside it, as pairs of key and value.
    Url(String, Vec<(String, String)>),
}

/// What was read, and where it stands.
pub(super) struct Read {
    /// Without what is wrong.
    pub(super) config: Config,
    /// All that is wrong.
    pub(super) mistakes: Vec<Mistake>,
    pub(super) warnings: Vec<Mistake>,
    origin: Origin,
}

enum Origin {
    Toml(String),
    Ini(Places),
    Url,
}

impl Read {
    /// Fills in where the key of a mistake stands.
    pub(super) fn locate(&self, mistake: &mut Mistake) {
        match &self.origin {
            Origin::Toml(text) => mistake.line = pgweir_config::line_of(text, &mistake.key),
            Origin::Ini(places) => places.locate(mistake),
            Origin::Url => {}
        }
    }
}

impl Source {
    /// Whether it is a file of PgBouncer's; of one that cannot be read, its name tells.
    pub fn is_ini(&self) -> bool {
        let Self::File(path) = self else {
            return false;
        };
        let text = std::fs::read_to_string(path).unwrap_or_default();
        pgweir_config::is_ini(path, &text)
    }

    /// Reads and checks it.
    ///
    /// # Errors
    /// If there is nothing to read, one line for each reason.
    pub(super) fn read(&self) -> Result<Read, Vec<String>> {
        match self {
            Self::Url(url, settings) => {
                let config = pgweir_config::from_url(url, settings);
                Ok(Read {
                    config: config.map_err(|mistakes| self.say_all(&mistakes))?,
                    mistakes: Vec::new(),
                    warnings: Vec::new(),
                    origin: Origin::Url,
                })
            }
            Self::File(path) => {
                let text = std::fs::read_to_string(path)
                    .map_err(|error| vec![format!("{}: {error}", path.display())])?;
                Ok(read_file(path, text))
            }
        }
    }

    /// The configuration as `pgweir.toml`, and a line for each thing that somebody should look at.
    ///
    /// # Errors
    /// One line for each mistake.
    pub fn to_toml(&self) -> Result<(String, Vec<String>), Vec<String>> {
        let mut read = self.read()?;
        if !read.mistakes.is_empty() {
            return Err(self.say_all(&read.mistakes));
        }
        let said = self.say_all(&read.warnings);
        if let Self::File(path) = self {
            for warning in &mut read.warnings {
                let file = || path.display().to_string();
                warning.file.get_or_insert_with(file);
            }
        }
        Ok((pgweir_config::to_toml(&read.config, &read.warnings), said))
    }

    /// Where and how what was read is written.
    pub(super) fn written(&self, read: &Read) -> Written {
        let Self::File(path) = self else {
            return Written::nowhere();
        };
        Written {
            notation: match read.origin {
                Origin::Ini(_) => Notation::PgBouncer,
                Origin::Toml(_) | Origin::Url => Notation::Pgweir,
            },
            file: Some(path.clone()),
        }
    }

    /// One line about each mistake, with file and line.
    pub(super) fn say_all(&self, mistakes: &[Mistake]) -> Vec<String> {
        mistakes.iter().map(|mistake| self.say(mistake)).collect()
    }

    fn say(&self, mistake: &Mistake) -> String {
        match (self, &mistake.file, mistake.line) {
            (Self::File(path), None, Some(_)) => format!("{}:{mistake}", path.display()),
            (Self::File(path), None, None) => format!("{}: {mistake}", path.display()),
            (Self::File(_), Some(_), _) | (Self::Url(..), ..) => mistake.to_string(),
        }
    }
}

fn read_file(path: &Path, text: String) -> Read {
    if !pgweir_config::is_ini(path, &text) {
        let (config, mistakes) = apart(pgweir_config::parse(&text));
        return Read {
            config,
            mistakes,
            warnings: Vec::new(),
            origin: Origin::Toml(text),
        };
    }
    let mut include = |path: &str| std::fs::read_to_string(path).map_err(|error| error.to_string());
    let (ini, mistakes) = apart(pgweir_config::from_ini(&text, &mut include));
    Read {
        config: ini.config,
        mistakes,
        warnings: ini.warnings,
        origin: Origin::Ini(ini.places),
    }
}

/// What was understood, and what is wrong.
fn apart<T>(read: Result<T, Rejected<T>>) -> (T, Vec<Mistake>) {
    match read {
        Ok(all) => (all, Vec::new()),
        Err(rejected) => (*rejected.understood, rejected.mistakes),
    }
}
