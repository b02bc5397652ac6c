//! Operators at work while connections are in use.

use std::time::Duration;

use super::world::{News, World, key};
use crate::{Kind, Limits, Take};

fn world() -> World {
    let keys = [key("d", "x", Kind::Normal), key("e", "x", Kind::Normal)];
    let limits = Limits {
        size: 2,
        ..Limits::default()
    };
    World::new(2, &keys, &limits)
}

fn settle(world: &mut World) {
    world.perform_all();
    world.check();
}

/// One connection leased, one idle, one client that waits behind a permit: of the first pool.
fn busy() -> World {
    let mut world = world();
    for _ in 0..2 {
        world.take(0, 0);
    }
    settle(&mut world);
    world.opened(0);
    settle(&mut world);
    world
}

#[test]
fn pausing_lets_nobody_have_a_connection_and_closes_what_comes_back() {
    let mut world = busy();
    world.pools.pause(Some("d"), world.now);
    world.opened(0);
    settle(&mut world);
    assert_eq!(world.waiting.len(), 1);
    assert!(!world.pools.quiescent(Some("d")));
    assert!(world.pools.quiescent(Some("e")));
    world.release(0, true);
    settle(&mut world);
    assert!(world.pools.quiescent(Some("d")) && world.sockets.is_empty());
    assert!(matches!(world.take(0, 0).1, Take::Wait(_)));
    settle(&mut world);
    assert!(world.permits.is_empty());
    world.pools.resume(Some("d"), world.now);
    settle(&mut world);
    assert_eq!(world.permits.len(), 2);
}

#[test]
fn a_database_paused_by_name_is_paused_before_it_has_a_pool() {
    let mut world = world();
    world.pools.pause(Some("new"), world.now);
    let id = world
        .pools
        .pool(&key("new", "x", Kind::Normal), &Limits::default());
    assert!(world.pools.iter().any(|pool| pool.id == id && pool.paused));
    // Resuming everything resumes what was paused by name; resuming by name not what was paused
    // with everything.
    world.pools.pause(None, world.now);
    world.pools.resume(Some("new"), world.now);
    assert!(world.pools.is_paused(Some("new")));
    world.pools.resume(None, world.now);
    assert!(!world.pools.is_any_paused());
    assert!(world.pools.iter().all(|pool| !pool.paused));
}

#[test]
fn reconnecting_ends_every_connection_of_before_and_none_of_after() {
    let mut world = busy();
    world.pools.reconnect(Some("d"), world.now);
    settle(&mut world);
    assert!(!world.pools.refreshed(Some("d")) && world.pools.refreshed(Some("e")));
    // The one that was being opened goes where it was told to go before.
    world.opened(0);
    settle(&mut world);
    assert_eq!((world.waiting.len(), world.permits.len()), (1, 1));
    world.opened(0);
    settle(&mut world);
    assert_eq!(world.leases.len(), 2);
    assert!(world.pools.is_stale(world.leases[0].1.conn()));
    world.release(0, true);
    settle(&mut world);
    assert!(world.pools.refreshed(None));
    world.release(0, true);
    settle(&mut world);
    assert_eq!(world.idle().len(), 1, "the new one stays");
}

#[test]
fn a_connection_that_is_out_of_date_is_closed_and_no_other() {
    let mut world = busy();
    let leased = world.leases[0].1.conn();
    world.pools.outdate(&[leased], world.now);
    settle(&mut world);
    assert!(world.pools.is_stale(leased), "in use");
    world.release(0, true);
    settle(&mut world);
    assert!(world.pools.refreshed(None));
    // What lies idle goes at once; what is no more is passed over.
    while !world.permits.is_empty() {
        world.opened(0);
        settle(&mut world);
    }
    while !world.leases.is_empty() {
        world.release(0, true);
        settle(&mut world);
    }
    let idle = world.idle();
    assert!(!idle.is_empty());
    world.pools.outdate(&[idle[0], leased], world.now);
    settle(&mut world);
    assert_eq!(world.idle().len(), idle.len() - 1);
}

#[test]
fn a_removed_pool_refuses_who_waits_and_ends_with_its_last_connection() {
    let mut world = busy();
    let old = world.ids[0];
    world.pools.remove_pool(old, "pool removed", world.now);
    settle(&mut world);
    assert!(matches!(world.news.last(), Some(News::Refused(_))));
    assert!(matches!(world.take(0, 0).1, Take::Refused(_)));
    assert_eq!(world.pools.find(&key("d", "x", Kind::Normal)), None);
    // Under the same key there is a new one, which has nothing to do with it.
    let new = world
        .pools
        .pool(&key("d", "x", Kind::Normal), &Limits::default());
    assert_ne!(new, old);
    world.opened(0);
    settle(&mut world);
    assert_eq!(*world.pools.key(old).user, *"x");
    world.release(0, true);
    settle(&mut world);
    assert!(world.sockets.is_empty());
    assert!(world.pools.slot(old).is_none());
    assert!(matches!(world.take(0, 0).1, Take::Refused(_)));
}

#[test]
fn a_removed_database_leaves_others_alone() {
    let mut world = busy();
    world.pools.disable("d");
    assert!(world.pools.is_disabled("d"));
    world.pools.remove_database("d", world.now);
    settle(&mut world);
    assert!(
        !world.pools.is_disabled("d"),
        "a new one of the name is a new one"
    );
    assert_eq!(world.pools.databases().len(), 1);
    world.pools.set_database_cap("never used", 3, world.now);
    world.pools.remove_database("never used", world.now);
    assert!(world.pools.databases.find("never used").is_none());
    assert!(matches!(world.take(1, 0).1, Take::Wait(_)));
    settle(&mut world);
    assert_eq!(world.permits.len(), 2);
}

#[test]
fn a_disabled_database_serves_those_who_are_there() {
    let mut world = busy();
    world.pools.disable("d");
    world.opened(0);
    settle(&mut world);
    assert_eq!(world.leases.len(), 2);
    world.pools.enable("d");
    assert!(!world.pools.is_disabled("d"));
}

#[test]
fn tokens_of_a_pool_that_has_ended_do_no_harm() {
    let mut world = busy();
    let ticket = world.waiting[0].ticket;
    world.pools.remove_database("d", world.now);
    settle(&mut world);
    world.opened(0);
    world.release(0, true);
    settle(&mut world);
    let id = world
        .pools
        .pool(&key("f", "x", Kind::Normal), &Limits::default());
    world.ids[0] = id;
    world.take(0, 0);
    settle(&mut world);
    assert!(
        !world.pools.leave(ticket, world.now),
        "it stands in another queue"
    );
    assert_eq!(world.waiting.len(), 1);
    world.now += Duration::from_secs(1);
    world.tick();
    settle(&mut world);
}
