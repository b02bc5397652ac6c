//! A server connection of a worker: its socket, its session, and what is known about it.

use std::cell::Cell;
use std::rc::Rc;
use std::sync::Arc;
use std::time::Instant;

use jiff::Timestamp;
use pgweir_config::Host;
use pgweir_pool::{ConnId, PoolId};
use pgweir_session::Server;

use crate::place::OnTheWay;
use crate::stream::{Backlog, Stream};

/// What does not change while a connection lives, and goes with it from worker to worker.
#[derive(Debug, Clone)]
pub struct ServerFacts {
    /// Its identity in the pool.
    pub conn: ConnId,
    /// Its pool.
    pub pool: PoolId,
    /// Number shown as `id` by SHOW SERVERS; one series with the clients'.
    pub id: u64,
    /// Database of pgweir (not of the server).
    pub database: Arc<str>,
    /// User on the server.
    pub user: Arc<str>,
    /// Where it goes.
    pub host: Host,
    /// The address that was connected to, to which cancel requests go: not a name that may mean
    /// another machine by now.
    pub peer: Option<std::net::SocketAddr>,
    /// File descriptor of its socket.
    pub fd: u32,
    /// Our end of it.
    pub local: Option<std::net::SocketAddr>,
    /// Process id of the backend (BackendKeyData).
    pub pid: u32,
    /// Cancel key, 4 to 256 bytes.
    pub key: Arc<[u8]>,
    /// When it was connected.
    pub since: Instant,
    /// The same by the calendar.
    pub since_time: Timestamp,
    /// TLS version and cipher suite, or nothing.
    pub tls: Arc<str>,
}

/// What others on the worker may look at while somebody holds the connection.
#[derive(Debug)]
pub struct ServerShared {
    /// See there.
    pub facts: ServerFacts,
    /// What it is doing.
    pub state: Cell<ServerState>,
    /// Number of the client that holds it.
    pub link: Cell<Option<u64>>,
    /// When it was last handed out.
    pub request_time: Cell<Instant>,
    /// Shared statements that it has.
    pub prepared: Cell<u32>,
    /// Cancel requests on their way: until they are through, nobody else gets the connection.
    pub cancels: Cell<u32>,
    /// Set with the first cancel request of a lease: one may arrive late.
    pub was_cancelled: Cell<bool>,
    /// RECONNECT or a reload asks for it to be closed when it is given back.
    pub close_needed: Cell<bool>,
    /// What of it is on its way while a client holds it.
    pub bytes: Cell<OnTheWay>,
}

/// The states of SHOW SERVERS.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum ServerState {
    /// Held by a client.
    Active,
    /// In the pool.
    Idle,
    /// Being cleaned or checked.
    Tested,
    /// Waiting for cancel requests to be through.
    BeingCanceled,
}

/// The connection.
#[derive(Debug)]
pub struct ServerConn {
    /// Its socket.
    pub stream: Stream,
    /// What is owed and in force on it.
    pub session: Server,
    /// Bytes read that are less than a frame.
    pub held: Vec<u8>,
    /// Bytes that the kernel did not take.
    pub backlog: Backlog,
    /// What others may see.
    pub shared: Rc<ServerShared>,
}

/// A connection on its way to another worker.
#[derive(Debug)]
pub struct Parcel {
    stream: Stream,
    session: Server,
    /// Bytes read that are less than a frame.
    held: Vec<u8>,
    facts: ServerFacts,
    request_time: Instant,
    close_needed: bool,
}

impl ServerConn {
    /// A connection that has just logged in.
    pub fn new(stream: Stream, session: Server, facts: ServerFacts) -> Self {
        let request_time = Cell::new(facts.since);
        let shared = ServerShared {
            facts,
            state: Cell::new(ServerState::Idle),
            link: Cell::new(None),
            request_time,
            prepared: Cell::new(0),
            cancels: Cell::new(0),
            was_cancelled: Cell::new(false),
            close_needed: Cell::new(false),
            bytes: Cell::default(),
        };
        Self {
            stream,
            session,
            held: Vec::new(),
            backlog: Backlog::default(),
            shared: Rc::new(shared),
        }
    }

    /// Its identity in the pool.
    pub fn conn(&self) -> ConnId {
        self.shared.facts.conn
    }

    /// Packs it for the way to another worker.
    ///
    /// # Errors
    /// From the operating system; the connection is lost.
    pub fn pack(mut self) -> std::io::Result<Parcel> {
        self.stream.detach()?;
        Ok(Parcel {
            stream: self.stream,
            session: self.session,
            held: self.held,
            facts: self.shared.facts.clone(),
            request_time: self.shared.request_time.get(),
            close_needed: self.shared.close_needed.get(),
        })
    }
}

impl Parcel {
    /// Takes it up on this worker.
    ///
    /// # Errors
    /// From the operating system; the connection is lost.
    pub fn unpack(mut self) -> std::io::Result<ServerConn> {
        self.stream.attach()?;
        let mut conn = ServerConn::new(self.stream, self.session, self.facts);
        conn.held = self.held;
        conn.shared.request_time.set(self.request_time);
        conn.shared.close_needed.set(self.close_needed);
        Ok(conn)
    }
}
