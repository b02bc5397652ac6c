//! Connections on their way to the clients that get them, here and on other workers.

use std::rc::Rc;
use std::sync::Arc;
use std::task::{Context, Waker};
use std::time::Instant;

use pgweir_pool::{ClientId, Kind, Lease, Refusal, Release, Ticket, WorkerId};

use super::Worker;
use crate::client::{ClientShared, ClientState, Grant};
use crate::cluster::Cluster;
use crate::lease::Leased;
use crate::mail::{Kill, Mail};
use crate::place::Place;
use crate::reading;
use crate::server::{Parcel, ServerConn};

impl Worker {
    /// Sends a connection that lies here to a client of another worker.
    pub fn send_off(&self, client: ClientId, ticket: Option<Ticket>, lease: Lease) {
        let conn = self.idle.borrow_mut().remove(&lease.conn());
        match conn {
            Some(conn) => self.ship(client, ticket, lease, conn),
            None => {
                let to = Place::of(client).worker;
                self.shared.mail(
                    to,
                    Mail::Arrive {
                        client,
                        ticket,
                        lease,
                        parcel: None,
                    },
                );
            }
        }
    }

    /// Sends a connection to a client of another worker.
    pub(super) fn ship(
        &self,
        client: ClientId,
        ticket: Option<Ticket>,
        lease: Lease,
        conn: ServerConn,
    ) {
        self.servers.borrow_mut().remove(&conn.conn());
        let mut conn = conn;
        // Looked at here: the other worker's runtime knows nothing of the socket at first.
        let mut cx = Context::from_waker(Waker::noop());
        let alive = reading::is_alive(&mut conn, &mut cx);
        let parcel = if alive {
            conn.pack().ok().map(Box::new)
        } else {
            None
        };
        let to = Place::of(client).worker;
        self.shared.mail(
            to,
            Mail::Arrive {
                client,
                ticket,
                lease,
                parcel,
            },
        );
    }

    /// A connection has come from another worker.
    pub fn arrive(
        &self,
        client: ClientId,
        ticket: Option<Ticket>,
        lease: Lease,
        parcel: Option<Box<Parcel>>,
    ) {
        match parcel.map(|parcel| parcel.unpack()) {
            Some(Ok(conn)) => {
                self.servers
                    .borrow_mut()
                    .insert(conn.conn(), Rc::clone(&conn.shared));
                self.deliver(client, ticket, Leased::new(conn, self.guard(lease)));
            }
            _ => {
                // Lost on the way: the slot is free again, and the client asks once more.
                let lost = Release::Close("lost");
                self.pools(|pools| pools.release(lease, lost, Instant::now()));
                self.retry(client);
            }
        }
    }

    /// Has a client that waited for a lost connection ask again.
    fn retry(&self, client: ClientId) {
        if let Some(client) = self.client(client) {
            client.ticket.set(None);
            *client.grant.borrow_mut() = Some(Grant::Again);
            client.wake();
        }
    }

    /// Gives a connection to a client of this worker.
    pub(super) fn deliver(&self, client: ClientId, ticket: Option<Ticket>, leased: Leased) {
        if let Some(client) = self.client(client)
            && client.awaits(ticket)
        {
            client.ticket.set(None);
            client.grant.replace(Some(Grant::Lease(Box::new(leased))));
            client.wake();
            return;
        }
        // The client has left meanwhile.
        self.give_back(leased, Instant::now());
    }

    /// Whether a lease is for a connection that the client opens itself.
    pub(super) fn is_slot(&self, lease: &Lease) -> bool {
        self.shared.pools.lock().key(lease.pool()).kind == Kind::Dedicated
    }

    /// Gives a client the slot of a connection that it opens itself.
    pub fn deliver_slot(&self, client: ClientId, to: WorkerId, ticket: Ticket, lease: Lease) {
        if to != self.id {
            let mail = Mail::Slot {
                client,
                ticket,
                lease,
            };
            self.shared.mail(to, mail);
            return;
        }
        let guard = self.guard(lease);
        if let Some(client) = self.client(client)
            && client.awaits(Some(ticket))
        {
            client.ticket.set(None);
            client.grant.replace(Some(Grant::Slot(guard)));
            client.wake();
        }
        // Otherwise the client has left meanwhile, and the guard gives the slot back.
    }

    /// Tells a client that waits that there will be nothing.
    pub fn refuse(&self, client: ClientId, ticket: Ticket, why: Refusal) {
        if let Some(client) = self.client(client)
            && client.awaits(Some(ticket))
        {
            client.ticket.set(None);
            *client.grant.borrow_mut() = Some(Grant::Refused(why));
            client.wake();
        }
    }

    /// Hosts of a cluster have become something else: who waits for one of them asks anew.
    pub fn rerouted(&self, cluster: &Arc<Cluster>, now: Instant) {
        for client in self.clients() {
            let is_its = |own: &Arc<Cluster>| Arc::ptr_eq(own, cluster);
            let is_its = client.cluster.borrow().as_ref().is_some_and(is_its);
            if is_its && cluster.is_retired() {
                // Those in the middle of something do not ask before its end, and are to hear of its successor.
                let login = client.login.borrow().clone();
                let config = self.shared.config.load();
                let next = login.and_then(|it| self.shared.cluster_of(&config, &it.database));
                *client.cluster.borrow_mut() = next;
            }
            if is_its && is_fenced(&client, cluster) {
                client.kill(Kill::Fenced);
                continue;
            }
            let waits = client.state.get() == ClientState::Waiting;
            if !is_its || !waits || client.grant.borrow().is_some() {
                continue;
            }
            let is_held = client.held.borrow().is_some();
            if is_held || self.withdraw(&client, now) {
                *client.grant.borrow_mut() = Some(Grant::Again);
                client.wake();
            }
        }
    }

    /// The client does not want to wait any longer. `false`: what it waits for is on its way.
    pub fn withdraw(&self, client: &ClientShared, now: Instant) -> bool {
        if client.held.take().is_some() {
            return true;
        }
        let Some(ticket) = client.ticket.get() else {
            return false;
        };
        let left = self.pools(|pools| pools.leave(ticket, now));
        if left {
            client.ticket.set(None);
        }
        left
    }

    /// The client stops waiting, or goes: what was granted to it goes back.
    pub fn leave(&self, client: &ClientShared, now: Instant) {
        client.held.take();
        if let Some(ticket) = client.ticket.take() {
            self.pools(|pools| pools.leave(ticket, now));
        }
        if let Some(Grant::Lease(leased)) = client.grant.take() {
            self.give_back(*leased, now);
        }
    }
}

/// Whether a client holds a connection of a host to which nothing may be written any more.
fn is_fenced(client: &ClientShared, cluster: &Cluster) -> bool {
    let link = client.link.borrow();
    let host = link.as_ref().map(|server| server.facts.host.to_string());
    let host = host.and_then(|name| cluster.host(&name));
    host.is_some_and(|host| cluster.topology(|topology| topology.is_fenced(host)))
}
