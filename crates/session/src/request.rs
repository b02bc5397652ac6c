//! Judging one request of a client that holds a lease: what is owed for it, and in which form it
//! goes to the server.

use std::sync::Arc;

use pgweir_wire::{encode, frontend as message, tag::frontend};

use crate::batch::Batch;
use crate::client::{
    Client, ClientUnnamed, Frame, NAMES_LEN_MAX, NAMES_MAX, Outcome, Refusal, Rules, is_request,
};
use crate::effects::{self, Verdict};
use crate::prepared::{Have, Named};
use crate::reply::{Expect, Kind};
use crate::server::{Server, Unnamed, extended_kind};
use crate::statement::{NAME_PREFIX, Statement};

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
            frontend::QUERY | frontend::FUNCTION_CALL => {
                self.query(frame, server);
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
            frontend::BIND if self.mapping => self.bind(frame, server, to_server),
            frontend::DESCRIBE if self.mapping => self.describe(frame, server, to_server),
            frontend::CLOSE if self.mapping => self.close(frame, server, to_client),
            tag => {
                let kind = extended_kind(tag).ok_or(Refusal::Tag(tag))?;
                let mut entry = Expect::forward(kind);
                match kind {
                    Kind::Parse => server.counts.client_parses += 1,
                    Kind::Bind => server.counts.binds += 1,
                    Kind::Execute => {
                        entry.statement = self.bound;
                        entry.harmless_set = self.bound_harmless;
                    }
                    _ => {}
                }
                server.push(entry);
                Ok(frame.forward())
            }
        }
    }

    fn query(&mut self, frame: &Frame<'_>, server: &mut Server) {
        let mut entry = Expect::forward(Kind::Query);
        if self.mode() != crate::Mode::Session {
            let verdict = match frame.body() {
                Some(text) if frame.tag == frontend::QUERY => {
                    effects::judge(text.strip_suffix(b"\0").unwrap_or(text), |name| {
                        server.reports(name)
                    })
                }
                Some(_) => Verdict::default(),
                None => Verdict::UNSEEN,
            };
            server.left = server.left.and(verdict.effects);
            entry.harmless_set = verdict.harmless_set;
            entry.resets_all = verdict.resets_all;
        }
        // A simple query does away with the unnamed statement (protocol-flow, Extended Query).
        server.unnamed = Unnamed::None;
        self.unnamed = ClientUnnamed::None;
        server.replies.push(entry);
        // Its ReadyForQuery speaks for everything before it.
        server.unsynced = false;
    }

    fn parse(
        &mut self,
        frame: &Frame<'_>,
        server: &mut Server,
        rules: &Rules<'_>,
        to_server: &mut Batch,
        to_client: &mut Batch,
    ) -> Result<Outcome, Refusal> {
        let seen = frame.body_seen();
        let Some(name_len) = memchr::memchr(0, seen) else {
            return wait_for_names(frame);
        };
        if !frame.is_whole() && frame.len <= rules.max_statement_size {
            return Ok(Outcome::More);
        }
        server.counts.client_parses += 1;
        let Some(body) = frame.body() else {
            if name_len > 0 {
                let (len, limit) = (frame.len, rules.max_statement_size);
                return Err(Refusal::StatementTooLong { len, limit });
            }
            // Too large to be kept: it works as long as this lease lasts.
            server.left = server.left.and(Verdict::UNSEEN.effects);
            server.unnamed = Unnamed::Foreign;
            self.unnamed = ClientUnnamed::Untracked(self.lease);
            server.push(Expect::forward(Kind::Parse));
            return Ok(frame.forward());
        };
        let parse = message::parse(body)?;
        if parse.name.is_empty() {
            let statement = match &self.unnamed {
                ClientUnnamed::Known(last, ..) if last.is(parse.query, parse.types) => {
                    Arc::clone(last)
                }
                _ => intern(rules, server, &parse),
            };
            server.counts.server_parses += 1;
            let number = server.push(Expect::forward(Kind::Parse));
            server.unnamed = Unnamed::Known(Arc::clone(&statement));
            self.unnamed = ClientUnnamed::Known(statement, self.lease, number);
            return Ok(frame.forward());
        }
        self.parse_named(frame, &parse, server, rules, to_server, to_client)
    }

    fn parse_named(
        &mut self,
        frame: &Frame<'_>,
        parse: &message::Parse<'_>,
        server: &mut Server,
        rules: &Rules<'_>,
        to_server: &mut Batch,
        to_client: &mut Batch,
    ) -> Result<Outcome, Refusal> {
        let names = self.names.get_or_insert_default();
        if let Some(named) = names.find(parse.name) {
            // The name is taken: the server says so itself, in its own words (42P05).
            let statement = Arc::clone(&named.statement);
            server.ensure(&statement, to_server);
            server.push(Expect::forward(Kind::Parse));
            to_server.own(|out| encode::parse(statement.name(), parse.query, parse.types, out));
            return Ok(done(frame));
        }
        if names.len() >= NAMES_MAX {
            return Err(Refusal::TooManyNames(NAMES_MAX));
        }
        let statement = intern(rules, server, parse);
        let answered = server.replies.answered();
        let number = match server
            .prepared
            .have(statement.id(), answered, server.segment)
        {
            Have::Yes => {
                let number = server.push(Expect::inject(Kind::Parse));
                server.inject(to_client);
                number
            }
            have => {
                if have == Have::Perhaps {
                    server.push(Expect::swallow(Kind::Close));
                    to_server.own(|out| encode::close(b'S', statement.name(), out));
                }
                server.counts.server_parses += 1;
                let number = server.push(Expect::forward(Kind::Parse));
                server
                    .prepared
                    .insert(Arc::clone(&statement), number, server.segment);
                to_server.own(|out| encode::parse(statement.name(), parse.query, parse.types, out));
                number
            }
        };
        names.insert(
            parse.name,
            Named {
                statement,
                lease: self.lease,
                number,
            },
        );
        Ok(done(frame))
    }

    fn bind(
        &mut self,
        frame: &Frame<'_>,
        server: &mut Server,
        to_server: &mut Batch,
    ) -> Result<Outcome, Refusal> {
        let Some(bind) = message::bind_names(frame.body_seen()) else {
            return wait_for_names(frame);
        };
        server.counts.binds += 1;
        if bind.statement.is_empty() {
            let verdict = self.unnamed_statement(server, to_server);
            self.bound = 0;
            self.bound_harmless = verdict.harmless_set;
            server.left = server.left.and(verdict.effects);
            server.push(Expect::forward(Kind::Bind));
            return Ok(frame.forward());
        }
        let statement = self.named(bind.statement);
        let id = statement.as_ref().map_or(0, |statement| statement.id());
        if let Some(statement) = &statement {
            let verdict = statement.verdict();
            server.left = server.left.and(verdict.effects);
            self.bound_harmless = verdict.harmless_set;
            server.ensure(statement, to_server);
        }
        self.bound = id;
        server.push(Expect {
            statement: id,
            ..Expect::forward(Kind::Bind)
        });
        let Some(name) = server_name(statement.as_deref(), bind.statement) else {
            return Ok(frame.forward());
        };
        // Tag, length, portal and our name; the rest of the message as it is.
        let len = frame.len - 1 - bind.statement.len() as u64 + name.len() as u64;
        let Ok(len) = u32::try_from(len) else {
            return Err(Refusal::StatementTooLong {
                len,
                limit: u64::from(u32::MAX),
            });
        };
        to_server.own(|out| {
            out.push(frontend::BIND);
            out.extend_from_slice(&len.to_be_bytes());
            out.extend_from_slice(bind.portal);
            out.push(0);
            out.extend_from_slice(&name);
            out.push(0);
        });
        Ok(Outcome::Pass {
            from: pgweir_wire::HEADER_LEN + bind.rest_at,
            forward: true,
        })
    }

    fn describe(
        &mut self,
        frame: &Frame<'_>,
        server: &mut Server,
        to_server: &mut Batch,
    ) -> Result<Outcome, Refusal> {
        let Some(body) = frame.body() else {
            return wait_for_names(frame);
        };
        let describe = message::describe(body)?;
        if describe.kind != b'S' {
            server.push(Expect {
                statement: self.bound,
                ..Expect::forward(Kind::Describe)
            });
            return Ok(frame.forward());
        }
        if describe.name.is_empty() {
            self.unnamed_statement(server, to_server);
            server.push(Expect::forward(Kind::Describe));
            return Ok(frame.forward());
        }
        let statement = self.named(describe.name);
        if let Some(statement) = &statement {
            server.ensure(statement, to_server);
        }
        let id = statement.as_ref().map_or(0, |statement| statement.id());
        server.push(Expect {
            statement: id,
            ..Expect::forward(Kind::Describe)
        });
        let Some(name) = server_name(statement.as_deref(), describe.name) else {
            return Ok(frame.forward());
        };
        to_server.own(|out| encode::describe(b'S', &name, out));
        Ok(done(frame))
    }

    fn close(
        &mut self,
        frame: &Frame<'_>,
        server: &mut Server,
        to_client: &mut Batch,
    ) -> Result<Outcome, Refusal> {
        let Some(body) = frame.body() else {
            return wait_for_names(frame);
        };
        let close = message::close(body)?;
        if close.kind == b'S' && close.name.is_empty() {
            self.unnamed = ClientUnnamed::None;
            server.unnamed = Unnamed::None;
        }
        if close.kind == b'S' && !close.name.is_empty() {
            if let Some(names) = &mut self.names {
                names.remove(close.name);
            }
            // The statement stays on the server, for others. A name that does not exist is closed
            // with success too, so nothing has to be asked.
            server.push(Expect::inject(Kind::Close));
            server.inject(to_client);
            return Ok(done(frame));
        }
        server.push(Expect::forward(Kind::Close));
        Ok(frame.forward())
    }

    /// Sees to it that the server's unnamed statement is this client's.
    fn unnamed_statement(&mut self, server: &mut Server, to_server: &mut Batch) -> Verdict {
        match &self.unnamed {
            ClientUnnamed::Known(statement, ..) => {
                server.ensure_unnamed(Some(statement), to_server);
                statement.verdict()
            }
            ClientUnnamed::Untracked(lease) if *lease == self.lease => Verdict::default(),
            _ => {
                server.ensure_unnamed(None, to_server);
                Verdict::default()
            }
        }
    }

    fn named(&self, name: &[u8]) -> Option<Arc<Statement>> {
        let named = self.names.as_deref()?.find(name)?;
        Some(Arc::clone(&named.statement))
    }
}

/// The name to be sent in the place of the client's; `None` when it can stay as it is.
///
/// A name that the client did not prepare goes to the server as it is, for the server's own error
/// (26000), or because SQL's PREPARE made it. Only a name that looks like one of ours must not:
/// it would reach a statement of somebody else.
fn server_name(statement: Option<&Statement>, name: &[u8]) -> Option<Vec<u8>> {
    match statement {
        Some(statement) => Some(statement.name().to_vec()),
        None if name.starts_with(NAME_PREFIX.as_bytes()) => {
            let mut other = name.to_vec();
            other.extend_from_slice(b" (client)");
            Some(other)
        }
        None => None,
    }
}

fn intern(rules: &Rules<'_>, server: &Server, parse: &message::Parse<'_>) -> Arc<Statement> {
    rules
        .statements
        .intern(parse.query, parse.types, |name| server.reports(name))
}

/// The frame has been written in another form.
fn done(frame: &Frame<'_>) -> Outcome {
    Outcome::Pass {
        from: usize::try_from(frame.len).unwrap_or(usize::MAX),
        forward: true,
    }
}

/// The names of a message must be seen whole, but nobody needs names of many kilobytes.
fn wait_for_names(frame: &Frame<'_>) -> Result<Outcome, Refusal> {
    if frame.is_whole() || frame.seen.len() > NAMES_LEN_MAX {
        return Err(pgweir_wire::Error::Unterminated {
            message: "of the extended protocol",
        }
        .into());
    }
    Ok(Outcome::More)
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
