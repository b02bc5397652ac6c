//! Judging one request of a client that holds a lease: what is owed for it, and in which form it
//! goes to the server.

use pgweir_wire::tag::frontend;

use crate::batch::Batch;
use crate::client::{
    Bound, Client, ClientUnnamed, Frame, NAMES_LEN_MAX, Outcome, Refusal, Rules, is_request,
};
use crate::effects::{self, Verdict};
use crate::journal::Before;
use crate::reply::{Expect, Kind};
use crate::server::{Server, Unnamed, extended_kind};
use crate::settings::Settings;

/// Longest Query that is held back until all of it is there, so that its text can be judged. A
/// longer one counts as having done anything if it did not come in one piece.
const QUERY_HELD_MAX: u64 = 64 * 1024;
/// The same where only a RESET matters.
const RESET_HELD_MAX: u64 = 1024;

impl Client {
    /// One frame of a client that holds `server`.
    pub(crate) fn request(
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
        match frame.tag {
            frontend::QUERY => Ok(self.query(frame, server, to_server)),
            frontend::FUNCTION_CALL => {
                if self.mapping {
                    // Any function by its number, pg_advisory_lock too.
                    server.left = server.left.and(Verdict::UNSEEN.effects);
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
                None => Verdict::UNSEEN,
            };
            server.left = server.left.and(verdict.effects);
            entry.harmless_set = verdict.harmless_set;
            entry.resets_all = verdict.resets_all;
            if verdict.sweeps {
                server.swept = Some(server.replies.next_number());
            }
        } else if !self.startup.is_empty() {
            if text.is_none() && frame.len <= RESET_HELD_MAX {
                return Outcome::More;
            }
            entry.resets_all = text.is_some_and(effects::resets_all);
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
        server.replies.push(entry);
        // Its ReadyForQuery speaks for everything before it.
        server.unsynced = false;
        let is_idle = server.status == pgweir_wire::backend::Status::Idle;
        if settled
            && is_idle
            && let Some(restored) = text.and_then(|text| self.restored(text))
        {
            // To the server its own login is what is to be restored; to the client, the client's.
            to_server.own(|out| out.extend_from_slice(&frame.seen[..frame.len as usize]));
            let (changes, target) = restored;
            server.ask_settings(&changes, target, to_server);
            return done(frame);
        }
        frame.forward()
    }

    /// What must follow a RESET so that the values of the client's startup packet are in force: the
    /// statements, and the settings behind them.
    fn restored(&self, text: &[u8]) -> Option<(Vec<u8>, Settings)> {
        if self.startup.is_empty() {
            return None;
        }
        let name = effects::reset_of(text)?;
        let mut changes = Vec::new();
        if name.eq_ignore_ascii_case(b"all") {
            Settings::default().write_changes(&self.startup, &mut changes);
            return Some((changes, self.startup.clone()));
        }
        let value = self.startup.value(name)?;
        Settings::default().write_changes(&Settings::new([(name, value)]), &mut changes);
        let settings = self.settings().iter().chain([(name, value)]);
        Some((changes, Settings::new(settings)))
    }

    fn execute(&mut self, frame: &Frame<'_>, server: &mut Server) -> Outcome {
        let mut entry = Expect::forward(Kind::Execute);
        let sweeps = match frame.body_seen().first() {
            // The unnamed portal.
            Some(0) => {
                entry.statement = self.bound.statement;
                entry.harmless_set = self.bound.harmless_set;
                entry.resets_all = self.bound.resets_all;
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

    /// Notes what a Bind makes a portal from.
    pub(crate) fn bound(
        &mut self,
        portal: &[u8],
        statement: u64,
        verdict: Verdict,
        server: &mut Server,
    ) {
        server.left = server.left.and(verdict.effects);
        if portal.is_empty() {
            self.bound = Bound {
                statement,
                harmless_set: verdict.harmless_set,
                resets_all: verdict.resets_all,
                sweeps: verdict.sweeps,
                ..self.bound
            };
        } else if verdict.sweeps {
            self.bound.named_sweeps = Some(server.replies.next_number());
        }
    }

    /// Whether the server's unnamed statement is the client's, whatever becomes of the requests
    /// that are outstanding.
    pub(crate) fn unnamed_is_exact(&self, server: &Server) -> bool {
        server.unnamed_is_certain() && self.unnamed.is_at(&server.unnamed.what, self.lease)
    }
}

/// The frame has been written in another form.
pub(crate) fn done(frame: &Frame<'_>) -> Outcome {
    Outcome::Pass {
        from: usize::try_from(frame.len).unwrap_or(usize::MAX),
        forward: true,
    }
}

/// The names of a message must be seen whole, but nobody needs names of many kilobytes.
pub(crate) fn wait_for_names(frame: &Frame<'_>) -> Result<Outcome, Refusal> {
    if frame.is_whole() {
        return Err(unterminated());
    }
    check_names(frame.body_seen().len())?;
    Ok(Outcome::More)
}

/// The front of a message, up to the end of its names, is `len` bytes long, or longer.
pub(crate) fn check_names(len: usize) -> Result<(), Refusal> {
    if len > NAMES_LEN_MAX {
        return Err(unterminated());
    }
    Ok(())
}

fn unterminated() -> Refusal {
    let message = "of the extended protocol";
    pgweir_wire::Error::Unterminated { message }.into()
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
