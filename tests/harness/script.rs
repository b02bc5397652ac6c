//! Programs in Python and JavaScript, with their drivers, installed once.

use std::fs;
use std::path::{Path, PathBuf};
use std::process::Command;

use crate::cache::{once, run};
use crate::target::{Outcome, Target};

/// Drivers from PyPI, with versions, so that every run tests the same.
const PYTHON_DRIVERS: &[&str] = &["psycopg[binary]==3.3.9", "asyncpg==0.32.0"];
/// Drivers from npm.
const NODE_DRIVERS: &[&str] = &["pg@8.23.1", "pg-copy-streams@7.0.0", "pg-cursor@2.22.0"];

/// Runs a Python program of `tests/clients`, which finds the target in libpq's variables.
///
/// # Panics
/// If the drivers cannot be installed.
pub fn python(name: &str, target: &Target, arguments: &[&str]) -> Outcome {
    let mut command = Command::new("python3");
    command
        .arg(program(name))
        .args(arguments)
        .env("PYTHONPATH", python_packages(PYTHON_DRIVERS));
    target.environment(&mut command);
    // Python's environment variables begin with PY, libpq's with PG.
    Outcome::of(command.env("PYTHONDONTWRITEBYTECODE", "1"), "")
}

/// The directory with these packages of PyPI, which Python looks into if `PYTHONPATH` says so.
///
/// # Panics
/// If they cannot be installed.
pub(crate) fn python_packages(packages: &[&str]) -> PathBuf {
    let environment = once(&environment("python", packages), |path| {
        // A virtual environment cannot be moved: so its place is made by name, not by path.
        fs::create_dir(path).expect("the cache is ours");
        run(Command::new("python3")
            .args(["-m", "venv"])
            .arg(path.join("venv")));
        run(Command::new(path.join("venv/bin/python"))
            .args([
                "-m",
                "pip",
                "install",
                "--quiet",
                "--disable-pip-version-check",
                "--target",
            ])
            .arg(path.join("drivers"))
            .args(packages));
    });
    environment.join("drivers")
}

/// Runs a JavaScript program of `tests/clients`, which finds the target in libpq's variables.
///
/// # Panics
/// If the drivers cannot be installed.
pub fn node(name: &str, target: &Target, arguments: &[&str]) -> Outcome {
    let environment = once(&environment("node", NODE_DRIVERS), |path| {
        run(Command::new("npm")
            .args([
                "install",
                "--ignore-scripts",
                "--no-audit",
                "--no-fund",
                "--prefix",
            ])
            .arg(path)
            .args(NODE_DRIVERS));
    });
    let mut command = Command::new("node");
    command
        .arg(program(name))
        .args(arguments)
        .env("NODE_PATH", environment.join("node_modules"));
    target.environment(&mut command);
    Outcome::of(&mut command, "")
}

fn program(name: &str) -> PathBuf {
    Path::new(env!("CARGO_MANIFEST_DIR"))
        .join("clients")
        .join(name)
}

/// Names a set of drivers.
fn environment(language: &str, drivers: &[&str]) -> String {
    let text: String = drivers
        .join("-")
        .chars()
        .filter(|c| c.is_ascii_alphanumeric() || "-.".contains(*c))
        .collect();
    format!("{language}-{text}")
}
