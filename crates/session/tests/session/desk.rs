//! One conversation step by step, where it matters what has been answered and what has not.

use std::sync::Arc;

use pgweir_session::{Batch, Client, Mode, Rules, Server, Settings, Statements};
use pgweir_session::{Refusal, Verdict};
use pgweir_wire::encode;

use crate::backend::{Defaults, base};
use crate::fake::Fake;
use crate::words::words;

/// A backend, and the clients that hold it in turn.
pub struct Desk {
    pub fake: Fake,
    pub server: Server,
    statements: Statements,
    pub max_prepared: usize,
    held: Vec<u8>,
    sent: Vec<u8>,
    /// Replies made here, in front of what the backend says next.
    made: Vec<u8>,
}

impl Desk {
    pub fn new() -> Self {
        let fake = Fake::new(&[]);
        Self {
            server: Server::new(base(Defaults::Usual)),
            fake,
            statements: Statements::new(1),
            max_prepared: 100,
            held: Vec::new(),
            sent: Vec::new(),
            made: Vec::new(),
        }
    }

    /// A client that holds the backend.
    pub fn client(&mut self, startup: &[(&str, &str)]) -> Client {
        self.client_in(Mode::Transaction, startup)
    }

    pub fn client_in(&mut self, mode: Mode, startup: &[(&str, &str)]) -> Client {
        let pairs = startup.iter();
        let startup = Settings::new(pairs.map(|(n, v)| (n.as_bytes(), v.as_bytes())));
        let mut client = Client::new(mode, &startup, Arc::clone(self.server.base()));
        self.attach(&mut client);
        client
    }

    /// A lease begins.
    pub fn attach(&mut self, client: &mut Client) {
        let mut to_server = Batch::new();
        let rules = rules(&self.statements, self.max_prepared);
        client.attach(&mut self.server, &rules, &mut to_server);
        to_server.copy_after(&[], 0, &mut self.sent);
    }

    /// The client says something; nothing is answered yet.
    pub fn say(&mut self, client: &mut Client, write: impl FnOnce(&mut Vec<u8>)) {
        let mut bytes = Vec::new();
        write(&mut bytes);
        let (consumed, verdict) = self.judge(client, &bytes);
        assert_eq!((consumed, verdict), (bytes.len(), Verdict::More));
    }

    /// The same where the client is to be thrown out.
    pub fn refused(&mut self, client: &mut Client, bytes: &[u8]) -> Refusal {
        match self.judge(client, bytes).1 {
            Verdict::Refused(refusal) => refusal,
            verdict => panic!("{verdict:?}"),
        }
    }

    /// How many of these bytes are dealt with, and what comes next.
    pub fn judge(&mut self, client: &mut Client, bytes: &[u8]) -> (usize, Verdict) {
        let (mut to_server, mut to_client) = (Batch::new(), Batch::new());
        let rules = rules(&self.statements, self.max_prepared);
        let server = Some(&mut self.server);
        let judged = client.handle_request(bytes, server, &rules, &mut to_server, &mut to_client);
        to_server.copy_after(bytes, 0, &mut self.sent);
        to_client.copy_after(bytes, 0, &mut self.made);
        judged
    }

    /// What is on its way to the backend.
    pub fn sent(&self) -> &[u8] {
        &self.sent
    }

    /// All is delivered and answered: what the client has seen since the last time.
    pub fn answers(&mut self, client: &mut Client) -> Vec<String> {
        let sent = std::mem::take(&mut self.sent);
        self.fake.feed(&sent);
        let mut seen = std::mem::take(&mut self.made);
        self.held.append(&mut self.fake.output);
        let mut to_client = Batch::new();
        let consumed = self
            .server
            .handle_replies(&self.held, Some(client), &mut to_client)
            .expect("the backend keeps to the protocol");
        to_client.copy_after(&self.held, 0, &mut seen);
        self.held.drain(..consumed);
        words(&seen)
    }

    /// Says something and waits for the answers.
    pub fn ask(&mut self, client: &mut Client, write: impl FnOnce(&mut Vec<u8>)) -> Vec<String> {
        self.say(client, write);
        self.answers(client)
    }

    /// A simple query, whose answer does not matter.
    pub fn query(&mut self, client: &mut Client, text: &str) -> Vec<String> {
        self.ask(client, |out| encode::query(text.as_bytes(), out))
    }

    /// The client is gone: what cleaning leaves.
    pub fn clean(&mut self) {
        let mut batch = Batch::new();
        self.server.clean(b"DISCARD ALL", &mut batch);
        batch.copy_after(&[], 0, &mut self.sent);
        let sent = std::mem::take(&mut self.sent);
        self.fake.feed(&sent);
        self.held.append(&mut self.fake.output);
        let consumed = self
            .server
            .handle_replies(&self.held, None, &mut Batch::new())
            .expect("the backend keeps to the protocol");
        self.held.drain(..consumed);
        assert!(self.server.at_boundary());
        assert_eq!(self.server.own_error(), None);
        assert!(self.fake.engine.locks.is_empty() && self.fake.engine.named.is_empty());
    }
}

fn rules(statements: &Statements, max_prepared_statements: usize) -> Rules<'_> {
    Rules {
        statements,
        max_statement_size: 4096,
        extended_only: false,
        max_packet_size: u32::MAX,
        max_prepared_statements,
    }
}

/// Parse, Bind, Execute of one statement.
pub fn run(name: &str, text: &str, out: &mut Vec<u8>) {
    parse(name, text, out);
    rerun(name, out);
}

pub fn parse(name: &str, text: &str, out: &mut Vec<u8>) {
    encode::parse(name.as_bytes(), text.as_bytes(), b"", out);
}

pub fn bind(name: &str, out: &mut Vec<u8>) {
    encode::bind(b"", name.as_bytes(), &[], out);
}

/// Bind, Execute.
pub fn rerun(name: &str, out: &mut Vec<u8>) {
    bind(name, out);
    encode::execute(b"", 0, out);
}
