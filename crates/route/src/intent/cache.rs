//! Judgements of texts that come again and again.

use std::hash::{BuildHasher, Hasher};

use super::{Catalog, Judgement, judge};
use crate::lex::Dialect;

/// Remembers the judgements of longer texts, whole text by whole text. Shorter ones are judged in less
/// time than the difference is worth.
///
/// Bounded: so many texts of at most [`Cache::TEXT_LEN_MAX`] bytes. A text is taken in when it comes for
/// the second time, so texts that never come again cost nothing.
#[derive(Debug)]
pub struct Cache {
    hasher: foldhash::fast::FixedState,
    /// Invariant: a power of two of them.
    slots: Box<[Slot]>,
}

#[derive(Debug, Default, Clone)]
struct Slot {
    /// Of the text that came here last and was not found.
    missed: u64,
    entry: Option<Box<Entry>>,
}

#[derive(Debug, Clone)]
struct Entry {
    text: Box<[u8]>,
    dialect: Dialect,
    judgement: Judgement,
}

impl Cache {
    /// Shorter texts are not remembered.
    pub const TEXT_LEN_MIN: usize = 64;
    /// Nor are longer ones.
    pub const TEXT_LEN_MAX: usize = 8192;

    /// For about this many texts; `seed` is random, so that nobody can choose texts that drive out
    /// those of others.
    pub fn new(texts: usize, seed: u64) -> Self {
        Self {
            hasher: foldhash::fast::FixedState::with_seed(seed),
            slots: vec![Slot::default(); texts.next_power_of_two()].into_boxed_slice(),
        }
    }

    /// As [`judge`]. What was remembered was said by the catalog of its time: see [`Cache::clear`].
    pub fn judge(
        &mut self,
        text: &[u8],
        dialect: Dialect,
        catalog: &(impl Catalog + ?Sized),
    ) -> Judgement {
        if !(Self::TEXT_LEN_MIN..=Self::TEXT_LEN_MAX).contains(&text.len()) {
            return judge(text, dialect, catalog);
        }
        let mut hasher = self.hasher.build_hasher();
        hasher.write(text);
        let hash = hasher.finish();
        let place = hash as usize & (self.slots.len() - 1);
        let slot = &mut self.slots[place];
        if let Some(entry) = &slot.entry
            && *entry.text == *text
            && entry.dialect == dialect
        {
            return entry.judgement;
        }
        let judgement = judge(text, dialect, catalog);
        if judgement.asked_prepared {
            return judgement;
        }
        if slot.missed == hash {
            slot.entry = Some(Box::new(Entry {
                text: text.into(),
                dialect,
                judgement,
            }));
        }
        slot.missed = hash;
        judgement
    }

    /// Forgets all: the catalog has changed.
    pub fn clear(&mut self) {
        self.slots.fill(Slot::default());
    }
}

#[cfg(test)]
mod tests {
    use std::cell::Cell;

    use super::*;
    use crate::intent::{Function, Intent, Reason};

    /// Counts how often it is asked.
    struct Asked(Cell<usize>, Function);

    impl Catalog for Asked {
        fn function(&self, _schema: Option<&[u8]>, _name: &[u8]) -> Function {
            self.0.set(self.0.get() + 1);
            self.1
        }

        fn has_volatile_views(&self) -> bool {
            false
        }

        fn is_volatile_view(&self, _name: &[u8]) -> bool {
            false
        }

        fn prepared(&self, _name: &[u8]) -> Option<Reason> {
            Some(Reason::Query)
        }
    }

    fn padded(text: &str) -> Vec<u8> {
        format!("{text} -- {}", "x".repeat(Cache::TEXT_LEN_MIN)).into()
    }

    #[test]
    fn a_text_is_judged_twice_and_then_known() {
        let mut cache = Cache::new(8, 1);
        let catalog = Asked(Cell::new(0), Function::Stable);
        let text = padded("select mine(1)");
        for _ in 0..5 {
            let judgement = cache.judge(&text, Dialect::default(), &catalog);
            assert_eq!(judgement.intent(), Intent::Read);
        }
        assert_eq!(catalog.0.get(), 2);
        cache.clear();
        let catalog = Asked(Cell::new(0), Function::Volatile);
        let judgement = cache.judge(&text, Dialect::default(), &catalog);
        assert_eq!(judgement.reason, Reason::VolatileFunction);
    }

    #[test]
    fn neither_a_hash_nor_a_dialect_is_taken_for_another() {
        // One slot: all texts meet there.
        let mut cache = Cache::new(1, 1);
        let catalog = Asked(Cell::new(0), Function::Stable);
        let escaping = Dialect {
            standard_conforming_strings: false,
            ..Dialect::default()
        };
        let read = padded("select 'a\\''; delete from t; --'");
        let write = padded("delete from t");
        for _ in 0..4 {
            for (text, dialect, intent) in [
                (&read, Dialect::default(), Intent::Read),
                (&read, Dialect::default(), Intent::Read),
                (&read, escaping, Intent::Primary),
                (&read, escaping, Intent::Primary),
                (&write, escaping, Intent::Primary),
            ] {
                assert_eq!(cache.judge(text, dialect, &catalog).intent(), intent);
            }
        }
    }

    #[test]
    fn what_depends_on_the_client_is_not_remembered() {
        let mut cache = Cache::new(1, 1);
        let catalog = Asked(Cell::new(0), Function::Stable);
        let text = padded("execute a(mine(1))");
        for round in 1..5 {
            cache.judge(&text, Dialect::default(), &catalog);
            assert_eq!(catalog.0.get(), round);
        }
    }
}
