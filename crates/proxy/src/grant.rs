//! Waiting for a server connection before there is a conversation.

use std::rc::Rc;

use pgweir_pool::{Kind, PoolId, Refusal};
use tokio::time::Instant;

use crate::client::{ClientShared, ClientState, Grant};
use crate::lease::{Guard, Leased};
use crate::report::Report;
use crate::worker::{Taken, Worker};

/// Waits for a server connection, to learn what it reports. `pool` is the one that it is of in the
/// end: it may be replaced meanwhile.
///
/// # Errors
/// When there is none to be had before the deadline.
pub async fn first_server(
    worker: &Rc<Worker>,
    client: &Rc<ClientShared>,
    pool: &mut PoolId,
    deadline: Instant,
) -> Result<Box<Leased>, Report> {
    let successor = || successor(worker, client, Kind::Normal);
    first_server_of(worker, client, pool, successor, deadline).await
}

/// The same for a pool that need not be the client's own: `successor` says which one has taken its
/// place.
///
/// # Errors
/// When there is none to be had before the deadline.
pub async fn first_server_of(
    worker: &Rc<Worker>,
    client: &Rc<ClientShared>,
    pool: &mut PoolId,
    successor: impl Fn() -> Option<PoolId>,
    deadline: Instant,
) -> Result<Box<Leased>, Report> {
    let granted = tokio::time::timeout_at(deadline, granted(worker, client, pool, successor)).await;
    let down = |pool: &PoolId| {
        let cause = worker.shared.pools.lock().failure(*pool);
        Report::server_down(cause.as_deref())
    };
    match granted.map_err(|_| down(pool))?? {
        Grant::Lease(leased) => Ok(leased),
        _ => Err(Report::new(
            "XX000",
            "a slot without a connection was granted",
        )),
    }
}

/// Waits for the slot of a connection that the caller opens itself; `pool` as above.
///
/// # Errors
/// When there is none to be had.
pub async fn slot(
    worker: &Rc<Worker>,
    client: &Rc<ClientShared>,
    pool: &mut PoolId,
) -> Result<Guard, Report> {
    let successor = || successor(worker, client, Kind::Dedicated);
    match granted(worker, client, pool, successor).await? {
        Grant::Slot(guard) => Ok(guard),
        _ => Err(Report::new(
            "XX000",
            "a connection was granted where a slot was asked for",
        )),
    }
}

/// The pool that has taken the place of the client's own.
fn successor(worker: &Worker, client: &ClientShared, kind: Kind) -> Option<PoolId> {
    let login = client.login.borrow().clone()?;
    worker.shared.pool(&login.database, &login.user, kind)
}

async fn granted(
    worker: &Rc<Worker>,
    client: &Rc<ClientShared>,
    pool: &mut PoolId,
    successor: impl Fn() -> Option<PoolId>,
) -> Result<Grant, Report> {
    let mut ask = true;
    std::future::poll_fn(|cx| {
        use std::task::Poll;
        client.register(cx);
        if let Some(why) = client.kill.get() {
            return Poll::Ready(Err(Report::kill(why)));
        }
        loop {
            if ask {
                ask = false;
                let now = std::time::Instant::now();
                client.enter(ClientState::Waiting, now);
                client.request_time.set(now);
                match worker.take_or(pool, client, now, &successor) {
                    Taken::Lease(leased) => return Poll::Ready(Ok(Grant::Lease(leased))),
                    Taken::Refused(why) => return Poll::Ready(Err(Report::no_server(&why))),
                    Taken::Waiting => {}
                }
            }
            match client.grant.take() {
                None => return Poll::Pending,
                Some(Grant::Refused(Refusal::Removed)) => ask = true,
                Some(Grant::Refused(why)) => return Poll::Ready(Err(Report::no_server(&why))),
                Some(Grant::Again) => ask = true,
                Some(grant) => return Poll::Ready(Ok(grant)),
            }
        }
    })
    .await
}
