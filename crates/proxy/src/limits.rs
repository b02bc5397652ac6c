//! What a configuration means for pools and transactions, in the form in which they need it.

use std::rc::Rc;
use std::sync::Arc;
use std::time::{Duration, Instant};

use pgweir_config::Config;
use pgweir_pool::{Kind, PoolKey, Pools};
use pgweir_session::{Rules, Statements};

/// Settings that workers need for each transaction, in the form in which they need them.
#[derive(Debug)]
pub struct Limits {
    /// The configuration that they were taken from.
    source: Arc<Config>,
    max_prepared_statements: usize,
    /// `server_reset_query`.
    pub reset_query: Vec<u8>,
    /// `server_reset_query_always`.
    pub reset_always: bool,
    /// `server_check_query`; none: connections are not checked.
    pub check_query: Option<Vec<u8>>,
    /// `server_connect_timeout`.
    pub connect_timeout: Duration,
    /// `cancel_wait_timeout`.
    pub cancel_timeout: Duration,
}

impl Limits {
    /// From a configuration.
    pub fn of(source: Arc<Config>) -> Rc<Self> {
        let settings = &source.settings;
        Rc::new(Self {
            max_prepared_statements: settings.max_prepared_statements as usize,
            reset_query: settings.server_reset_query.clone().into_bytes(),
            reset_always: settings.server_reset_query_always,
            check_query: settings
                .server_check_query
                .text()
                .map(|text| text.as_bytes().to_vec()),
            connect_timeout: or_for_ever(settings.server_connect_timeout),
            cancel_timeout: or_for_ever(settings.cancel_wait_timeout),
            source,
        })
    }

    /// Whether they were taken from this configuration.
    pub fn is_of(&self, config: &Arc<Config>) -> bool {
        Arc::ptr_eq(&self.source, config)
    }

    /// The rules of a conversation.
    pub fn rules<'a>(&self, statements: &'a Statements) -> Rules<'a> {
        let settings = &self.source.settings;
        Rules {
            statements,
            max_statement_size: u64::from(settings.max_statement_size.bytes()),
            extended_only: settings.disable_pqexec,
            max_packet_size: settings.max_packet_size.bytes(),
            max_prepared_statements: self.max_prepared_statements,
        }
    }
}

/// A timeout of zero means none; a day is as good as none and always representable.
pub fn or_for_ever(timeout: Duration) -> Duration {
    if timeout.is_zero() {
        Duration::from_secs(86_400)
    } else {
        timeout
    }
}

/// The limits of a pool under a configuration.
pub fn of_pool(config: &Config, key: &PoolKey) -> pgweir_pool::Limits {
    let settings = &config.settings;
    let Some(entry) = config.database(&key.database) else {
        return pgweir_pool::Limits::default();
    };
    let (database, user) = (entry.database, &*key.user);
    pgweir_pool::Limits {
        size: config.pool_size(database, user),
        min_size: if key.kind == Kind::Normal {
            config.min_pool_size(database)
        } else {
            0
        },
        reserve_size: config.reserve_pool_size(database, user),
        reserve_delay: settings.reserve_pool_timeout,
        wait_timeout: config.query_wait_timeout(database, user),
        idle_timeout: settings.server_idle_timeout,
        lifetime: config.server_lifetime(database),
        check_delay: settings.server_check_delay,
        login_retry: settings.server_login_retry,
        round_robin: settings.server_round_robin,
        ..pgweir_pool::Limits::default()
    }
}

/// Sets the caps that a pool is under.
pub fn set_caps(config: &Config, key: &PoolKey, pools: &mut Pools) {
    if let Some(entry) = config.database(&key.database) {
        let max = config.max_db_connections(entry.database);
        pools.set_database_cap(&key.database, max, Instant::now());
    }
    pools.set_user_cap(
        &key.user,
        config.max_user_connections(&key.user),
        Instant::now(),
    );
}

/// The key of a pool of this very user, whoever the database's clients are on the server. `host` is that of
/// a cluster, each of which has pools of its own.
pub fn key_as(
    config: &Config,
    database: &str,
    user: &str,
    kind: Kind,
    host: Option<&str>,
) -> Option<PoolKey> {
    let entry = config.database(database)?;
    let all = || host_names(config, entry.database).into();
    Some(PoolKey {
        database: database.into(),
        user: user.into(),
        host: host.map_or_else(all, Into::into),
        kind,
    })
}

/// What a connection to the database's server begins with, besides who it is for.
pub fn startup_parameters(database: &pgweir_config::Database) -> Vec<(&'static str, String)> {
    let parameters = [
        ("client_encoding", &database.client_encoding),
        ("DateStyle", &database.datestyle),
        ("TimeZone", &database.timezone),
        ("application_name", &database.application_name),
    ];
    let given = parameters.into_iter();
    given
        .filter_map(|(name, value)| Some((name, value.clone()?)))
        .collect()
}

/// How one of several hosts is chosen, for the console.
pub fn load_balance_hosts(config: &Config, database: &pgweir_config::Database) -> Option<String> {
    let several = hosts(config, database).len() > 1;
    let chosen = database.load_balance_hosts.filter(|_| several)?;
    Some(chosen.to_string())
}

/// The hosts of a database as a pool names them.
pub fn host_names(config: &Config, database: &pgweir_config::Database) -> String {
    let names: Vec<String> = if database.is_for_patroni_to_say() {
        database.patroni.iter().map(ToString::to_string).collect()
    } else {
        let hosts = hosts(config, database);
        hosts.iter().map(ToString::to_string).collect()
    };
    names.join(",")
}

/// Where a database lies: without `hosts`, as with libpq, behind the Unix socket.
pub fn hosts(config: &Config, database: &pgweir_config::Database) -> Vec<pgweir_config::Host> {
    if database.hosts.is_empty() && !database.is_for_patroni_to_say() {
        let dir = config.settings.unix_socket_dir.clone();
        return vec![pgweir_config::Host::Unix { dir, port: 5432 }];
    }
    database.hosts.clone()
}
