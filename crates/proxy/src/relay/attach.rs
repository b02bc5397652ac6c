//! Where a client's lease begins and where it ends.

use std::rc::Rc;
use std::task::Context;
use std::time::{Duration, Instant};

use pgweir_pool::{Kind, Refusal};
use pgweir_route::topology::NoPrimary;
use pgweir_session::{Batch, Rules};

use super::{End, Link, Relay, client_lost, server_lost};
use crate::client::{ClientState, Grant, QueueNotice};
use crate::cluster::{Held, NoHost, say};
use crate::giveback;
use crate::lease::Leased;
use crate::reading::{Scratch, is_alive, put_in_front};
use crate::report;
use crate::server::ServerState;
use crate::worker::{Taken, Worker};

/// As PgBouncer says it; drivers' logs are searched for it.
const QUEUED: &str = "No server connection available in postgres backend, client being queued";

impl Relay {
    /// A client that has waited for long is told so.
    pub(super) fn tell_of_queue(
        &mut self,
        cx: &mut Context<'_>,
        scratch: &mut Scratch,
    ) -> Result<(), End> {
        if self.client.queue_notice.get() != QueueNotice::Due {
            return Ok(());
        }
        self.client.queue_notice.set(QueueNotice::Sent);
        scratch.to_client.clear();
        scratch.to_client.own(|out| report::notice(QUEUED, out));
        self.backlog
            .write(cx, &mut self.stream, &scratch.to_client, &[])
            .map_err(client_lost)
    }

    /// Looks whether what the client waits for has come.
    pub(super) fn look_at_grant(
        &mut self,
        cx: &mut Context<'_>,
        now: Instant,
        scratch: &mut Scratch,
    ) -> Result<(), End> {
        let worker = Rc::clone(&self.worker);
        while let Some(grant) = self.client.grant.take() {
            let leased = match grant {
                Grant::Lease(leased) => Some(leased),
                // Given back by being dropped; only replication asks for one.
                Grant::Slot(_) => None,
                Grant::Again | Grant::Refused(Refusal::Removed) => self.ask(now)?,
                Grant::Refused(why) => return Err(End::NoServer(why)),
                Grant::NoHost(why) => return Err(self.no_host(why, Some(now))),
            };
            let Some(leased) = leased else { continue };
            let limits = worker.limits();
            let rules = limits.rules(&worker.shared.statements);
            scratch.to_server.clear();
            self.attach(leased, cx, now, &rules, &mut scratch.to_server)?;
            self.judge_held = true;
            if self.is_served() {
                // The request that waits goes out in the same write as what attaching asks for.
                self.judge_held = false;
                put_in_front(&self.held, &mut scratch.buffer);
                self.judge(cx, now, scratch, self.held.len())?;
            }
            return Ok(());
        }
        Ok(())
    }

    /// The client has cancelled what it waits with: it leaves the queue, and is answered. If a
    /// connection is on its way to it, the cancel request came too late.
    pub(super) fn give_up(&mut self, now: Instant) {
        if !self.worker.withdraw(&self.client, now) {
            return;
        }
        self.client.enter(ClientState::Idle, now);
        self.session.give_up();
        self.link = Link::None;
        self.judge_held = true;
    }

    /// Asks for a server connection; nothing: it will come as a grant.
    pub(super) fn ask(&mut self, now: Instant) -> Result<Option<Box<Leased>>, End> {
        let worker = Rc::clone(&self.worker);
        let taken = match &mut self.route {
            None => worker.take_or_move(&mut self.pool, Kind::Normal, &self.client, now),
            Some(route) => {
                let choice = route.choose(&worker, &self.session, now);
                self.client.is_of(route.cluster());
                match choice {
                    Ok(Some(pool)) => self.pool = pool,
                    // The database is gone, and so is its pool.
                    Ok(None) => {}
                    Err(why) => return self.hold(why, now),
                }
                self.client.held.take();
                worker.take_or(&mut self.pool, &self.client, now, || {
                    route.successor(&worker)
                })
            }
        };
        match taken {
            Taken::Lease(leased) => Ok(Some(leased)),
            Taken::Waiting => Ok(None),
            Taken::Refused(why) => Err(End::NoServer(why)),
        }
    }

    /// No host of the cluster may serve the client now: it waits until one may, or for too long.
    fn hold(&mut self, why: NoPrimary, now: Instant) -> Result<Option<Box<Leased>>, End> {
        let Some(route) = &self.route else {
            return Ok(None);
        };
        let config = self.worker.shared.config.load();
        let login = self.client.login.borrow().clone();
        let entry = login
            .as_ref()
            .and_then(|login| config.database(&login.database));
        let max = match why {
            // As with PAUSE of the database, any number of clients waits.
            NoPrimary::Paused(_) => 0,
            _ => entry.map_or(0, |entry| entry.failover_hold_clients()),
        };
        let mut held = self.client.held.borrow_mut();
        if let Some(held) = &mut *held {
            held.why = why;
            return Ok(None);
        }
        match Held::new(route.cluster(), why, max, now) {
            Some(new) => *held = Some(new),
            None => {
                drop(held);
                return Err(self.no_host(why, None));
            }
        }
        Ok(None)
    }

    /// The client is told that no host may serve it; `now`, if it has waited for one.
    fn no_host(&self, why: NoPrimary, now: Option<Instant>) -> End {
        let cluster = self.route.as_ref().map(|route| route.cluster());
        End::NoHost(Box::new(NoHost {
            why: cluster.map_or_else(String::new, |cluster| say(cluster, why)),
            failures: cluster.map_or_else(Vec::new, |cluster| cluster.failures()),
            waited: now.map(|now| now.saturating_duration_since(self.client.since.get())),
        }))
    }

    /// A lease begins. The connection may turn out to be dead, or in need of a check: then the
    /// client goes on waiting.
    pub(super) fn attach(
        &mut self,
        mut leased: Box<Leased>,
        cx: &mut Context<'_>,
        now: Instant,
        rules: &Rules<'_>,
        to_server: &mut Batch,
    ) -> Result<(), End> {
        let mut waited = Duration::ZERO;
        if matches!(self.link, Link::Waiting) {
            waited = now.saturating_duration_since(self.client.since.get());
            self.stats.waited(waited);
        }
        if leased.check() && worker_checks(&self.worker) {
            giveback::check(&self.worker, leased, self.client.client_id());
            self.client.enter(ClientState::Waiting, now);
            self.link = Link::Waiting;
            return Ok(());
        }
        if self.route.as_ref().is_some_and(|route| route.is_outdated()) {
            // Not the host any more that was chosen.
            giveback::after_client(&self.worker, leased, false);
            self.ask_again(cx);
            return Ok(());
        }
        if !is_alive(&mut leased.conn, cx) {
            // It died while it was idle: nothing has been asked of it, so the next one will do.
            self.worker.discard(*leased, "server conn crashed?", now);
            self.ask_again(cx);
            return Ok(());
        }
        leased.checked();
        let shared = leased.shared();
        shared.state.set(ServerState::Active);
        shared.link.set(Some(self.client.id));
        shared.request_time.set(now);
        *self.client.link.borrow_mut() = Some(Rc::clone(shared));
        self.stats.assigned(waited);
        if let Some(route) = &self.route {
            route.count();
            let is_primary = route.used.as_ref().is_none_or(|used| used.is_primary);
            self.session.leased_from(!is_primary);
        }
        self.hold_back = self
            .session
            .attach(&mut leased.conn.session, rules, to_server);
        if self.hold_back {
            let conn = &mut leased.conn;
            conn.backlog
                .write(cx, &mut conn.stream, to_server, &[])
                .map_err(server_lost)?;
            to_server.clear();
        }
        self.link = Link::Leased(leased);
        Ok(())
    }

    /// The connection that was granted will not do.
    fn ask_again(&mut self, cx: &Context<'_>) {
        self.link = Link::Waiting;
        *self.client.grant.borrow_mut() = Some(Grant::Again);
        cx.waker().wake_by_ref();
    }

    /// The lease ends at a boundary.
    pub(super) fn let_go(&mut self, now: Instant) {
        if let Link::Leased(leased) = std::mem::replace(&mut self.link, Link::None) {
            *self.client.link.borrow_mut() = None;
            self.client.prepared.set(self.session.prepared() as u32);
            self.client.enter(ClientState::Idle, now);
            if let Some(route) = &mut self.route {
                route.done(leased.shared().request_time.get(), now);
            }
            giveback::after_transaction(&self.worker, leased, now);
        }
    }
}

/// Whether connections that idled for long are checked at all.
fn worker_checks(worker: &Worker) -> bool {
    worker.limits().check_query.is_some()
}
