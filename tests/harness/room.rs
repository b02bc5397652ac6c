//! Directories for one run, which go away with it.

use std::fs::{self, File};
use std::path::{Path, PathBuf};
use std::process::{Child, Command, Stdio};
use std::sync::OnceLock;
use std::sync::atomic::{AtomicU32, Ordering};

use std::os::unix::fs::PermissionsExt;
use std::os::unix::process::CommandExt;

/// A private directory. It is removed when this is dropped, and in any case some moments after
/// the process has ended.
///
/// Its path is short, because the path of a Unix socket may have 107 bytes only.
#[derive(Debug)]
pub struct Room {
    path: PathBuf,
}

impl Room {
    /// Makes one.
    ///
    /// # Panics
    /// If the directory for temporary files cannot be written to.
    pub fn new(name: &str) -> Self {
        static NUMBER: AtomicU32 = AtomicU32::new(0);
        let number = NUMBER.fetch_add(1, Ordering::Relaxed);
        let path = house().path.join(format!("{name}-{number}"));
        fs::create_dir(&path).expect("the house was just made and is ours");
        Self { path }
    }

    /// Where it is.
    pub fn path(&self) -> &Path {
        &self.path
    }

    /// A path in it.
    pub fn join(&self, name: &str) -> PathBuf {
        self.path.join(name)
    }
}

impl Drop for Room {
    fn drop(&mut self) {
        // What cannot be removed now is the janitor's.
        let _ = fs::remove_dir_all(&self.path);
    }
}

/// All rooms of this process.
struct House {
    path: PathBuf,
    /// Its standard input is closed when this process ends, however it ends. Then it removes the
    /// directory; servers that are just going down may write there a little longer.
    _janitor: Child,
}

fn house() -> &'static House {
    static HOUSE: OnceLock<House> = OnceLock::new();
    HOUSE.get_or_init(|| {
        let path = tempfile::Builder::new()
            .prefix("pgweir-test-")
            .tempdir()
            .expect("the directory for temporary files can be written to")
            .keep();
        fs::set_permissions(&path, fs::Permissions::from_mode(0o755)).expect("it is ours");
        let janitor = Command::new("sh")
            .args(["-c", JANITOR, "janitor"])
            .arg(&path)
            .current_dir("/")
            .stdin(Stdio::piped())
            .stdout(Stdio::null())
            .stderr(Stdio::null())
            // Ctrl-C is for the tests; the janitor works after them.
            .process_group(0)
            .spawn()
            .expect("there is a shell");
        House {
            path,
            _janitor: janitor,
        }
    })
}

const JANITOR: &str = r#"
read -r _
for _ in 1 2 3 4 5 6 7 8 9 10 11 12 13 14 15 16 17 18 19 20; do
    rm -rf -- "$1" && [ ! -e "$1" ] && exit 0
    sleep 0.5
done
"#;

/// Gives a file or directory, with all that is in it, to a user.
///
/// # Panics
/// If we are not root.
pub fn give_to(path: &Path, uid: u32, gid: u32) {
    let status = Command::new("chown")
        .arg("-R")
        .arg(format!("{uid}:{gid}"))
        .arg(path)
        .status();
    assert!(
        status.is_ok_and(|status| status.success()),
        "chown of {}",
        path.display()
    );
}

/// Holds a lock on a file until it is dropped: one process at a time.
pub(crate) fn lock(path: &Path) -> File {
    let file = File::options()
        .create(true)
        .truncate(false)
        .write(true)
        .open(path)
        .unwrap_or_else(|error| panic!("{}: {error}", path.display()));
    file.lock()
        .unwrap_or_else(|error| panic!("lock of {}: {error}", path.display()));
    file
}
