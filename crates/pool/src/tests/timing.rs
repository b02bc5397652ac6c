//! One pool, and what time does to it.

use std::time::Duration;

use super::desk::{Desk, HERE, THERE};
use crate::{Counts, Fatal, Hindrance, Lease, Limits, Permit, Phase, Refusal, Release, Take};

#[test]
fn p5_who_waits_too_long_is_told_what_there_was() {
    let mut desk = Desk::new(Limits {
        size: 1,
        wait_timeout: Duration::from_secs(5),
        ..Limits::default()
    });
    let _lease = desk.fresh(HERE);
    desk.wait(HERE);
    desk.at(2000);
    desk.wait(THERE);
    desk.tick(4999);
    desk.nothing();
    desk.tick(5000);
    let Refusal::WaitTimeout {
        waited,
        figures,
        hindrance,
    } = desk.refused()
    else {
        panic!("refused for another reason");
    };
    assert_eq!(waited, Duration::from_secs(5));
    assert_eq!(
        figures.to_string(),
        "pool size 1, 1 in use, 0 idle, 0 opening, 2 waiting"
    );
    assert_eq!(hindrance, Hindrance::Size);
    desk.nothing();
    desk.tick(7000);
    desk.refused();
}

#[test]
fn p5_who_waits_too_long_is_told_what_was_in_the_way() {
    let limits = Limits {
        size: 2,
        wait_timeout: Duration::from_secs(5),
        ..Limits::default()
    };
    let check = |prepare: fn(&mut Desk), expected: Hindrance| {
        let mut desk = Desk::new(limits.clone());
        let _lease = desk.fresh(HERE);
        prepare(&mut desk);
        desk.wait(HERE);
        while desk.pools.next_action().is_some() {}
        desk.tick(5000);
        match desk.refused() {
            Refusal::WaitTimeout { hindrance, .. } => assert_eq!(hindrance, expected),
            other => panic!("{other:?}"),
        }
    };
    check(
        |desk| desk.pools.set_database_cap("d", 1, desk.now),
        Hindrance::DatabaseCap,
    );
    check(
        |desk| desk.pools.set_user_cap("u", 1, desk.now),
        Hindrance::UserCap,
    );
    check(|desk| desk.pools.pause(None, desk.now), Hindrance::Paused);
    let failing = |desk: &mut Desk| {
        desk.wait(HERE);
        let permit = desk.permit();
        desk.failed(permit, Fatal::Retry);
    };
    let cause = "refused".into();
    check(failing, Hindrance::Failing { cause });
}

#[test]
fn p5_pauses_after_failures_grow_and_newcomers_fail_fast_in_the_end() {
    let mut desk = Desk::new(Limits {
        login_retry: Duration::from_secs(1),
        ..Limits::default()
    });
    let first = desk.wait(HERE);
    let permit = desk.permit();
    desk.failed(permit, Fatal::Retry);
    desk.tick(99);
    desk.nothing();
    desk.tick(100);
    let permit = desk.permit();
    desk.at(1100);
    desk.failed(permit, Fatal::Retry);
    desk.at(1150);
    let late = desk.ask(HERE);
    assert!(
        matches!(late, Take::Refused(Refusal::LoginFailing { .. })),
        "{late:?}"
    );
    desk.tick(1300);
    let permit = desk.permit();
    // An attempt is under way: it may be the one that works.
    let second = desk.wait(HERE);
    desk.opened(permit);
    assert_eq!(desk.hand().0, first);
    let permit = desk.permit();
    desk.opened(permit);
    assert_eq!(desk.hand().0, second);
}

#[test]
fn p5_attempts_that_fail_together_are_one_outage() {
    let mut desk = Desk::new(Limits::default());
    let permits: Vec<Permit> = (0..8)
        .map(|_| {
            desk.wait(HERE);
            desk.permit()
        })
        .collect();
    desk.at(10);
    for permit in permits {
        desk.failed(permit, Fatal::Retry);
        desk.at(11);
    }
    desk.tick(109);
    desk.nothing();
    desk.tick(110);
    let _permit = desk.permit();
    desk.nothing();
}

#[test]
fn p5_the_least_is_kept_while_there_are_clients() {
    let mut desk = Desk::new(Limits {
        min_size: 1,
        idle_timeout: Duration::from_secs(1),
        ..Limits::default()
    });
    desk.pools.tick(desk.now, |_| false);
    desk.nothing();
    desk.tick(0);
    let permit = desk.permit();
    desk.opened(permit);
    desk.tick(1000);
    desk.nothing();
    desk.pools.tick(desk.now, |key| &*key.user != "u");
    assert_eq!(desk.closed().1, "server idle timeout");
}

#[test]
fn p5_connections_are_checked_after_the_delay() {
    let mut desk = Desk::new(Limits::default());
    let lease = desk.fresh(HERE);
    assert!(!lease.check());
    desk.release(lease);
    desk.at(30_000);
    assert_eq!((desk.counts().idle, desk.counts().used), (1, 0));
    let lease = desk.take(HERE);
    assert!(!lease.check());
    desk.release(lease);
    desk.at(60_001);
    assert_eq!((desk.counts().idle, desk.counts().used), (0, 1));
    assert!(desk.take(HERE).check());
}

#[test]
fn p5_a_connection_that_was_not_used_is_still_due_for_its_check() {
    let mut desk = Desk::new(Limits {
        size: 1,
        ..Limits::default()
    });
    let lease = desk.fresh(HERE);
    desk.release(lease);
    desk.at(30_001);
    let lease = desk.take(HERE);
    assert!(lease.check());
    desk.pools.release(lease, Release::Unused, desk.now);
    let lease = desk.take(THERE);
    assert!(lease.check(), "laid down again");
    desk.wait(HERE);
    desk.pools.release(lease, Release::Unused, desk.now);
    let (_, lease) = desk.hand();
    assert!(lease.check(), "handed on");
    desk.release(lease);
    assert!(!desk.take(HERE).check(), "used");
}

#[test]
fn p5_old_connections_go_one_by_one_when_they_are_free() {
    let mut desk = Desk::new(Limits {
        size: 4,
        lifetime: Duration::from_secs(100),
        idle_timeout: Duration::ZERO,
        ..Limits::default()
    });
    let leases: Vec<Lease> = (0..3).map(|_| desk.fresh(HERE)).collect();
    let mut leases = leases.into_iter();
    let mut next = || leases.next().expect("three");
    desk.release(next());
    desk.tick(99_999);
    desk.nothing();
    desk.tick(100_000);
    assert_eq!(desk.closed().1, "server lifetime over");
    // The next one a quarter of a lifetime later, though somebody waits for it.
    let ticket = desk.wait(HERE);
    let young = desk.permit();
    desk.at(124_999);
    desk.release(next());
    assert_eq!(desk.hand().0, ticket);
    desk.opened(young);
    desk.at(125_000);
    let _young = desk.take(HERE);
    desk.wait(HERE);
    let _permit = desk.permit();
    desk.wait(HERE);
    desk.nothing();
    desk.release(next());
    assert_eq!(desk.closed().1, "server lifetime over");
    // Its slot is used for who waits longest without an attempt of its own.
    let _permit = desk.permit();
    desk.nothing();
}

#[test]
fn p5_a_lifetime_of_zero_means_used_once() {
    let mut desk = Desk::new(Limits {
        lifetime: Duration::ZERO,
        min_size: 1,
        ..Limits::default()
    });
    desk.tick(0);
    let permit = desk.permit();
    desk.opened(permit);
    desk.tick(1000);
    desk.nothing();
    let lease = desk.take(HERE);
    desk.release(lease);
    assert_eq!(desk.closed().1, "server lifetime over");
}

#[test]
fn p5_old_connections_stay_while_no_new_ones_can_be_had() {
    let mut desk = Desk::new(Limits {
        lifetime: Duration::from_secs(1),
        ..Limits::default()
    });
    let lease = desk.fresh(HERE);
    desk.wait(HERE);
    let permit = desk.permit();
    desk.at(2000);
    desk.failed(permit, Fatal::Retry);
    desk.release(lease);
    let (_, lease) = desk.hand();
    desk.release(lease);
    desk.nothing();
    assert_eq!(desk.counts().idle, 1);
}

#[test]
fn p5_the_least_is_kept_and_spread_over_the_workers() {
    let mut desk = Desk::new(Limits {
        min_size: 2,
        idle_timeout: Duration::from_secs(10),
        ..Limits::default()
    });
    desk.tick(0);
    let (one, two) = (desk.permit(), desk.permit());
    desk.nothing();
    assert_ne!(one.worker(), two.worker());
    desk.opened(one);
    desk.opened(two);
    let leases = [desk.take(HERE), desk.take(HERE), desk.fresh(HERE)];
    for lease in leases {
        desk.release(lease);
    }
    desk.tick(9_999);
    desk.nothing();
    desk.tick(10_000);
    assert_eq!(desk.closed().1, "server idle timeout");
    desk.nothing();
    desk.tick(60_000);
    desk.nothing();
    assert_eq!(desk.counts().used, 2);
}

#[test]
fn counts_name_what_is_done_with_a_lease() {
    let mut desk = Desk::new(Limits::default());
    let leases = [desk.fresh(HERE), desk.fresh(HERE), desk.fresh(HERE)];
    desk.pools.note(leases[0].conn(), Phase::Tested);
    desk.pools.note(leases[1].conn(), Phase::BeingCanceled);
    let counts = desk.counts();
    let phases = (counts.active, counts.tested, counts.being_canceled);
    assert_eq!(phases, (1, 1, 1));
    let conn = leases[0].conn();
    for lease in leases {
        desk.release(lease);
    }
    desk.pools.note(conn, Phase::Tested);
    assert_eq!(
        desk.counts(),
        Counts {
            idle: 3,
            ..Counts::default()
        }
    );
}

#[test]
fn p1_a_busy_pool_shrinks_and_renews_itself() {
    let mut desk = Desk::new(Limits {
        size: 1,
        lifetime: Duration::from_secs(10),
        ..Limits::default()
    });
    let lease = desk.fresh(HERE);
    desk.at(11_000);
    let ticket = desk.wait(HERE);
    desk.release(lease);
    assert_eq!(desk.closed().1, "server lifetime over", "though wanted");
    let permit = desk.permit();
    desk.opened(permit);
    assert_eq!(desk.hand().0, ticket);
}
