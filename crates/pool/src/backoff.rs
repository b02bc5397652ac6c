//! Attempts to connect that failed, and the pauses between them.

use std::sync::Arc;
use std::time::{Duration, Instant};

/// Failed attempts to connect, since the last that worked.
#[derive(Debug, Clone)]
pub(crate) struct Failing {
    /// The first failure.
    since: Instant,
    /// The last one that counted.
    at: Instant,
    /// No attempt before this.
    until: Instant,
    pause: Duration,
    cause: Arc<str>,
}

const PAUSE_MIN: Duration = Duration::from_millis(100);

impl Failing {
    /// One more failure, of an attempt that began at `begun`. Attempts that were under way at the
    /// time of the last failure say nothing new: eight of them are one outage, not eight.
    pub(crate) fn again(
        last: Option<Self>,
        cause: Arc<str>,
        pause_max: Duration,
        begun: Instant,
        now: Instant,
    ) -> Self {
        let pause_max = pause_max.max(PAUSE_MIN);
        let (since, pause) = match last {
            Some(last) if begun < last.at => return Self { cause, ..last },
            Some(last) => (last.since, (last.pause * 2).min(pause_max)),
            None => (now, PAUSE_MIN),
        };
        Self {
            since,
            at: now,
            until: now + pause,
            pause,
            cause,
        }
    }

    /// Whether an attempt may be made.
    pub(crate) fn is_over(&self, now: Instant) -> bool {
        now >= self.until
    }

    /// How the last attempt failed.
    pub(crate) fn cause(&self) -> Arc<str> {
        Arc::clone(&self.cause)
    }

    /// Why nobody should wait, if this has lasted for `patience`: more than a restart.
    pub(crate) fn hopeless(&self, patience: Duration, now: Instant) -> Option<&Arc<str>> {
        let long = now.saturating_duration_since(self.since) >= patience;
        (long && !self.is_over(now)).then_some(&self.cause)
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn attempts_that_fail_together_are_one_failure() {
        let start = Instant::now();
        let at = |ms| start + Duration::from_millis(ms);
        let again = |last, begun, now| {
            let max = Duration::from_secs(15);
            Failing::again(last, Arc::from("refused"), max, at(begun), at(now))
        };
        let mut failing = again(None, 0, 10);
        for _ in 0..7 {
            failing = again(Some(failing), 0, 11);
        }
        assert_eq!(failing.until, at(110));
        let failing = again(Some(failing), 110, 120);
        assert_eq!(failing.until, at(320));
        assert_eq!(failing.since, at(10));
    }
}
