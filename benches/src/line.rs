//! A client and the server connection that it leases, without sockets between them.

use std::sync::Arc;

use pgweir_session::{
    Batch, Client, Mode, Parameters, Rules, Server, Settings, Statements, Verdict,
};

use crate::backend::answer;

/// What a worker of the proxy reads at once.
const READ_LEN: usize = 64 * 1024;

/// One client in transaction mode, one server connection, and the buffers of a worker.
#[derive(Debug)]
pub struct Line {
    statements: Statements,
    client: Client,
    base: Arc<Parameters>,
    server: Server,
    to_server: Batch,
    to_client: Batch,
}

/// Bytes that went each way in one transaction.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct Round {
    /// To the server.
    pub sent: usize,
    /// To the client.
    pub received: usize,
}

impl Default for Line {
    fn default() -> Self {
        Self::new()
    }
}

impl Line {
    /// A client that has just logged in, and a server connection that was just opened.
    pub fn new() -> Self {
        let base = Arc::new(base());
        Self {
            statements: Statements::new(7),
            client: Client::new(Mode::Transaction, &Settings::default(), Arc::clone(&base)),
            server: Server::new(Arc::clone(&base)),
            base,
            to_server: Batch::new(),
            to_client: Batch::new(),
        }
    }

    /// From now on the client gets another server connection, just opened.
    pub fn change_server(&mut self) {
        self.server = Server::new(Arc::clone(&self.base));
    }

    /// Sends `request`, answers as a server does, and gives that answer: the next transaction of
    /// the same request gets the same.
    pub fn converse(&mut self, request: &[u8]) -> Vec<u8> {
        self.request(request);
        let mut sent = Vec::new();
        self.to_server.copy_after(request, 0, &mut sent);
        let reply = answer(&sent);
        self.reply(&reply);
        reply
    }

    /// One transaction as the relay does it: a lease begins, the request is judged, the reply is
    /// matched read by read, the lease ends.
    pub fn transaction(&mut self, request: &[u8], reply: &[u8]) -> Round {
        self.request(request);
        let sent = self.to_server.len();
        let received = self.reply(reply);
        Round { sent, received }
    }

    /// Judges a whole request on a new lease.
    fn request(&mut self, request: &[u8]) {
        let rules = Rules {
            extended_only: false,
            statements: &self.statements,
            max_statement_size: 1 << 20,
            max_packet_size: i32::MAX as u32,
            max_prepared_statements: 200,
        };
        self.to_server.clear();
        self.to_client.clear();
        // Without a server first, as for every client of transaction mode.
        let (consumed, verdict) = self.client.handle_request(
            request,
            None,
            &rules,
            &mut self.to_server,
            &mut self.to_client,
        );
        assert_eq!((consumed, verdict), (0, Verdict::NeedsServer));
        let must_wait = self
            .client
            .attach(&mut self.server, &rules, &mut self.to_server);
        assert!(!must_wait, "there are no startup settings");
        let (consumed, verdict) = self.client.handle_request(
            request,
            Some(&mut self.server),
            &rules,
            &mut self.to_server,
            &mut self.to_client,
        );
        assert_eq!((consumed, verdict), (request.len(), Verdict::More));
    }

    /// Matches a reply, as if it had been read with a worker's buffer; gives the number of bytes
    /// for the client.
    ///
    /// # Panics
    /// When the transaction is not over afterwards.
    fn reply(&mut self, reply: &[u8]) -> usize {
        let mut received = self.to_client.len();
        let mut at = 0;
        while at < reply.len() {
            let end = (at + READ_LEN).min(reply.len());
            self.to_client.clear();
            let consumed = self
                .server
                .handle_replies(&reply[at..end], Some(&mut self.client), &mut self.to_client)
                .expect("the reply fits the request");
            received += self.to_client.len();
            assert!(consumed > 0, "rows are streamed, and all else is small");
            at += consumed;
        }
        assert!(self.server.at_boundary());
        self.server.take_counts();
        received
    }
}

/// What every server of a pool reports.
fn base() -> Parameters {
    let mut base = Parameters::default();
    for (name, value) in [
        ("application_name", ""),
        ("client_encoding", "UTF8"),
        ("DateStyle", "ISO, MDY"),
        ("IntervalStyle", "postgres"),
        ("server_encoding", "UTF8"),
        ("server_version", "15.0"),
        ("standard_conforming_strings", "on"),
        ("TimeZone", "Etc/UTC"),
    ] {
        base.insert(name.as_bytes(), value.as_bytes());
    }
    base
}
