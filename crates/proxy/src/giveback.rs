//! What happens to a server connection between two leases.
//!
//! A connection goes back to the pool as clean as after its login, or it is closed. The tasks
//! here hold it meanwhile; each has a deadline (X3).

use std::rc::Rc;
use std::time::{Duration, Instant};

use pgweir_pool::{ClientId, Phase};
use pgweir_session::{Batch, Effects};

use crate::client::Grant;
use crate::lease::Leased;
use crate::server::{ServerConn, ServerState};
use crate::worker::Worker;

/// How long cleaning may take; longer than any `DISCARD ALL` that is not blocked.
const CLEAN_TIMEOUT: Duration = Duration::from_secs(10);
/// How long a cancelled query may take to end.
const CANCEL_TIMEOUT: Duration = Duration::from_secs(10);

/// Undoes all that a client of transaction mode can have left behind.
const RESET_ALL: &[u8] = b"DISCARD ALL";

/// A lease ended at a boundary, in transaction or statement mode.
pub fn after_transaction(worker: &Rc<Worker>, leased: Box<Leased>, now: Instant) {
    let shared = leased.shared();
    if shared.cancels.get() > 0 {
        park(worker, leased);
        return;
    }
    let left = leased.conn.session.left();
    if left.has(Effects::FOR_GOOD) {
        worker.discard(*leased, left.reason(), now);
    } else if !left.is_none() || shared.was_cancelled.get() || worker.limits().reset_always {
        start_cleaning(worker, leased, RESET_ALL.to_vec());
    } else {
        worker.give_back(*leased, now);
    }
}

/// A client has gone and leaves a connection behind, in whatever state.
pub fn after_client(worker: &Rc<Worker>, leased: Box<Leased>, session_mode: bool) {
    let shared = leased.shared();
    if shared.cancels.get() > 0 {
        park(worker, leased);
        return;
    }
    let session = &leased.conn.session;
    let untouched =
        session.at_boundary() && session.left().is_none() && !shared.was_cancelled.get();
    if session.can_clean() {
        let limits = worker.limits();
        let reset = if session_mode {
            limits.reset_query.clone()
        } else {
            RESET_ALL.to_vec()
        };
        if untouched && (!session_mode || reset.is_empty()) {
            worker.give_back(*leased, Instant::now());
        } else {
            start_cleaning(worker, leased, reset);
        }
        return;
    }
    if !session.takes_requests() {
        // In the middle of a message or of copy data: only closing tells the server that no more
        // comes. If it is busy it notices late, so the query is cancelled besides.
        if session.owed() > 0 {
            crate::cancel::fire(worker, &leased.conn.shared.facts);
        }
        worker.discard(*leased, "client disconnect while active", Instant::now());
        return;
    }
    leased.shared().state.set(ServerState::BeingCanceled);
    worker.pools(|pools| pools.note(leased.conn.conn(), Phase::BeingCanceled));
    let worker = Rc::clone(worker);
    tokio::task::spawn_local(async move { recover(&worker, leased).await });
}

/// The client went while its query ran: cancel it, see it end, clean up.
async fn recover(worker: &Rc<Worker>, mut leased: Box<Leased>) {
    let facts = leased.shared().facts.clone();
    let ended = tokio::time::timeout(CANCEL_TIMEOUT, async {
        let conn = &mut leased.conn;
        let mut batch = Batch::new();
        conn.session.finish(&mut batch);
        send(conn, &batch).await?;
        // Most queries end by themselves in no time: a cancel costs a connection.
        if tokio::time::timeout(Duration::from_millis(5), answered(worker, conn))
            .await
            .is_err()
        {
            crate::cancel::send(worker, &facts).await;
            answered(worker, conn).await
        } else {
            Ok(())
        }
    });
    let ended = matches!(ended.await, Ok(Ok(())));
    if ended && leased.conn.session.can_clean() {
        clean(worker, leased, RESET_ALL).await;
    } else {
        worker.discard(*leased, "client disconnect while active", Instant::now());
    }
}

fn start_cleaning(worker: &Rc<Worker>, leased: Box<Leased>, reset: Vec<u8>) {
    let worker = Rc::clone(worker);
    tokio::task::spawn_local(async move { clean(&worker, leased, &reset).await });
}

async fn clean(worker: &Rc<Worker>, mut leased: Box<Leased>, reset: &[u8]) {
    leased.shared().state.set(ServerState::Tested);
    leased.shared().link.set(None);
    worker.pools(|pools| pools.note(leased.conn.conn(), Phase::Tested));
    let done = tokio::time::timeout(CLEAN_TIMEOUT, async {
        let conn = &mut leased.conn;
        let mut batch = Batch::new();
        conn.session.clean(reset, &mut batch);
        if batch.is_empty() {
            // Nothing to reset, but a cancel request may have come late: let it hit this.
            conn.session.ask(b"", &mut batch);
        }
        send(conn, &batch).await?;
        answered(worker, conn).await
    });
    let done = done.await;
    let session = &leased.conn.session;
    let cancelled = leased.shared().was_cancelled.replace(false);
    match done {
        Ok(Ok(())) if session.at_boundary() && session.own_error().is_none() => {
            worker.give_back(*leased, Instant::now());
        }
        // The late cancel request hit the reset itself: once more, now that it is spent.
        Ok(Ok(())) if cancelled && session.can_clean() => {
            leased.conn.session.forgive();
            Box::pin(clean(worker, leased, RESET_ALL)).await;
        }
        Ok(_) => worker.discard(*leased, "reset query failed", Instant::now()),
        Err(_) => worker.discard(*leased, "reset query timed out", Instant::now()),
    }
}

/// A connection that idled for long is asked for a sign of life before `client` gets it.
pub fn check(worker: &Rc<Worker>, mut leased: Box<Leased>, client: ClientId) {
    let worker = Rc::clone(worker);
    tokio::task::spawn_local(async move {
        leased.shared().state.set(ServerState::Tested);
        let note = |phase, leased: &Leased| {
            worker.pools(|pools| pools.note(leased.conn.conn(), phase));
        };
        note(Phase::Tested, &leased);
        let limits = worker.limits();
        let alive = tokio::time::timeout(limits.connect_timeout, async {
            let mut batch = Batch::new();
            let query = limits.check_query.as_deref().unwrap_or_default();
            leased.conn.session.ask(query, &mut batch);
            send(&mut leased.conn, &batch).await?;
            answered(&worker, &mut leased.conn).await
        });
        let alive = matches!(alive.await, Ok(Ok(()))) && leased.conn.session.own_error().is_none();
        let waiting = worker
            .client(client)
            .filter(|client| client.grant.borrow().is_none());
        match waiting {
            Some(client) if alive => {
                note(Phase::Active, &leased);
                leased.checked();
                *client.grant.borrow_mut() = Some(Grant::Lease(leased));
                client.wake();
            }
            Some(client) => {
                worker.discard(*leased, "server check failed", Instant::now());
                *client.grant.borrow_mut() = Some(Grant::Again);
                client.wake();
            }
            None if alive => worker.give_back(*leased, Instant::now()),
            None => worker.discard(*leased, "server check failed", Instant::now()),
        }
    });
}

/// Nobody gets the connection while a cancel request is on its way to it.
fn park(worker: &Rc<Worker>, leased: Box<Leased>) {
    let shared = Rc::clone(leased.shared());
    shared.state.set(ServerState::BeingCanceled);
    worker.pools(|pools| pools.note(leased.conn.conn(), Phase::BeingCanceled));
    shared.link.set(None);
    *shared.parked.borrow_mut() = Some(leased);
}

/// The last cancel request on its way is through.
pub fn unpark(worker: &Rc<Worker>, leased: Box<Leased>) {
    leased.shared().was_cancelled.set(true);
    after_client(worker, leased, false);
}

async fn send(conn: &mut ServerConn, batch: &Batch) -> std::io::Result<()> {
    std::future::poll_fn(|cx| {
        if conn.backlog.is_empty() {
            return std::task::Poll::Ready(Ok(()));
        }
        match conn.backlog.drain(cx, &mut conn.stream) {
            Ok(()) if conn.backlog.is_empty() => std::task::Poll::Ready(Ok(())),
            Ok(()) => std::task::Poll::Pending,
            Err(error) => std::task::Poll::Ready(Err(error)),
        }
    })
    .await?;
    for slice in batch.slices(&[]) {
        conn.stream.write_all(slice).await?;
    }
    Ok(())
}

/// Reads until nothing is owed any more. A COPY that begins meanwhile, asked for by a client that
/// has gone, is an error: its data will never come.
async fn answered(worker: &Rc<Worker>, conn: &mut ServerConn) -> std::io::Result<()> {
    std::future::poll_fn(|cx| {
        if conn.session.owed() == 0 {
            return std::task::Poll::Ready(Ok(()));
        }
        let mut scratch = worker.scratch.borrow_mut();
        match crate::reading::drain_idle(conn, cx, &mut scratch) {
            Err(reason) => std::task::Poll::Ready(Err(std::io::Error::other(reason))),
            Ok(()) if conn.session.owed() == 0 => std::task::Poll::Ready(Ok(())),
            Ok(()) if !conn.session.takes_requests() => {
                std::task::Poll::Ready(Err(std::io::Error::other("server waits for copy data")))
            }
            Ok(()) => std::task::Poll::Pending,
        }
    })
    .await
}

/// Sends one query of our own on a connection that nobody else uses and waits for the answer.
///
/// # Errors
/// When the connection fails; an error of the query itself is in `Server::own_error`.
pub async fn ask(worker: &Rc<Worker>, conn: &mut ServerConn, query: &[u8]) -> std::io::Result<()> {
    let mut batch = Batch::new();
    conn.session.ask(query, &mut batch);
    send(conn, &batch).await?;
    answered(worker, conn).await
}
