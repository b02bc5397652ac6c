//! Cancel requests that are meant for another process of `[peers]`.
//!
//! A load balancer, or the kernel where several processes listen on one port, knows nothing of cancel keys. So the
//! key says whose it is, and who gets a request for another passes it on. How is PgBouncer's, so that
//! both can be among the same peers: the second and third byte of the key are the `peer_id`, the lowest
//! byte first, and the two lowest bits of the eighth say how often it may be passed on.

use std::collections::BTreeMap;
use std::sync::Arc;

use parking_lot::Mutex;
use pgweir_admin::{PeerPoolRow, PeerRow};
use pgweir_config::Config;
use tokio::sync::Notify;

/// Bits of the eighth byte that say how often a request may still be passed on.
pub const TTL: u8 = 0b11;

/// The requests that are on their way to other processes, by `peer_id`.
#[derive(Debug, Default)]
pub struct Peers(Mutex<BTreeMap<u16, Arc<Pool>>>);

/// Requests to one of them.
#[derive(Debug, Default)]
pub struct Pool {
    counts: Mutex<Counts>,
    /// Told whenever there is room for another one, in the order in which they came.
    room: Notify,
}

#[derive(Debug, Default, Clone, Copy)]
struct Counts {
    waiting: u32,
    connecting: u32,
    sent: u32,
}

/// Which of them a request is among.
#[derive(Debug, Clone, Copy)]
enum Stage {
    Waiting,
    Connecting,
    Sent,
}

impl Counts {
    fn of(&mut self, stage: Stage) -> &mut u32 {
        match stage {
            Stage::Waiting => &mut self.waiting,
            Stage::Connecting => &mut self.connecting,
            Stage::Sent => &mut self.sent,
        }
    }
}

/// The `peer_id` in the process id of a request.
pub fn id_of(pid: u32) -> u16 {
    let [_, low, high, _] = pid.to_be_bytes();
    u16::from_le_bytes([low, high])
}

impl Pool {
    /// Waits until there is room for one more request; `size` says how many there may be at once, 0 is
    /// no limit.
    pub async fn enter(self: &Arc<Self>, size: impl Fn() -> u32) -> Place {
        let mut place = Place::in_queue(self);
        loop {
            // Before looking: who makes room after that is heard.
            let room = self.room.notified();
            if place.enter(size()) {
                return place;
            }
            room.await;
        }
    }
}

/// How many requests to a peer there may be at once; 0 is no limit.
pub fn size(config: &Config, id: u16) -> u32 {
    let own = config.peers.get(&id).and_then(|peer| peer.pool_size);
    own.unwrap_or(config.settings.default_pool_size)
}

/// One request's place among those to a peer, whatever happens to its task.
#[derive(Debug)]
pub struct Place {
    pool: Arc<Pool>,
    stage: Stage,
}

impl Place {
    fn in_queue(pool: &Arc<Pool>) -> Self {
        pool.counts.lock().waiting += 1;
        Self {
            pool: Arc::clone(pool),
            stage: Stage::Waiting,
        }
    }

    /// Whether there was room for it.
    fn enter(&mut self, size: u32) -> bool {
        let mut counts = self.pool.counts.lock();
        if size > 0 && counts.connecting + counts.sent >= size {
            return false;
        }
        counts.waiting -= 1;
        counts.connecting += 1;
        self.stage = Stage::Connecting;
        true
    }

    /// It has been sent.
    pub fn sent(&mut self) {
        let mut counts = self.pool.counts.lock();
        *counts.of(self.stage) -= 1;
        counts.sent += 1;
        self.stage = Stage::Sent;
    }
}

impl Drop for Place {
    fn drop(&mut self) {
        *self.pool.counts.lock().of(self.stage) -= 1;
        // Also if it only waited: what it was told of is for the next then.
        self.pool.room.notify_one();
    }
}

impl Peers {
    /// Requests to one of them.
    pub fn pool(&self, id: u16) -> Arc<Pool> {
        Arc::clone(self.0.lock().entry(id).or_default())
    }

    /// For SHOW PEERS.
    pub fn rows(config: &Config) -> Vec<PeerRow> {
        let row = |(id, peer): (&u16, &pgweir_config::Peer)| PeerRow {
            peer_id: (*id).into(),
            host: peer.host.clone(),
            port: peer.port.into(),
            pool_size: size(config, *id).into(),
        };
        config.peers.iter().map(row).collect()
    }

    /// For SHOW PEER_POOLS: those that something was sent to.
    pub fn pool_rows(&self, config: &Config) -> Vec<PeerPoolRow> {
        let mut pools = self.0.lock();
        // A peer that is gone goes with its last request.
        pools.retain(|id, pool| config.peers.contains_key(id) || Arc::strong_count(pool) > 1);
        let row = |(id, pool): (&u16, &Arc<Pool>)| {
            let counts = *pool.counts.lock();
            PeerPoolRow {
                peer_id: (*id).into(),
                cl_active_cancel_req: counts.sent.into(),
                cl_waiting_cancel_req: (counts.waiting + counts.connecting).into(),
                sv_active_cancel: counts.sent.into(),
                sv_login: counts.connecting.into(),
            }
        };
        pools.iter().map(row).collect()
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_request_has_one_place_whatever_happens() {
        let pool = Arc::new(Pool::default());
        let counts = || {
            let counts = *pool.counts.lock();
            (counts.waiting, counts.connecting, counts.sent)
        };
        let mut first = Place::in_queue(&pool);
        let mut second = Place::in_queue(&pool);
        assert_eq!(counts(), (2, 0, 0));
        assert!(first.enter(1) && !second.enter(1));
        assert_eq!(counts(), (1, 1, 0));
        first.sent();
        assert!(!second.enter(1) && second.enter(2));
        assert_eq!(counts(), (0, 1, 1));
        let mut third = Place::in_queue(&pool);
        assert!(!third.enter(2) && third.enter(0), "0 is no limit");
        drop((first, second, third));
        assert_eq!(counts(), (0, 0, 0));
    }

    #[test]
    fn the_id_is_in_the_second_and_third_byte() {
        assert_eq!(id_of(u32::from_be_bytes([0x12, 0x01, 0x02, 0x34])), 0x0201);
    }
}
