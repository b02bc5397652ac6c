//! Cancel requests to servers and to other poolers: each takes a connection of its own.

use std::rc::Rc;
use std::sync::Arc;

use pgweir_config::{Host, SslMode};

use super::Error;
use super::dial::{dial, encrypt, encrypt_as};
use crate::server::ServerFacts;
use crate::stream::Stream;
use crate::worker::Worker;

/// Sends a cancel request and waits until the server has acted on it (it closes the connection).
pub async fn send(worker: &Rc<Worker>, facts: &ServerFacts) {
    let timeout = worker.limits().cancel_timeout;
    let requests = {
        let mut all = worker.shared.cancels.lock();
        Arc::clone(all.entry(facts.pool).or_default())
    };
    let sent = tokio::time::timeout(timeout, async {
        // Each has a query to end: there is room for all.
        let mut place = requests.enter(|| 0).await;
        let mut stream = dial(worker, &facts.host, facts.peer).await?;
        if !facts.tls.is_empty() {
            stream = encrypt(worker, stream, &facts.host, &facts.database)
                .await?
                .0;
        }
        place.sent();
        write(stream, facts.pid, &facts.key).await
    });
    let sent = sent.await;
    drop(requests);
    let mut all = worker.shared.cancels.lock();
    all.retain(|_, requests| Arc::strong_count(requests) > 1);
    drop(all);
    match sent {
        Ok(Ok(())) => {}
        Ok(Err(error)) => tracing::warn!(host = %facts.host, %error, "cancel request failed"),
        Err(_) => tracing::warn!(host = %facts.host, "cancel request timed out"),
    }
}

/// The same in the background.
pub fn fire(worker: &Rc<Worker>, facts: &ServerFacts) {
    let (worker, facts) = (Rc::clone(worker), facts.clone());
    tokio::task::spawn_local(async move { send(&worker, &facts).await });
}

/// A connection to another pooler, encrypted as `server_tls_sslmode` says.
///
/// # Errors
/// When it cannot be reached, or does not speak TLS and has to.
pub async fn to_peer(worker: &Rc<Worker>, host: &Host) -> Result<Stream, Error> {
    let stream = dial(worker, host, None).await?;
    let sslmode = match worker.shared.config.load().settings.server_tls_sslmode {
        SslMode::Allow => SslMode::Disable,
        other => other,
    };
    Ok(encrypt_as(worker, stream, host, sslmode).await?.0)
}

/// Writes a request and waits for the other side to close.
///
/// # Errors
/// When it cannot be written.
pub async fn write(mut stream: Stream, pid: u32, key: &[u8]) -> Result<(), Error> {
    let mut packet = Vec::new();
    pgweir_wire::encode::cancel_request(pid, key, &mut packet);
    stream.write_all(&packet).await?;
    let mut answer = Vec::new();
    // It closes without a word: an error or an end are both the end.
    let _ = stream.read_some(&mut answer, 1).await;
    Ok(())
}
