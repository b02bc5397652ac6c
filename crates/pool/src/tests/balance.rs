//! Several pools under one cap, size or operator.

use std::time::Duration;

use super::world::{World, key};
use crate::{Kind, Limits, PoolKey, Take};

fn limits() -> Limits {
    Limits {
        size: 4,
        wait_timeout: Duration::ZERO,
        ..Limits::default()
    }
}

fn world(keys: &[PoolKey]) -> World {
    World::new(2, keys, &limits())
}

fn two() -> [PoolKey; 2] {
    [key("d", "x", Kind::Normal), key("d", "y", Kind::Normal)]
}

/// Asks until `count` connections of a pool are leased; where they stand in `leases` is the order
/// in which they came.
fn fill(world: &mut World, pool: usize, count: usize) {
    for _ in 0..count {
        ask(world, pool);
    }
    open_all(world);
}

fn ask(world: &mut World, pool: usize) {
    let (client, take) = world.take(pool, 0);
    assert!(!matches!(take, Take::Refused(_)), "{client:?}: {take:?}");
    world.perform_all();
    world.check();
}

fn open_all(world: &mut World) {
    while !world.permits.is_empty() {
        world.opened(0);
        world.perform_all();
        world.check();
    }
}

fn release(world: &mut World, at: usize) {
    world.release(at, true);
    world.perform_all();
    world.check();
}

fn of_pool(world: &World, pool: usize) -> usize {
    let id = world.ids[pool];
    world
        .leases
        .iter()
        .filter(|(_, lease)| lease.pool() == id)
        .count()
}

#[test]
fn p1_an_idle_connection_of_another_pool_makes_room() {
    let mut world = world(&two());
    world.pools.set_database_cap("d", 2, world.now);
    fill(&mut world, 0, 2);
    release(&mut world, 0);
    ask(&mut world, 1);
    assert!(world.idle().is_empty(), "it was evicted");
    assert_eq!(world.permits.len(), 1);
    ask(&mut world, 1);
    assert_eq!(world.permits.len(), 1, "the other one is in use");
    open_all(&mut world);
    release(&mut world, 0);
    assert!(world.idle().is_empty(), "it did not lie down");
    open_all(&mut world);
    assert_eq!((of_pool(&world, 0), of_pool(&world, 1)), (0, 2));
}

#[test]
fn p1_two_full_caps_ask_for_two_victims() {
    let keys = [
        key("a", "y", Kind::Normal),
        key("b", "x", Kind::Normal),
        key("a", "x", Kind::Normal),
    ];
    let mut world = world(&keys);
    world.pools.set_database_cap("a", 1, world.now);
    world.pools.set_user_cap("x", 1, world.now);
    fill(&mut world, 0, 1);
    fill(&mut world, 1, 1);
    ask(&mut world, 2);
    assert!(world.permits.is_empty());
    release(&mut world, 0);
    assert_eq!(world.idle().len(), 1, "one alone would go in vain");
    release(&mut world, 0);
    assert!(world.idle().is_empty());
    open_all(&mut world);
    assert_eq!(of_pool(&world, 2), 1);
}

#[test]
fn p1_a_lowered_cap_is_reached() {
    let mut world = world(&two());
    fill(&mut world, 0, 2);
    fill(&mut world, 1, 2);
    release(&mut world, 0);
    world.pools.set_database_cap("d", 2, world.now);
    world.perform_all();
    world.check();
    assert!(world.idle().is_empty());
    ask(&mut world, 0);
    release(&mut world, 0);
    assert_eq!(world.waiting.len(), 1, "its connection was one too many");
    assert_eq!(world.pools.database_connections("d"), 2);
    release(&mut world, 0);
    open_all(&mut world);
    assert!(world.waiting.is_empty());
    assert_eq!(world.pools.database_connections("d"), 2);
}

#[test]
fn p1_dedicated_connections_count_against_size_and_caps() {
    let keys = [key("d", "x", Kind::Normal), key("d", "x", Kind::Dedicated)];
    let mut world = world(&keys);
    fill(&mut world, 0, 4);
    ask(&mut world, 1);
    assert!(world.permits.is_empty(), "the size is reached");
    release(&mut world, 0);
    assert!(world.idle().is_empty(), "what lies down makes room");
    open_all(&mut world);
    assert_eq!((of_pool(&world, 0), of_pool(&world, 1)), (3, 1));
    ask(&mut world, 0);
    assert_eq!(world.waiting.len(), 1);
    let at = world.leases.len() - 1;
    release(&mut world, at);
    open_all(&mut world);
    assert_eq!((of_pool(&world, 0), of_pool(&world, 1)), (4, 0));
}

#[test]
fn p3_a_freed_slot_goes_to_who_waits_longest_in_whichever_pool() {
    let mut world = world(&two());
    world.pools.set_database_cap("d", 1, world.now);
    fill(&mut world, 0, 1);
    ask(&mut world, 1);
    ask(&mut world, 0);
    world.release(0, false);
    world.perform_all();
    world.check();
    assert_eq!(world.permits[0].pool(), world.ids[1]);
    world.failed(0, crate::Fatal::Retry);
    world.perform_all();
    world.check();
    assert_eq!(
        world.permits[0].pool(),
        world.ids[0],
        "while the other pauses"
    );
}

/// One pool is so busy that it never has an idle connection; the other one's clients are served all
/// the same.
#[test]
fn p3_a_busy_pool_does_not_starve_another() {
    let mut world = world(&two());
    world.pools.set_database_cap("d", 2, world.now);
    fill(&mut world, 0, 2);
    ask(&mut world, 0);
    let asked = world.now;
    ask(&mut world, 1);
    let starves = |world: &World| {
        let mut waiting = world.waiting.iter();
        waiting.any(|one| one.ticket.pool == world.ids[1])
    };
    while starves(&world) {
        world.now += Duration::from_millis(5);
        ask(&mut world, 0);
        release(&mut world, 0);
        open_all(&mut world);
        assert!(world.now - asked < Duration::from_millis(200), "it starves");
    }
    assert!(
        world.now - asked >= Duration::from_millis(100),
        "not in turn"
    );
}

#[test]
fn p3_pausing_everything_opens_nothing_in_between() {
    let mut world = world(&two());
    world.pools.set_database_cap("d", 1, world.now);
    fill(&mut world, 0, 1);
    ask(&mut world, 1);
    release(&mut world, 0);
    open_all(&mut world);
    release(&mut world, 0);
    ask(&mut world, 0);
    world.pools.pause(None, world.now);
    world.collect();
    let opens = |action: &crate::Action| matches!(action, crate::Action::Open(_));
    assert!(!world.in_flight.iter().any(opens));
}

/// Old connections of one pool are closed while somebody in another pool becomes entitled to evict
/// them: each is closed once.
#[test]
fn p4_closing_old_ones_while_the_reserve_is_due() {
    let mut world = world(&two());
    world.pools.set_database_cap("d", 3, world.now);
    fill(&mut world, 0, 1);
    fill(&mut world, 1, 2);
    let own = [
        Limits {
            size: 1,
            reserve_size: 2,
            reserve_delay: Duration::from_millis(1500),
            ..limits()
        },
        Limits {
            idle_timeout: Duration::from_secs(1),
            ..limits()
        },
    ];
    for (id, limits) in world.ids.clone().into_iter().zip(own) {
        world.pools.set_limits(id, limits, world.now);
    }
    release(&mut world, 1);
    release(&mut world, 1);
    ask(&mut world, 0);
    ask(&mut world, 0);
    assert_eq!((world.idle().len(), world.waiting.len()), (2, 2));
    world.now += Duration::from_secs(2);
    world.tick();
    world.perform_all();
    world.check();
    open_all(&mut world);
    assert_eq!((world.idle().len(), world.waiting.len()), (0, 0));
}
