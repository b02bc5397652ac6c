//! `config/reference.toml` names every key with its default, because it is written from the tables.
//!
//! After a change of a table: `PGWEIR_WRITE_REFERENCE=1 cargo test -p pgweir-config reference`.

use std::fmt::Write;

use super::{files::DIR, good};
use crate::database::Database;
use crate::peer::Peer;
use crate::settings::Settings;
use crate::table::{Applies, Key, Table};
use crate::user::User;
use crate::value::Shape;
use crate::{Config, difference};

const HEAD: &str = r#"# Every key of pgweir, with its default. A file of your own holds only what differs: see
# pgweir.toml.
#
# Durations are text with a unit ("250us", "500ms", "30s", "5min", "1h", "2d") or a number of
# seconds. Sizes are text with a unit ("64kB", "1MB", "1GB"; 1 kB is 1024 bytes) or a number of
# bytes. Lists are lists of texts, or one text with commas. A key with # before it has no default;
# what stands there is an example. A reload brings every key into force unless it says "restart".
"#;

const DATABASES: &str = r#"
# One section for each database that clients may connect to; [databases."*"] serves every other
# name. Where a key says "instead of", the value counts for this database, and a user's own value
# before it. host = "db" and port = 5432 may stand in the place of hosts.
"#;

const USERS: &str = r#"
# One section for each user with a password here or values of its own; others are in auth_file.
# pool_mode, pool_size, reserve_pool_size and max_user_connections count for the user of the server
# connections, the rest for the user who logs in.
"#;

const PEERS: &str = r#"
# One section for each process that cancel requests are passed on to, by its peer_id. The same
# sections may stand in the files of all of them: its own is not used.
"#;

fn reference() -> String {
    let mut text = HEAD.to_owned();
    section::<Settings>(&mut text, "\n[pgweir]\n");
    text += DATABASES;
    section::<Database>(&mut text, "[databases.shop]\n");
    text += USERS;
    section::<User>(&mut text, "[users.shop_app]\n");
    text += PEERS;
    section::<Peer>(&mut text, "[peers.1]\n");
    text
}

fn section<T: Table>(text: &mut String, head: &str) {
    *text += head;
    for key in T::KEYS {
        let doc = key.doc.trim_end().replace('\n', "\n#");
        let restart = if key.applies == Applies::Restart {
            "; restart"
        } else {
            ""
        };
        let kind = short(key.kind);
        let (hash, value) = match (key.default, key.example) {
            (Some(default), _) => ("", toml_of(key, default)),
            (None, example) => (
                // What must be said is no comment.
                if key.name == "host" { "" } else { "#" },
                example
                    .expect("an example where there is no default")
                    .to_owned(),
            ),
        };
        write!(
            text,
            "\n#{doc}\n# ({kind}{restart})\n{hash}{} = {value}\n",
            key.name
        )
        .unwrap();
    }
}

/// What the head of the file explains, or the doc of the key, is left out.
fn short(kind: &str) -> &str {
    let kind = kind.strip_prefix("a ").unwrap_or(kind);
    let kind = kind.strip_suffix(" from 0 to 4294967295").unwrap_or(kind);
    match kind.split_once(" (") {
        Some((short, _)) if kind.ends_with(')') => short,
        _ => kind,
    }
}

fn toml_of<T>(key: &Key<T>, default: &str) -> String {
    let number = !default.is_empty() && default.bytes().all(|byte| byte.is_ascii_digit());
    match key.shape {
        Shape::Bare => default.to_owned(),
        Shape::Text if number && (default == "0" || !default.starts_with('0')) => {
            default.to_owned()
        }
        Shape::Text => format!("\"{default}\""),
        Shape::List if default.is_empty() => "[]".to_owned(),
        Shape::List => format!("[\"{}\"]", default.replace(", ", "\", \"")),
    }
}

#[test]
fn reference_toml_is_what_the_tables_say() {
    let path = format!("{DIR}/reference.toml");
    if std::env::var_os("PGWEIR_WRITE_REFERENCE").is_some() {
        std::fs::write(&path, reference()).expect("the reference can be written");
    }
    let written = std::fs::read_to_string(&path).expect("config/reference.toml is there");
    assert!(
        written == reference(),
        "{path} differs from the tables: see {}",
        file!()
    );
}

#[test]
fn reference_toml_changes_nothing() {
    let read = good(&reference());
    assert_eq!(read.settings, Settings::default());
    let expected = good("[databases.shop]\n[users.shop_app]\n[peers.1]\nhost = 'pooler-1'");
    assert!(difference(&read, &expected).is_empty());
    assert_ne!(read, Config::default());
}

#[test]
fn reference_toml_has_examples_that_are_good() {
    let is_key = |line: &str| {
        line.starts_with('#') && line[1..].starts_with(|c: char| c.is_ascii_lowercase())
    };
    let uncommented: Vec<&str> = reference_lines(is_key);
    let config = good(&uncommented.join("\n"));
    let given = |differing: usize, all: usize| assert_eq!(differing, all);
    given(
        config.databases["shop"]
            .differing(&Database::default())
            .count(),
        Database::KEYS.len(),
    );
    given(
        config.users["shop_app"].differing(&User::default()).count(),
        User::KEYS.len(),
    );
    given(
        config.peers[&1].differing(&Peer::default()).count(),
        Peer::KEYS.len() - 1,
    );
    assert!(config.settings.auth_file.is_some());
}

fn reference_lines(is_key: impl Fn(&str) -> bool) -> Vec<&'static str> {
    let text: &'static str = reference().leak();
    text.lines()
        .map(|line| if is_key(line) { &line[1..] } else { line })
        .collect()
}
