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
    /// How many of them are idle.
    pub(crate) idle: u32,
    /// The group's pools, by slot.
    pub(crate) pools: Vec<u32>,
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
    caps: Vec<Cap>,
}

impl Caps {
    /// The number of a group.
    pub(crate) fn group(&mut self, name: &str) -> usize {
        if let Some(group) = self.names.get(name) {
            return *group;
        }
        self.caps.push(Cap::default());
        self.names.insert(name.into(), self.caps.len() - 1);
        self.caps.len() - 1
    }

    /// The group of a name, if it has ever been spoken of.
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
