//! What a worker knows about each of its clients, apart from the task that serves it.

use std::cell::{Cell, RefCell};
use std::net::SocketAddr;
use std::rc::Rc;
use std::sync::Arc;
use std::task::{Context, Waker};
use std::time::Instant;

use jiff::Timestamp;
use pgweir_pool::{ClientId, Refusal, Ticket};
use pgweir_route::topology::NoPrimary;
use pgweir_session::Target;

use crate::cluster::{Cluster, Held};
use crate::lease::{Guard, Leased};
use crate::mail::Kill;
use crate::place::{OnTheWay, Peer, Place};
use crate::server::ServerShared;

/// The states of SHOW CLIENTS.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum ClientState {
    /// Not logged in yet.
    Login,
    /// Nothing going on.
    Idle,
    /// In the queue for a server connection.
    Waiting,
    /// Holds a server connection and is in a query.
    Active,
    /// Holds a server connection whose transaction waits for the client.
    InTransaction,
}

/// Of the notice that a client waits for a server connection (`query_wait_notify`).
#[derive(Debug, Clone, Copy, PartialEq, Eq, Default)]
pub enum QueueNotice {
    /// It is not time yet.
    #[default]
    None,
    /// To be sent.
    Due,
    /// Sent.
    Sent,
}

/// What has come for a client from elsewhere.
#[derive(Debug)]
pub enum Grant {
    /// A server connection.
    Lease(Box<Leased>),
    /// A slot of the pool, for a connection that the client opens itself (replication).
    Slot(Guard),
    /// There will be none.
    Refused(Refusal),
    /// It was lost on the way, or another one may do: ask again.
    Again,
    /// No host may serve it, and it has waited for long enough.
    NoHost(NoPrimary),
}

/// One client's entry in its worker's table.
#[derive(Debug)]
pub struct ClientShared {
    /// Where it is.
    pub place: Place,
    /// Number shown as `id` by SHOW CLIENTS.
    pub id: u64,
    /// Where it comes from.
    pub peer: Peer,
    /// Our end of its connection.
    pub local: Option<SocketAddr>,
    /// File descriptor of its socket.
    pub fd: u32,
    /// When it connected.
    pub since_time: Timestamp,
    /// Monotonic twin of `since_time`.
    pub connected: Instant,
    /// Set at login.
    pub login: RefCell<Option<Rc<Login>>>,
    /// What it is doing.
    pub state: Cell<ClientState>,
    /// Since when it has been in that state.
    pub since: Cell<Instant>,
    /// When the transaction under way began.
    pub transaction_since: Cell<Option<Instant>>,
    /// Last request.
    pub request_time: Cell<Instant>,
    /// The server connection that it holds.
    pub link: RefCell<Option<Rc<ServerShared>>>,
    /// How its cancel key was made.
    pub key: Cell<Made>,
    /// Its prepared statements.
    pub prepared: Cell<u32>,
    /// Place in the queue.
    pub ticket: Cell<Option<Ticket>>,
    /// Whether a server connection is on its way without a ticket (from another worker).
    pub grant: RefCell<Option<Grant>>,
    /// The cluster that its database lies on.
    pub cluster: RefCell<Option<Arc<Cluster>>>,
    /// It waits because no host of that cluster may serve it, and has no place in any queue.
    pub held: RefCell<Option<Held>>,
    /// It is not read while it waits, since it has sent too much: somebody must look whether it is
    /// still there.
    pub is_full: Cell<bool>,
    /// What of it is on its way.
    pub bytes: Cell<OnTheWay>,
    /// Whether it has been told that it waits; until it was, whether it is to be.
    pub queue_notice: Cell<QueueNotice>,
    /// A cancel request has come for what it waits for.
    cancelled: Cell<bool>,
    /// Set to have it disconnected.
    pub kill: Cell<Option<Kill>>,
    /// Its task.
    waker: RefCell<Option<Waker>>,
}

/// How a client's cancel key was made.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Default)]
pub struct Made {
    /// Length of its secret, in bytes. 0: there is none yet.
    pub len: u8,
    /// The `peer_id` in it. 0: it has none.
    pub peer: u16,
}

/// What the login settled.
#[derive(Debug)]
pub struct Login {
    /// Database, as the client named it.
    pub database: Arc<str>,
    /// User, as the client named it.
    pub user: Arc<str>,
    /// TLS version and cipher suite, or nothing.
    pub tls: String,
    /// `none`, `physical` or `logical`.
    pub replication: &'static str,
    /// Its `application_name` at login.
    pub application_name: String,
    /// Whether it talks to the console.
    pub console: bool,
    /// Which hosts of a cluster it asks for, if it says so.
    pub target: Option<Target>,
}

impl ClientShared {
    /// A client that has just connected.
    pub fn new(place: Place, id: u64, peer: Peer, local: Option<SocketAddr>, fd: u32) -> Self {
        let now = Instant::now();
        Self {
            place,
            id,
            peer,
            local,
            fd,
            since_time: Timestamp::now(),
            connected: now,
            login: RefCell::new(None),
            state: Cell::new(ClientState::Login),
            since: Cell::new(now),
            transaction_since: Cell::new(None),
            request_time: Cell::new(now),
            link: RefCell::new(None),
            key: Cell::default(),
            prepared: Cell::new(0),
            ticket: Cell::new(None),
            grant: RefCell::new(None),
            cluster: RefCell::new(None),
            held: RefCell::new(None),
            is_full: Cell::new(false),
            bytes: Cell::default(),
            queue_notice: Cell::default(),
            cancelled: Cell::new(false),
            kill: Cell::new(None),
            waker: RefCell::new(None),
        }
    }

    /// Its database lies on this cluster.
    pub fn is_of(&self, cluster: &Arc<Cluster>) {
        let mut known = self.cluster.borrow_mut();
        if known.as_ref().is_none_or(|it| !Arc::ptr_eq(it, cluster)) {
            *known = Some(Arc::clone(cluster));
        }
    }

    /// The id by which pools and workers know it.
    pub fn client_id(&self) -> ClientId {
        self.place.id()
    }

    /// Enters a state.
    pub fn enter(&self, state: ClientState, now: Instant) {
        if self.state.get() != state {
            self.state.set(state);
            self.since.set(now);
            // They were about the wait that is over.
            self.cancelled.set(false);
            self.is_full.set(false);
            self.queue_notice.set(QueueNotice::None);
            if state != ClientState::Waiting {
                self.held.take();
            }
        }
    }

    /// A request has gone to its server.
    pub fn asked(&self, now: Instant) {
        self.request_time.set(now);
        self.enter(ClientState::Active, now);
        if self.transaction_since.get().is_none() {
            self.transaction_since.set(Some(now));
        }
    }

    /// Whether what a ticket stands for is to be given to this client; no ticket: a connection
    /// that was its own when it asked, and lay elsewhere.
    pub fn awaits(&self, ticket: Option<Ticket>) -> bool {
        // The client's is not set yet when the pool answers within `take`.
        let expected = self.ticket.get();
        self.grant.borrow().is_none()
            && (expected.is_none() || ticket.is_none() || expected == ticket)
    }

    /// Remembers the task that is to be woken.
    pub fn register(&self, cx: &Context<'_>) {
        let mut waker = self.waker.borrow_mut();
        match &mut *waker {
            Some(waker) if waker.will_wake(cx.waker()) => {}
            waker => *waker = Some(cx.waker().clone()),
        }
    }

    /// Has the task look at `grant` and `kill`.
    pub fn wake(&self) {
        if let Some(waker) = &*self.waker.borrow() {
            waker.wake_by_ref();
        }
    }

    /// Has the client give up what it waits for: a server connection, or the end of a command.
    /// Who does not wait is not disturbed.
    pub fn cancel(&self) {
        if self.state.get() == ClientState::Waiting {
            self.cancelled.set(true);
            self.wake();
        }
    }

    /// Whether it is to give up what it waits for; says so once.
    pub fn is_cancelled(&self) -> bool {
        self.cancelled.take()
    }

    /// Has the client disconnected.
    pub fn kill(&self, why: Kill) {
        if self.kill.get().is_none() {
            self.kill.set(Some(why));
            self.wake();
        }
    }
}
