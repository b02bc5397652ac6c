//! Carrying bytes between a client and the server connection that it leases.
//!
//! One task per client, written as a hand-made future: what it keeps between two events is all
//! that an idle client costs. Both sockets are always watched; each direction goes on by itself,
//! and only a full backlog on one side stops reading from the other.

mod again;
mod attach;
mod route;

use std::future::Future;
use std::io;
use std::pin::Pin;
use std::rc::Rc;
use std::sync::Arc;
use std::task::{Context, Poll};
use std::time::{Duration, Instant};

use pgweir_pool::{PoolId, Refusal};
use pgweir_session::{Batch, Client, Goodbye, Mode, Setback, Verdict};
use pgweir_wire::backend::Status;

use crate::admission::{Admission, Seat};
use crate::client::{ClientShared, ClientState};
use crate::cluster::NoHost;
use crate::lease::Leased;
use crate::mail::Kill;
use crate::place::OnTheWay;
use crate::reading::{Scratch, keep, put_in_front, read};
use crate::stats::Stats;
use crate::stream::{Backlog, Stream};
use crate::worker::Worker;

pub use route::Route;

/// How many reads one task does before the others on its worker have their turn.
const TURNS: usize = 16;
/// Replies outstanding on one connection at which no more requests are read. More than the
/// server holds back before it flushes (8 kB of 5-byte replies), so that waiting cannot last.
const OWED_MAX: usize = 16 * 1024;
/// Bytes kept of a client that waits for a server connection; it is not read beyond that.
const WAITING_MAX: usize = 64 * 1024;
/// Terminate, whole.
const GOODBYE: &[u8] = b"X\0\0\0\x04";

/// Why a conversation ended.
#[derive(Debug)]
pub enum End {
    /// The client said goodbye.
    Terminated,
    /// The client's connection ended without a goodbye.
    ClientLost(Option<io::Error>),
    /// The client broke the protocol.
    Refused(pgweir_session::Refusal),
    /// Somebody else wants it gone.
    Killed(Kill),
    /// There is no server connection for it.
    NoServer(Refusal),
    /// No host of its cluster may serve it.
    NoHost(Box<NoHost>),
    /// The server cannot do what it was asked; another one may.
    SetBack(Setback),
    /// The server closed the connection.
    ServerLost(Option<io::Error>),
    /// The same, and the client has been told in the server's own words.
    ServerEnded,
    /// The server broke the protocol.
    ServerBroke(pgweir_session::Error),
    /// The server refused a setting of the startup packet: body of its ErrorResponse.
    BadSetting(Box<[u8]>),
    /// A transaction of several statements in statement mode.
    TransactionInStatementMode,
}

#[derive(Debug)]
enum Link {
    None,
    Waiting,
    Leased(Box<Leased>),
}

/// The conversation of one client, from its login to its end: a future of why it ended, after which
/// [`Relay::rest`] says what is left.
#[derive(Debug)]
pub struct Relay {
    worker: Rc<Worker>,
    client: Rc<ClientShared>,
    stream: Stream,
    session: Client,
    link: Link,
    pool: PoolId,
    /// Which of the pools it is, if its database lies on a cluster.
    route: Option<Box<Route>>,
    stats: Arc<Stats>,
    /// Bytes of the client that could not be dealt with yet.
    held: Vec<u8>,
    /// Whether `held` is to be looked at again before more is read.
    judge_held: bool,
    /// The client has said goodbye, and is owed answers still.
    leaving: bool,
    /// Whether requests must wait until the client's startup settings are accepted.
    hold_back: bool,
    /// Whether they must wait until nothing is owed: they may be for another host.
    waits_its_turn: bool,
    /// For how long the server has been busy in the transaction under way.
    served: Duration,
    backlog: Backlog,
    _admission: Admission,
}

/// What is left of a conversation when it is over.
#[derive(Debug)]
pub struct Rest {
    /// Why it is over.
    pub end: End,
    /// The client's socket.
    pub stream: Stream,
    /// Whether it has taken everything so far, so that a last message would reach it whole.
    pub writable: bool,
    /// The server connection, as it was left.
    pub leased: Option<Box<Leased>>,
}

impl Relay {
    /// A client that has logged in. `held` is what it sent behind its last login message.
    pub fn new(
        worker: Rc<Worker>,
        client: Rc<ClientShared>,
        stream: Stream,
        mut session: Client,
        held: Vec<u8>,
        seat: Seat,
    ) -> Self {
        let Seat {
            pool,
            stats,
            admission,
        } = seat;
        let judge_held = !held.is_empty();
        // An idle client owns no buffer: of the login's, only what is in it is kept.
        let held = if judge_held { held } else { Vec::new() };
        client.enter(ClientState::Idle, Instant::now());
        let login = client.login.borrow().clone();
        let route = login.as_ref().and_then(|login| Route::of(&worker, login));
        if let Some(route) = &route {
            client.is_of(route.cluster());
            if route.judges() && session.mode() != Mode::Session {
                session.route(worker.intents(route.database()));
                let target = login.as_ref().and_then(|login| login.target);
                session.begin_with(target.unwrap_or_default());
            }
        }
        Self {
            worker,
            client,
            stream,
            session,
            link: Link::None,
            pool,
            route: route.map(Box::new),
            stats,
            held,
            judge_held,
            leaving: false,
            hold_back: false,
            waits_its_turn: false,
            served: Duration::ZERO,
            backlog: Backlog::default(),
            _admission: admission,
        }
    }

    /// Whether the client keeps its server connection until it leaves.
    pub fn is_session_mode(&self) -> bool {
        self.session.mode() == Mode::Session
    }

    /// What is left of a conversation that has ended so.
    pub fn rest(mut self, end: End) -> Rest {
        self.worker.leave(&self.client, Instant::now());
        let leased = match std::mem::replace(&mut self.link, Link::None) {
            Link::Leased(leased) => Some(leased),
            _ => None,
        };
        let told = leased
            .as_ref()
            .is_some_and(|leased| leased.conn.session.goodbye() == Goodbye::Heard);
        let end = match end {
            End::ServerLost(_) if told => End::ServerEnded,
            end => end,
        };
        Rest {
            end,
            writable: self.backlog.is_empty(),
            stream: self.stream,
            leased,
        }
    }

    fn turns(&mut self, cx: &mut Context<'_>) -> Result<(), End> {
        let now = Instant::now();
        let worker = Rc::clone(&self.worker);
        let mut scratch = worker.scratch.borrow_mut();
        for _ in 0..TURNS {
            if matches!(self.link, Link::Waiting) {
                if self.client.is_cancelled() {
                    self.give_up(now);
                }
                self.tell_of_queue(cx, &mut scratch)?;
                self.look_at_grant(cx, now, &mut scratch)?;
            }
            let served = match self.read_server(cx, now, &mut scratch) {
                Err(end) => self.again_after(end, now)?,
                Ok(served) => served,
            };
            let asked = match self.read_client(cx, now, &mut scratch) {
                Err(end) => self.again_after(end, now)?,
                Ok(asked) => asked,
            };
            if !served && !asked {
                return Ok(());
            }
        }
        cx.waker().wake_by_ref();
        Ok(())
    }

    /// Writes what was read before; the end of SUSPEND wakes the task for the rest.
    fn flush(&mut self, cx: &mut Context<'_>) -> Result<(), End> {
        let drained = self.backlog.drain(cx, &mut self.stream);
        drained.map_err(client_lost)?;
        if let Link::Leased(leased) = &mut self.link {
            let conn = &mut leased.conn;
            let drained = conn.backlog.drain(cx, &mut conn.stream);
            drained.map_err(server_lost)?;
        }
        Ok(())
    }

    /// For the console: what is on its way.
    fn take_note(&self) {
        let bytes = |held: &[u8], backlog: &Backlog| OnTheWay {
            held: held.len() as u32,
            unsent: backlog.len() as u32,
        };
        self.client.bytes.set(bytes(&self.held, &self.backlog));
        if let Link::Leased(leased) = &self.link {
            let conn = &leased.conn;
            conn.shared.bytes.set(bytes(&conn.held, &conn.backlog));
        }
    }

    /// One read of the server's socket. Says whether there was anything.
    fn read_server(
        &mut self,
        cx: &mut Context<'_>,
        now: Instant,
        scratch: &mut Scratch,
    ) -> Result<bool, End> {
        if !self.backlog.is_empty() {
            self.backlog
                .drain(cx, &mut self.stream)
                .map_err(client_lost)?;
            if !self.backlog.is_empty() {
                return Ok(false);
            }
            self.check_mode()?;
        }
        let Link::Leased(leased) = &mut self.link else {
            return Ok(false);
        };
        let conn = &mut leased.conn;
        let len = match read(&mut conn.stream, cx, &conn.held, &mut scratch.buffer) {
            Poll::Pending => return Ok(false),
            Poll::Ready(Ok(0)) => return Err(End::ServerLost(None)),
            Poll::Ready(Ok(len)) => len,
            Poll::Ready(Err(error)) => return Err(End::ServerLost(Some(error))),
        };
        if let Some(route) = &mut self.route {
            route.heard();
        }
        let input = &scratch.buffer[..len];
        scratch.to_client.clear();
        let consumed = conn
            .session
            .handle_replies(input, Some(&mut self.session), &mut scratch.to_client)
            .map_err(End::ServerBroke);
        self.stats.sent(scratch.to_client.len());
        self.backlog
            .write(cx, &mut self.stream, &scratch.to_client, input)
            .map_err(client_lost)?;
        keep(&mut conn.held, input, consumed?);
        if let Some(setback) = conn.session.setback() {
            return Err(End::SetBack(setback));
        }
        if let Some(error) = conn.session.own_error() {
            return Err(End::BadSetting(error.into()));
        }
        if self.hold_back && !conn.session.setting_up() {
            // What the lease is for comes now: it must not end before.
            (self.hold_back, self.judge_held) = (false, true);
            return Ok(true);
        }
        self.after_replies(now)?;
        Ok(true)
    }

    /// In statement mode no transaction may stay open. The client is told so when it has taken
    /// what comes before; until then it is not read, and neither is the server.
    fn check_mode(&self) -> Result<(), End> {
        if self.session.is_refused() && self.backlog.is_empty() {
            return Err(End::TransactionInStatementMode);
        }
        Ok(())
    }

    fn after_replies(&mut self, now: Instant) -> Result<(), End> {
        self.check_mode()?;
        let Link::Leased(leased) = &mut self.link else {
            self.note_begun(now);
            return Ok(());
        };
        let session = &mut leased.conn.session;
        if session.owed() > 0 {
            return Ok(());
        }
        if std::mem::take(&mut self.waits_its_turn) {
            self.judge_held = true;
        }
        let (counts, served) = (session.take_counts(), now - self.client.request_time.get());
        self.stats.query_done(&counts, served);
        if counts.queries > 0 {
            self.served += served;
        }
        if session.at_boundary() {
            let served = std::mem::take(&mut self.served);
            if let Some(since) = self.client.transaction_since.take() {
                let time = now - since;
                self.stats
                    .transaction_done(time, time.saturating_sub(served));
            }
            if self.session.mode() != Mode::Session && !self.hold_back {
                self.let_go(now);
            } else {
                self.client.enter(ClientState::Idle, now);
            }
        } else if session.status() != Status::Idle {
            self.client.enter(ClientState::InTransaction, now);
        }
        Ok(())
    }

    /// One read of the client's socket, or a second look at what is held of it.
    fn read_client(
        &mut self,
        cx: &mut Context<'_>,
        now: Instant,
        scratch: &mut Scratch,
    ) -> Result<bool, End> {
        match &mut self.link {
            Link::Leased(leased) => {
                let conn = &mut leased.conn;
                if !conn.backlog.is_empty() {
                    conn.backlog
                        .drain(cx, &mut conn.stream)
                        .map_err(server_lost)?;
                    if !conn.backlog.is_empty() {
                        return Ok(false);
                    }
                }
                if conn.session.owed() >= OWED_MAX {
                    return Ok(false);
                }
            }
            Link::Waiting if self.held.len() >= WAITING_MAX => return self.is_still_there(),
            _ => {}
        }
        if self.leaving {
            return if self.owes_client() || !self.backlog.is_empty() {
                Ok(false)
            } else {
                Err(End::Terminated)
            };
        }
        // A client that does not read its answers does not ask for more.
        if !self.backlog.is_empty() {
            return Ok(false);
        }
        let wait = self.hold_back || self.waits_its_turn || matches!(self.link, Link::Waiting);
        let len = if self.judge_held && !wait {
            self.judge_held = false;
            put_in_front(&self.held, &mut scratch.buffer);
            self.held.len()
        } else {
            if wait && self.held.len() >= WAITING_MAX {
                return self.is_still_there();
            }
            match read(&mut self.stream, cx, &self.held, &mut scratch.buffer) {
                Poll::Pending => return Ok(false),
                // It has said goodbye behind what it still waits for.
                Poll::Ready(Ok(0)) if wait && self.held.ends_with(GOODBYE) => return Ok(false),
                Poll::Ready(Ok(0)) => return Err(End::ClientLost(None)),
                Poll::Ready(Ok(len)) => {
                    self.stats.received(len - self.held.len());
                    len
                }
                Poll::Ready(Err(error)) => return Err(client_lost(error)),
            }
        };
        if wait {
            keep(&mut self.held, &scratch.buffer[..len], 0);
            return Ok(true);
        }
        scratch.to_server.clear();
        self.judge(cx, now, scratch, len)?;
        Ok(true)
    }

    /// Nothing was read, because enough has been: that the client closes would go unnoticed.
    fn is_still_there(&self) -> Result<bool, End> {
        self.client.is_full.set(true);
        if self.stream.has_hung_up() {
            return Err(End::ClientLost(None));
        }
        Ok(false)
    }

    /// Deals with the first `len` bytes of the buffer, which are the client's. What stands in
    /// `to_server` already goes ahead of them.
    fn judge(
        &mut self,
        cx: &mut Context<'_>,
        now: Instant,
        scratch: &mut Scratch,
        len: usize,
    ) -> Result<(), End> {
        let worker = Rc::clone(&self.worker);
        let limits = worker.limits();
        let rules = limits.rules(&worker.shared.statements);
        let Scratch {
            buffer,
            to_server,
            to_client,
        } = scratch;
        let input = &buffer[..len];
        let mut at = 0;
        loop {
            to_client.clear();
            let server = match &mut self.link {
                Link::Leased(leased) => Some(&mut leased.conn.session),
                _ => None,
            };
            let idle = server.as_ref().is_none_or(|server| server.owed() == 0);
            let (consumed, verdict) =
                self.session
                    .handle_request(&input[at..], server, &rules, to_server, to_client);
            if !to_client.is_empty() {
                self.backlog
                    .write(cx, &mut self.stream, to_client, input)
                    .map_err(client_lost)?;
            }
            if idle && consumed > 0 {
                self.asked(now);
            }
            let taken = at + consumed;
            if let Err(end) = self.pass_on(cx, to_server, &input[at..], consumed) {
                keep(&mut self.held, input, taken);
                return Err(end);
            }
            at = taken;
            match verdict {
                Verdict::More => break,
                Verdict::Terminate => {
                    // What was asked before is answered first, as the server would do.
                    self.leaving = self.owes_client();
                    if !self.leaving {
                        return Err(End::Terminated);
                    }
                    break;
                }
                Verdict::Refused(refusal) => return Err(End::Refused(refusal)),
                Verdict::Waits => {
                    self.waits_its_turn = true;
                    break;
                }
                Verdict::Elsewhere => self.leave_host(now),
                Verdict::NeedsServer => {
                    let Some(leased) = self.ask(now)? else {
                        self.wait(now);
                        break;
                    };
                    if let Err(end) = self.attach(leased, cx, now, &rules, to_server) {
                        keep(&mut self.held, input, at);
                        return Err(end);
                    }
                    if !self.is_served() {
                        self.judge_held = true;
                        break;
                    }
                }
            }
        }
        keep(&mut self.held, input, at);
        // Something may have been answered here, with nothing owed by the server.
        self.after_replies(now)
    }

    /// A request goes to the server connection at hand, if there is one.
    fn asked(&self, now: Instant) {
        if matches!(self.link, Link::Leased(_)) {
            self.client.asked(now);
        }
    }

    /// Sends what was made of the first `taken` bytes of the input.
    fn pass_on(
        &mut self,
        cx: &mut Context<'_>,
        to_server: &mut Batch,
        input: &[u8],
        taken: usize,
    ) -> Result<(), End> {
        let Link::Leased(leased) = &mut self.link else {
            return Ok(());
        };
        let conn = &mut leased.conn;
        if let Some(route) = &mut self.route {
            route.remember(&mut conn.session, &input[..taken]);
        }
        let sent = conn.backlog.write(cx, &mut conn.stream, to_server, input);
        to_server.clear();
        sent.map_err(server_lost)
    }

    /// What the client asks for next waits for a server connection.
    fn wait(&mut self, now: Instant) {
        self.client.request_time.set(now);
        self.client.enter(ClientState::Waiting, now);
        self.link = Link::Waiting;
        self.judge_held = true;
    }

    /// Whether answers are on their way to the client.
    fn owes_client(&self) -> bool {
        match &self.link {
            Link::Leased(leased) => {
                let session = &leased.conn.session;
                session.owed() > 0 && session.answers_by_itself()
            }
            _ => !self.backlog.is_empty(),
        }
    }

    /// Whether requests can be judged with the server at hand.
    fn is_served(&self) -> bool {
        matches!(self.link, Link::Leased(_)) && !self.hold_back
    }
}

impl Future for Relay {
    type Output = End;

    fn poll(self: Pin<&mut Self>, cx: &mut Context<'_>) -> Poll<End> {
        let this = self.get_mut();
        this.client.register(cx);
        if let Some(kill) = this.client.kill.get() {
            return Poll::Ready(End::Killed(kill));
        }
        let turned = if this.worker.is_suspended() {
            this.flush(cx)
        } else {
            this.turns(cx)
        };
        this.take_note();
        match turned {
            Ok(()) => Poll::Pending,
            Err(end) => Poll::Ready(end),
        }
    }
}

fn client_lost(error: io::Error) -> End {
    End::ClientLost(Some(error))
}

fn server_lost(error: io::Error) -> End {
    End::ServerLost(Some(error))
}
