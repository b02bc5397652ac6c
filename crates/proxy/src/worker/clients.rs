//! A worker's table of clients.

use std::rc::Rc;

use pgweir_pool::ClientId;

use super::Worker;
use crate::client::{ClientShared, ClientState};
use crate::mail::{Kill, Whom};
use crate::place::{Peer, Place};

impl Worker {
    /// Gives a new client a place in the table.
    pub fn enroll(
        &self,
        peer: Peer,
        local: Option<std::net::SocketAddr>,
        fd: u32,
    ) -> Rc<ClientShared> {
        let mut clients = self.clients.borrow_mut();
        let entry = clients.vacant_entry();
        let generation = self.generation.get().wrapping_add(1);
        self.generation.set(generation);
        let place = Place {
            worker: self.id,
            slot: entry.key(),
            generation,
        };
        let client = Rc::new(ClientShared::new(
            place,
            self.shared.next_id(),
            peer,
            local,
            fd,
        ));
        entry.insert(Rc::clone(&client));
        client
    }

    /// Takes a client out of the table.
    pub fn strike(&self, client: &ClientShared) {
        self.clients.borrow_mut().remove(client.place.slot);
    }

    /// The client of an id, if it is still there.
    pub fn client(&self, id: ClientId) -> Option<Rc<ClientShared>> {
        let place = Place::of(id);
        let clients = self.clients.borrow();
        clients
            .get(place.slot)
            .filter(|client| client.place == place)
            .cloned()
    }

    /// The clients in a slot and every so many slots after it.
    pub fn clients_from(&self, slot: usize, step: usize) -> Vec<Rc<ClientShared>> {
        let clients = self.clients.borrow();
        // No client has a place beyond.
        let slots = (slot..clients.capacity()).step_by(step);
        slots
            .filter_map(|slot| clients.get(slot).cloned())
            .collect()
    }

    /// All clients.
    pub fn clients(&self) -> Vec<Rc<ClientShared>> {
        self.clients
            .borrow()
            .iter()
            .map(|(_, client)| Rc::clone(client))
            .collect()
    }

    /// Disconnects clients that do nothing.
    pub fn shut_down(&self) {
        for client in self.clients() {
            let busy = matches!(
                client.state.get(),
                ClientState::Active | ClientState::InTransaction
            );
            let console = client
                .login
                .borrow()
                .as_ref()
                .is_some_and(|login| login.console);
            if !busy && !console {
                client.kill(Kill::Shutdown);
            }
        }
    }

    /// Whether nothing more is to be read (SUSPEND).
    pub fn is_suspended(&self) -> bool {
        self.suspended.get()
    }

    /// SUSPEND begins, or ends.
    pub fn suspend(&self, suspended: bool) {
        self.suspended.set(suspended);
        for client in self.clients() {
            client.wake();
        }
    }

    /// How many clients have something on its way, to them or to their servers, that the kernel has
    /// not taken. With `end` they are disconnected.
    pub fn unsent(&self, end: bool) -> usize {
        let clients = self.clients();
        let unsent = clients.iter().filter(|client| {
            let link = client.link.borrow();
            let to_server = link.as_ref().map_or(0, |server| server.bytes.get().unsent);
            client.bytes.get().unsent + to_server > 0
        });
        let mut count = 0;
        for client in unsent {
            count += 1;
            if end {
                client.kill(Kill::Suspend);
            }
        }
        count
    }

    /// Disconnects clients; says how many.
    pub fn kill(&self, whom: &Whom, why: Kill) -> usize {
        let mut killed = 0;
        for client in self.clients() {
            let login = client.login.borrow().clone();
            let meant = match whom {
                Whom::Id(id) => client.id == *id,
                Whom::Database(None) => login.is_none_or(|login| !login.console),
                Whom::Database(Some(name)) => {
                    login.is_some_and(|login| !login.console && login.database == *name)
                }
            };
            if meant {
                client.kill(why);
                killed += 1;
            }
        }
        killed
    }
}
