//! Cancel requests that are being passed on, to a server or to another process.

use std::sync::Arc;

use parking_lot::Mutex;
use tokio::sync::Notify;

/// Those that go the same way.
#[derive(Debug, Default)]
pub struct Requests {
    counts: Mutex<Counts>,
    /// Told whenever there is room for another one, in the order in which they came.
    room: Notify,
}

/// How many there are, by how far they are.
#[derive(Debug, Default, Clone, Copy)]
pub struct Counts {
    /// There is no room for them yet.
    pub waiting: u32,
    /// Their connections are being made.
    pub connecting: u32,
    /// They have been sent, and not been dealt with.
    pub sent: u32,
}

/// Which of them a request is among.
#[derive(Debug, Clone, Copy)]
enum Stage {
    Waiting,
    Connecting,
    Sent,
}

impl Counts {
    fn of(&mut self, stage: Stage) -> &mut u32 {
        match stage {
            Stage::Waiting => &mut self.waiting,
            Stage::Connecting => &mut self.connecting,
            Stage::Sent => &mut self.sent,
        }
    }
}

impl Requests {
    /// How many there are.
    pub fn counts(&self) -> Counts {
        *self.counts.lock()
    }

    /// Waits until there is room for one more request; `size` says how many there may be at once, 0 is
    /// no limit.
    pub async fn enter(self: &Arc<Self>, size: impl Fn() -> u32) -> Place {
        let mut place = Place::in_queue(self);
        loop {
            // Before looking: who makes room after that is heard.
            let room = self.room.notified();
            if place.enter(size()) {
                return place;
            }
            room.await;
        }
    }
}

/// One request's place among them, whatever happens to its task.
#[derive(Debug)]
pub struct Place {
    all: Arc<Requests>,
    stage: Stage,
}

impl Place {
    fn in_queue(all: &Arc<Requests>) -> Self {
        all.counts.lock().waiting += 1;
        Self {
            all: Arc::clone(all),
            stage: Stage::Waiting,
        }
    }

    /// Whether there was room for it.
    fn enter(&mut self, size: u32) -> bool {
        let mut counts = self.all.counts.lock();
        if size > 0 && counts.connecting + counts.sent >= size {
            return false;
        }
        counts.waiting -= 1;
        counts.connecting += 1;
        self.stage = Stage::Connecting;
        true
    }

    /// It has been sent.
    pub fn sent(&mut self) {
        let mut counts = self.all.counts.lock();
        *counts.of(self.stage) -= 1;
        counts.sent += 1;
        self.stage = Stage::Sent;
    }
}

impl Drop for Place {
    fn drop(&mut self) {
        *self.all.counts.lock().of(self.stage) -= 1;
        // Also if it only waited: what it was told of is for the next then.
        self.all.room.notify_one();
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_request_has_one_place_whatever_happens() {
        let all = Arc::new(Requests::default());
        let counts = || {
            let counts = all.counts();
            (counts.waiting, counts.connecting, counts.sent)
        };
        let mut first = Place::in_queue(&all);
        let mut second = Place::in_queue(&all);
        assert_eq!(counts(), (2, 0, 0));
        assert!(first.enter(1) && !second.enter(1));
        assert_eq!(counts(), (1, 1, 0));
        first.sent();
        assert!(!second.enter(1) && second.enter(2));
        assert_eq!(counts(), (0, 1, 1));
        let mut third = Place::in_queue(&all);
        assert!(!third.enter(2) && third.enter(0), "0 is no limit");
        drop((first, second, third));
        assert_eq!(counts(), (0, 0, 0));
    }
}
