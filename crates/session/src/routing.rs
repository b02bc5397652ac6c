//! What a client's next requests want of a host, where the hosts of a database are a cluster.
//!
//! Requests are judged in units: one Query, or all of the extended protocol up to Sync. A unit goes to one
//! host as a whole. It is judged before a server connection is asked for, from as much of it as is
//! there; a unit that is not there to its end is waited for, as long as it is not large.

use std::cell::RefCell;
use std::fmt;
use std::rc::Rc;
use std::sync::atomic::{AtomicBool, Ordering::Relaxed};
use std::sync::{Arc, PoisonError, RwLock};

use hashbrown::HashSet;
use pgweir_route::intent::{Access, Cache, Catalog, Intent, Judgement, Reason, Statement};
use pgweir_route::lex::{Dialect, Trails};
use pgweir_wire::{HEADER_LEN, frontend as message, header, tag::frontend};
use smallvec::SmallVec;

use crate::client::Client;
use crate::frame::Frame;
use crate::rules::Rules;
use crate::server::Server;
use crate::unnamed::ClientUnnamed;

/// As much of a unit is waited for before it is judged.
const UNIT_HELD_MAX: usize = 64 * 1024;

/// Texts whose intent is remembered.
const TEXTS: usize = 1024;

/// What is known of the intents of texts, for the clients of one database.
pub struct Intents {
    cache: RefCell<Cache>,
    refused: Arc<Refused>,
    catalog: Box<dyn Catalog>,
}

impl fmt::Debug for Intents {
    fn fmt(&self, out: &mut fmt::Formatter<'_>) -> fmt::Result {
        out.debug_struct("Intents").finish_non_exhaustive()
    }
}

impl Intents {
    /// Nothing yet but what standbys have refused; `seed` is random.
    pub fn new(catalog: Box<dyn Catalog>, refused: Arc<Refused>, seed: u64) -> Rc<Self> {
        Rc::new(Self {
            cache: RefCell::new(Cache::new(TEXTS, seed)),
            refused,
            catalog,
        })
    }

    fn judge(&self, text: &[u8], dialect: Dialect) -> Judgement {
        let mut cache = self.cache.borrow_mut();
        let judgement = cache.judge(text, dialect, &*self.catalog);
        if self.refused.has(text) {
            return Judgement {
                reason: Reason::Refused,
                ..judgement
            };
        }
        judgement
    }
}

/// Texts that seem to read, and for which standbys have refused to write: what is known of them, for
/// all clients of a database.
#[derive(Debug, Default)]
pub struct Refused {
    texts: RwLock<HashSet<Box<[u8]>, foldhash::fast::RandomState>>,
    /// Whether there are any: nearly never.
    is_used: AtomicBool,
}

impl Refused {
    fn has(&self, text: &[u8]) -> bool {
        if !self.is_used.load(Relaxed) {
            return false;
        }
        let texts = self.texts.read().unwrap_or_else(PoisonError::into_inner);
        texts.contains(text)
    }

    fn add(&self, text: &[u8]) {
        if text.len() > Cache::TEXT_LEN_MAX {
            return;
        }
        let mut texts = self.texts.write().unwrap_or_else(PoisonError::into_inner);
        if texts.len() >= TEXTS {
            texts.clear();
        }
        texts.insert(text.into());
        self.is_used.store(true, Relaxed);
    }
}

/// What a unit wants.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct Unit {
    /// The weightiest reason of what is in it.
    pub reason: Reason,
    /// It is there to its end: so many bytes of the client's.
    pub whole: Option<usize>,
}

impl Unit {
    /// What it wants of a host.
    pub fn intent(self) -> Intent {
        self.reason.intent()
    }
}

/// The routing side of a client.
#[derive(Debug)]
pub(crate) struct Routing {
    intents: Rc<Intents>,
    /// What the request that waits for a server connection begins.
    pub(crate) unit: Unit,
    /// The server connection that it holds is a standby's.
    pub(crate) on_standby: bool,
    /// It was taken for a unit that has not begun yet.
    pub(crate) is_granted: bool,
}

impl Client {
    /// From now on each unit is judged before a server connection is asked for.
    pub fn route(&mut self, intents: Rc<Intents>) {
        let unit = Unit {
            reason: Reason::Empty,
            whole: None,
        };
        self.routing = Some(Box::new(Routing {
            intents,
            unit,
            on_standby: false,
            is_granted: false,
        }));
    }

    /// What the unit wants for which a server connection was asked for last, if units are judged.
    pub fn unit(&self) -> Option<Unit> {
        self.routing.as_ref().map(|routing| routing.unit)
    }

    /// A standby has refused to do what these requests ask, since it writes: from now on their texts go to the
    /// primary, whoever sends them.
    pub fn was_refused(&mut self, requests: &[u8]) {
        let Some(routing) = &self.routing else {
            return;
        };
        let mut at = 0;
        while let Ok(Some(head)) = header(&requests[at..], u32::MAX) {
            let Some(frame) = requests.get(at..at + head.frame_len() as usize) else {
                return;
            };
            let body = &frame[HEADER_LEN..];
            match head.tag {
                frontend::QUERY => {
                    let text = body.strip_suffix(b"\0").unwrap_or(body);
                    routing.intents.refused.add(text);
                }
                frontend::PARSE => {
                    if let Ok(parse) = message::parse(body) {
                        routing.intents.refused.add(parse.query);
                    }
                }
                frontend::BIND => {
                    let bind = message::bind_names(body);
                    if let Some(text) = bind.and_then(|it| self.text_of(it.statement)) {
                        routing.intents.refused.add(text);
                    }
                }
                _ => {}
            }
            at += frame.len();
        }
    }

    /// The text of a statement that the client has prepared.
    fn text_of(&self, name: &[u8]) -> Option<&[u8]> {
        if name.is_empty() {
            return match &self.unnamed {
                ClientUnnamed::Known(statement) => Some(statement.text()),
                _ => None,
            };
        }
        let named = self.names.as_deref()?.find(name)?;
        Some(named.statement.text())
    }

    /// Whether the server connection that it holds is a standby's.
    pub(crate) fn is_on_standby(&self) -> bool {
        self.routing.as_ref().is_some_and(|it| it.on_standby)
    }

    /// Whether the unit that is about to begin may run a second time if the first comes to nothing.
    pub(crate) fn may_run_again(&self) -> bool {
        let unit = self.unit();
        unit.is_some_and(|unit| unit.whole.is_some() && unit.intent() != Intent::Primary)
    }

    /// The connection of the lease that begins is one of a standby, or not.
    pub fn leased_from(&mut self, standby: bool) {
        if let Some(routing) = &mut self.routing {
            routing.on_standby = standby;
            routing.is_granted = true;
        }
    }

    /// Whether the request in front of `input` must wait until the answers that are owed have come: it
    /// begins a unit that is not for the standby that is leased. Within a transaction all goes where the
    /// transaction is (R2); whether there is one is known when nothing is owed.
    pub(crate) fn must_wait(
        &mut self,
        frame: &Frame<'_>,
        server: &Server,
        rules: &Rules<'_>,
    ) -> bool {
        let Some(routing) = &mut self.routing else {
            return false;
        };
        if !routing.on_standby || server.unsynced || !begins(frame.tag) {
            return false;
        }
        if std::mem::take(&mut routing.is_granted) || server.owed() == 0 {
            return false;
        }
        let unit = self.next_unit(frame.seen, rules);
        unit.is_none_or(|unit| unit.intent() == Intent::Primary)
    }

    /// What the unit in front of `input` wants; `None`: more of it must be there to tell.
    pub(crate) fn next_unit(&self, input: &[u8], rules: &Rules<'_>) -> Option<Unit> {
        let routing = self.routing.as_ref()?;
        let mut judge = Judge {
            client: self,
            intents: &routing.intents,
            dialect: self.dialect(),
            read_only: self.known(b"default_transaction_read_only") == Some(b"on"),
            reason: Reason::Empty,
            open: None,
            parsed: Parsed::new(),
        };
        let mut at = 0;
        loop {
            let is_enough = input.len() >= UNIT_HELD_MAX;
            let head = match header(&input[at..], rules.max_packet_size) {
                Ok(Some(head)) => head,
                Ok(None) if !is_enough => return None,
                // It ends here, or was too large to be seen whole.
                Ok(None) | Err(_) => return Some(judge.unit(None)),
            };
            let frame = Frame {
                tag: head.tag,
                len: head.frame_len(),
                seen: &input[at..],
            };
            let Some(body) = frame.body() else {
                if frame.len <= UNIT_HELD_MAX as u64 && !is_enough {
                    return None;
                }
                judge.cut(&frame);
                return Some(judge.unit(None));
            };
            at += HEADER_LEN + body.len();
            match judge.frame(frame.tag, body) {
                Next::Goes => {}
                Next::Ends => return Some(judge.unit(Some(at))),
                Next::IsCut => return Some(judge.unit(None)),
            }
        }
    }

    fn dialect(&self) -> Dialect {
        let encoding = self.known(b"client_encoding").unwrap_or(b"UTF8");
        let conforming = self.known(b"standard_conforming_strings");
        Dialect {
            standard_conforming_strings: conforming != Some(b"off"),
            trails: Trails::of_encoding(encoding),
        }
    }
}

/// Tags of requests with which a unit begins.
fn begins(tag: u8) -> bool {
    matches!(
        tag,
        frontend::QUERY
            | frontend::FUNCTION_CALL
            | frontend::PARSE
            | frontend::BIND
            | frontend::DESCRIBE
            | frontend::EXECUTE
            | frontend::CLOSE
    )
}

enum Next {
    /// More belongs to the unit.
    Goes,
    /// It has ended.
    Ends,
    /// It has not, and yet must be answered: what follows may depend on that.
    IsCut,
}

/// Statements that the unit itself prepares, with their judgements.
type Parsed<'a> = SmallVec<[(&'a [u8], Judgement); 4]>;

struct Judge<'a> {
    client: &'a Client,
    intents: &'a Intents,
    dialect: Dialect,
    read_only: bool,
    reason: Reason,
    /// A transaction that begins in the unit and has not ended in it.
    open: Option<Access>,
    parsed: Parsed<'a>,
}

impl<'a> Judge<'a> {
    fn frame(&mut self, tag: u8, body: &'a [u8]) -> Next {
        match tag {
            frontend::QUERY => {
                let text = body.strip_suffix(b"\0").unwrap_or(body);
                let judgement = self.judge(text);
                self.add(judgement);
                return Next::Ends;
            }
            frontend::PARSE => match message::parse(body) {
                Ok(parse) => {
                    let judgement = self.judge(parse.query);
                    // Who prepares means to execute, as a rule, be it after a Flush.
                    self.runs(judgement.reason);
                    self.parsed.push((parse.name, judgement));
                }
                Err(_) => self.note(Reason::Unseen),
            },
            frontend::BIND => {
                let bind = message::bind_names(body);
                let judgement = bind.map_or(Judgement::UNSEEN, |it| self.of_name(it.statement));
                self.add(judgement);
            }
            frontend::FUNCTION_CALL => {
                self.note(Reason::Unseen);
                return Next::Ends;
            }
            frontend::SYNC => return Next::Ends,
            frontend::FLUSH | frontend::TERMINATE => return Next::IsCut,
            _ => {}
        }
        Next::Goes
    }

    /// A frame that is too large to be seen whole.
    fn cut(&mut self, frame: &Frame<'_>) {
        // Of a Bind, the names are enough.
        let bind = match frame.tag {
            frontend::BIND => message::bind_names(frame.body_seen()),
            _ => None,
        };
        let known = bind.map(|it| self.of_name(it.statement));
        self.add(known.unwrap_or(Judgement::UNSEEN));
    }

    fn judge(&self, text: &[u8]) -> Judgement {
        self.intents.judge(text, self.dialect)
    }

    fn of_name(&self, name: &[u8]) -> Judgement {
        let here = self.parsed.iter().rev().find(|(known, _)| *known == name);
        if let Some((_, judgement)) = here {
            return *judgement;
        }
        let text = self.client.text_of(name);
        text.map_or(Judgement::UNSEEN, |text| self.judge(text))
    }

    /// Something runs.
    fn add(&mut self, judgement: Judgement) {
        self.runs(judgement.reason);
        match (judgement.statement, self.open) {
            (Statement::Begin(access), None) => self.open = Some(self.access(access)),
            (Statement::SetTransaction(access), Some(_)) => self.open = Some(self.access(access)),
            (Statement::End { chain: false }, _) => self.open = None,
            _ => {}
        }
    }

    /// Something runs, or may run, with this reason.
    fn runs(&mut self, reason: Reason) {
        let read_only = match self.open {
            Some(access) => access == Access::ReadOnly,
            None => self.read_only,
        };
        self.note(if read_only {
            reason.in_read_only()
        } else {
            reason
        });
    }

    fn access(&self, access: Access) -> Access {
        match access {
            Access::Unsaid if self.read_only => Access::ReadOnly,
            access => access,
        }
    }

    fn note(&mut self, reason: Reason) {
        if self.reason == Reason::Empty || reason.outweighs(self.reason) {
            self.reason = reason;
        }
    }

    fn unit(mut self, whole: Option<usize>) -> Unit {
        match self.open {
            // What is written in it later must find a primary.
            Some(Access::Unsaid) => self.note(Reason::OpenTransaction),
            Some(Access::ReadOnly) => self.note(Reason::ReadOnly),
            _ => {}
        }
        Unit {
            reason: self.reason,
            whole,
        }
    }
}
