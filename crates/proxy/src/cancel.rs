//! Cancel requests.
//!
//! A client's key says which client it is: worker and slot are its process id, and the secret is
//! derived from the client's id, so that no table is needed. Among [`peers`] the process id also says whose
//! client it is, and has less room for the slot. A request is passed on while
//! that client holds a server connection, over TLS where that connection is, and until it is
//! through the connection is given to nobody else. A client that waits for one, or for a command of
//! the console, gives up waiting.

use std::rc::Rc;
use std::sync::atomic::Ordering::Relaxed;

use hmac::{Hmac, KeyInit, Mac};
use pgweir_pool::{ClientId, WorkerId};
use pgweir_wire::{encode, startup};
use sha2::Sha256;
use subtle::ConstantTimeEq;
use tokio::sync::oneshot;

use crate::client::{ClientShared, Made};
use crate::connect::cancel_request;
use crate::giveback;
use crate::lease::Leased;
use crate::mail::Mail;
use crate::peers;
use crate::place::Place;
use crate::server::ServerShared;
use crate::worker::Worker;

/// Length of the secret for clients of protocol 3.2; older ones get the first four bytes.
const SECRET_LEN: usize = 32;

/// A client's cancel key: process id and secret, of which the first bytes count, as many as were made.
fn key(process_secret: &[u8; 32], client: ClientId, made: Made) -> (u32, [u8; SECRET_LEN]) {
    let mut mac =
        Hmac::<Sha256>::new_from_slice(process_secret).expect("HMAC takes keys of any length");
    mac.update(b"cancel key");
    mac.update(&client.0.to_be_bytes());
    let mut secret: [u8; SECRET_LEN] = mac.finalize().into_bytes().into();
    if made.peer == 0 {
        return (client.0 as u32, secret);
    }
    secret[3] |= peers::TTL;
    let [slot_low, slot_high, ..] = Place::of(client).slot.to_le_bytes();
    let [peer_low, peer_high] = made.peer.to_le_bytes();
    // Drivers print it as a signed number.
    let pid = [slot_high & 0x7F, peer_low, peer_high, slot_low];
    (u32::from_be_bytes(pid), secret)
}

/// Slots that look the same in the process id of a peer's key lie this far apart.
const PEER_SLOTS: usize = 1 << 15;

/// The slot in such a process id, or the first of those that look the same.
fn peer_slot(pid: u32) -> usize {
    let [high, _, _, low] = pid.to_be_bytes();
    usize::from(high & 0x7F) << 8 | usize::from(low)
}

/// Gives a client its cancel key.
pub fn backend_key(worker: &Worker, client: &ClientShared, version: u32, out: &mut Vec<u8>) {
    let len = if version >= startup::PROTOCOL_3_2 {
        SECRET_LEN
    } else {
        4
    };
    let made = Made {
        len: len as u8,
        peer: worker.shared.config.load().settings.peer_id,
    };
    client.key.set(made);
    let (pid, secret) = key(&worker.shared.process_secret, client.client_id(), made);
    encode::backend_key(pid, &secret[..len], out);
}

/// A cancel request came in on some worker: the client's own worker judges it, or another process.
///
/// Comes back when it has been passed on, or ignored, with what became of it.
pub async fn handle(worker: &Rc<Worker>, pid: u32, key: &[u8]) -> &'static str {
    worker.shared.cancel_requests.fetch_add(1, Relaxed);
    let mut answers = Vec::new();
    for to in 0..worker.shared.workers() {
        let (done, answer) = oneshot::channel();
        let key = key.to_vec();
        let mail = Mail::Cancel { pid, key, done };
        worker.shared.mail(WorkerId(to as u16), mail);
        answers.push(answer);
    }
    let mut found = false;
    for answer in answers {
        found |= answer.await.is_ok();
    }
    let own = worker.shared.config.load().settings.peer_id;
    if found {
        return "cancel request";
    }
    if own == 0 || own == peers::id_of(pid) {
        return "failed cancel request";
    }
    match forward(worker, pid, key).await {
        Ok(()) => "cancel request",
        Err(why) => why,
    }
}

/// Passes a request on to the process that its key names.
///
/// # Errors
/// Why it was not, in PgBouncer's words.
async fn forward(worker: &Rc<Worker>, pid: u32, key: &[u8]) -> Result<(), &'static str> {
    let id = peers::id_of(pid);
    let mut key = key.to_vec();
    match key.get_mut(3) {
        Some(last) if *last & peers::TTL > 0 => *last -= 1,
        _ => return Err("failed to forward cancel request because its TTL was exhausted"),
    }
    let config = || worker.shared.config.load();
    let host = config().peers.get(&id).and_then(|peer| peer.address().ok());
    let Some(host) = host else {
        return Err("could not find peer to forward request to");
    };
    let requests = worker.shared.peers.requests(id);
    let sent = tokio::time::timeout(worker.limits().cancel_timeout, async {
        let mut place = requests.enter(|| peers::size(&config(), id)).await;
        let stream = cancel_request::to_peer(worker, &host).await?;
        place.sent();
        cancel_request::write(stream, pid, &key).await
    });
    match sent.await {
        Ok(Ok(())) => Ok(()),
        Ok(Err(error)) => {
            tracing::warn!(peer_id = id, %host, %error, "cancel request to peer failed");
            Err("failed to send cancel request")
        }
        Err(_) => {
            tracing::warn!(peer_id = id, %host, "cancel request to peer timed out");
            Err("cancel_wait_timeout")
        }
    }
}

/// The client whose key it is, if it is one of this worker's.
fn find(worker: &Worker, pid: u32, key_sent: &[u8]) -> Option<Rc<ClientShared>> {
    let place = Place::of_pid(pid);
    let plain = (place.worker == worker.id).then_some(place.slot);
    let plain = plain
        .into_iter()
        .flat_map(|slot| worker.clients_from(slot, usize::MAX));
    let of_peers = worker.clients_from(peer_slot(pid), PEER_SLOTS);
    plain.chain(of_peers).find(|client| {
        let made = client.key.get();
        let (own_pid, secret) = key(&worker.shared.process_secret, client.client_id(), made);
        let secret = &secret[..usize::from(made.len)];
        let mut sent = key_sent.to_vec();
        if let Some(last) = sent.get_mut(3).filter(|_| made.peer != 0) {
            // How often it was passed on says nothing.
            *last |= peers::TTL;
        }
        !secret.is_empty() && own_pid == pid && bool::from(secret.ct_eq(&sent))
    })
}

/// Passes a request on to the server that the query of a client here runs on.
pub fn pass_on(worker: &Rc<Worker>, pid: u32, key: &[u8], done: oneshot::Sender<()>) {
    let Some(client) = find(worker, pid, key) else {
        return;
    };
    let Some(server) = client.link.borrow().clone() else {
        client.cancel();
        // Who asked may be gone.
        let _ = done.send(());
        return;
    };
    server.was_cancelled.set(true);
    let under_way = UnderWay::new(Rc::clone(worker), server);
    tokio::task::spawn_local(async move {
        cancel_request::send(&under_way.worker, &under_way.server.facts).await;
        let _ = done.send(());
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

#[cfg(test)]
mod tests {
    use super::*;

    fn client(worker: u16, slot: usize) -> ClientId {
        let place = Place {
            worker: WorkerId(worker),
            slot,
            generation: 7,
        };
        place.id()
    }

    #[test]
    fn a_peers_key_is_laid_out_as_pgbouncers() {
        let made = Made {
            len: 4,
            peer: 0x3ABC,
        };
        let (pid, secret) = key(&[1; 32], client(3, 0x9_8765), made);
        assert_eq!(pid.to_be_bytes(), [0x07, 0xBC, 0x3A, 0x65]);
        assert_eq!(secret[3] & 0b11, 0b11);
        assert_eq!(peers::id_of(pid), 0x3ABC);
        assert_eq!(peer_slot(pid), 0x9_8765 % PEER_SLOTS);
        let other = key(&[1; 32], client(3, 0x9_8765 + PEER_SLOTS), made);
        assert_eq!(other.0, pid);
        assert_ne!(other.1, secret);
    }

    #[test]
    fn without_peers_the_process_id_is_the_clients_place() {
        let made = Made { len: 4, peer: 0 };
        let (pid, _) = key(&[1; 32], client(3, 70_000), made);
        assert_eq!(Place::of_pid(pid).slot, 70_000);
        assert_eq!(Place::of_pid(pid).worker, WorkerId(3));
    }
}
