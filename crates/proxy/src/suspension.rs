//! SUSPEND: what was read is still written, and nothing more is read, until RESUME.
//!
//! Whoever waits for a socket then is woken by the end of it, so it looks at the worker's flag each
//! time and needs nothing else.

use std::sync::atomic::{AtomicU32, Ordering::Relaxed};

use tokio::sync::watch;

/// Whether it is in force, and who could end it.
#[derive(Debug)]
pub struct Suspension {
    in_force: watch::Sender<bool>,
    /// Console connections that are there.
    consoles: AtomicU32,
}

impl Default for Suspension {
    fn default() -> Self {
        Self {
            in_force: watch::Sender::new(false),
            consoles: AtomicU32::new(0),
        }
    }
}

impl Suspension {
    /// Whether it is in force.
    pub fn is_in_force(&self) -> bool {
        *self.in_force.borrow()
    }

    /// To be told when it begins and ends.
    pub fn subscribe(&self) -> watch::Receiver<bool> {
        self.in_force.subscribe()
    }

    /// Begins, or ends; says whether that is a change.
    pub fn set(&self, in_force: bool) -> bool {
        self.in_force.send_if_modified(|now| {
            let changed = *now != in_force;
            *now = in_force;
            changed
        })
    }

    /// How many console connections there are.
    pub fn consoles(&self) -> u32 {
        self.consoles.load(Relaxed)
    }

    /// A console connection more.
    pub fn enter(&self) {
        self.consoles.fetch_add(1, Relaxed);
    }

    /// One less; says whether it was the last. With that goes whoever would say RESUME.
    pub fn leave(&self) -> bool {
        self.consoles.fetch_sub(1, Relaxed) == 1
    }
}
