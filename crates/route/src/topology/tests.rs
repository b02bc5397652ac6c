use super::*;

/// A cluster that is told what its hosts answer, one second after the other.
struct Scene {
    topology: Topology,
    now: Instant,
    events: Vec<Event>,
}

fn host(in_recovery: bool, timeline: u32, lsn: u64) -> Probe {
    Probe {
        in_recovery,
        timeline,
        system: 1,
        lsn: Lsn(lsn),
    }
}

fn primary(timeline: u32, lsn: u64) -> Probe {
    host(false, timeline, lsn)
}

fn standby(timeline: u32, lsn: u64) -> Probe {
    host(true, timeline, lsn)
}

impl Scene {
    fn new(count: usize) -> Self {
        let now = Instant::now();
        Self {
            topology: Topology::new(count, Pace::default(), now),
            now,
            events: Vec::new(),
        }
    }

    /// A second later, these answer.
    fn answers(&mut self, answers: &[(usize, Probe)]) {
        self.now += Duration::from_secs(1);
        self.topology.due(self.now);
        for (index, probe) in answers {
            self.events.extend(
                self.topology
                    .probed(HostIndex(*index), *probe, self.now, self.now),
            );
        }
    }

    fn troubled(&mut self, index: usize, trouble: Trouble) {
        self.now += Duration::from_millis(1);
        self.events.extend(
            self.topology
                .troubled(HostIndex(index), trouble, self.now, self.now),
        );
    }

    fn told(&mut self, leader: usize) {
        let told: Vec<Told> = (0..self.topology.hosts.len())
            .map(|index| Told {
                host: HostIndex(index),
                leads: index == leader,
                timeline: None,
            })
            .collect();
        self.now += Duration::from_millis(1);
        self.events
            .extend(self.topology.told(&told, self.now, self.now));
    }

    fn primary(&self) -> Result<usize, NoPrimary> {
        self.topology.primary().map(|host| host.0)
    }

    fn role(&self, index: usize) -> Role {
        self.topology
            .view(HostIndex(index), self.now)
            .expect("a host")
            .role
    }

    fn readers(&self, want: Freshness) -> Vec<usize> {
        let hosts = 0..self.topology.hosts.len();
        hosts
            .filter(|host| self.topology.may_read(HostIndex(*host), want, self.now))
            .collect()
    }
}

/// With host 0 as the primary, and the others its standbys.
fn settled(count: usize) -> Scene {
    let mut scene = Scene::new(count);
    let answers: Vec<_> = (0..count)
        .map(|index| (index, host(index != 0, 1, 100)))
        .collect();
    scene.answers(&answers);
    scene.answers(&answers);
    assert_eq!(scene.primary(), Ok(0));
    scene.events.clear();
    scene
}

const AT_LEAST_100: Freshness = Freshness {
    at_least: Some(Lsn(100)),
    lag_max: None,
    lag_bytes_max: None,
};

#[test]
fn roles_are_observed() {
    let mut scene = Scene::new(3);
    assert_eq!(scene.primary(), Err(NoPrimary::NotYetKnown));
    scene.answers(&[(0, standby(1, 90)), (1, primary(1, 100))]);
    assert_eq!(
        scene.primary(),
        Err(NoPrimary::NotYetKnown),
        "the third may be another primary"
    );
    scene.troubled(2, Trouble::Refused);
    assert_eq!(scene.primary(), Ok(1));
    assert_eq!(
        [0, 1, 2].map(|index| scene.role(index)),
        [Role::Standby, Role::Primary, Role::Unknown]
    );
    assert!(scene.events.contains(&Event::PrimaryIs(HostIndex(1))));
    assert!(scene.events.contains(&Event::Down(HostIndex(2))));
}

#[test]
fn r3_the_higher_timeline_wins_and_the_older_is_fenced_until_it_is_a_standby() {
    let mut scene = settled(3);
    scene.answers(&[(1, primary(2, 101))]);
    assert_eq!(scene.primary(), Ok(1));
    assert_eq!(scene.role(0), Role::Fenced);
    assert!(
        scene
            .events
            .contains(&Event::RoleIs(HostIndex(0), Role::Fenced))
    );
    scene.answers(&[
        (0, primary(1, 500)),
        (1, primary(2, 110)),
        (2, standby(2, 110)),
    ]);
    assert_eq!((scene.primary(), scene.role(0)), (Ok(1), Role::Fenced));
    assert_eq!(scene.readers(Freshness::default()), [1, 2]);
    // Not even when the new one is away.
    scene.troubled(1, Trouble::Refused);
    assert_eq!(scene.primary(), Err(NoPrimary::Down(HostIndex(1))));
    assert_ne!(scene.topology.last_resort(), Some(HostIndex(0)));
    scene.answers(&[(0, standby(2, 110)), (1, primary(2, 110))]);
    assert_eq!(scene.role(0), Role::Standby);
}

#[test]
fn r3_a_standby_on_a_higher_timeline_is_enough_to_fence() {
    let mut scene = settled(3);
    scene.answers(&[(2, standby(2, 101))]);
    assert_eq!(
        (scene.primary(), scene.role(0)),
        (Err(NoPrimary::None), Role::Fenced)
    );
}

#[test]
fn r3_another_system_is_refused() {
    let mut scene = Scene::new(3);
    let other = Probe {
        system: 2,
        ..primary(9, 9)
    };
    scene.answers(&[(0, other), (1, primary(1, 100)), (2, standby(1, 100))]);
    assert_eq!((scene.primary(), scene.role(0)), (Ok(1), Role::OtherSystem));
    assert!(!scene.readers(Freshness::default()).contains(&0));
    assert_ne!(scene.topology.last_resort(), Some(HostIndex(0)));
    // Nor does a majority change what the system is, once there is a primary.
    scene.answers(&[(0, other), (1, primary(1, 100)), (2, other)]);
    assert_eq!((scene.primary(), scene.role(2)), (Ok(1), Role::OtherSystem));
}

#[test]
fn two_equal_primaries_are_none_unless_one_was_it_or_leads() {
    let mut scene = Scene::new(2);
    scene.answers(&[(0, primary(2, 100)), (1, primary(2, 200))]);
    assert_eq!(scene.primary(), Err(NoPrimary::Several));
    assert_eq!([0, 1].map(|index| scene.role(index)), [Role::Rival; 2]);
    scene.told(1);
    scene.answers(&[(0, primary(2, 100)), (1, primary(2, 200))]);
    assert_eq!((scene.primary(), scene.role(0)), (Ok(1), Role::Rival));
    let mut scene = settled(2);
    scene.answers(&[(0, primary(1, 100)), (1, primary(1, 100))]);
    assert_eq!((scene.primary(), scene.role(1)), (Ok(0), Role::Rival));
}

#[test]
fn what_a_primary_does_not_do_brings_it_into_doubt_until_it_is_asked_again() {
    for trouble in [Trouble::ReadOnly, Trouble::Broken] {
        let mut scene = settled(2);
        scene.troubled(0, trouble);
        assert_eq!(
            scene.primary(),
            Err(NoPrimary::InDoubt(HostIndex(0))),
            "{trouble:?}"
        );
        assert_eq!(
            scene.topology.due(scene.now).first(),
            Some(&HostIndex(0)),
            "asked at once"
        );
        scene.answers(&[(0, primary(1, 100))]);
        assert_eq!(scene.primary(), Ok(0));
    }
    for trouble in [Trouble::Refused, Trouble::ShuttingDown, Trouble::Starting] {
        let mut scene = settled(2);
        scene.troubled(0, trouble);
        assert_eq!(
            scene.primary(),
            Err(NoPrimary::Down(HostIndex(0))),
            "{trouble:?}"
        );
    }
}

#[test]
fn patroni_is_believed_about_who_does_not_lead() {
    let mut scene = settled(2);
    scene.told(0);
    assert_eq!(scene.primary(), Ok(0));
    scene.told(1);
    assert_eq!(scene.primary(), Err(NoPrimary::InDoubt(HostIndex(0))));
    assert_eq!(
        scene.topology.due(scene.now).len(),
        2,
        "both are asked at once"
    );
    scene.answers(&[(0, standby(1, 100)), (1, primary(2, 100))]);
    assert_eq!(scene.primary(), Ok(1));
}

#[test]
fn one_lost_answer_says_nothing_and_two_do() {
    let mut scene = settled(2);
    scene.troubled(0, Trouble::Silent);
    assert_eq!(scene.primary(), Ok(0));
    scene.troubled(0, Trouble::Silent);
    assert_eq!(scene.primary(), Ok(0), "of the same probe");
    scene.now += Duration::from_secs(1);
    scene.topology.due(scene.now);
    scene.troubled(0, Trouble::Silent);
    assert_eq!(scene.primary(), Err(NoPrimary::Down(HostIndex(0))));
}

#[test]
fn answers_count_in_the_order_in_which_they_were_asked_for() {
    let mut scene = settled(2);
    let earlier = scene.now + Duration::from_micros(500);
    scene.troubled(0, Trouble::ShuttingDown);
    scene.now += Duration::from_secs(1);
    scene
        .topology
        .probed(HostIndex(0), primary(1, 100), earlier, scene.now);
    assert_eq!(
        scene.primary(),
        Err(NoPrimary::Down(HostIndex(0))),
        "asked before the trouble"
    );
    scene.answers(&[(0, standby(1, 100)), (1, primary(2, 100))]);
    scene
        .topology
        .probed(HostIndex(0), primary(1, 100), earlier, scene.now);
    scene
        .topology
        .troubled(HostIndex(1), Trouble::Refused, earlier, scene.now);
    assert_eq!((scene.primary(), scene.role(0)), (Ok(1), Role::Standby));
}

#[test]
fn r4_a_standby_is_read_from_only_if_it_has_what_was_asked_for() {
    let mut scene = settled(3);
    assert_eq!(scene.readers(AT_LEAST_100), [0, 1, 2]);
    scene.answers(&[
        (0, primary(1, 150)),
        (1, standby(1, 120)),
        (2, standby(1, 99)),
    ]);
    assert_eq!(scene.readers(AT_LEAST_100), [0, 1]);
    let bytes = |max| Freshness {
        lag_bytes_max: Some(max),
        ..Freshness::default()
    };
    assert_eq!(scene.readers(bytes(30)), [0, 1]);
    assert_eq!(scene.readers(bytes(29)), [0]);
    // What it said too long ago may have been of another life.
    scene.now += Duration::from_secs(4);
    assert_eq!(scene.readers(Freshness::default()), [0]);
}

#[test]
fn r4_positions_of_different_timelines_are_not_compared() {
    let mut scene = settled(3);
    scene.answers(&[(1, primary(2, 101)), (2, standby(1, 180))]);
    scene.answers(&[(1, primary(2, 140)), (2, standby(1, 180))]);
    assert_eq!(scene.readers(AT_LEAST_100), [1]);
    assert_eq!(scene.readers(Freshness::default()), [1, 2]);
    scene.answers(&[(2, standby(2, 140))]);
    assert_eq!(scene.readers(AT_LEAST_100), [1, 2]);
}

#[test]
fn lag_is_measured_by_samples_of_the_primary() {
    let mut scene = settled(2);
    let at = |scene: &Scene| {
        scene
            .topology
            .view(HostIndex(1), scene.now)
            .and_then(|view| view.lag)
    };
    let lag = |seconds, bytes| {
        Some(Lag {
            bytes,
            time: Duration::from_secs(seconds),
        })
    };
    scene.answers(&[(0, primary(1, 200)), (1, standby(1, 100))]);
    scene.answers(&[(0, primary(1, 300)), (1, standby(1, 200))]);
    assert_eq!(at(&scene), lag(1, 100));
    scene.answers(&[(0, primary(1, 400)), (1, standby(1, 250))]);
    assert_eq!(at(&scene), lag(2, 150));
    scene.answers(&[(0, primary(1, 400)), (1, standby(1, 400))]);
    assert_eq!(at(&scene), lag(0, 0));
    scene.now += Duration::from_secs(1);
    assert_eq!(
        at(&scene),
        lag(1, 0),
        "nothing is known of what was written since"
    );
}

#[test]
fn a_write_is_before_the_sample_that_was_asked_for_later() {
    let mut scene = settled(2);
    let written = scene.now + Duration::from_millis(1);
    assert_eq!(scene.topology.sampled_after(written), None);
    scene.answers(&[(0, primary(1, 170))]);
    scene.answers(&[(0, primary(1, 180))]);
    assert_eq!(scene.topology.sampled_after(written), Some(Lsn(170)));
}

#[test]
fn r3_the_last_candidate_is_never_excluded() {
    let mut scene = settled(2);
    scene.troubled(0, Trouble::Refused);
    scene.troubled(1, Trouble::Refused);
    assert!(scene.readers(Freshness::default()).is_empty());
    assert!(scene.topology.last_resort().is_some());
}

#[test]
fn r3_a_timeline_counts_however_late_it_is_heard_of() {
    let mut scene = settled(3);
    let earlier = scene.now - Duration::from_millis(500);
    let late = standby(2, 101);
    scene
        .topology
        .probed(HostIndex(2), late, earlier, scene.now);
    assert_eq!(
        (scene.primary(), scene.role(0)),
        (Err(NoPrimary::None), Role::Fenced)
    );
}

#[test]
fn a_standby_in_doubt_is_not_read_from_until_it_is_asked_again() {
    let mut scene = settled(2);
    scene.troubled(1, Trouble::Broken);
    assert_eq!(scene.readers(Freshness::default()), [0]);
    scene.answers(&[(1, standby(1, 100))]);
    assert_eq!(scene.readers(Freshness::default()), [0, 1]);
}

#[test]
fn a_new_primary_may_have_less_than_the_old_one_had() {
    let mut scene = settled(2);
    scene.answers(&[(0, primary(1, 900))]);
    scene.answers(&[(0, standby(2, 100)), (1, primary(2, 110))]);
    scene.answers(&[(0, standby(2, 100)), (1, primary(2, 120))]);
    scene.answers(&[(0, standby(2, 120)), (1, primary(2, 130))]);
    let view = scene
        .topology
        .view(HostIndex(0), scene.now)
        .expect("a host");
    assert_eq!(view.lag.map(|lag| lag.bytes), Some(10));
}

#[test]
fn a_paused_host_is_left_alone() {
    let mut scene = settled(3);
    let now = scene.now;
    assert!(scene.topology.pause(HostIndex(1), true, now).0);
    assert!(
        !scene.topology.pause(HostIndex(1), true, now).0,
        "it was already"
    );
    assert_eq!(scene.readers(Freshness::default()), [0, 2]);
    scene.topology.pause(HostIndex(0), true, now);
    assert_eq!(scene.primary(), Err(NoPrimary::Paused(HostIndex(0))));
    assert_eq!(scene.topology.last_resort(), Some(HostIndex(2)));
    assert_eq!(scene.role(0), Role::Primary, "it is what it is");
    // Another one becomes the primary meanwhile.
    scene.answers(&[
        (0, primary(1, 110)),
        (1, standby(1, 110)),
        (2, primary(2, 111)),
    ]);
    assert_eq!(scene.primary(), Ok(2));
    assert!(scene.topology.is_fenced(HostIndex(0)));
    scene.topology.pause(HostIndex(0), false, scene.now);
    assert_eq!(scene.primary(), Ok(2));
}

/// What was asked before a client had its answer does not count, so one more question is not enough.
#[test]
fn who_wants_to_know_is_told_for_a_while() {
    let mut scene = Scene::new(2);
    for _ in 0..2 {
        scene.answers(&[(0, primary(1, 10)), (1, standby(1, 10))]);
    }
    scene.topology.freshness_is_wanted(scene.now);
    let begin = scene.now;
    let mut asked = 0;
    for millis in 1..900 {
        let now = begin + Duration::from_millis(millis);
        asked += scene.topology.due(now).len();
    }
    // Ten times in a quarter of a second, each of the two, and then at their usual pace.
    assert_eq!(asked, 20);
}
