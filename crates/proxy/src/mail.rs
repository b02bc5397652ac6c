//! What the threads of the process ask of each other.

use std::net::SocketAddr;
use std::sync::Arc;

use pgweir_admin::{ConnectionRow, Notice};
use pgweir_pool::{ClientId, ConnId, Lease, Permit, Refusal, Ticket};
use tokio::sync::oneshot;

use crate::admission::Newcomer;
use crate::cluster::Cluster;
use crate::place::Peer;
use crate::server::Parcel;
use crate::stream::Socket;

/// What one worker asks of another.
#[derive(Debug)]
pub enum Mail {
    /// Accept connections.
    Listen(Sockets),
    /// A connection was accepted and is this worker's to serve.
    Accept(Accepted),
    /// Open a server connection.
    Open(Permit),
    /// Send the connection of this lease, which lies here, to a client elsewhere.
    Hand {
        /// Who gets it.
        client: ClientId,
        /// Its place in the queue, if it stood in one.
        ticket: Option<Ticket>,
        /// The lease.
        lease: Lease,
    },
    /// A connection arrives for a client.
    Arrive {
        /// Who gets it.
        client: ClientId,
        /// Its place in the queue, if it stood in one.
        ticket: Option<Ticket>,
        /// The lease.
        lease: Lease,
        /// The connection; none if it was lost on the way.
        parcel: Option<Box<Parcel>>,
    },
    /// A client gets the slot of a connection that it opens itself.
    Slot {
        /// Who gets it.
        client: ClientId,
        /// The place in the queue that it had.
        ticket: Ticket,
        /// The lease.
        lease: Lease,
    },
    /// A client that waits will get nothing.
    Refuse {
        /// Who.
        client: ClientId,
        /// Its place in the queue.
        ticket: Ticket,
        /// Why.
        why: Refusal,
    },
    /// Close an idle connection.
    Close {
        /// Which.
        conn: ConnId,
        /// Why.
        reason: &'static str,
    },
    /// Somebody asks to cancel the query of a client that may be here.
    Cancel {
        /// The process id in its key, which says which client.
        pid: u32,
        /// The rest of its key.
        key: Vec<u8>,
        /// Told when the request has been passed on; dropped if no client here has the key.
        done: oneshot::Sender<()>,
    },
    /// A name has these addresses no longer: connections to them are to be closed.
    Outdate {
        /// The name.
        name: Arc<str>,
        /// The addresses; their ports say nothing.
        gone: Arc<[std::net::SocketAddr]>,
    },
    /// For the console: what there is on this worker.
    View(oneshot::Sender<WorkerView>),
    /// Disconnect clients.
    Kill {
        /// Which.
        whom: Whom,
        /// Why.
        why: Kill,
        /// Answered with how many there were.
        reply: oneshot::Sender<usize>,
    },
    /// Mark connections of a database (all, if none is named) to be closed when given back.
    Reconnect(Option<Arc<str>>),
    /// SUSPEND begins, or ends.
    Suspend(bool),
    /// How many clients have bytes on their way that the kernel has not taken?
    Unsent {
        /// Whether these are to be disconnected.
        drop: bool,
        /// Answered with how many there are.
        reply: oneshot::Sender<usize>,
    },
    /// Ask the hosts of a cluster what they are, again and again.
    Watch(Arc<Cluster>),
    /// Hosts of a cluster have become something else: clients that wait for one ask anew.
    Rerouted(Arc<Cluster>),
    /// Do what the pools ask for: somebody without a worker changed them.
    Settle,
    /// Disconnect clients that do nothing, and each of the others when its transaction ends.
    ShutDown,
    /// End the thread: whatever is still connected is dropped.
    Stop,
}

/// Which clients are meant.
#[derive(Debug, Clone)]
pub enum Whom {
    /// The one with this number.
    Id(u64),
    /// Those of one database, or all that do not talk to the console.
    Database(Option<Arc<str>>),
}

/// Listening sockets, not watched by any runtime.
#[derive(Debug)]
pub struct Sockets {
    /// Of TCP.
    pub tcp: Vec<std::net::TcpListener>,
    /// In the file system.
    pub unix: Vec<std::os::unix::net::UnixListener>,
}

/// A connection that was just accepted, on its way to its worker.
#[derive(Debug)]
pub struct Accepted {
    /// Watched by the worker's runtime, or by none.
    pub socket: Socket,
    /// Who it is.
    pub peer: Peer,
    /// Our end of it.
    pub local: Option<SocketAddr>,
    /// Until it has logged in.
    pub newcomer: Newcomer,
}

/// Why a client is to be disconnected, from outside its task.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Kill {
    /// KILL_CLIENT.
    Admin,
    /// KILL, or the database is gone from the configuration.
    DatabaseRemoved,
    /// `server_fast_close`.
    FastClose,
    /// `suspend_timeout`.
    Suspend,
    /// `client_idle_timeout`.
    ClientIdle,
    /// `query_timeout`.
    Query,
    /// The same, for a query that still waits for a server connection.
    QueryInQueue,
    /// `transaction_timeout`.
    Transaction,
    /// `idle_transaction_timeout`.
    IdleTransaction,
    /// Its server connection is one of a host that is the primary no longer.
    Fenced,
    /// The pooler goes down, and the client does nothing.
    Shutdown,
}

/// Clients and server connections of one worker.
#[derive(Debug, Default)]
pub struct WorkerView {
    /// For SHOW CLIENTS.
    pub clients: Vec<ConnectionRow>,
    /// For SHOW SERVERS.
    pub servers: Vec<ConnectionRow>,
}

/// What the console asks of the main thread.
#[derive(Debug)]
pub enum Order {
    /// RELOAD: answered when it is done.
    Reload(oneshot::Sender<Answer>),
    /// SET: answered when it is done.
    Set {
        /// Which setting.
        key: String,
        /// Its new value.
        value: String,
        /// Answered with the mistake, if it is one.
        reply: oneshot::Sender<Answer>,
    },
    /// SHUTDOWN.
    Shutdown(Shutdown),
}

/// What is to be said about an order that was carried out, or why it was not.
pub type Answer = Result<Vec<Notice>, String>;

/// How to go down.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Shutdown {
    /// At once.
    Now,
    /// When no server connection is in use any more.
    WaitForServers,
    /// When the last client has left.
    WaitForClients,
}
