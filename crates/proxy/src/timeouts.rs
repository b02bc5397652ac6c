//! What happens because time has passed: one sweep per worker, no timer per query.

use std::rc::Rc;
use std::time::{Duration, Instant};

use pgweir_config::Config;
use pgweir_route::topology::NoPrimary;

use crate::autodb::Autodb;
use crate::client::{ClientShared, ClientState, Grant, QueueNotice};
use crate::cluster::Held;
use crate::mail::Kill;
use crate::worker::Worker;

/// How often a worker looks around. All timeouts are exact to this.
pub const SWEEP: Duration = Duration::from_millis(250);

/// One look around. `autodb` is what the last one has left behind.
pub fn sweep(worker: &Rc<Worker>, autodb: &mut Autodb) {
    // Nobody can do anything about its time being over.
    if worker.is_suspended() {
        return;
    }
    let now = Instant::now();
    // The pools are common to all workers: one of them looks after their time.
    if worker.id.0 == 0 {
        let shared = &worker.shared;
        let config = shared.config.load();
        worker.pools(|pools| pools.tick(now, |key| shared.admissions.uses(&config, key)));
        autodb.sweep(&worker.shared, now);
        crate::averages::roll_averages(&worker.shared, now);
    }
    worker.refresh_limits();
    worker.check_idle(now);
    let config = worker.shared.config.load();
    for client in worker.clients() {
        let Some(login) = client.login.borrow().clone() else {
            continue;
        };
        if login.console {
            continue;
        }
        if client.is_full.get() {
            client.wake();
        }
        if config.settings.server_fast_close && is_to_change(&client) {
            client.kill(Kill::FastClose);
        }
        let in_state = now.saturating_duration_since(client.since.get());
        let over = |limit: Duration, time: Duration| !limit.is_zero() && time > limit;
        if client.state.get() == ClientState::Waiting
            && client.queue_notice.get() == QueueNotice::None
            && over(config.settings.query_wait_notify, in_state)
        {
            client.queue_notice.set(QueueNotice::Due);
            client.wake();
        }
        end_hold(&client, &config, &login.database, now);
        let why = match client.state.get() {
            ClientState::Login => None,
            ClientState::Idle => {
                over(config.client_idle_timeout(&login.user), in_state).then_some(Kill::ClientIdle)
            }
            ClientState::InTransaction => {
                over(config.idle_transaction_timeout(&login.user), in_state)
                    .then_some(Kill::IdleTransaction)
            }
            ClientState::Active | ClientState::Waiting => {
                let time = now.saturating_duration_since(client.request_time.get());
                let kill = match client.state.get() {
                    ClientState::Waiting => Kill::QueryInQueue,
                    _ => Kill::Query,
                };
                over(config.query_timeout(&login.user), time).then_some(kill)
            }
        };
        let transaction = client
            .transaction_since
            .get()
            .map(|since| now.saturating_duration_since(since));
        let why = why.or_else(|| {
            transaction
                .is_some_and(|time| over(config.transaction_timeout(&login.user), time))
                .then_some(Kill::Transaction)
        });
        if let Some(why) = why {
            client.kill(why);
        }
    }
}

/// A client that no host may serve has waited for long enough.
fn end_hold(client: &ClientShared, config: &Config, database: &str, now: Instant) {
    let Some(entry) = config.database(database) else {
        return;
    };
    let mut held = client.held.borrow_mut();
    let user = client.login.borrow().as_ref().map(|it| it.user.clone());
    let over = |held: &mut Held| {
        let time = now.saturating_duration_since(held.since);
        match held.why {
            // It lasts as long as an operator wants it to, as with PAUSE of the database.
            NoPrimary::Paused(_) => {
                let user = user.as_deref().unwrap_or_default();
                let limit = config.query_wait_timeout(entry.database, user);
                !limit.is_zero() && time >= limit
            }
            _ => time >= entry.failover_hold(),
        }
    };
    if let Some(held) = held.take_if(over) {
        *client.grant.borrow_mut() = Some(Grant::NoHost(held.why));
        client.wake();
    }
}

/// Whether a client holds a server connection that is to be closed, and is not in the middle of
/// something.
fn is_to_change(client: &ClientShared) -> bool {
    let link = client.link.borrow();
    let close_needed = link
        .as_ref()
        .is_some_and(|server| server.close_needed.get());
    close_needed && client.state.get() == ClientState::Idle
}
