//! Tests of the whole crate; those of one file stand in it.

mod convert;
mod differences;
mod files;
mod ini;
mod mistakes;
mod model;
mod reference;
mod show;
mod url;
mod values;

use crate::{Config, Mistake};

fn parse(text: &str) -> Result<Config, Vec<Mistake>> {
    crate::parse(text).map_err(|rejected| rejected.mistakes)
}

fn good(text: &str) -> Config {
    parse(text).unwrap_or_else(|mistakes| panic!("{text}\n{mistakes:#?}"))
}

fn bad(text: &str) -> Vec<Mistake> {
    parse(text).expect_err(text)
}
