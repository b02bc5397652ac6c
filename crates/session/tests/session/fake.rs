//! A PostgreSQL backend in memory: the message loop of protocol 3 (`PostgresMain` in postgres.c,
//! `CopyGetData` in copyfromparse.c) in front of an [`Engine`].
//!
//! Bytes go in, bytes come out; what the backend has not flushed stays inside.

use std::collections::VecDeque;

use pgweir_wire::backend::Status;
use pgweir_wire::{encode, frontend as message, header, tag::frontend};

use crate::engine::{Block, CopyIn, Engine, Fault, Output, REPORTED, Standby, Values, fault};

/// As in pqcomm.c: more than this is sent without having been asked for.
const BUFFER: usize = 8192;

enum After {
    /// The rest of a simple Query.
    Query(VecDeque<String>),
    Execute,
}

struct Copy {
    kind: CopyIn,
    rows: usize,
    after: After,
}

pub struct Fake {
    pub engine: Engine,
    input: Vec<u8>,
    buffer: Vec<u8>,
    /// What the backend has sent.
    pub output: Vec<u8>,
    skip_to_sync: bool,
    extended: bool,
    copy: Option<Copy>,
    /// The backend has ended the connection.
    pub dead: bool,
    /// Somebody calls pg_terminate_backend when it is asked for something.
    pub goes: bool,
    /// So many bytes that come next are the pooler's own.
    pub own: usize,
    told: Values,
}

impl Fake {
    pub fn new(startup: &[(&str, &str)]) -> Self {
        let engine = Engine::new(startup);
        Self {
            told: engine.values.clone(),
            engine,
            input: Vec::new(),
            buffer: Vec::new(),
            output: Vec::new(),
            skip_to_sync: false,
            extended: false,
            copy: None,
            dead: false,
            goes: false,
            own: 0,
        }
    }

    /// What the login reports.
    pub fn reported(&self) -> impl Iterator<Item = (&str, &str)> {
        REPORTED
            .iter()
            .map(|name| (*name, &*self.engine.values[*name]))
    }

    /// Where it stands, for messages of failing tests.
    pub fn place(&self) -> String {
        format!(
            "input {:?} buffer {:?} copy {} skip {} block {:?}",
            self.input,
            self.buffer,
            self.copy.is_some(),
            self.skip_to_sync,
            self.engine.block
        )
    }

    /// Whether it waits for nothing but the next request, outside of a transaction.
    pub fn is_idle(&self) -> bool {
        self.input.is_empty()
            && self.buffer.is_empty()
            && self.copy.is_none()
            && !self.skip_to_sync
            && self.engine.block == Block::None
    }

    pub fn feed(&mut self, bytes: &[u8]) {
        self.input.extend_from_slice(bytes);
        if self.goes && !bytes.is_empty() && !self.dead {
            self.terminate();
        }
        while !self.dead {
            let head = header(&self.input, u32::MAX).expect("frames of clients are well made");
            let Some(head) = head else { break };
            let len = head.frame_len() as usize;
            if self.input.len() < len {
                break;
            }
            let frame: Vec<u8> = self.input.drain(..len).collect();
            self.message(head.tag, &frame[5..]);
            self.own = self.own.saturating_sub(len);
            if self.buffer.len() > BUFFER {
                self.flush();
            }
        }
    }

    /// A client has been shown what it asked for.
    fn shows(&mut self) {
        if self.own == 0
            && let Some(standby) = &mut self.engine.standby
        {
            *standby = Standby::Busy;
        }
    }

    fn flush(&mut self) {
        self.output.append(&mut self.buffer);
    }

    fn message(&mut self, tag: u8, body: &[u8]) {
        if self.copy.is_some() {
            return self.copy_message(tag, body);
        }
        match tag {
            frontend::QUERY | frontend::FUNCTION_CALL => self.extended = false,
            frontend::SYNC | frontend::TERMINATE => {
                self.extended = false;
                self.skip_to_sync = false;
            }
            frontend::COPY_DATA | frontend::COPY_DONE | frontend::COPY_FAIL => {}
            frontend::BIND
            | frontend::CLOSE
            | frontend::DESCRIBE
            | frontend::EXECUTE
            | frontend::FLUSH
            | frontend::PARSE => self.extended = true,
            _ => return self.die(&fault("08P01", "invalid frontend message type")),
        }
        if self.skip_to_sync {
            return;
        }
        let outcome = match tag {
            frontend::QUERY => self.query(body),
            frontend::FUNCTION_CALL => self.call(),
            frontend::PARSE => self.parse(body),
            frontend::BIND => self.bind(body),
            frontend::DESCRIBE => self.describe(body),
            frontend::EXECUTE => self.execute(body),
            frontend::CLOSE => self.close(body),
            frontend::FLUSH => {
                self.flush();
                Ok(())
            }
            frontend::SYNC => {
                self.engine.finish();
                self.ready();
                Ok(())
            }
            frontend::TERMINATE => {
                self.dead = true;
                Ok(())
            }
            _ => Ok(()),
        };
        if let Err(fault) = outcome {
            self.fail(&fault);
        }
    }

    fn fail(&mut self, fault: &Fault) {
        self.error("ERROR", fault);
        self.engine.fail();
        if self.extended {
            self.skip_to_sync = true;
        } else {
            self.ready();
        }
    }

    fn error(&mut self, severity: &str, fault: &Fault) {
        encode::error(&fields(severity, fault), &mut self.buffer);
        self.flush();
    }

    fn die(&mut self, fault: &Fault) {
        self.error("FATAL", fault);
        self.dead = true;
    }

    /// Somebody calls pg_terminate_backend.
    pub fn terminate(&mut self) {
        let text = "terminating connection due to administrator command";
        self.die(&fault("57P01", text));
    }

    fn ready(&mut self) {
        for name in REPORTED {
            let value = &self.engine.values[name];
            if self.told[name] != *value {
                encode::parameter_status(name.as_bytes(), value.as_bytes(), &mut self.buffer);
                self.told.insert(name.to_owned(), value.clone());
            }
        }
        let status = match self.engine.block {
            Block::None => Status::Idle,
            Block::Open => Status::Transaction,
            Block::Failed => Status::Failed,
        };
        encode::ready(status, &mut self.buffer);
        self.engine.was_ready = self.engine.block;
        self.shows();
        self.flush();
    }

    fn query(&mut self, body: &[u8]) -> Result<(), Fault> {
        let text = message::query(body).map_err(|_| malformed())?;
        self.engine.start();
        self.engine.unnamed = None;
        self.engine.portals.remove(&b""[..]);
        let commands = Engine::read(&String::from_utf8_lossy(text))?;
        if commands.is_empty() {
            encode::empty_query(&mut self.buffer);
        }
        self.engine.several = commands.len() > 1;
        self.go_on(commands.into())
    }

    /// Runs what is left of a simple Query.
    fn go_on(&mut self, mut commands: VecDeque<String>) -> Result<(), Fault> {
        while let Some(command) = commands.pop_front() {
            self.engine.start();
            self.engine.check_aborted(Some(&command))?;
            let analysed = self.engine.analyse(&command)?;
            let output = self.engine.run(&analysed, &[])?;
            if gives_rows(Some(&command)) {
                encode::row_description(&[("x", 25)], &mut self.buffer);
            }
            if self.give(output, After::Query(commands.clone()))? {
                return Ok(());
            }
        }
        self.engine.several = false;
        self.engine.finish();
        self.ready();
        Ok(())
    }

    /// Sends a result. Says whether copy data is awaited before anything goes on.
    fn give(&mut self, output: Output, after: After) -> Result<bool, Fault> {
        if !matches!(output, Output::Done(_)) {
            self.shows();
        }
        let out = &mut self.buffer;
        match output {
            Output::Rows(rows, tag) => {
                for row in &rows {
                    encode::data_row(&[Some(row)], out);
                }
                encode::command_complete(&row_tag(tag, rows.len()), out);
            }
            Output::Done(tag) => encode::command_complete(&tag, out),
            Output::Notice(text, tag) => {
                encode::notice(&fields("WARNING", &fault("01000", text)), out);
                encode::command_complete(&tag, out);
                self.flush();
            }
            Output::CopyOut(rows) => {
                encode::frame(b'H', &[0, 0, 1, 0, 0], out);
                for row in 0..rows {
                    encode::frame(b'd', format!("{row}\n").as_bytes(), out);
                }
                encode::frame(b'c', b"", out);
                encode::command_complete(&format!("COPY {rows}"), out);
            }
            Output::CopyIn(kind) => {
                encode::frame(b'G', &[0, 0, 1, 0, 0], out);
                self.flush();
                if kind == CopyIn::Refused {
                    return Err(fault("P0001", "a trigger said no"));
                }
                self.copy = Some(Copy {
                    kind,
                    rows: 0,
                    after,
                });
                return Ok(true);
            }
        }
        Ok(false)
    }

    fn copy_message(&mut self, tag: u8, body: &[u8]) {
        let Some(copy) = &mut self.copy else { return };
        match tag {
            frontend::COPY_DATA if copy.kind == CopyIn::Bad => {
                self.copy = None;
                self.fail(&fault("22P02", "invalid input syntax"));
            }
            frontend::COPY_DATA => copy.rows += 1,
            frontend::FLUSH | frontend::SYNC => {}
            frontend::COPY_DONE => {
                let tag = format!("COPY {}", copy.rows);
                encode::command_complete(&tag, &mut self.buffer);
                if let Some(Copy {
                    after: After::Query(rest),
                    ..
                }) = self.copy.take()
                    && let Err(fault) = self.go_on(rest)
                {
                    self.fail(&fault);
                }
                self.engine.pipelining = true;
            }
            frontend::COPY_FAIL => {
                let reason = String::from_utf8_lossy(&body[..body.len() - 1]);
                let failed = format!("COPY from stdin failed: {reason}");
                self.copy = None;
                self.fail(&fault("57014", failed));
            }
            _ => {
                let unexpected = format!("unexpected message type 0x{tag:02X} during COPY");
                self.error("ERROR", &fault("08P01", unexpected));
                self.die(&fault("08P01", "protocol synchronization was lost"));
            }
        }
    }

    fn call(&mut self) -> Result<(), Fault> {
        self.engine.start();
        self.engine.check_aborted(Some("call"))?;
        encode::frame(b'V', &[0, 0, 0, 1, b'7'], &mut self.buffer);
        self.engine.finish();
        self.ready();
        Ok(())
    }

    fn parse(&mut self, body: &[u8]) -> Result<(), Fault> {
        let parse = message::parse(body).map_err(|_| malformed())?;
        let text = String::from_utf8_lossy(parse.query);
        self.engine.prepare(parse.name, &text)?;
        encode::parse_complete(&mut self.buffer);
        Ok(())
    }

    fn bind(&mut self, body: &[u8]) -> Result<(), Fault> {
        let names = message::bind_names(body).ok_or_else(malformed)?;
        let mut rest = &body[names.rest_at..];
        let formats = short(&mut rest);
        rest = &rest[2 * formats..];
        let count = short(&mut rest);
        let params = (0..count).map(|_| value(&mut rest)).collect();
        self.engine.bind(names.portal, names.statement, params)?;
        encode::bind_complete(&mut self.buffer);
        Ok(())
    }

    fn describe(&mut self, body: &[u8]) -> Result<(), Fault> {
        let describe = message::describe(body).map_err(|_| malformed())?;
        self.engine.start();
        let command = if describe.kind == b'S' {
            let prepared = self.engine.prepared(describe.name)?.clone();
            if gives_rows(prepared.command.as_deref()) {
                self.engine.check_aborted(prepared.command.as_deref())?;
            }
            encode::parameter_description(&vec![25; prepared.params], &mut self.buffer);
            prepared.command
        } else {
            let command = self.engine.portal(describe.name)?.command.clone();
            if gives_rows(command.as_deref()) {
                self.engine.check_aborted(command.as_deref())?;
            }
            command
        };
        if gives_rows(command.as_deref()) {
            encode::row_description(&[("x", 25)], &mut self.buffer);
        } else {
            encode::no_data(&mut self.buffer);
        }
        Ok(())
    }

    fn execute(&mut self, body: &[u8]) -> Result<(), Fault> {
        let execute = message::execute(body).map_err(|_| malformed())?;
        let portal = self.engine.portal(execute.portal)?.clone();
        let Some(command) = portal.command else {
            encode::empty_query(&mut self.buffer);
            return Ok(());
        };
        self.engine.start();
        self.engine.check_aborted(Some(&command))?;
        let (rows, tag) = match portal.rows {
            Some(rows) => (rows, row_word(&command)),
            None if portal.finished => {
                let name = String::from_utf8_lossy(execute.portal);
                return Err(fault("55000", format!("portal \"{name}\" cannot be run")));
            }
            None => match self.engine.run(&command, &portal.params)? {
                Output::Rows(rows, tag) => (rows, tag),
                other => return self.executed(execute.portal, &command, other),
            },
        };
        let limit = if execute.max_rows == 0 {
            rows.len()
        } else {
            execute.max_rows as usize
        };
        let now = rows.len().min(limit);
        self.shows();
        for row in &rows[..now] {
            encode::data_row(&[Some(row)], &mut self.buffer);
        }
        // A portal that was given just the rows it has does not know yet that it is at its end.
        if execute.max_rows > 0 && now == limit {
            encode::frame(b's', b"", &mut self.buffer);
        } else {
            encode::command_complete(&row_tag(tag, now), &mut self.buffer);
        }
        if let Ok(portal) = self.engine.portal(execute.portal) {
            portal.rows = Some(rows[now..].to_vec());
        }
        self.engine.pipelining = true;
        Ok(())
    }

    fn executed(&mut self, portal: &[u8], command: &str, output: Output) -> Result<(), Fault> {
        if let Ok(portal) = self.engine.portal(portal) {
            portal.finished = true;
        }
        if self.give(output, After::Execute)? {
            return Ok(());
        }
        if matches!(command, "begin" | "commit" | "rollback" | "discard all") {
            self.engine.finish();
        } else {
            self.engine.pipelining = true;
        }
        Ok(())
    }

    fn close(&mut self, body: &[u8]) -> Result<(), Fault> {
        let close = message::close(body).map_err(|_| malformed())?;
        match (close.kind, close.name) {
            (b'S', b"") => self.engine.unnamed = None,
            (b'S', name) => drop(self.engine.named.remove(name)),
            (_, name) => drop(self.engine.portals.remove(name)),
        }
        encode::close_complete(&mut self.buffer);
        Ok(())
    }
}

fn malformed() -> Fault {
    fault("08P01", "invalid message format")
}

fn fields<'a>(severity: &'a str, fault: &'a Fault) -> encode::ErrorFields<'a> {
    encode::ErrorFields {
        severity,
        sqlstate: fault.state,
        message: &fault.message,
        detail: None,
        hint: None,
    }
}

fn row_word(command: &str) -> &'static str {
    if command.starts_with("show") {
        "SHOW"
    } else {
        "SELECT"
    }
}

fn row_tag(word: &str, rows: usize) -> String {
    if word == "SHOW" {
        word.to_owned()
    } else {
        format!("{word} {rows}")
    }
}

fn short(rest: &mut &[u8]) -> usize {
    let (front, back) = rest.split_at(2);
    *rest = back;
    usize::from(u16::from_be_bytes([front[0], front[1]]))
}

fn value(rest: &mut &[u8]) -> Vec<u8> {
    let (front, back) = rest.split_at(4);
    let len = i32::from_be_bytes([front[0], front[1], front[2], front[3]]).max(0) as usize;
    let (value, back) = back.split_at(len);
    *rest = back;
    value.to_vec()
}

/// Whether a statement gives rows, which Describe tells.
fn gives_rows(command: Option<&str>) -> bool {
    command.is_some_and(|command| {
        command.starts_with("select")
            || command.starts_with("show")
            || command.starts_with("parsed")
    })
}
