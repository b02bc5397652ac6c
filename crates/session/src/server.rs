//! The session side of a server connection: what is owed on it, what is in force on it, and what
//! a client left behind on it.

use std::collections::VecDeque;
use std::sync::Arc;

use pgweir_wire::{backend::Status, encode};
use smallvec::SmallVec;

use crate::batch::Batch;
use crate::effects::Effects;
use crate::frame::Passing;
use crate::journal::{Before, Journal};
use crate::prepared::{Have, Prepared};
use crate::reply::{Expect, Kind, Replies, Resets};
use crate::settings::{Parameters, Settings, settable};
use crate::statement::Statement;
use crate::trial::Trial;
use crate::unnamed::{ServerUnnamed, Unnamed};

/// Requests done since they were last taken.
#[derive(Debug, Default, Clone, PartialEq, Eq)]
pub struct Counts {
    /// ReadyForQuery sent to the client.
    pub queries: u32,
    /// The same, with no transaction left open.
    pub transactions: u32,
    /// Parse messages from the client.
    pub client_parses: u32,
    /// Parse messages to the server.
    pub server_parses: u32,
    /// Bind messages.
    pub binds: u32,
    /// Classes of the SQLSTATEs of errors that the client was told of.
    pub errors: SmallVec<[[u8; 2]; 4]>,
}

/// Whether the server has said, in an ErrorResponse that is FATAL or PANIC, that it ends the
/// connection.
#[derive(Debug, Default, Clone, Copy, PartialEq, Eq)]
pub enum Goodbye {
    /// It has not.
    #[default]
    No,
    /// It has, and no client was told: nobody had asked for anything, or only we had.
    Unheard,
    /// It has, and the client that holds the connection was told in the server's own words.
    Heard,
}

/// The state of one server connection after its login.
#[derive(Debug)]
pub struct Server {
    pub(crate) replies: Replies,
    pub(crate) status: Status,
    pub(crate) base: Arc<Parameters>,
    /// In force, as far as the server told or confirmed.
    pub(crate) settings: Settings,
    /// On the way: each is in force when its query, an entry marked `settings`, is through.
    pub(crate) pending: VecDeque<Settings>,
    pub(crate) prepared: Prepared,
    /// Number of the last request that may do away with prepared statements.
    pub(crate) swept: Option<u64>,
    pub(crate) unnamed: ServerUnnamed,
    pub(crate) journal: Journal,
    /// What was left behind since the last cleaning.
    pub(crate) left: Effects,
    /// A frame from the server under way.
    pub(crate) passing: Passing,
    /// Tag of that frame, if its end settles something.
    pub(crate) settling: Option<u8>,
    /// The simple Query in front of the queue has had a part of its reply.
    pub(crate) began: bool,
    /// Since the last ReadyForQuery a RESET went through: a value that is back at the base means
    /// that of the client's own startup.
    pub(crate) reset: bool,
    /// Since then all settings were reset.
    pub(crate) reset_all: bool,
    /// Command tag of a BEGIN in statement mode that its client has not heard of.
    pub(crate) begin_held: Option<Box<[u8]>>,
    /// Single parameters that were, since the last ReadyForQuery; each once.
    pub(crate) reset_ones: Vec<Resets>,
    /// A RESET went through on this lease, so that the server's defaults may be in force in the
    /// place of the client's.
    pub(crate) astray: bool,
    /// Bytes that the server still expects of a frame that a client began.
    pub(crate) half_sent: u64,
    /// Extended-protocol requests were sent with no Sync behind them yet.
    pub(crate) unsynced: bool,
    /// Number of Syncs sent, so that Parses that share a fate can be told.
    pub(crate) segment: u64,
    /// Body of the ErrorResponse to a request of our own.
    pub(crate) own_error: Option<Box<[u8]>>,
    pub(crate) goodbye: Goodbye,
    /// The client has heard nothing of its unit yet, which may run elsewhere if it fails here.
    pub(crate) trial: Trial,
    pub(crate) counts: Counts,
}

impl Server {
    /// A connection that has just logged in; `base` is what it reported.
    pub fn new(base: Arc<Parameters>) -> Self {
        Self {
            replies: Replies::default(),
            status: Status::Idle,
            base,
            settings: Settings::default(),
            pending: VecDeque::new(),
            prepared: Prepared::default(),
            swept: None,
            unnamed: ServerUnnamed::default(),
            journal: Journal::default(),
            left: Effects::NONE,
            passing: Passing::default(),
            settling: None,
            began: false,
            reset: false,
            reset_all: false,
            begin_held: None,
            reset_ones: Vec::new(),
            astray: false,
            half_sent: 0,
            unsynced: false,
            segment: 0,
            own_error: None,
            goodbye: Goodbye::No,
            trial: Trial::Over,
            counts: Counts::default(),
        }
    }

    /// The parameters reported at login.
    pub fn base(&self) -> &Arc<Parameters> {
        &self.base
    }

    /// Transaction status of the last ReadyForQuery.
    pub fn status(&self) -> Status {
        self.status
    }

    /// How many replies are owed.
    pub fn owed(&self) -> usize {
        self.replies.len()
    }

    /// How many shared statements it has.
    pub fn prepared(&self) -> usize {
        self.prepared.len()
    }

    /// What was left behind and needs [`Server::clean`].
    pub fn left(&self) -> Effects {
        self.left
    }

    /// Body of the ErrorResponse to a request of our own, if one failed.
    pub fn own_error(&self) -> Option<&[u8]> {
        self.own_error.as_deref()
    }

    /// Forgets that a request of our own failed.
    pub fn forgive(&mut self) {
        self.own_error = None;
    }

    /// Whether the server has said that it ends the connection: then nobody else may get it.
    pub fn goodbye(&self) -> Goodbye {
        self.goodbye
    }

    /// Counts since the last call.
    pub fn take_counts(&mut self) -> Counts {
        std::mem::take(&mut self.counts)
    }

    /// S2: a lease may end here. Nothing is owed, no transaction is open, no frame is half-way.
    #[inline]
    pub fn at_boundary(&self) -> bool {
        self.replies.is_empty()
            && self.status == Status::Idle
            && !self.unsynced
            && !self.replies.skipping()
            && !self.replies.copy_in()
            && self.passing.remaining == 0
            && self.half_sent == 0
    }

    /// Whether the connection can still be brought to a boundary by [`Server::clean`]: all that is
    /// open is a transaction or an extended-protocol batch.
    pub fn can_clean(&self) -> bool {
        self.replies.is_empty()
            && !self.replies.copy_in()
            && self.passing.remaining == 0
            && self.half_sent == 0
            && !self.left.has(Effects::FOR_GOOD)
            && self.goodbye == Goodbye::No
    }

    /// Whether everything that is owed will come without another word from the client.
    pub fn answers_by_itself(&self) -> bool {
        self.takes_requests() && !self.unsynced && !self.replies.skipping()
    }

    /// Whether settings are on the way to the server and not confirmed.
    pub fn setting_up(&self) -> bool {
        !self.pending.is_empty()
    }

    /// Sends a query of our own whose reply no client sees.
    pub fn ask(&mut self, query: &[u8], to_server: &mut Batch) {
        self.ask_as(Expect::swallow(Kind::Query), query, to_server);
    }

    fn ask_as(&mut self, entry: Expect, query: &[u8], to_server: &mut Batch) {
        self.drop_unnamed(self.replies.next_number(), false);
        self.replies.push(entry);
        to_server.own(|out| encode::query(query, out));
    }

    /// Writes what brings the connection back to the state of its login: the end of whatever is
    /// open, then `reset` (empty: nothing more). Afterwards, when nothing is owed and
    /// [`Server::own_error`] is empty, the connection is clean.
    pub fn clean(&mut self, reset: &[u8], to_server: &mut Batch) {
        debug_assert!(self.can_clean());
        // What was sent with no Sync behind it may have begun a transaction.
        let is_open = self.status != Status::Idle || self.unsynced || self.replies.skipping();
        self.finish(to_server);
        if is_open {
            self.ask(b"ROLLBACK", to_server);
        }
        if !reset.is_empty() {
            self.ask(reset, to_server);
        }
        self.left = Effects::NONE;
    }

    /// Ends what a client that is gone began: with the Sync that it owes, the server answers all
    /// that is outstanding. Nothing to send when no request is open.
    pub fn finish(&mut self, to_server: &mut Batch) {
        if self.unsynced || self.replies.skipping() || self.replies.awaits_sync() {
            self.sync(Expect::swallow(Kind::Sync));
            to_server.own(encode::sync);
        }
    }

    /// Whether all that is sent ended with a whole frame and is no copy data, so that requests of
    /// our own can follow.
    pub fn takes_requests(&self) -> bool {
        self.half_sent == 0 && !self.replies.copy_in()
    }

    /// Whether a query of ours that cannot fail by itself can stand between two of the client's.
    pub(crate) fn takes_a_query_of_ours(&self) -> bool {
        self.replies.is_empty()
            && !self.replies.skipping()
            && !self.unsynced
            && self.status != Status::Failed
    }

    /// Puts `target` in force in one query of our own; the caller has seen that it differs.
    pub(crate) fn change_settings(&mut self, target: &Settings, to_server: &mut Batch) {
        let mut text = Vec::new();
        let encoding = self.encoding_of(target);
        self.settings.write_changes(target, encoding, &mut text);
        if text.is_empty() {
            self.settings = target.clone();
            return;
        }
        self.ask_settings(&text, target.clone(), to_server);
    }

    /// The client encoding that such settings mean here.
    pub(crate) fn encoding_of<'a>(&'a self, settings: &'a Settings) -> &'a [u8] {
        let own = settings.value(b"client_encoding");
        own.or_else(|| self.base.value(b"client_encoding"))
            .unwrap_or(b"UTF8")
    }

    /// Asks with `text` for what `target` says.
    pub(crate) fn ask_settings(&mut self, text: &[u8], target: Settings, to_server: &mut Batch) {
        let entry = Expect {
            settings: true,
            ..Expect::swallow(Kind::Query)
        };
        self.ask_as(entry, text, to_server);
        self.pending.push_back(target);
    }

    /// Makes the replies in front of the queue that the server knows nothing of.
    pub(crate) fn inject(&mut self, to_client: &mut Batch) {
        if self.trial != Trial::Over {
            return;
        }
        while let Some(entry) = self.replies.pop_own() {
            match entry.kind {
                Kind::Parse => to_client.own(encode::parse_complete),
                Kind::Close => to_client.own(encode::close_complete),
                _ => {}
            }
        }
    }

    /// Closes statements beyond the limit. Done between transactions only: Close would also close
    /// the portals made from them.
    pub(crate) fn evict(&mut self, limit: usize, to_server: &mut Batch) {
        while let Some(statement) = self.prepared.evict(limit) {
            self.replies.push(Expect::swallow(Kind::Close));
            to_server.own(|out| encode::close(b'S', statement.name(), out));
        }
    }

    /// A Sync goes out.
    pub(crate) fn sync(&mut self, entry: Expect) {
        self.replies.push_sync(entry);
        if !self.replies.copy_in() {
            self.unsynced = false;
        }
        self.segment += 1;
    }

    /// A request of the extended protocol goes out; gives its number.
    pub(crate) fn push(&mut self, entry: Expect) -> u64 {
        let number = self.replies.next_number();
        self.replies.push(entry);
        self.unsynced = true;
        number
    }

    /// Whether the server has the statement when it reads what is sent next.
    pub(crate) fn have(&mut self, statement: &Statement) -> Have {
        let answered = self.replies.answered();
        let swept = self.sweeping().unwrap_or(0);
        self.prepared
            .have(statement.id(), answered, self.segment, swept)
    }

    /// Number of the last request that may do away with prepared statements, if its answer is
    /// still owed.
    pub(crate) fn sweeping(&self) -> Option<u64> {
        self.swept.filter(|swept| *swept >= self.replies.answered())
    }

    /// Sees to it that the server has the statement before it reads what is sent next.
    pub(crate) fn ensure(&mut self, statement: &Arc<Statement>, alias: u32, to_server: &mut Batch) {
        let have = self.have(statement);
        if have == Have::Yes {
            return;
        }
        if have == Have::Perhaps {
            self.push(Expect::swallow(Kind::Close));
            to_server.own(|out| encode::close(b'S', statement.name(), out));
        }
        let number = self.push(Expect {
            alias,
            statement: statement.id(),
            ..Expect::swallow(Kind::Parse)
        });
        self.prepared
            .insert(Arc::clone(statement), number, self.segment);
        self.counts.server_parses += 1;
        to_server
            .own(|out| encode::parse(statement.name(), statement.text(), statement.types(), out));
    }

    /// Gives the server the client's unnamed statement, in the place of whatever it has.
    pub(crate) fn give_unnamed(&mut self, wanted: Option<&Arc<Statement>>, to_server: &mut Batch) {
        let Some(wanted) = wanted else {
            // The client has none: make sure that it does not get somebody else's.
            let number = self.push(Expect::swallow(Kind::Close));
            to_server.own(|out| encode::close(b'S', b"", out));
            return self.set_unnamed(Unnamed::None, number, false);
        };
        let number = self.push(Expect::swallow(Kind::Parse));
        self.counts.server_parses += 1;
        to_server.own(|out| encode::parse(b"", wanted.text(), wanted.types(), out));
        self.set_unnamed(Unnamed::Known(Arc::clone(wanted)), number, false);
    }

    /// The request of this number, which was just sent, changes the unnamed statement.
    pub(crate) fn set_unnamed(&mut self, what: Unnamed, number: u64, exact: bool) {
        let segment = self.segment;
        let new = ServerUnnamed {
            what,
            number,
            segment,
            exact,
        };
        let before = std::mem::replace(&mut self.unnamed, new);
        self.remember(number, Before::Server(before));
    }

    /// The request of this number changed something that must come back if it is skipped.
    pub(crate) fn remember(&mut self, number: u64, before: Before) {
        self.journal.add(number, self.replies.answered(), before);
    }

    /// A simple query, the request of this number, does away with the unnamed statement
    /// (protocol-flow, Extended Query).
    pub(crate) fn drop_unnamed(&mut self, number: u64, exact: bool) {
        let is_answered = self.unnamed.number < self.replies.answered();
        if !matches!(self.unnamed.what, Unnamed::None) || !is_answered {
            self.set_unnamed(Unnamed::None, number, exact);
        }
    }

    /// Whether the unnamed statement is what it is said to be, whatever becomes of the requests
    /// that are outstanding.
    pub(crate) fn unnamed_is_certain(&self) -> bool {
        self.unnamed.exact || self.unnamed.number < self.replies.answered()
    }

    /// The same for a request that is sent now: what makes it wrong makes that one skipped too.
    pub(crate) fn unnamed_is_sure(&self) -> bool {
        self.unnamed_is_certain() || self.unnamed.segment == self.segment
    }

    /// Whether the server reports changes of a parameter.
    pub(crate) fn reports(&self, name: &[u8]) -> bool {
        settable(name) && self.base.value(name).is_some()
    }
}
