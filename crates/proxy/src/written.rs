//! Where and how the configuration is written, for what the console shows and takes.

use std::path::PathBuf;

use pgweir_config::Notation;

/// See the module.
#[derive(Debug, Clone)]
pub struct Written {
    /// How its values are written.
    pub notation: Notation,
    /// The file; none if it came on the command line.
    pub file: Option<PathBuf>,
}

impl Written {
    /// On the command line.
    pub fn nowhere() -> Self {
        Self {
            notation: Notation::Pgweir,
            file: None,
        }
    }
}
