//! Clients of one pool whose connections have no sockets.

use std::collections::VecDeque;
use std::time::{Duration, Instant};

use pgweir_pool::WorkerId;
use pgweir_pool::{Action, ClientId, Kind, Lease, Limits, PoolId, PoolKey, Pools, Release, Take};

/// A pool, and the leases that its clients hold.
#[derive(Debug)]
pub struct Crowd {
    pools: Pools,
    pool: PoolId,
    workers: u16,
    leases: VecDeque<(ClientId, Lease)>,
    next_client: u64,
    now: Instant,
}

impl Crowd {
    /// A pool of `size` connections, all of them idle, for clients on so many workers.
    pub fn new(size: u32, workers: u16) -> Self {
        let mut pools = Pools::new(workers, Duration::from_millis(2));
        let key = PoolKey {
            database: "shop".into(),
            user: "shop_app".into(),
            host: "127.0.0.1:5432".into(),
            kind: Kind::Normal,
        };
        let limits = Limits {
            size,
            ..Limits::default()
        };
        let pool = pools.pool(&key, &limits);
        let mut crowd = Self {
            pools,
            pool,
            workers,
            leases: VecDeque::new(),
            next_client: 0,
            now: Instant::now(),
        };
        for _ in 0..size {
            crowd.come();
        }
        for _ in 0..size {
            crowd.go();
        }
        crowd
    }

    /// Clients that hold a connection.
    pub fn leased(&self) -> usize {
        self.leases.len()
    }

    /// One more client asks for a connection; it gets one, or waits. Clients come on the workers
    /// in turn.
    pub fn come(&mut self) {
        let client = ClientId(self.next_client);
        let worker = WorkerId((self.next_client % u64::from(self.workers)) as u16);
        self.next_client += 1;
        match self.pools.take(self.pool, worker, client, self.now) {
            Take::Lease(lease) => self.leases.push_back((client, lease)),
            Take::Wait(_) => {}
            Take::Refused(why) => panic!("nobody is to be refused: {why:?}"),
        }
        self.perform();
    }

    /// The client that has held its connection longest gives it back.
    ///
    /// # Panics
    /// When nobody holds one.
    pub fn go(&mut self) {
        let (_, lease) = self.leases.pop_front().expect("somebody holds a lease");
        self.pools.release(lease, Release::Clean, self.now);
        self.perform();
    }

    fn perform(&mut self) {
        while let Some(action) = self.pools.next_action() {
            match action {
                Action::Open(permit) => self.pools.opened(permit, self.now),
                Action::Hand { client, lease, .. } => self.leases.push_back((client, lease)),
                Action::Close { reason, .. } => panic!("nothing is to be closed: {reason}"),
                Action::Fail { why, .. } => panic!("nobody is to be refused: {why:?}"),
            }
        }
    }
}
