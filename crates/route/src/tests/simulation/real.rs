//! What hosts really are, and chance.

use crate::topology::{Lsn, Probe};

use super::HOSTS;

/// splitmix64
pub(super) struct Random(pub(super) u64);

impl Random {
    pub(super) fn below(&mut self, limit: u64) -> u64 {
        self.0 = self.0.wrapping_add(0x9e37_79b9_7f4a_7c15);
        let mut mixed = self.0;
        mixed = (mixed ^ mixed >> 30).wrapping_mul(0xbf58_476d_1ce4_e5b9);
        mixed = (mixed ^ mixed >> 27).wrapping_mul(0x94d0_49bb_1331_11eb);
        (mixed ^ mixed >> 31) % limit
    }

    pub(super) fn host(&mut self) -> usize {
        self.below(HOSTS as u64) as usize
    }
}

/// A write: the timeline and position at which it is.
pub(super) type Write = (u32, u64);

/// What a host really is.
pub(super) struct Real {
    pub(super) in_recovery: bool,
    /// Timelines with the last position that it has of each; the last one is its own.
    pub(super) history: Vec<Write>,
    /// Before this step it does not listen, and before this one it does not answer.
    pub(super) down_until: u64,
    pub(super) frozen_until: u64,
    /// Nothing passes between it and us, and between it and the others.
    pub(super) cut_until: u64,
    pub(super) alone_until: u64,
    /// Somebody else has its address.
    pub(super) foreign_until: u64,
    /// How often it was started, and how often that was where the last answer came from.
    pub(super) started: u32,
    pub(super) probed: u32,
    /// When a client's connection to it was opened, and how often it had been started then.
    pub(super) opened: (u64, u32),
}

impl Real {
    pub(super) fn timeline(&self) -> u32 {
        self.history.last().expect("it has one").0
    }

    pub(super) fn lsn(&self) -> u64 {
        self.history.last().expect("it has one").1
    }

    pub(super) fn has(&self, write: Write) -> bool {
        self.history
            .iter()
            .any(|(timeline, end)| *timeline == write.0 && write.1 <= *end)
    }

    pub(super) fn stop(&mut self, until: u64) {
        self.down_until = self.down_until.max(until);
    }

    /// All connections end. What a standby has replayed since its last restartpoint, it replays again, and shows
    /// a past that it was already beyond.
    pub(super) fn crash(&mut self, until: u64, lost: u64) {
        self.stop(until);
        self.started += 1;
        self.alone_until = self.alone_until.max(until + 100);
        let last = self.history.last_mut().expect("it has one");
        if self.in_recovery {
            last.1 -= lost.min(last.1);
        }
    }

    pub(super) fn probe(&self, step: u64) -> Probe {
        let is_foreign = step < self.foreign_until;
        Probe {
            in_recovery: self.in_recovery && !is_foreign,
            timeline: if is_foreign { 99 } else { self.timeline() },
            system: if is_foreign { 2 } else { 1 },
            lsn: Lsn(self.lsn()),
        }
    }
}
