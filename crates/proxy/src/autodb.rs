//! Databases that are not in the configuration by their own name: those that `"*"` serves, and those
//! that a reload has removed. What is kept of one ends some time after its last use, as with
//! PgBouncer's `autodb_idle_timeout`: otherwise every name a client makes up would stay for ever.

use std::collections::BTreeSet;
use std::sync::Arc;
use std::time::{Duration, Instant};

use hashbrown::HashMap;

use crate::shared::Shared;

/// How often is looked, at most.
const LOOK: Duration = Duration::from_millis(500);

/// What was seen when it was last looked.
#[derive(Debug, Default)]
pub struct Autodb {
    looked: Option<Instant>,
    /// Since when nobody has used them.
    unused: HashMap<Arc<str>, Instant>,
}

impl Autodb {
    /// Forgets what nobody has used for long.
    pub fn sweep(&mut self, shared: &Shared, now: Instant) {
        let timeout = shared.config.load().settings.autodb_idle_timeout;
        let early = |looked| now.saturating_duration_since(looked) < LOOK;
        if timeout.is_zero() || self.looked.is_some_and(early) {
            return;
        }
        self.looked = Some(now);
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
