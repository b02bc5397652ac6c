//! Databases that are not in the configuration by their own name: those that `"*"` serves, and those
//! that a reload has removed. What is kept of one ends some time after its last use, as with
//! PgBouncer's `autodb_idle_timeout`: otherwise every name a client makes up would stay for ever.
//! And pools that nobody uses (`pool_idle_timeout`).

use std::collections::BTreeSet;
use std::sync::Arc;
use std::time::{Duration, Instant};

use hashbrown::HashMap;
use pgweir_pool::{Counts, PoolId, PoolKey};

use crate::shared::Shared;

/// How often is looked, at most.
const LOOK: Duration = Duration::from_millis(500);

/// What was seen when it was last looked.
#[derive(Debug, Default)]
pub struct Autodb {
    looked: Option<Instant>,
    /// Since when nobody has used them.
    unused: HashMap<Arc<str>, Instant>,
    /// The same of pools.
    idle: HashMap<PoolId, Instant>,
}

impl Autodb {
    /// Forgets what nobody has used for long.
    pub fn sweep(&mut self, shared: &Shared, now: Instant) {
        let early = |looked| now.saturating_duration_since(looked) < LOOK;
        if self.looked.is_some_and(early) {
            return;
        }
        self.looked = Some(now);
        let config = shared.config.load();
        if !config.settings.autodb_idle_timeout.is_zero() {
            self.databases(shared, config.settings.autodb_idle_timeout, now);
        }
        if config.settings.pool_idle_timeout.is_zero() {
            self.idle.clear();
        } else {
            self.pools(shared, config.settings.pool_idle_timeout, now);
        }
    }

    fn pools(&mut self, shared: &Shared, timeout: Duration, now: Instant) {
        let config = shared.config.load();
        let mut pools = shared.pools.lock();
        let is_idle = |key: &PoolKey, counts: &Counts| {
            let kept = config.database(&key.database).is_some_and(|entry| {
                entry.user.is_some() && config.min_pool_size(entry.database) > 0
            });
            counts.servers() == 0
                && counts.waiting == 0
                && !kept
                && !shared.admissions.has_clients(&config, key)
        };
        let idle = pools
            .iter()
            .filter(|pool| is_idle(pool.key, &pools.counts(pool.id, now)));
        let idle: Vec<PoolId> = idle.map(|pool| pool.id).collect();
        self.idle.retain(|pool, _| idle.contains(pool));
        for pool in idle {
            let since = *self.idle.entry(pool).or_insert(now);
            if now.saturating_duration_since(since) >= timeout {
                pools.remove_pool(pool, "pool_idle_timeout", now);
                shared.welcome.lock().remove(&pool);
                self.idle.remove(&pool);
            }
        }
    }

    fn databases(&mut self, shared: &Shared, timeout: Duration, now: Instant) {
        let names = unused(shared, now);
        self.unused.retain(|name, _| names.contains(name));
        for name in names {
            let since = *self.unused.entry(Arc::clone(&name)).or_insert(now);
            if now.saturating_duration_since(since) >= timeout {
                shared.forget_database(&name, now);
                self.unused.remove(&name);
            }
        }
    }
}

/// Names without a section that have neither clients nor server connections. What DISABLE or PAUSE
/// is in force for is remembered.
fn unused(shared: &Shared, now: Instant) -> BTreeSet<Arc<str>> {
    let mut names: BTreeSet<_> = shared.stats.lock().keys().cloned().collect();
    let config = shared.config.load();
    let admitted = shared.admissions.by_database();
    let pools = shared.pools.lock();
    names.extend(pools.databases());
    names.retain(|name| {
        !config.databases.contains_key(&**name)
            && !matches!(&**name, "pgbouncer" | "pgweir")
            && !admitted.contains_key(name)
            && !pools.is_disabled(name)
            && !pools.is_paused(Some(name))
    });
    for pool in pools.iter() {
        let counts = pools.counts(pool.id, now);
        if counts.servers() > 0 || counts.waiting > 0 {
            names.remove(&pool.key.database);
        }
    }
    names
}
