//! Counters per database, one set for each worker: written by one thread, summed when asked for.

mod histogram;

pub use histogram::{Histogram, Times};

use std::collections::BTreeMap;
use std::sync::atomic::{AtomicU64, Ordering::Relaxed};
use std::sync::{Arc, OnceLock};
use std::time::Duration;

use parking_lot::Mutex;
use pgweir_session::Counts;

/// The counters of one database on one worker. Aligned so that no two workers write to one cache
/// line.
#[derive(Debug, Default)]
#[repr(align(128))]
pub struct Stats {
    counts: [AtomicU64; FIELDS],
    /// There once something has taken time.
    spans: OnceLock<Box<Spans>>,
    /// Of servers, by the class of their SQLSTATE (errcodes-appendix). Errors are rare.
    errors: Mutex<BTreeMap<[u8; 2], u64>>,
}

/// Where the time of transactions goes.
#[derive(Debug, Default)]
struct Spans {
    wait: Histogram,
    server: Histogram,
    client: Histogram,
}

/// Where the time of transactions has gone.
#[derive(Debug, Clone, Default, PartialEq, Eq)]
pub struct SpanTimes {
    /// Waiting for a server connection: one for each that was given.
    pub wait: Times,
    /// The server's: one for each query.
    pub server: Times,
    /// The client's, while it held a server connection: one for each transaction.
    pub client: Times,
}

const FIELDS: usize = 12;

/// Sums of [`Stats`], in the order of PgBouncer's SHOW STATS.
#[derive(Debug, Clone, Copy, Default, PartialEq, Eq)]
pub struct Totals {
    /// Server connections given to clients.
    pub assignments: u64,
    /// Transactions.
    pub transactions: u64,
    /// Queries.
    pub queries: u64,
    /// Bytes from clients.
    pub received: u64,
    /// Bytes to clients.
    pub sent: u64,
    /// Microseconds in transactions.
    pub transaction_us: u64,
    /// Microseconds in queries.
    pub query_us: u64,
    /// Microseconds that clients waited for a server connection.
    pub wait_us: u64,
    /// Parse messages of clients.
    pub client_parses: u64,
    /// Parse messages to servers.
    pub server_parses: u64,
    /// Bind messages.
    pub binds: u64,
    /// Logins.
    pub logins: u64,
}

impl Stats {
    fn add(&self, field: usize, value: u64) {
        // A single writer: no read-modify-write is needed, only that readers see whole numbers.
        let cell = &self.counts[field];
        cell.store(cell.load(Relaxed).wrapping_add(value), Relaxed);
    }

    fn spans(&self) -> &Spans {
        self.spans.get_or_init(Box::default)
    }

    /// A server connection was given to a client that waited for so long.
    pub fn assigned(&self, waited: Duration) {
        self.add(0, 1);
        self.spans().wait.add(waited);
    }

    /// A client has waited for a server connection.
    pub fn waited(&self, time: Duration) {
        self.add(7, micros(time));
    }

    /// Queries were answered; `time` is that of the last one.
    pub fn query_done(&self, counts: &Counts, time: Duration) {
        if counts.queries > 0 {
            self.add(1, u64::from(counts.transactions));
            self.add(2, u64::from(counts.queries));
            self.add(6, micros(time));
            self.spans().server.add(time);
        }
        for class in &counts.errors {
            *self.errors.lock().entry(*class).or_default() += 1;
        }
        if counts.client_parses + counts.server_parses + counts.binds > 0 {
            self.add(8, u64::from(counts.client_parses));
            self.add(9, u64::from(counts.server_parses));
            self.add(10, u64::from(counts.binds));
        }
    }

    /// Bytes came from a client.
    pub fn received(&self, len: usize) {
        self.add(3, len as u64);
    }

    /// Bytes went to a client.
    pub fn sent(&self, len: usize) {
        self.add(4, len as u64);
    }

    /// A transaction ended. For so much of its time the server had nothing to do.
    pub fn transaction_done(&self, time: Duration, clients: Duration) {
        self.add(5, micros(time));
        self.spans().client.add(clients);
    }

    fn add_spans_to(&self, times: &mut SpanTimes) {
        if let Some(spans) = self.spans.get() {
            spans.wait.add_to(&mut times.wait);
            spans.server.add_to(&mut times.server);
            spans.client.add_to(&mut times.client);
        }
    }

    /// A client logged in.
    pub fn logged_in(&self) {
        self.add(11, 1);
    }

    /// What the counters say now.
    pub fn totals(&self) -> Totals {
        let value = |field: usize| self.counts[field].load(Relaxed);
        Totals {
            assignments: value(0),
            transactions: value(1),
            queries: value(2),
            received: value(3),
            sent: value(4),
            transaction_us: value(5),
            query_us: value(6),
            wait_us: value(7),
            client_parses: value(8),
            server_parses: value(9),
            binds: value(10),
            logins: value(11),
        }
    }
}

fn micros(time: Duration) -> u64 {
    u64::try_from(time.as_micros()).unwrap_or(u64::MAX)
}

impl Totals {
    /// Field by field, in the order of SHOW STATS.
    pub fn fields(&self) -> [u64; FIELDS] {
        [
            self.assignments,
            self.transactions,
            self.queries,
            self.received,
            self.sent,
            self.transaction_us,
            self.query_us,
            self.wait_us,
            self.client_parses,
            self.server_parses,
            self.binds,
            self.logins,
        ]
    }

    /// From such an array.
    pub fn of_fields(fields: [u64; FIELDS]) -> Self {
        let [
            assignments,
            transactions,
            queries,
            received,
            sent,
            transaction_us,
            query_us,
            wait_us,
            client_parses,
            server_parses,
            binds,
            logins,
        ] = fields;
        Self {
            assignments,
            transactions,
            queries,
            received,
            sent,
            transaction_us,
            query_us,
            wait_us,
            client_parses,
            server_parses,
            binds,
            logins,
        }
    }

    /// Field-wise sum.
    #[must_use]
    pub fn plus(&self, other: &Self) -> Self {
        let (a, b) = (self.fields(), other.fields());
        Self::of_fields(std::array::from_fn(|field| a[field].wrapping_add(b[field])))
    }

    /// PgBouncer's averages of a period: counts and bytes per second, times per event.
    #[must_use]
    pub fn averages(&self, before: &Self, period: Duration) -> Self {
        let (now, old) = (self.fields(), before.fields());
        let diff: [u64; FIELDS] = std::array::from_fn(|field| now[field].wrapping_sub(old[field]));
        let micros = micros(period).max(1);
        let per_second = |count: u64| (u128::from(count) * 1_000_000 / u128::from(micros)) as u64;
        let per_event = |time: u64, count: u64| time.checked_div(count).unwrap_or(0);
        let mut averages: [u64; FIELDS] = std::array::from_fn(|field| per_second(diff[field]));
        averages[5] = per_event(diff[5], diff[1]);
        averages[6] = per_event(diff[6], diff[2]);
        // Waiting time per second of the period, as PgBouncer gives it.
        averages[7] = per_second(diff[7]);
        Self::of_fields(averages)
    }
}

impl SpanTimes {
    fn since(&self, before: &Self) -> Self {
        Self {
            wait: self.wait.since(&before.wait),
            server: self.server.since(&before.server),
            client: self.client.since(&before.client),
        }
    }
}

/// Statistics of one database: each worker's counters, and the last averages.
#[derive(Debug, Default)]
pub struct DatabaseStats {
    /// One for each worker.
    pub workers: Vec<Arc<Stats>>,
    /// Totals when the last period ended.
    pub before: Totals,
    /// Averages of the last period.
    pub averages: Totals,
    /// Where time had gone when the last period ended.
    pub spans_before: SpanTimes,
    /// Where the time of the last period went.
    pub spans: SpanTimes,
}

impl DatabaseStats {
    /// Sum over the workers.
    pub fn totals(&self) -> Totals {
        self.workers
            .iter()
            .fold(Totals::default(), |sum, stats| sum.plus(&stats.totals()))
    }

    /// Where time has gone, over all workers.
    pub fn span_times(&self) -> SpanTimes {
        let mut times = SpanTimes::default();
        for stats in &self.workers {
            stats.add_spans_to(&mut times);
        }
        times
    }

    /// Errors of servers that clients were told of, over all workers, by the class of their SQLSTATE.
    pub fn errors(&self) -> BTreeMap<[u8; 2], u64> {
        let mut errors = BTreeMap::new();
        for stats in &self.workers {
            for (class, count) in &*stats.errors.lock() {
                *errors.entry(*class).or_default() += count;
            }
        }
        errors
    }

    /// A period ends that took so long.
    pub fn roll(&mut self, elapsed: Duration) -> Totals {
        let totals = self.totals();
        self.averages = totals.averages(&self.before, elapsed);
        self.before = totals;
        let spans = self.span_times();
        self.spans = spans.since(&self.spans_before);
        self.spans_before = spans;
        totals
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn averages_are_per_second_and_per_event() {
        let stats = Stats::default();
        for _ in 0..10 {
            let counts = Counts {
                queries: 1,
                transactions: 1,
                ..Counts::default()
            };
            stats.query_done(&counts, Duration::from_micros(300));
            stats.transaction_done(Duration::from_micros(500), Duration::from_micros(200));
            stats.received(100);
        }
        let averages = stats
            .totals()
            .averages(&Totals::default(), Duration::from_secs(2));
        assert_eq!((averages.queries, averages.received), (5, 500));
        assert_eq!((averages.query_us, averages.transaction_us), (300, 500));
    }
}
