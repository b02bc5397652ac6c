//! Judging one request of a client that holds a lease: what is owed for it, and in which form it
//! goes to the server.

use pgweir_wire::{backend::Status, encode, header, tag::frontend};

use crate::batch::Batch;
use crate::client::{Client, GivenUp};
use crate::effects;
use crate::frame::{Frame, Outcome, Passing};
use crate::journal::Before;
use crate::reply::{Expect, Kind, Resets};
use crate::rules::{Refusal, Rules, Verdict};
use crate::server::Server;
use crate::settings::Settings;
use crate::unit::Host;
use crate::unnamed::{ClientUnnamed, Unnamed};

/// Longest Query that is held back until all of it is there, so that its text can be judged. A
/// longer one counts as having done anything if it did not come in one piece.
const QUERY_HELD_MAX: u64 = 64 * 1024;
/// The same where only a RESET matters.
const RESET_HELD_MAX: u64 = 1024;

/// What PostgreSQL answers to a statement that is cancelled.
const CANCELED: encode::ErrorFields<'static> = encode::ErrorFields {
    severity: "ERROR",
    sqlstate: "57014",
    message: "canceling statement due to user request",
    detail: None,
    hint: None,
};

impl Client {
    /// Takes bytes from the client: says how many are dealt with, and what comes next. The rest is
    /// to be put in front of the next read (or kept until there is a server).
    pub fn handle_request(
        &mut self,
        input: &[u8],
        mut server: Option<&mut Server>,
        rules: &Rules<'_>,
        to_server: &mut Batch,
        to_client: &mut Batch,
    ) -> (usize, Verdict) {
        let mut at = 0;
        loop {
            if self.passing.remaining > 0 {
                let rest = usize::try_from(self.passing.remaining).unwrap_or(usize::MAX);
                let len = (input.len() - at).min(rest);
                if len == 0 {
                    return (at, Verdict::More);
                }
                self.pass(at, len, server.as_deref_mut(), to_server);
                at += len;
                continue;
            }
            let head = match header(&input[at..], rules.max_packet_size) {
                Ok(Some(head)) => head,
                Ok(None) => return (at, Verdict::More),
                Err(error) => return (at, Verdict::Refused(error.into())),
            };
            if rules.extended_only && head.tag == frontend::QUERY {
                return (at, Verdict::Refused(Refusal::Query));
            }
            let frame = Frame {
                tag: head.tag,
                len: head.frame_len(),
                seen: &input[at..],
            };
            let outcome = match server.as_deref_mut() {
                Some(server) => match self.host(&frame, server, rules) {
                    Host::This => self.request(&frame, server, rules, to_server, to_client),
                    Host::Unknown => return (at, Verdict::Waits),
                    Host::Unseen => return (at, Verdict::More),
                    Host::Other => return (at, Verdict::Elsewhere),
                },
                None => self.without_server(&frame, to_client),
            };
            match outcome {
                Ok(Outcome::Pass { from, forward }) => {
                    // What stands before `from` has been written in another form already.
                    self.passing = Passing {
                        remaining: frame.len,
                        forward: false,
                    };
                    self.pass(at, from, None, to_server);
                    at += from;
                    self.passing.forward = forward;
                    if forward && let Some(server) = server.as_deref_mut() {
                        server.half_sent = self.passing.remaining;
                    }
                }
                Ok(Outcome::More) => return (at, Verdict::More),
                Ok(Outcome::NeedsServer) if self.routing.is_some() => {
                    let Some(unit) = self.next_unit(&input[at..], rules) else {
                        return (at, Verdict::More);
                    };
                    if let Some(routing) = &mut self.routing {
                        routing.unit = unit;
                    }
                    return (at, Verdict::NeedsServer);
                }
                Ok(Outcome::NeedsServer) => return (at, Verdict::NeedsServer),
                Ok(Outcome::Terminate) => return (at, Verdict::Terminate),
                Err(refusal) => return (at, Verdict::Refused(refusal)),
            }
        }
    }

    fn pass(&mut self, at: usize, len: usize, server: Option<&mut Server>, to_server: &mut Batch) {
        self.passing.remaining -= len as u64;
        if self.passing.forward {
            to_server.input(at..at + len);
            if let Some(server) = server {
                server.half_sent = self.passing.remaining;
            }
        }
    }

    /// A request while no server connection is leased.
    fn without_server(
        &mut self,
        frame: &Frame<'_>,
        to_client: &mut Batch,
    ) -> Result<Outcome, Refusal> {
        match frame.tag {
            frontend::TERMINATE => Ok(Outcome::Terminate),
            tag if is_request(tag)
                && self.given_up == GivenUp::Nothing
                && let Some(outcome) = self.answer_here(frame, to_client) =>
            {
                Ok(outcome)
            }
            tag if is_request(tag) && self.given_up != GivenUp::Nothing => {
                if self.given_up == GivenUp::Request {
                    to_client.own(|out| encode::error(&CANCELED, out));
                    self.given_up = GivenUp::ToSync;
                }
                if matches!(tag, frontend::QUERY | frontend::FUNCTION_CALL) {
                    self.given_up = GivenUp::Nothing;
                    let status = self.begun_status();
                    to_client.own(|out| encode::ready(status, out));
                }
                Ok(frame.drop())
            }
            // Nothing is open: the server would answer just this.
            frontend::SYNC => {
                self.given_up = GivenUp::Nothing;
                let status = self.begun_status();
                to_client.own(|out| encode::ready(status, out));
                Ok(frame.drop())
            }
            // Copy data after a failed COPY, and a Flush of nothing, are ignored by the server.
            frontend::FLUSH | frontend::COPY_DATA | frontend::COPY_DONE | frontend::COPY_FAIL => {
                Ok(frame.drop())
            }
            tag if is_request(tag) => Ok(Outcome::NeedsServer),
            tag => Err(Refusal::Tag(tag)),
        }
    }

    /// One frame of a client that holds `server`.
    fn request(
        &mut self,
        frame: &Frame<'_>,
        server: &mut Server,
        rules: &Rules<'_>,
        to_server: &mut Batch,
        to_client: &mut Batch,
    ) -> Result<Outcome, Refusal> {
        // S3: the server ignores all this, so nothing is owed for it.
        if server.replies.skipping() && !matches!(frame.tag, frontend::SYNC | frontend::TERMINATE) {
            return if is_known(frame.tag) {
                Ok(frame.drop())
            } else {
                Err(Refusal::Tag(frame.tag))
            };
        }
        if server.astray && begins_a_unit(frame.tag) && server.takes_a_query_of_ours() {
            self.put_right(server, to_server);
        }
        match frame.tag {
            frontend::QUERY => match self.answer_own(frame, server, to_client) {
                Some(outcome) => Ok(outcome),
                None => Ok(self.query(frame, server, to_server)),
            },
            frontend::FUNCTION_CALL => {
                if self.mapping {
                    // Any function by its number, pg_advisory_lock too.
                    server.left = server.left.and(effects::Verdict::UNSEEN.effects);
                }
                server.replies.push(Expect::forward(Kind::Query));
                server.unsynced = false;
                Ok(frame.forward())
            }
            frontend::SYNC => {
                server.sync(Expect::forward(Kind::Sync));
                server.inject(to_client);
                Ok(frame.forward())
            }
            frontend::FLUSH | frontend::COPY_DATA => Ok(frame.forward()),
            frontend::COPY_DONE | frontend::COPY_FAIL => {
                server.replies.copy_ended();
                Ok(frame.forward())
            }
            frontend::TERMINATE => Ok(Outcome::Terminate),
            frontend::PARSE if self.mapping => {
                self.parse(frame, server, rules, to_server, to_client)
            }
            frontend::BIND if self.mapping => self.bind(frame, server, rules, to_server),
            frontend::DESCRIBE if self.mapping => self.describe(frame, server, rules, to_server),
            frontend::CLOSE if self.mapping => self.close(frame, server, to_client),
            frontend::EXECUTE if self.mapping => Ok(self.execute(frame, server)),
            tag => {
                let kind = extended_kind(tag).ok_or(Refusal::Tag(tag))?;
                match kind {
                    Kind::Parse => {
                        server.counts.client_parses += 1;
                        server.unnamed.what = Unnamed::Foreign;
                    }
                    Kind::Bind => server.counts.binds += 1,
                    _ => {}
                }
                server.push(Expect::forward(kind));
                Ok(frame.forward())
            }
        }
    }

    fn query(&mut self, frame: &Frame<'_>, server: &mut Server, to_server: &mut Batch) -> Outcome {
        let mut entry = Expect::forward(Kind::Query);
        let text = frame
            .body()
            .map(|body| body.strip_suffix(b"\0").unwrap_or(body));
        if self.mapping {
            let verdict = match text {
                Some(text) => effects::judge(text, |name| server.reports(name)),
                None if frame.len <= QUERY_HELD_MAX => return Outcome::More,
                None => effects::Verdict::UNSEEN,
            };
            server.left = server.left.and(verdict.effects);
            entry.harmless_set = verdict.harmless_set;
            entry.resets = text
                .filter(|_| verdict.resets)
                .map_or(Resets::Nothing, |text| self.resets(text));
            if verdict.sweeps {
                server.swept = Some(server.replies.next_number());
            }
        } else if self.has_own_defaults(server) {
            if text.is_none() && frame.len <= RESET_HELD_MAX {
                return Outcome::More;
            }
            entry.resets = text.map_or(Resets::Nothing, |text| self.resets(text));
        }
        let number = server.replies.next_number();
        let exact = self.unnamed_is_exact(server);
        let pending = server.journal.is_pending(server.replies.answered());
        if pending || !matches!(self.unnamed, ClientUnnamed::None) {
            let before = std::mem::take(&mut self.unnamed);
            server.remember(number, Before::Client(before));
        }
        server.drop_unnamed(number, exact);
        let settled = server.replies.is_settled() && !server.unsynced;
        let in_its_place = self.in_place_of(frame);
        server.replies.push(entry);
        // Its ReadyForQuery speaks for everything before it.
        server.unsynced = false;
        if let Some(text) = in_its_place {
            to_server.own(|out| encode::query(text, out));
            return frame.done();
        }
        let is_idle = server.status == Status::Idle;
        if settled
            && is_idle
            && let Some(restored) = text.and_then(|text| self.restored(text, server))
        {
            // To the server its own login is what is to be restored; to the client, the client's.
            to_server.own(|out| out.extend_from_slice(&frame.seen[..frame.len as usize]));
            let (changes, target) = restored;
            server.ask_settings(&changes, target, to_server);
            return frame.done();
        }
        frame.forward()
    }

    /// What must follow a RESET so that the client's own defaults are in force: the statements,
    /// and the settings behind them.
    fn restored(&self, text: &[u8], server: &Server) -> Option<(Vec<u8>, Settings)> {
        if !self.has_own_defaults(server) {
            return None;
        }
        let name = effects::reset_of(text)?;
        let defaults = self.defaults_on(server);
        let mut changes = Vec::new();
        let encoding = server.encoding_of(&defaults);
        if name.eq_ignore_ascii_case(b"all") {
            Settings::default().write_changes(&defaults, encoding, &mut changes);
            return (!changes.is_empty()).then(|| (changes, defaults.into_owned()));
        }
        let value = defaults.value(name)?;
        Settings::default().write_changes(&Settings::new([(name, value)]), encoding, &mut changes);
        let settings = self.settings_on(server);
        let settings = settings.iter().chain([(name, value)]);
        Some((changes, Settings::new(settings)))
    }

    fn execute(&mut self, frame: &Frame<'_>, server: &mut Server) -> Outcome {
        let mut entry = Expect::forward(Kind::Execute);
        let sweeps = match frame.body_seen().first() {
            // The unnamed portal.
            Some(0) => {
                entry.statement = self.bound.statement;
                entry.harmless_set = self.bound.harmless_set;
                entry.resets = self.bound.resets;
                self.bound.sweeps
            }
            None if !frame.is_whole() => return Outcome::More,
            _ => self.bound.named_sweeps.is_some(),
        };
        if sweeps {
            server.swept = Some(server.replies.next_number());
        }
        server.push(entry);
        frame.forward()
    }
}

/// Tags of messages with which something new begins: no portal of before is used.
fn begins_a_unit(tag: u8) -> bool {
    matches!(
        tag,
        frontend::QUERY | frontend::PARSE | frontend::BIND | frontend::FUNCTION_CALL
    )
}

/// Tags of messages that a server has to answer.
fn is_request(tag: u8) -> bool {
    matches!(
        tag,
        frontend::QUERY
            | frontend::PARSE
            | frontend::BIND
            | frontend::DESCRIBE
            | frontend::EXECUTE
            | frontend::CLOSE
            | frontend::FUNCTION_CALL
    )
}

fn is_known(tag: u8) -> bool {
    is_request(tag)
        || matches!(
            tag,
            frontend::FLUSH
                | frontend::SYNC
                | frontend::COPY_DATA
                | frontend::COPY_DONE
                | frontend::COPY_FAIL
                | frontend::TERMINATE
        )
}

/// Tags whose requests belong to the extended protocol and are owed a reply of their own.
fn extended_kind(tag: u8) -> Option<Kind> {
    match tag {
        frontend::PARSE => Some(Kind::Parse),
        frontend::BIND => Some(Kind::Bind),
        frontend::DESCRIBE => Some(Kind::Describe),
        frontend::EXECUTE => Some(Kind::Execute),
        frontend::CLOSE => Some(Kind::Close),
        _ => None,
    }
}
