//! Listening sockets, and which worker serves what they accept.

use std::io;
use std::net::SocketAddr;
use std::os::unix::fs::PermissionsExt;
use std::path::{Path, PathBuf};
use std::rc::Rc;

use pgweir_config::Config;
use pgweir_pool::WorkerId;
use socket2::{Domain, Protocol, SockAddr, Socket, Type};
use tokio::net::{TcpListener, UnixListener};
use tokio::sync::watch;

use crate::mail::{Accepted, Mail, Sockets};
use crate::place::Peer;
use crate::shared::{Open, Shared};
use crate::worker::Worker;
use crate::{serve, stream};

/// Why nothing can be listened on.
#[derive(Debug, thiserror::Error)]
pub enum Error {
    /// A socket could not be made.
    #[error("cannot listen on {address}: {source}")]
    Listen {
        /// Which one.
        address: String,
        /// Why.
        source: io::Error,
    },
    /// Another process answers on the Unix socket.
    #[error("unix socket {} is in use", .0.display())]
    InUse(PathBuf),
    /// The configuration names none.
    #[error("nowhere to listen on: listen_addr and unix_socket_dir are both empty")]
    Nowhere,
}

/// The sockets, not yet accepting.
#[derive(Debug, Default)]
pub struct Listeners {
    tcp: Vec<std::net::TcpListener>,
    unix: Vec<std::os::unix::net::UnixListener>,
    /// Removed from the file system at the end.
    paths: Vec<PathBuf>,
}

impl Drop for Listeners {
    fn drop(&mut self) {
        for path in &self.paths {
            let _ = std::fs::remove_file(path);
        }
    }
}

impl Listeners {
    /// Binds every address of the configuration. An address that fails is logged and left out,
    /// as long as another one works.
    ///
    /// # Errors
    /// When none of them works.
    pub fn bind(config: &Config) -> Result<Self, Error> {
        let settings = &config.settings;
        let backlog = i32::try_from(settings.listen_backlog).unwrap_or(i32::MAX);
        let mut listeners = Self::default();
        let mut failed = None;
        // TCP last: whoever finds its port open finds everything else there too.
        if !settings.unix_socket_dir.is_empty() {
            let path = Path::new(&settings.unix_socket_dir)
                .join(format!(".s.PGSQL.{}", settings.listen_port));
            match unix(&path, settings.unix_socket_mode.bits(), backlog) {
                Ok(socket) => {
                    tracing::info!(path = %path.display(), "listening");
                    listeners.unix.push(socket);
                    listeners.paths.push(path);
                }
                Err(error) => {
                    tracing::warn!(path = %path.display(), %error, "cannot listen");
                    failed = Some(error);
                }
            }
        }
        for name in &settings.listen_addr {
            for address in resolve(name, settings.listen_port) {
                let bound = address
                    .and_then(|address| tcp(address, backlog).map(|socket| (address, socket)));
                match bound {
                    Ok((address, socket)) => {
                        tracing::info!(%address, "listening");
                        listeners.tcp.push(socket);
                    }
                    Err(source) => {
                        let address = format!("{name}:{}", settings.listen_port);
                        tracing::warn!(%address, error = %source, "cannot listen");
                        failed = Some(Error::Listen { address, source });
                    }
                }
            }
        }
        if listeners.tcp.is_empty()
            && (listeners.unix.is_empty() || !settings.listen_addr.is_empty())
        {
            return Err(failed.unwrap_or(Error::Nowhere));
        }
        Ok(listeners)
    }

    /// Has the first worker accept until [`Shared::open`] says otherwise; each connection goes to
    /// the worker with the fewest.
    pub fn accept(&mut self, shared: &Shared) {
        let sockets = Sockets {
            tcp: std::mem::take(&mut self.tcp),
            unix: std::mem::take(&mut self.unix),
        };
        shared.mail(WorkerId(0), Mail::Listen(sockets));
    }
}

/// Accepts on this worker's thread. What it serves itself, half of all on two workers and all on one,
/// is registered once and wakes nobody.
pub fn start(worker: &Rc<Worker>, sockets: Sockets) {
    let failed = |error| tracing::error!(%error, "cannot accept on a listening socket");
    for listener in sockets.tcp {
        let (worker, mut open) = (Rc::clone(worker), worker.shared.open.subscribe());
        tokio::task::spawn_local(async move {
            match TcpListener::from_std(listener) {
                Ok(listener) => tokio::select! {
                    () = accept_tcp(&worker, &listener) => {}
                    () = closed(&mut open, Open::UnixOnly) => {}
                },
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

/// Out of file descriptors, most likely: trying again at once would only burn time.
async fn pause(error: &io::Error) {
    tracing::warn!(%error, "accept() failed");
    tokio::time::sleep(std::time::Duration::from_millis(100)).await;
}

async fn accept_tcp(worker: &Rc<Worker>, listener: &TcpListener) {
    // Connections to a socket that is bound to one address have that as ours.
    let bound = listener.local_addr().ok();
    let bound = bound.filter(|address| !address.ip().is_unspecified());
    loop {
        let (stream, peer) = match listener.accept().await {
            Ok(accepted) => accepted,
            Err(error) => {
                pause(&error).await;
                continue;
            }
        };
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
}

async fn accept_unix(worker: &Rc<Worker>, listener: &UnixListener) {
    loop {
        let stream = match listener.accept().await {
            Ok((stream, _)) => stream,
            Err(error) => {
                pause(&error).await;
                continue;
            }
        };
        let pid = stream.peer_cred().ok().and_then(|cred| cred.pid());
        let socket = stream::Socket::Unix(stream);
        if let Err(error) = dispatch(worker, socket, Peer::Unix(pid), None) {
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
    };
    if to == worker.id {
        serve::start(worker, accepted);
    } else {
        worker.shared.mail(to, Mail::Accept(accepted));
    }
    Ok(())
}

fn resolve(name: &str, port: u16) -> Vec<io::Result<SocketAddr>> {
    if name == "*" {
        return vec![
            Ok(([0, 0, 0, 0], port).into()),
            Ok((std::net::Ipv6Addr::UNSPECIFIED, port).into()),
        ];
    }
    match std::net::ToSocketAddrs::to_socket_addrs(&(name, port)) {
        Ok(addresses) => addresses.map(Ok).collect(),
        Err(error) => vec![Err(error)],
    }
}

fn tcp(address: SocketAddr, backlog: i32) -> io::Result<std::net::TcpListener> {
    let socket = Socket::new(
        Domain::for_address(address),
        Type::STREAM,
        Some(Protocol::TCP),
    )?;
    if address.is_ipv6() {
        socket.set_only_v6(true)?;
    }
    socket.set_reuse_address(true)?;
    socket.set_nonblocking(true)?;
    socket.bind(&address.into())?;
    socket.listen(backlog)?;
    Ok(socket.into())
}

fn unix(path: &Path, mode: u32, backlog: i32) -> Result<std::os::unix::net::UnixListener, Error> {
    if std::os::unix::net::UnixStream::connect(path).is_ok() {
        return Err(Error::InUse(path.to_owned()));
    }
    // What is left of a process that was killed.
    let _ = std::fs::remove_file(path);
    let listen = || {
        let socket = Socket::new(Domain::UNIX, Type::STREAM, None)?;
        socket.set_nonblocking(true)?;
        socket.bind(&SockAddr::unix(path)?)?;
        std::fs::set_permissions(path, std::fs::Permissions::from_mode(mode))?;
        socket.listen(backlog)?;
        Ok(socket.into())
    };
    listen().map_err(|source| Error::Listen {
        address: path.display().to_string(),
        source,
    })
}
