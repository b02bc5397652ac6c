//! Statements that are answered here, for clients whose requests are routed: pgweir's own settings, and the
//! beginning of a transaction before it is known where it will be.

use std::fmt::Write;

use pgweir_route::intent::{self, Access, Statement};
use pgweir_route::topology::Lsn;
use pgweir_wire::{backend::Status, encode, frontend as message, tag::frontend};

use crate::batch::Batch;
use crate::client::{Client, GivenUp};
use crate::control::{Control, control};
use crate::frame::{Frame, Outcome};
use crate::routing::{Begun, Own, Target};
use crate::rules::Mode;
use crate::server::Server;
use crate::unnamed::ClientUnnamed;

/// Longest text that is looked at, in bytes.
const TEXT_LEN_MAX: usize = 256;

/// Most that a transaction may begin with before a server hears of it, in bytes.
const BEGUN_LEN_MAX: usize = 1024;

/// What is asked of the primary for SHOW `pgweir.lsn`: nothing that the client has seen is behind it.
const LSN_QUERY: &[u8] = b"SELECT pg_catalog.pg_current_wal_insert_lsn()::text AS \"pgweir.lsn\"";

/// What PostgreSQL answers in a transaction that has failed.
const ABORTED: encode::ErrorFields<'static> = encode::ErrorFields {
    severity: "ERROR",
    sqlstate: "25P02",
    message: "current transaction is aborted, commands ignored until end of transaction block",
    detail: None,
    hint: None,
};

/// An error of ours.
struct Wrong {
    sqlstate: &'static str,
    message: String,
}

impl Client {
    /// pgweir's own settings.
    pub fn own(&self) -> Own {
        let routing = self.routing.as_ref();
        routing.map(|routing| routing.own).unwrap_or_default()
    }

    /// The client begins with this target.
    pub fn begin_with(&mut self, target: Target) {
        if let Some(routing) = &mut self.routing {
            routing.own.target = target;
        }
    }

    /// Whether it is in a transaction that no server has heard of.
    pub fn has_begun(&self) -> bool {
        self.begun_status() != Status::Idle
    }

    /// What ReadyForQuery says while there is no server.
    pub(crate) fn begun_status(&self) -> Status {
        let routing = self.routing.as_ref();
        match routing.and_then(|routing| routing.begun.as_ref()) {
            None => Status::Idle,
            Some(begun) if begun.failed => Status::Failed,
            Some(_) => Status::Transaction,
        }
    }

    /// What the client waited for is cancelled: of a transaction, nothing but its end is left.
    pub(crate) fn fail_begun(&mut self) {
        if let Some(begun) = self.begun_mut() {
            begun.failed = true;
        }
    }

    fn begun_mut(&mut self) -> Option<&mut Begun> {
        self.routing.as_mut()?.begun.as_mut()
    }

    /// The statements with which the server has to begin, whose lease begins.
    pub(crate) fn take_begun(&mut self) -> Option<Vec<u8>> {
        let begun = self.routing.as_mut()?.begun.take()?;
        Some(begun.texts)
    }

    /// Answers a request that no server is needed for, while none is leased; `None` if one is.
    pub(crate) fn answer_here(
        &mut self,
        frame: &Frame<'_>,
        to_client: &mut Batch,
    ) -> Option<Outcome> {
        self.routing.as_ref()?;
        let outcome = self.answer_alone(frame, to_client);
        self.answered(frame, outcome.as_ref());
        outcome
    }

    fn answer_alone(&mut self, frame: &Frame<'_>, to_client: &mut Batch) -> Option<Outcome> {
        if self.begun_status() == Status::Failed {
            return self.answer_failed(frame, to_client);
        }
        let text = query_text(frame)?;
        if self.mode() == Mode::Transaction
            && let Some(tag) = self.control(text)
        {
            to_client.own(|out| encode::command_complete(tag, out));
            return Some(self.done(frame, to_client));
        }
        let outcome = self.own_statement(text)?;
        Some(self.finish(frame, outcome, self.begun_status(), to_client))
    }

    /// The same while a server is leased that owes nothing.
    pub(crate) fn answer_own(
        &mut self,
        frame: &Frame<'_>,
        server: &mut Server,
        to_client: &mut Batch,
    ) -> Option<Outcome> {
        self.routing.as_ref()?;
        if server.owed() > 0 || server.status == Status::Failed {
            return None;
        }
        let text = query_text(frame)?;
        let outcome = self.own_statement(text)?;
        let outcome = Some(self.finish(frame, outcome, server.status, to_client));
        self.answered(frame, outcome.as_ref());
        outcome
    }

    /// A Query does away with the unnamed statement, whoever answers it (protocol-flow, Extended Query).
    fn answered(&mut self, frame: &Frame<'_>, outcome: Option<&Outcome>) {
        if frame.tag == frontend::QUERY && outcome.is_some() {
            self.unnamed = ClientUnnamed::None;
        }
    }

    /// The query to be sent in the place of a SHOW that only the primary can answer.
    pub(crate) fn in_place_of(&self, frame: &Frame<'_>) -> Option<&'static [u8]> {
        let routing = self.routing.as_ref()?;
        let text = query_text(frame)?;
        match routing.intents.judge(text, self.dialect()).statement {
            Statement::Own(intent::Own::Show { name }) if is(name.of(text), "lsn") => {
                Some(LSN_QUERY)
            }
            _ => None,
        }
    }

    fn done(&self, frame: &Frame<'_>, to_client: &mut Batch) -> Outcome {
        let status = self.begun_status();
        to_client.own(|out| encode::ready(status, out));
        frame.drop()
    }

    fn finish(
        &self,
        frame: &Frame<'_>,
        outcome: Result<Said, Wrong>,
        status: Status,
        to_client: &mut Batch,
    ) -> Outcome {
        to_client.own(|out| {
            match &outcome {
                Ok(Said::Tag(tag)) => encode::command_complete(tag, out),
                Ok(Said::Value(name, value)) => {
                    encode::row_description(&[(name.as_str(), TEXT_OID)], out);
                    encode::data_row(&[Some(value.as_bytes())], out);
                    encode::command_complete("SHOW", out);
                }
                Err(wrong) => encode::error(
                    &encode::ErrorFields {
                        severity: "ERROR",
                        sqlstate: wrong.sqlstate,
                        message: &wrong.message,
                        ..encode::ErrorFields::default()
                    },
                    out,
                ),
            }
            encode::ready(status, out);
        });
        frame.drop()
    }

    /// After a cancel, as PostgreSQL does after an error.
    fn answer_failed(&mut self, frame: &Frame<'_>, to_client: &mut Batch) -> Option<Outcome> {
        let is_end =
            |text: &[u8]| matches!(control(text), Some(Control::Commit | Control::Rollback));
        if let Some(text) = query_text(frame)
            && is_end(text)
        {
            self.take_begun();
            to_client.own(|out| encode::command_complete("ROLLBACK", out));
            return Some(self.done(frame, to_client));
        }
        let text = match frame.tag {
            frontend::PARSE => message::parse(frame.body()?).ok()?.query,
            frontend::BIND => self
                .text_of(message::bind_names(frame.body_seen())?.statement)
                .unwrap_or_default(),
            _ => b"",
        };
        if is_end(text) {
            // The server says what it says when there is no transaction.
            self.take_begun();
            return None;
        }
        to_client.own(|out| encode::error(&ABORTED, out));
        if frame.tag == frontend::QUERY {
            return Some(self.done(frame, to_client));
        }
        self.given_up = GivenUp::ToSync;
        Some(frame.drop())
    }

    /// Begins or ends a transaction that no server need hear of yet, and gives the tag to be told.
    fn control(&mut self, text: &[u8]) -> Option<&'static str> {
        let control = control(text)?;
        let is_read_only = self.known(b"default_transaction_read_only") == Some(b"on");
        let routing = self.routing.as_mut()?;
        let Some(begun) = &mut routing.begun else {
            let Control::Begin(access) = control else {
                return None;
            };
            let mut texts = text.to_vec();
            texts.push(b';');
            routing.begun = Some(Begun {
                texts,
                access: match access {
                    Access::Unsaid if is_read_only => Access::ReadOnly,
                    access => access,
                },
                failed: false,
            });
            return Some("BEGIN");
        };
        match control {
            Control::Set(access) if begun.texts.len() + text.len() < BEGUN_LEN_MAX => {
                begun.texts.extend_from_slice(text);
                begun.texts.push(b';');
                if access != Access::Unsaid {
                    begun.access = access;
                }
                Some("SET")
            }
            Control::Commit => {
                routing.begun = None;
                Some("COMMIT")
            }
            Control::Rollback => {
                routing.begun = None;
                Some("ROLLBACK")
            }
            // The server warns of a second BEGIN.
            Control::Set(_) | Control::Begin(_) => None,
        }
    }

    /// What a statement about one of our own settings comes to; `None` if it is none, or the
    /// primary's to answer.
    fn own_statement(&mut self, text: &[u8]) -> Option<Result<Said, Wrong>> {
        let own = self.read_own(text)?;
        carry_out(own, text, &mut self.routing.as_mut()?.own)
    }

    fn read_own(&self, text: &[u8]) -> Option<intent::Own> {
        let routing = self.routing.as_ref()?;
        if text.len() > TEXT_LEN_MAX
            || memchr::memmem::find(text, b"pgweir").is_none()
                && memchr::memmem::find(text, b"PGWEIR").is_none()
        {
            return None;
        }
        match routing.intents.judge(text, self.dialect()).statement {
            Statement::Own(own) => Some(own),
            _ => None,
        }
    }

    /// What the server is to prepare in the place of a statement about one of our own settings, so that it answers
    /// what we would. A SET that is good it takes as it is: to it, it is an extension's.
    pub(crate) fn prepared_instead(&self, text: &[u8]) -> Option<Vec<u8>> {
        let own = self.read_own(text)?;
        // What it will come to when it is executed.
        let mut settings = self.own();
        Some(match carry_out(own, text, &mut settings) {
            None => LSN_QUERY.to_vec(),
            Some(Ok(Said::Tag(_))) => return None,
            Some(Ok(Said::Value(name, _))) => raise(&Wrong {
                sqlstate: "0A000",
                message: format!("SHOW {name} is answered with the simple query protocol only"),
            }),
            Some(Err(wrong)) => raise(&wrong),
        })
    }

    /// A prepared statement is about to be executed, which leaves something behind: it may be one of our own
    /// settings. That the server does not take it, because its transaction has failed, is not waited for: it asks
    /// for more than it need.
    pub(crate) fn own_bound(&mut self, text: &[u8]) {
        // What is wrong with it, the server says.
        let _ = self.own_statement(text);
    }
}

/// What a statement comes to; `None` if that is the primary's to say.
fn carry_out(own: intent::Own, text: &[u8], settings: &mut Own) -> Option<Result<Said, Wrong>> {
    Some(match own {
        intent::Own::Show { name } if is(name.of(text), "lsn") => return None,
        intent::Own::Show { name } => show(settings, name.of(text)),
        intent::Own::Reset { name } => reset(settings, name.of(text)),
        intent::Own::Set { name, value } => {
            let value = intent::Own::value(value, text).unwrap_or_default();
            set(settings, name.of(text), value)
        }
        intent::Own::SetLocal { name, .. } => Err(Wrong {
            sqlstate: "0A000",
            message: format!(
                "\"pgweir.{}\" can be SET for the session only: a transaction stays where it is",
                String::from_utf8_lossy(name.of(text))
            ),
        }),
    })
}

/// A statement that does nothing but fail like this, once it is executed.
fn raise(wrong: &Wrong) -> Vec<u8> {
    let Wrong { sqlstate, message } = wrong;
    // Doubled, both are what they are whatever standard_conforming_strings says.
    let message = message.replace('\\', "\\\\").replace('\'', "''");
    let message = message.replace("$pgweir$", "");
    format!(
        "DO $pgweir$ BEGIN RAISE EXCEPTION USING ERRCODE = '{sqlstate}', MESSAGE = E'{message}'; END $pgweir$"
    )
    .into_bytes()
}

/// PostgreSQL's type `text`.
const TEXT_OID: u32 = 25;

/// What is to be told about a statement that was carried out.
enum Said {
    Tag(&'static str),
    Value(String, String),
}

fn query_text<'a>(frame: &Frame<'a>) -> Option<&'a [u8]> {
    if frame.tag != frontend::QUERY || frame.len > TEXT_LEN_MAX as u64 {
        return None;
    }
    let body = frame.body()?;
    Some(body.strip_suffix(b"\0").unwrap_or(body))
}

fn is(name: &[u8], known: &str) -> bool {
    name.eq_ignore_ascii_case(known.as_bytes())
}

fn unknown(name: &[u8]) -> Wrong {
    let name = String::from_utf8_lossy(name);
    Wrong {
        sqlstate: "42704",
        message: format!("unrecognized configuration parameter \"pgweir.{name}\""),
    }
}

fn show(own: &Own, name: &[u8]) -> Result<Said, Wrong> {
    let value = if is(name, "target") {
        own.target.word().to_owned()
    } else if is(name, "min_lsn") {
        own.min_lsn.to_string()
    } else {
        return Err(unknown(name));
    };
    let mut column = "pgweir.".to_owned();
    // Writing to a string does not fail.
    let _ = write!(
        column,
        "{}",
        String::from_utf8_lossy(name).to_ascii_lowercase()
    );
    Ok(Said::Value(column, value))
}

fn reset(own: &mut Own, name: &[u8]) -> Result<Said, Wrong> {
    if is(name, "target") {
        own.target = Target::default();
    } else if is(name, "min_lsn") {
        own.min_lsn = Lsn::default();
    } else {
        return Err(unknown(name));
    }
    Ok(Said::Tag("RESET"))
}

fn set(own: &mut Own, name: &[u8], value: &[u8]) -> Result<Said, Wrong> {
    let invalid = || Wrong {
        sqlstate: "22023",
        message: format!(
            "invalid value for parameter \"pgweir.{}\": \"{}\"",
            String::from_utf8_lossy(name),
            String::from_utf8_lossy(value)
        ),
    };
    if is(name, "target") {
        own.target = Target::named(value).ok_or_else(invalid)?;
    } else if is(name, "min_lsn") {
        own.min_lsn = Lsn::read(value).ok_or_else(invalid)?;
    } else {
        return Err(unknown(name));
    }
    Ok(Said::Tag("SET"))
}
