//! What operators ask of the process while it runs, by signals and on the console, and the way down.

use std::io;
use std::sync::Arc;
use std::time::{Duration, Instant};

use pgweir_admin::Notice;
use pgweir_config::Notation;
use pgweir_pool::WorkerId;
use tokio::signal::unix::{Signal, SignalKind, signal};
use tokio::sync::{mpsc, watch};

use crate::mail::{Answer, Mail, Order, Shutdown};
use crate::reload::Source;
use crate::shared::{Open, Shared};

/// Those that mean something here.
pub(super) struct Signals {
    hangup: Signal,
    terminate: Signal,
    interrupt: Signal,
    quit: Signal,
    user1: Signal,
    user2: Signal,
}

impl Signals {
    pub(super) fn new() -> io::Result<Self> {
        Ok(Self {
            hangup: signal(SignalKind::hangup())?,
            terminate: signal(SignalKind::terminate())?,
            interrupt: signal(SignalKind::interrupt())?,
            quit: signal(SignalKind::quit())?,
            user1: signal(SignalKind::user_defined1())?,
            user2: signal(SignalKind::user_defined2())?,
        })
    }
}

/// Until the process is to end.
pub(super) async fn serve(
    shared: &Arc<Shared>,
    source: &Source,
    mut signals: Signals,
    orders: &mut mpsc::UnboundedReceiver<Order>,
) {
    let mut descent: Option<Descent> = None;
    let mut look = tokio::time::interval(Duration::from_millis(100));
    loop {
        let wish = tokio::select! {
            _ = signals.hangup.recv() => {
                tracing::info!("got SIGHUP, re-reading config");
                crate::systemd::reloading();
                let _ = reload(shared, source);
                crate::systemd::ready();
                None
            }
            _ = signals.terminate.recv() => Some((Shutdown::WaitForClients, "SIGTERM")),
            _ = signals.interrupt.recv() => Some((Shutdown::WaitForServers, "SIGINT")),
            _ = signals.quit.recv() => Some((Shutdown::Now, "SIGQUIT")),
            _ = signals.user1.recv() => {
                pause(shared);
                None
            }
            _ = signals.user2.recv() => {
                match descent {
                    Some(_) => tracing::info!("got SIGUSR2 while shutting down, ignoring"),
                    None => resume(shared),
                }
                None
            }
            order = orders.recv() => match order {
                Some(Order::Reload(reply)) => {
                    let _ = reply.send(reload(shared, source));
                    None
                }
                Some(Order::Set { key, value, reply }) => {
                    let _ = reply.send(set(shared, &key, &value));
                    None
                }
                Some(Order::Shutdown(how)) => Some((how, "SHUTDOWN")),
                None => None,
            },
            _ = look.tick(), if descent.is_some() => None,
        };
        shared.mail(WorkerId(0), Mail::Settle);
        if let Some((how, cause)) = wish {
            crate::systemd::stopping();
            if descent.is_some() && how != Shutdown::Now && cause.starts_with("SIG") {
                tracing::info!("got {cause} while shutting down, fast exit");
                return;
            }
            if how == Shutdown::Now {
                tracing::info!("got {cause}, fast exit");
                return;
            }
            descent = Some(Descent::begin(shared, how, cause));
        }
        if descent
            .as_ref()
            .is_some_and(|descent| descent.is_over(shared))
        {
            return;
        }
    }
}

/// SIGUSR1.
fn pause(shared: &Shared) {
    let mut pools = shared.pools.lock();
    if shared.suspension.is_in_force() || pools.is_paused(None) {
        tracing::info!("got SIGUSR1, but already paused/suspended");
    } else {
        tracing::info!("got SIGUSR1, pausing all activity");
        pools.pause(None, Instant::now());
    }
}

/// SIGUSR2.
fn resume(shared: &Shared) {
    let was_suspended = shared.suspend(false);
    let mut pools = shared.pools.lock();
    if was_suspended {
        tracing::info!("got SIGUSR2, continuing from SUSPEND");
        pools.resume(None, Instant::now());
    } else if pools.is_paused(None) {
        tracing::info!("got SIGUSR2, continuing from PAUSE");
        pools.resume(None, Instant::now());
    } else {
        tracing::info!("got SIGUSR2, but not paused/suspended");
    }
}

fn reload(shared: &Shared, source: &Source) -> Answer {
    match crate::reload::reload(shared, source) {
        Ok(changes) => {
            tracing::info!("RELOAD: {changes}");
            Ok(changes.notices())
        }
        Err(mistakes) => {
            // The log may have been moved away all the same.
            crate::log::reopen(&shared.config.load().settings);
            for mistake in &mistakes {
                tracing::error!("RELOAD failed, everything stays as it was: {mistake}");
            }
            Err(mistakes.join("; "))
        }
    }
}

fn set(shared: &Shared, key: &str, value: &str) -> Answer {
    if shared.written.notation == Notation::PgBouncer
        && let Some(why) = pgweir_config::without_effect(key)
    {
        return Ok(vec![Notice::Warning(format!("{key}: {why}"))]);
    }
    crate::reload::set(shared, key, value).map(|()| Vec::new())
}

/// On the way down.
struct Descent {
    how: Shutdown,
    deadline: Option<Instant>,
}

impl Descent {
    fn begin(shared: &Shared, how: Shutdown, cause: &str) -> Self {
        let what = match how {
            Shutdown::WaitForServers => "waiting for all servers connections to be released",
            _ => "waiting for all clients disconnect",
        };
        let was_suspended = shared.suspend(false);
        raise(&shared.open, Open::UnixOnly);
        if how == Shutdown::WaitForServers {
            shared.pools.lock().shut_down(Instant::now());
        }
        // Whoever reads it finds it so.
        tracing::info!("got {cause}, shutting down, {what}");
        if was_suspended {
            tracing::warn!("SUSPEND was in force: clients go on until the end");
        }
        if how == Shutdown::WaitForServers {
            for worker in 0..shared.workers() {
                shared.mail(WorkerId(worker as u16), Mail::ShutDown);
            }
        }
        let timeout = shared.config.load().settings.shutdown_timeout;
        let deadline = if timeout.is_zero() {
            None
        } else {
            Some(Instant::now() + timeout)
        };
        Self { how, deadline }
    }

    fn is_over(&self, shared: &Shared) -> bool {
        if self
            .deadline
            .is_some_and(|deadline| Instant::now() >= deadline)
        {
            tracing::warn!("shutdown_timeout is over, dropping what is left");
            return true;
        }
        match self.how {
            Shutdown::WaitForServers => {
                let over = shared.pools.lock().quiescent(None);
                if over {
                    tracing::info!("server connections dropped, exiting");
                }
                over
            }
            _ => {
                let over = shared.admissions.total() == 0 && shared.newcomers.count() == 0;
                if over {
                    tracing::info!("client connections dropped, exiting");
                }
                over
            }
        }
    }
}

fn raise(open: &watch::Sender<Open>, to: Open) {
    open.send_if_modified(|open| {
        let less = *open < to;
        if less {
            *open = to;
        }
        less
    });
}
