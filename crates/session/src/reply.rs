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

/// Which settings a statement gives their defaults, if it does nothing else.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Default)]
pub enum Resets {
    /// None, as far as is known.
    #[default]
    Nothing,
    /// One that is neither in the client's startup packet nor reported.
    Other,
    /// One: its place among those of the client's startup packet.
    Startup(u8),
    /// One: its place among those that were reported at the client's login.
    Reported(u8),
    /// All.
    All,
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
    /// Which settings the statement gives their defaults.
    pub resets: Resets,
    /// A query of ours that puts settings in force.
    pub settings: bool,
    /// A Parse that must fail, as its name is taken.
    pub refused: bool,
    /// Which of the client's names the request is about, for error messages; 0 when there is none.
    pub alias: u32,
    /// Id of the shared statement that the request is about; 0 when there is none.
    pub statement: u64,
}

impl Expect {
    /// An entry whose reply goes to the client.
    pub fn forward(kind: Kind) -> Self {
        Self {
            kind,
            to: To::Forward,
            harmless_set: false,
            resets: Resets::Nothing,
            settings: false,
            refused: false,
            alias: 0,
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
    /// Syncs sent for the server to ignore during the COPY in front.
    ignored: u32,
    /// ReadyForQuery that may come besides those owed: a COPY failed, and whether the server had
    /// read those Syncs by then, or takes them for the end of the failed batch, it alone knows.
    loose: u32,
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

    /// What the first one does to settings did not happen.
    pub fn front_resets_nothing(&mut self) {
        if let Some(front) = self.ring.front_mut() {
            front.resets = Resets::Nothing;
        }
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
            self.ignored += 1;
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
        self.ignored = 0;
        for entry in self.ring.iter_mut().skip(1) {
            match entry.kind {
                Kind::Sync => {
                    entry.kind = Kind::Void;
                    self.ignored += 1;
                }
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
        self.ignored = 0;
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
        self.loose = std::mem::take(&mut self.ignored);
        let front = *self.ring.front()?;
        if !front.kind.is_extended() {
            return None;
        }
        let from = self.first;
        while self.ring.front().is_some_and(|e| e.kind != Kind::Sync) {
            self.pop();
        }
        self.skipping = self.ring.is_empty();
        let to = self.first;
        Some(Skipped { from, to })
    }

    /// Whether the server has no reason yet to send the reply to what was sent last.
    pub fn awaits_sync(&self) -> bool {
        let last = self.ring.back();
        last.is_some_and(|entry| entry.kind.is_extended() && entry.to != To::Inject)
    }

    /// Whether nothing that is outstanding can fail and make the server skip what is sent next:
    /// only requests of our own that cannot, and replies that are ours to make.
    pub fn is_settled(&self) -> bool {
        !self.skipping
            && self.ring.iter().rev().all(|entry| match entry.to {
                To::Inject => true,
                To::Swallow => matches!(entry.kind, Kind::Query | Kind::Close),
                To::Forward => matches!(entry.kind, Kind::CopyEnd | Kind::Void),
            })
    }

    /// A COPY, if there was one, has read all that was sent for it.
    pub fn copy_through(&mut self) {
        self.ignored = 0;
    }

    /// Whether nothing but the Sync of the entry in front stands behind it.
    pub fn is_last_of_all(&self) -> bool {
        self.ring
            .iter()
            .skip(1)
            .all(|entry| entry.kind == Kind::Sync)
    }

    /// Whether a ReadyForQuery may come that nothing in the queue stands for.
    pub fn is_loose(&self) -> bool {
        self.loose > 0
    }

    /// Such a ReadyForQuery has come.
    pub fn loose_came(&mut self) {
        self.loose -= 1;
        self.skipping = false;
    }

    /// A reply shows that no such ReadyForQuery stands before it any more.
    pub fn nothing_loose(&mut self) {
        self.loose = 0;
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
        assert_eq!(replies.failed(), Some(Skipped { from: 0, to: 4 }));
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
