//! Listening sockets, and which worker serves what they accept.

use std::io;
use std::net::SocketAddr;
use std::os::unix::fs::PermissionsExt;
use std::path::{Path, PathBuf};
use std::sync::Arc;

use pgweir_config::Config;
use pgweir_pool::WorkerId;
use socket2::{Domain, Protocol, SockAddr, Socket, Type};
use tokio::net::{TcpListener, UnixListener};
use tokio::sync::watch;

use crate::mail::{Accepted, Mail};
use crate::place::Peer;
use crate::shared::{Open, Shared};
use crate::stream;

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

    /// Accepts until `open` becomes false; each connection goes to the worker with the fewest.
    ///
    /// To be called on a runtime of one thread, within a `LocalSet`.
    pub fn accept(&mut self, shared: &Arc<Shared>, open: &watch::Receiver<Open>) -> io::Result<()> {
        for listener in self.tcp.drain(..) {
            let listener = TcpListener::from_std(listener)?;
            let (shared, mut open) = (Arc::clone(shared), open.clone());
            tokio::task::spawn_local(async move {
                loop {
                    let accepted = tokio::select! {
                        accepted = listener.accept() => accepted,
                        () = closed(&mut open, Open::UnixOnly) => return,
                    };
                    match accepted {
                        Ok((stream, peer)) => accept_tcp(&shared, stream, peer),
                        Err(error) => pause(&error).await,
                    }
                }
            });
        }
        for listener in self.unix.drain(..) {
            let listener = UnixListener::from_std(listener)?;
            let (shared, mut open) = (Arc::clone(shared), open.clone());
            tokio::task::spawn_local(async move {
                loop {
                    let accepted = tokio::select! {
                        accepted = listener.accept() => accepted,
                        () = closed(&mut open, Open::Nothing) => return,
                    };
                    match accepted {
                        Ok((stream, _)) => accept_unix(&shared, stream),
                        Err(error) => pause(&error).await,
                    }
                }
            });
        }
        Ok(())
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

fn accept_tcp(shared: &Shared, stream: tokio::net::TcpStream, peer: SocketAddr) {
    let local = stream.local_addr().ok();
    let settings = &shared.config.load().settings;
    let prepared = stream.into_std().and_then(|stream| {
        stream.set_nodelay(true)?;
        stream::tune(&stream, settings)?;
        Ok(stream)
    });
    match prepared {
        Ok(stream) => dispatch(
            shared,
            Accepted {
                socket: stream::Socket::LooseTcp(stream),
                peer: Peer::Tcp(peer),
                local,
            },
        ),
        Err(error) => tracing::debug!(%peer, %error, "connection lost before login"),
    }
}

fn accept_unix(shared: &Shared, stream: tokio::net::UnixStream) {
    let pid = stream.peer_cred().ok().and_then(|cred| cred.pid());
    if let Ok(stream) = stream.into_std() {
        let socket = stream::Socket::LooseUnix(stream);
        dispatch(
            shared,
            Accepted {
                socket,
                peer: Peer::Unix(pid),
                local: None,
            },
        );
    }
}

fn dispatch(shared: &Shared, accepted: Accepted) {
    let worker: WorkerId = shared.least_busy();
    shared.mail(worker, Mail::Accept(accepted));
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
