//! C2: the two formats give the same model, whichever a model is written in.

use proptest::prelude::*;
use proptest::sample::{Index, select};

use super::good;
use super::parse;
use crate::database::Database;
use crate::peer::Peer;
use crate::settings::Settings;
use crate::table::{Key, Table};
use crate::user::User;
use crate::value::Raw;
use crate::{Config, Ini, Mistake, from_ini, to_toml};

/// Values of all kinds; a key takes those that are its own.
const VALUES: [&str; 28] = [
    "0",
    "1",
    "7",
    "250",
    "6000",
    "65536",
    "0700",
    "0.5",
    "90",
    "3600",
    "session",
    "statement",
    "trust",
    "plain",
    "md5",
    "prefer",
    "verify-full",
    "tlsv1.3",
    "debug",
    "json",
    "/run/pgweir",
    "@abstract",
    "a, b",
    "10.0.0.1:5432, [::1]:6000",
    "secret \" ' \\ # ; €",
    "SCRAM-SHA-256$4096:c2FsdA==$MjIyMjIyMjIyMjIyMjIyMjIyMjIyMjIyMjIyMjIyMjI=:MjIyMjIyMjIyMjIyMjIyMjIyMjIyMjIyMjIyMjIyMjI=",
    "relative/path",
    "",
];

const PEERS: [&str; 3] = ["1", "2", "16383"];

const NAMES: [&str; 6] = ["shop", "*", "my app", "it's", "a.b", "say \"é\""];

/// A key of a table, and a value for it.
#[derive(Debug, Clone)]
struct Choice(Index, &'static str);

impl Choice {
    fn key<T: Table>(&self) -> &'static Key<T> {
        self.0.get(T::KEYS)
    }

    /// Whether a connection string cannot say it: there 0 means that the general value counts.
    fn inherits<T: Table>(&self) -> bool {
        let name = self.key::<T>().name;
        let zero_is_nothing =
            name.starts_with("max_") || name.ends_with("_timeout") || name == "server_lifetime";
        self.1.is_empty() || self.1 == "0.5" || (self.1 == "0" && zero_is_nothing)
    }
}

#[derive(Debug, Clone)]
struct Choices {
    settings: Vec<Choice>,
    databases: Vec<(&'static str, Vec<Choice>)>,
    users: Vec<(&'static str, Vec<Choice>)>,
    peers: Vec<(&'static str, Vec<Choice>)>,
}

fn choices() -> impl Strategy<Value = Choices> {
    let choice =
        || (any::<Index>(), select(&VALUES[..])).prop_map(|(key, value)| Choice(key, value));
    let some = move || prop::collection::vec(choice(), 0..60);
    let named =
        move |names: &'static [&'static str]| prop::collection::vec((select(names), some()), 0..4);
    let settings = prop::collection::vec(choice(), 0..250);
    (settings, named(&NAMES), named(&NAMES), named(&PEERS)).prop_map(
        |(settings, databases, users, peers)| Choices {
            settings,
            databases,
            users,
            peers,
        },
    )
}

/// What is left of a text when the lines with mistakes are gone.
fn settled<T>(text: &str, read: impl Fn(&str) -> Result<T, Vec<Mistake>>) -> (String, T) {
    let mut lines: Vec<&str> = text.lines().collect();
    loop {
        let text = lines.join("\n");
        match read(&text) {
            Ok(read) => return (text, read),
            Err(mistakes) => {
                let wrong: Vec<usize> = mistakes.iter().filter_map(|it| it.line).collect();
                assert!(!wrong.is_empty(), "{text}\n{mistakes:?}");
                let mut at = 0;
                lines.retain(|_| {
                    at += 1;
                    !wrong.contains(&at)
                });
            }
        }
    }
}

fn read_ini(text: &str) -> Result<Ini, Vec<Mistake>> {
    from_ini(text, &mut |_| Err("there are no includes here".to_owned()))
        .map_err(|rejected| rejected.mistakes)
}

fn quoted(text: &str) -> String {
    format!("'{}'", text.replace('\'', "''"))
}

/// As an ini, with what is no value of its key in it.
fn ini_of(choices: &Choices) -> String {
    let mut text = "[pgbouncer]\n".to_owned();
    for choice in &choices.settings {
        text += &format!("{} = {}\n", choice.key::<Settings>().name, choice.1);
    }
    text += "[databases]\n";
    text += &strings::<Database>(&choices.databases);
    text += "[users]\n";
    text += &strings::<User>(&choices.users);
    text += "[peers]\n";
    text += &strings::<Peer>(&choices.peers);
    text
}

/// Connection strings of good pairs, the same name on several lines, of which the last counts.
fn strings<T: Table>(all: &[(&str, Vec<Choice>)]) -> String {
    let mut text = String::new();
    for (section, choices) in all {
        let is_value = |choice: &&Choice| {
            let raw = Raw::Connect(choice.1.to_owned());
            !choice.1.is_empty() && (choice.key::<T>().assign)(&mut T::default(), &raw).is_ok()
        };
        let good: Vec<&Choice> = choices.iter().filter(is_value).collect();
        for some in good.chunks(12) {
            text += &format!("{} =", quoted(section));
            for choice in some {
                text += &format!(" {}={}", choice.key::<T>().name, quoted(choice.1));
            }
            text.push('\n');
        }
    }
    text
}

/// As TOML, with what is no value of its key in it, but nothing that an ini could not say.
fn toml_of(choices: &Choices) -> String {
    fn section<T: Table>(choices: &[Choice], may: impl Fn(&Choice) -> bool) -> String {
        let mut text = String::new();
        let mut seen = Vec::new();
        for choice in choices.iter().filter(|it| may(it)) {
            let key = choice.key::<T>();
            // Tried alone, for what is no value would hide one that is.
            let raw = Raw::Text(choice.1.to_owned());
            if (key.assign)(&mut T::default(), &raw).is_ok() && !seen.contains(&key.name) {
                seen.push(key.name);
                text += &format!("{} = {:?}\n", key.name, choice.1);
            }
        }
        text
    }
    let mut text = "[pgweir]\n".to_owned();
    text += &section::<Settings>(&choices.settings, |it| {
        it.key::<Settings>().name != "pkt_buf"
    });
    let mut seen = Vec::new();
    for (name, choices) in &choices.databases {
        if !seen.contains(name) {
            seen.push(*name);
            text += &format!("[databases.{name:?}]\n");
            text += &section::<Database>(choices, |it| !it.inherits::<Database>());
        }
    }
    seen.clear();
    for (name, choices) in &choices.users {
        if !seen.contains(name) {
            seen.push(*name);
            text += &format!("[users.{name:?}]\n");
            text += &section::<User>(choices, |it| !it.inherits::<User>());
        }
    }
    seen.clear();
    for (id, choices) in &choices.peers {
        if !seen.contains(id) {
            seen.push(*id);
            text += &format!("[peers.{id}]\n");
            text += &section::<Peer>(choices, |it| !it.inherits::<Peer>());
        }
    }
    text
}

/// A model as PgBouncer's ini.
fn written_as_ini(config: &Config) -> String {
    fn pairs<T: Table>(section: &T, password: Option<&crate::Secret>) -> String {
        let mut text = String::new();
        for key in section.differing(&T::default()) {
            let secret = password.filter(|_| key.name == "password");
            let value = match secret {
                Some(secret) => Some(crate::Secret::to_text(secret).to_string()),
                None => (key.text)(section),
            };
            text += &format!(" {}={}", key.name, quoted(&value.expect("it differs")));
        }
        text
    }
    let mut text = "[pgbouncer]\n".to_owned();
    for key in config.settings.differing(&Settings::of_ini()) {
        let hidden = config.settings.auth_ldap_options.as_ref();
        let value = match hidden.filter(|_| key.name == "auth_ldap_options") {
            Some(hidden) => hidden.text().to_string(),
            None => (key.text)(&config.settings).unwrap_or_default(),
        };
        text += &format!("{} = {value}\n", key.name);
    }
    text += "[databases]\n";
    for (name, database) in &config.databases {
        let pairs = pairs(database, database.password.as_ref());
        text += &format!("{} ={pairs}\n", quoted(name));
    }
    text += "[users]\n";
    for (name, user) in &config.users {
        text += &format!(
            "{} ={}\n",
            quoted(name),
            pairs(user, user.password.as_ref())
        );
    }
    text += "[peers]\n";
    for (id, peer) in &config.peers {
        text += &format!("{id} ={}\n", pairs(peer, None));
    }
    text
}

proptest! {
    #![proptest_config(ProptestConfig::with_cases(256))]

    #[test]
    fn c2_what_an_ini_says_toml_says_too(choices in choices()) {
        let (text, ini) = settled(&ini_of(&choices), read_ini);
        let toml = to_toml(&ini.config, &ini.warnings);
        let parsed = parse(&toml);
        prop_assert_eq!(parsed.as_ref(), Ok(&ini.config), "{}\n{}", text, toml);
    }

    #[test]
    fn c2_what_toml_says_an_ini_says_too(choices in choices()) {
        let (toml, config) = settled(&toml_of(&choices), parse);
        let text = written_as_ini(&config);
        let ini = read_ini(&text);
        let read = ini.map(|ini| ini.config);
        prop_assert_eq!(read.as_ref(), Ok(&config), "{}\n{}", toml, text);
        let written = to_toml(&config, &[]);
        let parsed = parse(&written);
        prop_assert_eq!(parsed.as_ref(), Ok(&config), "{}\n{}", toml, written);
    }
}

#[test]
fn only_what_differs_is_written_with_what_is_to_be_looked_at() {
    let ini = read_ini(
        "[pgbouncer]\npkt_buf = 2048\nlisten_addr = *\nauth_file = userlist.txt\n\
         server_lifetime = 90\nserver_idle_timeout = 0.25\nmax_client_conn = 5000\n\
         log_stats = 0\nmax_packet_size = 65536\n\
         [databases]\nshop = host=10.0.0.5 user=app password='it''s' pool_mode=session\nlocal =\n\
         [users]\nann = query_timeout=3600",
    )
    .expect("no mistakes");
    let expected = r#"# Written by `pgweir convert`. What is not here is as config/reference.toml has it.
#
# There are passwords in it: nobody else should be able to read it.
#
# To be looked at:
# 2: pkt_buf: has no effect: a buffer belongs to a thread and not to a connection, so its size costs nothing

[pgweir]
listen_addr = ["*"]
listen_backlog = 128
tcp_defer_accept = 1
pool_mode = "session"
server_lifetime = "90s"
server_idle_timeout = "250ms"
query_wait_notify = "5s"
max_packet_size = "64kB"
report_pooler = true
# "scram-sha-256" is safer, and can be used unless auth_file has MD5 hashes in it.
auth_type = "md5"
pam_service = "pgbouncer"
# From the directory in which pgweir is started.
auth_file = "userlist.txt"
# "postgresql" says more, unless a program looks for SQLSTATE 08P01.
error_style = "pgbouncer"
log_format = "pgbouncer"
syslog_ident = "pgbouncer"
log_stats = false

[databases.local]

[databases.shop]
hosts = ["10.0.0.5:5432"]
user = "app"
password = "it's"
pool_mode = "session"

[users.ann]
query_timeout = "1h"
"#;
    let written = to_toml(&ini.config, &ini.warnings);
    assert_eq!(written, expected);
    assert_eq!(good(&written), ini.config);
}

#[test]
fn a_remark_cannot_break_the_file() {
    let remarks = [Mistake::new("a\nb = 1", "c\u{1}\r[d]")];
    let written = to_toml(&Config::default(), &remarks);
    assert_eq!(good(&written), Config::default());
}
