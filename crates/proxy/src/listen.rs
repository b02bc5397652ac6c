//! Listening sockets, and which worker serves what they accept.

mod bind;

use std::io;
use std::net::SocketAddr;
use std::os::fd::{AsRawFd, RawFd};
use std::rc::Rc;
use std::time::{Duration, Instant};

use pgweir_admin::FdRow;
use pgweir_pool::WorkerId;
use tokio::net::{TcpListener, TcpStream, UnixListener};
use tokio::sync::watch;

use crate::mail::{Accepted, Mail, Sockets};
use crate::place::Peer;
use crate::shared::{Open, Shared};
use crate::worker::Worker;
use crate::{serve, stream};

pub use self::bind::{Bound, Error, Listeners, Unix};

impl Listeners {
    /// Has the first worker accept until [`Shared::open`] says otherwise; each connection goes to
    /// the worker with the fewest.
    pub fn accept(&mut self, shared: &Shared) {
        let sockets = Sockets {
            tcp: std::mem::take(&mut self.tcp),
            unix: std::mem::take(&mut self.unix),
        };
        *shared.listening.lock() = rows(&sockets, shared.config.load().settings.listen_port);
        shared.mail(WorkerId(0), Mail::Listen(sockets));
    }
}

/// For SHOW FDS.
fn rows(sockets: &Sockets, unix_port: u16) -> Vec<FdRow> {
    let row = |fd: RawFd, addr: String, port: u16| FdRow {
        fd: fd.unsigned_abs().into(),
        task: "pooler",
        addr,
        port: port.into(),
        ..FdRow::default()
    };
    let tcp = sockets.tcp.iter().filter_map(|listener| {
        let address = listener.local_addr().ok()?;
        let (addr, port) = (address.ip().to_string(), address.port());
        Some(row(listener.as_raw_fd(), addr, port))
    });
    let unix = sockets.unix.iter();
    let unix = unix.map(|listener| row(listener.as_raw_fd(), "unix".to_owned(), unix_port));
    tcp.chain(unix).collect()
}

/// Accepts on this worker's thread. What it serves itself, half of all on two workers and all on one,
/// is registered once and wakes nobody.
pub fn start(worker: &Rc<Worker>, sockets: Sockets) {
    let failed = |error| tracing::error!(%error, "cannot accept on a listening socket");
    for listener in sockets.tcp {
        let (worker, mut open) = (Rc::clone(worker), worker.shared.open.subscribe());
        tokio::task::spawn_local(async move {
            match TcpListener::from_std(listener) {
                Ok(listener) => {
                    tokio::select! {
                        () = accept_tcp(&worker, &listener) => {}
                        () = closed(&mut open, Open::UnixOnly) => {}
                    }
                    finish(&worker, listener);
                }
                Err(error) => failed(error),
            }
        });
    }
    for listener in sockets.unix {
        let (worker, mut open) = (Rc::clone(worker), worker.shared.open.subscribe());
        tokio::task::spawn_local(async move {
            match UnixListener::from_std(listener) {
                Ok(listener) => tokio::select! {
                    () = accept_unix(&worker, &listener) => {}
                    () = closed(&mut open, Open::Nothing) => {}
                },
                Err(error) => failed(error),
            }
        });
    }
}

async fn closed(open: &mut watch::Receiver<Open>, from: Open) {
    // An error means that the sender is gone, and so is everything.
    let _ = open.wait_for(|open| *open >= from).await;
}

/// What goes wrong with accept(), again and again: out of file descriptors, most likely.
#[derive(Default)]
struct Failures {
    said: Option<Instant>,
    unsaid: u64,
}

/// How often the log says so at most.
const SAY_EVERY: Duration = Duration::from_secs(10);

impl Failures {
    /// Whether to say something now, and how often it has failed since the last time.
    fn count(&mut self, now: Instant) -> Option<u64> {
        if self.said.is_some_and(|said| now < said + SAY_EVERY) {
            self.unsaid += 1;
            return None;
        }
        self.said = Some(now);
        Some(std::mem::take(&mut self.unsaid))
    }

    /// Trying again at once would only burn time.
    async fn pause(&mut self, error: &io::Error) {
        match self.count(Instant::now()) {
            Some(0) => tracing::warn!("accept() failed: {error}"),
            Some(more) => tracing::warn!("accept() failed: {error} ({more} times more before)"),
            None => {}
        }
        tokio::time::sleep(Duration::from_millis(100)).await;
    }
}

async fn accept_tcp(worker: &Rc<Worker>, listener: &TcpListener) {
    // Connections to a socket that is bound to one address have that as ours.
    let bound = listener.local_addr().ok();
    let bound = bound.filter(|address| !address.ip().is_unspecified());
    let mut failures = Failures::default();
    let mut deferred = worker.shared.config.load().settings.tcp_defer_accept;
    loop {
        let (stream, peer) = match listener.accept().await {
            Ok(accepted) => accepted,
            Err(error) => {
                failures.pause(&error).await;
                continue;
            }
        };
        welcome(worker, stream, peer, bound);
        let settings = &worker.shared.config.load().settings;
        if deferred != settings.tcp_defer_accept {
            // Set anew since the last connection: in force for the next one.
            deferred = settings.tcp_defer_accept;
            if let Err(error) = bind::defer_accept(listener, deferred) {
                tracing::warn!("tcp_defer_accept: {error}");
            }
        }
    }
}

/// Those who had connected before the port was closed are let in: they cannot know.
fn finish(worker: &Rc<Worker>, listener: TcpListener) {
    let Ok(listener) = listener.into_std() else {
        return;
    };
    // Ends when nobody is left, or with whatever else is the matter.
    while let Ok((stream, peer)) = listener.accept() {
        let made = stream.set_nonblocking(true);
        if let Ok(stream) = made.and_then(|()| TcpStream::from_std(stream)) {
            welcome(worker, stream, peer, None);
        }
    }
}

fn welcome(worker: &Rc<Worker>, stream: TcpStream, peer: SocketAddr, bound: Option<SocketAddr>) {
    let settings = &worker.shared.config.load().settings;
    let tuned = stream
        .set_nodelay(true)
        .and_then(|()| stream::tune(&stream, settings));
    let local = bound.or_else(|| stream.local_addr().ok());
    let outcome = tuned.and_then(|()| {
        let socket = stream::Socket::Tcp(stream);
        dispatch(worker, socket, Peer::Tcp(peer), local)
    });
    if let Err(error) = outcome {
        tracing::debug!(%peer, %error, "connection lost before login");
    }
}

async fn accept_unix(worker: &Rc<Worker>, listener: &UnixListener) {
    let mut failures = Failures::default();
    loop {
        let stream = match listener.accept().await {
            Ok((stream, _)) => stream,
            Err(error) => {
                failures.pause(&error).await;
                continue;
            }
        };
        let pid = stream.peer_cred().ok().and_then(|cred| cred.pid());
        let socket = stream::Socket::Unix(stream);
        let port = worker.shared.config.load().settings.listen_port;
        if let Err(error) = dispatch(worker, socket, Peer::Unix(pid, port), None) {
            tracing::debug!(%error, "connection lost before login");
        }
    }
}

/// Gives a connection to the worker with the fewest.
fn dispatch(
    worker: &Rc<Worker>,
    mut socket: stream::Socket,
    peer: Peer,
    local: Option<SocketAddr>,
) -> io::Result<()> {
    let to = worker.shared.least_busy();
    if to != worker.id
        && let Err(error) = socket.detach()
    {
        worker.shared.less_busy(to);
        return Err(error);
    }
    let accepted = Accepted {
        socket,
        peer,
        local,
        newcomer: worker.shared.newcomers.one(),
    };
    if to == worker.id {
        serve::start(worker, accepted);
    } else {
        worker.shared.mail(to, Mail::Accept(accepted));
    }
    Ok(())
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn failures_do_not_flood_the_log() {
        let begin = Instant::now();
        let mut failures = Failures::default();
        let said = |failures: &mut Failures, tenths: u64| {
            failures.count(begin + Duration::from_millis(tenths * 100))
        };
        assert_eq!(said(&mut failures, 0), Some(0));
        for tenth in 1..100 {
            assert_eq!(said(&mut failures, tenth), None);
        }
        assert_eq!(said(&mut failures, 100), Some(99));
        assert_eq!(said(&mut failures, 101), None);
    }
}
