//! What a PostgreSQL backend does with statements: transactions, settings, prepared statements,
//! portals, and the things that a session leaves behind. Knows no messages.
//!
//! Statements are of a tiny language:
//!
//! | text | what it does |
//! | --- | --- |
//! | `select 7`, `select $1` | one row |
//! | `select rows 5` | so many rows |
//! | `select pg_advisory_lock(1)` | takes a lock for the session |
//! | `show timezone` | one row with the value in force |
//! | `parsed datestyle` | one row with the value that was in force when it was parsed |
//! | `begin`, `begin read only`, `set transaction read only`, `commit`, `rollback` | |
//! | `set [local] x = y`, `set x to default`, `reset x`, `reset all`, `discard all`, `deallocate all` | |
//! | `copy in`, `copy in bad`, `copy in refused`, `copy out 3` | |
//! | `listen c`, `prepare p as …`, `create temp table t`, `declare c cursor with hold …` | |
//! | `fail`, `missing`, `syntax` | fails when run, when analysed, when read |
//! | `notice` | a notice and nothing else |

use std::collections::{BTreeMap, BTreeSet};

pub type Text = String;

/// An error with its SQLSTATE.
#[derive(Debug, Clone)]
pub struct Fault {
    pub state: &'static str,
    pub message: Text,
}

pub fn fault(state: &'static str, message: impl Into<Text>) -> Fault {
    Fault {
        state,
        message: message.into(),
    }
}

fn aborted() -> Fault {
    fault(
        "25P02",
        "current transaction is aborted, commands ignored until end of transaction block",
    )
}

/// A transaction block as the client sees it.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Block {
    None,
    Open,
    Failed,
}

#[derive(Debug, Clone)]
pub struct Prepared {
    /// After analysis; `None` for an empty text.
    pub command: Option<Text>,
    pub params: usize,
    /// Made by SQL's PREPARE.
    pub by_sql: bool,
}

#[derive(Debug, Clone)]
pub struct Portal {
    pub command: Option<Text>,
    pub params: Vec<Vec<u8>>,
    /// Rows not sent yet, once it has been started.
    pub rows: Option<Vec<Vec<u8>>>,
    pub finished: bool,
}

/// What a statement gives.
pub enum Output {
    Rows(Vec<Vec<u8>>, &'static str),
    Done(Text),
    CopyIn(CopyIn),
    CopyOut(usize),
    Notice(Text, Text),
}

#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum CopyIn {
    Good,
    /// The first data is bad.
    Bad,
    /// Fails after it has asked for data and before it reads any.
    Refused,
}

pub type Values = BTreeMap<Text, Text>;

#[derive(Debug)]
pub struct Engine {
    /// What RESET goes back to: the values of the login.
    pub login: Values,
    /// In force.
    pub values: Values,
    /// In force once the transaction commits.
    session: Values,
    /// In force once the transaction rolls back.
    saved: Values,
    pub block: Block,
    transaction: bool,
    /// Statements of this transaction have been run with no Sync or commit behind them.
    pub pipelining: bool,
    /// More than one statement in a simple Query.
    pub several: bool,
    pub named: BTreeMap<Vec<u8>, Prepared>,
    pub unnamed: Option<Prepared>,
    pub portals: BTreeMap<Vec<u8>, Portal>,
    pub listening: BTreeSet<Text>,
    pub temporary: BTreeSet<Text>,
    pub locks: BTreeSet<Text>,
    pub held: BTreeSet<Text>,
    /// What it does as a standby, if it is one.
    pub standby: Option<Standby>,
    /// What a standby should not have been asked (R3).
    pub wronged: Option<Text>,
    /// How it was when it was ready last.
    pub was_ready: Block,
}

/// How a standby is.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Standby {
    /// It does not run `select 2`, which writes.
    Healthy,
    /// What it reads first goes away with what it replays.
    Conflicting,
    /// It has shown something, and does whatever else it is asked.
    Busy,
}

/// Parameters of which the server reports changes, as PostgreSQL spells them.
pub const REPORTED: [&str; 4] = ["application_name", "DateStyle", "is_superuser", "TimeZone"];

fn spelled(name: &str) -> Text {
    let name = name.trim_matches('"');
    REPORTED
        .iter()
        .find(|known| known.eq_ignore_ascii_case(name))
        .map_or_else(|| name.to_lowercase(), |known| (*known).to_owned())
}

impl Engine {
    pub fn new(startup: &[(&str, &str)]) -> Self {
        let mut login: Values = [
            ("application_name", ""),
            ("DateStyle", "ISO, MDY"),
            ("is_superuser", "off"),
            ("TimeZone", "UTC"),
            ("work_mem", "4MB"),
        ]
        .map(|(name, value)| (name.to_owned(), value.to_owned()))
        .into();
        for (name, value) in startup {
            // check_datestyle
            let value = if *value == "German" {
                "German, DMY"
            } else {
                value
            };
            login.insert(spelled(name), value.to_owned());
        }
        Self {
            values: login.clone(),
            session: login.clone(),
            saved: login.clone(),
            login,
            block: Block::None,
            transaction: false,
            pipelining: false,
            several: false,
            named: BTreeMap::new(),
            unnamed: None,
            portals: BTreeMap::new(),
            listening: BTreeSet::new(),
            temporary: BTreeSet::new(),
            locks: BTreeSet::new(),
            held: BTreeSet::new(),
            standby: None,
            wronged: None,
            was_ready: Block::None,
        }
    }

    /// start_xact_command
    pub fn start(&mut self) {
        if !self.transaction {
            self.transaction = true;
            self.pipelining = false;
            self.saved = self.session.clone();
        }
    }

    /// finish_xact_command: commits unless a block is open.
    pub fn finish(&mut self) {
        if self.transaction && self.block == Block::None {
            self.commit();
        }
    }

    fn commit(&mut self) {
        self.values = self.session.clone();
        self.end();
    }

    fn roll_back(&mut self) {
        if self.transaction {
            self.session = self.saved.clone();
            self.values = self.saved.clone();
        }
        self.end();
    }

    fn end(&mut self) {
        self.transaction = false;
        self.pipelining = false;
        self.portals.clear();
    }

    /// AbortCurrentTransaction
    pub fn fail(&mut self) {
        self.roll_back();
        self.several = false;
        if self.block == Block::Open {
            self.block = Block::Failed;
        }
        self.transaction = self.block == Block::Failed;
    }

    /// The statements of a text; an error when it cannot be read.
    pub fn read(text: &str) -> Result<Vec<Text>, Fault> {
        let all: Vec<Text> = text
            .split(';')
            .map(|part| part.trim().to_owned())
            .filter(|part| !part.is_empty())
            .collect();
        match all.iter().find(|part| part.starts_with("syntax")) {
            Some(part) => Err(fault(
                "42601",
                format!("syntax error at or near \"{part}\""),
            )),
            None => Ok(all),
        }
    }

    pub fn check_aborted(&self, command: Option<&str>) -> Result<(), Fault> {
        let ends = matches!(command, Some("commit" | "rollback" | "ROLLBACK"));
        if self.block == Block::Failed && !ends && command.is_some() {
            return Err(aborted());
        }
        Ok(())
    }

    /// Parse analysis: what a statement means is fixed here.
    pub fn analyse(&self, command: &str) -> Result<Text, Fault> {
        if command.starts_with("missing") {
            return Err(fault("42P01", "relation \"missing\" does not exist"));
        }
        if let Some(name) = command.strip_prefix("parsed ") {
            return Ok(format!("select {}", self.values[&spelled(name)]));
        }
        Ok(command.to_owned())
    }

    /// exec_parse_message
    pub fn prepare(&mut self, name: &[u8], text: &str) -> Result<(), Fault> {
        self.start();
        if name.is_empty() {
            self.unnamed = None;
        }
        let mut commands = Self::read(text)?;
        if commands.len() > 1 {
            return Err(fault(
                "42601",
                "cannot insert multiple commands into a prepared statement",
            ));
        }
        let command = commands.pop();
        self.check_aborted(command.as_deref())?;
        let command = command.map(|command| self.analyse(&command)).transpose()?;
        let params = text.matches('$').count();
        let prepared = Prepared {
            command,
            params,
            by_sql: false,
        };
        if name.is_empty() {
            self.unnamed = Some(prepared);
            return Ok(());
        }
        if self.named.contains_key(name) {
            let name = String::from_utf8_lossy(name);
            return Err(fault(
                "42P05",
                format!("prepared statement \"{name}\" already exists"),
            ));
        }
        self.named.insert(name.to_vec(), prepared);
        Ok(())
    }

    pub fn prepared(&self, name: &[u8]) -> Result<&Prepared, Fault> {
        if name.is_empty() {
            let none = || fault("26000", "unnamed prepared statement does not exist");
            return self.unnamed.as_ref().ok_or_else(none);
        }
        self.named.get(name).ok_or_else(|| {
            let name = String::from_utf8_lossy(name);
            fault(
                "26000",
                format!("prepared statement \"{name}\" does not exist"),
            )
        })
    }

    /// exec_bind_message
    pub fn bind(
        &mut self,
        portal: &[u8],
        statement: &[u8],
        params: Vec<Vec<u8>>,
    ) -> Result<(), Fault> {
        let prepared = self.prepared(statement)?.clone();
        self.start();
        if params.len() != prepared.params {
            return Err(fault(
                "08P01",
                format!(
                    "bind message supplies {} parameters, but prepared statement \"{}\" requires {}",
                    params.len(),
                    String::from_utf8_lossy(statement),
                    prepared.params
                ),
            ));
        }
        self.check_aborted(prepared.command.as_deref())?;
        if !portal.is_empty() && self.portals.contains_key(portal) {
            let name = String::from_utf8_lossy(portal);
            return Err(fault("42P03", format!("cursor \"{name}\" already exists")));
        }
        let portal_value = Portal {
            command: prepared.command,
            params,
            rows: None,
            finished: false,
        };
        self.portals.insert(portal.to_vec(), portal_value);
        Ok(())
    }

    pub fn portal(&mut self, name: &[u8]) -> Result<&mut Portal, Fault> {
        self.portals.get_mut(name).ok_or_else(|| {
            let name = String::from_utf8_lossy(name);
            fault("34000", format!("portal \"{name}\" does not exist"))
        })
    }

    /// Runs one statement that was analysed.
    pub fn run(&mut self, command: &str, params: &[Vec<u8>]) -> Result<Output, Fault> {
        let words: Vec<&str> = command.split_whitespace().collect();
        self.refuse(&words)?;
        match words[..] {
            ["fail"] => Err(fault("22012", "division by zero")),
            ["begin"] | ["begin", "read", "only"] => Ok(self.begin()),
            ["set", "transaction", "read", "only"]
                if self.block == Block::None && !self.several =>
            {
                let text = "SET TRANSACTION can only be used in transaction blocks";
                Ok(Output::Notice(text.into(), "SET".into()))
            }
            ["set", "transaction", "read", "only"] => Ok(Output::Done("SET".into())),
            ["commit"] => Ok(self.end_block(true)),
            ["rollback"] => Ok(self.end_block(false)),
            ["set", name, "to" | "=", "default"] | ["set", "session", name, "=", "default"] => {
                self.set(name, &self.default_of(name), false)
            }
            ["set", "local", name, "=", value] => self.set(name, value, true),
            ["set", name, "=", value] => self.set(name, value, false),
            ["reset", "all"] => Ok(self.reset_all()),
            ["reset", name] => self
                .set(name, &self.default_of(name), false)
                .map(|_| Output::Done("RESET".into())),
            ["discard", "all"] => self.discard_all(),
            ["deallocate", "all"] => {
                self.named.clear();
                Ok(Output::Done("DEALLOCATE ALL".into()))
            }
            ["copy", "in"] => Ok(Output::CopyIn(CopyIn::Good)),
            ["copy", "in", "bad"] => Ok(Output::CopyIn(CopyIn::Bad)),
            ["copy", "in", "refused"] => Ok(Output::CopyIn(CopyIn::Refused)),
            ["copy", "out", rows] => Ok(Output::CopyOut(rows.parse().unwrap_or(1))),
            ["notice"] => Ok(Output::Notice("hear, hear".into(), "DO".into())),
            ["show", name] => {
                let value = self.values.get(&spelled(name)).cloned().unwrap_or_default();
                Ok(Output::Rows(vec![value.into()], "SHOW"))
            }
            ["select", "rows", count] => {
                let count = count.parse().unwrap_or(0u32);
                let rows = (0..count).map(|row| row.to_string().into()).collect();
                Ok(Output::Rows(rows, "SELECT"))
            }
            ["select", "$1"] => Ok(Output::Rows(vec![params[0].clone()], "SELECT")),
            ["select", ref what @ ..] => {
                self.leave_behind(command);
                Ok(Output::Rows(vec![what.join(" ").into()], "SELECT"))
            }
            ["listen" | "prepare" | "create" | "declare", ..] => {
                self.leave_behind(command);
                let tag = match words[0] {
                    "create" => "CREATE TABLE".to_owned(),
                    "declare" => "DECLARE CURSOR".to_owned(),
                    word => word.to_uppercase(),
                };
                Ok(Output::Done(tag))
            }
            _ => self.as_written_by_the_pooler(command),
        }
    }

    /// What a standby says instead.
    fn refuse(&mut self, words: &[&str]) -> Result<(), Fault> {
        // A transaction that was begun to read goes on where it is, and what is behind its end up to Sync.
        let is_free = self.block == Block::None && self.was_ready == Block::None;
        let Some(standby) = self.standby.filter(|_| is_free) else {
            return Ok(());
        };
        match words {
            ["listen" | "create" | "declare", ..]
            | ["copy", "in", ..]
            | ["select", "pg_advisory_lock(1)"] => {
                self.wronged = Some(words.join(" "));
                Ok(())
            }
            ["select", "2"] if standby != Standby::Busy => Err(fault(
                "25006",
                "cannot execute nextval() in a read-only transaction",
            )),
            ["select", ..] if standby == Standby::Conflicting => {
                self.standby = Some(Standby::Healthy);
                Err(fault(
                    "40001",
                    "canceling statement due to conflict with recovery",
                ))
            }
            _ => Ok(()),
        }
    }

    /// `SET "name"='value'`, `RESET "name"`, `DISCARD ALL`, `ROLLBACK`.
    fn as_written_by_the_pooler(&mut self, command: &str) -> Result<Output, Fault> {
        if let Some((name, value)) = command
            .strip_prefix("SET ")
            .and_then(|rest| rest.split_once('='))
        {
            return self.set(name, value.trim_matches('\''), false);
        }
        if let Some(name) = command.strip_prefix("RESET ") {
            return self.run(&format!("reset {name}"), &[]);
        }
        match command {
            "DISCARD ALL" => self.discard_all(),
            "ROLLBACK" => Ok(self.end_block(false)),
            _ => Err(fault("42601", format!("syntax error at \"{command}\""))),
        }
    }

    fn leave_behind(&mut self, command: &str) {
        let place = match command.split_whitespace().next() {
            Some("listen") => &mut self.listening,
            Some("create") => &mut self.temporary,
            Some("declare") => &mut self.held,
            Some("prepare") => {
                let name = command.split_whitespace().nth(1).unwrap_or_default();
                let prepared = Prepared {
                    command: Some("select 1".into()),
                    params: 0,
                    by_sql: true,
                };
                self.named.insert(name.into(), prepared);
                return;
            }
            _ if command.contains("advisory_lock") => &mut self.locks,
            _ => return,
        };
        place.insert(command.to_owned());
    }

    fn begin(&mut self) -> Output {
        if self.block == Block::Open {
            return Output::Notice(
                "there is already a transaction in progress".into(),
                "BEGIN".into(),
            );
        }
        self.block = Block::Open;
        Output::Done("BEGIN".into())
    }

    fn end_block(&mut self, commit: bool) -> Output {
        let block = self.block;
        self.block = Block::None;
        if commit && block != Block::Failed {
            self.commit();
        } else {
            self.roll_back();
        }
        let tag = if commit && block != Block::Failed {
            "COMMIT"
        } else {
            "ROLLBACK"
        };
        if block == Block::None {
            return Output::Notice("there is no transaction in progress".into(), tag.into());
        }
        Output::Done(tag.into())
    }

    fn set(&mut self, name: &str, value: &str, local: bool) -> Result<Output, Fault> {
        if value == "bad" {
            return Err(fault(
                "22023",
                format!("invalid value for parameter \"{name}\": \"bad\""),
            ));
        }
        let name = spelled(name);
        self.values.insert(name.clone(), value.to_owned());
        if !local {
            self.session.insert(name, value.to_owned());
        }
        Ok(Output::Done("SET".into()))
    }

    fn default_of(&self, name: &str) -> Text {
        self.login.get(&spelled(name)).cloned().unwrap_or_default()
    }

    fn reset_all(&mut self) -> Output {
        self.values = self.login.clone();
        self.session = self.login.clone();
        Output::Done("RESET".into())
    }

    fn discard_all(&mut self) -> Result<Output, Fault> {
        if self.block != Block::None || self.several {
            return Err(fault(
                "25001",
                "DISCARD ALL cannot run inside a transaction block",
            ));
        }
        if self.pipelining {
            return Err(fault(
                "25001",
                "DISCARD ALL cannot be executed within a pipeline",
            ));
        }
        self.reset_all();
        self.named.clear();
        self.portals.clear();
        self.listening.clear();
        self.temporary.clear();
        self.locks.clear();
        self.held.clear();
        Ok(Output::Done("DISCARD ALL".into()))
    }
}
