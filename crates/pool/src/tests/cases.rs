//! One pool, case by case.

use std::time::Duration;

use super::desk::{Desk, HERE, THERE};
use crate::{Counts, Fatal, Kind, Lease, Limits, Phase, Refusal, Release};

#[test]
fn p1_permits_end_where_the_size_does() {
    let mut desk = Desk::new(Limits {
        size: 2,
        ..Limits::default()
    });
    for _ in 0..5 {
        desk.wait(HERE);
    }
    let (first, second) = (desk.permit(), desk.permit());
    desk.nothing();
    desk.opened(first);
    let (_, lease) = desk.hand();
    desk.nothing();
    desk.failed(second, Fatal::Retry);
    desk.nothing();
    desk.tick(100);
    let second = desk.permit();
    desk.nothing();
    desk.release(lease);
    let _lease = desk.hand();
    desk.opened(second);
    let _lease = desk.hand();
    desk.nothing();
}

#[test]
fn p1_so_many_are_opened_at_once() {
    let mut desk = Desk::new(Limits {
        opening_max: 2,
        ..Limits::default()
    });
    for _ in 0..4 {
        desk.wait(HERE);
    }
    let first = desk.permit();
    let _permit = desk.permit();
    desk.nothing();
    desk.opened(first);
    let _lease = desk.hand();
    let _permit = desk.permit();
    desk.nothing();
}

#[test]
fn p1_the_reserve_is_for_those_who_have_waited() {
    let mut desk = Desk::new(Limits {
        size: 1,
        reserve_size: 2,
        reserve_delay: Duration::from_secs(1),
        ..Limits::default()
    });
    let lease = desk.fresh(HERE);
    desk.wait(HERE);
    desk.at(500);
    desk.wait(HERE);
    desk.tick(999);
    desk.nothing();
    desk.tick(1000);
    let permit = desk.permit();
    desk.nothing();
    desk.opened(permit);
    let _lease = desk.hand();
    desk.tick(1499);
    desk.nothing();
    desk.tick(1500);
    let permit = desk.permit();
    desk.wait(HERE);
    desk.tick(9000);
    desk.nothing();
    desk.opened(permit);
    let _lease = desk.hand();
    desk.release(lease);
    let _lease = desk.hand();
}

#[test]
fn p1_a_smaller_size_is_reached_though_others_wait() {
    let mut desk = Desk::new(Limits::default());
    let leases = [desk.fresh(HERE), desk.fresh(HERE), desk.fresh(HERE)];
    let limits = Limits {
        size: 1,
        ..Limits::default()
    };
    desk.pools.set_limits(desk.id, limits, desk.now);
    desk.nothing();
    desk.wait(HERE);
    let [first, second, third] = leases;
    desk.release(first);
    assert_eq!(desk.closed().1, "pool size reduced");
    desk.release(second);
    assert_eq!(desk.closed().1, "pool size reduced");
    desk.nothing();
    desk.release(third);
    let _lease = desk.hand();
}

#[test]
fn p3_the_one_used_last_is_used_next_and_one_of_the_same_worker_first() {
    let mut desk = Desk::new(Limits::default());
    let [near, far, late] = [desk.fresh(HERE), desk.fresh(THERE), desk.fresh(HERE)];
    let conns = [near.conn(), late.conn(), far.conn()];
    for lease in [near, late, far] {
        desk.release(lease);
    }
    let order = [desk.take(HERE), desk.take(HERE), desk.take(HERE)];
    let [first, second, third] = [conns[1], conns[0], conns[2]];
    assert_eq!(order.each_ref().map(Lease::conn), [first, second, third]);
    assert_eq!(order[2].worker(), THERE);
    let [_, _, far] = order;
    desk.release(far);
    assert_eq!(desk.take(THERE).worker(), HERE, "it has moved");
}

#[test]
fn p3_round_robin_uses_the_one_that_idled_longest() {
    let mut desk = Desk::new(Limits {
        round_robin: true,
        ..Limits::default()
    });
    let (first, second) = (desk.fresh(HERE), desk.fresh(HERE));
    let conns = [first.conn(), second.conn()];
    desk.release(first);
    desk.release(second);
    for turn in 0..4 {
        let lease = desk.take(HERE);
        assert_eq!(lease.conn(), conns[turn % 2]);
        desk.release(lease);
    }
}

#[test]
fn p4_a_hand_over_that_crosses_with_leaving_is_not_lost() {
    let mut desk = Desk::new(Limits {
        size: 1,
        ..Limits::default()
    });
    let lease = desk.fresh(HERE);
    let (gone, next) = (desk.wait(HERE), desk.wait(HERE));
    desk.release(lease);
    // The action is under way when the client gives up.
    assert!(!desk.pools.leave(gone, desk.now));
    let (ticket, lease) = desk.hand();
    assert_eq!(ticket, gone);
    desk.release(lease);
    assert_eq!(desk.hand().0, next);
    desk.nothing();
}

#[test]
fn p4_who_leaves_is_passed_over_and_its_connection_lies_down() {
    let mut desk = Desk::new(Limits::default());
    let (first, second) = (desk.wait(HERE), desk.wait(HERE));
    let permits = [desk.permit(), desk.permit()];
    assert!(desk.pools.leave(first, desk.now));
    assert!(!desk.pools.leave(first, desk.now));
    let [one, two] = permits;
    desk.opened(one);
    assert_eq!(desk.hand().0, second);
    desk.opened(two);
    desk.nothing();
    assert_eq!(desk.counts().idle, 1);
}

#[test]
fn p4_a_connection_is_lost_only_while_it_is_idle() {
    let mut desk = Desk::new(Limits::default());
    let lease = desk.fresh(HERE);
    let conn = lease.conn();
    assert!(!desk.pools.lost(conn, desk.now));
    desk.release(lease);
    assert!(desk.pools.lost(conn, desk.now));
    assert!(!desk.pools.lost(conn, desk.now));
    let next = desk.fresh(HERE);
    assert_ne!(next.conn(), conn, "an identity is used once");
    assert!(!desk.pools.lost(conn, desk.now));
}

#[test]
fn p4_a_dedicated_connection_is_never_used_again() {
    let mut desk = Desk::of(Kind::Dedicated, Limits::default());
    let lease = desk.fresh(HERE);
    desk.release(lease);
    desk.nothing();
    assert_eq!(desk.counts(), Counts::default());
    // Its client has left while it was being opened.
    let ticket = desk.wait(HERE);
    let permit = desk.permit();
    assert!(desk.pools.leave(ticket, desk.now));
    desk.opened(permit);
    assert_eq!(desk.closed().1, "client left");
    assert_eq!(desk.counts(), Counts::default());
}

#[test]
fn p3_a_refused_login_is_told_to_those_who_wait_unless_a_connection_works() {
    let mut desk = Desk::new(Limits::default());
    desk.wait(HERE);
    desk.wait(HERE);
    let permits = [desk.permit(), desk.permit()];
    let [one, two] = permits;
    desk.failed(one, Fatal::FailWaiters);
    desk.nothing();
    desk.failed(two, Fatal::FailWaiters);
    for _ in 0..2 {
        assert!(matches!(desk.refused(), Refusal::LoginRefused { .. }));
    }
    desk.nothing();
    desk.at(1000);
    let lease = desk.fresh(HERE);
    let ticket = desk.wait(HERE);
    let permit = desk.permit();
    desk.failed(permit, Fatal::FailWaiters);
    desk.nothing();
    desk.release(lease);
    assert_eq!(desk.hand().0, ticket);
}

#[test]
fn p2_a_connection_is_in_one_place() {
    let mut desk = Desk::new(Limits::default());
    let only = |counts: Counts| Counts {
        oldest_wait: None,
        waiting: 0,
        ..counts
    };
    let check = |desk: &Desk, expected: Counts| assert_eq!(only(desk.counts()), expected);
    let one = |place: fn(&mut Counts) -> &mut u32| {
        let mut counts = Counts::default();
        *place(&mut counts) = 1;
        counts
    };
    desk.wait(HERE);
    let permit = desk.permit();
    check(&desk, one(|counts| &mut counts.opening));
    desk.opened(permit);
    let (_, lease) = desk.hand();
    check(&desk, one(|counts| &mut counts.active));
    desk.pools.note(lease.conn(), Phase::Tested);
    check(&desk, one(|counts| &mut counts.tested));
    desk.pools.note(lease.conn(), Phase::BeingCanceled);
    check(&desk, one(|counts| &mut counts.being_canceled));
    desk.release(lease);
    check(&desk, one(|counts| &mut counts.idle));
    desk.at(60_000);
    check(&desk, one(|counts| &mut counts.used));
    let lease = desk.take(THERE);
    check(&desk, one(|counts| &mut counts.active));
    let end = Release::Close("broken");
    desk.pools.release(lease, end, desk.now);
    check(&desk, Counts::default());
}
