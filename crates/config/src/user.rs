//! `[users.NAME]`: who may connect, and what holds for them alone.

use std::time::Duration;

use crate::secret::Secret;
use crate::table::table;
use crate::value::words::PoolMode;

table! {
    /// A user. `None` is what the database or the settings say.
    pub struct User {
        /// What the user proves to know: plain, `md5…` or `SCRAM-SHA-256$…`. Not given: it is in
        /// `auth_file`.
        password: Option<Secret> as "\"secret\"" => AtOnce;
        /// Instead of the database's `pool_mode`.
        pool_mode: Option<PoolMode> as "\"session\"" => AtOnce;
        /// Instead of the database's `pool_size`.
        pool_size: Option<u32> as "20" => AtOnce;
        /// Instead of the database's `reserve_pool_size`.
        reserve_pool_size: Option<u32> as "5" => AtOnce;
        /// Instead of the general `max_user_connections`.
        max_user_connections: Option<u32> as "50" => AtOnce;
        /// Instead of the general `max_user_client_connections`.
        max_user_client_connections: Option<u32> as "1000" => AtOnce;
        /// Instead of the general `query_timeout`.
        query_timeout: Option<Duration> as "\"1min\"" => AtOnce;
        /// Instead of the general `transaction_timeout`.
        transaction_timeout: Option<Duration> as "\"10min\"" => AtOnce;
        /// Instead of the general `idle_transaction_timeout`.
        idle_transaction_timeout: Option<Duration> as "\"1min\"" => AtOnce;
        /// Instead of the general `client_idle_timeout`.
        client_idle_timeout: Option<Duration> as "\"1h\"" => AtOnce;
        /// Instead of the database's `query_wait_timeout`.
        query_wait_timeout: Option<Duration> as "\"30s\"" => AtOnce;
    }
}
