//! Random operations in random order, and after each of them every invariant.

use std::time::Duration;

use proptest::prelude::*;

use super::world::{World, key};
use crate::{Fatal, Kind, Limits, Phase};

const WORKERS: u16 = 3;
const POOLS: usize = 5;

#[derive(Debug, Clone)]
enum Op {
    Take { pool: usize, worker: u16 },
    Release { which: usize, clean: bool },
    Leave { which: usize },
    Opened { which: usize },
    Failed { which: usize, fatal: bool },
    Lose { which: usize },
    Note { which: usize, phase: Phase },
    Perform { actions: usize },
    Wait { ms: u64 },
    Tick,
    Pause(Option<&'static str>),
    Resume(Option<&'static str>),
    Reconnect(Option<&'static str>),
    Resize { pool: usize, size: u32, min: u32 },
    DatabaseCap(&'static str, u32),
    UserCap(&'static str, u32),
    RemoveDatabase(&'static str),
    RemovePool(usize),
    ShutDown,
}

fn database() -> impl Strategy<Value = &'static str> {
    prop_oneof![Just("a"), Just("b")]
}

fn op() -> impl Strategy<Value = Op> {
    let which = any::<usize>;
    let phase = prop_oneof![
        Just(Phase::Active),
        Just(Phase::Tested),
        Just(Phase::BeingCanceled)
    ];
    let ms = prop_oneof![0..3u64, 50..300u64, 4000..9000u64];
    let user = prop_oneof![Just("x"), Just("y")];
    prop_oneof![
        24 => (0..POOLS, 0..WORKERS).prop_map(|(pool, worker)| Op::Take { pool, worker }),
        20 => (which(), prop::bool::weighted(0.85))
            .prop_map(|(which, clean)| Op::Release { which, clean }),
        6 => which().prop_map(|which| Op::Leave { which }),
        20 => which().prop_map(|which| Op::Opened { which }),
        4 => (which(), any::<bool>()).prop_map(|(which, fatal)| Op::Failed { which, fatal }),
        3 => which().prop_map(|which| Op::Lose { which }),
        2 => (which(), phase).prop_map(|(which, phase)| Op::Note { which, phase }),
        30 => (1..6usize).prop_map(|actions| Op::Perform { actions }),
        10 => ms.prop_map(|ms| Op::Wait { ms }),
        10 => Just(Op::Tick),
        2 => prop::option::of(database()).prop_map(Op::Pause),
        4 => prop::option::of(database()).prop_map(Op::Resume),
        2 => prop::option::of(database()).prop_map(Op::Reconnect),
        4 => (0..POOLS, 0..5u32, 0..3u32).prop_map(|(pool, size, min)| Op::Resize { pool, size, min }),
        4 => (database(), 0..6u32).prop_map(|(name, max)| Op::DatabaseCap(name, max)),
        4 => (user, 0..6u32).prop_map(|(name, max)| Op::UserCap(name, max)),
        1 => database().prop_map(Op::RemoveDatabase),
        1 => (0..POOLS).prop_map(Op::RemovePool),
    ]
}

fn limits(size: u32, min_size: u32) -> Limits {
    Limits {
        size,
        min_size,
        reserve_size: 1,
        reserve_delay: Duration::from_millis(200),
        wait_timeout: Duration::from_secs(8),
        idle_timeout: Duration::from_secs(10),
        lifetime: Duration::from_secs(30),
        login_retry: Duration::from_secs(1),
        round_robin: size.is_multiple_of(2),
        opening_max: 3,
        ..Limits::default()
    }
}

fn world() -> World {
    let keys = [
        key("a", "x", Kind::Normal),
        key("a", "y", Kind::Normal),
        key("b", "x", Kind::Normal),
        key("b", "y", Kind::Normal),
        key("a", "x", Kind::Dedicated),
    ];
    World::new(WORKERS, &keys, &limits(3, 0))
}

fn step(world: &mut World, op: &Op) {
    let now = world.now;
    let index = |which: usize, len: usize| (len > 0).then(|| which % len);
    match *op {
        Op::Take { pool, worker } => drop(world.take(pool, worker)),
        Op::Release { which, clean } => {
            if let Some(at) = index(which, world.leases.len()) {
                world.release(at, clean);
            }
        }
        Op::Leave { which } => {
            if let Some(at) = index(which, world.waiting.len()) {
                world.leave(at);
            }
        }
        Op::Opened { which } => {
            if let Some(at) = index(which, world.permits.len()) {
                world.opened(at);
            }
        }
        Op::Failed { which, fatal } => {
            let fatal = if fatal {
                Fatal::FailWaiters
            } else {
                Fatal::Retry
            };
            if let Some(at) = index(which, world.permits.len()) {
                world.failed(at, fatal);
            }
        }
        Op::Lose { which } => world.lose(which),
        Op::Note { which, phase } => {
            if let Some(at) = index(which, world.leases.len()) {
                world.pools.note(world.leases[at].1.conn(), phase);
            }
        }
        Op::Perform { actions } => (0..actions).for_each(|_| world.perform_one()),
        Op::Wait { ms } => world.now += Duration::from_millis(ms),
        Op::Tick => world.tick(),
        Op::Pause(database) => world.pools.pause(database, now),
        Op::Resume(database) => world.pools.resume(database, now),
        Op::Reconnect(database) => world.pools.reconnect(database, now),
        Op::Resize { pool, size, min } => {
            world
                .pools
                .set_limits(world.ids[pool], limits(size, min), now);
        }
        Op::DatabaseCap(name, max) => world.pools.set_database_cap(name, max, now),
        Op::UserCap(name, max) => world.pools.set_user_cap(name, max, now),
        Op::RemoveDatabase(name) => {
            world.pools.remove_database(name, now);
            revive(world);
        }
        Op::RemovePool(pool) => {
            world
                .pools
                .remove_pool(world.ids[pool], "pool removed", now);
            revive(world);
        }
        Op::ShutDown => world.pools.shut_down(now),
    }
}

/// Who asks for a pool that was removed gets a new one.
fn revive(world: &mut World) {
    let keys = [
        ("a", "x", Kind::Normal),
        ("a", "y", Kind::Normal),
        ("b", "x", Kind::Normal),
        ("b", "y", Kind::Normal),
        ("a", "x", Kind::Dedicated),
    ];
    for (id, (database, user, kind)) in world.ids.iter_mut().zip(keys) {
        *id = world.pools.pool(&key(database, user, kind), &limits(3, 0));
    }
}

proptest! {
    #[test]
    fn p1_p2_p3_p4_hold_after_every_operation(ops in prop::collection::vec(op(), 1..160)) {
        let mut world = world();
        for op in &ops {
            step(&mut world, op);
            world.check();
        }
    }

    /// Whatever happened before: once servers work, nothing is paused and everybody gives back, all
    /// who wait are served.
    #[test]
    fn p3_nobody_waits_for_ever(ops in prop::collection::vec(op(), 1..120)) {
        let mut world = world();
        for op in &ops {
            step(&mut world, op);
            world.check();
        }
        step(&mut world, &Op::Resume(None));
        world.check();
        for pool in 0..POOLS {
            step(&mut world, &Op::Resize { pool, size: 2, min: 1 });
            world.check();
        }
        for (database, user) in [("a", "x"), ("b", "y")] {
            step(&mut world, &Op::DatabaseCap(database, 2));
            world.check();
            step(&mut world, &Op::UserCap(user, 2));
            world.check();
        }
        world.perform_all();
        for _ in 0..500 {
            if world.waiting.is_empty() {
                break;
            }
            world.now += Duration::from_millis(10);
            world.tick();
            world.perform_all();
            while !world.permits.is_empty() {
                world.opened(0);
            }
            world.perform_all();
            while !world.leases.is_empty() {
                world.release(0, true);
            }
            world.perform_all();
            world.check();
        }
        prop_assert!(world.waiting.is_empty(), "{} wait for ever", world.waiting.len());
    }

    /// After the end of the process is decided everything comes back and nothing new is opened.
    #[test]
    fn p4_shutting_down_leaves_nothing_behind(ops in prop::collection::vec(op(), 1..80)) {
        let mut world = world();
        for op in &ops {
            step(&mut world, op);
            world.check();
        }
        step(&mut world, &Op::ShutDown);
        world.check();
        world.perform_all();
        let permits = world.permits.len();
        while !world.leases.is_empty() {
            world.release(0, true);
            world.check();
        }
        for at in (0..permits).rev() {
            if at.is_multiple_of(2) {
                world.opened(at);
            } else {
                world.failed(at, Fatal::Retry);
            }
            world.perform_all();
            world.check();
        }
        world.now += Duration::from_secs(1);
        world.tick();
        world.perform_all();
        prop_assert!(world.pools.quiescent(None));
        prop_assert!(world.sockets.is_empty() && world.permits.is_empty());
        prop_assert!(world.waiting.is_empty());
    }
}
