//! Judging units: what those of a client want of a host.

use pgweir_route::intent::{Access, Intent, Judgement, Reason, Statement};
use pgweir_route::lex::{Dialect, Trails};
use pgweir_wire::{HEADER_LEN, backend::Status, frontend as message, header, tag::frontend};
use smallvec::SmallVec;

use crate::client::Client;
use crate::frame::Frame;
use crate::routing::{Intents, Segment, Target, Unit};
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

    /// Where the request in front of `input` may run, while a server is leased. Within a transaction all goes
    /// where the transaction is (R2); whether there is one is known when nothing is owed.
    pub(crate) fn host(&mut self, frame: &Frame<'_>, server: &Server, rules: &Rules<'_>) -> Host {
        let Some(routing) = self.routing.as_mut().filter(|routing| routing.on_standby) else {
            return Host::This;
        };
        if !begins(frame.tag) {
            routing.segment = match (frame.tag, routing.segment) {
                (frontend::SYNC, _) => Segment::Judged,
                (frontend::FLUSH, Segment::ToFlush) => Segment::Flushed,
                (_, segment) => segment,
            };
            return Host::This;
        }
        if std::mem::take(&mut routing.is_granted) {
            return Host::This;
        }
        if server.unsynced {
            return match routing.segment {
                Segment::Judged | Segment::ToFlush => Host::This,
                Segment::Flushed => self.host_behind_flush(frame, server, rules),
            };
        }
        routing.segment = Segment::Judged;
        if server.owed() == 0 {
            return Host::This;
        }
        match self.next_unit(frame.seen, rules) {
            Some(unit) if unit.intent() != Intent::Primary => self.goes_on_as(Segment::of(unit)),
            // It is judged again when there is nothing else on its way.
            _ => Host::Unknown,
        }
    }

    /// The same for what goes on behind a Flush, when nothing of the segment has been run yet.
    fn host_behind_flush(&mut self, frame: &Frame<'_>, server: &Server, rules: &Rules<'_>) -> Host {
        if server.owed() > 0 {
            return Host::Unknown;
        }
        let stays = server.status != Status::Idle
            // Nothing of it is done before Sync.
            || server.replies.skipping()
            // It may use what is only here.
            || matches!(self.unnamed, ClientUnnamed::Untracked(_));
        if stays {
            return self.goes_on_as(Segment::Judged);
        }
        match self.next_unit(frame.seen, rules) {
            None => Host::Unseen,
            Some(unit) if unit.intent() == Intent::Primary => Host::Other,
            Some(unit) => self.goes_on_as(Segment::of(unit)),
        }
    }

    fn goes_on_as(&mut self, segment: Segment) -> Host {
        if let Some(routing) = &mut self.routing {
            routing.segment = segment;
        }
        Host::This
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
            runs: false,
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
                Ok(None) | Err(_) => return Some(judge.cut_off()),
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
                return Some(judge.cut_off());
            };
            at += HEADER_LEN + body.len();
            match judge.frame(frame.tag, body) {
                Next::Goes => {}
                Next::Ends => return Some(judge.unit(Some(at))),
                Next::IsFlushed if !judge.runs => {
                    return Some(Unit {
                        is_flushed: true,
                        ..judge.unit(None)
                    });
                }
                Next::IsFlushed => return Some(judge.cut_off()),
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

/// Where a request may run, while a server is leased.
pub(crate) enum Host {
    /// On this one.
    This,
    /// That is known when nothing is owed any more.
    Unknown,
    /// More of it must be there to tell.
    Unseen,
    /// Not on this one.
    Other,
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
    IsFlushed,
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
    /// Something is run.
    runs: bool,
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
                self.runs = true;
                let bind = message::bind_names(body);
                let judgement = bind.map_or(Judgement::UNSEEN, |it| self.of_name(it.statement));
                self.add(judgement);
            }
            frontend::FUNCTION_CALL => {
                self.note(Reason::Unseen);
                return Next::Ends;
            }
            frontend::SYNC => return Next::Ends,
            frontend::FLUSH | frontend::TERMINATE => return Next::IsFlushed,
            frontend::EXECUTE => self.runs = true,
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
        match judgement.statement {
            // The transaction may end in the middle of it.
            Statement::Several => self.runs_outside(reason),
            _ => self.runs(reason),
        }
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
        let reason = if read_only {
            reason.in_read_only()
        } else {
            reason
        };
        self.runs_outside(reason);
    }

    /// The same where no READ ONLY holds for sure.
    fn runs_outside(&mut self, reason: Reason) {
        if reason == Reason::Definition {
            self.intents.known.outdate();
        }
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

    /// It must be answered before all of it is there.
    fn cut_off(mut self) -> Unit {
        self.runs(Reason::Cut);
        self.unit(None)
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
            is_flushed: false,
        }
    }
}
