//! What a client's next requests want of a host, where the hosts of a database are a cluster.
//!
//! Requests are judged in units: one Query, or all of the extended protocol up to Sync. A unit goes to one
//! host as a whole. It is judged before a server connection is asked for, from as much of it as is
//! there; a unit that is not there to its end is waited for, as long as it is not large.

use std::cell::RefCell;
use std::rc::Rc;
use std::sync::atomic::{
    AtomicBool, AtomicU64,
    Ordering::{Acquire, Relaxed, Release},
};
use std::sync::{Arc, PoisonError, RwLock};

use hashbrown::HashSet;
use pgweir_route::intent::{Access, Cache, Intent, Judgement, Reason, Snapshot};
use pgweir_route::lex::Dialect;
use pgweir_route::topology::Lsn;

/// Texts whose intent is remembered.
const TEXTS: usize = 1024;

/// What is known of the intents of texts, on one thread, for the clients of one database.
#[derive(Debug)]
pub struct Intents {
    cache: RefCell<Cache>,
    pub(crate) known: Arc<Known>,
    snapshot: RefCell<(u64, Arc<Snapshot>)>,
}

impl Intents {
    /// For what is known of a database; `seed` is random.
    pub fn new(known: Arc<Known>, seed: u64) -> Rc<Self> {
        Rc::new(Self {
            cache: RefCell::new(Cache::new(TEXTS, seed)),
            snapshot: RefCell::new((known.version(), known.snapshot())),
            known,
        })
    }

    pub(crate) fn judge(&self, text: &[u8], dialect: Dialect) -> Judgement {
        let mut cache = self.cache.borrow_mut();
        let mut snapshot = self.snapshot.borrow_mut();
        let version = self.known.version();
        if snapshot.0 != version {
            // What was judged was judged by another catalog.
            cache.clear();
            *snapshot = (version, self.known.snapshot());
        }
        let judgement = cache.judge(text, dialect, &*snapshot.1);
        if self.known.has_refused(text) {
            return Judgement {
                reason: Reason::Refused,
                ..judgement
            };
        }
        judgement
    }
}

/// What is known of a database, for all its clients.
#[derive(Debug, Default)]
pub struct Known {
    /// Texts that seem to read, and for which standbys have refused to write.
    refused: RwLock<HashSet<Box<[u8]>, foldhash::fast::RandomState>>,
    /// Whether there are any: nearly never.
    has_refused: AtomicBool,
    snapshot: RwLock<Arc<Snapshot>>,
    /// Changes with the snapshot.
    version: AtomicU64,
    /// A definition may have changed since the snapshot was taken.
    is_outdated: AtomicBool,
}

impl Known {
    /// What the catalog has, from now on.
    pub fn learn(&self, snapshot: Snapshot) {
        let mut place = self
            .snapshot
            .write()
            .unwrap_or_else(PoisonError::into_inner);
        *place = Arc::new(snapshot);
        self.version.fetch_add(1, Release);
    }

    /// Somebody has sent a statement that changes definitions.
    pub(crate) fn outdate(&self) {
        self.is_outdated.store(true, Relaxed);
    }

    /// Whether somebody has since this was asked last.
    pub fn take_outdated(&self) -> bool {
        self.is_outdated.swap(false, Relaxed)
    }

    fn version(&self) -> u64 {
        self.version.load(Acquire)
    }

    /// What the catalog had when somebody looked last.
    pub fn snapshot(&self) -> Arc<Snapshot> {
        let snapshot = self.snapshot.read().unwrap_or_else(PoisonError::into_inner);
        Arc::clone(&snapshot)
    }

    fn has_refused(&self, text: &[u8]) -> bool {
        if !self.has_refused.load(Relaxed) {
            return false;
        }
        let texts = self.refused.read().unwrap_or_else(PoisonError::into_inner);
        texts.contains(text)
    }

    pub(crate) fn refused(&self, text: &[u8]) {
        if text.len() > Cache::TEXT_LEN_MAX {
            return;
        }
        let mut texts = self.refused.write().unwrap_or_else(PoisonError::into_inner);
        if texts.len() >= TEXTS {
            texts.clear();
        }
        texts.insert(text.into());
        self.has_refused.store(true, Relaxed);
    }
}

/// What a unit wants.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct Unit {
    /// The weightiest reason of what is in it.
    pub reason: Reason,
    /// It is there to its end: so many bytes of the client's.
    pub whole: Option<usize>,
    /// It ends with a Flush before anything in it is run: what follows is judged anew.
    pub(crate) is_flushed: bool,
}

impl Unit {
    /// What it wants of a host.
    pub fn intent(self) -> Intent {
        self.reason.intent()
    }

    /// Whether it may run a second time if the first comes to nothing.
    pub(crate) fn may_run_again(self) -> bool {
        self.whole.is_some() && self.intent() != Intent::Primary
    }
}

/// The routing side of a client.
#[derive(Debug)]
pub(crate) struct Routing {
    pub(crate) intents: Rc<Intents>,
    /// What the request that waits for a server connection begins.
    pub(crate) unit: Unit,
    /// The server connection that it holds is a standby's.
    pub(crate) on_standby: bool,
    /// It was taken for a unit that has not begun yet.
    pub(crate) is_granted: bool,
    /// What is known of the requests up to the next Sync, on a standby.
    pub(crate) segment: Segment,
    /// What the client has set for itself.
    pub(crate) own: Own,
    /// A transaction that it has begun, and no server has heard of.
    pub(crate) begun: Option<Begun>,
}

/// Requests of the extended protocol up to Sync, which are one transaction.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(crate) enum Segment {
    /// All of it may run where it is.
    Judged,
    /// All of it may up to a Flush, before which nothing is run.
    ToFlush,
    /// What comes next has not been judged.
    Flushed,
}

impl Segment {
    /// Of a segment that begins, or goes on, with this unit.
    pub(crate) fn of(unit: Unit) -> Self {
        if unit.is_flushed {
            Self::ToFlush
        } else {
            Self::Judged
        }
    }
}

/// pgweir's own settings of a client.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Default)]
pub struct Own {
    /// `pgweir.target`
    pub target: Target,
    /// `pgweir.min_lsn`: nothing that is read may be older.
    pub min_lsn: Lsn,
}

/// The values of `pgweir.target`.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Default)]
pub enum Target {
    /// Each statement goes where it may run.
    #[default]
    Auto,
    /// All go to the primary.
    Primary,
    /// Those that may do on a standby go there.
    Standby,
}

impl Target {
    const ALL: [(&str, Self); 3] = [
        ("auto", Self::Auto),
        ("primary", Self::Primary),
        ("standby", Self::Standby),
    ];

    /// By its word, in any case.
    pub fn named(word: &[u8]) -> Option<Self> {
        let mut all = Self::ALL.iter();
        let found = all.find(|(name, _)| word.eq_ignore_ascii_case(name.as_bytes()));
        found.map(|(_, target)| *target)
    }

    /// Its word.
    pub fn word(self) -> &'static str {
        let mut all = Self::ALL.iter();
        let found = all.find(|(_, target)| *target == self);
        found.map_or("auto", |(name, _)| name)
    }
}

/// A transaction that no server has heard of.
#[derive(Debug, Clone)]
pub(crate) struct Begun {
    /// The statements that began it, to be sent before its first request.
    pub(crate) texts: Vec<u8>,
    pub(crate) access: Access,
    /// Something in it has been cancelled: nothing but its end is taken any more.
    pub(crate) failed: bool,
}

impl Routing {
    pub(crate) fn new(intents: Rc<Intents>) -> Self {
        let unit = Unit {
            reason: Reason::Empty,
            whole: None,
            is_flushed: false,
        };
        Self {
            intents,
            unit,
            on_standby: false,
            is_granted: false,
            segment: Segment::Judged,
            own: Own::default(),
            begun: None,
        }
    }
}
