//! Caps on the server connections of a database or of a user, over all their pools.

use std::collections::HashMap;
use std::sync::Arc;

use slab::Slab;

/// One group of pools that share a cap.
#[derive(Debug, Default)]
pub(crate) struct Cap {
    /// Connections at most; 0: no limit.
    pub(crate) max: u32,
    /// Connections of all pools of the group, in whatever place.
    pub(crate) count: u32,
    /// How many of them are idle.
    pub(crate) idle: u32,
    /// The group's pools, by slot.
    pub(crate) pools: Vec<u32>,
    /// Whether it ends with its last pool.
    ending: bool,
}

impl Cap {
    /// Whether there may be no more.
    pub(crate) fn is_full(&self) -> bool {
        self.max > 0 && self.count >= self.max
    }

    /// Whether there are too many: the cap has been lowered.
    pub(crate) fn is_over(&self) -> bool {
        self.max > 0 && self.count > self.max
    }
}

/// Groups by name; a pool knows its group by number.
#[derive(Debug, Default)]
pub(crate) struct Caps {
    names: HashMap<Arc<str>, usize>,
    caps: Slab<Cap>,
}

impl Caps {
    /// The number of a group.
    pub(crate) fn group(&mut self, name: &str) -> usize {
        if let Some(group) = self.names.get(name) {
            self.caps[*group].ending = false;
            return *group;
        }
        let group = self.caps.insert(Cap::default());
        self.names.insert(name.into(), group);
        group
    }

    /// A pool of a group has ended.
    pub(crate) fn part(&mut self, group: usize, name: &str, pool: u32) {
        let cap = &mut self.caps[group];
        cap.pools.retain(|other| *other != pool);
        if cap.ending && cap.pools.is_empty() {
            self.caps.remove(group);
            self.names.remove(name);
        }
    }

    /// A group is not spoken of any more: it ends, cap and all, with its last pool.
    pub(crate) fn end(&mut self, name: &str) {
        let Some(group) = self.names.get(name) else {
            return;
        };
        self.caps[*group].ending = true;
        if self.caps[*group].pools.is_empty() {
            self.caps.remove(*group);
            self.names.remove(name);
        }
    }

    /// The group of a name, if it is spoken of.
    pub(crate) fn find(&self, name: &str) -> Option<&Cap> {
        self.names.get(name).map(|group| &self.caps[*group])
    }

    pub(crate) fn get(&self, group: usize) -> &Cap {
        &self.caps[group]
    }

    pub(crate) fn get_mut(&mut self, group: usize) -> &mut Cap {
        &mut self.caps[group]
    }
}
