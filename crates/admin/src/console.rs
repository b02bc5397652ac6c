//! The conversation of one console connection after its login: simple and extended protocol.
//!
//! Frames come in, messages for the client go out. What only the caller can know or do is asked for
//! with an [`Asked`], which goes back with the answer; until then no further frame may be handed in.
//! Section "Message Flow" of PostgreSQL's manual. (PgBouncer has the simple protocol only.)

use std::collections::HashMap;

use pgweir_wire::backend::Status;
use pgweir_wire::frontend::{self, Named};
use pgweir_wire::{encode, tag};

use crate::bind::bind;
use crate::column::Formats;
use crate::command::{Command, Role, parse};
use crate::error::Error;
use crate::notice::Notice;
use crate::portal::Portal;
use crate::snapshot::Snapshot;
use crate::{Show, answer, complete, describe, rows};

/// Prepared statements, and portals, that one connection may have.
const NAMES_MAX: usize = 100;

/// One console connection.
#[derive(Debug)]
pub struct Console {
    role: Role,
    statements: HashMap<Vec<u8>, Command>,
    portals: HashMap<Vec<u8>, Portal>,
    /// After an error of the extended protocol: everything up to Sync is skipped.
    is_skipping: bool,
}

/// What the caller has to do after a frame, when what was written has gone out.
#[derive(Debug)]
pub enum Step {
    /// Hand in the next frame.
    Next,
    /// Gather a snapshot and call [`Console::show`].
    Show(Asked<Show>),
    /// Do it, or find out why not, and call [`Console::performed`].
    Perform(Asked<Command>),
    /// Close the connection.
    Close,
}

/// A question to the caller: `Q` is a [`Show`], or a [`Command`] other than SHOW.
#[derive(Debug)]
#[must_use = "the client waits for an answer"]
pub struct Asked<Q> {
    question: Q,
    how: How,
    text: Option<String>,
}

impl<Q> Asked<Q> {
    /// What is asked.
    pub fn question(&self) -> &Q {
        &self.question
    }

    /// The statement that it is about, if it is about one.
    pub fn text(&self) -> Option<&str> {
        self.text.as_deref()
    }
}

/// How the client asked.
#[derive(Debug)]
enum How {
    /// With Query.
    Simple,
    /// With Execute of this portal, so many rows at most; 0 for all.
    Execute { portal: Vec<u8>, max_rows: u32 },
}

impl Console {
    /// For a user with this role, who has just logged in.
    pub fn new(role: Role) -> Self {
        Self {
            role,
            statements: HashMap::new(),
            portals: HashMap::new(),
            is_skipping: false,
        }
    }

    /// Takes a whole frame from the client: its tag and what is behind the header.
    pub fn handle_frame(&mut self, tag: u8, body: &[u8], out: &mut Vec<u8>) -> Step {
        use tag::frontend::{QUERY, SYNC, TERMINATE};
        if self.is_skipping && !matches!(tag, SYNC | TERMINATE) {
            return Step::Next;
        }
        let step = match tag {
            QUERY => self.handle_query(body, out),
            TERMINATE => return Step::Close,
            SYNC => {
                self.is_skipping = false;
                self.ready(out);
                Ok(Step::Next)
            }
            _ => self.handle_extended(tag, body, out),
        };
        step.unwrap_or_else(|error| {
            error.encode(out);
            match error.ends_connection() {
                true => Step::Close,
                false => {
                    self.failed(tag == QUERY, out);
                    Step::Next
                }
            }
        })
    }

    /// Answers a SHOW.
    pub fn show(&mut self, asked: Asked<Show>, snapshot: &Snapshot, out: &mut Vec<u8>) {
        let show = asked.question;
        match asked.how {
            How::Simple => {
                answer(show, snapshot, out);
                self.ready(out);
            }
            How::Execute { portal, max_rows } => {
                if let Some(portal) = self.portals.get_mut(&portal) {
                    let mut result = Vec::new();
                    rows(show, snapshot, &portal.formats, &mut result);
                    portal.run(result, max_rows, out);
                }
            }
        }
    }

    /// Answers a command that was performed, with what is to be said about it, or was not.
    pub fn performed(
        &mut self,
        asked: Asked<Command>,
        outcome: Result<Vec<Notice>, Error>,
        out: &mut Vec<u8>,
    ) {
        let is_simple = matches!(asked.how, How::Simple);
        match (outcome, asked.how) {
            (Err(error), _) => {
                error.encode(out);
                self.failed(is_simple, out);
            }
            (Ok(notices), How::Simple) => {
                complete(&asked.question, &notices, out);
                self.ready(out);
            }
            (Ok(notices), How::Execute { portal, max_rows }) => {
                if let Some(portal) = self.portals.get_mut(&portal) {
                    let mut result = Vec::new();
                    complete(&asked.question, &notices, &mut result);
                    portal.run(result, max_rows, out);
                }
            }
        }
    }

    /// A series of requests is over, and with it its portals.
    fn ready(&mut self, out: &mut Vec<u8>) {
        self.portals.clear();
        encode::ready(Status::Idle, out);
    }

    fn failed(&mut self, is_simple: bool, out: &mut Vec<u8>) {
        if is_simple {
            self.ready(out);
        } else {
            self.is_skipping = true;
        }
    }

    fn handle_query(&mut self, body: &[u8], out: &mut Vec<u8>) -> Result<Step, Error> {
        self.statements.remove(&b""[..]);
        let text = frontend::query(body).map_err(|_| Error::BadPacket)?;
        let command = parse(text, self.role)?;
        Ok(self.ask(command, How::Simple, out))
    }

    fn ask(&mut self, question: Command, how: How, out: &mut Vec<u8>) -> Step {
        let text = None;
        match question {
            Command::Show(question) => Step::Show(Asked {
                question,
                how,
                text,
            }),
            Command::ExplainRoute(text) => Step::Show(Asked {
                question: Show::Explained,
                how,
                text: Some(text),
            }),
            Command::FakeSet => {
                let asked = Asked {
                    question,
                    how,
                    text,
                };
                self.performed(asked, Ok(Vec::new()), out);
                Step::Next
            }
            question => Step::Perform(Asked {
                question,
                how,
                text,
            }),
        }
    }

    fn handle_extended(&mut self, tag: u8, body: &[u8], out: &mut Vec<u8>) -> Result<Step, Error> {
        use tag::frontend::{BIND, CLOSE, DESCRIBE, EXECUTE, FLUSH, PARSE};
        match tag {
            PARSE => self.handle_parse(body, out)?,
            BIND => self.handle_bind(body, out)?,
            DESCRIBE => {
                let named = frontend::describe(body).map_err(|_| Error::BadPacket)?;
                self.describe(named, out)?;
            }
            EXECUTE => return self.handle_execute(body, out),
            CLOSE => {
                let named = frontend::close(body).map_err(|_| Error::BadPacket)?;
                match named.kind {
                    b'S' => drop(self.statements.remove(named.name)),
                    _ => drop(self.portals.remove(named.name)),
                }
                encode::close_complete(out);
            }
            FLUSH => {}
            tag => return Err(Error::UnsupportedPacket(tag)),
        }
        Ok(Step::Next)
    }

    fn handle_parse(&mut self, body: &[u8], out: &mut Vec<u8>) -> Result<(), Error> {
        let message = frontend::parse(body).map_err(|_| Error::BadPacket)?;
        let command = parse(message.query, self.role)?;
        insert(
            &mut self.statements,
            message.name,
            command,
            Error::StatementExists,
        )?;
        encode::parse_complete(out);
        Ok(())
    }

    fn handle_bind(&mut self, body: &[u8], out: &mut Vec<u8>) -> Result<(), Error> {
        let message = bind(body)?;
        let portal = Portal::new(self.statement(message.statement)?.clone(), message.formats);
        insert(
            &mut self.portals,
            message.portal,
            portal,
            Error::PortalExists,
        )?;
        encode::bind_complete(out);
        Ok(())
    }

    fn describe(&self, named: Named<'_>, out: &mut Vec<u8>) -> Result<(), Error> {
        if named.kind == b'S' {
            let command = self.statement(named.name)?;
            encode::parameter_description(&[], out);
            describe(command, &Formats::default(), out);
        } else {
            let portal = self.portals.get(named.name);
            let portal = portal.ok_or_else(|| Error::NoPortal(lossy(named.name)))?;
            describe(&portal.command, &portal.formats, out);
        }
        Ok(())
    }

    fn handle_execute(&mut self, body: &[u8], out: &mut Vec<u8>) -> Result<Step, Error> {
        let message = frontend::execute(body).map_err(|_| Error::BadPacket)?;
        let portal = self.portals.get_mut(message.portal);
        let portal = portal.ok_or_else(|| Error::NoPortal(lossy(message.portal)))?;
        if portal.resume(message.max_rows, out) {
            return Ok(Step::Next);
        }
        let command = portal.command.clone();
        let how = How::Execute {
            portal: message.portal.into(),
            max_rows: message.max_rows,
        };
        Ok(self.ask(command, how, out))
    }

    fn statement(&self, name: &[u8]) -> Result<&Command, Error> {
        self.statements
            .get(name)
            .ok_or_else(|| Error::NoStatement(lossy(name)))
    }
}

fn lossy(name: &[u8]) -> String {
    String::from_utf8_lossy(name).into_owned()
}

/// Only what has no name may be replaced.
fn insert<T>(
    named: &mut HashMap<Vec<u8>, T>,
    name: &[u8],
    value: T,
    exists: fn(String) -> Error,
) -> Result<(), Error> {
    let is_new = !named.contains_key(name);
    if !is_new && !name.is_empty() {
        return Err(exists(lossy(name)));
    }
    if is_new && named.len() >= NAMES_MAX {
        return Err(Error::TooManyNames(NAMES_MAX));
    }
    named.insert(name.into(), value);
    Ok(())
}
