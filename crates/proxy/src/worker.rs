//! A worker: one thread, one current-thread runtime, its clients and its server connections.
//!
//! A client and the server connection that it leases live on the same worker, so nothing between
//! them is shared. What concerns other workers is sent to them as [`Mail`]. Nothing here waits or
//! starts a task: what needs one is left to the worker's own mailbox, and `crew` sees to it.

mod clients;
mod delivery;

use std::cell::{Cell, RefCell};
use std::net::SocketAddr;
use std::rc::Rc;
use std::sync::Arc;
use std::task::{Context, Waker};
use std::time::Instant;

use hashbrown::HashMap;
use pgweir_config::Host;
use pgweir_pool::{
    Action, ConnId, Kind, Lease, Permit, PoolId, Pools, Refusal, Release, Take, WorkerId,
};
use pgweir_session::{Batch, Intents};
use slab::Slab;

use crate::client::ClientShared;
use crate::lease::{Guard, Leased, ReturnTo};
use crate::limits::Limits;
use crate::mail::Mail;
use crate::reading::{self, Scratch};
use crate::server::{ServerConn, ServerShared, ServerState};
use crate::shared::Shared;

/// The outcome of asking for a server connection.
#[derive(Debug)]
pub enum Taken {
    /// Here it is.
    Lease(Box<Leased>),
    /// It will come as a [`Grant`](crate::client::Grant).
    Waiting,
    /// There will be none.
    Refused(Refusal),
}

/// One worker's state; lives on its thread.
#[derive(Debug)]
pub struct Worker {
    /// Which one it is.
    pub id: WorkerId,
    /// What all workers have in common.
    pub shared: Arc<Shared>,
    /// Lent to one task at a time, for one pass without waiting.
    pub scratch: RefCell<Scratch>,
    /// For the leases that are held here.
    return_to: Rc<ReturnTo>,
    /// Whether nothing more is to be read.
    suspended: Cell<bool>,
    clients: RefCell<Slab<Rc<ClientShared>>>,
    generation: Cell<u32>,
    limits: RefCell<Rc<Limits>>,
    /// What statements want of a host, by database.
    intents: RefCell<HashMap<Arc<str>, Rc<Intents>>>,
    /// Idle connections that lie here.
    idle: RefCell<HashMap<ConnId, ServerConn, foldhash::fast::FixedState>>,
    /// Connections that are to be given back once all cancel requests to them are through.
    parked: RefCell<HashMap<ConnId, Box<Leased>, foldhash::fast::FixedState>>,
    /// All connections that are here, idle or held.
    servers: RefCell<HashMap<ConnId, Rc<ServerShared>, foldhash::fast::FixedState>>,
}

impl Worker {
    /// A worker with no clients.
    pub fn new(id: WorkerId, shared: Arc<Shared>) -> Rc<Self> {
        let config = shared.config.load_full();
        let buffer = vec![0; config.settings.pkt_buf.bytes() as usize];
        Rc::new(Self {
            return_to: Rc::new(ReturnTo {
                worker: id,
                shared: Arc::clone(&shared),
            }),
            limits: RefCell::new(Limits::of(config)),
            id,
            shared,
            scratch: RefCell::new(Scratch {
                buffer,
                to_server: Batch::new(),
                to_client: Batch::new(),
            }),
            suspended: Cell::new(false),
            clients: RefCell::default(),
            generation: Cell::new(0),
            intents: RefCell::default(),
            idle: RefCell::default(),
            parked: RefCell::default(),
            servers: RefCell::default(),
        })
    }

    /// The limits that workers need for each transaction.
    pub fn limits(&self) -> Rc<Limits> {
        Rc::clone(&self.limits.borrow())
    }

    /// Takes note of a changed configuration.
    pub fn refresh_limits(&self) {
        let config = self.shared.config.load();
        if !self.limits.borrow().is_of(&config) {
            *self.limits.borrow_mut() = Limits::of(Arc::clone(&config));
        }
    }

    /// What statements of a database want of a host.
    pub fn intents(&self, database: &Arc<str>) -> Rc<Intents> {
        let mut all = self.intents.borrow_mut();
        let new = || {
            let known = Arc::clone(&self.shared.routes.of(database).known);
            Intents::new(known, rand::random())
        };
        Rc::clone(all.entry(Arc::clone(database)).or_insert_with(new))
    }

    /// A connection that is no pool's, for SHOW SERVERS.
    pub fn register(&self, server: &Rc<ServerShared>) {
        self.servers
            .borrow_mut()
            .insert(server.facts.conn, Rc::clone(server));
    }

    /// It is closed.
    pub fn unregister(&self, server: &Rc<ServerShared>) {
        self.servers.borrow_mut().remove(&server.facts.conn);
    }

    /// Has connections of a database (all, if none is named) closed when they are given back.
    pub fn reconnect(&self, database: Option<&str>) {
        for server in self.servers.borrow().values() {
            if database.is_none_or(|name| *name == *server.facts.database) {
                server.close_needed.set(true);
            }
        }
    }

    /// Has connections closed that were made to a name when it had these addresses, as soon as nobody uses them.
    pub fn outdate(&self, name: &str, gone: &[SocketAddr], now: Instant) {
        let mut outdated = Vec::new();
        for server in self.servers.borrow().values() {
            let is_name = matches!(&server.facts.host, Host::Tcp { name: own, .. } if own == name);
            let address = server.facts.peer.map(|peer| peer.ip());
            let is_gone = address.is_some_and(|ip| gone.iter().any(|it| it.ip() == ip));
            if is_name && is_gone {
                server.close_needed.set(true);
                outdated.push(server.facts.conn);
            }
        }
        self.pools(|pools| pools.outdate(&outdated, now));
    }

    /// Does something with the pools, then what they ask for in return.
    pub fn pools<R>(&self, change: impl FnOnce(&mut Pools) -> R) -> R {
        let mut actions = smallvec::SmallVec::<[Action; 2]>::new();
        let result = {
            let mut pools = self.shared.pools.lock();
            let result = change(&mut pools);
            while let Some(action) = pools.next_action() {
                actions.push(action);
            }
            result
        };
        for action in actions {
            self.perform(action);
        }
        result
    }

    fn perform(&self, action: Action) {
        match action {
            Action::Open(permit) => self.open(permit),
            Action::Hand {
                client,
                to,
                ticket,
                lease,
            } => {
                let here = self.idle.borrow_mut().remove(&lease.conn());
                match here {
                    Some(conn) if to == self.id => {
                        let guard = self.guard(lease);
                        self.deliver(client, Some(ticket), Leased::new(conn, guard));
                    }
                    Some(conn) => self.ship(client, Some(ticket), lease, conn),
                    None if self.is_slot(&lease) => self.deliver_slot(client, to, ticket, lease),
                    None => {
                        let from = lease.worker();
                        self.shared.mail(
                            from,
                            Mail::Hand {
                                client,
                                ticket: Some(ticket),
                                lease,
                            },
                        );
                    }
                }
            }
            Action::Close {
                conn,
                worker,
                reason,
            } => {
                if worker == self.id {
                    self.close_idle(conn, reason);
                } else {
                    self.shared.mail(worker, Mail::Close { conn, reason });
                }
            }
            Action::Fail {
                client,
                to,
                ticket,
                why,
            } => {
                if to == self.id {
                    self.refuse(client, ticket, why);
                } else {
                    self.shared.mail(
                        to,
                        Mail::Refuse {
                            client,
                            ticket,
                            why,
                        },
                    );
                }
            }
        }
    }

    fn guard(&self, lease: Lease) -> Guard {
        Guard::new(lease, Rc::clone(&self.return_to))
    }

    /// Has a connection opened.
    fn open(&self, permit: Permit) {
        let kind = self.shared.pools.lock().key(permit.pool()).kind;
        match kind {
            // Only the slot is the pool's: its client connects by itself.
            Kind::Dedicated => self.pools(|pools| pools.opened(permit, Instant::now())),
            // By mail even to ourselves: connecting takes a task, and those are started above.
            Kind::Normal => self.shared.mail(permit.worker(), Mail::Open(permit)),
        }
    }

    /// Asks for a server connection.
    pub fn take(&self, pool: PoolId, client: &ClientShared, now: Instant) -> Taken {
        match self.pools(|pools| pools.take(pool, self.id, client.client_id(), now)) {
            Take::Lease(lease) => match self.idle.borrow_mut().remove(&lease.conn()) {
                Some(conn) => Taken::Lease(Box::new(Leased::new(conn, self.guard(lease)))),
                None => {
                    let from = lease.worker();
                    let client = client.client_id();
                    self.shared.mail(
                        from,
                        Mail::Hand {
                            client,
                            ticket: None,
                            lease,
                        },
                    );
                    Taken::Waiting
                }
            },
            Take::Wait(ticket) => {
                // The pool may have answered already, through an action.
                if client.grant.borrow().is_none() {
                    client.ticket.set(Some(ticket));
                }
                Taken::Waiting
            }
            Take::Refused(why) => Taken::Refused(why),
        }
    }

    /// Asks for a server connection of `pool`, or, if that is gone because a reload has sent the
    /// client's database elsewhere or nobody had used it for long, of the one that has taken its
    /// place, which `pool` is from then on.
    pub fn take_or_move(
        &self,
        pool: &mut PoolId,
        kind: Kind,
        client: &ClientShared,
        now: Instant,
    ) -> Taken {
        self.take_or(pool, client, now, || {
            let login = client.login.borrow().clone()?;
            self.shared.pool(&login.database, &login.user, kind)
        })
    }

    /// The same, where `successor` says which one has taken its place.
    pub fn take_or(
        &self,
        pool: &mut PoolId,
        client: &ClientShared,
        now: Instant,
        successor: impl FnOnce() -> Option<PoolId>,
    ) -> Taken {
        let taken = self.take(*pool, client, now);
        if !matches!(taken, Taken::Refused(Refusal::Removed)) {
            return taken;
        }
        let Some(successor) = successor() else {
            return taken;
        };
        *pool = successor;
        self.take(successor, client, now)
    }

    /// Gives a clean connection back.
    pub fn give_back(&self, leased: Leased, now: Instant) {
        let (conn, guard) = leased.split();
        let shared = &conn.shared;
        shared.link.set(None);
        shared.state.set(ServerState::Idle);
        shared.prepared.set(conn.session.prepared() as u32);
        // One that is due for a check still is if nobody has used it meanwhile.
        let how = if guard.check() {
            Release::Unused
        } else {
            Release::Clean
        };
        let (id, lease) = (conn.conn(), guard.into_lease());
        if shared.close_needed.get() {
            self.close(conn, lease, "database configuration changed", now);
            return;
        }
        self.idle.borrow_mut().insert(id, conn);
        self.pools(|pools| pools.release(lease, how, now));
    }

    /// Keeps a connection from everybody, while cancel requests are on their way to it.
    pub fn park(&self, leased: Box<Leased>) {
        let conn = leased.conn.conn();
        self.parked.borrow_mut().insert(conn, leased);
    }

    /// The connection, if it was parked.
    pub fn unpark(&self, conn: ConnId) -> Option<Box<Leased>> {
        self.parked.borrow_mut().remove(&conn)
    }

    /// Closes a connection that somebody holds.
    pub fn discard(&self, leased: Leased, reason: &'static str, now: Instant) {
        let (conn, guard) = leased.split();
        self.close(conn, guard.into_lease(), reason, now);
    }

    fn close(&self, conn: ServerConn, lease: Lease, reason: &'static str, now: Instant) {
        self.forget(conn, reason);
        self.pools(|pools| pools.release(lease, Release::Close(reason), now));
    }

    /// A connection that was just opened.
    pub fn opened(&self, conn: ServerConn, permit: Permit, now: Instant) {
        let id = conn.conn();
        self.servers
            .borrow_mut()
            .insert(id, Rc::clone(&conn.shared));
        self.idle.borrow_mut().insert(id, conn);
        self.pools(|pools| pools.opened(permit, now));
    }

    /// Closes a connection that lies here.
    pub fn close_idle(&self, conn: ConnId, reason: &'static str) {
        let conn = self.idle.borrow_mut().remove(&conn);
        if let Some(conn) = conn {
            self.forget(conn, reason);
        }
    }

    /// Says goodbye to the server, if it listens, and closes the socket.
    fn forget(&self, mut conn: ServerConn, reason: &str) {
        crate::report::server_closed(&self.shared, &conn.shared.facts, reason);
        self.servers.borrow_mut().remove(&conn.conn());
        if conn.backlog.is_empty() && conn.session.at_boundary() {
            let mut cx = Context::from_waker(Waker::noop());
            let mut terminate = Vec::new();
            pgweir_wire::encode::terminate(&mut terminate);
            drop(conn.stream.poll_write(&mut cx, &terminate));
            drop(conn.stream.poll_flush(&mut cx));
        }
    }

    /// Looks after idle connections: those that the server has closed are dropped, and what the
    /// others were told (a changed setting, a notice) is taken note of.
    pub fn check_idle(&self, now: Instant) {
        let mut dead = Vec::new();
        {
            let mut scratch = self.scratch.borrow_mut();
            let scratch = &mut *scratch;
            let mut cx = Context::from_waker(Waker::noop());
            for (id, conn) in self.idle.borrow_mut().iter_mut() {
                if let Err(reason) = reading::drain_idle(conn, &mut cx, scratch) {
                    dead.push((*id, reason));
                }
            }
        }
        for (id, reason) in dead {
            if self.pools(|pools| pools.lost(id, now)) {
                self.close_idle(id, reason);
            }
        }
    }

    /// All server connections that are here.
    pub fn servers(&self) -> Vec<Rc<ServerShared>> {
        self.servers.borrow().values().cloned().collect()
    }
}
