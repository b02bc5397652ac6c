//! The file that names the process while it runs.

use std::fs::{self, OpenOptions};
use std::io::{self, Write};
use std::os::unix::fs::OpenOptionsExt;
use std::path::{Path, PathBuf};

use nix::errno::Errno;
use nix::sys::signal::kill;
use nix::unistd::Pid;

/// Why it cannot be written.
#[derive(Debug, thiserror::Error)]
pub enum Error {
    /// The process that it names runs, or it names none.
    #[error("pidfile '{}' exists, another instance running?", .0.display())]
    Exists(PathBuf),
    /// From the operating system.
    #[error("pidfile '{}': {source}", .path.display())]
    Io {
        /// The file.
        path: PathBuf,
        /// Why.
        source: io::Error,
    },
}

/// The file, removed when this is dropped.
#[derive(Debug)]
pub struct Pidfile(PathBuf);

impl Pidfile {
    /// Sees to it that there is no such file. One that names a process that has ended is removed.
    ///
    /// # Errors
    /// When the file is somebody else's, or cannot be read or removed.
    pub fn check(path: &Path) -> Result<(), Error> {
        let failed = |source| Error::Io {
            path: path.to_owned(),
            source,
        };
        match fs::read_to_string(path) {
            Ok(text) if is_stale(&text) => {
                tracing::info!(path = %path.display(), "stale pidfile, removing");
                fs::remove_file(path).map_err(failed)
            }
            Ok(_) => Err(Error::Exists(path.to_owned())),
            Err(error) if error.kind() == io::ErrorKind::NotFound => Ok(()),
            Err(error) => Err(failed(error)),
        }
    }

    /// The process that a pidfile names, if it still runs.
    pub fn running(path: &Path) -> Option<Pid> {
        let text = fs::read_to_string(path).ok()?;
        let pid = text.trim().parse().ok().filter(|pid| *pid > 0)?;
        // One of another user is not ours to signal, but runs.
        let runs = kill(Pid::from_raw(pid), None) != Err(Errno::ESRCH);
        runs.then_some(Pid::from_raw(pid))
    }

    /// Puts the own process id in the place of another one's, who will leave the file alone.
    ///
    /// # Errors
    /// When the file cannot be written.
    pub fn take_over(path: &Path) -> Result<Self, Error> {
        let write = || {
            let beside = path.with_extension(format!("new-{}", std::process::id()));
            fs::write(&beside, format!("{}\n", std::process::id()))?;
            // At once, so that nobody ever finds none.
            fs::rename(&beside, path)
        };
        match write() {
            Ok(()) => Ok(Self(path.to_owned())),
            Err(source) => Err(Error::Io {
                path: path.to_owned(),
                source,
            }),
        }
    }

    /// Writes the own process id into a file that must not be there yet, as [`Pidfile::check`] sees it.
    ///
    /// # Errors
    /// When the file cannot be written, or is somebody else's.
    pub fn create(path: &Path) -> Result<Self, Error> {
        Self::check(path)?;
        let failed = |source| Error::Io {
            path: path.to_owned(),
            source,
        };
        let mut options = OpenOptions::new();
        let mut file = options
            .write(true)
            .create_new(true)
            .mode(0o644)
            .open(path)
            .map_err(failed)?;
        // From here on it is ours to remove.
        let pidfile = Self(path.to_owned());
        writeln!(file, "{}", std::process::id()).map_err(failed)?;
        Ok(pidfile)
    }
}

impl Drop for Pidfile {
    fn drop(&mut self) {
        let is_ours = |text: String| text.trim() == std::process::id().to_string();
        if fs::read_to_string(&self.0).is_ok_and(|text| !is_ours(text)) {
            // A process that took over.
            return;
        }
        if let Err(error) = fs::remove_file(&self.0) {
            tracing::warn!(path = %self.0.display(), %error, "cannot remove the pidfile");
        }
    }
}

/// Whether a pidfile names a process that is no more.
fn is_stale(text: &str) -> bool {
    let Ok(pid) = text.trim().parse::<i32>() else {
        return false;
    };
    pid > 0 && kill(Pid::from_raw(pid), None) == Err(Errno::ESRCH)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn only_a_stale_file_gives_way() {
        let dir = tempfile::tempdir().expect("there is room");
        let path = dir.path().join("pid");
        let own = std::process::id().to_string();
        // No process has this number: the kernel's greatest is 2^22.
        for (text, gives_way) in [
            ("99999999\n", true),
            (&own, false),
            ("", false),
            ("x", false),
        ] {
            fs::write(&path, text).expect("there is room");
            let outcome = Pidfile::create(&path);
            assert_eq!(outcome.is_ok(), gives_way, "{text:?}");
            if let Ok(pidfile) = outcome {
                let written = fs::read_to_string(&path).expect("it is there");
                assert_eq!(written.trim(), own);
                drop(pidfile);
                assert!(!path.exists());
            }
        }
    }
}
