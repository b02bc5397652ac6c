use super::*;
use crate::topology::{Pace, Probe};

const HOSTS: usize = 3;

/// Host 0 is the primary; 1 and 2 are standbys that are asked with it, each second.
struct Scene {
    topology: Topology,
    now: Instant,
    policy: Policy,
    seen: Seen,
    load: [u64; HOSTS],
}

impl Scene {
    fn new() -> Self {
        let now = Instant::now();
        let mut scene = Self {
            topology: Topology::new(HOSTS, Pace::default(), now),
            now,
            policy: Policy {
                as_seen: true,
                ..Policy::default()
            },
            seen: Seen::default(),
            load: [0; HOSTS],
        };
        for _ in 0..2 {
            scene.are_at([100, 100, 100]);
        }
        scene
    }

    /// A second later, they say how far they are.
    fn are_at(&mut self, lsns: [u64; HOSTS]) {
        self.now += Duration::from_secs(1);
        for (index, lsn) in lsns.into_iter().enumerate() {
            let probe = Probe {
                in_recovery: index > 0,
                timeline: 1,
                system: 1,
                lsn: Lsn(lsn),
            };
            let host = HostIndex(index);
            self.topology.probed(host, probe, self.now, self.now);
        }
    }

    fn has_read(&mut self, host: usize, at: Instant) {
        let host = HostIndex(host);
        self.seen.standby(host, self.topology.incarnation(host), at);
    }

    fn later(&mut self) -> Instant {
        self.now += Duration::from_millis(10);
        self.now
    }

    fn choose(&mut self, want: Want, dice: u64) -> (usize, Why) {
        let load = self.load;
        let chance = Chance {
            load: &|host| load[host.0],
            // Spread over all numbers.
            dice: dice.wrapping_mul(0x9e37_79b9_7f4a_7c15),
            turn: dice,
        };
        let Self {
            topology,
            policy,
            seen,
            ..
        } = self;
        let choice = choose(topology, policy, want, seen, &chance, self.now);
        let Choice { host, why, .. } = choice.expect("there is one");
        (host.0, why)
    }

    fn read(&mut self) -> (usize, Why) {
        self.choose(Want::Read, 0)
    }
}

#[test]
fn r4_after_a_write_reads_stay_on_the_primary_until_a_later_sample_is_replayed() {
    let mut scene = Scene::new();
    assert_eq!(scene.choose(Want::Primary, 0), (0, Why::Asked));
    let written = scene.later();
    scene.seen.primary(written);
    assert_eq!(
        scene.read(),
        (0, Why::NotFresh),
        "nobody has been asked since"
    );
    scene.are_at([200, 100, 150]);
    assert_eq!(scene.read(), (0, Why::NotFresh), "both are behind");
    scene.are_at([300, 150, 200]);
    assert_eq!(
        scene.read(),
        (2, Why::Standby),
        "what others have written since does not count"
    );
}

#[test]
fn r4_who_has_read_from_one_standby_reads_from_another_only_if_that_is_as_far() {
    let mut scene = Scene::new();
    let read = scene.later();
    scene.has_read(1, read);
    assert_eq!(scene.choose(Want::Read, 1), (1, Why::Standby));
    let now = scene.now;
    let gone = crate::topology::Trouble::Refused;
    scene.topology.troubled(HostIndex(1), gone, now, now);
    assert_eq!(scene.read(), (0, Why::NotFresh));
    scene.are_at([200, 0, 199]);
    scene
        .topology
        .troubled(HostIndex(1), gone, scene.now, scene.now);
    assert_eq!(scene.read(), (0, Why::NotFresh));
    scene.are_at([201, 0, 200]);
    scene
        .topology
        .troubled(HostIndex(1), gone, scene.now, scene.now);
    assert_eq!(scene.read(), (2, Why::Standby));
}

#[test]
fn r4_a_standby_that_begins_anew_is_another_one() {
    let mut scene = Scene::new();
    let read = scene.later();
    scene.has_read(1, read);
    let broken = crate::topology::Trouble::Broken;
    scene.topology.troubled(HostIndex(1), broken, read, read);
    scene.are_at([200, 199, 200]);
    let (host, why) = scene.choose(Want::Read, 1);
    assert_eq!(
        (host, why),
        (2, Why::Standby),
        "it may have shown up to 200"
    );
    scene.are_at([200, 200, 0]);
    assert_eq!(scene.read(), (1, Why::Standby));
}

#[test]
fn r4_of_two_that_are_read_from_at_once_both_count() {
    let mut scene = Scene::new();
    let (first, second) = (scene.later(), scene.later());
    scene.has_read(1, first);
    scene.has_read(2, second);
    assert_eq!(
        scene.read(),
        (0, Why::NotFresh),
        "it may be behind the first"
    );
    scene.are_at([200, 150, 200]);
    assert_eq!(scene.read(), (2, Why::Standby));
}

#[test]
fn r4_what_was_seen_elsewhere_counts() {
    let mut scene = Scene::new();
    scene.seen.at_least(Lsn(150));
    assert_eq!(scene.read(), (0, Why::NotFresh));
    assert_eq!(scene.seen.position(&scene.topology), Some(Lsn(150)));
    scene.are_at([200, 160, 100]);
    assert_eq!(scene.read(), (1, Why::Standby));
    let mut other = Seen::default();
    other.primary(scene.later());
    scene.seen.join(&other);
    assert_eq!(scene.read(), (0, Why::NotFresh));
    assert_eq!(
        scene.seen.position(&scene.topology),
        None,
        "it is not known yet"
    );
}

#[test]
fn what_lags_is_not_read_from() {
    let mut scene = Scene::new();
    scene.policy = Policy {
        lag_bytes_max: Some(50),
        ..Policy::default()
    };
    scene.are_at([200, 150, 100]);
    for dice in 0..4 {
        assert_eq!(scene.choose(Want::Read, dice), (1, Why::Standby));
    }
    scene.are_at([400, 150, 100]);
    assert_eq!(scene.read(), (0, Why::NotFresh));
}

#[test]
fn loads_are_balanced() {
    let mut scene = Scene::new();
    scene.policy = Policy::default();
    scene.load = [0, 9, 3];
    for dice in 0..8 {
        assert_eq!(
            scene.choose(Want::Read, dice).0,
            2,
            "of two, the other is never the same"
        );
    }
    scene.policy.primary_shares = true;
    let shares: Vec<(usize, Why)> = (0..9).map(|dice| scene.choose(Want::Read, dice)).collect();
    assert!(shares.contains(&(0, Why::Share)), "{shares:?}");
    scene.policy.balance = Balance::RoundRobin;
    let turns: Vec<usize> = (0..4)
        .map(|turn| scene.choose(Want::Read, turn).0)
        .collect();
    assert_eq!(turns, [1, 2, 0, 1]);
}

/// How often each host is chosen in 1000 times.
fn counts(scene: &mut Scene) -> [u32; HOSTS] {
    let mut counts = [0; HOSTS];
    for dice in 0..1000 {
        counts[scene.choose(Want::Read, dice).0] += 1;
    }
    counts
}

fn weighted(weights: [u32; HOSTS]) -> Scene {
    let mut scene = Scene::new();
    let policy = |weight| HostPolicy {
        weight,
        is_near: true,
    };
    scene.policy = Policy {
        primary_shares: true,
        hosts: weights.map(policy).to_vec(),
        ..Policy::default()
    };
    scene
}

#[test]
fn hosts_get_what_they_weigh() {
    for balance in [Balance::Random, Balance::RoundRobin] {
        let mut scene = weighted([10, 30, 60]);
        scene.policy.balance = balance;
        let [one, two, three] = counts(&mut scene);
        assert!(one.abs_diff(100) < 20, "{balance:?}: {one}");
        assert!(two.abs_diff(300) < 20, "{balance:?}: {two}");
        assert!(three.abs_diff(600) < 20, "{balance:?}: {three}");
    }
    // What one has to do counts by what it weighs.
    let mut scene = weighted([0, 1, 2]);
    scene.load = [0, 10, 19];
    assert_eq!(counts(&mut scene), [0, 0, 1000]);
    scene.load = [0, 10, 21];
    assert_eq!(counts(&mut scene), [0, 1000, 0]);
    // Without weight only where nobody else may.
    let mut scene = weighted([0, 0, 1]);
    assert_eq!(counts(&mut scene), [0, 0, 1000]);
    let (gone, now) = (crate::topology::Trouble::Refused, scene.now);
    scene.topology.troubled(HostIndex(2), gone, now, now);
    scene.policy.primary_shares = false;
    assert_eq!(scene.read(), (1, Why::Standby));
}

#[test]
fn the_own_zone_comes_first() {
    let mut scene = weighted([1, 1, 1]);
    scene.policy.primary_shares = false;
    scene.policy.hosts[2].is_near = false;
    assert_eq!(counts(&mut scene), [0, 1000, 0]);
    let (gone, now) = (crate::topology::Trouble::Refused, scene.now);
    scene.topology.troubled(HostIndex(1), gone, now, now);
    assert_eq!(counts(&mut scene), [0, 0, 1000]);
}

#[test]
fn who_comes_up_is_spared_at_first() {
    let mut scene = weighted([1, 1, 1]);
    scene.policy.balance = Balance::Random;
    scene.policy.primary_shares = false;
    scene.policy.slow_start = Duration::from_secs(10);
    let (gone, now) = (crate::topology::Trouble::Refused, scene.now);
    scene.topology.troubled(HostIndex(1), gone, now, now);
    scene.are_at([100, 100, 100]);
    let mut before = 0;
    for second in 0..10 {
        let [_, one, two] = counts(&mut scene);
        assert!(
            one >= before && two > one,
            "second {second}: {one} of {}",
            one + two
        );
        before = one;
        scene.are_at([100, 100, 100]);
    }
    let [_, one, two] = counts(&mut scene);
    assert!(one.abs_diff(two) < 50, "{one} and {two}");
}

#[test]
fn the_last_candidate_is_never_excluded() {
    let mut scene = Scene::new();
    scene.policy.as_seen = false;
    let gone = crate::topology::Trouble::Refused;
    for host in 0..HOSTS {
        let now = scene.later();
        scene.topology.troubled(HostIndex(host), gone, now, now);
    }
    let nothing = |_| 0;
    let chance = Chance {
        load: &nothing,
        dice: 0,
        turn: 0,
    };
    let Scene {
        topology, policy, ..
    } = &scene;
    let mut seen = Seen::default();
    let none = choose(topology, policy, Want::Read, &mut seen, &chance, scene.now);
    assert_eq!(none, Err(NoPrimary::Down(HostIndex(0))));
    let policy = Policy {
        last_resort: true,
        ..policy.clone()
    };
    let some = choose(topology, &policy, Want::Read, &mut seen, &chance, scene.now);
    assert_eq!(some.map(|choice| choice.why), Ok(Why::LastResort));
}
