//! What to take back when requests turn out to have been skipped.
//!
//! Names and unnamed statements change when the request that changes them is sent, so that the
//! requests behind it find them changed. If the server skips that request (S3), it changed
//! nothing, and so it must be here.

use std::collections::VecDeque;

use crate::names::Named;
use crate::reply::Skipped;
use crate::unnamed::{ClientUnnamed, ServerUnnamed};

/// What was there before a change.
#[derive(Debug)]
pub(crate) enum Before {
    /// What a name of the client stood for.
    Name(Box<[u8]>, Option<Named>),
    /// The client's unnamed statement.
    Client(ClientUnnamed),
    /// The server connection's unnamed statement.
    Server(ServerUnnamed),
}

impl Before {
    fn is_about_the_same(&self, other: &Self) -> bool {
        match (self, other) {
            (Self::Name(name, _), Self::Name(other, _)) => name == other,
            (Self::Client(_), Self::Client(_)) | (Self::Server(_), Self::Server(_)) => true,
            _ => false,
        }
    }

    /// A Parse that fails leaves no unnamed statement at all: the old one is dropped first
    /// (`exec_parse_message`).
    fn dropped(self) -> Self {
        match self {
            Self::Client(_) => Self::Client(ClientUnnamed::None),
            Self::Server(_) => Self::Server(ServerUnnamed::default()),
            name => name,
        }
    }
}

#[derive(Debug)]
struct Change {
    /// Number of the request that made it.
    number: u64,
    before: Before,
}

/// Changes that requests of this lease made, oldest first.
#[derive(Debug, Default)]
pub(crate) struct Journal {
    changes: VecDeque<Change>,
}

impl Journal {
    /// The request of this number changed something; those below `answered` are done.
    pub(crate) fn add(&mut self, number: u64, answered: u64, before: Before) {
        while self.changes.front().is_some_and(|c| c.number < answered) {
            self.changes.pop_front();
        }
        self.changes.push_back(Change { number, before });
    }

    /// Whether any of the changes may have to be taken back yet.
    pub(crate) fn is_pending(&self, answered: u64) -> bool {
        self.changes.back().is_some_and(|c| c.number >= answered)
    }

    /// Takes back what skipped requests changed, newest first; `apply` puts one thing back.
    pub(crate) fn undo(&mut self, skipped: Skipped, mut apply: impl FnMut(Before)) {
        let newest = |changes: &VecDeque<Change>| {
            let mut places = changes.iter();
            places.rposition(|change| skipped.contains(change.number))
        };
        while let Some(at) = newest(&self.changes) {
            let Some(change) = self.changes.remove(at) else {
                return;
            };
            let before = if change.number == skipped.from {
                change.before.dropped()
            } else {
                change.before
            };
            // What lies behind the next Sync has been sent already and may change it once more.
            let mut later = self.changes.range_mut(at..);
            match later.find(|later| later.before.is_about_the_same(&before)) {
                Some(later) => later.before = before,
                None => apply(before),
            }
        }
    }

    /// Takes everything back, newest first.
    pub(crate) fn undo_all(&mut self, mut apply: impl FnMut(Before)) {
        while let Some(change) = self.changes.pop_back() {
            apply(change.before);
        }
    }

    /// Names are gone that no skipped request can bring back.
    pub(crate) fn sweep(&mut self, gone: impl Fn(&Named) -> bool) {
        for change in &mut self.changes {
            if let Before::Name(_, named) = &mut change.before
                && named.as_ref().is_some_and(&gone)
            {
                *named = None;
            }
        }
    }

    /// Another lease begins.
    pub(crate) fn clear(&mut self) {
        self.changes.clear();
    }
}
