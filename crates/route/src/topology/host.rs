//! One host: what it said last, and what speaks against it.

use std::sync::atomic::{AtomicU64, Ordering::Relaxed};
use std::time::{Duration, Instant};

use super::Lsn;

/// What a host answers when it is asked.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct Probe {
    /// `pg_is_in_recovery()`
    pub in_recovery: bool,
    /// The higher one of the last checkpoint's (`pg_control_checkpoint()`) and of what is received
    /// (`pg_stat_wal_receiver.received_tli`).
    pub timeline: u32,
    /// `pg_control_system()`
    pub system: u64,
    /// Out of recovery what is written and flushed, in recovery what is replayed.
    pub lsn: Lsn,
}

/// What can go wrong with a host.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Trouble {
    /// Nobody listens, or the network says so.
    Refused,
    /// No answer in time.
    Silent,
    /// A connection broke.
    Broken,
    /// It is shutting down (57P01, 57P02).
    ShuttingDown,
    /// It is starting up (57P03).
    Starting,
    /// It has refused to write (25006) where no transaction was READ ONLY.
    ReadOnly,
}

/// What is known of a host.
#[derive(Debug, Clone)]
pub(super) struct Host {
    /// The answer that was asked for last, and when it was asked for.
    answer: Option<(Probe, Instant)>,
    /// The last thing that went wrong, and when it was begun. Invariant: unless it is
    /// silence, later than `answer`.
    trouble: Option<(Trouble, Instant)>,
    /// How many probes in a row ended in trouble. Errors of traffic in between count as one.
    misses: u32,
    /// One of them has been counted since the last probe was asked or answered. Invariant: then
    /// `misses` is not 0.
    is_counted: bool,
    /// Patroni says that it leads, and when it was asked.
    leads: Option<(bool, Instant)>,
    /// When Patroni said what does not go with the answer, until it has been asked again.
    disputed: Option<Instant>,
    due: Instant,
    /// When it was asked last.
    asked: Option<Instant>,
    was_asked: bool,
    paused: bool,
    /// Another number whenever something goes wrong with it, and never that of another host. While it
    /// stays the same, the host has not begun anew.
    incarnation: u64,
    /// When it was first heard of again after it was down.
    up: Option<Instant>,
}

const PAUSE_MIN: Duration = Duration::from_millis(100);

/// So many answers in a row may get lost before a host counts as down.
const MISSES_MAX: u32 = 2;

fn next_incarnation() -> u64 {
    static NEXT: AtomicU64 = AtomicU64::new(1);
    NEXT.fetch_add(1, Relaxed)
}

impl Host {
    pub(super) fn new(now: Instant) -> Self {
        Self {
            answer: None,
            trouble: None,
            misses: 0,
            is_counted: false,
            leads: None,
            disputed: None,
            due: now,
            asked: None,
            was_asked: false,
            paused: false,
            incarnation: next_incarnation(),
            up: None,
        }
    }

    /// Says whether that is a change.
    pub(super) fn pause(&mut self, paused: bool) -> bool {
        std::mem::replace(&mut self.paused, paused) != paused
    }

    pub(super) fn is_paused(&self) -> bool {
        self.paused
    }

    pub(super) fn is_due(&self, now: Instant) -> bool {
        now >= self.due
    }

    pub(super) fn due_at(&self) -> Instant {
        self.due
    }

    pub(super) fn asked(&mut self, now: Instant, every: Duration) {
        self.due = now + every;
        self.asked = Some(now);
        self.is_counted = false;
    }

    /// Is asked so long after it was asked last, if it answers.
    pub(super) fn due_after(&mut self, pause: Duration) {
        if let Some(asked) = self.asked.filter(|_| self.trouble.is_none()) {
            self.due = self.due.min(asked + pause);
        }
    }

    /// Is asked without delay.
    pub(super) fn hurry(&mut self, now: Instant) {
        self.due = self.due.min(now);
    }

    /// Takes an answer, unless a later one has come already; says whether it did.
    pub(super) fn answered(&mut self, probe: Probe, asked: Instant, now: Instant) -> bool {
        self.was_asked = true;
        // Silence tells nothing that an answer could be older than.
        let contradicted = self
            .trouble
            .filter(|(trouble, _)| *trouble != Trouble::Silent);
        let is_late = self.answer.is_some_and(|(_, last)| last >= asked)
            || contradicted.is_some_and(|(_, since)| since >= asked);
        if is_late {
            return false;
        }
        if self.is_down() {
            self.up = Some(now);
        }
        self.answer = Some((probe, asked));
        self.trouble = None;
        (self.misses, self.is_counted) = (0, false);
        if self.disputed.is_some_and(|since| since <= asked) {
            self.disputed = None;
        }
        true
    }

    pub(super) fn troubled(&mut self, trouble: Trouble, since: Instant, now: Instant) {
        self.was_asked = true;
        self.incarnation = next_incarnation();
        if self.answer.is_some_and(|(_, asked)| asked > since) {
            return;
        }
        if self.trouble.is_none_or(|(_, known)| since >= known) {
            self.trouble = Some((trouble, since));
        }
        if !self.is_counted {
            self.misses += 1;
            self.is_counted = true;
        }
        let pause = match trouble {
            // It is up: what it has become is the question.
            Trouble::ReadOnly | Trouble::Broken if self.misses == 1 => Duration::ZERO,
            _ => PAUSE_MIN * 2_u32.saturating_pow(self.misses.min(10) - 1),
        };
        self.due = self.due.min(now + pause);
    }

    pub(super) fn told(&mut self, leads: bool, disagrees: bool, asked: Instant, now: Instant) {
        if self.leads.is_some_and(|(_, last)| last >= asked) {
            return;
        }
        self.leads = Some((leads, asked));
        if disagrees && self.answer.is_none_or(|(_, answered)| answered < asked) {
            self.disputed = Some(asked);
            self.due = self.due.min(now);
        }
    }

    pub(super) fn up_since(&self) -> Option<Instant> {
        self.up
    }

    pub(super) fn incarnation(&self) -> u64 {
        self.incarnation
    }

    /// Whether something that was asked for later than that has been answered.
    pub(super) fn has_answered_since(&self, since: Instant) -> bool {
        self.answer.is_some_and(|(_, asked)| asked > since)
    }

    pub(super) fn probe(&self) -> Option<&Probe> {
        self.answer.as_ref().map(|(probe, _)| probe)
    }

    pub(super) fn timeline(&self) -> Option<u32> {
        self.probe().map(|probe| probe.timeline)
    }

    pub(super) fn lsn(&self) -> Option<Lsn> {
        self.probe().map(|probe| probe.lsn)
    }

    pub(super) fn is_of(&self, system: Option<u64>) -> bool {
        self.probe()
            .is_some_and(|probe| Some(probe.system) == system)
    }

    pub(super) fn leads(&self) -> bool {
        self.leads.is_some_and(|(leads, _)| leads)
    }

    pub(super) fn has_been_asked(&self) -> bool {
        self.was_asked
    }

    pub(super) fn trouble(&self) -> Option<Trouble> {
        self.trouble.map(|(trouble, _)| trouble)
    }

    /// It cannot be reached: for sure, or so it looks.
    pub(super) fn is_down(&self) -> bool {
        match self.trouble() {
            Some(Trouble::Refused | Trouble::ShuttingDown | Trouble::Starting) => true,
            Some(Trouble::Silent) => self.misses >= MISSES_MAX,
            Some(Trouble::Broken | Trouble::ReadOnly) | None => false,
        }
    }

    /// What was answered last may not be so any more. One lost answer says nothing.
    pub(super) fn is_in_doubt(&self) -> bool {
        let contradicted = match self.trouble() {
            None | Some(Trouble::Silent) => false,
            Some(_) => true,
        };
        contradicted || self.disputed.is_some()
    }

    pub(super) fn is_stale(&self, now: Instant, after: Duration) -> bool {
        self.answer
            .is_none_or(|(_, asked)| now.saturating_duration_since(asked) > after)
    }
}
