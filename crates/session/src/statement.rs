//! Statements of the extended protocol, shared by all who prepare the same text.
//!
//! A statement's identity is its whole text, its parameter types and its context (the settings under
//! which it is parsed: they decide what bytes, escapes and literals mean), compared in full under a
//! hash with a random seed. On a server connection it has one name, made from its id, so a
//! connection that has it serves every client that prepared it, whatever each of them calls it.

use std::hash::{BuildHasher, Hasher};
use std::sync::{Arc, Mutex, PoisonError, Weak};

use hashbrown::HashTable;

use crate::context::Context;
use crate::effects::{self, Verdict};

/// What the names of statements on server connections begin with.
pub const NAME_PREFIX: &str = "pgweir_";

/// A text with its parameter types.
#[derive(Debug)]
pub struct Statement {
    id: u64,
    hash: u64,
    /// Name on the server: `pgweir_` and the id.
    name: Box<[u8]>,
    text: Box<[u8]>,
    /// Four bytes for each type that the client named, as in Parse.
    types: Box<[u8]>,
    context: Context,
    verdict: Verdict,
}

impl Statement {
    /// Unique among all statements of this process.
    pub fn id(&self) -> u64 {
        self.id
    }

    /// The name on every server connection.
    pub fn name(&self) -> &[u8] {
        &self.name
    }

    /// The SQL text, in the client's encoding.
    pub fn text(&self) -> &[u8] {
        &self.text
    }

    /// The parameter types as they stand in Parse: four bytes each.
    pub fn types(&self) -> &[u8] {
        &self.types
    }

    /// What running it may leave behind.
    pub fn verdict(&self) -> Verdict {
        self.verdict
    }

    /// The settings under which it is parsed.
    pub fn context(&self) -> &Context {
        &self.context
    }

    /// Whether it is this text with these types in this context.
    pub fn is(&self, text: &[u8], types: &[u8], context: &Context) -> bool {
        *self.text == *text && *self.types == *types && self.context == *context
    }
}

/// All statements that somebody holds, by their content.
#[derive(Debug)]
pub struct Statements {
    hasher: foldhash::fast::FixedState,
    inner: Mutex<Inner>,
}

#[derive(Debug)]
struct Inner {
    table: HashTable<(u64, Weak<Statement>)>,
    next_id: u64,
    /// At this many entries the dead ones are swept out. Invariant: at least twice what the last
    /// sweep left, so that sweeping costs a constant share of inserting.
    sweep_at: usize,
}

const SWEEP_MIN: usize = 1024;

/// The name of the statement of this id on every server connection.
pub(crate) fn server_name(id: u64) -> Vec<u8> {
    let mut name = NAME_PREFIX.as_bytes().to_vec();
    name.extend_from_slice(itoa::Buffer::new().format(id).as_bytes());
    name
}

/// The name that is sent in the place of one that only looks like ours; no statement has it.
pub(crate) fn pretender(name: &[u8]) -> Vec<u8> {
    [name, b" (client)"].concat()
}

impl Statements {
    /// An empty store; `seed` is random, so that nobody can choose texts whose hashes collide.
    pub fn new(seed: u64) -> Self {
        Self {
            hasher: foldhash::fast::FixedState::with_seed(seed),
            inner: Mutex::new(Inner {
                table: HashTable::new(),
                next_id: 1,
                sweep_at: SWEEP_MIN,
            }),
        }
    }

    /// [`Statements::intern_in`] a context of no settings.
    pub fn intern(
        &self,
        text: &[u8],
        types: &[u8],
        reported: impl Fn(&[u8]) -> bool,
    ) -> Arc<Statement> {
        self.intern_in(&Context::default(), text, types, reported)
    }

    /// The statement of this text and these types in this context; made when nobody holds it yet.
    ///
    /// `reported` says which parameters the server reports (see [`effects::judge`]).
    pub fn intern_in(
        &self,
        context: &Context,
        text: &[u8],
        types: &[u8],
        reported: impl Fn(&[u8]) -> bool,
    ) -> Arc<Statement> {
        let mut hasher = self.hasher.build_hasher();
        hasher.write(text);
        hasher.write(types);
        hasher.write_usize(text.len());
        for (name, value) in context.settings().iter() {
            hasher.write(name);
            hasher.write(value);
        }
        let hash = hasher.finish();
        let mut inner = self.inner.lock().unwrap_or_else(PoisonError::into_inner);
        let mut found = None;
        inner.table.find(hash, |(other, weak)| {
            if *other == hash
                && let Some(statement) = weak.upgrade()
                && statement.is(text, types, context)
            {
                found = Some(statement);
                return true;
            }
            false
        });
        if let Some(statement) = found {
            return statement;
        }
        if inner.table.len() >= inner.sweep_at {
            inner.table.retain(|(_, weak)| weak.strong_count() > 0);
            inner.sweep_at = SWEEP_MIN.max(inner.table.len() * 2);
        }
        let id = inner.next_id;
        inner.next_id += 1;
        let statement = Arc::new(Statement {
            id,
            hash,
            name: server_name(id).into(),
            text: text.into(),
            types: types.into(),
            context: context.clone(),
            verdict: effects::judge(text, reported),
        });
        inner
            .table
            .insert_unique(hash, (hash, Arc::downgrade(&statement)), |(hash, _)| *hash);
        statement
    }

    /// How many entries there are, dead ones that were not swept yet included.
    pub fn len(&self) -> usize {
        self.inner
            .lock()
            .unwrap_or_else(PoisonError::into_inner)
            .table
            .len()
    }

    /// Whether there are none.
    pub fn is_empty(&self) -> bool {
        self.len() == 0
    }
}

impl std::hash::Hash for Statement {
    fn hash<H: Hasher>(&self, state: &mut H) {
        state.write_u64(self.hash);
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::settings::{Parameters, Settings};

    fn none(_: &[u8]) -> bool {
        false
    }

    #[test]
    fn equal_text_is_one_statement() {
        let store = Statements::new(7);
        let a = store.intern(b"select $1", &[0, 0, 0, 23], none);
        let b = store.intern(b"select $1", &[0, 0, 0, 23], none);
        let c = store.intern(b"select $1", &[0, 0, 0, 25], none);
        assert!(Arc::ptr_eq(&a, &b));
        assert_ne!(a.id(), c.id());
        assert_eq!(a.name(), b"pgweir_1");
    }

    #[test]
    fn s4_the_same_text_under_other_settings_is_another_statement() {
        let store = Statements::new(7);
        let german = Settings::new([(&b"DateStyle"[..], &b"German"[..])]);
        let german = Context::new(Arc::default(), &german);
        let a = store.intern(b"select '1.2.2026'::date", b"", none);
        let b = store.intern_in(&german, b"select '1.2.2026'::date", b"", none);
        let c = store.intern_in(&german.clone(), b"select '1.2.2026'::date", b"", none);
        assert_ne!(a.id(), b.id());
        assert!(Arc::ptr_eq(&b, &c));
        // The same settings, and other defaults.
        let mut base = Parameters::default();
        base.insert(b"DateStyle", b"SQL, MDY");
        let elsewhere = Context::new(Arc::new(base), &Settings::default());
        let d = store.intern_in(&elsewhere, b"select '1.2.2026'::date", b"", none);
        assert_ne!(a.id(), d.id());
    }

    #[test]
    fn what_nobody_holds_is_forgotten() {
        let store = Statements::new(7);
        for n in 0..5000u32 {
            store.intern(&n.to_be_bytes(), b"", none);
        }
        assert!(store.len() <= SWEEP_MIN + 1);
    }
}
