//! `[peers.N]`: another process that clients' cancel requests may be meant for.

use crate::host::{BadHost, Host};
use crate::table::table;

/// The largest number of a peer: PgBouncer's, whose cancel keys have 16 bits for it.
pub(crate) const ID_MAX: u16 = 16_383;

table! {
    /// A process that clients' cancel requests may be meant for.
    pub struct Peer {
        /// Where it listens: a name, an address, or the directory of its Unix socket.
        host: String as "\"pooler-1\"" => AtOnce;
        /// Its port.
        port: u16 = "6432" => AtOnce;
        /// Cancel requests on their way to it at most; others wait. Not given: `default_pool_size`.
        /// 0: no limit.
        pool_size: Option<u32> as "20" => AtOnce;
    }
}

impl Peer {
    /// Where it listens.
    ///
    /// # Errors
    /// If that is none, which a checked configuration does not have.
    pub fn address(&self) -> Result<Host, BadHost> {
        Host::from_parts(&self.host, self.port)
    }
}

/// The number of a peer from its name.
///
/// # Errors
/// What is wrong with it.
pub(crate) fn id(name: &str) -> Result<u16, String> {
    let digits = !name.is_empty() && name.bytes().all(|byte| byte.is_ascii_digit());
    let number = name.parse().ok().filter(|_| digits);
    number
        .filter(|id| (1..=ID_MAX).contains(id))
        .ok_or_else(|| format!("the name of a peer is its peer_id: a number from 1 to {ID_MAX}"))
}
