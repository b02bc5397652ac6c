//! The model as a file: `pgweir.toml` for somebody who had a `pgbouncer.ini`.

use std::fmt::Write;
use std::path::Path;

use toml_writer::ToTomlKey;

use crate::database::Database;
use crate::host::{Host, PORT};
use crate::mistake::Mistake;
use crate::model::Config;
use crate::peer::Peer;
use crate::settings::Settings;
use crate::table::Table;
use crate::user::User;
use crate::value::words::{AuthType, ErrorStyle};

const HEAD: &str = "\
# Written by `pgweir convert`. What is not here is as config/reference.toml has it.
";

const PASSWORDS: &str = "\
#
# There are passwords in it: nobody else should be able to read it.
";

const REMARKS: &str = "\
#
# To be looked at:
";

const AUTH: &str = "\
# \"scram-sha-256\" is safer, and can be used unless auth_file has MD5 hashes in it.
";

const STYLE: &str = "\
# \"postgresql\" says more, unless a program looks for SQLSTATE 08P01.
";

const RELATIVE: &str = "\
# From the directory in which pgweir is started.
";

/// The configuration in TOML: what differs from the defaults of that format. [`parse`](crate::parse)
/// makes the same configuration of it.
///
/// `remarks` are what was noticed when it was read; they become comments, as does what else somebody
/// should look at. Passwords are written as they are.
pub fn to_toml(config: &Config, remarks: &[Mistake]) -> String {
    let mut file = File(HEAD.to_owned());
    let passwords = config.databases.values().map(|it| &it.password);
    let passwords = passwords.chain(config.users.values().map(|it| &it.password));
    if passwords.flatten().next().is_some() {
        file.0 += PASSWORDS;
    }
    if !remarks.is_empty() {
        file.0 += REMARKS;
        for remark in remarks {
            file.comment(&remark.to_string());
        }
    }
    file.settings(&config.settings);
    let socket = Host::from_parts(&config.settings.unix_socket_dir, PORT).ok();
    for (name, database) in &config.databases {
        file.head(&format!("databases.{}", name.to_toml_key()));
        file.database(database, socket.as_ref());
    }
    for (name, user) in &config.users {
        file.head(&format!("users.{}", name.to_toml_key()));
        file.keys(user, &User::default(), |_| None);
    }
    for (id, peer) in &config.peers {
        file.head(&format!("peers.{id}"));
        file.keys(peer, &Peer::default(), |_| None);
    }
    file.0
}

struct File(String);

impl File {
    fn settings(&mut self, settings: &Settings) {
        self.head("pgweir");
        let paths = [
            ("auth_file", &settings.auth_file),
            ("client_tls_key_file", &settings.client_tls_key_file),
            ("client_tls_cert_file", &settings.client_tls_cert_file),
            ("client_tls_ca_file", &settings.client_tls_ca_file),
            ("server_tls_key_file", &settings.server_tls_key_file),
            ("server_tls_cert_file", &settings.server_tls_cert_file),
            ("server_tls_ca_file", &settings.server_tls_ca_file),
        ];
        let is_relative = |key: &str| {
            let path = paths.iter().find(|(name, _)| *name == key);
            let path = path.and_then(|(_, path)| path.as_deref());
            path.is_some_and(Path::is_relative)
        };
        self.keys(settings, &Settings::default(), |key| match key {
            "auth_type" if settings.auth_type != AuthType::ScramSha256 => Some(AUTH),
            "error_style" if settings.error_style != ErrorStyle::Postgresql => Some(STYLE),
            key if is_relative(key) => Some(RELATIVE),
            _ => None,
        });
    }

    fn database(&mut self, database: &Database, socket: Option<&Host>) {
        let mut defaults = Database::default();
        // What a database has that says nothing.
        defaults.hosts.extend(socket.cloned());
        self.keys(database, &defaults, |_| None);
    }

    /// What differs from the defaults, each with what there is to say about it.
    fn keys<T: Table>(
        &mut self,
        section: &T,
        defaults: &T,
        comment: impl Fn(&str) -> Option<&'static str>,
    ) {
        for key in section.differing(defaults) {
            if let Some(value) = (key.toml)(section) {
                self.0 += comment(key.name).unwrap_or_default();
                // Writing to a string does not fail.
                let _ = writeln!(self.0, "{} = {value}", key.name);
            }
        }
    }

    fn head(&mut self, name: &str) {
        let _ = writeln!(self.0, "\n[{name}]");
    }

    fn comment(&mut self, text: &str) {
        // TOML allows no control characters in comments.
        let text = text.replace(char::is_control, " ");
        let _ = writeln!(self.0, "# {text}");
    }
}
