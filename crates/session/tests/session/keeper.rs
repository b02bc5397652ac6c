//! Who gives backends to clients: a shelf without rules, or the pool.

use std::collections::BTreeMap;
use std::sync::Arc;
use std::time::{Duration, Instant};

use pgweir_pool::{Action, ClientId, ConnId, Fatal, Kind, Lease, Limits, Permit, PoolId, PoolKey};
use pgweir_pool::{Pools, Release, Take, Ticket, WorkerId};

use crate::rng::Rng;

/// Places are numbers of backends.
pub trait Keeper {
    /// A place for a client, or it waits.
    fn take(&mut self, rng: &mut Rng, client: usize) -> Option<usize>;
    /// Whether a client that waits may collect a place.
    fn is_handed(&self, client: usize) -> bool;
    fn collect(&mut self, rng: &mut Rng, client: usize) -> usize;
    fn release(&mut self, place: usize, clean: bool);
    /// A client that waits, or has not collected what it was given, is gone.
    fn leave(&mut self, client: usize);
    /// Whether something is under way that will go on by itself.
    fn is_busy(&self) -> bool;
    /// Something happens that clients have no part in; a place that is new afterwards.
    fn happen(&mut self, rng: &mut Rng) -> Option<usize>;
    /// What must hold at every moment; these clients wait.
    fn check(&self, waiting: usize);
}

/// Backends that are there from the beginning, given at random.
pub struct Shelf {
    free: Vec<bool>,
}

impl Shelf {
    pub fn new(places: usize) -> Self {
        Self {
            free: vec![true; places],
        }
    }
}

impl Keeper for Shelf {
    fn take(&mut self, rng: &mut Rng, client: usize) -> Option<usize> {
        self.is_handed(client).then(|| self.collect(rng, client))
    }

    fn is_handed(&self, _client: usize) -> bool {
        self.free.iter().any(|free| *free)
    }

    fn collect(&mut self, rng: &mut Rng, _client: usize) -> usize {
        let places = 0..self.free.len();
        let free: Vec<usize> = places.filter(|place| self.free[*place]).collect();
        let place = rng.pick(&free);
        self.free[place] = false;
        place
    }

    fn release(&mut self, place: usize, _clean: bool) {
        self.free[place] = true;
    }

    fn leave(&mut self, _client: usize) {}

    fn is_busy(&self) -> bool {
        false
    }

    fn happen(&mut self, _rng: &mut Rng) -> Option<usize> {
        None
    }

    fn check(&self, _waiting: usize) {}
}

/// Where a connection is, as far as its performer knows.
enum At {
    Opening(Permit),
    Idle,
    Leased(Lease),
    /// On its way to a client.
    Handed(Lease, usize),
}

/// The pool, and what performs its actions.
pub struct Pooler {
    pools: Pools,
    pool: PoolId,
    size: usize,
    now: Instant,
    conns: BTreeMap<usize, (ConnId, At)>,
    next_place: usize,
    tickets: BTreeMap<usize, Ticket>,
    /// Attempts to open that fail, in a hundred.
    failing: u64,
}

impl Pooler {
    pub fn new(rng: &mut Rng, size: usize) -> Self {
        let now = Instant::now();
        let mut pools = Pools::new(1, Duration::from_millis(2));
        let key = PoolKey {
            database: Arc::from("d"),
            user: Arc::from("u"),
            host: Arc::from("h"),
            kind: Kind::Normal,
        };
        let limits = Limits {
            size: size as u32,
            wait_timeout: Duration::ZERO,
            idle_timeout: Duration::from_secs(1),
            lifetime: Duration::from_secs(1 + rng.next() % 10),
            round_robin: rng.percent(50),
            ..Limits::default()
        };
        let pool = pools.pool(&key, &limits);
        Self {
            pools,
            pool,
            size,
            now,
            conns: BTreeMap::new(),
            next_place: 0,
            tickets: BTreeMap::new(),
            failing: rng.next() % 30,
        }
    }

    fn place_of(&self, conn: ConnId) -> usize {
        let mut conns = self.conns.iter();
        let found = conns.find(|(_, (other, _))| *other == conn);
        *found.expect("P2: a connection that is acted on exists").0
    }

    fn perform(&mut self) {
        while let Some(action) = self.pools.next_action() {
            match action {
                Action::Open(permit) => {
                    let place = self.next_place;
                    self.next_place += 1;
                    let conn = permit.conn();
                    self.conns.insert(place, (conn, At::Opening(permit)));
                }
                Action::Hand {
                    client,
                    ticket,
                    lease,
                    ..
                } => {
                    let (place, client) = (self.place_of(lease.conn()), client.0 as usize);
                    if self.tickets.get(&client) == Some(&ticket) {
                        self.conns.get_mut(&place).unwrap().1 = At::Handed(lease, client);
                    } else {
                        self.pools.release(lease, Release::Clean, self.now);
                    }
                }
                Action::Close { conn, .. } => {
                    let place = self.place_of(conn);
                    let (_, at) = self.conns.remove(&place).unwrap();
                    assert!(
                        matches!(at, At::Idle),
                        "P2: only idle ones are closed by the pool"
                    );
                }
                Action::Fail { why, .. } => panic!("nobody is to be refused: {why:?}"),
            }
        }
    }

    fn put(&mut self, place: usize, at: At) -> At {
        std::mem::replace(&mut self.conns.get_mut(&place).unwrap().1, at)
    }

    fn pass_time(&mut self, rng: &mut Rng) {
        self.now += Duration::from_millis(1 + rng.next() % 300);
        self.pools.tick(self.now, |_| true);
        self.perform();
    }
}

impl Keeper for Pooler {
    fn take(&mut self, _rng: &mut Rng, client: usize) -> Option<usize> {
        let id = ClientId(client as u64);
        match self.pools.take(self.pool, WorkerId(0), id, self.now) {
            Take::Lease(lease) => {
                let place = self.place_of(lease.conn());
                let was = self.put(place, At::Leased(lease));
                assert!(matches!(was, At::Idle), "P2");
                Some(place)
            }
            Take::Wait(ticket) => {
                self.tickets.insert(client, ticket);
                self.perform();
                None
            }
            Take::Refused(why) => panic!("nobody is to be refused: {why:?}"),
        }
    }

    fn is_handed(&self, client: usize) -> bool {
        let mut conns = self.conns.values();
        conns.any(|(_, at)| matches!(at, At::Handed(_, to) if *to == client))
    }

    fn collect(&mut self, _rng: &mut Rng, client: usize) -> usize {
        let handed = |at: &At| matches!(at, At::Handed(_, to) if *to == client);
        let mut conns = self.conns.iter();
        let place = *conns.find(|(_, (_, at))| handed(at)).unwrap().0;
        self.tickets.remove(&client);
        if let At::Handed(lease, _) = self.put(place, At::Idle) {
            self.put(place, At::Leased(lease));
        }
        place
    }

    fn release(&mut self, place: usize, clean: bool) {
        let At::Leased(lease) = self.put(place, At::Idle) else {
            panic!("P4: a lease ends once");
        };
        if clean {
            self.pools.release(lease, Release::Clean, self.now);
        } else {
            self.conns.remove(&place);
            self.pools
                .release(lease, Release::Close("broken"), self.now);
        }
        self.perform();
    }

    fn leave(&mut self, client: usize) {
        let Some(ticket) = self.tickets.get(&client).copied() else {
            return;
        };
        if self.is_handed(client) {
            let place = self.collect(&mut Rng::new(0), client);
            return self.release(place, true);
        }
        self.tickets.remove(&client);
        assert!(self.pools.leave(ticket, self.now));
        self.perform();
    }

    fn is_busy(&self) -> bool {
        !self.tickets.is_empty()
    }

    fn happen(&mut self, rng: &mut Rng) -> Option<usize> {
        let opening = |at: &At| matches!(at, At::Opening(_));
        let found = self.conns.iter().find(|(_, (_, at))| opening(at));
        if let Some((&place, _)) = found
            && rng.percent(70)
        {
            let At::Opening(permit) = self.put(place, At::Idle) else {
                unreachable!("it was just found");
            };
            if rng.percent(self.failing) {
                self.conns.remove(&place);
                let cause = Arc::from("connection refused");
                self.pools.failed(permit, cause, Fatal::Retry, self.now);
                self.perform();
                return None;
            }
            self.pools.opened(permit, self.now);
            self.perform();
            return Some(place);
        }
        let idle = |at: &At| matches!(at, At::Idle);
        let found = self.conns.iter().find(|(_, (_, at))| idle(at));
        if let Some((&place, (conn, _))) = found
            && rng.percent(5)
        {
            assert!(self.pools.lost(*conn, self.now), "P2: it is idle");
            self.conns.remove(&place);
            self.perform();
            return None;
        }
        self.pass_time(rng);
        None
    }

    fn check(&self, waiting: usize) {
        assert!(self.conns.len() <= self.size, "P1");
        let count = |is: fn(&At) -> bool| self.conns.values().filter(|(_, at)| is(at)).count();
        let idle = count(|at| matches!(at, At::Idle));
        let handed = count(|at| matches!(at, At::Handed(..)));
        let leased = count(|at| matches!(at, At::Leased(_))) + handed;
        let opening = count(|at| matches!(at, At::Opening(_)));
        let counts = self.pools.counts(self.pool, self.now);
        let theirs = (
            counts.idle + counts.used,
            counts.active,
            counts.opening,
            counts.waiting,
        );
        let ours = (idle, leased, opening, waiting - handed);
        let theirs = (
            theirs.0 as usize,
            theirs.1 as usize,
            theirs.2 as usize,
            theirs.3 as usize,
        );
        assert_eq!(ours, theirs, "P2");
        assert!(idle == 0 || waiting == handed, "P3");
    }
}
