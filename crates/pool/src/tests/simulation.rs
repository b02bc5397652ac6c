//! Some seconds in the life of a pooler, drawn from a seed: several workers, many clients, mail between
//! workers that takes its time, servers that fail, limits that change.
//!
//! `PGWEIR_SEED=17 cargo test -p pgweir-pool simulation` runs the life of one seed.

use std::cmp::Reverse;
use std::collections::{BinaryHeap, HashMap};
use std::time::{Duration, Instant};

use super::world::{News, World, key};
use crate::{ClientId, ConnId, Fatal, Kind, Limits, Phase, PoolKey, Take};

const WORKERS: u16 = 4;
const CLIENTS: usize = 60;
/// How long clients come, and how long until the last of them must be served.
const LIFE: Duration = Duration::from_secs(6);
const PEACE: Duration = Duration::from_secs(6);
const TICK: Duration = Duration::from_millis(100);
const WAIT_TIMEOUT: Duration = Duration::from_secs(3);

#[derive(Debug, Clone, Copy, PartialEq, Eq, PartialOrd, Ord)]
enum Event {
    Ask { program: usize },
    GiveUp { client: ClientId },
    Done { client: ClientId },
    Perform,
    Attempt { conn: (u32, u32) },
    Tick,
    Trouble,
}

/// What the host of a database does with those who connect.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
enum Host {
    Up,
    Down,
    Refuses,
}

struct Simulation {
    world: World,
    rng: Rng,
    start: Instant,
    events: BinaryHeap<Reverse<(Instant, u64, Event)>>,
    next_event: u64,
    keys: Vec<PoolKey>,
    /// By database.
    hosts: [Host; 2],
    /// Which program asked under which name.
    programs: HashMap<ClientId, usize>,
    peaceful: bool,
    served: u32,
    refused: u32,
    gave_up: u32,
}

fn limits(size: u32) -> Limits {
    Limits {
        size,
        min_size: 1,
        reserve_size: 2,
        reserve_delay: Duration::from_millis(300),
        wait_timeout: WAIT_TIMEOUT,
        idle_timeout: Duration::from_secs(1),
        lifetime: Duration::from_secs(2),
        check_delay: Duration::from_millis(500),
        login_retry: Duration::from_millis(800),
        round_robin: false,
        opening_max: 4,
    }
}

impl Simulation {
    fn new(seed: u64) -> Self {
        let keys = vec![
            key("a", "x", Kind::Normal),
            key("a", "y", Kind::Normal),
            key("b", "x", Kind::Normal),
            key("b", "z", Kind::Normal),
            key("a", "x", Kind::Dedicated),
        ];
        let mut world = World::new(WORKERS, &keys, &limits(6));
        world.pools.set_database_cap("a", 9, world.now);
        let start = world.now;
        let mut simulation = Self {
            world,
            rng: Rng(seed),
            start,
            events: BinaryHeap::new(),
            next_event: 0,
            keys,
            hosts: [Host::Up; 2],
            programs: HashMap::new(),
            peaceful: false,
            served: 0,
            refused: 0,
            gave_up: 0,
        };
        for program in 0..CLIENTS {
            let after = simulation.rng.ms(0, 200);
            simulation.plan(after, Event::Ask { program });
        }
        simulation.plan(TICK, Event::Tick);
        simulation.plan(TICK, Event::Trouble);
        simulation
    }

    fn plan(&mut self, after: Duration, event: Event) {
        let at = self.world.now + after;
        self.events.push(Reverse((at, self.next_event, event)));
        self.next_event += 1;
    }

    fn run(&mut self) {
        self.run_until(self.start + LIFE);
        self.make_peace();
        self.run_until(self.start + LIFE + PEACE);
        assert!(self.world.waiting.is_empty(), "some wait for ever");
        assert!(self.world.leases.is_empty(), "some hold on for ever");
        for pool in self.world.pools.iter() {
            let counts = self.world.pools.counts(pool.id, self.world.now);
            let least = u32::from(pool.key.kind == Kind::Normal);
            let there = counts.idle + counts.used + counts.opening;
            assert_eq!(there, least, "in peace the least is kept");
        }
        assert!(self.served > 0, "nobody was served");
    }

    fn run_until(&mut self, end: Instant) {
        while let Some(Reverse((at, ..))) = self.events.peek()
            && *at <= end
            && let Some(Reverse((at, _, event))) = self.events.pop()
        {
            self.world.now = at;
            let under_way = self.world.in_flight.len();
            self.perform(event);
            self.world.check();
            let popped = usize::from(event == Event::Perform);
            let more = self.world.in_flight.len() + popped - under_way.max(popped);
            for _ in 0..more {
                let delay = self.rng.us(10, 400);
                self.plan(delay, Event::Perform);
            }
            self.hear_news();
        }
        self.world.now = end;
    }

    fn perform(&mut self, event: Event) {
        match event {
            Event::Ask { program } => self.ask(program),
            Event::GiveUp { client } => {
                let mut waiting = self.world.waiting.iter();
                if let Some(at) = waiting.position(|one| one.client == client) {
                    self.world.leave(at);
                    self.gave_up += 1;
                    self.think(client);
                }
            }
            Event::Done { client } => {
                let mut leases = self.world.leases.iter();
                if let Some(at) = leases.position(|(one, _)| *one == client) {
                    let clean = self.rng.chance(97);
                    self.world.release(at, clean);
                    self.think(client);
                }
            }
            Event::Perform => {
                let permits = self.world.permits.len();
                self.world.perform_one();
                if let Some(permit) = self.world.permits.get(permits) {
                    let ConnId { slot, generation } = permit.conn();
                    let after = self.rng.ms(1, 30);
                    let conn = (slot, generation);
                    self.plan(after, Event::Attempt { conn });
                }
            }
            Event::Attempt { conn } => self.attempt(conn),
            Event::Tick => {
                self.world.tick();
                let late = TICK * 2 + WAIT_TIMEOUT;
                for one in &self.world.waiting {
                    assert!(
                        self.world.now - one.since < late,
                        "P5: {one:?} was forgotten"
                    );
                }
                self.plan(TICK, Event::Tick);
            }
            Event::Trouble if self.peaceful => {}
            Event::Trouble => {
                self.trouble();
                let after = self.rng.ms(20, 300);
                self.plan(after, Event::Trouble);
            }
        }
    }

    fn ask(&mut self, program: usize) {
        if self.peaceful {
            return;
        }
        // Few ask for replication.
        let pool = match self.rng.below(40) {
            0 => 4,
            other => other as usize % 4,
        };
        let worker = (program % usize::from(WORKERS)) as u16;
        let (client, take) = self.world.take(pool, worker);
        self.programs.insert(client, program);
        match take {
            Take::Refused(_) => {
                self.refused += 1;
                self.think(client);
            }
            _ if self.rng.chance(10) => {
                let after = self.rng.ms(0, 400);
                self.plan(after, Event::GiveUp { client });
            }
            _ => {}
        }
    }

    fn think(&mut self, client: ClientId) {
        if let Some(program) = self.programs.remove(&client) {
            let after = self.rng.ms(0, 150);
            self.plan(after, Event::Ask { program });
        }
    }

    fn hear_news(&mut self) {
        for news in std::mem::take(&mut self.world.news) {
            match news {
                News::Served(client) => {
                    self.served += 1;
                    let after = self.rng.ms(1, 60);
                    self.plan(after, Event::Done { client });
                }
                News::Refused(client) => {
                    assert!(!self.peaceful || !self.healed(), "refused in peace");
                    self.refused += 1;
                    self.think(client);
                }
            }
        }
    }

    /// Whether what was wrong before has had the time to end.
    fn healed(&self) -> bool {
        self.world.now > self.start + LIFE + Duration::from_millis(1500)
    }

    fn attempt(&mut self, (slot, generation): (u32, u32)) {
        let conn = ConnId { slot, generation };
        let mut permits = self.world.permits.iter();
        let at = permits.position(|permit| permit.conn() == conn);
        let at = at.expect("a permit waits for its answer");
        let pool = self.world.permits[at].pool();
        let database = usize::from(*self.world.pools.key(pool).database == *"b");
        match self.hosts[database] {
            Host::Up => self.world.opened(at),
            Host::Down => self.world.failed(at, Fatal::Retry),
            Host::Refuses => self.world.failed(at, Fatal::FailWaiters),
        }
    }

    fn trouble(&mut self) {
        let now = self.world.now;
        let database = self.rng.below(2) as usize;
        let name = ["a", "b"][database];
        let which = self.rng.below(CLIENTS as u64) as usize;
        let max = 2 + self.rng.below(10) as u32;
        match self.rng.below(12) {
            0 => self.hosts[database] = Host::Down,
            1 => self.hosts[database] = Host::Refuses,
            2..=4 => self.hosts[database] = Host::Up,
            5 => self.world.lose(which),
            6 => self.world.pools.set_database_cap(name, max, now),
            7 => self.world.pools.set_user_cap("x", max, now),
            8 => self.resize(max),
            9 => {
                let some = self.rng.chance(50).then_some(name);
                self.world.pools.pause(some, now);
                // Operators come back.
                self.world.check();
                let some = self.rng.chance(50).then_some(name);
                self.world.pools.resume(some, now);
            }
            10 => self.world.pools.resume(None, now),
            _ => self.shake(name, which),
        }
    }

    /// Rarer things.
    fn shake(&mut self, database: &str, which: usize) {
        let now = self.world.now;
        match self.rng.below(5) {
            0 => self.world.pools.reconnect(Some(database), now),
            3 => {
                let leased = self.world.leases.iter().map(|(_, lease)| lease.conn());
                let all: Vec<_> = leased.chain(self.world.idle()).collect();
                let some = which.min(all.len());
                self.world.pools.outdate(&all[..some], now);
            }
            1 => {
                let leases = &self.world.leases;
                if !leases.is_empty() {
                    let conn = leases[which % leases.len()].1.conn();
                    self.world.pools.note(conn, Phase::BeingCanceled);
                }
            }
            2 => {
                self.world.pools.remove_database(database, now);
                for at in 0..self.keys.len() {
                    let made = self.world.pools.pool(&self.keys[at], &limits(6));
                    self.world.ids[at] = made;
                }
                self.resize(6);
            }
            _ => self.hosts = [Host::Down; 2],
        }
    }

    fn resize(&mut self, size: u32) {
        // Each change is judged by itself: what it follows may have opened what it takes away.
        self.world.check();
        for at in 0..self.world.ids.len() {
            let id = self.world.ids[at];
            let now = self.world.now;
            self.world.pools.set_limits(id, limits(size), now);
            self.world.check();
        }
    }

    fn make_peace(&mut self) {
        let now = self.world.now;
        self.peaceful = true;
        self.hosts = [Host::Up; 2];
        let under_way = self.world.in_flight.len();
        self.world.pools.resume(None, now);
        self.resize(4);
        for name in ["a", "b"] {
            self.world.pools.set_database_cap(name, 6, now);
            self.world.check();
        }
        self.world.pools.set_user_cap("x", 6, now);
        self.world.check();
        for _ in under_way..self.world.in_flight.len() {
            let delay = self.rng.us(10, 400);
            self.plan(delay, Event::Perform);
        }
    }
}

/// Steele, Lea and Flood's SplitMix64.
struct Rng(u64);

impl Rng {
    fn next(&mut self) -> u64 {
        self.0 = self.0.wrapping_add(0x9E37_79B9_7F4A_7C15);
        let mut word = self.0;
        word = (word ^ (word >> 30)).wrapping_mul(0xBF58_476D_1CE4_E5B9);
        word = (word ^ (word >> 27)).wrapping_mul(0x94D0_49BB_1331_11EB);
        word ^ (word >> 31)
    }

    fn below(&mut self, end: u64) -> u64 {
        self.next() % end
    }

    fn chance(&mut self, percent: u64) -> bool {
        self.below(100) < percent
    }

    fn us(&mut self, from: u64, to: u64) -> Duration {
        Duration::from_micros(from + self.below(to - from))
    }

    fn ms(&mut self, from: u64, to: u64) -> Duration {
        self.us(from * 1000, to * 1000)
    }
}

/// Says which seed it was, if the test fails.
struct Named(u64);

impl Drop for Named {
    fn drop(&mut self) {
        if std::thread::panicking() {
            eprintln!("the seed was {0}: PGWEIR_SEED={0} runs it again", self.0);
        }
    }
}

#[test]
fn p1_p2_p3_p4_p5_a_simulated_life() {
    let asked = std::env::var("PGWEIR_SEED").ok();
    let asked = asked.and_then(|seed| seed.parse::<u64>().ok());
    let seeds = asked.map_or(0..8, |seed| seed..seed + 1);
    for seed in seeds {
        let _named = Named(seed);
        let mut simulation = Simulation::new(seed);
        simulation.run();
        println!(
            "seed {seed}: {} served, {} refused, {} gave up",
            simulation.served, simulation.refused, simulation.gave_up
        );
    }
}
