//! Names of prepared statements: each name of a client stands for a shared statement, which has a
//! name of its own on every server connection.
//!
//! Whether a name exists is sometimes known only to the server: when the request that gave it is
//! outstanding and may yet be skipped. Then nothing is done ahead of a request that uses it; the
//! name on the server exists or does not, just as the client's would.

use std::sync::Arc;

use pgweir_wire::{encode, frontend as message, tag::frontend};

use crate::batch::Batch;
use crate::client::Client;
use crate::context::Context;
use crate::effects::{self, Verdict};
use crate::frame::{Frame, Outcome, check_names};
use crate::journal::Before;
use crate::names::{NAMES_MAX, Named};
use crate::prepared::Have;
use crate::reply::{Expect, Kind, Resets};
use crate::rules::{Refusal, Rules};
use crate::server::Server;
use crate::statement::{NAME_PREFIX, Statement, pretender};
use crate::unnamed::{ClientUnnamed, Unnamed};

/// A name in a request.
struct Found {
    /// What it stands for, if the client prepared it.
    statement: Option<Arc<Statement>>,
    alias: u32,
    /// What is sent in the place of a name that stands for nothing, but looks like one of ours.
    pretended: Option<Vec<u8>>,
}

impl Found {
    /// The name on the server; `None` when it is the client's own.
    fn sent(&self) -> Option<&[u8]> {
        match &self.statement {
            Some(statement) => Some(statement.name()),
            None => self.pretended.as_deref(),
        }
    }

    fn id(&self) -> u64 {
        self.statement
            .as_ref()
            .map_or(0, |statement| statement.id())
    }

    fn expect(&self, kind: Kind) -> Expect {
        Expect {
            alias: self.alias,
            statement: self.id(),
            ..Expect::forward(kind)
        }
    }
}

impl Client {
    pub(crate) fn parse(
        &mut self,
        frame: &Frame<'_>,
        server: &mut Server,
        rules: &Rules<'_>,
        to_server: &mut Batch,
        to_client: &mut Batch,
    ) -> Result<Outcome, Refusal> {
        let Some(name_len) = memchr::memchr(0, frame.body_seen()) else {
            return frame.wait_for_names();
        };
        check_names(name_len)?;
        if frame.len > rules.max_statement_size {
            if name_len > 0 {
                let (len, limit) = (frame.len, rules.max_statement_size);
                return Err(Refusal::StatementTooLong { len, limit });
            }
            // Too large to be kept: it works as long as this lease lasts.
            server.counts.client_parses += 1;
            server.left = server.left.and(Verdict::UNSEEN.effects);
            let untracked = ClientUnnamed::Untracked(self.lease);
            self.parse_unnamed(untracked, Unnamed::Foreign, server);
            return Ok(frame.forward());
        }
        let Some(body) = frame.body() else {
            return Ok(Outcome::More);
        };
        let mut parse = message::parse(body)?;
        let instead = self.prepared_instead(parse.query);
        if let Some(instead) = &instead {
            parse.query = instead;
        }
        server.counts.client_parses += 1;
        if !parse.name.is_empty() {
            return self.parse_named(frame, &parse, server, rules, to_server, to_client);
        }
        let statement = match &self.unnamed {
            ClientUnnamed::Known(last) if last.is(parse.query, parse.types, &self.context) => {
                Arc::clone(last)
            }
            _ => self.intern(&parse, server, rules),
        };
        let known = ClientUnnamed::Known(Arc::clone(&statement));
        self.parse_unnamed(known, Unnamed::Known(statement), server);
        if instead.is_some() {
            to_server.own(|out| encode::parse(parse.name, parse.query, parse.types, out));
            return Ok(frame.done());
        }
        Ok(frame.forward())
    }

    fn parse_unnamed(&mut self, new: ClientUnnamed, what: Unnamed, server: &mut Server) {
        let exact = self.unnamed_is_exact(server);
        server.counts.server_parses += 1;
        let number = server.push(Expect::forward(Kind::Parse));
        let before = std::mem::replace(&mut self.unnamed, new);
        server.remember(number, Before::Client(before));
        server.set_unnamed(what, number, exact);
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
        let named = self.names.as_ref().and_then(|names| names.find(parse.name));
        if let Some(named) = named.filter(|named| !self.is_swept(named, server)) {
            let named = named.clone();
            self.parse_again(parse, &named, server, rules, to_server);
            return Ok(frame.done());
        }
        let names = self.names.get_or_insert_default();
        if server.replies.is_empty() {
            names.forget_gone();
        }
        if names.is_full() {
            return Err(Refusal::TooManyNames(names.len().min(NAMES_MAX)));
        }
        let alias = names.new_alias();
        let statement = self.intern(parse, server, rules);
        let have = server.have(&statement);
        // The server has it and cannot but accept it once more, if nothing stands in between.
        let certain =
            server.replies.is_settled() && server.status != pgweir_wire::backend::Status::Failed;
        let number = if have == Have::Yes && certain {
            server.push(Expect::inject(Kind::Parse))
        } else {
            if have != Have::No {
                server.push(Expect::swallow(Kind::Close));
                to_server.own(|out| encode::close(b'S', statement.name(), out));
            }
            self.send_parse(parse, &statement, alias, server, to_server)
        };
        self.give_name(parse.name, statement, number, alias, server);
        server.inject(to_client);
        Ok(frame.done())
    }

    /// A Parse under a name that is taken: the server says so itself, in its own words (42P05).
    /// Or that it is not taken, if what took it has been skipped.
    fn parse_again(
        &mut self,
        parse: &message::Parse<'_>,
        named: &Named,
        server: &mut Server,
        rules: &Rules<'_>,
        to_server: &mut Batch,
    ) {
        let statement = self.intern(parse, server, rules);
        if self.is_sure(named, server) {
            let there = self.place(parse.name, named, server, rules, to_server);
            server.push(Expect {
                alias: named.alias,
                statement: there.id(),
                refused: true,
                ..Expect::forward(Kind::Parse)
            });
            to_server.own(|out| encode::parse(there.name(), parse.query, parse.types, out));
            return;
        }
        let alias = self.names.get_or_insert_default().new_alias();
        let number = self.send_parse(parse, &named.statement, alias, server, to_server);
        if !Arc::ptr_eq(&statement, &named.statement) {
            // Its name on the server may be that of another text from now on.
            server.prepared.doubt(named.statement.id());
        }
        self.give_name(parse.name, statement, number, alias, server);
    }

    /// Sends a Parse of the client's under the name of `statement`.
    fn send_parse(
        &mut self,
        parse: &message::Parse<'_>,
        statement: &Arc<Statement>,
        alias: u32,
        server: &mut Server,
        to_server: &mut Batch,
    ) -> u64 {
        server.counts.server_parses += 1;
        let number = server.push(Expect {
            alias,
            statement: statement.id(),
            ..Expect::forward(Kind::Parse)
        });
        let segment = server.segment;
        server
            .prepared
            .insert(Arc::clone(statement), number, segment);
        to_server.own(|out| encode::parse(statement.name(), parse.query, parse.types, out));
        number
    }

    fn give_name(
        &mut self,
        name: &[u8],
        statement: Arc<Statement>,
        number: u64,
        alias: u32,
        server: &mut Server,
    ) {
        let named = Named {
            statement,
            lease: self.lease,
            number,
            segment: server.segment,
            alias,
        };
        let names = self.names.get_or_insert_default();
        let before = names.replace(name, Some(named));
        server.remember(number, Before::Name(name.into(), before));
    }

    pub(crate) fn bind(
        &mut self,
        frame: &Frame<'_>,
        server: &mut Server,
        rules: &Rules<'_>,
        to_server: &mut Batch,
    ) -> Result<Outcome, Refusal> {
        let Some(bind) = message::bind_names(frame.body_seen()) else {
            return frame.wait_for_names();
        };
        check_names(bind.rest_at)?;
        server.counts.binds += 1;
        if bind.statement.is_empty() {
            let verdict = self.unnamed_statement(server, rules, to_server);
            let resets = match &self.unnamed {
                ClientUnnamed::Known(statement) => self.resets_of(statement, verdict),
                _ => Resets::Nothing,
            };
            if !verdict.effects.is_none()
                && let ClientUnnamed::Known(statement) = &self.unnamed
            {
                let statement = Arc::clone(statement);
                self.own_bound(statement.text());
            }
            self.bound(bind.portal, 0, verdict, resets, server);
            server.push(Expect::forward(Kind::Bind));
            return Ok(frame.forward());
        }
        let found = self.find(bind.statement, server, rules, to_server);
        let (verdict, resets) = match &found.statement {
            Some(statement) => {
                let verdict = verdict_of(statement, server);
                (verdict, self.resets_of(statement, verdict))
            }
            None => Default::default(),
        };
        if !verdict.effects.is_none()
            && let Some(statement) = &found.statement
        {
            self.own_bound(statement.text());
        }
        self.bound(bind.portal, found.id(), verdict, resets, server);
        server.push(found.expect(Kind::Bind));
        let Some(name) = found.sent() else {
            return Ok(frame.forward());
        };
        // Tag, length, portal and our name; the rest of the message as it is.
        let len = frame.len - 1 - bind.statement.len() as u64 + name.len() as u64;
        let Ok(len) = u32::try_from(len) else {
            let limit = u64::from(u32::MAX);
            return Err(Refusal::StatementTooLong { len, limit });
        };
        to_server.own(|out| {
            out.push(frontend::BIND);
            out.extend_from_slice(&len.to_be_bytes());
            out.extend_from_slice(bind.portal);
            out.push(0);
            out.extend_from_slice(name);
            out.push(0);
        });
        Ok(Outcome::Pass {
            from: pgweir_wire::HEADER_LEN + bind.rest_at,
            forward: true,
        })
    }

    pub(crate) fn describe(
        &mut self,
        frame: &Frame<'_>,
        server: &mut Server,
        rules: &Rules<'_>,
        to_server: &mut Batch,
    ) -> Result<Outcome, Refusal> {
        let Some(body) = frame.body() else {
            return frame.wait_for_names();
        };
        check_names(body.len())?;
        let describe = message::describe(body)?;
        if describe.kind != b'S' {
            let mut entry = Expect::forward(Kind::Describe);
            if describe.name.is_empty() {
                entry.statement = self.bound.statement;
            }
            server.push(entry);
            return Ok(frame.forward());
        }
        if describe.name.is_empty() {
            self.unnamed_statement(server, rules, to_server);
            server.push(Expect::forward(Kind::Describe));
            return Ok(frame.forward());
        }
        let found = self.find(describe.name, server, rules, to_server);
        server.push(found.expect(Kind::Describe));
        let Some(name) = found.sent() else {
            return Ok(frame.forward());
        };
        to_server.own(|out| encode::describe(b'S', name, out));
        Ok(frame.done())
    }

    pub(crate) fn close(
        &mut self,
        frame: &Frame<'_>,
        server: &mut Server,
        to_client: &mut Batch,
    ) -> Result<Outcome, Refusal> {
        let Some(body) = frame.body() else {
            return frame.wait_for_names();
        };
        check_names(body.len())?;
        let close = message::close(body)?;
        if close.kind == b'S' && !close.name.is_empty() {
            // The statement stays on the server, for others. A name that does not exist is closed
            // with success too, so nothing has to be asked.
            let number = server.push(Expect::inject(Kind::Close));
            if let Some(names) = &mut self.names
                && let Some(before) = names.replace(close.name, None)
            {
                server.remember(number, Before::Name(close.name.into(), Some(before)));
            }
            server.inject(to_client);
            return Ok(frame.done());
        }
        let exact = self.unnamed_is_exact(server);
        let number = server.push(Expect::forward(Kind::Close));
        if close.kind == b'S' {
            let before = std::mem::take(&mut self.unnamed);
            server.remember(number, Before::Client(before));
            server.set_unnamed(Unnamed::None, number, exact);
        }
        Ok(frame.forward())
    }

    /// Sees to it that the server's unnamed statement is this client's.
    fn unnamed_statement(
        &mut self,
        server: &mut Server,
        rules: &Rules<'_>,
        to_server: &mut Batch,
    ) -> Verdict {
        let fits = server.unnamed_is_sure() && self.unnamed.is_at(&server.unnamed.what, self.lease);
        match &mut self.unnamed {
            ClientUnnamed::Known(statement) => {
                if !fits {
                    in_context(statement, &self.context, server, rules);
                    server.give_unnamed(Some(statement), to_server);
                }
                verdict_of(statement, server)
            }
            // What it does was taken for anything when it was parsed.
            ClientUnnamed::Untracked(lease) if *lease == self.lease => Verdict::UNSEEN,
            _ => {
                if !fits {
                    server.give_unnamed(None, to_server);
                }
                Verdict::default()
            }
        }
    }

    /// What a name in a request stands for; sees to it that the server has it.
    ///
    /// A name that the client did not prepare goes to the server as it is, for the server's own
    /// error (26000), or because SQL's PREPARE made it. Only a name that looks like one of ours
    /// must not: it would reach a statement of somebody else.
    fn find(
        &mut self,
        name: &[u8],
        server: &mut Server,
        rules: &Rules<'_>,
        to_server: &mut Batch,
    ) -> Found {
        let named = self.names.as_ref().and_then(|names| names.find(name));
        if let Some(named) = named.cloned() {
            let statement = if self.is_sure(&named, server) {
                self.place(name, &named, server, rules, to_server)
            } else {
                named.statement
            };
            return Found {
                pretended: None,
                statement: Some(statement),
                alias: named.alias,
            };
        }
        let mut found = Found {
            statement: None,
            alias: 0,
            pretended: None,
        };
        if name.starts_with(NAME_PREFIX.as_bytes()) {
            let names = self.names.get_or_insert_default();
            if server.replies.is_empty() {
                names.forget_gone();
            }
            found.alias = names.new_alias();
            names.remember(found.alias, name);
            found.pretended = Some(pretender(name));
        }
        found
    }

    /// Whether a name exists, whatever becomes of the requests that are outstanding in segments
    /// before this one.
    fn is_sure(&self, named: &Named, server: &Server) -> bool {
        let given = named.lease != self.lease
            || named.number < server.replies.answered()
            || named.segment == server.segment;
        given && !self.is_swept(named, server)
    }

    /// Whether a name is gone once the requests that are outstanding are through.
    fn is_swept(&self, named: &Named, server: &Server) -> bool {
        server
            .sweeping()
            .is_some_and(|swept| named.lease != self.lease || named.number < swept)
    }

    /// Sees to it that the server has the statement of a name.
    fn place(
        &mut self,
        name: &[u8],
        named: &Named,
        server: &mut Server,
        rules: &Rules<'_>,
        to_server: &mut Batch,
    ) -> Arc<Statement> {
        let mut statement = Arc::clone(&named.statement);
        if server.have(&statement) != Have::Yes
            && in_context(&mut statement, &self.context, server, rules)
            && let Some(names) = &mut self.names
            && let Some(named) = names.find_mut(name)
        {
            named.statement = Arc::clone(&statement);
        }
        server.ensure(&statement, named.alias, to_server);
        statement
    }

    fn resets_of(&self, statement: &Statement, verdict: Verdict) -> Resets {
        if verdict.resets {
            self.resets(statement.text())
        } else {
            Resets::Nothing
        }
    }

    fn intern(
        &self,
        parse: &message::Parse<'_>,
        server: &Server,
        rules: &Rules<'_>,
    ) -> Arc<Statement> {
        let reports = |name: &[u8]| server.reports(name);
        rules
            .statements
            .intern_in(&self.context, parse.query, parse.types, reports)
    }
}

/// Parsing a statement anew, under other settings than the first time, makes another one of it.
/// Says whether it did.
fn in_context(
    statement: &mut Arc<Statement>,
    context: &Context,
    server: &Server,
    rules: &Rules<'_>,
) -> bool {
    if statement.context() == context {
        return false;
    }
    let reports = |name: &[u8]| server.reports(name);
    *statement = rules
        .statements
        .intern_in(context, statement.text(), statement.types(), reports);
    true
}

/// What running a statement on this server may leave behind. Statements are shared by servers that
/// report different parameters.
fn verdict_of(statement: &Statement, server: &Server) -> Verdict {
    let mut verdict = statement.verdict();
    if verdict.harmless_set {
        verdict.harmless_set =
            effects::is_harmless_set(statement.text(), |name| server.reports(name));
    }
    verdict
}
