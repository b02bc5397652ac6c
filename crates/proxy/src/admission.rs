//! How many clients may be there: `max_client_conn` and the like.

use std::sync::Arc;
use std::sync::atomic::{AtomicU32, Ordering::Relaxed};

use hashbrown::HashMap;
use parking_lot::Mutex;
use pgweir_config::{Config, DatabaseRef};
use pgweir_pool::{PoolId, PoolKey};

use crate::stats::Stats;

/// The clients that are there, those of the console not counted.
#[derive(Debug, Default)]
pub struct Admissions(Mutex<Counts>);

/// Numbers of clients by database and by user.
#[derive(Debug, Default)]
struct Counts {
    total: u32,
    databases: HashMap<Arc<str>, u32>,
    users: HashMap<Arc<str>, u32>,
    /// By database and user.
    pairs: HashMap<(Arc<str>, Arc<str>), u32>,
}

/// A limit is reached.
#[derive(Debug, Clone, Copy, PartialEq, Eq, thiserror::Error)]
#[error("{setting} is reached with {count} clients")]
pub struct Full {
    /// The setting that limits.
    pub setting: &'static str,
    /// How many clients there are under it.
    pub count: u32,
}

/// One client's place; given back when dropped.
#[derive(Debug)]
pub struct Admission {
    admissions: Arc<Admissions>,
    database: Arc<str>,
    user: Arc<str>,
}

impl Drop for Admission {
    fn drop(&mut self) {
        let mut counts = self.admissions.0.lock();
        counts.total -= 1;
        less(&mut counts.databases, &self.database);
        less(&mut counts.users, &self.user);
        let pair = (Arc::clone(&self.database), Arc::clone(&self.user));
        less(&mut counts.pairs, &pair);
    }
}

/// One client less under a name, which is forgotten with the last.
fn less<K: Eq + std::hash::Hash>(counts: &mut HashMap<K, u32>, name: &K) {
    if let Some(count) = counts.get_mut(name) {
        *count -= 1;
        if *count == 0 {
            counts.remove(name);
        }
    }
}

/// What a login has found for a client.
#[derive(Debug)]
pub struct Seat {
    /// Where its server connections come from.
    pub pool: PoolId,
    /// Where it is counted.
    pub stats: Arc<Stats>,
    /// Its place among those who may be there.
    pub admission: Admission,
}

impl Admissions {
    /// A place for a client that has proved who it is.
    ///
    /// # Errors
    /// When a limit is reached.
    pub fn admit(
        self: &Arc<Self>,
        config: &Config,
        database: &str,
        user: &str,
    ) -> Result<Admission, Full> {
        let mut counts = self.0.lock();
        let in_database = counts.databases.get(database).copied().unwrap_or(0);
        let of_user = counts.users.get(user).copied().unwrap_or(0);
        let entry = config.database(database);
        let in_database_max =
            entry.map_or(0, |entry| config.max_db_client_connections(entry.database));
        let below = |setting: &'static str, count: u32, limit: u32| {
            if limit > 0 && count >= limit {
                return Err(Full { setting, count });
            }
            Ok(())
        };
        below("max_db_client_connections", in_database, in_database_max)?;
        let of_user_max = config.max_user_client_connections(user);
        below("max_user_client_connections", of_user, of_user_max)?;
        let (database, user): (Arc<str>, Arc<str>) = (database.into(), user.into());
        counts.total += 1;
        *counts.databases.entry(Arc::clone(&database)).or_default() += 1;
        *counts.users.entry(Arc::clone(&user)).or_default() += 1;
        let pair = (Arc::clone(&database), Arc::clone(&user));
        *counts.pairs.entry(pair).or_default() += 1;
        Ok(Admission {
            admissions: Arc::clone(self),
            database,
            user,
        })
    }

    /// How many clients there are.
    pub fn total(&self) -> u32 {
        self.0.lock().total
    }

    /// Does something about a database unless clients of it are there. Nobody is admitted
    /// meanwhile.
    pub fn unless_used(&self, database: &str, change: impl FnOnce()) {
        let counts = self.0.lock();
        if !counts.databases.contains_key(database) {
            change();
        }
    }

    /// Whether a pool has clients. A database whose server connections have a user of its own has
    /// them always if its section names it, as in PgBouncer.
    pub fn uses(&self, config: &Config, key: &PoolKey) -> bool {
        let forced = |entry: DatabaseRef<'_>| entry.user.is_some();
        let counts = self.0.lock();
        if config.database(&key.database).is_some_and(forced) {
            let is_named = config.databases.contains_key(&*key.database);
            return is_named || counts.databases.contains_key(&key.database);
        }
        let pair = (Arc::clone(&key.database), Arc::clone(&key.user));
        counts.pairs.contains_key(&pair)
    }

    /// Whether there are clients of a pool.
    pub fn has_clients(&self, config: &Config, key: &PoolKey) -> bool {
        let counts = self.0.lock();
        let entry = config.database(&key.database);
        if entry.is_some_and(|entry| entry.user.is_some()) {
            return counts.databases.contains_key(&key.database);
        }
        let pair = (Arc::clone(&key.database), Arc::clone(&key.user));
        counts.pairs.contains_key(&pair)
    }

    /// How many there are of each database.
    pub fn by_database(&self) -> HashMap<Arc<str>, u32> {
        self.0.lock().databases.clone()
    }

    /// How many there are of each database and user who has logged in.
    pub fn by_pair(&self) -> HashMap<(Arc<str>, Arc<str>), u32> {
        self.0.lock().pairs.clone()
    }

    /// How many there are of each user.
    pub fn by_user(&self) -> HashMap<Arc<str>, u32> {
        self.0.lock().users.clone()
    }
}

/// Connections that have not logged in yet, for which a shutdown that waits for clients waits too.
#[derive(Debug, Default)]
pub struct Newcomers(Arc<AtomicU32>);

impl Newcomers {
    /// How many there are.
    pub fn count(&self) -> u32 {
        self.0.load(Relaxed)
    }

    /// One more, until this is dropped.
    pub fn one(&self) -> Newcomer {
        self.0.fetch_add(1, Relaxed);
        Newcomer(Arc::clone(&self.0))
    }
}

/// One of them.
#[derive(Debug)]
pub struct Newcomer(Arc<AtomicU32>);

impl Drop for Newcomer {
    fn drop(&mut self) {
        self.0.fetch_sub(1, Relaxed);
    }
}
