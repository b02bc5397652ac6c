//! Random operations on all pools, and after each of them every invariant.

use std::collections::{HashMap, HashSet};
use std::sync::Arc;
use std::time::{Duration, Instant};

use proptest::prelude::*;

use crate::pools::Place;
use crate::{
    Action, ClientId, ConnId, Fatal, Kind, Lease, Limits, Permit, PoolId, PoolKey, Pools, Release,
    Take, Ticket, WorkerId,
};

const WORKERS: u16 = 3;

/// What the outside world has in its hands.
struct World {
    pools: Pools,
    ids: Vec<PoolId>,
    now: Instant,
    leases: Vec<Lease>,
    permits: Vec<Permit>,
    /// Clients that wait, in the order in which they came.
    waiting: Vec<(ClientId, Ticket, PoolId)>,
    next_client: u64,
    database_cap: u32,
    user_cap: u32,
}

#[derive(Debug, Clone)]
enum Op {
    Take { pool: usize, worker: u16 },
    Release { which: usize, clean: bool },
    Leave { which: usize },
    Opened { which: usize },
    Failed { which: usize, fatal: bool },
    Lose { which: usize },
    Wait { ms: u64 },
    Tick,
    Pause(bool),
    Resume(bool),
    Reconnect(bool),
    Resize { pool: usize, size: u32 },
    Caps { database: u32, user: u32 },
}

fn op() -> impl Strategy<Value = Op> {
    prop_oneof![
        6 => (0..4usize, 0..WORKERS).prop_map(|(pool, worker)| Op::Take { pool, worker }),
        6 => (any::<usize>(), prop::bool::weighted(0.8)).prop_map(|(which, clean)| Op::Release { which, clean }),
        1 => any::<usize>().prop_map(|which| Op::Leave { which }),
        5 => any::<usize>().prop_map(|which| Op::Opened { which }),
        1 => (any::<usize>(), any::<bool>()).prop_map(|(which, fatal)| Op::Failed { which, fatal }),
        1 => any::<usize>().prop_map(|which| Op::Lose { which }),
        2 => prop_oneof![0..3u64, 50..300u64, 4000..9000u64].prop_map(|ms| Op::Wait { ms }),
        3 => Just(Op::Tick),
        1 => any::<bool>().prop_map(Op::Pause),
        2 => any::<bool>().prop_map(Op::Resume),
        1 => any::<bool>().prop_map(Op::Reconnect),
        1 => (0..4usize, 1..5u32).prop_map(|(pool, size)| Op::Resize { pool, size }),
        1 => (0..6u32, 0..6u32).prop_map(|(database, user)| Op::Caps { database, user }),
    ]
}

fn limits(size: u32) -> Limits {
    Limits {
        size,
        min_size: 1,
        reserve_size: 1,
        reserve_delay: Duration::from_millis(200),
        wait_timeout: Duration::from_secs(8),
        idle_timeout: Duration::from_secs(10),
        lifetime: Duration::from_secs(30),
        login_retry: Duration::from_secs(1),
        ..Limits::default()
    }
}

impl World {
    fn new() -> Self {
        let mut pools = Pools::new(WORKERS, Duration::from_millis(2));
        let key = |database: &str, user: &str, kind| PoolKey {
            database: database.into(),
            user: user.into(),
            host: "h".into(),
            kind,
        };
        let keys = [
            key("a", "x", Kind::Normal),
            key("a", "y", Kind::Normal),
            key("b", "x", Kind::Normal),
            key("a", "x", Kind::Dedicated),
        ];
        let ids = keys.iter().map(|key| pools.pool(key, &limits(3))).collect();
        Self {
            pools,
            ids,
            now: Instant::now(),
            leases: Vec::new(),
            permits: Vec::new(),
            waiting: Vec::new(),
            next_client: 0,
            database_cap: 0,
            user_cap: 0,
        }
    }

    fn database(all: bool) -> Option<&'static str> {
        if all { None } else { Some("a") }
    }

    fn step(&mut self, op: &Op) {
        let now = self.now;
        let index = |which: usize, len: usize| if len == 0 { None } else { Some(which % len) };
        match *op {
            Op::Take { pool, worker } => {
                let (pool, client) = (self.ids[pool], ClientId(self.next_client));
                self.next_client += 1;
                match self.pools.take(pool, WorkerId(worker), client, now) {
                    Take::Lease(lease) => {
                        let overtaken = self.waiting.iter().any(|(_, _, other)| *other == pool);
                        assert!(!overtaken, "P3: a newcomer has overtaken those who wait");
                        self.leases.push(lease);
                    }
                    Take::Wait(ticket) => self.waiting.push((client, ticket, pool)),
                    Take::Refused(_) => {}
                }
            }
            Op::Release { which, clean } => {
                if let Some(at) = index(which, self.leases.len()) {
                    let lease = self.leases.swap_remove(at);
                    let how = if clean {
                        Release::Clean
                    } else {
                        Release::Close("test")
                    };
                    self.pools.release(lease, how, now);
                }
            }
            Op::Leave { which } => {
                if let Some(at) = index(which, self.waiting.len()) {
                    let (_, ticket, _) = self.waiting.remove(at);
                    assert!(self.pools.leave(ticket, now), "who waits is in the queue");
                    assert!(!self.pools.leave(ticket, now), "once");
                }
            }
            Op::Opened { which } => {
                if let Some(at) = index(which, self.permits.len()) {
                    let permit = self.permits.swap_remove(at);
                    self.pools.opened(permit, now);
                }
            }
            Op::Failed { which, fatal } => {
                if let Some(at) = index(which, self.permits.len()) {
                    let permit = self.permits.swap_remove(at);
                    let fatal = if fatal {
                        Fatal::FailWaiters
                    } else {
                        Fatal::Retry
                    };
                    self.pools.failed(permit, "down".into(), fatal, now);
                }
            }
            Op::Lose { which } => {
                let all: Vec<ConnId> = self
                    .pools
                    .pools
                    .values()
                    .flat_map(|pool| pool.idle.iter().map(|idle| idle.conn))
                    .collect();
                if let Some(at) = index(which, all.len()) {
                    assert!(self.pools.lost(all[at], now));
                    assert!(!self.pools.lost(all[at], now), "once");
                }
            }
            Op::Wait { ms } => self.now += Duration::from_millis(ms),
            Op::Tick => self.pools.tick(now),
            Op::Pause(all) => self.pools.pause(Self::database(all), now),
            Op::Resume(all) => self.pools.resume(Self::database(all), now),
            Op::Reconnect(all) => self.pools.reconnect(Self::database(all), now),
            Op::Resize { pool, size } => self.pools.set_limits(self.ids[pool], limits(size), now),
            Op::Caps { database, user } => {
                self.database_cap = database;
                self.user_cap = user;
                self.pools.set_database_cap("a", database, now);
                self.pools.set_user_cap("x", user, now);
            }
        }
        self.perform();
    }

    fn perform(&mut self) {
        while let Some(action) = self.pools.next_action() {
            match action {
                Action::Open(permit) => self.permits.push(permit),
                Action::Hand {
                    client,
                    ticket,
                    lease,
                    ..
                } => {
                    let at = self.waiting.iter().position(|(other, ..)| *other == client);
                    let at = at.expect("only who waits is given anything");
                    let (_, expected, pool) = self.waiting.remove(at);
                    assert_eq!((expected, pool), (ticket, lease.pool()));
                    self.leases.push(lease);
                }
                Action::Fail { client, .. } => self.waiting.retain(|(other, ..)| *other != client),
                Action::Close { .. } => {}
            }
        }
    }

    /// P1 to P4, whatever has happened.
    fn check(&self) {
        let mut seen = HashSet::new();
        let mut hungry = 0;
        for (id, pool) in &self.pools.pools {
            let of_pool = |place: fn(Place) -> bool| {
                self.pools
                    .conns
                    .iter()
                    .filter(|(_, conn)| conn.pool == *id && place(conn.place))
                    .count() as u32
            };
            assert_eq!(of_pool(|place| place == Place::Opening), pool.opening);
            assert_eq!(
                of_pool(|place| matches!(place, Place::Leased(_))),
                pool.leased
            );
            assert_eq!(
                of_pool(|place| place == Place::Idle),
                pool.idle.len() as u32
            );
            assert!(pool.idle.iter().all(|idle| seen.insert(idle.conn)), "P2");
            hungry += u32::from(!pool.queue.is_empty());
            let waiting: HashSet<ClientId> =
                pool.queue.iter().map(|waiter| waiter.client).collect();
            let expected = self
                .waiting
                .iter()
                .filter(|(_, _, other)| other == id)
                .map(|(client, ..)| *client);
            assert_eq!(
                waiting,
                expected.collect(),
                "P4: who waits is known to the pool"
            );
            if !pool.paused && !pool.queue.is_empty() {
                assert!(
                    pool.idle.is_empty(),
                    "P3: an idle connection while somebody waits"
                );
            }
        }
        assert_eq!(hungry, self.pools.hungry);
        let permits: HashSet<ConnId> = self.permits.iter().map(Permit::conn).collect();
        let leases: HashSet<ConnId> = self.leases.iter().map(Lease::conn).collect();
        assert_eq!(
            permits.len() + leases.len() + seen.len(),
            self.pools.conns.len(),
            "P2, P4"
        );
        let mut counts: HashMap<usize, u32> = HashMap::new();
        for (_, conn) in &self.pools.conns {
            *counts
                .entry(self.pools.pools[&conn.pool].database)
                .or_default() += 1;
        }
        for (group, count) in counts {
            assert_eq!(
                self.pools.databases.get(group).count,
                count,
                "caps count what there is"
            );
        }
    }
}

proptest! {
    #![proptest_config(ProptestConfig { cases: 400, ..ProptestConfig::default() })]

    #[test]
    fn p1_p2_p3_p4_hold_after_every_operation(ops in prop::collection::vec(op(), 1..120)) {
        let mut world = World::new();
        for op in &ops {
            let before: Vec<u32> = world.pools.pools.values().map(crate::pool::Pool::total).collect();
            world.step(op);
            world.check();
            // P1: nothing ever grows beyond a limit that is in force (shrinking one takes effect
            // as connections come back).
            for (pool, before) in world.pools.pools.values().zip(before) {
                let most = pool.limits.size + pool.limits.reserve_size;
                prop_assert!(pool.total() <= most.max(before), "P1: pool size");
            }
            let a = world.pools.pools.values().filter(|pool| &*pool.key.database == "a");
            let total: u32 = a.map(crate::pool::Pool::total).sum();
            if world.database_cap > 0 && !matches!(op, Op::Caps { .. }) {
                prop_assert!(total <= world.database_cap.max(12), "P1: cap of a database");
            }
        }
    }

    /// Whatever happened before: once servers work and everybody gives back, all who wait are served.
    #[test]
    fn p3_nobody_waits_for_ever(ops in prop::collection::vec(op(), 1..80)) {
        let mut world = World::new();
        for op in &ops {
            world.step(op);
        }
        world.step(&Op::Resume(true));
        for pool in 0..4 {
            world.step(&Op::Resize { pool, size: 2 });
        }
        world.step(&Op::Caps { database: 2, user: 2 });
        for _ in 0..2000 {
            if world.waiting.is_empty() {
                break;
            }
            world.now += Duration::from_millis(20);
            world.step(&Op::Tick);
            while !world.permits.is_empty() {
                world.step(&Op::Opened { which: 0 });
            }
            while !world.leases.is_empty() {
                world.step(&Op::Release { which: 0, clean: true });
            }
            world.check();
        }
        prop_assert!(world.waiting.is_empty(), "{} wait for ever", world.waiting.len());
    }
}

fn one_pool(limits: &Limits) -> (Pools, PoolId) {
    let mut pools = Pools::new(1, Duration::ZERO);
    let key = PoolKey {
        database: "d".into(),
        user: "u".into(),
        host: "h".into(),
        kind: Kind::Normal,
    };
    let id = pools.pool(&key, limits);
    (pools, id)
}

fn permit(pools: &mut Pools) -> Permit {
    match pools.next_action() {
        Some(Action::Open(permit)) => permit,
        other => panic!("expected a permit, got {other:?}"),
    }
}

#[test]
fn p5_timeouts_depend_on_now_alone() {
    let limits = Limits {
        wait_timeout: Duration::from_secs(5),
        ..Limits::default()
    };
    let (mut pools, id) = one_pool(&limits);
    let start = Instant::now();
    assert!(matches!(
        pools.take(id, WorkerId(0), ClientId(1), start),
        Take::Wait(_)
    ));
    let first = permit(&mut pools);
    pools.tick(start + Duration::from_millis(4999));
    assert!(pools.next_action().is_none());
    pools.tick(start + Duration::from_secs(5));
    assert!(matches!(
        pools.next_action(),
        Some(Action::Fail {
            client: ClientId(1),
            ..
        })
    ));
    pools.opened(first, start);
    assert!(
        pools.next_action().is_none(),
        "the connection lies down for the next one"
    );
}

#[test]
fn pauses_after_failures_grow_and_newcomers_fail_fast_in_the_end() {
    let limits = Limits {
        login_retry: Duration::from_secs(1),
        ..Limits::default()
    };
    let (mut pools, id) = one_pool(&limits);
    let start = Instant::now();
    let at = |ms| start + Duration::from_millis(ms);
    assert!(matches!(
        pools.take(id, WorkerId(0), ClientId(1), at(0)),
        Take::Wait(_)
    ));
    let first = permit(&mut pools);
    pools.failed(first, Arc::from("refused"), Fatal::Retry, at(0));
    pools.tick(at(99));
    assert!(pools.next_action().is_none());
    pools.tick(at(100));
    let second = permit(&mut pools);
    pools.failed(second, Arc::from("refused"), Fatal::Retry, at(1100));
    let late = pools.take(id, WorkerId(0), ClientId(2), at(1150));
    assert!(
        matches!(late, Take::Refused(crate::Refusal::LoginFailing { .. })),
        "{late:?}"
    );
    pools.tick(at(1300));
    let third = permit(&mut pools);
    pools.opened(third, at(1300));
    assert!(matches!(
        pools.next_action(),
        Some(Action::Hand {
            client: ClientId(1),
            ..
        })
    ));
}

#[test]
fn p1_the_reserve_opens_only_when_somebody_has_waited() {
    let limits = Limits {
        size: 1,
        reserve_size: 1,
        reserve_delay: Duration::from_secs(1),
        ..Limits::default()
    };
    let (mut pools, id) = one_pool(&limits);
    let start = Instant::now();
    assert!(matches!(
        pools.take(id, WorkerId(0), ClientId(1), start),
        Take::Wait(_)
    ));
    let first = permit(&mut pools);
    pools.opened(first, start);
    let Some(Action::Hand { lease, .. }) = pools.next_action() else {
        panic!("not handed over")
    };
    assert!(matches!(
        pools.take(id, WorkerId(0), ClientId(2), start),
        Take::Wait(_)
    ));
    assert!(pools.next_action().is_none());
    pools.tick(start + Duration::from_secs(1));
    let second = permit(&mut pools);
    pools.opened(second, start);
    pools.release(lease, Release::Clean, start);
}

#[test]
fn p1_a_busy_pool_shrinks_and_renews_itself() {
    let limits = Limits {
        size: 1,
        lifetime: Duration::from_secs(10),
        ..Limits::default()
    };
    let (mut pools, id) = one_pool(&limits);
    let start = Instant::now();
    let late = start + Duration::from_secs(11);
    assert!(matches!(
        pools.take(id, WorkerId(0), ClientId(1), start),
        Take::Wait(_)
    ));
    let first = permit(&mut pools);
    pools.opened(first, start);
    let Some(Action::Hand { lease, .. }) = pools.next_action() else {
        panic!("not handed over")
    };
    assert!(matches!(
        pools.take(id, WorkerId(0), ClientId(2), late),
        Take::Wait(_)
    ));
    pools.release(lease, Release::Clean, late);
    assert!(
        matches!(pools.next_action(), Some(Action::Close { .. })),
        "too old, though wanted"
    );
    let second = permit(&mut pools);
    pools.opened(second, late);
    assert!(matches!(
        pools.next_action(),
        Some(Action::Hand {
            client: ClientId(2),
            ..
        })
    ));
}
