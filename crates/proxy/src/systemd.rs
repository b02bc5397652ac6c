//! What systemd is told about the process (sd_notify(3)), and the sockets that it hands over
//! (sd_listen_fds(3)). Where systemd is not, nothing happens.

use std::net::TcpListener;
use std::os::unix::net::UnixListener;

use listenfd::ListenFd;
use sd_notify::NotifyState;

/// Clients can come.
pub fn ready() {
    tell(&[NotifyState::Ready]);
}

/// The configuration is read again; [`ready`] follows.
pub fn reloading() {
    match NotifyState::monotonic_usec_now() {
        Ok(now) => tell(&[NotifyState::Reloading, now]),
        Err(error) => tracing::warn!(%error, "the service manager is not told of the reload"),
    }
}

/// The way down begins.
pub fn stopping() {
    tell(&[NotifyState::Stopping]);
}

/// What `systemctl status` shows.
pub fn status(text: &str) {
    tell(&[NotifyState::Status(text)]);
}

fn tell(what: &[NotifyState<'_>]) {
    if let Err(error) = sd_notify::notify(what) {
        tracing::warn!(%error, "the service manager does not listen");
    }
}

/// Listening sockets from systemd.
#[derive(Debug, Default)]
pub struct Passed {
    /// Those of TCP.
    pub tcp: Vec<TcpListener>,
    /// Unix sockets.
    pub unix: Vec<UnixListener>,
}

impl Passed {
    /// Takes all there are; a second call finds none.
    pub fn take() -> Self {
        let mut passed = Self::default();
        let mut all = ListenFd::from_env();
        for number in 0..all.len() {
            // The number in the process: sd_listen_fds begins with 3.
            let fd = number + 3;
            if let Ok(Some(socket)) = all.take_unix_listener(number) {
                passed.unix.push(socket);
            } else if let Ok(Some(socket)) = all.take_tcp_listener(number) {
                passed.tcp.push(socket);
            } else {
                tracing::warn!("fd {fd} from service manager is not a stream socket, ignored");
                continue;
            }
            tracing::info!("socket passed from service manager (fd {fd})");
        }
        passed
    }

    /// Whether there is none.
    pub fn is_empty(&self) -> bool {
        self.tcp.is_empty() && self.unix.is_empty()
    }
}
