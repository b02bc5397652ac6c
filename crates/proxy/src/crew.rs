//! The tasks of a worker: what comes by mail is done here, or by a task that is started for it.

use std::net::SocketAddr;
use std::rc::Rc;
use std::sync::Arc;
use std::time::Instant;

use tokio::sync::mpsc;
use tokio::time::MissedTickBehavior;

use crate::autodb::Autodb;
use crate::mail::Mail;
use crate::worker::Worker;
use crate::{cancel, catalog, connect, listen, monitor, patroni, serve, timeouts, view};

/// Serves a worker's mailbox until it is told to stop.
pub async fn run(worker: &Rc<Worker>, mut mailbox: mpsc::UnboundedReceiver<Mail>) {
    let mut sweep = tokio::time::interval(timeouts::SWEEP);
    let mut autodb = Autodb::default();
    sweep.set_missed_tick_behavior(MissedTickBehavior::Delay);
    loop {
        tokio::select! {
            mail = mailbox.recv() => match mail {
                None | Some(Mail::Stop) => break,
                Some(mail) => open(worker, mail),
            },
            _ = sweep.tick() => {
                timeouts::sweep(worker, &mut autodb);
                check_zones(worker);
            }
        }
    }
    // Nobody opens what is left, or comes from now on: the pools get back what is theirs.
    mailbox.close();
    while let Ok(mail) = mailbox.try_recv() {
        worker.shared.send_back(mail);
    }
}

/// Looks after the zones of host names, if it is time, in the background. One worker does it for all.
fn check_zones(worker: &Rc<Worker>) {
    let shared = Arc::clone(&worker.shared);
    let config = shared.config.load_full();
    if worker.id.0 != 0 || !shared.dns.is_check_due(&config.settings, Instant::now()) {
        return;
    }
    tokio::task::spawn_local(async move {
        let changed = |name: &str, gone: &[SocketAddr]| shared.outdate(name, gone);
        shared.dns.check_zones(&config.settings, changed).await;
    });
}

fn open(worker: &Rc<Worker>, mail: Mail) {
    match mail {
        Mail::Listen(sockets) => listen::start(worker, sockets),
        Mail::Accept(accepted) => serve::start(worker, accepted),
        Mail::Open(permit) => connect::start(worker, permit),
        Mail::Hand {
            client,
            ticket,
            lease,
        } => worker.send_off(client, ticket, lease),
        Mail::Arrive {
            client,
            ticket,
            lease,
            parcel,
        } => worker.arrive(client, ticket, lease, parcel),
        Mail::Slot {
            client,
            ticket,
            lease,
        } => worker.deliver_slot(client, worker.id, ticket, lease),
        Mail::Refuse {
            client,
            ticket,
            why,
        } => worker.refuse(client, ticket, why),
        Mail::Close { conn, reason } => worker.close_idle(conn, reason),
        Mail::Cancel { pid, key, done } => cancel::pass_on(worker, pid, &key, done),
        Mail::Outdate { name, gone } => worker.outdate(&name, &gone, Instant::now()),
        Mail::View(reply) => drop(reply.send(view::of_worker(worker))),
        Mail::Kill { whom, why, reply } => drop(reply.send(worker.kill(&whom, why))),
        Mail::Reconnect(database) => worker.reconnect(database.as_deref()),
        Mail::Suspend(suspended) => worker.suspend(suspended),
        Mail::Unsent { drop: end, reply } => drop(reply.send(worker.unsent(end))),
        Mail::Watch(cluster) => {
            catalog::start(worker, Arc::clone(&cluster));
            patroni::start(worker, Arc::clone(&cluster));
            monitor::start(worker, cluster);
        }
        Mail::Rerouted(cluster) => worker.rerouted(&cluster, Instant::now()),
        Mail::Settle => worker.pools(|_| ()),
        Mail::ShutDown => worker.shut_down(),
        Mail::Stop => {}
    }
}

#[cfg(test)]
mod tests {
    use std::sync::Arc;
    use std::time::Instant;

    use pgweir_config::Config;
    use pgweir_pool::{Action, ClientId, Kind, Limits, PoolKey, Take, WorkerId};

    use super::*;
    use crate::files::Files;
    use crate::shared::Shared;
    use crate::written::Written;

    /// A permit that comes before or after the worker has stopped is answered all the same.
    #[tokio::test]
    async fn x3_permits_in_mail_that_nobody_opens_are_answered() {
        let config = Config::default();
        let files = Files::read(&config, &mut Vec::new()).expect("none are named");
        let (mail, mailbox) = mpsc::unbounded_channel();
        let (orders, _) = mpsc::unbounded_channel();
        let written = Written::nowhere();
        let shared = Shared::new(config, files, written, vec![mail], orders);
        let worker = Worker::new(WorkerId(0), Arc::clone(&shared));
        shared.mail(WorkerId(0), Mail::Stop);
        shared.mail(WorkerId(0), Mail::Open(permit(&shared, "before")));
        run(&worker, mailbox).await;
        shared.mail(WorkerId(0), Mail::Open(permit(&shared, "after")));
        let pools = shared.pools.lock();
        for pool in pools.iter() {
            assert_eq!(pools.counts(pool.id, Instant::now()).opening, 0);
        }
    }

    fn permit(shared: &Shared, database: &str) -> pgweir_pool::Permit {
        let key = PoolKey {
            database: database.into(),
            user: "u".into(),
            host: "h".into(),
            kind: Kind::Normal,
        };
        let mut pools = shared.pools.lock();
        let pool = pools.pool(&key, &Limits::default());
        let taken = pools.take(pool, WorkerId(0), ClientId(1), Instant::now());
        assert!(matches!(taken, Take::Wait(_)));
        match pools.next_action() {
            Some(Action::Open(permit)) => permit,
            other => panic!("no permit: {other:?}"),
        }
    }
}
