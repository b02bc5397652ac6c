//! One pool, and what a caller does with it.

use std::sync::Arc;
use std::time::{Duration, Instant};

use super::world::key;
use crate::{
    Action, ClientId, ConnId, Counts, Fatal, Kind, Lease, Limits, Permit, PoolId, Pools, Refusal,
    Release, Take, Ticket, WorkerId,
};

pub(crate) const HERE: WorkerId = WorkerId(0);
pub(crate) const THERE: WorkerId = WorkerId(1);

/// A pool, a clock, and what a caller does.
pub(crate) struct Desk {
    pub(crate) pools: Pools,
    pub(crate) id: PoolId,
    pub(crate) start: Instant,
    pub(crate) now: Instant,
    pub(crate) clients: u64,
}

impl Desk {
    pub(crate) fn new(limits: Limits) -> Self {
        Self::of(Kind::Normal, limits)
    }

    pub(crate) fn of(kind: Kind, limits: Limits) -> Self {
        let mut pools = Pools::new(2, Duration::from_millis(2));
        let id = pools.pool(&key("d", "u", kind), &limits);
        let start = Instant::now();
        Self {
            pools,
            id,
            start,
            now: start,
            clients: 0,
        }
    }

    pub(crate) fn at(&mut self, ms: u64) {
        self.now = self.start + Duration::from_millis(ms);
    }

    pub(crate) fn tick(&mut self, ms: u64) {
        self.at(ms);
        self.pools.tick(self.now, |_| true);
    }

    pub(crate) fn ask(&mut self, worker: WorkerId) -> Take {
        self.clients += 1;
        let client = ClientId(self.clients);
        self.pools.take(self.id, worker, client, self.now)
    }

    pub(crate) fn wait(&mut self, worker: WorkerId) -> Ticket {
        match self.ask(worker) {
            Take::Wait(ticket) => ticket,
            other => panic!("expected to wait, got {other:?}"),
        }
    }

    pub(crate) fn take(&mut self, worker: WorkerId) -> Lease {
        match self.ask(worker) {
            Take::Lease(lease) => lease,
            other => panic!("expected a lease, got {other:?}"),
        }
    }

    pub(crate) fn permit(&mut self) -> Permit {
        match self.pools.next_action() {
            Some(Action::Open(permit)) => permit,
            other => panic!("expected a permit, got {other:?}"),
        }
    }

    pub(crate) fn hand(&mut self) -> (Ticket, Lease) {
        match self.pools.next_action() {
            Some(Action::Hand { ticket, lease, .. }) => (ticket, lease),
            other => panic!("expected a hand-over, got {other:?}"),
        }
    }

    pub(crate) fn closed(&mut self) -> (ConnId, &'static str) {
        match self.pools.next_action() {
            Some(Action::Close { conn, reason, .. }) => (conn, reason),
            other => panic!("expected a connection to be closed, got {other:?}"),
        }
    }

    pub(crate) fn refused(&mut self) -> Refusal {
        match self.pools.next_action() {
            Some(Action::Fail { why, .. }) => why,
            other => panic!("expected a refusal, got {other:?}"),
        }
    }

    pub(crate) fn nothing(&mut self) {
        let action = self.pools.next_action();
        assert!(action.is_none(), "expected nothing, got {action:?}");
    }

    pub(crate) fn opened(&mut self, permit: Permit) {
        self.pools.opened(permit, self.now);
    }

    pub(crate) fn failed(&mut self, permit: Permit, fatal: Fatal) {
        self.pools
            .failed(permit, Arc::from("refused"), fatal, self.now);
    }

    pub(crate) fn release(&mut self, lease: Lease) {
        self.pools.release(lease, Release::Clean, self.now);
    }

    /// A new connection in the hands of a client.
    pub(crate) fn fresh(&mut self, worker: WorkerId) -> Lease {
        self.wait(worker);
        let permit = self.permit();
        self.opened(permit);
        self.hand().1
    }

    pub(crate) fn counts(&self) -> Counts {
        self.pools.counts(self.id, self.now)
    }
}
