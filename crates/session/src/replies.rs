//! Reading what a server sends: each frame is matched with the queue of expected replies and goes
//! to the client, or nowhere.

use pgweir_wire::{backend, encode, header, tag::backend as tag};

use crate::batch::Batch;
use crate::client::Client;
use crate::effects::{self, Effects};
use crate::reply::{Kind, Skipped, To};
use crate::server::{Passing, Server, Unnamed};
use crate::settings::{Settings, settable};
use crate::statement::NAME_PREFIX;

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
    /// `client` is who holds the lease. What it is to receive is added to `to_client`.
    ///
    /// # Errors
    /// When the server breaks the protocol; nothing may be sent on this connection any more.
    pub fn handle_replies(
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
            let available = input.len() - at;
            let len = head.frame_len();
            if is_bulk(head.tag) {
                self.expect(head.tag, |kind| matches!(kind, Kind::Query | Kind::Execute))?;
            } else {
                if (available as u64) < len && len <= WHOLE_MAX {
                    return Ok(at);
                }
                let whole = available as u64 >= len;
                let body = if whole {
                    Some(&input[at + 5..at + len as usize])
                } else {
                    None
                };
                if self.control(head.tag, body, client.as_deref_mut(), to_client)? == Rewritten::Yes
                {
                    // Only a whole frame is ever rewritten.
                    at += len as usize;
                    continue;
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
            (tag::NOTICE_RESPONSE | tag::NOTIFICATION_RESPONSE, Some(_)) => true,
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
    ) -> Result<Rewritten, Error> {
        match frame {
            tag::READY_FOR_QUERY => {
                self.expect(frame, |kind| matches!(kind, Kind::Query | Kind::Sync))?;
                self.status = backend::ready(body.unwrap_or_default())?;
            }
            tag::COMMAND_COMPLETE => {
                self.expect(frame, |kind| matches!(kind, Kind::Query | Kind::Execute))?;
                if let Some(body) = body {
                    self.command_complete(backend::command_tag(body)?, client);
                }
            }
            tag::ERROR_RESPONSE => return Ok(self.error_response(body, client, to_client)),
            tag::PARAMETER_STATUS => {
                if let Some(body) = body {
                    self.parameter_status(body, client)?;
                }
            }
            tag::PARSE_COMPLETE => self.expect(frame, |kind| kind == Kind::Parse)?,
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
        Ok(Rewritten::No)
    }

    /// What follows once a control frame has been handed on: the entry that it answers is done.
    fn settle(&mut self, frame: u8, client: Option<&mut Client>, to_client: &mut Batch) {
        let Some(front) = self.replies.front().copied() else {
            return;
        };
        let done = match frame {
            tag::READY_FOR_QUERY => {
                self.ready(front.to, front.resets_all, client);
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
        }
        self.inject(to_client);
    }

    /// Makes the replies in front of the queue that the server knows nothing of.
    pub(crate) fn inject(&mut self, to_client: &mut Batch) {
        while let Some(entry) = self.replies.pop_own() {
            match entry.kind {
                Kind::Parse => to_client.own(encode::parse_complete),
                Kind::Close => to_client.own(encode::close_complete),
                _ => {}
            }
        }
    }

    fn ready(&mut self, to: To, resets_all: bool, client: Option<&mut Client>) {
        if to == To::Swallow {
            if let Some(settings) = self.pending.take()
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
        if resets_all && let Some(client) = client {
            client.settings_were_reset();
        }
    }

    fn command_complete(&mut self, command: &[u8], client: Option<&mut Client>) {
        let Some(front) = self.replies.front() else {
            return;
        };
        match command {
            b"DISCARD ALL" => {
                self.prepared.clear();
                self.unnamed = Unnamed::None;
                self.settings = Settings::default();
                self.left = Effects::NONE;
            }
            b"DEALLOCATE ALL" => self.prepared.clear(),
            _ => {}
        }
        if front.to == To::Swallow {
            return;
        }
        if matches!(command, b"DISCARD ALL" | b"DEALLOCATE ALL")
            && let Some(client) = client
        {
            client.forget_statements();
        }
        if !front.harmless_set {
            self.left = self.left.and(effects::of_tag(command));
        }
    }

    fn parameter_status(&mut self, body: &[u8], client: Option<&mut Client>) -> Result<(), Error> {
        let parameter = backend::parameter_status(body)?;
        if !settable(parameter.name) {
            return Ok(());
        }
        if self.pending.is_some()
            && self
                .replies
                .front()
                .is_some_and(|entry| entry.to == To::Swallow)
        {
            return Ok(());
        }
        self.settings = self
            .settings
            .with(parameter.name, parameter.value, &self.base);
        if let Some(client) = client
            && self
                .replies
                .front()
                .is_none_or(|entry| entry.to != To::Swallow)
        {
            client.told(parameter.name, parameter.value, &self.base);
        }
        Ok(())
    }

    fn error_response(
        &mut self,
        body: Option<&[u8]>,
        mut client: Option<&mut Client>,
        to_client: &mut Batch,
    ) -> Rewritten {
        let forwards = client.is_some() && self.forwards(tag::ERROR_RESPONSE);
        if !forwards
            && self
                .replies
                .front()
                .is_some_and(|entry| entry.to == To::Swallow)
        {
            self.own_error = Some(body.unwrap_or_default().into());
        }
        if let Some(skipped) = self.replies.failed() {
            self.skipped(skipped, body, client.as_deref_mut());
        }
        // A statement's name of ours in the message becomes the client's own.
        if forwards
            && let (Some(body), Some(client)) = (body, client)
            && let Some(renamed) = client.rename(body)
        {
            to_client.own(|out| {
                out.push(tag::ERROR_RESPONSE);
                out.extend_from_slice(&(renamed.len() as u32 + 4).to_be_bytes());
                out.extend_from_slice(&renamed);
            });
            return Rewritten::Yes;
        }
        Rewritten::No
    }

    fn skipped(&mut self, skipped: Skipped, body: Option<&[u8]>, client: Option<&mut Client>) {
        self.prepared.skipped(skipped);
        self.unnamed = Unnamed::Foreign;
        // invalid_sql_statement_name, feature_not_supported ("cached plan must not change result
        // type"): the next use prepares it again.
        let state = body.and_then(|body| backend::Fields::new(body).sqlstate());
        if matches!(state, Some(b"26000" | b"0A000")) {
            self.prepared.doubt(skipped.statement);
        }
        if let Some(client) = client {
            client.skipped(skipped);
        }
    }
}

#[derive(PartialEq, Eq)]
enum Rewritten {
    Yes,
    No,
}

/// Frames that carry data and need no look inside.
#[inline]
fn is_bulk(frame: u8) -> bool {
    matches!(frame, tag::DATA_ROW | tag::COPY_DATA | tag::COPY_DONE)
}

/// Puts `name_of(ours)` where `text` has a statement name of ours; `None` when there is none.
pub(crate) fn rename<'a>(
    text: &[u8],
    name_of: impl Fn(&[u8]) -> Option<&'a [u8]>,
) -> Option<Vec<u8>> {
    let mut renamed: Option<Vec<u8>> = None;
    let (mut copied, mut from) = (0, 0);
    while let Some(found) = memchr::memmem::find(&text[from..], NAME_PREFIX.as_bytes()) {
        let start = from + found;
        let digits = text[start + NAME_PREFIX.len()..]
            .iter()
            .take_while(|b| b.is_ascii_digit())
            .count();
        let end = start + NAME_PREFIX.len() + digits;
        if let Some(name) = name_of(&text[start..end]) {
            let out = renamed.get_or_insert_with(Vec::new);
            out.extend_from_slice(&text[copied..start]);
            out.extend_from_slice(name);
            copied = end;
        }
        from = end;
    }
    renamed.map(|mut out| {
        out.extend_from_slice(&text[copied..]);
        out
    })
}
