//! What is installed once and kept: server binaries, drivers, data directories to copy.

use std::fs;
use std::path::{Path, PathBuf};
use std::process::Command;
use std::sync::OnceLock;

use crate::process::become_unprivileged;
use crate::room::lock;

/// The directory for it: `PGWEIR_TEST_CACHE`, or one in cargo's target directory, or, where the
/// user that PostgreSQL runs under may not look into that, one in `/var/tmp`.
pub(crate) fn cache() -> &'static Path {
    static CACHE: OnceLock<PathBuf> = OnceLock::new();
    CACHE.get_or_init(|| {
        let path = match std::env::var_os("PGWEIR_TEST_CACHE") {
            Some(path) => PathBuf::from(path),
            None => target_directory().join("test-cache"),
        };
        fs::create_dir_all(&path).unwrap_or_else(|error| panic!("{}: {error}", path.display()));
        if others_may_read(&path) {
            return path;
        }
        let path = PathBuf::from("/var/tmp/pgweir-test-cache");
        fs::create_dir_all(&path).unwrap_or_else(|error| panic!("{}: {error}", path.display()));
        path
    })
}

/// Where cargo put this program: `target/debug/deps/e2e-…`.
pub(crate) fn target_directory() -> PathBuf {
    let program = std::env::current_exe().expect("the kernel knows it");
    program
        .ancestors()
        .nth(3)
        .expect("cargo builds three levels deep")
        .to_owned()
}

fn others_may_read(path: &Path) -> bool {
    Command::new("setpriv")
        .args(become_unprivileged())
        .args(["--", "ls"])
        .arg(path)
        .output()
        .is_ok_and(|output| output.status.success())
}

/// A directory of the cache; `fill` makes it, once, whoever else asks at the same time.
///
/// `fill` gets a path that does not exist yet. If it fails, the next one to ask tries again.
pub(crate) fn once(name: &str, fill: impl FnOnce(&Path)) -> PathBuf {
    let path = cache().join(name);
    if path.exists() {
        return path;
    }
    let _lock = lock(&cache().join(format!("{name}.lock")));
    if path.exists() {
        return path;
    }
    let unfinished = cache().join(format!("{name}.unfinished"));
    if unfinished.exists() {
        fs::remove_dir_all(&unfinished).expect("it is ours");
    }
    fill(&unfinished);
    fs::rename(&unfinished, &path).expect("in the same directory");
    path
}

/// Runs a command that must succeed.
#[track_caller]
pub(crate) fn run(command: &mut Command) -> String {
    let output = command
        .output()
        .unwrap_or_else(|error| panic!("{command:?}: {error}"));
    let stdout = String::from_utf8_lossy(&output.stdout);
    let stderr = String::from_utf8_lossy(&output.stderr);
    assert!(
        output.status.success(),
        "{command:?}: {}\n{stdout}{stderr}",
        output.status
    );
    stdout.into_owned()
}
