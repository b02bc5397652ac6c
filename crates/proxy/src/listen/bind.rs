//! Sockets from nothing to listening.
//!
//! TCP ports are bound first, while the process may still be root; the Unix socket is made by the
//! user that it runs as, who must be able to remove it.

use std::io;
use std::net::SocketAddr;
use std::os::fd::AsFd;
use std::os::unix::fs::{MetadataExt, PermissionsExt};
use std::path::{Path, PathBuf};

use nix::sys::socket::setsockopt;
use nix::{getsockopt_impl, libc, setsockopt_impl, sockopt_impl};
use pgweir_config::{Config, Settings};
use socket2::{Domain, Protocol, SockAddr, Socket, Type};

use crate::identity;
use crate::local;
use crate::systemd::Passed;

/// Connections that may wait to be accepted, of those who look after us.
const HTTP_BACKLOG: i32 = 64;

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
    #[error("unix socket is in use, cannot continue: {}", .0.display())]
    InUse(PathBuf),
    /// `unix_socket_group` is nobody.
    #[error(transparent)]
    Group(#[from] identity::Error),
    /// The configuration names none.
    #[error("nowhere to listen on: listen_addr and unix_socket_dir are both empty")]
    Nowhere,
}

/// Whose the Unix socket is that may be there.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Unix {
    /// Nobody's, or that of a process that was killed.
    Free,
    /// Of the process whose place is taken: from now on its path leads here.
    TakenOver,
}

/// TCP sockets that have their address and do not listen yet.
#[derive(Debug, Default)]
pub struct Bound {
    /// From systemd: in the place of all that the configuration names.
    passed: Passed,
    sockets: Vec<(SocketAddr, Socket)>,
    failed: Option<Error>,
}

impl Bound {
    /// Binds every TCP address of the configuration. An address that fails is logged and left out,
    /// as long as another one works. If systemd has handed over sockets, they take the place of all.
    pub fn tcp(settings: &Settings) -> Self {
        let mut bound = Self {
            passed: Passed::take(),
            ..Self::default()
        };
        if !bound.passed.is_empty() {
            for (ignored, is_set) in [
                ("listen_addr", !settings.listen_addr.is_empty()),
                ("unix_socket_dir", !settings.unix_socket_dir.is_empty()),
            ] {
                if is_set {
                    tracing::warn!("sockets passed from service manager, {ignored} ignored");
                }
            }
            return bound;
        }
        for name in &settings.listen_addr {
            for address in resolve(name, settings.listen_port) {
                let socket = address.and_then(|address| Ok((address, tcp(address, settings)?)));
                match socket {
                    Ok(socket) => bound.sockets.push(socket),
                    Err(source) => bound.fail(format!("{name}:{}", settings.listen_port), source),
                }
            }
        }
        bound
    }

    /// Those of HTTP, which listen: none of it may fail.
    ///
    /// # Errors
    /// An address that cannot be had.
    pub fn http(settings: &Settings) -> Result<Vec<std::net::TcpListener>, Error> {
        let mut listeners = Vec::new();
        for name in &settings.http_addr {
            for address in resolve(name, settings.http_port) {
                let listener = address.and_then(|address| {
                    let socket = tcp(address, settings)?;
                    socket.listen(HTTP_BACKLOG)?;
                    tracing::info!(%address, "listening for HTTP");
                    Ok(socket.into())
                });
                listeners.push(listener.map_err(|source| Error::Listen {
                    address: format!("{name}:{}", settings.http_port),
                    source,
                })?);
            }
        }
        Ok(listeners)
    }

    fn fail(&mut self, address: String, source: io::Error) {
        tracing::warn!(%address, error = %source, "cannot listen");
        self.failed = Some(Error::Listen { address, source });
    }

    /// Has them listen, and the Unix socket too.
    ///
    /// # Errors
    /// When the configuration names TCP addresses and none works, when the Unix socket is all there is
    /// and does not, or when it is somebody else's.
    pub fn listen(mut self, config: &Config, whose: Unix) -> Result<Listeners, Error> {
        if !self.passed.is_empty() {
            return Listeners::passed(self.passed);
        }
        let settings = &config.settings;
        let backlog = i32::try_from(settings.listen_backlog).unwrap_or(i32::MAX);
        if self.sockets.is_empty() && !settings.listen_addr.is_empty() {
            // Before the Unix socket of a process that goes on is taken from it.
            return Err(self.failed.unwrap_or(Error::Nowhere));
        }
        let mut listeners = Listeners::default();
        // TCP last: whoever finds its port open finds everything else there too.
        if !settings.unix_socket_dir.is_empty() {
            let path = local::path(&settings.unix_socket_dir, settings.listen_port);
            let bound = if local::is_abstract(&path) {
                nameless(&path, backlog).map(|socket| (socket, None))
            } else {
                unix(settings, &path, backlog, whose).map(|(socket, own)| (socket, Some(own)))
            };
            match bound {
                Ok((socket, own)) => {
                    let address = format!("unix:{}", local::shown(&path));
                    tracing::info!(address, "listening");
                    listeners.unix.push(socket);
                    listeners.paths.extend(own);
                }
                // Whoever comes by that socket would reach somebody else.
                Err(error @ Error::InUse(_)) => return Err(error),
                Err(error) => {
                    tracing::warn!("{error}");
                    self.failed = Some(error);
                }
            }
        }
        for (address, socket) in std::mem::take(&mut self.sockets) {
            match socket.listen(backlog) {
                Ok(()) => {
                    tracing::info!(%address, "listening");
                    listeners.tcp.push(socket.into());
                }
                Err(source) => self.fail(address.to_string(), source),
            }
        }
        if listeners.tcp.is_empty()
            && (listeners.unix.is_empty() || !settings.listen_addr.is_empty())
        {
            return Err(self.failed.unwrap_or(Error::Nowhere));
        }
        Ok(listeners)
    }
}

/// The sockets, not yet accepting.
#[derive(Debug, Default)]
pub struct Listeners {
    pub(super) tcp: Vec<std::net::TcpListener>,
    pub(super) unix: Vec<std::os::unix::net::UnixListener>,
    /// Removed from the file system at the end.
    paths: Vec<OwnPath>,
}

impl Listeners {
    /// Sockets that listen already. Their paths are not ours to remove.
    fn passed(Passed { tcp, unix }: Passed) -> Result<Self, Error> {
        let made = tcp.iter().map(|socket| socket.set_nonblocking(true));
        let made = made.chain(unix.iter().map(|socket| socket.set_nonblocking(true)));
        made.collect::<io::Result<()>>()
            .map_err(|source| Error::Listen {
                address: "sockets passed from service manager".to_owned(),
                source,
            })?;
        Ok(Self {
            tcp,
            unix,
            paths: Vec::new(),
        })
    }
}

/// A path, and device and number of what we have put there.
#[derive(Debug)]
struct OwnPath(PathBuf, (u64, u64));

impl OwnPath {
    fn of(path: PathBuf) -> io::Result<Self> {
        let found = std::fs::symlink_metadata(&path)?;
        Ok(Self(path, (found.dev(), found.ino())))
    }
}

impl Drop for OwnPath {
    fn drop(&mut self) {
        // A process that took over has another one there.
        let found = std::fs::symlink_metadata(&self.0);
        if found.is_ok_and(|found| (found.dev(), found.ino()) == self.1) {
            let _ = std::fs::remove_file(&self.0);
        }
    }
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

sockopt_impl!(
    /// See tcp(7); in seconds.
    TcpDeferAccept,
    Both,
    libc::IPPROTO_TCP,
    libc::TCP_DEFER_ACCEPT,
    u32
);

/// How long the kernel waits for the first word of a new connection, in seconds.
pub(super) fn defer_accept(socket: &impl AsFd, seconds: u32) -> io::Result<()> {
    Ok(setsockopt(socket, TcpDeferAccept, &seconds)?)
}

fn tcp(address: SocketAddr, settings: &Settings) -> io::Result<Socket> {
    let socket = Socket::new(
        Domain::for_address(address),
        Type::STREAM,
        Some(Protocol::TCP),
    )?;
    if address.is_ipv6() {
        socket.set_only_v6(true)?;
    }
    socket.set_reuse_address(true)?;
    socket.set_reuse_port(settings.so_reuseport)?;
    defer_accept(&socket, settings.tcp_defer_accept)?;
    socket.set_nonblocking(true)?;
    socket.bind(&address.into())?;
    Ok(socket)
}

/// A socket in the abstract namespace: without a file there is nobody's to remove, nor rights; and it cannot be taken
/// over.
fn nameless(path: &Path, backlog: i32) -> Result<std::os::unix::net::UnixListener, Error> {
    let listen = || {
        let socket = Socket::new(Domain::UNIX, Type::STREAM, None)?;
        socket.set_nonblocking(true)?;
        socket.bind(&SockAddr::unix(path)?)?;
        socket.listen(backlog)?;
        Ok(socket.into())
    };
    listen().map_err(|source: io::Error| match source.kind() {
        io::ErrorKind::AddrInUse => Error::InUse(local::shown(path).into()),
        _ => Error::Listen {
            address: local::shown(path),
            source,
        },
    })
}

fn unix(
    settings: &Settings,
    path: &Path,
    backlog: i32,
    whose: Unix,
) -> Result<(std::os::unix::net::UnixListener, OwnPath), Error> {
    let group = Some(settings.unix_socket_group.as_str()).filter(|name| !name.is_empty());
    let group = group.map(identity::group).transpose()?;
    let own = match whose {
        Unix::Free => {
            if std::os::unix::net::UnixStream::connect(path).is_ok() {
                return Err(Error::InUse(path.to_owned()));
            }
            path.to_owned()
        }
        // Beside the other's, until somebody listens.
        Unix::TakenOver => path.with_extension("new"),
    };
    // What is left of a process that was killed.
    let _ = std::fs::remove_file(&own);
    let listen = || {
        let socket = Socket::new(Domain::UNIX, Type::STREAM, None)?;
        socket.set_nonblocking(true)?;
        socket.bind(&SockAddr::unix(&own)?)?;
        if let Some(group) = group {
            std::os::unix::fs::chown(&own, None, Some(group.as_raw()))?;
        }
        let mode = std::fs::Permissions::from_mode(settings.unix_socket_mode.bits());
        std::fs::set_permissions(&own, mode)?;
        socket.listen(backlog)?;
        if own != path {
            std::fs::rename(&own, path)?;
        }
        Ok((socket.into(), OwnPath::of(path.to_owned())?))
    };
    listen().map_err(|source| Error::Listen {
        address: path.display().to_string(),
        source,
    })
}

#[cfg(test)]
mod tests {
    use nix::sys::socket::getsockopt;

    use super::*;

    fn settings(text: &str) -> Settings {
        let config = pgweir_config::parse(&format!("[pgweir]\n{text}"));
        config.expect("it is one").settings
    }

    #[test]
    fn what_the_kernel_is_told_of_a_port() {
        let any = ([127, 0, 0, 1], 0).into();
        let plain = tcp(any, &settings("")).expect("a free port");
        assert_eq!(getsockopt(&plain, TcpDeferAccept), Ok(0));
        assert!(!plain.reuse_port().expect("known"));
        let told = settings("so_reuseport = true\ntcp_defer_accept = 9");
        let told = tcp(any, &told).expect("a free port");
        assert!(told.reuse_port().expect("known"));
        // The kernel counts in packets that it sends again, and rounds up.
        assert!(getsockopt(&told, TcpDeferAccept).is_ok_and(|seconds| seconds >= 9));
    }

    #[test]
    fn a_port_for_two() {
        let bind = |shared: bool, port| {
            let settings = settings(&format!("so_reuseport = {shared}"));
            let socket = tcp(([127, 0, 0, 1], port).into(), &settings)?;
            socket.listen(1)?;
            io::Result::Ok(socket)
        };
        for shared in [true, false] {
            let first = bind(shared, 0).expect("a free port");
            let address = first
                .local_addr()
                .ok()
                .and_then(|address| address.as_socket());
            let port = address.expect("it has one").port();
            assert_eq!(bind(shared, port).is_ok(), shared);
        }
    }
}
