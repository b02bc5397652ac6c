//! The session side of a client: its names, its settings, and where it stands in its own stream.

use std::sync::Arc;

use pgweir_wire::{encode, header, tag::frontend};

use crate::batch::Batch;
use crate::journal::Before;
use crate::names::Names;
use crate::reply::{Expect, Skipped};
use crate::server::{Passing, Server, Unnamed};
use crate::settings::{Parameters, Settings, settable};
use crate::statement::{Statement, Statements};

/// When a client's server connection goes back to the pool.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Hash)]
pub enum Mode {
    /// When the client leaves.
    Session,
    /// After each transaction.
    Transaction,
    /// After each statement; transactions of several statements are refused.
    Statement,
}

/// What the rules need to know besides the bytes.
#[derive(Debug, Clone, Copy)]
pub struct Rules<'a> {
    /// The shared statements.
    pub statements: &'a Statements,
    /// The largest Parse message with a name, in bytes.
    pub max_statement_size: u64,
    /// The largest message, in bytes.
    pub max_packet_size: u32,
    /// How many shared statements a server connection keeps.
    pub max_prepared_statements: usize,
}

/// What is to be done with a client after its bytes were judged.
#[derive(Debug, PartialEq, Eq)]
pub enum Verdict {
    /// All frames that were whole enough are dealt with: read more.
    More,
    /// The next frame needs a server connection, and there is none.
    NeedsServer,
    /// The client said goodbye.
    Terminate,
    /// The client broke a rule: tell it and close the connection.
    Refused(Refusal),
}

/// Why a client's connection is closed.
#[derive(Debug, Clone, PartialEq, Eq, thiserror::Error)]
pub enum Refusal {
    /// A message that no client may send now.
    #[error("invalid frontend message type {0}")]
    Tag(u8),
    /// A message that cannot be read.
    #[error("{0}")]
    Malformed(#[from] pgweir_wire::Error),
    /// A named statement larger than what is kept.
    #[error("prepared statement of {len} bytes exceeds max_statement_size of {limit} bytes")]
    StatementTooLong {
        /// Bytes in the Parse message.
        len: u64,
        /// The setting.
        limit: u64,
    },
    /// More names than a client may have.
    #[error("client has more than {0} prepared statements")]
    TooManyNames(usize),
}

/// Longest front of a Bind, Describe or Close message that is held back until its names are whole.
pub(crate) const NAMES_LEN_MAX: usize = 16 * 1024;

/// The unnamed statement of a client.
#[derive(Debug, Default)]
pub(crate) enum ClientUnnamed {
    /// There is none.
    #[default]
    None,
    /// This one.
    Known(Arc<Statement>),
    /// One too large to be kept: it lives on the server of this lease only.
    Untracked(u32),
}

impl ClientUnnamed {
    /// Whether the server has just this.
    pub(crate) fn is_at(&self, server: &Unnamed, lease: u32) -> bool {
        match (self, server) {
            (Self::None, Unnamed::None) => true,
            (Self::Known(here), Unnamed::Known(there)) => Arc::ptr_eq(here, there),
            (Self::Untracked(its_lease), Unnamed::Foreign) => *its_lease == lease,
            _ => false,
        }
    }
}

/// What the portals of a lease were made from.
#[derive(Debug, Default)]
pub(crate) struct Bound {
    /// Statement of the unnamed portal; 0 when there is none or it has no id.
    pub(crate) statement: u64,
    /// The unnamed portal is a SET that leaves nothing to clean.
    pub(crate) harmless_set: bool,
    /// The unnamed portal resets all settings.
    pub(crate) resets_all: bool,
    /// The unnamed portal may do away with prepared statements.
    pub(crate) sweeps: bool,
    /// Number of the last Bind that made a named portal which may.
    pub(crate) named_sweeps: Option<u64>,
}

/// The state of one client after its login.
#[derive(Debug)]
pub struct Client {
    mode: Mode,
    /// Whether statement names are mapped to shared statements.
    pub(crate) mapping: bool,
    pub(crate) names: Option<Box<Names>>,
    pub(crate) unnamed: ClientUnnamed,
    /// What the client wants and believes to be in force.
    settings: Settings,
    /// The part of them that decides what statements mean.
    pub(crate) context: Settings,
    /// The part that came with its startup packet.
    pub(crate) startup: Settings,
    /// Whether a server has accepted `startup`.
    verified: bool,
    /// Number of leases so far.
    pub(crate) lease: u32,
    pub(crate) bound: Bound,
    /// A frame of the client under way.
    pub(crate) passing: Passing,
}

impl Client {
    /// A client that has just logged in; `startup` are the settings of its startup packet.
    pub fn new(mode: Mode, startup: Settings) -> Self {
        Self {
            mode,
            mapping: mode != Mode::Session,
            names: None,
            unnamed: ClientUnnamed::None,
            verified: startup.is_empty(),
            settings: startup.clone(),
            context: startup.planning(),
            startup,
            lease: 0,
            bound: Bound::default(),
            passing: Passing::default(),
        }
    }

    /// The pool mode.
    pub fn mode(&self) -> Mode {
        self.mode
    }

    /// What the client wants to be in force.
    pub fn settings(&self) -> &Settings {
        &self.settings
    }

    /// How many prepared statements it has.
    pub fn prepared(&self) -> usize {
        self.names.as_ref().map_or(0, |names| names.len())
    }

    /// Whether no frame of the client is half-way.
    pub fn at_border(&self) -> bool {
        self.passing.remaining == 0
    }

    /// A lease begins: what the server connection needs before the client's first request.
    ///
    /// Returns whether the client's requests must wait until that has been answered: its startup
    /// settings have not been accepted by any server yet, and a request must not run without them.
    pub fn attach(
        &mut self,
        server: &mut Server,
        rules: &Rules<'_>,
        to_server: &mut Batch,
    ) -> bool {
        debug_assert!(server.at_boundary());
        self.lease = self.lease.wrapping_add(1);
        self.bound = Bound::default();
        server.swept = None;
        if let Some(names) = &mut self.names {
            names.forget_gone();
        }
        server.journal.clear();
        server.segment += 1;
        if server.settings != self.settings {
            server.change_settings(&self.settings, to_server);
        } else {
            // Equal content: from now on the same allocation too, so that the next comparison
            // of these two is one of pointers.
            server.settings.share(&self.settings);
        }
        server.evict(rules.max_prepared_statements, to_server);
        if !server.setting_up() {
            self.verified = true;
        }
        !self.verified
    }

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
            let frame = Frame {
                tag: head.tag,
                len: head.frame_len(),
                seen: &input[at..],
            };
            let outcome = match server.as_deref_mut() {
                Some(server) => self.request(&frame, server, rules, to_server, to_client),
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
            // Nothing is open: the server would answer just this.
            frontend::SYNC => {
                to_client.own(|out| encode::ready(pgweir_wire::backend::Status::Idle, out));
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

    /// A server has accepted the startup settings.
    pub(crate) fn verified(&mut self) {
        self.verified = true;
    }

    /// The value of a parameter as the client knows it.
    pub(crate) fn known<'a>(&'a self, name: &[u8], base: &'a Parameters) -> Option<&'a [u8]> {
        self.settings.value(name).or_else(|| base.value(name))
    }

    /// The client has been told a parameter's value.
    pub(crate) fn told(&mut self, name: &[u8], value: &[u8], base: &Parameters) {
        self.settings = self.settings.with(name, value, base);
        self.context = self.settings.planning();
    }

    /// RESET ALL or DISCARD ALL went through: as with PostgreSQL, the values of the startup packet
    /// are in force again (they are sent to the server with the next lease), but for those that
    /// were set since, which `server` has.
    ///
    /// Tells the client of those that the server, which knows other ones, has not reported.
    pub(crate) fn settings_were_reset(&mut self, server: &Server, to_client: &mut Batch) {
        let base = &server.base;
        let startup = self.startup.clone();
        for (name, value) in startup.iter() {
            if server.settings.value(name).is_some() || self.known(name, base) == Some(value) {
                continue;
            }
            if let Some((spelled, _)) = base.find(name) {
                to_client.own(|out| encode::parameter_status(spelled, value, out));
            }
            self.told(name, value, base);
        }
    }

    /// DISCARD ALL or DEALLOCATE ALL, the request of this number, went through.
    pub(crate) fn forget_statements(&mut self, number: u64, server: &mut Server) {
        let lease = self.lease;
        let stays = |named: &crate::names::Named| named.lease == lease && named.number > number;
        if let Some(names) = &mut self.names {
            names.retain(stays);
        }
        server.journal.sweep(|named| !stays(named));
    }

    /// Requests of this lease failed or were skipped.
    pub(crate) fn skipped(&mut self, skipped: Skipped, server: &mut Server) {
        // Portals made before end with their transaction.
        self.bound.named_sweeps = self.bound.named_sweeps.filter(|bind| *bind >= skipped.to);
        let mut journal = std::mem::take(&mut server.journal);
        journal.undo(skipped, |before| match before {
            Before::Name(name, named) => {
                self.names.get_or_insert_default().replace(&name, named);
            }
            Before::Client(unnamed) => self.unnamed = unnamed,
            Before::Server(unnamed) => server.unnamed = unnamed,
        });
        server.journal = journal;
    }

    /// The text of an error about `entry` with this client's name in the place of ours.
    pub(crate) fn rename(&self, text: &[u8], entry: &Expect) -> Option<Vec<u8>> {
        let name = self.names.as_deref()?.name_of(entry.alias)?;
        let ours = match entry.statement {
            0 => crate::prepare::pretender(name),
            id => crate::statement::server_name(id),
        };
        crate::replies::rename(text, &ours, name)
    }

    /// The parameter values that a login is told: the server's, with the client's own in place.
    pub fn welcome<'a>(
        &'a self,
        base: &'a Parameters,
    ) -> impl Iterator<Item = (&'a [u8], &'a [u8])> {
        base.iter().map(|(name, value)| {
            let own = if settable(name) {
                self.settings.value(name)
            } else {
                None
            };
            (name, own.unwrap_or(value))
        })
    }
}

/// One frame in the client's bytes.
#[derive(Debug)]
pub(crate) struct Frame<'a> {
    pub(crate) tag: u8,
    /// Its whole length, header included.
    pub(crate) len: u64,
    /// The input from its first byte on; may end before the frame does, or reach beyond it.
    pub(crate) seen: &'a [u8],
}

impl<'a> Frame<'a> {
    /// The body, as far as it is there.
    pub(crate) fn body_seen(&self) -> &'a [u8] {
        let end = (self.seen.len() as u64).min(self.len) as usize;
        &self.seen[pgweir_wire::HEADER_LEN..end]
    }

    /// The body, if all of it is there.
    pub(crate) fn body(&self) -> Option<&'a [u8]> {
        if self.is_whole() {
            Some(self.body_seen())
        } else {
            None
        }
    }

    pub(crate) fn is_whole(&self) -> bool {
        self.seen.len() as u64 >= self.len
    }

    /// The whole frame goes to the server as it is.
    pub(crate) fn forward(&self) -> Outcome {
        Outcome::Pass {
            from: 0,
            forward: true,
        }
    }

    /// The whole frame goes nowhere.
    pub(crate) fn drop(&self) -> Outcome {
        Outcome::Pass {
            from: 0,
            forward: false,
        }
    }
}

/// What to do with a frame.
#[derive(Debug)]
pub(crate) enum Outcome {
    /// Its bytes from `from` on are handed on, or dropped; those before are done with.
    Pass {
        from: usize,
        forward: bool,
    },
    /// More of it must be there to tell.
    More,
    NeedsServer,
    Terminate,
}

/// Tags of messages that a server has to answer.
pub(crate) fn is_request(tag: u8) -> bool {
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
