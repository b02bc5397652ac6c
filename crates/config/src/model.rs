//! The checked model: everything a configuration says, whatever it was written in.

use std::collections::BTreeMap;
use std::time::Duration;

use crate::database::{ANY, Database, DatabaseRef, read_only_base};
use crate::host::{Host, PORT};
use crate::peer::Peer;
use crate::settings::Settings;
use crate::table::{Applies, Table};
use crate::user::User;
use crate::value::tls::SslMode;
use crate::value::words::{PoolMode, Routing};

/// Everything a configuration says.
#[derive(Debug, Clone, PartialEq, Default)]
pub struct Config {
    /// What holds for the whole process.
    pub settings: Settings,
    /// What clients may connect to, by the name they use; `*` stands for every other name.
    pub databases: BTreeMap<String, Database>,
    /// What holds for single users.
    pub users: BTreeMap<String, User>,
    /// Processes that pass cancel requests on to each other, by `peer_id`. This one may be among
    /// them.
    pub peers: BTreeMap<u16, Peer>,
}

/// Where the secret of a user is asked for whom no file has one.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct AuthQuery<'a> {
    /// In which database, by the name that clients use.
    pub database: &'a str,
    /// As whom.
    pub user: &'a str,
    /// The query; its parameter is the user's name.
    pub query: &'a str,
}

impl Config {
    /// Where secrets are asked for when a client wants `database`; `None` if they are not.
    pub fn auth_query<'a>(&'a self, database: &'a str) -> Option<AuthQuery<'a>> {
        let entry = self.database(database).map(|entry| entry.database);
        let settings = &self.settings;
        let user = entry.and_then(|it| it.auth_user.as_deref());
        let elsewhere = entry.and_then(|it| it.auth_dbname.as_deref());
        let query = entry.and_then(|it| it.auth_query.as_deref());
        Some(AuthQuery {
            user: user.or(settings.auth_user.as_deref())?,
            database: elsewhere
                .or(settings.auth_dbname.as_deref())
                // In a database that does not exist there is nobody to ask.
                .or(entry.map(|_| database))?,
            query: query.unwrap_or(&settings.auth_query),
        })
    }

    /// The database a client asked for by this name, if there is one; `*` serves every other name.
    pub fn database<'a>(&'a self, name: &'a str) -> Option<DatabaseRef<'a>> {
        let database = self
            .databases
            .get(name)
            .or_else(|| self.of_standbys(name))
            .or_else(|| self.databases.get(ANY))?;
        Some(DatabaseRef { name, database })
    }

    /// The section of a cluster that a name with `_readonly` behind it means.
    fn of_standbys(&self, name: &str) -> Option<&Database> {
        let cluster = self.databases.get(read_only_base(name)?)?;
        (cluster.routing() == Routing::ByName).then_some(cluster)
    }

    /// When a server connection of `user` (the user of the pool) goes back to its pool.
    pub fn pool_mode(&self, database: &Database, user: &str) -> PoolMode {
        self.first(
            user,
            |user| user.pool_mode,
            database.pool_mode,
            self.settings.pool_mode,
        )
    }

    /// Server connections of a pool at most; 0 is no limit. `user` is the user of the pool.
    pub fn pool_size(&self, database: &Database, user: &str) -> u32 {
        let general = self.settings.default_pool_size;
        self.first(user, |user| user.pool_size, database.pool_size, general)
    }

    /// Server connections a pool in use keeps at least.
    pub fn min_pool_size(&self, database: &Database) -> u32 {
        database
            .min_pool_size
            .unwrap_or(self.settings.min_pool_size)
    }

    /// Server connections beyond the size of a pool. `user` is the user of the pool.
    pub fn reserve_pool_size(&self, database: &Database, user: &str) -> u32 {
        let general = self.settings.reserve_pool_size;
        self.first(
            user,
            |user| user.reserve_pool_size,
            database.reserve_pool_size,
            general,
        )
    }

    /// Server connections of a database at most; 0 is no limit.
    pub fn max_db_connections(&self, database: &Database) -> u32 {
        database
            .max_db_connections
            .unwrap_or(self.settings.max_db_connections)
    }

    /// Client connections of a database at most; 0 is no limit.
    pub fn max_db_client_connections(&self, database: &Database) -> u32 {
        database
            .max_db_client_connections
            .unwrap_or(self.settings.max_db_client_connections)
    }

    /// Server connections of a user of pools at most; 0 is no limit.
    pub fn max_user_connections(&self, user: &str) -> u32 {
        let general = self.settings.max_user_connections;
        self.first(user, |user| user.max_user_connections, None, general)
    }

    /// Client connections of a user who logs in at most; 0 is no limit.
    pub fn max_user_client_connections(&self, login: &str) -> u32 {
        let general = self.settings.max_user_client_connections;
        self.first(
            login,
            |user| user.max_user_client_connections,
            None,
            general,
        )
    }

    /// Age at which a server connection is closed; 0 is after one use.
    pub fn server_lifetime(&self, database: &Database) -> Duration {
        database
            .server_lifetime
            .unwrap_or(self.settings.server_lifetime)
    }

    /// Whether the database's servers are reached over TLS.
    pub fn server_tls_sslmode(&self, database: &Database) -> SslMode {
        database
            .server_tls_sslmode
            .unwrap_or(self.settings.server_tls_sslmode)
    }

    /// How long a client who logged in as `login` waits for a server connection; 0 is for ever.
    pub fn query_wait_timeout(&self, database: &Database, login: &str) -> Duration {
        let general = self.settings.query_wait_timeout;
        self.first(
            login,
            |user| user.query_wait_timeout,
            database.query_wait_timeout,
            general,
        )
    }

    /// How long a query of the user may run; 0 is for ever.
    pub fn query_timeout(&self, user: &str) -> Duration {
        self.first(
            user,
            |user| user.query_timeout,
            None,
            self.settings.query_timeout,
        )
    }

    /// How long a transaction of the user may take; 0 is for ever.
    pub fn transaction_timeout(&self, user: &str) -> Duration {
        self.first(
            user,
            |user| user.transaction_timeout,
            None,
            self.settings.transaction_timeout,
        )
    }

    /// How long the user may idle inside a transaction; 0 is for ever.
    pub fn idle_transaction_timeout(&self, user: &str) -> Duration {
        let general = self.settings.idle_transaction_timeout;
        self.first(user, |user| user.idle_transaction_timeout, None, general)
    }

    /// How long a client who logged in as `login` may idle; 0 is for ever.
    pub fn client_idle_timeout(&self, login: &str) -> Duration {
        self.first(
            login,
            |user| user.client_idle_timeout,
            None,
            self.settings.client_idle_timeout,
        )
    }

    /// What is in force after `new` was loaded into a running process: all of `new` but the
    /// settings that only a start changes.
    pub fn reloaded(&self, new: Config) -> Config {
        let mut reloaded = new;
        for key in Settings::KEYS
            .iter()
            .filter(|key| key.applies == Applies::Restart)
        {
            (key.copy)(&mut reloaded.settings, &self.settings);
        }
        reloaded
    }

    /// A database without hosts lies where libpq would look: on the local Unix socket.
    pub(crate) fn complete_hosts(&mut self) {
        let dir = &self.settings.unix_socket_dir;
        for database in self
            .databases
            .values_mut()
            .filter(|it| it.hosts.is_empty() && !it.is_for_patroni_to_say())
        {
            // Without a directory there is no host, which the check reports.
            database.hosts.extend(Host::from_parts(dir, PORT).ok());
        }
    }

    /// The user's own value, else the database's, else the general one.
    fn first<T>(
        &self,
        user: &str,
        own: impl Fn(&User) -> Option<T>,
        database: Option<T>,
        general: T,
    ) -> T {
        self.users
            .get(user)
            .and_then(own)
            .or(database)
            .unwrap_or(general)
    }
}
