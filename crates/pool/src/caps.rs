//! Caps on the server connections of a database or of a user, over all their pools.

use std::collections::HashMap;
use std::sync::Arc;

/// One group of pools that share a cap.
#[derive(Debug, Default)]
pub(crate) struct Cap {
    /// Connections at most; 0: no limit.
    pub(crate) max: u32,
    /// Connections of all pools of the group, in whatever place.
    pub(crate) count: u32,
}

/// Groups by name; a pool knows its group by number.
#[derive(Debug, Default)]
pub(crate) struct Caps {
    names: HashMap<Arc<str>, usize>,
    caps: Vec<Cap>,
}

impl Caps {
    /// The number of a group.
    pub(crate) fn group(&mut self, name: &Arc<str>) -> usize {
        *self.names.entry(Arc::clone(name)).or_insert_with(|| {
            self.caps.push(Cap::default());
            self.caps.len() - 1
        })
    }

    pub(crate) fn set(&mut self, name: &str, max: u32) {
        let group = self.group(&name.into());
        self.caps[group].max = max;
    }

    pub(crate) fn is_full(&self, group: usize) -> bool {
        let cap = &self.caps[group];
        cap.max > 0 && cap.count >= cap.max
    }

    pub(crate) fn add(&mut self, group: usize) {
        self.caps[group].count += 1;
    }

    pub(crate) fn subtract(&mut self, group: usize) {
        self.caps[group].count -= 1;
    }

    #[cfg(test)]
    pub(crate) fn get(&self, group: usize) -> &Cap {
        &self.caps[group]
    }
}
