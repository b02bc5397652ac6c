//! The process: how it comes up, its threads, and the way down.

mod signals;

use std::io;
use std::path::PathBuf;
use std::sync::Arc;
use std::thread::JoinHandle;

use nix::sys::signal::{Signal, kill};
use nix::unistd::Pid;
use pgweir_config::{Notation, Settings};
use pgweir_pool::WorkerId;
use tokio::runtime::{Builder, LocalOptions, LocalRuntime};
use tokio::sync::mpsc;

use crate::identity;
use crate::listen::{Bound, Listeners, Unix};
use crate::log::Manner;
use crate::mail::{Mail, Order};
use crate::pidfile::Pidfile;
use crate::reload::{Loaded, Source};
use crate::shared::Shared;
use crate::worker::Worker;

use self::signals::{Signals, serve};

/// Why the process cannot run.
#[derive(Debug, thiserror::Error)]
pub enum Error {
    /// The configuration has mistakes, one a line.
    #[error("{}", .0.join("\n"))]
    Config(Vec<String>),
    /// The same, and they have been told.
    #[error("cannot load config file")]
    NotLoaded,
    /// The log cannot be written where it is to be.
    #[error("logfile {}: {source}", .path.display())]
    Log {
        /// The file.
        path: PathBuf,
        /// Why.
        source: io::Error,
    },
    /// Whom the process would run as.
    #[error(transparent)]
    Identity(#[from] identity::Error),
    /// Whoever starts a process in the background has to find it again.
    #[error("daemon needs pidfile configured")]
    NoPidfile,
    /// The same for -R.
    #[error("-R finds the old process by its pidfile: name one in the configuration")]
    NoPidfileToReboot,
    /// Two processes cannot have the port.
    #[error(
        "-R needs so_reuseport in the configuration, with which the old process was started too"
    )]
    NoReusePort,
    /// Another instance runs, or so it seems.
    #[error(transparent)]
    Pidfile(#[from] crate::pidfile::Error),
    /// Nothing to listen on.
    #[error(transparent)]
    Listen(#[from] crate::listen::Error),
    /// From the operating system.
    #[error(transparent)]
    Io(#[from] io::Error),
}

/// What the command line says beside the configuration.
#[derive(Debug, Clone, Default)]
pub struct Options {
    /// Go to the background.
    pub daemon: bool,
    /// Take the place of a process that runs, which ends when its clients have left.
    pub reboot: bool,
    /// Write nothing to standard error.
    pub quiet: bool,
    /// As the setting; the greater one holds.
    pub verbose: u32,
    /// As the setting, which it takes the place of.
    pub user: Option<String>,
}

/// Runs until it is told to stop.
///
/// # Errors
/// When it cannot start.
pub fn run(source: &Source, options: &Options) -> Result<(), Error> {
    let manner = Manner {
        quiet: options.quiet,
        verbose: options.verbose,
    };
    let loaded = match crate::reload::load(source) {
        Ok(loaded) => loaded,
        Err(mistakes) if source.is_ini() => {
            // Where PgBouncer says them, and as it does.
            crate::log::start_as_pgbouncer(manner);
            for mistake in mistakes {
                tracing::error!("{mistake}");
            }
            return Err(Error::NotLoaded);
        }
        Err(mistakes) => return Err(Error::Config(mistakes)),
    };
    crate::log::start(&loaded.config.settings, manner);
    let mut prepared = prepare(&loaded, options)?;
    // Threads begin here; until now the process could become another one.
    let (shared, mut orders, threads) = start_workers(loaded)?;
    let runtime = LocalRuntime::new()?;
    runtime.block_on(async {
        // Before anybody knows that we are here.
        let signals = Signals::new()?;
        prepared.listeners.accept(&shared);
        crate::http::start(&shared, std::mem::take(&mut prepared.http))?;
        tracing::info!(
            version = env!("CARGO_PKG_VERSION"),
            workers = shared.workers(),
            pid = std::process::id(),
            "process up"
        );
        crate::systemd::ready();
        if let Some(pid) = prepared.predecessor {
            // Clients of its own go on there until they leave; new ones come here.
            tracing::info!(
                "taking over from process {pid}, which now waits for its clients to leave"
            );
            if let Err(error) = kill(pid, Signal::SIGTERM) {
                tracing::error!("process {pid} cannot be told to go: {error}");
            }
        }
        serve(&shared, source, signals, &mut orders).await;
        Ok::<_, Error>(())
    })?;
    for worker in 0..shared.workers() {
        shared.mail(WorkerId(worker as u16), Mail::Stop);
    }
    for thread in threads {
        // A worker that panicked has said so already.
        let _ = thread.join();
    }
    Ok(())
}

/// Everything that can fail, while whoever started the process still waits to hear of it: sockets,
/// user, log and pidfile. Then it goes to the background, if it is to.
fn prepare(loaded: &Loaded, options: &Options) -> Result<Prepared, Error> {
    let settings = &loaded.config.settings;
    let predecessor = predecessor(settings, options)?;
    // Those below 1024 are root's.
    let bound = Bound::tcp(settings);
    let http = Bound::http(settings)?;
    match options.user.as_deref().unwrap_or(&settings.user) {
        "" => {}
        user => identity::assume(user)?,
    }
    crate::log::open(settings).map_err(|source| Error::Log {
        path: settings.logfile.clone().unwrap_or_default(),
        source,
    })?;
    crate::reload::warn(&loaded.warnings);
    if identity::is_root() {
        if loaded.written.notation == Notation::PgBouncer {
            return Err(identity::Error::Root.into());
        }
        tracing::warn!("{}", identity::Error::Root);
    }
    crate::descriptors::prepare(&loaded.config, loaded.files.users.len());
    let whose = predecessor.map_or(Unix::Free, |_| Unix::TakenOver);
    let listeners = bound.listen(&loaded.config, whose)?;
    let pidfile = settings.pidfile.as_deref();
    if options.daemon {
        // What can be found out is, before nobody listens any more.
        let path = pidfile.ok_or(Error::NoPidfile)?;
        if predecessor.is_none() {
            Pidfile::check(path)?;
        }
        // Where it was started stays its directory: names of files in the configuration may be relative.
        nix::unistd::daemon(true, false).map_err(io::Error::from)?;
    }
    let pidfile = match predecessor {
        Some(_) => pidfile.map(Pidfile::take_over),
        None => pidfile.map(Pidfile::create),
    };
    Ok(Prepared {
        listeners,
        http,
        _pidfile: pidfile.transpose()?,
        predecessor,
    })
}

/// What is there before the first thread.
struct Prepared {
    listeners: Listeners,
    http: Vec<std::net::TcpListener>,
    /// Removed at the end.
    _pidfile: Option<Pidfile>,
    /// The process whose place is taken.
    predecessor: Option<Pid>,
}

/// The process whose place is to be taken, if it is to be and there is one.
fn predecessor(settings: &Settings, options: &Options) -> Result<Option<Pid>, Error> {
    if !options.reboot {
        return Ok(None);
    }
    let path = settings
        .pidfile
        .as_deref()
        .ok_or(Error::NoPidfileToReboot)?;
    let Some(pid) = Pidfile::running(path) else {
        tracing::info!("old process not found, try to continue normally");
        return Ok(None);
    };
    if !settings.so_reuseport && !settings.listen_addr.is_empty() {
        return Err(Error::NoReusePort);
    }
    Ok(Some(pid))
}

type Started = (
    Arc<Shared>,
    mpsc::UnboundedReceiver<Order>,
    Vec<JoinHandle<()>>,
);

fn start_workers(loaded: Loaded) -> io::Result<Started> {
    let wanted = usize::from(loaded.config.settings.workers);
    let available = std::thread::available_parallelism().map_or(1, usize::from);
    // The cancel keys have seven bits for the worker.
    let count = if wanted == 0 { available } else { wanted }.clamp(1, 127);
    let (senders, mailboxes): (Vec<_>, Vec<_>) =
        (0..count).map(|_| mpsc::unbounded_channel()).unzip();
    let (order, orders) = mpsc::unbounded_channel();
    let shared = Shared::new(loaded.config, loaded.files, loaded.written, senders, order);
    crate::roles::watch_all(&shared, &shared.config.load());
    let mut threads = Vec::new();
    for (number, mailbox) in mailboxes.into_iter().enumerate() {
        let shared = Arc::clone(&shared);
        let thread = std::thread::Builder::new().name(format!("worker-{number}"));
        threads.push(thread.spawn(move || work(WorkerId(number as u16), shared, mailbox))?);
    }
    Ok((shared, orders, threads))
}

fn work(id: WorkerId, shared: Arc<Shared>, mailbox: mpsc::UnboundedReceiver<Mail>) {
    let runtime = Builder::new_current_thread()
        .enable_all()
        // Sockets are looked at again after so many tasks: small enough that a reply does not
        // wait behind a crowd, large enough that one look finds many.
        .event_interval(61)
        .build_local(LocalOptions::default());
    match runtime {
        Ok(runtime) => {
            let worker = Worker::new(id, shared);
            runtime.block_on(crate::crew::run(&worker, mailbox));
            // Tasks hold the worker: they end here, before it does. Names that are being looked up
            // are not waited for: the resolver may take minutes.
            runtime.shutdown_background();
            drop(worker);
        }
        Err(error) => tracing::error!(%error, "worker cannot start"),
    }
}
