//! The life of one client connection: login, conversation, end.

use std::future::Future;
use std::pin::Pin;
use std::rc::Rc;
use std::task::{Context, Poll, ready};
use std::time::{Duration, Instant};

use crate::client::ClientShared;
use crate::limits::or_for_ever;
use crate::login::{self, Ready};
use crate::mail::Accepted;
use crate::relay::{End, Relay, Rest};
use crate::report::{self, Report};
use crate::stream::Stream;
use crate::worker::Worker;

/// How long a client that is told goodbye may take to read it.
const GOODBYE_TIMEOUT: Duration = Duration::from_secs(5);

/// How much later than the login's deadline a handshake is given up.
const HANDSHAKE_GRACE: Duration = Duration::from_secs(1);

/// A client's entry in the tables, removed when its task ends in whatever way.
struct Entry {
    worker: Rc<Worker>,
    client: Rc<ClientShared>,
}

impl Drop for Entry {
    fn drop(&mut self) {
        self.worker.leave(&self.client, Instant::now());
        self.worker.strike(&self.client);
        self.worker.shared.less_busy(self.worker.id);
    }
}

/// Begins to serve a connection that was accepted for this worker.
pub fn start(worker: &Rc<Worker>, accepted: Accepted) {
    let client = worker.enroll(accepted.peer, accepted.local, accepted.socket.fd());
    let entry = Entry {
        worker: Rc::clone(worker),
        client,
    };
    let mut stream = Stream::Plain(accepted.socket);
    if stream.attach().is_err() {
        return;
    }
    // Two tasks, one after the other: logging in takes much more memory than being idle.
    tokio::task::spawn_local(async move {
        let newcomer = accepted.newcomer;
        let outcome = log_in(entry, stream).await;
        drop(newcomer);
        if let Some((entry, ready)) = outcome {
            match *ready {
                Ready::Session(relay) => {
                    tokio::task::spawn_local(Conversation::Under(entry, relay));
                }
                Ready::Console(console) => {
                    tokio::task::spawn_local(async move {
                        let reason = console.run().await;
                        report::client_closed(&entry.worker.shared, &entry.client, reason);
                    });
                }
                Ready::Replication(passthrough) => {
                    tokio::task::spawn_local(async move {
                        let reason = passthrough.run(&entry.worker).await;
                        report::client_closed(&entry.worker.shared, &entry.client, reason);
                    });
                }
            }
        }
    });
}

async fn log_in(entry: Entry, stream: Stream) -> Option<(Entry, Box<Ready>)> {
    let timeout = or_for_ever(
        entry
            .worker
            .shared
            .config
            .load()
            .settings
            .client_login_timeout,
    );
    let deadline = tokio::time::Instant::now() + timeout;
    let login = Box::pin(login::run(&entry.worker, &entry.client, stream, deadline));
    // The login keeps to its deadline by itself, except within a TLS handshake.
    match tokio::time::timeout_at(deadline + HANDSHAKE_GRACE, login).await {
        Ok(Ok(ready)) => {
            report::login(&entry.worker.shared, &entry.client);
            Some((entry, ready))
        }
        Ok(Err(login::Failure::Silent(reason))) => {
            tracing::debug!(client = entry.client.id, peer = %entry.client.peer, "{reason}");
            None
        }
        Ok(Err(login::Failure::Told(mut stream, told))) => {
            report::pooler_error(&entry.worker.shared, &entry.client, &told);
            say(&mut stream, &fatal(&entry.worker, &told)).await;
            report::client_closed(&entry.worker.shared, &entry.client, &told.message);
            None
        }
        // The stream is inside the login that was given up: the client sees the connection end.
        Err(_) => {
            report::client_closed(&entry.worker.shared, &entry.client, "client_login_timeout");
            None
        }
    }
}

/// The task of a client that is logged in. Written by hand, since there may be very many: an async
/// block keeps room for the relay twice, and for all that saying goodbye takes.
enum Conversation {
    Under(Entry, Box<Relay>),
    Ending(Pin<Box<dyn Future<Output = ()>>>),
    Over,
}

impl Future for Conversation {
    type Output = ();

    fn poll(self: Pin<&mut Self>, cx: &mut Context<'_>) -> Poll<()> {
        let this = self.get_mut();
        if let Self::Under(_, relay) = this {
            let ended = ready!(Pin::new(&mut **relay).poll(cx));
            if let Self::Under(entry, relay) = std::mem::replace(this, Self::Over) {
                *this = Self::Ending(Box::pin(end(entry, relay, ended)));
            }
        }
        match this {
            Self::Ending(goodbye) => goodbye.as_mut().poll(cx),
            _ => Poll::Ready(()),
        }
    }
}

async fn end(entry: Entry, relay: Box<Relay>, ended: End) {
    let session_mode = relay.is_session_mode();
    let Rest {
        end,
        mut stream,
        leased,
        writable,
    } = relay.rest(ended);
    let worker = &entry.worker;
    *entry.client.link.borrow_mut() = None;
    let (told, reason, server_is_well) = judge(end);
    if let Some(leased) = leased {
        if server_is_well {
            crate::giveback::after_client(worker, leased, session_mode);
        } else {
            worker.discard(*leased, reason, Instant::now());
        }
    }
    if let Some(told) = told {
        match told {
            Told::Report(told) => {
                report::pooler_error(&worker.shared, &entry.client, &told);
                if writable {
                    say(&mut stream, &fatal(worker, &told)).await;
                }
                report::client_closed(&worker.shared, &entry.client, &told.message);
                return;
            }
            Told::Server(message) => {
                if writable {
                    say(&mut stream, &message).await;
                }
            }
        }
    }
    report::client_closed(&worker.shared, &entry.client, reason);
}

enum Told {
    Report(Report),
    Server(Vec<u8>),
}

/// What the client is told, what the log says, and whether the server connection is still good.
fn judge(end: End) -> (Option<Told>, &'static str, bool) {
    let told = |report: Report| Some(Told::Report(report));
    match end {
        End::Terminated => (None, "client close request", true),
        End::ClientLost(_) => (None, "client unexpected eof", true),
        End::Refused(refusal) => (
            told(Report::refusal(&refusal)),
            "client broke the protocol",
            true,
        ),
        End::Killed(kill) => (told(Report::kill(kill)), "killed", true),
        End::NoServer(why) => (told(Report::no_server(&why)), "no server connection", true),
        End::NoHost(none) => (told(Report::no_host(&none)), "no host", true),
        End::TransactionInStatementMode => {
            let text = "transaction blocks not allowed in statement pooling mode";
            (told(Report::new("25001", text)), text, true)
        }
        // Where it is on trial, another one is asked.
        End::SetBack(_) => (None, "server could not do it", false),
        End::ServerLost(error) => {
            let mut report = Report::new("08006", "server conn crashed?");
            if let Some(error) = error {
                report = report.detail(error.to_string());
            }
            (told(report), "server conn crashed?", false)
        }
        End::ServerEnded => (None, "server closed the connection", false),
        End::ServerBroke(error) => (
            told(Report::new("08P01", error.to_string())),
            "server broke the protocol",
            false,
        ),
        End::BadSetting(body) => {
            let mut message = Vec::new();
            pgweir_wire::encode::frame(
                pgweir_wire::tag::backend::ERROR_RESPONSE,
                &body,
                &mut message,
            );
            (
                Some(Told::Server(message)),
                "invalid server parameter",
                false,
            )
        }
    }
}

/// As the configuration wants its errors to look.
fn fatal(worker: &Worker, told: &Report) -> Vec<u8> {
    told.fatal(worker.shared.config.load().settings.error_style)
}

async fn say(stream: &mut Stream, message: &[u8]) {
    let goodbye = async {
        stream.write_all(message).await?;
        std::future::poll_fn(|cx| stream.poll_shutdown(cx)).await
    };
    // It is gone in any case.
    let _ = tokio::time::timeout(GOODBYE_TIMEOUT, goodbye).await;
}
