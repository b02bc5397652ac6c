//! The promises S1 to S5, held against a backend that was written from PostgreSQL's manual.

#![allow(unreachable_pub)]

mod cases;
mod desk;
mod engine;
mod fake;
mod hostile;
mod pooled;
mod rng;
mod script;

use pooled::Pooled;
use proptest::prelude::*;
use rng::Rng;

/// Runs random scripts both ways; says the seed when they differ.
fn differential(seed: u64, clients: usize, backends: usize, bursts: usize, vanishing: bool) {
    let mut rng = Rng::new(seed);
    let scripts: Vec<_> = (0..clients)
        .map(|_| script::make(&mut rng, bursts))
        .collect();
    Pooled::new(&mut rng, &scripts, backends, vanishing).run();
}

proptest! {
    #![proptest_config(ProptestConfig { failure_persistence: None, ..Default::default() })]

    #[test]
    fn s1_one_client_sees_what_it_would_see_alone(seed: u64, bursts in 1..6usize) {
        differential(seed, 1, 1, bursts, false);
    }

    #[test]
    fn s4_many_clients_see_what_each_would_see_alone(
        seed: u64, clients in 1..6usize, backends in 1..4usize, bursts in 1..8usize,
    ) {
        differential(seed, clients, backends, bursts, false);
    }

    #[test]
    fn s5_clients_that_vanish_leave_nothing(
        seed: u64, clients in 2..6usize, backends in 1..4usize, bursts in 1..8usize,
    ) {
        differential(seed, clients, backends, bursts, true);
    }
}

#[test]
#[ignore = "for one seed at a time: SEED, CLIENTS, BACKENDS, BURSTS, VANISHING"]
fn once() {
    let number = |name: &str| std::env::var(name).map_or(1, |text| text.parse().unwrap());
    let size = |name: &str| number(name) as usize;
    let vanishing = number("VANISHING") == 1;
    differential(
        number("SEED"),
        size("CLIENTS"),
        size("BACKENDS"),
        size("BURSTS"),
        vanishing,
    );
}
