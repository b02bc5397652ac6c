//! The log: lines on standard error, for people or as JSON.

use std::sync::OnceLock;

use pgweir_config::{LogFormat, LogLevel, Settings};
use tracing_subscriber::filter::LevelFilter;
use tracing_subscriber::prelude::*;
use tracing_subscriber::reload::Handle;
use tracing_subscriber::{Registry, fmt};

/// The log belongs to the process, like its standard error: the one global value of this crate.
static LEVEL: OnceLock<Handle<LevelFilter, Registry>> = OnceLock::new();

/// Begins to log. A second call does nothing.
pub fn start(settings: &Settings) {
    let (filter, handle) = tracing_subscriber::reload::Layer::new(level(settings.log_level));
    if LEVEL.set(handle).is_err() {
        return;
    }
    let registry = Registry::default().with(filter);
    let lines = fmt::layer().with_writer(std::io::stderr).with_target(false);
    let started = match settings.log_format {
        LogFormat::Json => registry.with(lines.json().flatten_event(true)).try_init(),
        LogFormat::Text => registry
            .with(lines.with_ansi(std::io::IsTerminal::is_terminal(&std::io::stderr())))
            .try_init(),
    };
    // Somebody else's subscriber (a test's) is there already: its lines are as good.
    drop(started);
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
