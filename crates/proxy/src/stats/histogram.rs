//! How long things took: counts of durations, with one thread that writes and others that read.

use std::sync::atomic::{AtomicU64, Ordering::Relaxed};
use std::time::Duration;

/// Each power of two has so many buckets, so a bucket's bounds are at most a quarter apart.
const PER_OCTAVE: u32 = 4;
/// Durations below it are counted by the microsecond.
const LINEAR: u64 = PER_OCTAVE as u64;
/// Longer ones are counted as if they were this long: 2^28 µs, some four minutes.
const OCTAVES: u32 = 26;
const BUCKETS: usize = (PER_OCTAVE + OCTAVES * PER_OCTAVE) as usize;

/// See the module.
#[derive(Debug)]
pub struct Histogram {
    counts: [AtomicU64; BUCKETS],
    /// Microseconds.
    sum: AtomicU64,
}

impl Default for Histogram {
    fn default() -> Self {
        Self {
            counts: std::array::from_fn(|_| AtomicU64::new(0)),
            sum: AtomicU64::new(0),
        }
    }
}

impl Histogram {
    /// One more.
    pub fn add(&self, time: Duration) {
        let micros = u64::try_from(time.as_micros()).unwrap_or(u64::MAX);
        // A single writer: no read-modify-write is needed, only that readers see whole numbers.
        let add = |cell: &AtomicU64, value: u64| {
            cell.store(cell.load(Relaxed).wrapping_add(value), Relaxed);
        };
        add(&self.counts[bucket(micros)], 1);
        add(&self.sum, micros);
    }

    /// What has been counted, added to what others have.
    pub fn add_to(&self, times: &mut Times) {
        times.counts.resize(BUCKETS, 0);
        for (count, cell) in times.counts.iter_mut().zip(&self.counts) {
            *count += cell.load(Relaxed);
        }
        times.sum += self.sum.load(Relaxed);
    }
}

/// The bucket of a number of microseconds.
fn bucket(micros: u64) -> usize {
    if micros < LINEAR {
        return micros as usize;
    }
    let octave = micros.ilog2() - PER_OCTAVE.ilog2();
    let part = (micros >> octave) as u32 - PER_OCTAVE;
    let bucket = PER_OCTAVE + octave * PER_OCTAVE + part;
    (bucket as usize).min(BUCKETS - 1)
}

/// The least number of microseconds that is beyond a bucket.
fn end(bucket: usize) -> u64 {
    let next = bucket as u64 + 1;
    if next <= LINEAR {
        return next;
    }
    let (octave, part) = (next / LINEAR - 1, next % LINEAR);
    (LINEAR + part) << octave
}

/// Counts of durations, of several threads or as they were at some moment.
#[derive(Debug, Clone, Default, PartialEq, Eq)]
pub struct Times {
    /// By bucket; none if nothing has been counted.
    counts: Vec<u64>,
    /// Microseconds.
    sum: u64,
}

impl Times {
    /// How many there are.
    pub fn count(&self) -> u64 {
        self.counts.iter().sum()
    }

    /// All of them together, in microseconds.
    pub fn sum(&self) -> u64 {
        self.sum
    }

    /// How many took less than so many microseconds; exact where that is a power of two.
    pub fn below(&self, micros: u64) -> u64 {
        let buckets = self.counts.iter().enumerate();
        let below = buckets.take_while(|(bucket, _)| end(*bucket) <= micros);
        below.map(|(_, count)| count).sum()
    }

    /// What came since it was like this.
    #[must_use]
    pub fn since(&self, before: &Self) -> Self {
        let old = before.counts.iter().chain(std::iter::repeat(&0));
        let counts = self.counts.iter().zip(old);
        Self {
            counts: counts.map(|(now, old)| now.saturating_sub(*old)).collect(),
            sum: self.sum.wrapping_sub(before.sum),
        }
    }

    /// So many microseconds, or less, took this part of them; at most a quarter too many. 0 if there are none.
    pub fn quantile(&self, part: f64) -> u64 {
        let wanted = (self.count() as f64 * part).ceil() as u64;
        let mut seen = 0;
        for (bucket, count) in self.counts.iter().enumerate() {
            seen += count;
            if *count > 0 && seen >= wanted {
                return end(bucket) - 1;
            }
        }
        0
    }
}

#[cfg(test)]
mod tests {
    use proptest::prelude::*;

    use super::*;

    proptest! {
        #[test]
        fn each_duration_is_in_the_bucket_that_says_so(micros in 0..1_u64 << 28) {
            let bucket = bucket(micros);
            prop_assert!(micros < end(bucket));
            prop_assert!(bucket == 0 || end(bucket - 1) <= micros);
            prop_assert!(end(bucket) - 1 <= micros + micros / 4);
        }

        #[test]
        fn quantiles_are_those_of_the_durations(mut micros in prop::collection::vec(0..1_u64 << 28, 1..100), part in 0.01..1.0_f64) {
            let histogram = Histogram::default();
            for micros in &micros {
                histogram.add(Duration::from_micros(*micros));
            }
            let mut times = Times::default();
            histogram.add_to(&mut times);
            micros.sort_unstable();
            let exact = micros[(micros.len() as f64 * part).ceil() as usize - 1];
            let found = times.quantile(part);
            prop_assert!(found >= exact && found <= exact + exact / 4, "{found} for {exact}");
            for power in 0..28 {
                let below = micros.iter().filter(|micros| **micros < 1 << power).count();
                prop_assert_eq!(times.below(1 << power), below as u64);
            }
            prop_assert_eq!(times.sum(), micros.iter().sum::<u64>());
        }
    }

    #[test]
    fn what_is_very_long_is_counted() {
        let histogram = Histogram::default();
        histogram.add(Duration::MAX);
        let mut times = Times::default();
        histogram.add_to(&mut times);
        assert_eq!((times.count(), times.below(1 << 27)), (1, 0));
        assert_eq!(times.since(&times).count(), 0);
    }
}
