//! What may follow a method: `key=value`.

use std::fmt;

use zeroize::Zeroizing;

use crate::mistake::shown;
use crate::words::Line;

/// The options of a line, in its order. No key comes twice.
///
/// Values may be secrets (`ldapbindpasswd`): only the keys print.
#[derive(Clone, Default, PartialEq, Eq)]
pub(super) struct Options(Vec<(String, Zeroizing<String>)>);

impl Options {
    /// The value of a key.
    #[must_use]
    pub(super) fn value(&self, key: &str) -> Option<&str> {
        self.pairs().find(|pair| pair.0 == key).map(|pair| pair.1)
    }

    /// Keys and values.
    fn pairs(&self) -> impl Iterator<Item = (&str, &str)> {
        self.0
            .iter()
            .map(|(key, value)| (key.as_str(), value.as_str()))
    }
}

impl fmt::Debug for Options {
    fn fmt(&self, out: &mut fmt::Formatter<'_>) -> fmt::Result {
        out.debug_list()
            .entries(self.pairs().map(|pair| pair.0))
            .finish()
    }
}

/// Of the methods that take none.
pub(super) const NONE: &[&str] = &[];
/// Of cert and peer.
pub(super) const MAP: &[&str] = &["map"];
/// PostgreSQL's words for ldap.
pub(super) const LDAP: &[&str] = &[
    "ldapserver",
    "ldapport",
    "ldapscheme",
    "ldaptls",
    "ldapprefix",
    "ldapsuffix",
    "ldapbasedn",
    "ldapbinddn",
    "ldapbindpasswd",
    "ldapsearchattribute",
    "ldapsearchfilter",
    "ldapurl",
];

/// Reads options to the end of a line; `None` if something is wrong, which goes to `mistakes`.
pub(super) fn read(
    line: &mut Line<'_>,
    known: &[&str],
    method: &str,
    mistakes: &mut Vec<String>,
) -> Option<Options> {
    let before = mistakes.len();
    let mut options = Options::default();
    loop {
        let option = match line.option() {
            Ok(Some(option)) => option,
            Ok(None) => break,
            Err(unreadable) => {
                mistakes.push(unreadable.to_owned());
                break;
            }
        };
        // What has no `=` may be a value with a blank in front of it: it is not shown.
        let Some((key, value)) = option.split_once('=') else {
            mistakes.push(format!("expected options as key=value after {method}"));
            continue;
        };
        if !known.contains(&key) {
            let key = shown(key);
            mistakes.push(format!("option {key} is not supported with {method}"));
        } else if options.value(key).is_some() {
            mistakes.push(format!("option {key:?} is given twice"));
        } else if value.is_empty() && key == "map" {
            mistakes.push("option \"map\" needs a name".to_owned());
        } else {
            let value = value.to_owned().into();
            options.0.push((key.to_owned(), value));
        }
    }
    (mistakes.len() == before).then_some(options)
}
