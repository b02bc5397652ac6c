//! PgBouncer's ini: what it says, and what is wrong with it.

mod document;
mod mistakes;
mod options;
mod values;

use crate::{Ini, Mistake, from_ini};

/// Reads a text whose includes are these.
fn read(text: &str, files: &[(&str, &str)]) -> Result<Ini, Vec<Mistake>> {
    from_ini(text, &mut |path| {
        let file = files.iter().find(|(name, _)| *name == path);
        match file {
            Some((_, text)) => Ok((*text).to_owned()),
            None => Err("No such file or directory".to_owned()),
        }
    })
    .map_err(|rejected| rejected.mistakes)
}

pub(super) fn good(text: &str) -> Ini {
    read(text, &[]).unwrap_or_else(|mistakes| panic!("{text}\n{mistakes:#?}"))
}

fn bad(text: &str) -> Vec<String> {
    let mistakes = read(text, &[]).expect_err(text);
    mistakes.iter().map(ToString::to_string).collect()
}

fn warnings(ini: &Ini) -> Vec<String> {
    ini.warnings.iter().map(ToString::to_string).collect()
}
