//! Who is asked what: `auth_type`, and with `hba` the rules of `auth_hba_file` and the maps of
//! `auth_ident_file`.

use std::path::Path;

use pgweir_auth::hba::{self, Attempt, Way};
use pgweir_auth::ident::{self, Mapping, Maps};
use pgweir_auth::{Method, Parsed};
use pgweir_config::{AuthType, Hidden, Mistake, Settings};

use crate::pam;

/// The rules in force.
#[derive(Debug, PartialEq, Eq)]
pub struct Rules {
    by: By,
    maps: Maps,
}

#[derive(Debug, PartialEq, Eq)]
enum By {
    /// One way for everybody.
    One(Way),
    Hba(hba::Rules),
}

impl Rules {
    /// Reads the rules that the settings ask for; what is wrong goes to `mistakes`.
    pub fn read(settings: &Settings, mistakes: &mut Vec<Mistake>) -> Self {
        let way = match settings.auth_type {
            AuthType::Any => Way::Ask(Method::Any),
            AuthType::Trust => Way::Ask(Method::Trust),
            AuthType::Plain => Way::Ask(Method::Password),
            AuthType::Md5 => Way::Ask(Method::Md5),
            AuthType::ScramSha256 => Way::Ask(Method::Scram),
            AuthType::Cert => Way::Certificate { map: None },
            AuthType::Hba => return Self::of_files(settings, mistakes),
            AuthType::Pam => {
                if !pam::IS_BUILT_IN {
                    let what =
                        "\"pam\": this pgweir was built without it; build it with --features pam";
                    mistakes.push(Mistake::new("auth_type", what));
                }
                Way::Pam
            }
            AuthType::Ldap => {
                let options = settings.auth_ldap_options.as_ref().map(Hidden::text);
                match hba::ldap_options(options.as_ref().map_or("", |text| text)) {
                    Ok(directory) => Way::Ldap(directory),
                    Err(wrong) => {
                        let mistake = |what| Mistake::new("auth_ldap_options", what);
                        mistakes.extend(wrong.into_iter().map(mistake));
                        // Nobody comes in by what cannot be read.
                        return Self {
                            by: By::Hba(hba::Rules::default()),
                            maps: Maps::default(),
                        };
                    }
                }
            }
        };
        let maps = Maps::default();
        let by = By::One(way);
        Self { by, maps }
    }

    fn of_files(settings: &Settings, mistakes: &mut Vec<Mistake>) -> Self {
        let maps = settings.auth_ident_file.as_deref();
        let maps = maps.map(|path| file("auth_ident_file", path, mistakes, ident::parse));
        let maps = maps.unwrap_or_default();
        let path = settings.auth_hba_file.as_deref();
        // Without a file nobody comes in; the check of the settings has said so.
        let rules = path.map(|path| {
            file("auth_hba_file", path, mistakes, |text| {
                let named =
                    |name: &str| std::fs::read_to_string(name).map_err(|error| error.to_string());
                let mut rules = hba::parse(text, named);
                let missing = rules.good.missing_maps(&maps);
                rules.mistakes.extend(missing);
                rules.mistakes.sort_by_key(|mistake| mistake.line);
                rules
            })
        });
        let by = By::Hba(rules.unwrap_or_default());
        Self { by, maps }
    }

    /// How an attempt is to prove who it is; with the line that says so.
    ///
    /// # Errors
    /// It is refused before it is asked anything.
    pub fn decide(&self, attempt: &Attempt<'_>) -> Result<(Way, Option<usize>), hba::Refusal> {
        match &self.by {
            By::One(way) => Ok((way.clone(), None)),
            By::Hba(rules) => {
                let decision = rules.decide(attempt)?;
                Ok((decision.way.clone(), Some(decision.line)))
            }
        }
    }

    /// Who may be whom by a map, or by having the same name.
    pub fn mapping(&self, map: Option<&str>) -> Mapping<'_> {
        self.maps.mapping(map)
    }
}

/// Reads one file; all that is wrong with it goes to `mistakes`.
fn file<T: Default>(
    key: &str,
    path: &Path,
    mistakes: &mut Vec<Mistake>,
    parse: impl FnOnce(&str) -> Parsed<T>,
) -> T {
    match std::fs::read_to_string(path) {
        Ok(text) => {
            let Parsed { good, mistakes: of } = parse(&text);
            mistakes.extend(of.into_iter().map(|mistake| on_line(path, mistake)));
            good
        }
        Err(error) => {
            let message = format!("{}: {error}", path.display());
            mistakes.push(Mistake::new(key, message));
            T::default()
        }
    }
}

/// What is wrong with a line of a file that a setting names.
pub(crate) fn on_line(path: &Path, mistake: pgweir_auth::Mistake) -> Mistake {
    Mistake {
        file: Some(path.display().to_string()),
        line: Some(mistake.line),
        ..Mistake::new("", mistake.what)
    }
}
