//! What was asked of one host is asked of another, where nothing of an answer has reached the client.

use std::time::Instant;

use pgweir_route::topology::Trouble;
use pgweir_session::{Server, Setback};

use super::route::Route;
use super::{End, Link, Relay};
use crate::client::ClientState;
use crate::{giveback, roles};

/// Longest request that may be asked a second time, with all behind it that was read meanwhile.
const ASKED_MAX: usize = 64 * 1024;

/// A buffer of more bytes is not kept for the next time: most clients are idle.
const KEPT_MAX: usize = 1024;

/// How often a request is asked anew before the client is told what the last server said.
const TIMES_MAX: u8 = 8;

/// What the client has asked on its lease, while that may have to be asked anew.
#[derive(Debug, Default)]
pub(super) struct Asked {
    bytes: Vec<u8>,
    /// How often it has been asked anew.
    times: u8,
    /// The next one to be asked is the primary.
    of_primary: bool,
}

impl Asked {
    /// Whether only the primary will do, because a standby did not.
    pub(super) fn of_primary(&self) -> bool {
        self.of_primary
    }

    /// A lease begins.
    pub(super) fn begin(&mut self) {
        if self.bytes.capacity() > KEPT_MAX {
            self.bytes = Vec::new();
        }
        self.bytes.clear();
    }

    /// It has ended as it should.
    pub(super) fn end(&mut self) {
        self.begin();
        (self.times, self.of_primary) = (0, false);
    }
}

impl Route {
    /// These bytes of the client are on their way to a server.
    pub(super) fn remember(&mut self, server: &mut Server, bytes: &[u8]) {
        if !server.is_on_trial() {
            return;
        }
        if self.asked.bytes.len() + bytes.len() > ASKED_MAX || self.asked.times >= TIMES_MAX {
            server.end_trial();
            return;
        }
        self.asked.bytes.extend_from_slice(bytes);
    }
}

impl Relay {
    /// The conversation would end, unless it can go on with another server connection. Says that there
    /// is something to do.
    pub(super) fn again_after(&mut self, end: End, now: Instant) -> Result<bool, End> {
        let setback = match &end {
            End::SetBack(setback) => Some(*setback),
            End::ServerLost(_) => None,
            _ => return Err(end),
        };
        self.tell_cluster(setback, now);
        let Some(route) = &mut self.route else {
            return Err(end);
        };
        let Link::Leased(leased) = &mut self.link else {
            return Err(end);
        };
        let server = &mut leased.conn.session;
        if !server.is_on_trial() {
            return Err(end);
        }
        self.session.take_back(server);
        let asked = &mut route.asked;
        asked.times += 1;
        asked.of_primary |= matches!(setback, Some(Setback::ReadOnly | Setback::Conflict));
        if setback == Some(Setback::ReadOnly) {
            self.session.was_refused(&asked.bytes);
        }
        let mut held = std::mem::take(&mut asked.bytes);
        held.extend_from_slice(&self.held);
        self.held = held;
        route.count_setback(setback);
        route.used = None;
        *self.client.link.borrow_mut() = None;
        if let Link::Leased(leased) = std::mem::replace(&mut self.link, Link::None) {
            match setback {
                Some(Setback::ReadOnly | Setback::Conflict) => {
                    giveback::after_client(&self.worker, leased, false);
                }
                _ => self.worker.discard(*leased, "server conn crashed?", now),
            }
        }
        (self.hold_back, self.waits_its_turn) = (false, false);
        self.judge_held = true;
        self.client.enter(ClientState::Idle, now);
        Ok(true)
    }

    /// What the client goes on with may not run on the host that it is at, and nothing has been run there.
    pub(super) fn leave_host(&mut self, now: Instant) {
        if let Some(route) = &mut self.route {
            route.asked.end();
            route.used = None;
        }
        *self.client.link.borrow_mut() = None;
        if let Link::Leased(leased) = std::mem::replace(&mut self.link, Link::None) {
            giveback::after_client(&self.worker, leased, false);
        }
        self.client.enter(ClientState::Idle, now);
    }

    /// What has happened says something of the host.
    fn tell_cluster(&self, setback: Option<Setback>, now: Instant) {
        let Some(route) = &self.route else {
            return;
        };
        let Some(used) = &route.used else {
            return;
        };
        let trouble = match setback {
            None => Trouble::Broken,
            Some(Setback::Goodbye) => Trouble::ShuttingDown,
            // That a standby does not write is no news.
            Some(Setback::ReadOnly | Setback::Conflict) => return,
        };
        let cluster = route.cluster();
        let events = cluster.troubled(used.host.host(), trouble, None, now);
        roles::announce(&self.worker.shared, cluster, &events);
    }
}
