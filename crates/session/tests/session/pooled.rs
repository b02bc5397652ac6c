//! Clients that share a few backends in any mode, by way of the crate under test.
//!
//! All bytes are on their way for a random while and arrive cut at random places.

use std::rc::Rc;
use std::sync::Arc;

use pgweir_route::intent::Intent;
use pgweir_session::{Batch, Effects, Intents, Mode, Rules, Setback};
use pgweir_session::{Statements, Unit, Verdict};

use crate::backend::{Backend, Defaults};
use crate::engine::Standby;
use crate::keeper::Keeper;
use crate::peer::{Asked, Peer, up_to_a_block};
use crate::rng::Rng;
use crate::script::Script;
use crate::words::difference;

/// How a run is made.
#[derive(Clone, Copy)]
pub struct Way {
    pub mode: Mode,
    /// Whether backends, and the ones that clients saw first, have different defaults.
    pub mixed: bool,
    /// Clients that go without a word, in a hundred.
    pub vanishing: u64,
    /// Backends that die with a client on them, in ten thousand steps.
    pub dying: u64,
    /// Whether backends are a primary's and a standby's, in turn, and units are routed.
    pub routed: bool,
}

pub struct Pooled<'a> {
    rng: &'a mut Rng,
    way: Way,
    keeper: Box<dyn Keeper>,
    peers: Vec<Peer>,
    /// By place.
    backends: Vec<Backend>,
    statements: Statements,
    max_prepared: usize,
}

#[derive(Clone, Copy)]
enum Action {
    Write(usize),
    Judge(usize),
    Attach(usize),
    Deliver(usize),
    Answer(usize),
}

impl<'a> Pooled<'a> {
    pub fn new(rng: &'a mut Rng, scripts: &[Script], keeper: Box<dyn Keeper>, way: Way) -> Self {
        let mut peers = Vec::new();
        let intents = Intents::new(Arc::default(), 7);
        for script in scripts {
            let bytes: usize = script.bursts.iter().map(|burst| burst.bytes.len()).sum();
            let vanishes_after = rng.percent(way.vanishing).then(|| rng.below(bytes));
            let mut peer = Peer::new(script, way.mode, vanishes_after);
            if way.routed {
                peer.client.route(Rc::clone(&intents));
            }
            peers.push(peer);
        }
        Self {
            peers,
            way,
            keeper,
            backends: Vec::new(),
            statements: Statements::new(rng.next()),
            max_prepared: 1 + rng.below(6),
            rng,
        }
    }

    /// Runs until every client has had its answers.
    pub fn run(&mut self) {
        let mut patience = 1000;
        loop {
            let waiting = self.peers.iter().filter(|peer| peer.waiting).count();
            self.keeper.check(waiting);
            let actions = self.actions();
            if actions.is_empty() && (!self.keeper.is_busy() || patience == 0) {
                self.check_end();
                break;
            }
            if actions.is_empty() || self.rng.percent(3) {
                patience -= usize::from(actions.is_empty());
                if let Some(place) = self.keeper.happen(self.rng) {
                    self.open(place);
                }
                continue;
            }
            if self.rng.next() % 10_000 < self.way.dying {
                self.die();
            }
            let action = actions[self.rng.below(actions.len())];
            self.perform(action);
            for number in 0..self.peers.len() {
                let peer = &self.peers[number];
                if !peer.over && peer.burst == peer.script.bursts.len() && peer.wire.is_empty() {
                    self.vanish(number);
                }
            }
        }
        for number in 0..self.peers.len() {
            self.check(number);
        }
        for backend in &mut self.backends {
            backend.check_clean();
        }
    }

    fn open(&mut self, place: usize) {
        while self.backends.len() <= place {
            self.backends.push(Backend::new(Defaults::Usual));
        }
        self.renew(place);
    }

    fn renew(&mut self, place: usize) {
        let is_odd = self.way.mixed && place % 2 == 1;
        let defaults = if is_odd {
            Defaults::Odd
        } else {
            Defaults::Usual
        };
        self.backends[place] = Backend::new(defaults);
    }

    /// A backend dies while a client holds it; what it said last may get lost.
    fn die(&mut self) {
        let held: Vec<usize> = self.peers.iter().filter_map(|peer| peer.lease).collect();
        if held.is_empty() {
            return;
        }
        let place = self.rng.pick(&held);
        let fake = &mut self.backends[place].fake;
        fake.dead = true;
        let len = fake.output.len();
        fake.output.truncate(self.rng.below(len + 1));
    }

    /// Nothing moves any more: then everybody must be through.
    fn check_end(&self) {
        for (number, peer) in self.peers.iter().enumerate() {
            let server = peer.lease.map(|place| &self.backends[place].server);
            assert!(
                peer.over,
                "client {number} hangs in burst {} (waits for a server: {}, held back: {}, {:?})\n{}\n{}",
                peer.burst,
                peer.waiting,
                peer.hold_back,
                server,
                peer.script.log.join("\n"),
                difference(&peer.script.answers, &peer.received),
            );
        }
    }

    fn check(&self, number: usize) {
        let peer = &self.peers[number];
        let mut expected = &peer.script.answers[..];
        if self.way.mode == Mode::Statement {
            expected = up_to_a_block(expected);
            let refused = peer.client.is_refused();
            assert!(!refused || expected.len() < peer.script.answers.len());
            // A BEGIN that is a query of its own is not told of: the error takes its place.
            let told = peer.received.len() == expected.len();
            if refused && !told {
                expected = expected
                    .strip_suffix(b"C\0\0\0\x0aBEGIN\0")
                    .unwrap_or(expected);
            }
        }
        let vanished = peer.vanishes_after.is_some() || peer.lost;
        let seen = &peer.received[..];
        let enough = if vanished {
            expected.starts_with(seen)
        } else {
            expected == seen
        };
        assert!(
            enough,
            "client {number} with {:?} (vanishes: {vanished}) did\n{}\n{}",
            peer.script.startup,
            peer.script.log.join("\n"),
            difference(expected, seen),
        );
    }

    fn actions(&self) -> Vec<Action> {
        let mut actions = Vec::new();
        for (number, peer) in self.peers.iter().enumerate() {
            if peer.over {
                continue;
            }
            if peer.burst < peer.script.bursts.len() {
                actions.push(Action::Write(number));
            }
            if !peer.wire.is_empty() && !peer.waiting && !peer.hold_back && !peer.waits_its_turn {
                actions.push(Action::Judge(number));
            }
            if peer.waiting && self.keeper.is_handed(number) {
                actions.push(Action::Attach(number));
            }
        }
        // A client that waits for answers has nothing to write.
        actions.retain(|action| match action {
            Action::Write(number) => self.peers[*number].may_write(),
            _ => true,
        });
        for (number, backend) in self.backends.iter().enumerate() {
            if !backend.sent.is_empty() && !backend.fake.dead {
                actions.push(Action::Deliver(number));
            }
            let leased = self.peers.iter().any(|peer| peer.lease == Some(number));
            if !backend.fake.output.is_empty() || (backend.fake.dead && leased) {
                actions.push(Action::Answer(number));
            }
        }
        actions
    }

    fn perform(&mut self, action: Action) {
        match action {
            Action::Write(number) => {
                let peer = &mut self.peers[number];
                let left = &peer.script.bursts[peer.burst].bytes[peer.written..];
                let len = if left.is_empty() {
                    0
                } else {
                    self.rng.cut(left.len())
                };
                peer.wire.extend_from_slice(&left[..len]);
                peer.written += len;
                peer.next_burst();
            }
            Action::Judge(number) => {
                let peer = &mut self.peers[number];
                let len = self.rng.cut(peer.wire.len());
                let mut input = std::mem::take(&mut peer.held);
                input.extend(peer.wire.drain(..len));
                peer.judged += len;
                self.judge(number, input);
                let peer = &self.peers[number];
                if peer
                    .vanishes_after
                    .is_some_and(|after| peer.judged >= after)
                {
                    self.vanish(number);
                }
            }
            Action::Attach(number) => {
                self.peers[number].waiting = false;
                let place = self.keeper.collect(self.rng, number);
                self.attach(number, place);
                if !self.peers[number].hold_back {
                    let input = std::mem::take(&mut self.peers[number].held);
                    self.judge(number, input);
                }
            }
            Action::Deliver(number) => {
                let backend = &mut self.backends[number];
                let len = self.rng.cut(backend.sent.len());
                let bytes: Vec<u8> = backend.sent.drain(..len).collect();
                backend.fake.feed(&bytes);
                if let Some(command) = &backend.fake.engine.wronged {
                    let holder = self.peers.iter().find(|peer| peer.lease == Some(number));
                    let log = holder.map(|peer| peer.script.log.join("\n"));
                    panic!("R3: {command} on a standby; {}", log.unwrap_or_default());
                }
            }
            Action::Answer(number) => self.answer(number),
        }
    }

    /// A backend becomes the client's.
    fn attach(&mut self, number: usize, place: usize) {
        if self.backends.len() <= place {
            self.open(place);
        }
        let backend = &mut self.backends[place];
        let peer = &mut self.peers[number];
        if self.way.routed {
            // Whoever asks may get a host that does less, or one that goes away.
            let wants = peer.client.unit().map(Unit::intent);
            let may_read = wants != Some(Intent::Primary) && !peer.asked.of_primary;
            let standby = may_read && self.rng.percent(70);
            peer.client.leased_from(standby);
            backend.fake.engine.standby = standby.then_some(Standby::Busy);
            peer.asked.bytes.clear();
        }
        let mut to_server = Batch::new();
        let rules = rules(&self.statements, self.max_prepared);
        peer.hold_back = peer
            .client
            .attach(&mut backend.server, &rules, &mut to_server);
        to_server.copy_after(&[], 0, &mut backend.sent);
        backend.fake.own = backend.sent.len();
        if backend.server.is_on_trial() {
            let is_conflicting = self.rng.percent(20);
            if let Some(standby) = &mut backend.fake.engine.standby {
                *standby = if is_conflicting {
                    Standby::Conflicting
                } else {
                    Standby::Healthy
                };
            }
            backend.fake.goes = peer.asked.times < 3 && self.rng.percent(10);
        }
        peer.lease = Some(place);
    }

    fn judge(&mut self, number: usize, input: Vec<u8>) {
        let mut at = 0;
        let (mut to_server, mut to_client) = (Batch::new(), Batch::new());
        loop {
            to_server.clear();
            to_client.clear();
            let peer = &mut self.peers[number];
            let rules = rules(&self.statements, self.max_prepared);
            let mut backend = peer.lease.map(|place| &mut self.backends[place]);
            let (consumed, verdict) = peer.client.handle_request(
                &input[at..],
                backend.as_mut().map(|backend| &mut backend.server),
                &rules,
                &mut to_server,
                &mut to_client,
            );
            to_client.copy_after(&input[at..], 0, &mut peer.received);
            match backend {
                Some(backend) => {
                    if backend.server.is_on_trial() {
                        let asked = &input[at..at + consumed];
                        peer.asked.bytes.extend_from_slice(asked);
                    }
                    to_server.copy_after(&input[at..], 0, &mut backend.sent);
                }
                None => assert!(to_server.is_empty()),
            }
            at += consumed;
            match verdict {
                Verdict::More => break,
                Verdict::Elsewhere => {
                    self.end_lease(self.peers[number].lease.expect("it holds one"));
                    self.peers[number].lease = None;
                }
                Verdict::Waits => {
                    self.peers[number].waits_its_turn = true;
                    break;
                }
                Verdict::NeedsServer => match self.keeper.take(self.rng, number) {
                    Some(place) => self.attach(number, place),
                    None => {
                        self.peers[number].waiting = true;
                        break;
                    }
                },
                Verdict::Terminate | Verdict::Refused(_) => panic!("{verdict:?}"),
            }
            if self.peers[number].hold_back {
                break;
            }
        }
        self.peers[number].held = input[at..].to_vec();
        self.after_replies(number);
    }

    fn answer(&mut self, place: usize) {
        let holder = self.peers.iter().position(|peer| peer.lease == Some(place));
        let backend = &mut self.backends[place];
        let available = backend.fake.output.len();
        if available > 0 {
            let len = self.rng.cut(available);
            backend.held.extend(backend.fake.output.drain(..len));
        }
        let mut to_client = Batch::new();
        let client = holder.map(|number| &mut self.peers[number].client);
        let consumed = backend
            .server
            .handle_replies(&backend.held, client, &mut to_client)
            .expect("the backend keeps to the protocol");
        let Some(number) = holder else {
            assert!(to_client.is_empty());
            return;
        };
        to_client.copy_after(&backend.held, 0, &mut self.peers[number].received);
        backend.held.drain(..consumed);
        let ends = backend.fake.dead && backend.fake.output.is_empty();
        if backend.server.setback().is_some() || ends && backend.server.is_on_trial() {
            return self.again(number, place);
        }
        assert_eq!(
            backend.server.own_error(),
            None,
            "a request of ours failed for {:?} {}",
            self.peers[number].script.startup,
            self.peers[number].script.log.join("\n")
        );
        if ends {
            return self.lose(number);
        }
        let peer = &mut self.peers[number];
        if peer.client.is_refused() {
            return self.vanish(number);
        }
        peer.next_burst();
        if peer.hold_back && !self.backends[place].server.setting_up() {
            peer.hold_back = false;
            let input = std::mem::take(&mut peer.held);
            self.judge(number, input);
        }
        self.after_replies(number);
        let owed = self.peers[number]
            .lease
            .map_or(0, |place| self.backends[place].server.owed());
        if owed == 0 && std::mem::take(&mut self.peers[number].waits_its_turn) {
            let input = std::mem::take(&mut self.peers[number].held);
            self.judge(number, input);
        }
    }

    /// The backend of a client is gone, and the client told so.
    fn lose(&mut self, number: usize) {
        let peer = &mut self.peers[number];
        (peer.over, peer.lost) = (true, true);
        if let Some(place) = peer.lease.take() {
            self.discard(place);
        }
    }

    /// What the client has asked of a backend is asked of another one: nothing of an answer has reached it.
    fn again(&mut self, number: usize, place: usize) {
        let server = &mut self.backends[place].server;
        let setback = server.setback();
        let peer = &mut self.peers[number];
        peer.client.take_back(server);
        peer.asked.times += 1;
        peer.asked.of_primary |= matches!(setback, Some(Setback::ReadOnly | Setback::Conflict));
        let mut held = std::mem::take(&mut peer.asked.bytes);
        if setback == Some(Setback::ReadOnly) {
            peer.client.was_refused(&held);
        }
        held.append(&mut peer.held);
        peer.lease = None;
        (peer.hold_back, peer.waits_its_turn) = (false, false);
        match setback {
            Some(Setback::ReadOnly | Setback::Conflict) => self.end_lease(place),
            _ => self.discard(place),
        }
        self.judge(number, held);
    }

    fn after_replies(&mut self, number: usize) {
        let peer = &mut self.peers[number];
        let Some(place) = peer.lease else { return };
        let backend = &mut self.backends[place];
        if self.way.mode == Mode::Session || peer.hold_back || !backend.server.at_boundary() {
            return;
        }
        assert_eq!(backend.server.owed(), 0, "S2");
        peer.lease = None;
        peer.asked = Asked::default();
        backend.fake.engine.standby = None;
        backend.fake.goes = false;
        let left = backend.server.left();
        if left.has(Effects::FOR_GOOD) || backend.fake.dead {
            return self.discard(place);
        }
        if !left.is_none() {
            self.clean(place);
        }
        self.give_back(place);
    }

    fn give_back(&mut self, place: usize) {
        self.backends[place].check_clean();
        self.keeper.release(place, true);
    }

    fn discard(&mut self, place: usize) {
        self.renew(place);
        self.keeper.release(place, false);
    }

    fn clean(&mut self, place: usize) {
        let backend = &mut self.backends[place];
        let mut batch = Batch::new();
        backend.server.clean(b"DISCARD ALL", &mut batch);
        backend.exchange(&batch);
        assert!(
            backend.server.at_boundary(),
            "{:?} {}",
            backend.server,
            backend.fake.place()
        );
        assert_eq!(backend.server.own_error(), None);
        assert_eq!(backend.fake.engine.values, backend.fake.engine.login);
        assert!(backend.fake.engine.named.is_empty());
        backend.check_clean();
    }

    /// The client is gone, whatever it was doing.
    fn vanish(&mut self, number: usize) {
        let peer = &mut self.peers[number];
        peer.over = true;
        if std::mem::take(&mut peer.waiting) {
            self.keeper.leave(number);
        }
        if let Some(place) = peer.lease.take() {
            self.end_lease(place);
        }
    }

    /// Whatever is under way there is nobody's any more.
    fn end_lease(&mut self, place: usize) {
        let backend = &mut self.backends[place];
        backend.fake.engine.standby = None;
        backend.fake.goes = false;
        if !backend.server.takes_requests() || backend.fake.dead {
            return self.discard(place);
        }
        if !backend.server.can_clean() {
            let mut batch = Batch::new();
            backend.server.finish(&mut batch);
            backend.exchange(&batch);
        }
        if backend.fake.dead || !backend.server.can_clean() {
            return self.discard(place);
        }
        self.clean(place);
        self.give_back(place);
    }
}

fn rules(statements: &Statements, max_prepared: usize) -> Rules<'_> {
    Rules {
        statements,
        max_statement_size: 1 << 20,
        extended_only: false,
        max_packet_size: u32::MAX,
        max_prepared_statements: max_prepared,
    }
}
