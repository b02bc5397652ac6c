//! Cancel requests.
//!
//! A client's key says which client it is: worker and slot are its process id, and the secret is
//! derived from the client's id, so that no table is needed. A request is passed on while
//! that client holds a server connection, over TLS where that connection is, and until it is
//! through the connection is given to nobody else. A client that waits for one, or for a command of
//! the console, gives up waiting.

use std::rc::Rc;

use hmac::{Hmac, KeyInit, Mac};
use pgweir_pool::ClientId;
use pgweir_wire::{encode, startup};
use sha2::Sha256;
use subtle::ConstantTimeEq;
use tokio::sync::oneshot;

use crate::client::ClientShared;
use crate::connect::cancel_request;
use crate::giveback;
use crate::lease::Leased;
use crate::mail::Mail;
use crate::place::Place;
use crate::server::ServerShared;
use crate::worker::Worker;

/// Length of the secret for clients of protocol 3.2; older ones get the first four bytes.
const SECRET_LEN: usize = 32;

/// The secret of a client's cancel key.
fn secret(process_secret: &[u8; 32], client: ClientId) -> [u8; SECRET_LEN] {
    let mut mac =
        Hmac::<Sha256>::new_from_slice(process_secret).expect("HMAC takes keys of any length");
    mac.update(b"cancel key");
    mac.update(&client.0.to_be_bytes());
    mac.finalize().into_bytes().into()
}

/// Gives a client its cancel key.
pub fn backend_key(worker: &Worker, client: &ClientShared, version: u32, out: &mut Vec<u8>) {
    let id = client.client_id();
    let secret = secret(&worker.shared.process_secret, id);
    let len = if version >= startup::PROTOCOL_3_2 {
        secret.len()
    } else {
        4
    };
    client.key_len.set(len as u8);
    encode::backend_key(id.0 as u32, &secret[..len], out);
}

/// A cancel request came in on some worker: the client's own worker judges it.
///
/// Comes back when it has been passed on, or ignored.
pub async fn handle(worker: &Rc<Worker>, pid: u32, key: &[u8]) {
    let place = Place::of_pid(pid);
    if usize::from(place.worker.0) >= worker.shared.workers() {
        return;
    }
    let (done, wait) = oneshot::channel();
    worker.shared.mail(
        place.worker,
        Mail::Cancel {
            place,
            key: key.to_vec(),
            done,
        },
    );
    // An error means that the sender was dropped: through, or ignored.
    let _ = wait.await;
}

/// Passes a request on to the server that the client's query runs on.
pub fn pass_on(worker: &Rc<Worker>, place: Place, key: &[u8], done: oneshot::Sender<()>) {
    let Some(client) = worker.client_in(place.slot) else {
        return;
    };
    let secret = secret(&worker.shared.process_secret, client.client_id());
    let expected = &secret[..usize::from(client.key_len.get())];
    if expected.is_empty() || !bool::from(expected.ct_eq(key)) {
        return;
    }
    let Some(server) = client.link.borrow().clone() else {
        return client.cancel();
    };
    server.was_cancelled.set(true);
    let under_way = UnderWay::new(Rc::clone(worker), server);
    tokio::task::spawn_local(async move {
        cancel_request::send(&under_way.worker, &under_way.server.facts).await;
        drop(done);
        let worker = Rc::clone(&under_way.worker);
        if let Some(leased) = under_way.through() {
            giveback::unpark(&worker, leased);
        }
    });
}

/// A request on its way to a connection, which is kept from others until it is through.
struct UnderWay {
    worker: Rc<Worker>,
    server: Rc<ServerShared>,
}

impl UnderWay {
    fn new(worker: Rc<Worker>, server: Rc<ServerShared>) -> Self {
        server.cancels.set(server.cancels.get() + 1);
        Self { worker, server }
    }

    /// It is through: the connection, if it was parked and this was the last.
    fn through(self) -> Option<Box<Leased>> {
        if self.server.cancels.get() > 1 {
            return None;
        }
        self.worker.unpark(self.server.facts.conn)
    }
}

impl Drop for UnderWay {
    fn drop(&mut self) {
        let others = self.server.cancels.get() - 1;
        self.server.cancels.set(others);
        if others == 0 {
            // Still parked if the task has died: nobody knows what became of the request.
            drop(self.worker.unpark(self.server.facts.conn));
        }
    }
}
