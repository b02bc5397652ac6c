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

use crate::requests::Requests;

/// Bits of the eighth byte that say how often a request may still be passed on.
pub const TTL: u8 = 0b11;

/// The requests that are on their way to other processes, by `peer_id`.
#[derive(Debug, Default)]
pub struct Peers(Mutex<BTreeMap<u16, Arc<Requests>>>);

/// The `peer_id` in the process id of a request.
pub fn id_of(pid: u32) -> u16 {
    let [_, low, high, _] = pid.to_be_bytes();
    u16::from_le_bytes([low, high])
}

/// How many requests to a peer there may be at once; 0 is no limit.
pub fn size(config: &Config, id: u16) -> u32 {
    let own = config.peers.get(&id).and_then(|peer| peer.pool_size);
    own.unwrap_or(config.settings.default_pool_size)
}

impl Peers {
    /// Requests to one of them.
    pub fn requests(&self, id: u16) -> Arc<Requests> {
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
        let row = |(id, pool): (&u16, &Arc<Requests>)| {
            let counts = pool.counts();
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
    fn the_id_is_in_the_second_and_third_byte() {
        assert_eq!(id_of(u32::from_be_bytes([0x12, 0x01, 0x02, 0x34])), 0x0201);
    }
}
