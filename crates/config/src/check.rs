//! What values must say together: every one is good by itself, but do they fit?

use crate::database::Database;
use crate::host::Host;
use crate::mistake::Mistake;
use crate::model::Config;
use crate::peer;
use crate::place::Place;
use crate::settings::Settings;
use crate::value::per_host::PerHost;
use crate::value::tls::SslMode;
use crate::value::words::{AuthType, Routing};

/// Names that are the console's.
const CONSOLE: [&str; 2] = ["pgweir", "pgbouncer"];

/// Longest name of a database or user, in bytes: PostgreSQL cuts longer ones.
const NAME_MAX: usize = 63;

/// Smallest and largest read buffer of a worker, in bytes.
const PKT_BUF: std::ops::RangeInclusive<u32> = 1 << 10..=16 << 20;

/// Smallest and largest limit of a message, in bytes; PostgreSQL's lengths are signed.
const PACKET_SIZE: std::ops::RangeInclusive<u32> = 1 << 10..=i32::MAX as u32;

/// Something that does not fit.
pub(crate) struct Wrong {
    pub(crate) place: Place,
    /// What it is about; the first is the one to name.
    pub(crate) keys: &'static [&'static str],
    message: String,
}

impl Wrong {
    pub(crate) fn mistake(&self, line: Option<usize>) -> Mistake {
        let key = self
            .place
            .path(self.keys.first().copied().unwrap_or_default());
        Mistake::new(key, &*self.message).on_line(line)
    }
}

/// All that does not fit.
pub(crate) fn check(config: &Config) -> Vec<Wrong> {
    let mut wrong = Vec::new();
    let mut settings = |keys, message: String| {
        wrong.push(Wrong {
            place: Place::Settings,
            keys,
            message,
        });
    };
    check_sockets(&config.settings, &mut settings);
    check_sizes(&config.settings, &mut settings);
    check_tls(&config.settings, &mut settings);
    check_auth(&config.settings, &mut settings);
    for (name, database) in &config.databases {
        check_database(name, database, &config.settings, &mut |keys, message| {
            wrong.push(Wrong {
                place: Place::Database(name.clone()),
                keys,
                message,
            });
        });
    }
    for name in config.users.keys() {
        if let Some(message) = bad_name("user", name) {
            wrong.push(Wrong {
                place: Place::User(name.clone()),
                keys: &[],
                message,
            });
        }
    }
    if config.settings.peer_id > peer::ID_MAX {
        let message = format!("expected a number from 0 to {}", peer::ID_MAX);
        wrong.push(Wrong {
            place: Place::Settings,
            keys: &["peer_id"],
            message,
        });
    }
    for (id, peer) in &config.peers {
        let message = match peer.address() {
            Ok(_) => continue,
            Err(_) if peer.host.is_empty() => "is missing".to_owned(),
            Err(error) => error.to_string(),
        };
        wrong.push(Wrong {
            place: Place::Peer(id.to_string()),
            keys: &["host", "port"],
            message,
        });
    }
    wrong
}

/// What is not wrong and yet hardly meant, without lines.
pub fn oddities(config: &Config) -> Vec<Mistake> {
    let mut odd = Vec::new();
    if config.databases.is_empty() {
        let message = "there are none: clients can reach the console and nothing else";
        odd.push(Mistake::new("databases", message));
    }
    let too_many = |min: u32, size: u32| {
        let says = format!("{min} is more than the size of the pool, which keeps it at {size}");
        (size > 0 && min > size).then_some(says)
    };
    let settings = &config.settings;
    let general = too_many(settings.min_pool_size, settings.default_pool_size);
    odd.extend(general.map(|says| Mistake::new("min_pool_size", says)));
    for (name, database) in &config.databases {
        let size = database.pool_size.unwrap_or(settings.default_pool_size);
        let own = database.min_pool_size.and_then(|min| too_many(min, size));
        let key = || Place::Database(name.clone()).path("min_pool_size");
        odd.extend(own.map(|says| Mistake::new(key(), says)));
        if database.routing() != Routing::Off && database.load_balance_hosts.is_some() {
            let key = Place::Database(name.clone()).path("load_balance_hosts");
            let says = "has no effect beside routing: see balance";
            odd.push(Mistake::new(key, says));
        }
    }
    odd
}

type Report<'a> = &'a mut dyn FnMut(&'static [&'static str], String);

fn check_sockets(settings: &Settings, report: Report<'_>) {
    let dir = &settings.unix_socket_dir;
    if settings.listen_addr.is_empty() && dir.is_empty() {
        let message = "is empty, and so is unix_socket_dir: nobody could connect".to_owned();
        report(&["listen_addr", "unix_socket_dir"], message);
    }
    if !dir.is_empty() && !dir.starts_with(['/', '@']) {
        let message = "expected an absolute path, \"@name\" or \"\"".to_owned();
        report(&["unix_socket_dir"], message);
    }
}

fn check_sizes(settings: &Settings, report: Report<'_>) {
    if !(1..=i32::MAX as u32).contains(&settings.listen_backlog) {
        report(
            &["listen_backlog"],
            format!("expected a number from 1 to {}", i32::MAX),
        );
    }
    if !PKT_BUF.contains(&settings.pkt_buf.bytes()) {
        report(&["pkt_buf"], "expected a size from 1kB to 16MB".to_owned());
    }
    if !PACKET_SIZE.contains(&settings.max_packet_size.bytes()) {
        report(
            &["max_packet_size"],
            "expected a size from 1kB to 2147483647 bytes".to_owned(),
        );
    }
    if settings.monitor_interval.is_zero() {
        report(&["monitor_interval"], "expected more than 0".to_owned());
    }
    if settings.stats_period.is_zero() {
        report(&["stats_period"], "expected more than 0".to_owned());
    }
}

fn check_auth(settings: &Settings, report: Report<'_>) {
    check_auth_dbname(settings.auth_dbname.as_deref(), report);
    if !(1..=1_000_000).contains(&settings.scram_iterations) {
        let message = "expected a number from 1 to 1000000".to_owned();
        report(&["scram_iterations"], message);
    }
    if settings.auth_type == AuthType::Hba && settings.auth_hba_file.is_none() {
        let message = "\"hba\" needs auth_hba_file".to_owned();
        report(&["auth_type", "auth_hba_file"], message);
    }
    if settings.auth_type == AuthType::Cert && !settings.client_tls_sslmode.verifies() {
        let message = "\"cert\" needs client_tls_sslmode \"verify-full\"".to_owned();
        report(&["auth_type", "client_tls_sslmode"], message);
    }
    if settings.auth_query.is_empty() {
        report(&["auth_query"], "is empty".to_owned());
    }
}

/// Secrets are asked of servers.
fn check_auth_dbname(name: Option<&str>, report: Report<'_>) {
    if let Some(name) = name.filter(|name| CONSOLE.contains(name)) {
        let message = format!("database \"{name}\" is the console, which knows no secrets");
        report(&["auth_dbname"], message);
    }
}

fn check_tls(settings: &Settings, report: Report<'_>) {
    let mode = settings.client_tls_sslmode;
    if mode != SslMode::Disable {
        if settings.client_tls_key_file.is_none() {
            let message = format!("client_tls_sslmode \"{mode}\" needs client_tls_key_file");
            report(&["client_tls_sslmode", "client_tls_key_file"], message);
        }
        if settings.client_tls_cert_file.is_none() {
            let message = format!("client_tls_sslmode \"{mode}\" needs client_tls_cert_file");
            report(&["client_tls_sslmode", "client_tls_cert_file"], message);
        }
    }
    if mode.verifies() && settings.client_tls_ca_file.is_none() {
        let message = format!("client_tls_sslmode \"{mode}\" needs client_tls_ca_file");
        report(&["client_tls_sslmode", "client_tls_ca_file"], message);
    }
    check_verify_ca(Some(settings.server_tls_sslmode), settings, report);
    if settings.server_tls_key_file.is_some() != settings.server_tls_cert_file.is_some() {
        let message = "server_tls_key_file and server_tls_cert_file need each other".to_owned();
        report(&["server_tls_key_file", "server_tls_cert_file"], message);
    }
}

/// With the system's authorities anybody can have a certificate, for some name: only verify-full tells
/// one server from another, and libpq refuses verify-ca too.
fn check_verify_ca(mode: Option<SslMode>, settings: &Settings, report: Report<'_>) {
    if mode == Some(SslMode::VerifyCa) && settings.server_tls_ca_file.is_none() {
        let message = "\"verify-ca\" needs server_tls_ca_file; without it, use \"verify-full\"";
        let keys = &["server_tls_sslmode", "server_tls_ca_file"];
        report(keys, message.to_owned());
    }
}

fn check_database(name: &str, database: &Database, settings: &Settings, report: Report<'_>) {
    check_verify_ca(database.server_tls_sslmode, settings, report);
    check_auth_dbname(database.auth_dbname.as_deref(), report);
    if database.auth_query.as_deref().is_some_and(str::is_empty) {
        report(&["auth_query"], "is empty".to_owned());
    }
    if CONSOLE.contains(&name) {
        report(&[], format!("database name \"{name}\" is reserved"));
    }
    if let Some(message) = bad_name("db", name) {
        report(&[], message);
    }
    if database.hosts.is_empty() && !database.is_for_patroni_to_say() {
        report(
            &["hosts", "host", "port"],
            "is missing, and there is no unix_socket_dir".to_owned(),
        );
    }
    check_cluster(database, settings, report);
    if database.dbname.as_deref().is_some_and(str::is_empty) {
        report(&["dbname"], "is empty".to_owned());
    }
    if database.user.as_deref().is_some_and(str::is_empty) {
        report(&["user"], "is empty".to_owned());
    }
    if database.password.is_some() && database.user.is_none() {
        let message = "needs \"user\" beside it: it is the password of that user".to_owned();
        report(&["password", "user"], message);
    }
}

/// Somebody must ask the hosts of a cluster what they are.
fn check_cluster(database: &Database, settings: &Settings, report: Report<'_>) {
    let routing = database.routing();
    if routing == Routing::Off {
        let of_clusters: [(&'static [&'static str], bool); 11] = [
            (&["patroni"], !database.patroni.is_empty()),
            (&["consistency"], database.consistency.is_some()),
            (&["max_lag"], database.max_lag.is_some()),
            (&["max_lag_bytes"], database.max_lag_bytes.is_some()),
            (&["balance"], database.balance.is_some()),
            (&["weights"], !database.weights.is_empty()),
            (&["zones"], !database.zones.is_empty()),
            (&["slow_start"], database.slow_start.is_some()),
            (&["primary_reads"], database.primary_reads.is_some()),
            (&["failover_hold"], database.failover_hold.is_some()),
            (
                &["failover_hold_clients"],
                database.failover_hold_clients.is_some(),
            ),
        ];
        for (keys, _) in of_clusters.into_iter().filter(|(_, is_said)| *is_said) {
            let message = "needs routing: without it the hosts are no cluster".to_owned();
            report(keys, message);
        }
        return;
    }
    if settings.monitor_user(database).is_none() {
        let message = format!("\"{routing}\" needs monitor_user, who asks the hosts what they are");
        report(&["routing"], message);
    }
    let mut seen = Vec::new();
    for host in &database.hosts {
        if seen.contains(&host) {
            report(&["hosts"], format!("\"{host}\" is there twice"));
        }
        seen.push(host);
    }
    let said: [(&'static [&'static str], _); 2] = [
        (&["weights"], all_hosts(&database.weights)),
        (&["zones"], all_hosts(&database.zones)),
    ];
    for (keys, hosts) in said {
        for (place, host) in hosts.iter().enumerate() {
            if !database.hosts.is_empty() && !database.hosts.contains(host) {
                report(keys, format!("\"{host}\" is none of the hosts"));
            }
            if hosts[..place].contains(host) {
                report(keys, format!("\"{host}\" is there twice"));
            }
        }
    }
}

fn all_hosts<T>(list: &[PerHost<T>]) -> Vec<&Host> {
    list.iter().map(|it| &it.host).collect()
}

fn bad_name(what: &str, name: &str) -> Option<String> {
    if name.is_empty() {
        Some("the name is empty".to_owned())
    } else if name.len() > NAME_MAX {
        Some(format!(
            "too long {what} name: {} bytes, more than {NAME_MAX}",
            name.len()
        ))
    } else if name.contains('\0') {
        Some("the name contains a NUL character".to_owned())
    } else {
        None
    }
}
