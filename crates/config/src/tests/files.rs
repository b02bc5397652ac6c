//! The files in `config/` say what they are meant to say.

use super::good;
use crate::AuthType;

pub(super) const DIR: &str = concat!(env!("CARGO_MANIFEST_DIR"), "/../../config");

fn file(name: &str) -> crate::Config {
    good(&std::fs::read_to_string(format!("{DIR}/{name}")).expect(name))
}

#[test]
fn minimal_toml_serves_one_database() {
    let config = file("minimal.toml");
    assert_eq!(config.databases.len(), 1);
    assert_eq!(config.settings, crate::Settings::default());
}

#[test]
fn pgweir_toml_is_the_common_case() {
    let config = file("pgweir.toml");
    assert_eq!(config.settings.auth_type, AuthType::ScramSha256);
    assert!(config.settings.auth_file.is_some());
    assert!(!config.databases.is_empty());
}
