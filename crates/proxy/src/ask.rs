//! Queries of our own, on connections that nobody else uses.
//!
//! Whoever asks sets the deadline (X3).

use std::future::poll_fn;
use std::io;
use std::rc::Rc;
use std::task::Poll;

use pgweir_session::Batch;

use crate::reading::drain_idle;
use crate::server::ServerConn;
use crate::worker::Worker;

/// Sends one query of our own on a connection that nobody else uses and waits for the answer.
///
/// # Errors
/// When the connection fails; an error of the query itself is in `Server::own_error`.
pub async fn ask(worker: &Rc<Worker>, conn: &mut ServerConn, query: &[u8]) -> io::Result<()> {
    let mut batch = Batch::new();
    conn.session.ask(query, &mut batch);
    send(conn, &batch).await?;
    answered(worker, conn).await
}

/// Sends what is in `batch`.
///
/// # Errors
/// When the connection fails.
pub async fn send(conn: &mut ServerConn, batch: &Batch) -> io::Result<()> {
    send_with(conn, batch, &[]).await
}

/// The same for a batch that names parts of `input`.
///
/// # Errors
/// When the connection fails.
pub async fn send_with(conn: &mut ServerConn, batch: &Batch, input: &[u8]) -> io::Result<()> {
    poll_fn(|cx| {
        if conn.backlog.is_empty() {
            return Poll::Ready(Ok(()));
        }
        match conn.backlog.drain(cx, &mut conn.stream) {
            Ok(()) if conn.backlog.is_empty() => Poll::Ready(Ok(())),
            Ok(()) => Poll::Pending,
            Err(error) => Poll::Ready(Err(error)),
        }
    })
    .await?;
    for slice in batch.slices(input) {
        conn.stream.write_all(slice).await?;
    }
    Ok(())
}

/// Reads until nothing is owed any more. A COPY that begins meanwhile, asked for by a client that
/// has gone, is an error: its data will never come.
///
/// # Errors
/// When the connection fails.
pub async fn answered(worker: &Rc<Worker>, conn: &mut ServerConn) -> io::Result<()> {
    poll_fn(|cx| {
        if conn.session.owed() == 0 {
            return Poll::Ready(Ok(()));
        }
        let mut scratch = worker.scratch.borrow_mut();
        match drain_idle(conn, cx, &mut scratch) {
            Err(reason) => Poll::Ready(Err(io::Error::other(reason))),
            Ok(()) if conn.session.owed() == 0 => Poll::Ready(Ok(())),
            Ok(()) if !conn.session.takes_requests() => {
                Poll::Ready(Err(io::Error::other("server waits for copy data")))
            }
            Ok(()) => Poll::Pending,
        }
    })
    .await
}
