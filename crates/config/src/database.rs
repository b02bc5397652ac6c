//! `[databases.NAME]`: what clients may connect to, and where it lies.

use std::time::Duration;

use crate::host::Host;
use crate::secret::Secret;
use crate::table::table;
use crate::value::name::Name;
use crate::value::tls::SslMode;
use crate::value::words::{LoadBalanceHosts, PoolMode};

/// The name of the section that stands for every database not named.
pub(crate) const ANY: &str = "*";

table! {
    /// A database that clients may connect to. `None` is what the settings say.
    pub struct Database {
        /// Where it lies. Not given: the Unix socket in `unix_socket_dir`. A port not given is 5432.
        hosts: Vec<Host> as "[\"10.0.0.1:5432\", \"[::1]:5432\", \"/run/postgresql:5432\"]" => Reconnect;
        /// Which of several hosts a new server connection goes to: `round-robin` for each in its
        /// turn, or `disable` for the one that the last connection went to, until it fails. Not given:
        /// the first in the list. A host that is down is left out.
        load_balance_hosts: Option<LoadBalanceHosts> as "\"round-robin\"" => Reconnect;
        /// Its name on the server. Not given: the name clients use.
        dbname: Option<String> as "\"shop\"" => Reconnect;
        /// Every client uses the server as this user. Not given: as who it is.
        user: Option<String> as "\"shop_app\"" => Reconnect;
        /// The password of `user` for the server. Not given: the one of the user's section or
        /// `auth_file`, never one that `auth_query` found.
        password: Option<Secret> as "\"secret\"" => AtOnce;
        /// Instead of the general `auth_user`.
        auth_user: Option<Name> as "\"pooler\"" => AtOnce;
        /// Instead of the general `auth_query`.
        auth_query: Option<String> as "\"SELECT name, secret FROM pooler.secret_of($1)\"" => AtOnce;
        /// Instead of the general `auth_dbname`.
        auth_dbname: Option<Name> as "\"postgres\"" => AtOnce;
        /// Instead of `pool_mode`.
        pool_mode: Option<PoolMode> as "\"session\"" => AtOnce;
        /// Instead of `default_pool_size`.
        pool_size: Option<u32> as "20" => AtOnce;
        /// Instead of `min_pool_size`.
        min_pool_size: Option<u32> as "2" => AtOnce;
        /// Instead of `reserve_pool_size`.
        reserve_pool_size: Option<u32> as "5" => AtOnce;
        /// Instead of the general `max_db_connections`.
        max_db_connections: Option<u32> as "50" => AtOnce;
        /// Instead of the general `max_db_client_connections`.
        max_db_client_connections: Option<u32> as "1000" => AtOnce;
        /// Instead of the general `server_lifetime`.
        server_lifetime: Option<Duration> as "\"30min\"" => AtOnce;
        /// Instead of the general `query_wait_timeout`.
        query_wait_timeout: Option<Duration> as "\"30s\"" => AtOnce;
        /// Run on each server connection after its login.
        connect_query: Option<String> as "\"SET jit = off\"" => Reconnect;
        /// Sent to the server when a connection to it begins: the default of those clients that do
        /// not say anything else.
        client_encoding: Option<String> as "\"UTF8\"" => Reconnect;
        /// The same for `DateStyle`.
        datestyle: Option<String> as "\"ISO, DMY\"" => Reconnect;
        /// The same for `TimeZone`.
        timezone: Option<String> as "\"Europe/Berlin\"" => Reconnect;
        /// The same for `application_name`.
        application_name: Option<String> as "\"pooled\"" => Reconnect;
        /// Instead of the general `server_tls_sslmode`.
        server_tls_sslmode: Option<SslMode> as "\"verify-full\"" => Reconnect;
    }
}

/// A database as a client asked for it.
#[derive(Debug, Clone, Copy, PartialEq)]
pub struct DatabaseRef<'a> {
    /// The name the client used, under which pools and statistics are kept.
    pub name: &'a str,
    /// The section that serves it: its own, or `*`.
    pub database: &'a Database,
}

impl<'a> DatabaseRef<'a> {
    /// The name on the server.
    pub fn dbname(&self) -> &'a str {
        self.database.dbname.as_deref().unwrap_or(self.name)
    }

    /// The user of the pool, for a client that logged in as `login`.
    pub fn pool_user(&self, login: &'a str) -> &'a str {
        self.database.user.as_deref().unwrap_or(login)
    }
}

impl std::ops::Deref for DatabaseRef<'_> {
    type Target = Database;

    fn deref(&self) -> &Database {
        self.database
    }
}
