//! The queue of expected replies: one entry for each request that is owed one (S1).
//!
//! Requests push at the moment they are written, replies pop. An entry may be *swallowed* (the
//! request was ours, the client knows nothing of it) or *injected* (the request was not sent, its
//! reply is ours to make); both appear exactly at their place, in pipelines too.

use std::collections::VecDeque;

/// What was asked, and so which reply ends the entry.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Kind {
    /// Query or FunctionCall: ends with ReadyForQuery.
    Query,
    /// Ends with ParseComplete.
    Parse,
    /// Ends with BindComplete.
    Bind,
    /// Ends with RowDescription or NoData.
    Describe,
    /// Ends with CommandComplete, EmptyQueryResponse or PortalSuspended.
    Execute,
    /// Ends with CloseComplete.
    Close,
    /// Ends with ReadyForQuery.
    Sync,
    /// No reply: marks where CopyDone or CopyFail was sent before the server asked for data.
    CopyEnd,
    /// No reply: a Sync that the server ignored because it came during COPY.
    Void,
}

impl Kind {
    /// Whether an error in it makes the server skip everything up to Sync.
    fn is_extended(self) -> bool {
        matches!(
            self,
            Self::Parse | Self::Bind | Self::Describe | Self::Execute | Self::Close
        )
    }
}

/// Where the reply goes.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum To {
    /// To the client that asked.
    Forward,
    /// Nowhere: the request was ours.
    Swallow,
    /// The server was not asked; the reply is made here.
    Inject,
}

/// One expected reply.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct Expect {
    /// What was asked.
    pub kind: Kind,
    /// Who gets the reply.
    pub to: To,
    /// The statement is a SET that leaves nothing to clean (see `effects`).
    pub harmless_set: bool,
    /// The statement resets all settings.
    pub resets_all: bool,
    /// Id of the shared statement that a Bind, Describe or Execute is about; 0 when there is none.
    pub statement: u64,
}

impl Expect {
    /// An entry whose reply goes to the client.
    pub fn forward(kind: Kind) -> Self {
        Self {
            kind,
            to: To::Forward,
            harmless_set: false,
            resets_all: false,
            statement: 0,
        }
    }

    /// An entry whose reply the client does not see.
    pub fn swallow(kind: Kind) -> Self {
        Self {
            to: To::Swallow,
            ..Self::forward(kind)
        }
    }

    /// An entry that the server knows nothing of.
    pub fn inject(kind: Kind) -> Self {
        Self {
            to: To::Inject,
            ..Self::forward(kind)
        }
    }
}

/// Which entries an error did away with: `from <= number < to`.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct Skipped {
    /// Number of the entry that failed.
    pub from: u64,
    /// Number after the last one skipped.
    pub to: u64,
    /// The shared statement that the failed entry is about, or 0.
    pub statement: u64,
}

impl Skipped {
    /// Whether the entry of this number failed or was skipped.
    pub fn contains(&self, number: u64) -> bool {
        (self.from..self.to).contains(&number)
    }
}

/// The queue.
#[derive(Debug, Default)]
pub struct Replies {
    ring: VecDeque<Expect>,
    /// Number of the entry in front; each entry ever pushed has its own number.
    first: u64,
    /// After an error with no Sync behind it: everything up to Sync is ignored by the server (S3).
    skipping: bool,
    /// The server is reading copy data: it ignores Sync until CopyDone or CopyFail.
    copy_in: bool,
}

impl Replies {
    /// How many replies are owed.
    pub fn len(&self) -> usize {
        self.ring.len()
    }

    /// Whether nothing is owed.
    pub fn is_empty(&self) -> bool {
        self.ring.is_empty()
    }

    /// The entry whose reply comes next.
    #[inline]
    pub fn front(&self) -> Option<&Expect> {
        self.ring.front()
    }

    /// The number that the next pushed entry will have.
    pub fn next_number(&self) -> u64 {
        self.first + self.ring.len() as u64
    }

    /// The number of the entry in front: everything below it has been answered.
    pub fn answered(&self) -> u64 {
        self.first
    }

    /// Whether the server ignores what is sent until Sync.
    pub fn skipping(&self) -> bool {
        self.skipping
    }

    /// Whether the server is reading copy data.
    pub fn copy_in(&self) -> bool {
        self.copy_in
    }

    /// Whether any of the entries is the client's.
    pub fn owes_client(&self) -> bool {
        self.ring.iter().any(|entry| entry.to != To::Swallow)
    }

    /// Adds an entry for a request that is being sent.
    #[inline]
    pub fn push(&mut self, entry: Expect) {
        debug_assert!(!self.skipping || entry.kind == Kind::Sync);
        self.ring.push_back(entry);
    }

    /// A Sync is being sent; the client's, or ours.
    #[inline]
    pub fn push_sync(&mut self, entry: Expect) {
        // Sync during COPY FROM STDIN is ignored by the server (protocol-flow, COPY operations).
        if self.copy_in {
            return;
        }
        self.skipping = false;
        self.ring.push_back(entry);
    }

    /// CopyDone or CopyFail is being sent.
    pub fn copy_ended(&mut self) {
        if self.copy_in {
            self.copy_in = false;
        } else if !self.ring.is_empty() {
            self.ring.push_back(Expect::forward(Kind::CopyEnd));
        }
    }

    /// The server asks for copy data: Syncs sent before the end of the data are ignored by it.
    pub fn copy_started(&mut self) {
        self.copy_in = true;
        for entry in self.ring.iter_mut().skip(1) {
            match entry.kind {
                Kind::Sync => entry.kind = Kind::Void,
                Kind::CopyEnd => {
                    entry.kind = Kind::Void;
                    self.copy_in = false;
                    return;
                }
                _ => {}
            }
        }
    }

    /// The entry in front has its reply.
    #[inline]
    pub fn pop(&mut self) {
        self.ring.pop_front();
        self.first += 1;
    }

    /// Takes the next entry off if it needs nothing from the server; injected replies are to be
    /// made by the caller.
    #[inline]
    pub fn pop_own(&mut self) -> Option<Expect> {
        let entry = *self.ring.front()?;
        if entry.to == To::Inject || matches!(entry.kind, Kind::CopyEnd | Kind::Void) {
            self.pop();
            return Some(entry);
        }
        None
    }

    /// ErrorResponse: what it does away with, if anything.
    pub fn failed(&mut self) -> Option<Skipped> {
        self.copy_in = false;
        let front = *self.ring.front()?;
        if !front.kind.is_extended() {
            return None;
        }
        let from = self.first;
        while let Some(entry) = self.ring.front() {
            if entry.kind == Kind::Sync {
                return Some(Skipped {
                    from,
                    to: self.first,
                    statement: front.statement,
                });
            }
            self.pop();
        }
        self.skipping = true;
        Some(Skipped {
            from,
            to: self.first,
            statement: front.statement,
        })
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn ring(kinds: &[Kind]) -> Replies {
        let mut replies = Replies::default();
        for &kind in kinds {
            replies.push(Expect::forward(kind));
        }
        replies
    }

    fn kinds(replies: &Replies) -> Vec<Kind> {
        replies.ring.iter().map(|entry| entry.kind).collect()
    }

    #[test]
    fn s3_after_an_error_everything_up_to_sync_is_skipped() {
        use Kind::{Bind, Execute, Parse, Query, Sync};
        let mut replies = ring(&[Parse, Bind, Query, Execute, Sync, Parse, Sync]);
        assert_eq!(
            replies.failed(),
            Some(Skipped {
                from: 0,
                to: 4,
                statement: 0
            })
        );
        assert_eq!(kinds(&replies), [Sync, Parse, Sync]);
        assert!(!replies.skipping());

        let mut replies = ring(&[Parse, Bind]);
        replies.failed();
        assert!(replies.skipping() && replies.is_empty());
        replies.push_sync(Expect::forward(Sync));
        assert!(!replies.skipping());
    }

    #[test]
    fn an_error_in_a_simple_query_skips_nothing() {
        let mut replies = ring(&[Kind::Query, Kind::Query]);
        assert_eq!(replies.failed(), None);
        assert_eq!(replies.len(), 2);
    }

    #[test]
    fn syncs_sent_during_copy_are_void() {
        use Kind::{CopyEnd, Execute, Sync, Void};
        let mut replies = ring(&[Execute, Sync]);
        replies.copy_started();
        assert_eq!(kinds(&replies), [Execute, Void]);
        replies.push_sync(Expect::forward(Sync));
        assert_eq!(
            replies.len(),
            2,
            "ignored by the server while it reads copy data"
        );
        replies.copy_ended();
        replies.push_sync(Expect::forward(Sync));
        replies.pop();
        assert_eq!(replies.pop_own().map(|entry| entry.kind), Some(Void));
        assert_eq!(kinds(&replies), [Sync]);

        let mut replies = ring(&[Execute, Sync, CopyEnd, Sync]);
        replies.copy_started();
        assert_eq!(kinds(&replies), [Execute, Void, Void, Sync]);
        assert!(!replies.copy_in());
    }
}
