//! Judging units: what those of a client want of a host.

use pgweir_route::intent::{Access, Intent, Judgement, Reason, Statement};
use pgweir_route::lex::{Dialect, Trails};
use pgweir_wire::{HEADER_LEN, frontend as message, header, tag::frontend};
use smallvec::SmallVec;

use crate::client::Client;
use crate::frame::Frame;
use crate::routing::{Intents, Target, Unit};
use crate::rules::Rules;
use crate::server::Server;
use crate::unnamed::ClientUnnamed;

/// As much of a unit is waited for before it is judged.
const UNIT_HELD_MAX: usize = 64 * 1024;

impl Client {
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
                    routing.intents.known.refused(text);
                }
                frontend::PARSE => {
                    if let Ok(parse) = message::parse(body) {
                        routing.intents.known.refused(parse.query);
                    }
                }
                frontend::BIND => {
                    let bind = message::bind_names(body);
                    if let Some(text) = bind.and_then(|it| self.text_of(it.statement)) {
                        routing.intents.known.refused(text);
                    }
                }
                _ => {}
            }
            at += frame.len();
        }
    }

    /// The text of a statement that the client has prepared.
    pub(crate) fn text_of(&self, name: &[u8]) -> Option<&[u8]> {
        if name.is_empty() {
            return match &self.unnamed {
                ClientUnnamed::Known(statement) => Some(statement.text()),
                _ => None,
            };
        }
        let named = self.names.as_deref()?.find(name)?;
        Some(named.statement.text())
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
            target: routing.own.target,
            reason: Reason::Empty,
            open: routing.begun.as_ref().map(|begun| begun.access),
            begun: routing.begun.is_some(),
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

    pub(crate) fn dialect(&self) -> Dialect {
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
    target: Target,
    reason: Reason,
    /// The unit is not the first thing of its transaction.
    begun: bool,
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
        let reason = match judgement.statement {
            // It is asked of the primary.
            Statement::Own(_) => Reason::HostState,
            _ => judgement.reason,
        };
        self.runs(reason);
        match (judgement.statement, self.open) {
            (Statement::Begin(access), None) => self.open = Some(self.access(access)),
            (Statement::SetTransaction(access), Some(_)) => self.open = Some(self.access(access)),
            (Statement::End { chain: false }, _) => self.open = None,
            _ => {}
        }
    }

    /// Something runs, or may run, with this reason.
    fn runs(&mut self, reason: Reason) {
        if reason == Reason::Definition {
            self.intents.known.outdate();
        }
        let read_only = match self.open {
            Some(access) => access == Access::ReadOnly,
            None => self.read_only,
        };
        let reason = if read_only {
            reason.in_read_only()
        } else {
            reason
        };
        self.note(match self.target {
            Target::Standby if reason.is_doubt() => Reason::HintStandby,
            Target::Primary if reason.intent() != Intent::Primary => Reason::HintPrimary,
            _ => reason,
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
            Some(Access::ReadWrite) => self.note(Reason::ReadWrite),
            None => {}
        }
        Unit {
            reason: self.reason,
            whole: whole.filter(|_| !self.begun),
        }
    }
}
