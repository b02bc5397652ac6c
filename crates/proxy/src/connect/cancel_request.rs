//! Cancel requests to servers: each takes a connection of its own.

use std::rc::Rc;

use super::Error;
use super::dial::{dial, encrypt};
use crate::server::ServerFacts;
use crate::worker::Worker;

/// Sends a cancel request and waits until the server has acted on it (it closes the connection).
pub async fn send(worker: &Rc<Worker>, facts: &ServerFacts) {
    let timeout = worker.limits().cancel_timeout;
    let sent = tokio::time::timeout(timeout, async {
        let mut stream = dial(worker, &facts.host, facts.peer).await?;
        if !facts.tls.is_empty() {
            stream = encrypt(worker, stream, &facts.host, &facts.database)
                .await?
                .0;
        }
        let mut packet = Vec::new();
        pgweir_wire::encode::cancel_request(facts.pid, &facts.key, &mut packet);
        stream.write_all(&packet).await?;
        let mut answer = Vec::new();
        // The server closes without a word: an error or an end are both the end.
        let _ = stream.read_some(&mut answer, 1).await;
        Ok::<(), Error>(())
    });
    match sent.await {
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
