//! The log: lines on standard error, in a file and in the system's log, for people, for programs, or
//! in PgBouncer's words.

mod sinks;
mod wording;

use std::io::{self, IsTerminal};
use std::sync::OnceLock;

use pgweir_config::{LogFormat, LogLevel, Settings};
use tracing_subscriber::filter::LevelFilter;
use tracing_subscriber::prelude::*;
use tracing_subscriber::reload::Handle;
use tracing_subscriber::{Registry, fmt};

pub use self::sinks::open;

/// The log belongs to the process, like its standard error: the one thing of this crate that is global.
static LOG: OnceLock<Log> = OnceLock::new();

/// What does not change while the process runs.
#[derive(Debug)]
struct Log {
    level: Handle<LevelFilter, Registry>,
    /// What the command line adds to `verbose`.
    verbose: u32,
}

/// What the command line says about the log.
#[derive(Debug, Clone, Copy, Default)]
pub struct Manner {
    /// Nothing goes to standard error.
    pub quiet: bool,
    /// As the setting `verbose`; the greater one holds.
    pub verbose: u32,
}

/// Opens the log's places anew while the process runs: a failure is logged where the log was.
pub fn reopen(settings: &Settings) {
    if let Err(error) = open(settings) {
        let path = settings.logfile.clone().unwrap_or_default();
        tracing::error!(path = %path.display(), %error, "cannot open the logfile, the log stays where it was");
    }
}

/// Begins to log, to standard error only: see [`open`]. A second call does nothing.
pub fn start(settings: &Settings, manner: Manner) {
    let Manner { quiet, verbose } = manner;
    let (filter, handle) = tracing_subscriber::reload::Layer::new(level(settings, verbose));
    let log = Log {
        level: handle,
        verbose,
    };
    if LOG.set(log).is_err() {
        return;
    }
    let registry = Registry::default().with(filter).with(sinks::ToSyslog);
    let writer = sinks::Lines::new(quiet);
    let is_terminal =
        settings.logfile.is_none() && !writer.is_journal && io::stderr().is_terminal();
    let lines = fmt::layer().with_writer(writer).with_target(false);
    let started = match settings.log_format {
        LogFormat::Json => registry.with(lines.json().flatten_event(true)).try_init(),
        LogFormat::Text => registry.with(lines.with_ansi(is_terminal)).try_init(),
        LogFormat::PgBouncer => registry
            .with(lines.event_format(wording::Wording))
            .try_init(),
    };
    // Somebody else's subscriber (a test's) is there already: its lines are as good.
    drop(started);
}

/// Begins to log as PgBouncer does, for who has no configuration that says how.
pub fn start_as_pgbouncer(manner: Manner) {
    let settings = Settings {
        log_format: LogFormat::PgBouncer,
        ..Settings::default()
    };
    start(&settings, manner);
}

/// Says why the process ends: in the log, or where nothing is logged yet, as plain text.
pub fn failure(error: &dyn std::error::Error) {
    if LOG.get().is_some() {
        tracing::error!(target: wording::FATAL, "{error}");
    } else {
        eprintln!("pgweir: {error}");
    }
}

/// Changes how much is logged.
pub fn set_level(settings: &Settings) {
    if let Some(log) = LOG.get() {
        let level = level(settings, log.verbose);
        // Fails only when the subscriber is gone, and then nothing is logged anyway.
        let _ = log.level.modify(|filter| *filter = level);
    }
}

fn level(settings: &Settings, verbose: u32) -> LevelFilter {
    let level = match settings.log_level {
        LogLevel::Error => LevelFilter::ERROR,
        LogLevel::Warn => LevelFilter::WARN,
        LogLevel::Info => LevelFilter::INFO,
        LogLevel::Debug => LevelFilter::DEBUG,
        LogLevel::Trace => LevelFilter::TRACE,
    };
    level.max(match settings.verbose.max(verbose) {
        0 => LevelFilter::OFF,
        1 => LevelFilter::DEBUG,
        _ => LevelFilter::TRACE,
    })
}
