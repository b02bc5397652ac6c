//! Where statements went, and why: counts for SHOW ROUTES, and what was learnt from it.

use std::collections::BTreeMap;
use std::sync::Arc;

use hashbrown::HashMap;
use parking_lot::Mutex;
use pgweir_session::Known;

/// Where a statement went.
#[derive(Debug, Clone, Copy, PartialEq, Eq, PartialOrd, Ord, Hash)]
pub enum Place {
    /// To the primary.
    Primary,
    /// To a standby.
    Standby,
}

impl Place {
    /// A word for tables.
    pub fn word(self) -> &'static str {
        match self {
            Self::Primary => "primary",
            Self::Standby => "standby",
        }
    }
}

/// What is known of the routes of one database.
#[derive(Debug, Default)]
pub struct Routes {
    counts: Mutex<HashMap<(Place, &'static str), u64>>,
    /// What is known of its statements.
    pub known: Arc<Known>,
}

impl Routes {
    /// One more.
    pub fn count(&self, target: Place, reason: &'static str) {
        let mut counts = self.counts.lock();
        *counts.entry((target, reason)).or_default() += 1;
    }

    /// All of them, in order.
    pub fn all(&self) -> Vec<(Place, &'static str, u64)> {
        let counts = self.counts.lock();
        let sorted: BTreeMap<_, _> = counts.iter().map(|(key, count)| (*key, *count)).collect();
        let rows = sorted.into_iter();
        rows.map(|((target, reason), count)| (target, reason, count))
            .collect()
    }
}

/// Those of all databases.
#[derive(Debug, Default)]
pub struct AllRoutes(Mutex<BTreeMap<Arc<str>, Arc<Routes>>>);

impl AllRoutes {
    /// Those of one, from now on if there were none.
    pub fn of(&self, database: &Arc<str>) -> Arc<Routes> {
        let mut all = self.0.lock();
        Arc::clone(all.entry(Arc::clone(database)).or_default())
    }

    /// Of each database.
    pub fn all(&self) -> Vec<(Arc<str>, Arc<Routes>)> {
        let all = self.0.lock();
        let pairs = all.iter();
        pairs
            .map(|(name, routes)| (Arc::clone(name), Arc::clone(routes)))
            .collect()
    }

    /// A database is gone.
    pub fn forget(&self, database: &str) {
        self.0.lock().remove(database);
    }
}
