//! What the outside has in its hands, and what must be true whatever has happened.

use std::collections::{HashMap, HashSet, VecDeque};
use std::time::{Duration, Instant};

use crate::conn::Place;
use crate::pool::Pool;
use crate::{
    Action, ClientId, ConnId, Fatal, Kind, Lease, Limits, Permit, PoolId, PoolKey, Pools, Release,
    Take, Ticket, WorkerId,
};

pub(crate) const LOCALITY: Duration = Duration::from_millis(2);

pub(crate) fn key(database: &str, user: &str, kind: Kind) -> PoolKey {
    PoolKey {
        database: database.into(),
        user: user.into(),
        host: "h".into(),
        kind,
    }
}

/// A client that waits, as far as it knows.
#[derive(Debug, Clone, Copy)]
pub(crate) struct Waiting {
    pub(crate) client: ClientId,
    pub(crate) worker: WorkerId,
    pub(crate) ticket: Ticket,
    pub(crate) since: Instant,
}

/// What has happened to a client.
#[derive(Debug)]
pub(crate) enum News {
    Served(ClientId),
    Refused(ClientId),
}

/// The pools, and all that they have given out.
pub(crate) struct World {
    pub(crate) pools: Pools,
    pub(crate) ids: Vec<PoolId>,
    pub(crate) now: Instant,
    /// When time last had its effects.
    ticked: Instant,
    /// With whom they are.
    pub(crate) leases: Vec<(ClientId, Lease)>,
    pub(crate) permits: Vec<Permit>,
    /// Clients that wait, in the order in which they came.
    pub(crate) waiting: Vec<Waiting>,
    /// Clients that left while their answer was under way.
    left: HashSet<ClientId>,
    /// Actions on their way to who performs them.
    pub(crate) in_flight: VecDeque<Action>,
    /// Where the sockets lie.
    pub(crate) sockets: HashMap<ConnId, WorkerId>,
    pub(crate) news: Vec<News>,
    next_client: u64,
    /// What each limit counted after the operation before: it may be over only by being lowered.
    before: HashMap<(usize, usize), u32>,
}

impl World {
    pub(crate) fn new(workers: u16, keys: &[PoolKey], limits: &Limits) -> Self {
        let mut pools = Pools::new(workers, LOCALITY);
        let ids = keys.iter().map(|key| pools.pool(key, limits)).collect();
        let now = Instant::now();
        Self {
            pools,
            ids,
            now,
            ticked: now,
            leases: Vec::new(),
            permits: Vec::new(),
            waiting: Vec::new(),
            left: HashSet::new(),
            in_flight: VecDeque::new(),
            sockets: HashMap::new(),
            news: Vec::new(),
            next_client: 0,
            before: HashMap::new(),
        }
    }

    pub(crate) fn take(&mut self, pool: usize, worker: u16) -> (ClientId, Take) {
        let (pool, worker) = (self.ids[pool], WorkerId(worker));
        let client = ClientId(self.next_client);
        self.next_client += 1;
        let queue = self.queue(pool);
        let take = self.pools.take(pool, worker, client, self.now);
        let answer = match take {
            Take::Lease(lease) => {
                assert!(queue.is_empty(), "P3: a newcomer overtook {queue:?}");
                self.receive(client, worker, lease);
                // The token is in the books: what is left to tell is that there is one.
                return (client, Take::Wait(NO_TICKET));
            }
            Take::Wait(ticket) => {
                self.waiting.push(Waiting {
                    client,
                    worker,
                    ticket,
                    since: self.now,
                });
                Take::Wait(ticket)
            }
            refused => refused,
        };
        (client, answer)
    }

    pub(crate) fn release(&mut self, at: usize, clean: bool) -> ClientId {
        let (client, lease) = self.leases.swap_remove(at);
        let how = if clean {
            Release::Clean
        } else {
            Release::Close("broken")
        };
        self.give_back(lease, how);
        client
    }

    fn give_back(&mut self, lease: Lease, how: Release) {
        let (conn, kind) = (lease.conn(), self.pools.key(lease.pool()).kind);
        if matches!(how, Release::Close(_)) || kind == Kind::Dedicated {
            self.sockets.remove(&conn);
        }
        self.pools.release(lease, how, self.now);
    }

    pub(crate) fn leave(&mut self, at: usize) -> ClientId {
        let Waiting { client, ticket, .. } = self.waiting.remove(at);
        if !self.pools.leave(ticket, self.now) {
            self.left.insert(client);
        }
        assert!(!self.pools.leave(ticket, self.now), "once");
        client
    }

    pub(crate) fn opened(&mut self, at: usize) {
        let permit = self.permits.swap_remove(at);
        let before = self.sockets.insert(permit.conn(), permit.worker());
        assert_eq!(before, None, "an identity is used once");
        self.pools.opened(permit, self.now);
    }

    pub(crate) fn failed(&mut self, at: usize, fatal: Fatal) {
        let permit = self.permits.swap_remove(at);
        self.pools.failed(permit, "down".into(), fatal, self.now);
    }

    /// The server closes an idle connection.
    pub(crate) fn lose(&mut self, which: usize) {
        let all = self.idle();
        if !all.is_empty() {
            let conn = all[which % all.len()];
            assert!(self.pools.lost(conn, self.now));
            assert!(!self.pools.lost(conn, self.now), "once");
            self.sockets.remove(&conn);
        }
    }

    pub(crate) fn tick(&mut self) {
        self.pools.tick(self.now, |_| true);
        self.ticked = self.now;
    }

    pub(crate) fn idle(&self) -> Vec<ConnId> {
        let pools = self.pools.pools.iter();
        pools
            .flat_map(|(_, pool)| pool.idle.iter().map(|(_, idle)| idle.conn))
            .collect()
    }

    /// What the pools ask for is under way from now on.
    pub(crate) fn collect(&mut self) {
        while let Some(action) = self.pools.next_action() {
            self.in_flight.push_back(action);
        }
    }

    /// The action that is first in line is performed.
    pub(crate) fn perform_one(&mut self) {
        let Some(action) = self.in_flight.pop_front() else {
            return;
        };
        match action {
            Action::Open(permit) => self.permits.push(permit),
            Action::Hand {
                client,
                to,
                ticket,
                lease,
            } => {
                if self.left.remove(&client) {
                    self.move_to(to, &lease);
                    return self.give_back(lease, Release::Unused);
                }
                let waiting = self.no_longer_waits(client);
                assert_eq!((waiting.ticket, waiting.worker), (ticket, to));
                assert_eq!(waiting.ticket.pool, lease.pool());
                self.receive(client, to, lease);
            }
            Action::Fail {
                client, to, ticket, ..
            } => {
                if !self.left.remove(&client) {
                    let waiting = self.no_longer_waits(client);
                    assert_eq!((waiting.ticket, waiting.worker), (ticket, to));
                    self.news.push(News::Refused(client));
                }
            }
            Action::Close { conn, worker, .. } => {
                // A slot for replication has a socket only while somebody has it.
                let lay = self.sockets.remove(&conn);
                assert_eq!(lay, Some(worker), "it is closed where it lies");
            }
        }
    }

    pub(crate) fn perform_all(&mut self) {
        self.collect();
        while !self.in_flight.is_empty() {
            self.perform_one();
            self.collect();
        }
    }

    fn no_longer_waits(&mut self, client: ClientId) -> Waiting {
        let at = self.waiting.iter().position(|one| one.client == client);
        self.waiting
            .remove(at.expect("P4: who waits is answered, once"))
    }

    fn receive(&mut self, client: ClientId, at: WorkerId, lease: Lease) {
        self.move_to(at, &lease);
        self.news.push(News::Served(client));
        self.leases.push((client, lease));
    }

    fn move_to(&mut self, to: WorkerId, lease: &Lease) {
        let lay = self.sockets.insert(lease.conn(), to);
        assert_eq!(
            lay,
            Some(lease.worker()),
            "the pool knows where a socket lies"
        );
    }

    fn queue(&self, pool: PoolId) -> Vec<ClientId> {
        let slot = self.pools.slot(pool);
        let queue = slot.map(|slot| self.pools.pools[slot].queue.iter());
        queue
            .into_iter()
            .flatten()
            .map(|waiter| waiter.client)
            .collect()
    }

    /// Whatever has happened: P1 to P4.
    pub(crate) fn check(&mut self) {
        self.collect();
        self.check_places();
        self.check_books();
        self.check_queues();
        self.check_limits();
        self.check_nobody_waits_in_vain();
    }

    /// P2, and that what is counted is what there is.
    fn check_places(&self) {
        let pools = &self.pools;
        let mut counts: HashMap<usize, (u32, [u32; 3], u32)> = HashMap::new();
        for (slot, conn) in &pools.conns {
            let pool = &pools.pools[conn.slot()];
            assert_eq!(conn.pool.generation, pool.generation);
            let (opening, leased, idle) = counts.entry(conn.slot()).or_default();
            match conn.place {
                Place::Opening => *opening += 1,
                Place::Leased(phase) => leased[phase as usize] += 1,
                Place::Idle(key) => {
                    *idle += 1;
                    let there = pool.idle.get(key).expect("P2: it is in the line");
                    assert_eq!(there.conn.slot as usize, slot, "P2");
                }
            }
        }
        for (slot, pool) in &pools.pools {
            let counted = (pool.opening, pool.leased, pool.idle.len());
            assert_eq!(counted, counts.remove(&slot).unwrap_or_default(), "P2");
            let at = pool.hungry.map(|at| pools.hungry[at as usize]);
            let expected = (!pool.queue.is_empty()).then_some(slot as u32);
            assert_eq!(at, expected, "the hungry are known");
            if let Some(sibling) = pool.sibling {
                let sibling = &pools.pools[sibling as usize];
                assert_eq!(sibling.sibling, Some(slot as u32));
                assert_eq!(sibling.key.kind, pool.key.kind.other());
            }
            assert!(
                pool.removed.is_none() || pool.total() > 0,
                "a removed pool ends"
            );
        }
        for (caps, group) in [
            (
                &pools.databases,
                (|pool| pool.database) as fn(&Pool) -> usize,
            ),
            (&pools.users, |pool| pool.user),
        ] {
            for number in pools.pools.iter().map(|(_, pool)| group(pool)) {
                let of_group = pools.pools.iter().filter(|(_, pool)| group(pool) == number);
                let (total, idle) = of_group.fold((0, 0), |(total, idle), (_, pool)| {
                    (total + pool.total(), idle + pool.idle.len())
                });
                let cap = caps.get(number);
                assert_eq!(
                    (cap.count, cap.idle),
                    (total, idle),
                    "caps count what there is"
                );
            }
        }
    }

    /// P4: each connection is in somebody's hands, or in the pool's, but not in both.
    fn check_books(&self) {
        let under_way = self.in_flight.iter().filter_map(|action| match action {
            Action::Open(permit) => Some(permit.conn()),
            Action::Hand { lease, .. } => Some(lease.conn()),
            _ => None,
        });
        let permits = self.permits.iter().map(Permit::conn);
        let leases = self.leases.iter().map(|(_, lease)| lease.conn());
        let all: Vec<_> = under_way
            .chain(permits)
            .chain(leases)
            .chain(self.idle())
            .collect();
        let distinct: HashSet<_> = all.iter().collect();
        assert_eq!(distinct.len(), all.len(), "P2, P4");
        assert_eq!(all.len(), self.pools.conns.len(), "P2, P4");
        // Sockets: of all but those being opened; and those to be closed.
        let closing = self
            .in_flight
            .iter()
            .filter(|action| matches!(action, Action::Close { .. }));
        let opening: u32 = self.pools.pools.iter().map(|(_, pool)| pool.opening).sum();
        assert_eq!(
            self.sockets.len() + opening as usize,
            all.len() + closing.count()
        );
    }

    /// P4: who waits is in the queue, or an answer is under way. P3: in the order of arrival.
    fn check_queues(&self) {
        let answers = self.in_flight.iter().filter_map(|action| match action {
            Action::Hand { client, .. } | Action::Fail { client, .. } => Some(*client),
            _ => None,
        });
        let answered: Vec<ClientId> = answers.collect();
        let distinct: HashSet<_> = answered.iter().copied().collect();
        assert_eq!(answered.len(), distinct.len(), "P4: one answer each");
        assert!(self.left.is_subset(&distinct), "P4: an answer is under way");
        for id in &self.ids {
            let of_pool = self.waiting.iter().filter(|one| one.ticket.pool == *id);
            let expected: Vec<_> = of_pool
                .map(|one| one.client)
                .filter(|client| !distinct.contains(client))
                .collect();
            assert_eq!(self.queue(*id), expected, "P3, P4");
        }
        self.check_order();
    }

    /// P3: whoever is handed a connection has nobody before it on the same worker, and on others
    /// nobody who came earlier by more than the locality.
    fn check_order(&self) {
        for action in &self.in_flight {
            let Action::Hand { client, ticket, .. } = action else {
                continue;
            };
            let Some(served) = self.waiting.iter().find(|one| one.client == *client) else {
                continue;
            };
            let Some(slot) = self.pools.slot(ticket.pool) else {
                continue;
            };
            for waiter in self.pools.pools[slot].queue.iter() {
                if waiter.number < ticket.number {
                    let earlier = served.since.saturating_duration_since(waiter.since);
                    assert!(waiter.worker != served.worker, "P3: overtaken on a worker");
                    assert!(earlier <= LOCALITY, "P3: overtaken by {earlier:?}");
                }
            }
        }
    }

    /// P1: nothing grows beyond a limit; a limit that has been lowered is reached by not letting
    /// what is too much lie idle.
    fn check_limits(&mut self) {
        let mut now = HashMap::new();
        for (slot, pool) in &self.pools.pools {
            let mut judge = |which: usize, number: usize, count: u32, max: u32| {
                now.insert((which, number), count);
                let before = self.before.get(&(which, number)).copied().unwrap_or(0);
                assert!(max == 0 || count <= max.max(before), "P1: {count} of {max}");
                if max > 0 && count > max {
                    assert!(pool.idle.is_empty(), "P1: idle beyond a limit");
                }
            };
            let most = match pool.limits.size {
                0 => 0,
                size => size + pool.limits.reserve_size,
            };
            judge(0, slot, self.pools.total(slot), most);
            let (database, user) = (pool.database, pool.user);
            let cap = self.pools.databases.get(database);
            judge(1, database, cap.count, cap.max);
            let cap = self.pools.users.get(user);
            judge(2, user, cap.count, cap.max);
        }
        self.before = now;
    }

    /// P3: nobody waits who could be served now.
    fn check_nobody_waits_in_vain(&self) {
        let pools = &self.pools;
        for slot in &pools.hungry {
            let pool = &pools.pools[*slot as usize];
            assert!(pool.idle.is_empty(), "P3: idle while somebody waits");
            // At the time of the last tick: what became possible by time alone waits for the next.
            let Some(want) = pool.want(self.ticked) else {
                continue;
            };
            assert!(
                !pools.can_make_room(*slot as usize, &want),
                "P3: client {} waits for nothing in {:?}",
                want.number,
                pool.key
            );
        }
    }
}

/// Stands for "served at once" in what [`World::take`] returns.
pub(crate) const NO_TICKET: Ticket = Ticket {
    pool: PoolId {
        slot: u32::MAX,
        generation: u32::MAX,
    },
    key: u32::MAX,
    number: u64::MAX,
};
