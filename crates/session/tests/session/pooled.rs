//! Clients that share a few backends in transaction mode, by way of the crate under test.
//!
//! All bytes are on their way for a random while and arrive cut at random places.

use std::sync::Arc;

use pgweir_session::{Batch, Client, Effects, Mode, Parameters, Rules, Server, Settings};
use pgweir_session::{Statements, Verdict};

use crate::fake::Fake;
use crate::rng::Rng;
use crate::script::Script;

pub struct Backend {
    pub fake: Fake,
    pub server: Server,
    /// On the way to the backend.
    sent: Vec<u8>,
    /// Read from the backend and not dealt with.
    held: Vec<u8>,
    leased: bool,
}

impl Backend {
    pub fn new() -> Self {
        let fake = Fake::new(&[]);
        let mut base = Parameters::default();
        for (name, value) in fake.reported() {
            base.insert(name.as_bytes(), value.as_bytes());
        }
        Self {
            server: Server::new(Arc::new(base)),
            fake,
            sent: Vec::new(),
            held: Vec::new(),
            leased: false,
        }
    }

    /// S5: what the next client would find here.
    pub fn check_clean(&mut self) {
        // Copy data that came too late for its COPY, which the backend ignores.
        let late = std::mem::take(&mut self.sent);
        self.fake.feed(&late);
        assert!(self.fake.output.is_empty());
        let engine = &self.fake.engine;
        assert!(
            self.fake.is_idle(),
            "the backend is busy: {}",
            self.fake.place()
        );
        assert!(
            engine.locks.is_empty(),
            "a lock is left: {:?}",
            engine.locks
        );
        assert!(engine.listening.is_empty(), "it still listens");
        assert!(engine.temporary.is_empty(), "a temporary table is left");
        assert!(engine.held.is_empty(), "a cursor is left");
        for (name, prepared) in &engine.named {
            assert!(!prepared.by_sql, "a statement of PREPARE is left");
            assert!(
                name.starts_with(b"pgweir_") && name[7..].iter().all(u8::is_ascii_digit),
                "a statement is left under the name {:?}",
                String::from_utf8_lossy(name)
            );
        }
    }

    /// Reads what nobody is there to see.
    fn read_all(&mut self) {
        let mut to_client = Batch::new();
        self.held.append(&mut self.fake.output);
        let consumed = self
            .server
            .handle_replies(&self.held, None, &mut to_client)
            .expect("the backend keeps to the protocol");
        self.held.drain(..consumed);
    }

    /// Sends requests of ours and waits for their answers.
    fn exchange(&mut self, batch: &Batch) {
        let mut bytes = std::mem::take(&mut self.sent);
        batch.copy_after(&[], 0, &mut bytes);
        self.fake.feed(&bytes);
        self.read_all();
    }
}

struct Peer {
    script: Script,
    client: Client,
    burst: usize,
    /// How much of the burst is on its way.
    written: usize,
    wire: Vec<u8>,
    held: Vec<u8>,
    received: Vec<u8>,
    lease: Option<usize>,
    waiting: bool,
    hold_back: bool,
    over: bool,
    /// Goes without a word after so many bytes.
    vanishes_after: Option<usize>,
    judged: usize,
}

pub struct Pooled<'a> {
    rng: &'a mut Rng,
    peers: Vec<Peer>,
    pub backends: Vec<Backend>,
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
    pub fn new(rng: &'a mut Rng, scripts: &[Script], backends: usize, vanishing: bool) -> Self {
        let mut peers = Vec::new();
        for script in scripts {
            let pairs = script.startup.iter();
            let startup = Settings::new(pairs.map(|(n, v)| (n.as_bytes(), v.as_bytes())));
            let bytes: usize = script.bursts.iter().map(|burst| burst.bytes.len()).sum();
            peers.push(Peer {
                script: script.clone(),
                client: Client::new(Mode::Transaction, startup),
                burst: 0,
                written: 0,
                wire: Vec::new(),
                held: Vec::new(),
                received: Vec::new(),
                lease: None,
                waiting: false,
                hold_back: false,
                over: false,
                vanishes_after: (vanishing && rng.percent(50)).then(|| rng.below(bytes)),
                judged: 0,
            });
        }
        Self {
            peers,
            backends: (0..backends).map(|_| Backend::new()).collect(),
            statements: Statements::new(rng.next()),
            max_prepared: 1 + rng.below(6),
            rng,
        }
    }

    /// Runs until every client has had its answers.
    pub fn run(&mut self) {
        loop {
            let actions = self.actions();
            if actions.is_empty() {
                self.check_end();
                break;
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
            assert!(!backend.leased);
            backend.check_clean();
        }
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
        let expected = &peer.script.answers;
        let vanished = peer.vanishes_after.is_some();
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
            if !peer.wire.is_empty() && !peer.waiting && !peer.hold_back {
                actions.push(Action::Judge(number));
            }
            if peer.waiting && self.backends.iter().any(|backend| !backend.leased) {
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
            if !backend.fake.output.is_empty() || (backend.fake.dead && backend.leased) {
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
                self.attach(number);
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
            }
            Action::Answer(number) => self.answer(number),
        }
    }

    /// A free backend becomes the client's.
    fn attach(&mut self, number: usize) {
        let free: Vec<usize> = (0..self.backends.len())
            .filter(|&backend| !self.backends[backend].leased)
            .collect();
        let place = free[self.rng.below(free.len())];
        let backend = &mut self.backends[place];
        let peer = &mut self.peers[number];
        let mut to_server = Batch::new();
        let rules = rules(&self.statements, self.max_prepared);
        peer.hold_back = peer
            .client
            .attach(&mut backend.server, &rules, &mut to_server);
        to_server.copy_after(&[], 0, &mut backend.sent);
        backend.leased = true;
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
                Some(backend) => to_server.copy_after(&input[at..], 0, &mut backend.sent),
                None => assert!(to_server.is_empty()),
            }
            at += consumed;
            match verdict {
                Verdict::More => break,
                Verdict::NeedsServer if self.backends.iter().all(|backend| backend.leased) => {
                    self.peers[number].waiting = true;
                    break;
                }
                Verdict::NeedsServer => self.attach(number),
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
        assert_eq!(
            backend.server.own_error(),
            None,
            "a request of ours failed for {:?} {}",
            self.peers[number].script.startup,
            self.peers[number].script.log.join("\n")
        );
        if backend.fake.dead && backend.fake.output.is_empty() {
            self.backends[place] = Backend::new();
            self.peers[number].lease = None;
            self.peers[number].over = true;
            return;
        }
        let peer = &mut self.peers[number];
        peer.next_burst();
        if peer.hold_back && !self.backends[place].server.setting_up() {
            peer.hold_back = false;
            let input = std::mem::take(&mut peer.held);
            self.judge(number, input);
        }
        self.after_replies(number);
    }

    fn after_replies(&mut self, number: usize) {
        let peer = &mut self.peers[number];
        let Some(place) = peer.lease else { return };
        let backend = &mut self.backends[place];
        if peer.hold_back || !backend.server.at_boundary() {
            return;
        }
        assert_eq!(backend.server.owed(), 0, "S2");
        peer.lease = None;
        backend.leased = false;
        if backend.server.left().has(Effects::FOR_GOOD) {
            *backend = Backend::new();
        } else if !backend.server.left().is_none() {
            self.clean(place);
        }
        self.backends[place].check_clean();
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
        peer.waiting = false;
        let Some(place) = peer.lease.take() else {
            return;
        };
        let backend = &mut self.backends[place];
        backend.leased = false;
        if !backend.server.takes_requests() {
            *backend = Backend::new();
            return;
        }
        if !backend.server.can_clean() {
            let mut batch = Batch::new();
            backend.server.finish(&mut batch);
            backend.exchange(&batch);
        }
        if backend.fake.dead || !backend.server.can_clean() {
            *backend = Backend::new();
        } else {
            self.clean(place);
        }
    }
}

impl Peer {
    fn may_write(&self) -> bool {
        self.written < self.script.bursts[self.burst].bytes.len() || self.is_answered()
    }

    fn is_answered(&self) -> bool {
        self.received.len() >= self.script.bursts[self.burst].answered_at
    }

    fn next_burst(&mut self) {
        while let Some(burst) = self.script.bursts.get(self.burst)
            && self.written == burst.bytes.len()
            && self.is_answered()
        {
            self.burst += 1;
            self.written = 0;
        }
    }
}

fn rules(statements: &Statements, max_prepared: usize) -> Rules<'_> {
    Rules {
        statements,
        max_statement_size: 1 << 20,
        max_packet_size: u32::MAX,
        max_prepared_statements: max_prepared,
    }
}

/// Where two streams of a server part.
fn difference(expected: &[u8], seen: &[u8]) -> String {
    let (expected, seen) = (words(expected), words(seen));
    let pairs = expected.iter().zip(&seen);
    let same = pairs.take_while(|(a, b)| a == b).count();
    let from = same.saturating_sub(8);
    let part = |all: &[String]| all[from..all.len().min(same + 6)].join("\n");
    format!(
        "-- {from} frames are the same\n-- expected\n{}\n-- saw\n{}",
        part(&expected),
        part(&seen)
    )
}

/// Frames of a server in words, one to a line.
pub fn words(mut bytes: &[u8]) -> Vec<String> {
    let mut out = Vec::new();
    while let Ok(Some(head)) = pgweir_wire::header(bytes, u32::MAX) {
        let len = (head.frame_len() as usize).min(bytes.len());
        let body = String::from_utf8_lossy(&bytes[5..len]).replace('\0', "·");
        let body: String = body.chars().filter(|c| !c.is_control()).take(120).collect();
        out.push(format!("{} {body}", char::from(head.tag)));
        bytes = &bytes[len..];
    }
    if !bytes.is_empty() {
        out.push(format!("{} bytes more", bytes.len()));
    }
    out
}
