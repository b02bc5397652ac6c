//! A server connection in somebody's hands.
//!
//! X5: whatever happens to the task that holds it, the pool hears of the end of the lease: a
//! [`Leased`] that is dropped without having been given back comes back as broken.

use std::rc::Rc;
use std::sync::Arc;
use std::time::Instant;

use pgweir_pool::{ConnId, Lease, Release, WorkerId};

use crate::mail::Mail;
use crate::server::{ServerConn, ServerShared};
use crate::shared::Shared;

/// Where a worker's leases go back to when they are dropped.
#[derive(Debug)]
pub struct ReturnTo {
    /// The worker whose tasks hold them.
    pub worker: WorkerId,
    /// Where the pools are.
    pub shared: Arc<Shared>,
}

/// The pool's token, given back when it is dropped.
#[derive(Debug)]
pub struct Guard {
    /// Invariant: `Some` until the lease has been given back.
    lease: Option<Lease>,
    /// Whether the connection must be checked before its first use.
    check: bool,
    return_to: Rc<ReturnTo>,
}

impl Guard {
    /// Takes charge of a lease.
    pub fn new(lease: Lease, return_to: Rc<ReturnTo>) -> Self {
        Self {
            check: lease.check(),
            lease: Some(lease),
            return_to,
        }
    }

    /// Whether the connection is to be checked before it is used.
    pub fn check(&self) -> bool {
        self.check
    }

    /// The connection that it is for.
    pub fn conn(&self) -> ConnId {
        self.lease
            .as_ref()
            .map(Lease::conn)
            .expect("taken only where the guard ends")
    }

    /// The token, for whoever answers for it from now on.
    pub fn into_lease(mut self) -> Lease {
        self.lease
            .take()
            .expect("taken only here, where the guard ends")
    }
}

impl Drop for Guard {
    fn drop(&mut self) {
        if let Some(lease) = self.lease.take() {
            let ReturnTo { worker, shared } = &*self.return_to;
            let lost = Release::Close("lost");
            shared.pools.lock().release(lease, lost, Instant::now());
            // What the pools ask for now is the worker's to do: nobody knows where we are here.
            shared.mail(*worker, Mail::Settle);
        }
    }
}

/// A connection with its lease.
#[derive(Debug)]
pub struct Leased {
    /// The connection.
    pub conn: ServerConn,
    guard: Guard,
}

impl Leased {
    /// Joins a connection and its lease.
    pub fn new(conn: ServerConn, guard: Guard) -> Self {
        debug_assert_eq!(guard.lease.as_ref().map(Lease::conn), Some(conn.conn()));
        Self { conn, guard }
    }

    /// What others may see of the connection.
    pub fn shared(&self) -> &Rc<ServerShared> {
        &self.conn.shared
    }

    /// Whether the connection idled for so long that it must be checked first.
    pub fn check(&self) -> bool {
        self.guard.check
    }

    /// It has been checked.
    pub fn checked(&mut self) {
        self.guard.check = false;
    }

    /// Takes the two apart.
    pub fn split(self) -> (ServerConn, Guard) {
        (self.conn, self.guard)
    }
}

#[cfg(test)]
mod tests {
    use pgweir_config::Config;
    use pgweir_pool::{Action, ClientId, Kind, Limits, PoolKey, Take};
    use tokio::sync::mpsc;

    use super::*;
    use crate::files::Files;
    use crate::written::Written;

    #[test]
    fn x5_a_dropped_lease_comes_back_as_broken() {
        let config = Config::default();
        let files = Files::read(&config, &mut Vec::new()).expect("none are named");
        let (mail, mut mailbox) = mpsc::unbounded_channel();
        let (orders, _) = mpsc::unbounded_channel();
        let written = Written::nowhere();
        let shared = Shared::new(config, files, written, vec![mail], orders);
        let return_to = ReturnTo {
            worker: WorkerId(0),
            shared: Arc::clone(&shared),
        };
        let key = PoolKey {
            database: "d".into(),
            user: "u".into(),
            host: "h".into(),
            kind: Kind::Normal,
        };
        let now = Instant::now();
        let lease = {
            let mut pools = shared.pools.lock();
            let pool = pools.pool(&key, &Limits::default());
            let taken = pools.take(pool, WorkerId(0), ClientId(1), now);
            assert!(matches!(taken, Take::Wait(_)));
            let Some(Action::Open(permit)) = pools.next_action() else {
                panic!("no permit")
            };
            pools.opened(permit, now);
            let Some(Action::Hand { lease, .. }) = pools.next_action() else {
                panic!("no lease")
            };
            lease
        };
        assert!(!shared.pools.lock().quiescent(None));
        drop(Guard::new(lease, Rc::new(return_to)));
        let pools = shared.pools.lock();
        assert!(pools.quiescent(None), "the slot is free again");
        let id = pools.find(&key).expect("the pool is still there");
        assert_eq!(
            pools.counts(id, now).idle,
            0,
            "and nobody gets the connection"
        );
        assert!(matches!(mailbox.try_recv(), Ok(Mail::Settle)));
    }
}
