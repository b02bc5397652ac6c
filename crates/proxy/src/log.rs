//! The log: lines on standard error and in a file, for people or as JSON.

use std::fs::{File, OpenOptions};
use std::io::{self, IsTerminal, Write};
use std::sync::{Arc, OnceLock};

use arc_swap::ArcSwapOption;
use pgweir_config::{LogFormat, LogLevel, Settings};
use tracing_subscriber::filter::LevelFilter;
use tracing_subscriber::prelude::*;
use tracing_subscriber::reload::Handle;
use tracing_subscriber::{Registry, fmt};

/// The log belongs to the process, like its standard error: the one global value of this crate.
static LEVEL: OnceLock<Handle<LevelFilter, Registry>> = OnceLock::new();

/// `logfile`, if there is one. Of the process too.
static LOGFILE: ArcSwapOption<File> = ArcSwapOption::const_empty();

/// Where lines go: to standard error and to the file. A line that cannot be written is lost; there is
/// nobody to tell.
struct Lines(Option<Arc<File>>);

impl Lines {
    fn new() -> Self {
        Self(LOGFILE.load_full())
    }
}

impl Write for Lines {
    fn write(&mut self, line: &[u8]) -> io::Result<usize> {
        if let Some(file) = &self.0 {
            let _ = (&**file).write_all(line);
        }
        let _ = io::stderr().write_all(line);
        Ok(line.len())
    }

    fn flush(&mut self) -> io::Result<()> {
        Ok(())
    }
}

/// Opens the log's file, anew if it is open already; without one, closes it.
///
/// # Errors
/// From the operating system: what was open stays so.
pub fn open(settings: &Settings) -> io::Result<()> {
    let open = |path| OpenOptions::new().append(true).create(true).open(path);
    let file = settings.logfile.as_ref().map(open).transpose()?;
    LOGFILE.store(file.map(Arc::new));
    Ok(())
}

/// The same while the process runs: a failure is logged where the log was.
pub fn reopen(settings: &Settings) {
    if let Err(error) = open(settings) {
        let path = settings.logfile.clone().unwrap_or_default();
        tracing::error!(path = %path.display(), %error, "cannot open the logfile, the log stays where it was");
    }
}

/// Begins to log. A second call only opens the file.
///
/// # Errors
/// When the file cannot be opened.
pub fn start(settings: &Settings) -> io::Result<()> {
    open(settings)?;
    let (filter, handle) = tracing_subscriber::reload::Layer::new(level(settings.log_level));
    if LEVEL.set(handle).is_err() {
        return Ok(());
    }
    let registry = Registry::default().with(filter);
    let lines = fmt::layer().with_writer(Lines::new).with_target(false);
    let started = match settings.log_format {
        LogFormat::Json => registry.with(lines.json().flatten_event(true)).try_init(),
        LogFormat::Text => registry
            .with(lines.with_ansi(settings.logfile.is_none() && io::stderr().is_terminal()))
            .try_init(),
    };
    // Somebody else's subscriber (a test's) is there already: its lines are as good.
    drop(started);
    Ok(())
}

/// Changes how much is logged.
pub fn set_level(settings: &Settings) {
    if let Some(handle) = LEVEL.get() {
        // Fails only when the subscriber is gone, and then nothing is logged anyway.
        let _ = handle.modify(|filter| *filter = level(settings.log_level));
    }
}

fn level(level: LogLevel) -> LevelFilter {
    match level {
        LogLevel::Error => LevelFilter::ERROR,
        LogLevel::Warn => LevelFilter::WARN,
        LogLevel::Info => LevelFilter::INFO,
        LogLevel::Debug => LevelFilter::DEBUG,
        LogLevel::Trace => LevelFilter::TRACE,
    }
}
