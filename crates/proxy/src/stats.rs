//! Counters per database, one set for each worker: written by one thread, summed when asked for.

use std::sync::Arc;
use std::sync::atomic::{AtomicU64, Ordering::Relaxed};
use std::time::Duration;

use pgweir_session::Counts;

/// The counters of one database on one worker. Aligned so that no two workers write to one cache
/// line.
#[derive(Debug, Default)]
#[repr(align(128))]
pub struct Stats([AtomicU64; FIELDS]);

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
        let cell = &self.0[field];
        cell.store(cell.load(Relaxed).wrapping_add(value), Relaxed);
    }

    /// A server connection was given to a client.
    pub fn assigned(&self) {
        self.add(0, 1);
    }

    /// Queries were answered; `time` is that of the last one.
    pub fn query_done(&self, counts: &Counts, time: Duration) {
        if counts.queries > 0 {
            self.add(1, u64::from(counts.transactions));
            self.add(2, u64::from(counts.queries));
            self.add(6, micros(time));
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

    /// A transaction ended.
    pub fn transaction_done(&self, time: Duration) {
        self.add(5, micros(time));
    }

    /// A client got a server connection that it had to wait for.
    pub fn waited(&self, time: Duration) {
        self.add(7, micros(time));
    }

    /// A client logged in.
    pub fn logged_in(&self) {
        self.add(11, 1);
    }

    /// What the counters say now.
    pub fn totals(&self) -> Totals {
        let value = |field: usize| self.0[field].load(Relaxed);
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

/// Statistics of one database: each worker's counters, and the last averages.
#[derive(Debug, Default)]
pub struct DatabaseStats {
    /// One for each worker.
    pub workers: Vec<Arc<Stats>>,
    /// Totals when the last period ended.
    pub before: Totals,
    /// Averages of the last period.
    pub averages: Totals,
}

impl DatabaseStats {
    /// Sum over the workers.
    pub fn totals(&self) -> Totals {
        self.workers
            .iter()
            .fold(Totals::default(), |sum, stats| sum.plus(&stats.totals()))
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
            stats.transaction_done(Duration::from_micros(500));
            stats.received(100);
        }
        let averages = stats
            .totals()
            .averages(&Totals::default(), Duration::from_secs(2));
        assert_eq!((averages.queries, averages.received), (5, 500));
        assert_eq!((averages.query_us, averages.transaction_us), (300, 500));
    }
}
