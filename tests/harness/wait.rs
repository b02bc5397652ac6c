//! Waiting for what other processes do.

use std::thread;
use std::time::{Duration, Instant};

/// Longer than anything takes that works; so a test that hangs fails.
const LONGEST: Duration = Duration::from_secs(20);

/// Asks until the answer is there.
///
/// # Panics
/// If that takes more than twenty seconds.
#[track_caller]
pub fn eventually<T>(what: &str, mut ask: impl FnMut() -> Option<T>) -> T {
    let deadline = Instant::now() + LONGEST;
    let mut pause = Duration::from_millis(2);
    loop {
        if let Some(answer) = ask() {
            return answer;
        }
        assert!(
            Instant::now() < deadline,
            "it did not happen within {LONGEST:?}: {what}"
        );
        thread::sleep(pause);
        pause = (pause * 2).min(Duration::from_millis(50));
    }
}

/// Checks that something stays true for a while.
///
/// # Panics
/// When it no longer is.
#[track_caller]
pub fn for_a_while(what: &str, mut holds: impl FnMut() -> bool) {
    let deadline = Instant::now() + Duration::from_millis(300);
    while Instant::now() < deadline {
        assert!(holds(), "it did not stay so: {what}");
        thread::sleep(Duration::from_millis(20));
    }
}
