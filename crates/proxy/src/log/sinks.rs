//! Where lines of the log go: standard error, a file, the system's log.

use std::fs::{File, OpenOptions};
use std::io::{self, Write};
use std::os::unix::net::UnixDatagram;
use std::path::{Path, PathBuf};

use arc_swap::{ArcSwapOption, Guard};
use pgweir_config::{Settings, SyslogFacility};
use std::sync::Arc;
use tracing::{Event, Level, Metadata, Subscriber};
use tracing_subscriber::Layer;
use tracing_subscriber::fmt::MakeWriter;
use tracing_subscriber::layer::Context;

use super::wording::{FATAL, Said};

/// `logfile` and the system's log, if there are any. They belong to the process, like its standard
/// error.
static OPEN: ArcSwapOption<Open> = ArcSwapOption::const_empty();

#[derive(Debug)]
struct Open {
    file: Option<File>,
    syslog: Option<Syslog>,
}

/// Opens the log's file, anew if it is open already; without one, closes it. The same for the
/// system's log.
///
/// # Errors
/// From the operating system: what was open stays so.
pub fn open(settings: &Settings) -> io::Result<()> {
    let open = |path| OpenOptions::new().append(true).create(true).open(path);
    let file = settings.logfile.as_ref().map(open).transpose()?;
    let syslog = settings.syslog.then(|| Syslog::new(settings)).transpose()?;
    OPEN.store(Some(Arc::new(Open { file, syslog })));
    Ok(())
}

/// Standard error and the file. A line that cannot be written is lost; there is nobody to tell.
pub(super) struct Lines {
    /// Whether there is somebody at standard error.
    pub(super) stderr: bool,
    /// Whether that is systemd's journal, which has a time and a level of its own.
    pub(super) is_journal: bool,
}

impl Lines {
    pub(super) fn new(quiet: bool) -> Self {
        Self {
            stderr: !quiet,
            is_journal: is_journal(),
        }
    }
}

impl<'a> MakeWriter<'a> for Lines {
    type Writer = Line;

    fn make_writer(&'a self) -> Line {
        Line {
            stderr: self.stderr,
            severity: None,
            open: OPEN.load(),
        }
    }

    fn make_writer_for(&'a self, metadata: &Metadata<'_>) -> Line {
        let severity = self.is_journal.then(|| severity(metadata));
        Line {
            severity,
            ..self.make_writer()
        }
    }
}

/// One line on its way.
pub(super) struct Line {
    stderr: bool,
    /// For the journal (sd-daemon).
    severity: Option<u8>,
    open: Guard<Option<Arc<Open>>>,
}

impl Write for Line {
    fn write(&mut self, line: &[u8]) -> io::Result<usize> {
        if let Some(open) = &*self.open
            && let Some(mut file) = open.file.as_ref()
        {
            let _ = file.write_all(line);
        }
        if self.stderr {
            let _ = match self.severity {
                Some(severity) => {
                    let marked = [format!("<{severity}>").as_bytes(), line].concat();
                    io::stderr().write_all(&marked)
                }
                None => io::stderr().write_all(line),
            };
        }
        Ok(line.len())
    }

    fn flush(&mut self) -> io::Result<()> {
        Ok(())
    }
}

/// Whether standard error is the stream that systemd says it is (systemd.exec, JOURNAL_STREAM).
fn is_journal() -> bool {
    let Ok(said) = std::env::var("JOURNAL_STREAM") else {
        return false;
    };
    nix::sys::stat::fstat(io::stderr())
        .is_ok_and(|found| said == format!("{}:{}", found.st_dev, found.st_ino))
}

/// As in syslog.h.
fn severity(metadata: &Metadata<'_>) -> u8 {
    match *metadata.level() {
        Level::ERROR if metadata.target() == FATAL => 2,
        Level::ERROR => 3,
        Level::WARN => 4,
        Level::INFO => 6,
        Level::DEBUG | Level::TRACE => 7,
    }
}

/// The system's log. It never waits: a line that does not fit is lost, rather than that clients wait
/// for a disk.
#[derive(Debug)]
struct Syslog {
    socket: UnixDatagram,
    to: PathBuf,
    facility: u8,
    ident: String,
}

const SYSLOG: &str = "/dev/log";

impl Syslog {
    fn new(settings: &Settings) -> io::Result<Self> {
        Self::at(Path::new(SYSLOG), settings)
    }

    fn at(path: &Path, settings: &Settings) -> io::Result<Self> {
        let socket = UnixDatagram::unbound()?;
        socket.set_nonblocking(true)?;
        Ok(Self {
            socket,
            to: path.to_owned(),
            facility: facility(settings.syslog_facility),
            ident: settings.syslog_ident.clone(),
        })
    }

    /// A line as in RFC 3164, to whoever has that socket now.
    fn send(&self, severity: u8, line: &str) {
        let priority = self.facility * 8 + severity;
        let zone = jiff::tz::TimeZone::try_system().unwrap_or(jiff::tz::TimeZone::UTC);
        let now = jiff::Timestamp::now().to_zoned(zone);
        let time = now.strftime("%b %e %H:%M:%S");
        let (ident, pid) = (&self.ident, std::process::id());
        let packet = format!("<{priority}>{time} {ident}[{pid}]: {line}");
        let _ = self.socket.send_to(packet.as_bytes(), &self.to);
    }
}

fn facility(facility: SyslogFacility) -> u8 {
    match facility {
        SyslogFacility::User => 1,
        SyslogFacility::Daemon => 3,
        SyslogFacility::Auth => 4,
        SyslogFacility::Authpriv => 10,
        SyslogFacility::Local0 => 16,
        SyslogFacility::Local1 => 17,
        SyslogFacility::Local2 => 18,
        SyslogFacility::Local3 => 19,
        SyslogFacility::Local4 => 20,
        SyslogFacility::Local5 => 21,
        SyslogFacility::Local6 => 22,
        SyslogFacility::Local7 => 23,
    }
}

/// Sends every event to the system's log, when it is open.
pub(super) struct ToSyslog;

impl<S: Subscriber> Layer<S> for ToSyslog {
    fn on_event(&self, event: &Event<'_>, _: Context<'_, S>) {
        if let Some(open) = &*OPEN.load()
            && let Some(syslog) = &open.syslog
        {
            syslog.send(severity(event.metadata()), &Said::by(event).line());
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_line_for_the_system() {
        let dir = tempfile::tempdir().expect("there is room");
        let path = dir.path().join("log");
        let settings = Settings {
            syslog_facility: SyslogFacility::Local3,
            syslog_ident: "weir".to_owned(),
            ..Settings::default()
        };
        let syslog = Syslog::at(&path, &settings).expect("a socket");
        // Nobody is there yet: it is lost, and nothing else happens.
        syslog.send(6, "lost");
        let system = UnixDatagram::bind(&path).expect("the path is free");
        syslog.send(4, "pooler error: x");
        let mut packet = [0; 200];
        let len = system.recv(&mut packet).expect("it was sent");
        let packet = String::from_utf8_lossy(&packet[..len]);
        // 19 * 8 + 4.
        assert!(packet.starts_with("<156>"), "{packet}");
        let end = format!(" weir[{}]: pooler error: x", std::process::id());
        assert!(packet.ends_with(&end), "{packet}");
    }
}
