//! How far a standby is behind, measured by our own clock.

use std::collections::VecDeque;
use std::time::{Duration, Instant};

use super::Lsn;

/// How far a standby is behind the primary.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct Lag {
    /// Bytes of WAL up to the primary's last sample.
    pub bytes: u64,
    /// Everything that was written so long ago, or longer, is there. Never less than the age of the last
    /// sample: nothing is known of what was written since.
    pub time: Duration,
}

/// The primary's positions, in the order in which they were asked for.
#[derive(Debug, Clone, Default)]
pub(super) struct Samples {
    /// Invariant: moments and positions rise.
    list: VecDeque<(Instant, Lsn)>,
}

/// With one sample a second, four minutes; who lags more lags too much.
const SAMPLES_MAX: usize = 256;

impl Samples {
    /// The primary was there when it answered what was asked at `asked`, or further.
    pub(super) fn add(&mut self, lsn: Lsn, asked: Instant) {
        if self
            .list
            .back()
            .is_some_and(|last| asked <= last.0 || lsn < last.1)
        {
            return;
        }
        if self.list.len() == SAMPLES_MAX {
            self.list.pop_front();
        }
        self.list.push_back((asked, lsn));
    }

    /// A position that is not before any that the primary had at `since`.
    pub(super) fn after(&self, since: Instant) -> Option<Lsn> {
        self.list
            .iter()
            .find(|(asked, _)| *asked >= since)
            .map(|(_, lsn)| *lsn)
    }

    /// Of a standby that has replayed so much. None before the first sample, or if it is further behind
    /// than all samples.
    pub(super) fn lag(&self, replayed: Lsn, now: Instant) -> Option<Lag> {
        let (_, newest) = self.list.back()?;
        // What the primary had at that moment at most, the standby has. A sample was taken after it was
        // asked for, so its position is not less than that of the moment of asking.
        let reached = self.list.partition_point(|(_, lsn)| *lsn <= replayed);
        let (asked, _) = self.list.get(reached.checked_sub(1)?)?;
        Some(Lag {
            bytes: newest.0.saturating_sub(replayed.0),
            time: now.saturating_duration_since(*asked),
        })
    }
}
