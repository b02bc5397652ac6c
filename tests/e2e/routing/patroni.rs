//! A cluster that Patroni looks after.

use std::process::{Command, Stdio};
use std::sync::atomic::{AtomicBool, AtomicU32, Ordering};
use std::thread;
use std::time::{Duration, Instant};

use pgweir_tests::{Config, Network, Patroni, Pooler, Target, Wire, eventually};
use pgweir_wire::encode;

/// In front of the three; Patroni says who they are.
fn pooler(patroni: &Patroni) -> (Pooler, Target) {
    pooler_with(patroni, |config| config)
}

/// The same, with more in its configuration.
fn pooler_with(patroni: &Patroni, more: impl FnOnce(Config) -> Config) -> (Pooler, Target) {
    let apis: Vec<String> = patroni
        .members()
        .iter()
        .map(|member| format!("http://{}:{}", member.address(), member.api()))
        .collect();
    let apis: [String; 3] = apis.try_into().expect("three");
    let config = Config::new()
        .user("app")
        .user("monitor")
        .set("monitor_user", "monitor")
        .set("log_level", "debug")
        .database_set("work", "patroni", apis.each_ref().map(String::as_str))
        .database_set("work", "routing", "automatic");
    let pooler = Pooler::start(&more(config));
    let target = pooler.target("work");
    eventually("all are known", || {
        let rows = pooler.rows("SHOW HOSTS");
        let used = rows.iter().all(|row| row.number("in_rotation") == 1);
        (used && rows.len() == 3).then_some(())
    });
    (pooler, target)
}

/// The hosts are named, and Patroni has its say besides.
fn named(patroni: &Patroni) -> (Pooler, Target) {
    let hosts: Vec<String> = patroni
        .members()
        .iter()
        .map(|member| format!("127.0.0.1:{}", member.port()))
        .collect();
    let hosts: [String; 3] = hosts.try_into().expect("three");
    pooler_with(patroni, |config| {
        config.database_set("work", "hosts", hosts.each_ref().map(String::as_str))
    })
}

/// Writers and readers, each on one connection that must stay.
struct Load<'a> {
    target: &'a Target,
    stop: AtomicBool,
    written: AtomicU32,
}

/// Whatever happens, those that load end.
struct Stops<'a>(&'a AtomicBool);

impl Drop for Stops<'_> {
    fn drop(&mut self) {
        self.0.store(true, Ordering::Relaxed);
    }
}

impl Load<'_> {
    /// Counts up a row of its own, in transactions of two statements; each must be there.
    fn write(&self, number: u32) {
        let mut wire = Wire::connect(self.target);
        wire.patience(Duration::from_secs(60));
        for value in 1.. {
            if self.stop.load(Ordering::Relaxed) {
                return;
            }
            wire.sql("BEGIN");
            wire.sql(&format!("UPDATE t SET v = {value} WHERE id = {number}"));
            wire.sql("COMMIT");
            let seen = wire.sql(&format!("SELECT v FROM t WHERE id = {number}"));
            assert_eq!(seen, [value.to_string()]);
            self.written.fetch_add(1, Ordering::Relaxed);
        }
    }

    fn goes_on(&self) {
        let before = self.written.load(Ordering::Relaxed);
        eventually("writes go on", || {
            (self.written.load(Ordering::Relaxed) > before + 50).then_some(())
        });
    }
}

/// Waits until pgweir knows that the primary is gone: what it is sent from then on is not in flight.
fn is_missed(pooler: &Pooler) {
    eventually("it is missed", || {
        let rows = pooler.rows("SHOW HOSTS");
        let primary = |row: &pgweir_tests::Row| {
            row.text("role") == "primary" && row.number("in_rotation") == 1
        };
        (!rows.iter().any(primary)).then_some(())
    });
}

fn prepare(target: &Target) {
    Wire::connect(target).sql(
        "CREATE TABLE t (id int PRIMARY KEY, v int); INSERT INTO t SELECT g, 0 FROM generate_series(1, 100) g",
    );
}

/// pgbench's own script, which reads and writes, for so many seconds: its transactions, none of which fails.
fn bench(target: &Target, seconds: u32) -> u64 {
    let report = target.pgbench(&format!("-n -c 8 -j 2 -T {seconds} --max-tries=1"));
    let failed = "number of failed transactions: 0 ";
    assert!(report.contains(failed), "{report}");
    let count = report.lines().find_map(|line| {
        let rest = line.strip_prefix("number of transactions actually processed: ")?;
        rest.parse().ok()
    });
    count.expect("pgbench says how many")
}

#[test]
fn a_switchover_fails_nothing() {
    let patroni = Patroni::start();
    let (pooler, target) = named(&patroni);
    prepare(&target);
    target.pgbench("-i -s 1 -q");
    let load = Load {
        target: &target,
        stop: AtomicBool::new(false),
        written: AtomicU32::new(0),
    };
    thread::scope(|scope| {
        let _stops = Stops(&load.stop);
        for number in 1..=8 {
            let load = &load;
            scope.spawn(move || load.write(number));
        }
        load.goes_on();
        for _ in 0..2 {
            let old = patroni.leader_place();
            let pgbench = scope.spawn(|| bench(&target, 8));
            let mut console = Wire::connect(&pooler.console());
            console.patience(Duration::from_secs(90));
            console.sql("SWITCHOVER work");
            load.goes_on();
            assert_ne!(patroni.leader_place(), old);
            assert!(pgbench.join().expect("nothing fails") > 0);
            patroni.settled();
        }
        // To one that is named.
        let old = patroni.leader_place();
        let next = &patroni.members()[(old + 1) % 3];
        let to = format!("SWITCHOVER work TO \"127.0.0.1:{}\"", next.port());
        let mut console = Wire::connect(&pooler.console());
        console.patience(Duration::from_secs(90));
        let frames = console.query(&to);
        // Only one in step may be asked for; it depends on Patroni which one that is.
        if frames[0].tag == b'E' {
            let error = frames[0].error();
            assert!(
                error.message.starts_with("switchover failed: "),
                "{error:?}"
            );
        }
        load.goes_on();
    });
    let mut console = Wire::connect(&pooler.console());
    let error = console.sql_error("SWITCHOVER work TO \"127.0.0.1:1\"");
    assert!(error.message.contains("no host"), "{error:?}");
    let error = console.sql_error("SWITCHOVER nothing");
    assert_eq!(error.message, "no such database: nothing");
}

#[test]
fn a_switchover_that_is_asked_of_patroni_fails_nothing() {
    let patroni = Patroni::start_newest();
    let (pooler, target) = pooler(&patroni);
    patroni.tell(&pooler.console());
    prepare(&target);
    target.pgbench("-i -s 1 -q");
    let load = Load {
        target: &target,
        stop: AtomicBool::new(false),
        written: AtomicU32::new(0),
    };
    thread::scope(|scope| {
        let _stops = Stops(&load.stop);
        for number in 1..=8 {
            let load = &load;
            scope.spawn(move || load.write(number));
        }
        for _ in 0..2 {
            load.goes_on();
            let pgbench = scope.spawn(|| bench(&target, 8));
            let old = patroni.leader_place();
            let leader = &patroni.members()[old];
            let answer = leader.ask(
                "POST",
                "/switchover",
                &format!("{{\"leader\": \"{}\"}}", leader.name()),
            );
            assert!(answer.starts_with("HTTP/1.0 200"), "{answer}");
            load.goes_on();
            assert!(pgbench.join().expect("nothing fails") > 0);
            patroni.settled();
            eventually("all are used again", || {
                let rows = pooler.rows("SHOW HOSTS");
                let used = rows.iter().all(|row| row.number("in_rotation") == 1);
                used.then_some(())
            });
        }
    });
}

#[test]
fn a_primary_that_is_killed_is_followed_by_another() {
    let mut patroni = Patroni::start();
    let (pooler, target) = pooler(&patroni);
    prepare(&target);
    let mut idle = Wire::connect(&target);
    idle.patience(Duration::from_secs(60));
    let acknowledged = AtomicU32::new(0);
    let stop = AtomicBool::new(false);
    let old = patroni.leader_place();
    thread::scope(|scope| {
        let _stops = Stops(&stop);
        scope.spawn(|| {
            // What was answered must not be lost, whatever becomes of the connection.
            let mut wire = Wire::connect(&target);
            wire.patience(Duration::from_secs(60));
            for value in 1.. {
                if stop.load(Ordering::Relaxed) {
                    return;
                }
                let mut out = Vec::new();
                encode::query(
                    format!("UPDATE t SET v = {value} WHERE id = 7").as_bytes(),
                    &mut out,
                );
                let done = wire.try_send(&out).is_ok()
                    && wire.answer().is_ok_and(|frames| frames[0].tag == b'C');
                if done {
                    acknowledged.store(value, Ordering::SeqCst);
                } else {
                    wire = eventually("it comes in again", || Wire::try_connect(&target, &[]).ok());
                    wire.patience(Duration::from_secs(60));
                }
            }
        });
        thread::sleep(Duration::from_millis(500));
        patroni.members_mut()[old].kill();
        is_missed(&pooler);
        // It was idle, and notices nothing but that it takes its time.
        idle.write(|out| encode::query(b"UPDATE t SET v = 1 WHERE id = 8", out));
        let began = Instant::now();
        let frames = idle.until_ready();
        assert_eq!(frames[0].text(), "UPDATE 1", "after {:?}", began.elapsed());
        thread::sleep(Duration::from_millis(500));
    });
    let new = patroni.leader_place();
    assert_ne!(new, old);
    let there = idle.sql("SELECT v FROM t WHERE id = 7")[0]
        .parse::<u32>()
        .expect("a number");
    assert!(there >= acknowledged.load(Ordering::SeqCst), "{there}");
    // The old one comes back as one that follows.
    patroni.members_mut()[old].start();
    patroni.settled();
    idle.sql("UPDATE t SET v = 2 WHERE id = 8");
}

/// How often the figures of `docs/failover.md` are taken.
fn rounds() -> usize {
    let asked = std::env::var("PGWEIR_ROUNDS").ok();
    asked.map_or(20, |rounds| rounds.parse().expect("a number"))
}

fn print(what: &str, mut times: Vec<Duration>) {
    times.sort();
    let [least, middle, most] = [0, times.len() / 2, times.len() - 1].map(|place| times[place]);
    println!(
        "{what}: {} times, least {least:.0?}, median {middle:.0?}, most {most:.0?}",
        times.len()
    );
}

#[test]
#[ignore = "takes figures: cargo test -p pgweir-tests --test e2e -- --ignored --nocapture figures_of_switchovers"]
fn figures_of_switchovers() {
    let patroni = Patroni::start();
    let (pooler, target) = pooler(&patroni);
    prepare(&target);
    target.pgbench("-i -s 1 -q");
    let load = Load {
        target: &target,
        stop: AtomicBool::new(false),
        written: AtomicU32::new(0),
    };
    let (mut whole, mut stood, mut benched) = (Vec::new(), Vec::new(), 0);
    thread::scope(|scope| {
        let _stops = Stops(&load.stop);
        for number in 1..=8 {
            let load = &load;
            scope.spawn(move || load.write(number));
        }
        for _ in 0..rounds() {
            load.goes_on();
            let over = AtomicBool::new(false);
            let longest = thread::scope(|scope| {
                let pgbench = scope.spawn(|| bench(&target, 8));
                let watch = scope.spawn(|| longest_pause(&load.written, &over));
                let began = Instant::now();
                let mut console = Wire::connect(&pooler.console());
                console.patience(Duration::from_secs(90));
                console.sql("SWITCHOVER work");
                whole.push(began.elapsed());
                load.goes_on();
                over.store(true, Ordering::Relaxed);
                benched += pgbench.join().expect("nothing fails");
                watch.join().expect("it does not panic")
            });
            stood.push(longest);
            patroni.settled();
        }
    });
    println!(
        "transactions of pgbench: {benched}, of others: {}, failed: 0",
        load.written.load(Ordering::Relaxed)
    );
    print("SWITCHOVER took", whole);
    print("longest pause between two transactions", stood);
}

/// For how long a counter stood still.
fn longest_pause(counter: &AtomicU32, over: &AtomicBool) -> Duration {
    let (mut last, mut since) = (counter.load(Ordering::Relaxed), Instant::now());
    let mut longest = Duration::ZERO;
    while !over.load(Ordering::Relaxed) {
        thread::sleep(Duration::from_millis(1));
        let now = counter.load(Ordering::Relaxed);
        if now != last {
            longest = longest.max(since.elapsed());
            (last, since) = (now, Instant::now());
        }
    }
    longest
}

/// Rows that are written where nobody sees it begin here.
const LONELY: usize = 1000;

/// A program that may take until it is killed.
struct Running(std::process::Child);

impl Running {
    fn start(mut command: Command) -> Self {
        let quiet = command.stdout(Stdio::null()).stderr(Stdio::null());
        Self(quiet.spawn().expect("it is installed"))
    }

    fn has_succeeded(&mut self) -> bool {
        let ended = self.0.try_wait().expect("it is our child");
        ended.is_some_and(|status| status.success())
    }
}

impl Drop for Running {
    fn drop(&mut self) {
        let _ = self.0.kill();
        let _ = self.0.wait();
    }
}

/// The primary is cut off from everybody else: so many times. For each, how long it took from the cut to the promotion,
/// and from that to the first write.
fn cut_off(rounds: usize) -> Option<Vec<(Duration, Duration)>> {
    Network::run(3, |network| {
        let patroni = Patroni::start_on(network);
        let (pooler, target) = pooler(&patroni);
        prepare(&target);
        let mut idle = Wire::connect(&target);
        idle.patience(Duration::from_secs(90));
        let times = (1..=rounds).map(|round| {
            let old = patroni.leader_place();
            idle.sql(&format!("UPDATE t SET v = {round} WHERE id = 8"));
            let mut busy = Wire::connect(&target);
            busy.patience(Duration::from_secs(90));
            busy.sql("BEGIN");
            busy.sql("UPDATE t SET v = 0 WHERE id = 9");
            network.cut(old);
            let cut = Instant::now();
            is_missed(&pooler);
            // What somebody on the other side writes is not taken: nobody who follows has it.
            busy.write(|out| encode::query(b"UPDATE t SET v = 1 WHERE id = 9", out));
            let id = LONELY + round;
            let insert = format!("INSERT INTO t VALUES ({id}, 1)");
            let mut unheard = Running::start(patroni.members()[old].psql("work", &insert));
            let standbys = others(&patroni, old);
            let (promoted, written) = thread::scope(|scope| {
                let watching = scope.spawn(|| promotion(&standbys));
                let frames = idle.query(&format!("UPDATE t SET v = -{round} WHERE id = 8"));
                let written = Instant::now();
                assert_eq!(frames[0].text(), "UPDATE 1");
                (watching.join().expect("it does not panic"), written)
            });
            assert!(
                !unheard.has_succeeded(),
                "a write that nobody else has was acknowledged"
            );
            // Who had a transaction there is told, and not left waiting for what will never come.
            let error = busy.frame().error();
            assert_eq!(error.sqlstate, "08006", "{error:?}");
            network.join(old);
            patroni.settled();
            assert_eq!(
                idle.sql("SELECT v FROM t WHERE id = 8"),
                [format!("-{round}")]
            );
            let lost = format!("SELECT count(*) FROM t WHERE id = {id}");
            assert_eq!(idle.sql(&lost), ["0"], "the old primary has written it");
            (promoted - cut, written.saturating_duration_since(promoted))
        });
        times.collect()
    })
}

#[test]
fn a_primary_that_is_cut_off_is_left_behind() {
    let _ = cut_off(1);
}

#[test]
#[ignore = "takes figures: cargo test -p pgweir-tests --test e2e -- --ignored --nocapture figures_of_partitions"]
fn figures_of_partitions() {
    let Some(times) = cut_off(rounds()) else {
        return;
    };
    let (promotions, writes): (Vec<_>, Vec<_>) = times.into_iter().unzip();
    print("from the cut to the promotion", promotions);
    print(
        "from the promotion to the first write through pgweir",
        writes,
    );
}

#[test]
#[ignore = "takes figures: cargo test -p pgweir-tests --test e2e -- --ignored --nocapture figures_of_kills"]
fn figures_of_kills() {
    let mut patroni = Patroni::start();
    let (pooler, target) = pooler(&patroni);
    prepare(&target);
    let mut idle = Wire::connect(&target);
    idle.patience(Duration::from_secs(90));
    let (mut promotions, mut writes) = (Vec::new(), Vec::new());
    for round in 0..rounds() {
        idle.sql(&format!("UPDATE t SET v = {round} WHERE id = 8"));
        let old = patroni.leader_place();
        let standbys = others(&patroni, old);
        patroni.members_mut()[old].kill();
        let killed = Instant::now();
        is_missed(&pooler);
        let promoted = thread::scope(|scope| {
            let watching = scope.spawn(|| promotion(&standbys));
            let frames = idle.query(&format!("UPDATE t SET v = -{round} WHERE id = 8"));
            let written = Instant::now();
            assert_eq!(frames[0].text(), "UPDATE 1");
            let promoted = watching.join().expect("it does not panic");
            writes.push(written.saturating_duration_since(promoted));
            promoted
        });
        promotions.push(promoted - killed);
        let seen = idle.sql("SELECT v FROM t WHERE id = 8");
        assert_eq!(seen, [format!("-{round}").replace("-0", "0")]);
        patroni.members_mut()[old].start();
        patroni.settled();
    }
    print("from the kill to the promotion", promotions);
    print(
        "from the promotion to the first write through pgweir",
        writes,
    );
}

/// The servers of all members but one.
fn others(patroni: &Patroni, but: usize) -> Vec<Target> {
    let members = patroni.members().iter().enumerate();
    let others = members.filter(|(place, _)| *place != but);
    others
        .map(|(_, member)| Target::new(member.port(), "work", "app").host(member.address()))
        .collect()
}

/// When one of the standbys was the primary, to some milliseconds.
fn promotion(standbys: &[Target]) -> Instant {
    let mut wires: Vec<Wire> = standbys.iter().map(Wire::connect).collect();
    loop {
        for wire in &mut wires {
            if wire.sql("SELECT pg_is_in_recovery()") == ["f"] {
                return Instant::now();
            }
        }
        thread::sleep(Duration::from_millis(2));
    }
}
