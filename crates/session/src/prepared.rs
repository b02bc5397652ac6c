//! Which shared statements a server connection has.

use std::sync::Arc;

use hashbrown::HashMap;

use crate::reply::Skipped;
use crate::statement::Statement;

/// Whether a statement can be used on a server connection as things stand.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Have {
    /// The server has it, or will have it before it reads what is sent now.
    Yes,
    /// The server does not have it.
    No,
    /// It may have it: closing it first is always right (Close of an unknown name is no error).
    Perhaps,
}

#[derive(Debug)]
struct Entry {
    statement: Arc<Statement>,
    /// Number of the Parse in the queue of replies; below `Replies::answered` it succeeded.
    number: u64,
    /// Parses of one segment (up to Sync) fail together with what comes behind them.
    segment: u64,
    /// Set when the Parse was skipped or the server disowned the statement.
    doubtful: bool,
    /// When it was last used, in uses of this connection.
    used: u64,
}

/// The statements of one server connection, least recently used ones first to go.
#[derive(Debug, Default)]
pub struct Prepared {
    entries: HashMap<u64, Entry, foldhash::fast::FixedState>,
    uses: u64,
}

impl Prepared {
    /// How many there are.
    pub fn len(&self) -> usize {
        self.entries.len()
    }

    /// Whether there are none.
    pub fn is_empty(&self) -> bool {
        self.entries.is_empty()
    }

    /// Whether the statement is there for a request of `segment`, when replies up to `answered`
    /// have come; counts as a use. What was prepared before the request `swept` may be gone.
    pub fn have(&mut self, id: u64, answered: u64, segment: u64, swept: u64) -> Have {
        self.uses += 1;
        match self.entries.get_mut(&id) {
            None => Have::No,
            Some(entry) => {
                entry.used = self.uses;
                let sure = entry.number < answered || entry.segment == segment;
                if sure && !entry.doubtful && entry.number >= swept {
                    Have::Yes
                } else {
                    Have::Perhaps
                }
            }
        }
    }

    /// A Parse of it is being sent as the request of this number.
    pub fn insert(&mut self, statement: Arc<Statement>, number: u64, segment: u64) {
        self.uses += 1;
        let used = self.uses;
        let id = statement.id();
        self.entries.insert(
            id,
            Entry {
                statement,
                number,
                segment,
                doubtful: false,
                used,
            },
        );
    }

    /// Parses among these requests did not happen.
    pub fn skipped(&mut self, skipped: Skipped) {
        for entry in self.entries.values_mut() {
            if skipped.contains(entry.number) {
                entry.doubtful = true;
            }
        }
    }

    /// The server says that it has no such statement, or another one, or that its plan is out of
    /// date.
    pub fn doubt(&mut self, id: u64) {
        if let Some(entry) = self.entries.get_mut(&id) {
            entry.doubtful = true;
        }
    }

    /// Any of them may be gone.
    pub fn doubt_all(&mut self) {
        for entry in self.entries.values_mut() {
            entry.doubtful = true;
        }
    }

    /// DISCARD ALL or DEALLOCATE ALL, the request of this number, went through.
    pub fn clear_before(&mut self, number: u64) {
        self.entries.retain(|_, entry| entry.number >= number);
    }

    /// Takes out the least recently used one when there are more than `limit`.
    pub fn evict(&mut self, limit: usize) -> Option<Arc<Statement>> {
        if self.entries.len() <= limit {
            return None;
        }
        let (&id, _) = self.entries.iter().min_by_key(|(_, entry)| entry.used)?;
        self.entries.remove(&id).map(|entry| entry.statement)
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::statement::Statements;

    #[test]
    fn a_parse_is_sure_in_its_own_segment_or_once_answered() {
        let store = Statements::new(1);
        let statement = store.intern(b"select 1", b"", |_| false);
        let id = statement.id();
        let mut prepared = Prepared::default();
        assert_eq!(prepared.have(id, 0, 0, 0), Have::No);
        prepared.insert(statement, 5, 0);
        assert_eq!(prepared.have(id, 5, 0, 0), Have::Yes);
        assert_eq!(prepared.have(id, 5, 1, 0), Have::Perhaps);
        assert_eq!(prepared.have(id, 6, 1, 0), Have::Yes);
        prepared.skipped(Skipped { from: 4, to: 6 });
        assert_eq!(prepared.have(id, 6, 0, 0), Have::Perhaps);
    }

    #[test]
    fn what_is_sent_behind_a_sweep_outlives_it() {
        let store = Statements::new(1);
        let mut prepared = Prepared::default();
        for (number, text) in [(3, b"a"), (5, b"b")] {
            prepared.insert(store.intern(text, b"", |_| false), number, 0);
        }
        prepared.clear_before(4);
        assert_eq!(
            (prepared.have(1, 9, 9, 0), prepared.have(2, 9, 9, 0)),
            (Have::No, Have::Yes)
        );
        assert_eq!(prepared.have(2, 9, 9, 6), Have::Perhaps);
    }

    #[test]
    fn the_least_recently_used_goes_first() {
        let store = Statements::new(1);
        let mut prepared = Prepared::default();
        let all: Vec<_> = (0..3u8)
            .map(|n| store.intern(&[n], b"", |_| false))
            .collect();
        for statement in &all {
            prepared.insert(Arc::clone(statement), 0, 0);
        }
        prepared.have(all[0].id(), 1, 0, 0);
        assert_eq!(prepared.evict(2).map(|s| s.id()), Some(all[1].id()));
        assert!(prepared.evict(2).is_none());
    }
}
