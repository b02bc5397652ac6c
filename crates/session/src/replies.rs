//! Reading what a server sends: each frame is matched with the queue of expected replies and goes
//! to the client, or nowhere.

use pgweir_wire::{backend, encode, header, tag::backend as tag};

use crate::batch::Batch;
use crate::client::Client;
use crate::effects::{self, Effects};
use crate::frame::Passing;
use crate::reply::{Expect, Kind, Resets, Skipped, To};
use crate::rules::Mode;
use crate::server::{Goodbye, Server};
use crate::settings::{Settings, settable};
use crate::trial::Trial;
use crate::unnamed::Unnamed;

/// The server did what the protocol does not allow: the connection cannot be used any more.
#[derive(Debug, thiserror::Error, PartialEq, Eq)]
pub enum Error {
    /// A frame that no outstanding request can lead to.
    #[error("server sent message {:?} while {owed} replies were owed", char::from(*.tag))]
    Unexpected {
        /// Its tag.
        tag: u8,
        /// Entries in the queue.
        owed: usize,
    },
    /// A frame that cannot be read.
    #[error(transparent)]
    Wire(#[from] pgweir_wire::Error),
}

/// A control frame of this size is still read as a whole; a larger one (an error message with a
/// huge detail, say) is passed on unread.
const WHOLE_MAX: u64 = 64 * 1024;

impl Server {
    /// Takes bytes from the server; says how many it consumed. The rest, less than a frame, is to
    /// be put in front of the next read.
    ///
    /// `client` is who holds the lease. What it is to receive is added to `to_client`: nothing more
    /// once it [is refused](Client::is_refused).
    ///
    /// # Errors
    /// When the server breaks the protocol; nothing may be sent on this connection any more.
    pub fn handle_replies(
        &mut self,
        input: &[u8],
        mut client: Option<&mut Client>,
        to_client: &mut Batch,
    ) -> Result<usize, Error> {
        let is_refused = |client: &Option<&mut Client>| {
            client.as_deref().is_some_and(|client| client.is_refused())
        };
        let mut at = 0;
        if !is_refused(&client) {
            at = self.take_replies(input, client.as_deref_mut(), to_client)?;
        }
        if is_refused(&client) {
            at += self.take_replies(&input[at..], None, &mut Batch::new())?;
        }
        Ok(at)
    }

    /// [`Server::handle_replies`] up to the end of the input, or to the ReadyForQuery that shows
    /// that the client is refused.
    fn take_replies(
        &mut self,
        input: &[u8],
        mut client: Option<&mut Client>,
        to_client: &mut Batch,
    ) -> Result<usize, Error> {
        let mut at = 0;
        loop {
            if self.passing.remaining > 0 {
                let len = (input.len() - at)
                    .min(usize::try_from(self.passing.remaining).unwrap_or(usize::MAX));
                if len == 0 {
                    return Ok(at);
                }
                if self.passing.forward {
                    to_client.input(at..at + len);
                }
                at += len;
                self.passed(len, client.as_deref_mut(), to_client);
                continue;
            }
            let Some(head) = header(&input[at..], u32::MAX)? else {
                return Ok(at);
            };
            if self.trial != Trial::Over
                && !self.passes_trial(&input[at..], client.as_deref(), to_client)
            {
                return Ok(at);
            }
            let available = input.len() - at;
            let len = head.frame_len();
            if is_bulk(head.tag) {
                self.tell_of_begin(to_client);
                self.expect(head.tag, |kind| matches!(kind, Kind::Query | Kind::Execute))?;
            } else {
                if (available as u64) < len && len <= WHOLE_MAX {
                    return Ok(at);
                }
                if head.tag != tag::READY_FOR_QUERY || input.get(at + 5) == Some(&b'I') {
                    self.tell_of_begin(to_client);
                }
                // Judged by its length, not by how much of it happens to be there.
                let body = if len <= WHOLE_MAX {
                    Some(&input[at + 5..at + len as usize])
                } else {
                    None
                };
                let done = self.control(head.tag, body, client.as_deref_mut(), to_client)?;
                // Only a whole frame is ever rewritten or held back.
                match done {
                    Done::No => {}
                    Done::Yes => {
                        at += len as usize;
                        continue;
                    }
                    Done::Refused => return Ok(at + len as usize),
                }
            }
            let forward = client.is_some() && self.forwards(head.tag);
            self.passing = Passing {
                remaining: len,
                forward,
            };
            self.settling = if is_bulk(head.tag) {
                None
            } else {
                Some(head.tag)
            };
            let now = (available as u64).min(len) as usize;
            if forward {
                to_client.input(at..at + now);
            }
            at += now;
            self.passed(now, client.as_deref_mut(), to_client);
        }
    }

    /// In statement mode, whether what a query says to the client is held back until it is known
    /// whether it leaves a transaction open: a client that is to hear an error should not hear of a
    /// success first. Of an Execute, which may stand in a pipeline, nothing is.
    fn holds_back(&mut self, command: &[u8]) -> bool {
        let is_begin = matches!(command, b"BEGIN" | b"START TRANSACTION");
        let front = self.replies.front();
        let is_query =
            front.is_some_and(|entry| entry.kind == Kind::Query && entry.to == To::Forward);
        self.begin_held = (is_begin && is_query).then(|| command.into());
        self.begin_held.is_some()
    }

    /// What was held back, now that something else follows.
    fn tell_of_begin(&mut self, to_client: &mut Batch) {
        if let Some(command) = self.begin_held.take() {
            to_client.own(|out| encode::command_complete(&String::from_utf8_lossy(&command), out));
        }
    }

    /// `len` bytes of the frame under way went by; at its end, what it answers is done.
    #[inline]
    fn passed(&mut self, len: usize, client: Option<&mut Client>, to_client: &mut Batch) {
        self.passing.remaining -= len as u64;
        if self.passing.remaining == 0
            && let Some(frame) = self.settling.take()
        {
            self.settle(frame, client, to_client);
        }
    }

    /// Whether a frame of this tag, coming now, is for the client.
    fn forwards(&self, frame: u8) -> bool {
        let to = self.replies.front().map(|entry| entry.to);
        match (frame, to) {
            (_, None | Some(To::Forward)) => true,
            // An error in a preparation of ours is the answer to the request behind it.
            (tag::ERROR_RESPONSE, Some(_)) => self
                .replies
                .front()
                .is_some_and(|entry| entry.kind != Kind::Query && entry.kind != Kind::Sync),
            (tag::NOTIFICATION_RESPONSE, Some(_)) => true,
            _ => false,
        }
    }

    fn expect(&self, frame: u8, fits: impl Fn(Kind) -> bool) -> Result<(), Error> {
        match self.replies.front() {
            Some(entry) if fits(entry.kind) => Ok(()),
            _ => Err(Error::Unexpected {
                tag: frame,
                owed: self.replies.len(),
            }),
        }
    }

    /// What a control frame means before it is handed on.
    fn control(
        &mut self,
        frame: u8,
        body: Option<&[u8]>,
        client: Option<&mut Client>,
        to_client: &mut Batch,
    ) -> Result<Done, Error> {
        if !is_unasked(frame) && frame != tag::READY_FOR_QUERY {
            self.began = true;
            self.replies.nothing_loose();
        }
        match frame {
            tag::READY_FOR_QUERY => {
                return self.ready_for_query(body.unwrap_or_default(), client, to_client);
            }
            tag::COMMAND_COMPLETE => {
                self.expect(frame, |kind| matches!(kind, Kind::Query | Kind::Execute))?;
                self.replies.copy_through();
                if let Some(body) = body {
                    let command = backend::command_tag(body)?;
                    let mode = client.as_deref().map(Client::mode);
                    self.command_complete(command, client);
                    if mode == Some(Mode::Statement) && self.holds_back(command) {
                        return Ok(Done::Yes);
                    }
                }
            }
            tag::ERROR_RESPONSE => return Ok(self.error_response(body, client, to_client)),
            tag::PARAMETER_STATUS => {
                // A value that is not known cannot be put back.
                let body = body.ok_or(Error::Unexpected {
                    tag: frame,
                    owed: self.replies.len(),
                })?;
                return self.parameter_status(body, client, to_client);
            }
            tag::PARSE_COMPLETE => {
                // Where it is accepted nonetheless, we do not know what the server has.
                let refused = self.replies.front().is_some_and(|entry| entry.refused);
                self.expect(frame, |kind| kind == Kind::Parse && !refused)?;
            }
            tag::BIND_COMPLETE => self.expect(frame, |kind| kind == Kind::Bind)?,
            tag::CLOSE_COMPLETE => self.expect(frame, |kind| kind == Kind::Close)?,
            tag::ROW_DESCRIPTION => {
                self.expect(frame, |kind| matches!(kind, Kind::Query | Kind::Describe))?;
            }
            tag::NO_DATA | tag::PARAMETER_DESCRIPTION => {
                self.expect(frame, |kind| kind == Kind::Describe)?;
            }
            tag::EMPTY_QUERY_RESPONSE => {
                self.expect(frame, |kind| matches!(kind, Kind::Query | Kind::Execute))?;
            }
            tag::PORTAL_SUSPENDED => self.expect(frame, |kind| kind == Kind::Execute)?,
            tag::FUNCTION_CALL_RESPONSE | tag::COPY_OUT_RESPONSE => {
                self.expect(frame, |kind| matches!(kind, Kind::Query | Kind::Execute))?;
            }
            tag::COPY_IN_RESPONSE | tag::COPY_BOTH_RESPONSE => {
                self.expect(frame, |kind| matches!(kind, Kind::Query | Kind::Execute))?;
                self.replies.copy_started();
            }
            tag::NOTICE_RESPONSE | tag::NOTIFICATION_RESPONSE => {}
            _ => {
                return Err(Error::Unexpected {
                    tag: frame,
                    owed: self.replies.len(),
                });
            }
        }
        Ok(Done::No)
    }

    /// What follows once a control frame has been handed on: the entry that it answers is done.
    fn settle(&mut self, frame: u8, client: Option<&mut Client>, to_client: &mut Batch) {
        let Some(front) = self.replies.front().copied() else {
            return;
        };
        let done = match frame {
            tag::READY_FOR_QUERY => {
                self.ready(&front, client);
                true
            }
            tag::COMMAND_COMPLETE | tag::EMPTY_QUERY_RESPONSE | tag::PORTAL_SUSPENDED => {
                front.kind == Kind::Execute
            }
            tag::ROW_DESCRIPTION => front.kind == Kind::Describe,
            tag::PARSE_COMPLETE | tag::BIND_COMPLETE | tag::CLOSE_COMPLETE | tag::NO_DATA => true,
            _ => false,
        };
        if done {
            self.replies.pop();
            self.began = false;
        }
        self.inject(to_client);
    }

    fn ready_for_query(
        &mut self,
        body: &[u8],
        mut client: Option<&mut Client>,
        to_client: &mut Batch,
    ) -> Result<Done, Error> {
        let loose = self.replies.is_loose();
        let owed = self.replies.front().is_some_and(|entry| match entry.kind {
            Kind::Sync => true,
            Kind::Query => !loose || self.began,
            _ => false,
        });
        if !owed && !loose {
            self.expect(tag::READY_FOR_QUERY, |_| false)?;
        }
        self.status = backend::ready(body)?;
        let reset_all = std::mem::take(&mut self.reset_all);
        let reset_ones = std::mem::take(&mut self.reset_ones);
        self.reset = false;
        if !owed {
            self.replies.loose_came();
        }
        if let Some(client) = client.as_deref_mut() {
            client.is_ready(self.status);
        }
        if client.as_deref().is_some_and(|client| client.is_refused()) {
            self.begin_held = None;
            if owed {
                self.settle(tag::READY_FOR_QUERY, None, &mut Batch::new());
            }
            return Ok(Done::Refused);
        }
        if !owed {
            if client.is_some() {
                to_client.own(|out| encode::ready(self.status, out));
            }
            return Ok(Done::Yes);
        }
        if let Some(client) = client {
            for resets in reset_ones {
                client.setting_was_reset(resets, self, to_client);
            }
            if reset_all {
                client.settings_were_reset(self, to_client);
            }
        }
        Ok(Done::No)
    }

    /// ReadyForQuery has been handed on.
    fn ready(&mut self, front: &Expect, client: Option<&mut Client>) {
        if front.to == To::Swallow {
            if front.settings
                && let Some(settings) = self.pending.pop_front()
                && self.own_error.is_none()
            {
                self.settings = settings;
                if let Some(client) = client {
                    client.verified();
                }
            }
            return;
        }
        self.counts.queries += 1;
        if self.status == backend::Status::Idle {
            self.counts.transactions += 1;
        }
    }

    fn command_complete(&mut self, command: &[u8], client: Option<&mut Client>) {
        let Some(front) = self.replies.front().copied() else {
            return;
        };
        let number = self.replies.answered();
        match command {
            b"DISCARD ALL" => {
                self.prepared.clear_before(number);
                self.settings = Settings::default();
                // What stands behind it in the queue has been judged already, and stays judged.
                if self.replies.is_last_of_all() {
                    self.left = Effects::NONE;
                }
            }
            b"DEALLOCATE ALL" => self.prepared.clear_before(number),
            // A name of ours, perhaps.
            b"DEALLOCATE" => self.prepared.doubt_all(),
            _ => {}
        }
        if front.to == To::Swallow {
            return;
        }
        if matches!(command, b"RESET" | b"DISCARD ALL")
            || (command == b"SET" && front.resets != Resets::Nothing)
        {
            (self.reset, self.astray) = (true, true);
            self.reset_all |= front.resets == Resets::All || command == b"DISCARD ALL";
            self.forget_unreported(front.resets, client.as_deref());
            let is_one = matches!(front.resets, Resets::Startup(_) | Resets::Reported(_));
            if is_one && !self.reset_ones.contains(&front.resets) {
                self.reset_ones.push(front.resets);
            }
        }
        if matches!(command, b"DISCARD ALL" | b"DEALLOCATE ALL")
            && let Some(client) = client
        {
            client.forget_statements(number, self);
        }
        if !front.harmless_set {
            self.left = self.left.and(effects::of_tag(command));
        }
    }

    /// What the server does not report is no more what we SET; the rest it says itself.
    fn forget_unreported(&mut self, resets: Resets, client: Option<&Client>) {
        let is_reported = |name: &[u8]| self.base.value(name).is_some();
        let settings = match resets {
            Resets::All => self.settings.only(is_reported),
            Resets::Startup(_) | Resets::Reported(_) => {
                let name = client.and_then(|client| client.reset_name(resets));
                self.settings
                    .only(|other| Some(other) != name || is_reported(other))
            }
            _ => return,
        };
        self.settings = settings;
    }

    fn parameter_status(
        &mut self,
        body: &[u8],
        client: Option<&mut Client>,
        to_client: &mut Batch,
    ) -> Result<Done, Error> {
        let backend::ParameterStatus { name, value } = backend::parameter_status(body)?;
        if !settable(name) {
            return Ok(Done::No);
        }
        let front = self.replies.front();
        let ours = front.is_some_and(|entry| entry.to == To::Swallow);
        if front.is_some_and(|entry| entry.settings) {
            return Ok(Done::No);
        }
        self.settings = self.settings.with(name, value, &self.base);
        let Some(client) = client.filter(|_| !ours) else {
            return Ok(Done::No);
        };
        // Back at the base, to the server; to the client that is its own default.
        let resets = self.reset || front.is_some_and(|entry| entry.resets != Resets::Nothing);
        let is_base = resets && self.base.value(name) == Some(value);
        let own = is_base.then(|| client.default_of(name)).flatten();
        let shown = own.unwrap_or(value).to_vec();
        if client.known(name) == Some(&shown) {
            return Ok(Done::Yes);
        }
        client.told(name, &shown);
        if shown == value {
            return Ok(Done::No);
        }
        to_client.own(|out| encode::parameter_status(name, &shown, out));
        Ok(Done::Yes)
    }

    fn error_response(
        &mut self,
        body: Option<&[u8]>,
        mut client: Option<&mut Client>,
        to_client: &mut Batch,
    ) -> Done {
        let forwards = client.is_some() && self.forwards(tag::ERROR_RESPONSE);
        if let Some(severity) = body.and_then(|body| backend::Fields::new(body).severity())
            && matches!(severity, b"FATAL" | b"PANIC")
        {
            // Between two leases the connection is nobody's, and so is its end.
            let over = self.at_boundary()
                && client
                    .as_deref()
                    .is_some_and(|client| client.mode() != Mode::Session);
            self.goodbye = if forwards && !over {
                Goodbye::Heard
            } else {
                Goodbye::Unheard
            };
            if over {
                return Done::Yes;
            }
        }
        let front = self.replies.front().copied();
        // What fails at a Sync or a preparation of ours is the client's affair, also if it is gone.
        if front.is_some_and(|entry| entry.to == To::Swallow && entry.kind == Kind::Query) {
            self.own_error = Some(body.unwrap_or_default().into());
        }
        (self.reset, self.reset_all) = (false, false);
        self.reset_ones.clear();
        self.replies.front_resets_nothing();
        let skipped = self.replies.failed();
        if self.replies.is_loose() {
            // Cleaning shows what came of the Syncs before anybody else gets the connection.
            self.left = self.left.and(Effects::UNKNOWN);
        }
        let state = body.and_then(|body| backend::Fields::new(body).sqlstate());
        if let Some(&[first, second, ..]) = state.filter(|_| forwards) {
            self.counts.errors.push([first, second]);
        }
        if let (Some(skipped), Some(front)) = (skipped, front) {
            self.skipped(skipped, &front, state, client.as_deref_mut());
        }
        // A statement's name of ours in the message becomes the client's own.
        if forwards
            && matches!(state, Some(b"26000" | b"42P05" | b"08P01"))
            && let (Some(body), Some(client), Some(front)) = (body, client, front)
            && let Some(renamed) = client.rename(body, &front)
        {
            to_client.own(|out| encode::frame(tag::ERROR_RESPONSE, &renamed, out));
            return Done::Yes;
        }
        Done::No
    }

    fn skipped(
        &mut self,
        skipped: Skipped,
        front: &Expect,
        state: Option<&[u8]>,
        client: Option<&mut Client>,
    ) {
        self.prepared.skipped(skipped);
        match (state, front.kind) {
            // invalid_sql_statement_name, duplicate_prepared_statement, feature_not_supported
            // ("cached plan must not change result type"): the next use prepares it again.
            (Some(b"26000" | b"42P05" | b"0A000"), _) if front.statement != 0 => {
                self.prepared.doubt(front.statement);
            }
            (Some(b"0A000"), Kind::Execute) => self.prepared.doubt_all(),
            _ => {}
        }
        if let Some(client) = client {
            client.skipped(skipped, self);
        } else {
            self.unnamed.what = Unnamed::Foreign;
        }
    }
}

/// Whether a control frame has been dealt with already.
#[derive(PartialEq, Eq)]
enum Done {
    /// It has not: it is handed on, or dropped, as it is.
    No,
    /// It has: written in another form, or left out.
    Yes,
    /// It has, and the client gets nothing more.
    Refused,
}

/// Frames that carry data and need no look inside.
#[inline]
fn is_bulk(frame: u8) -> bool {
    matches!(frame, tag::DATA_ROW | tag::COPY_DATA | tag::COPY_DONE)
}

/// Frames that may come at any time, whatever was asked.
fn is_unasked(frame: u8) -> bool {
    matches!(
        frame,
        tag::NOTICE_RESPONSE | tag::NOTIFICATION_RESPONSE | tag::PARAMETER_STATUS
    )
}
