//! Where a client connects to.

use std::io::{Read, Write};
use std::path::Path;
use std::process::{Child, Command, ExitStatus, Stdio};
use std::thread::{self, JoinHandle};
use std::time::{Duration, Instant};

use crate::major::Major;
use crate::process::without_libpq_variables;

/// Address, database and user of a PostgreSQL server or of a pooler.
#[derive(Debug, Clone)]
pub struct Target {
    /// `127.0.0.1`, a name, or the directory of a Unix socket.
    pub host: String,
    /// The port, also of a Unix socket.
    pub port: u16,
    /// The database.
    pub database: String,
    /// The user.
    pub user: String,
    /// The password; may be empty.
    pub password: String,
    /// More of libpq's parameters, such as `sslmode`.
    pub parameters: Vec<(String, String)>,
}

impl Target {
    /// On 127.0.0.1, with the password that the user of this name has in tests.
    pub fn new(port: u16, database: &str, user: &str) -> Self {
        Self {
            host: "127.0.0.1".to_owned(),
            port,
            database: database.to_owned(),
            user: user.to_owned(),
            password: format!("{user}-secret"),
            parameters: Vec::new(),
        }
    }

    /// The same for another user, with that user's password.
    #[must_use]
    pub fn user(&self, user: &str) -> Self {
        Self {
            user: user.to_owned(),
            password: format!("{user}-secret"),
            ..self.clone()
        }
    }

    /// The same with another password.
    #[must_use]
    pub fn password(&self, password: &str) -> Self {
        Self {
            password: password.to_owned(),
            ..self.clone()
        }
    }

    /// The same server's other database.
    #[must_use]
    pub fn database(&self, database: &str) -> Self {
        Self {
            database: database.to_owned(),
            ..self.clone()
        }
    }

    /// The same through another address.
    #[must_use]
    pub fn host(&self, host: impl AsRef<Path>) -> Self {
        Self {
            host: host.as_ref().display().to_string(),
            ..self.clone()
        }
    }

    /// The same with one more of libpq's parameters.
    #[must_use]
    pub fn with(&self, name: &str, value: impl AsRef<Path>) -> Self {
        let mut target = self.clone();
        target
            .parameters
            .push((name.to_owned(), value.as_ref().display().to_string()));
        target
    }

    /// As libpq's keywords and values. All values are quoted.
    pub fn conninfo(&self) -> String {
        let port = self.port.to_string();
        let mut pairs = vec![
            ("host", self.host.as_str()),
            ("port", &port),
            ("dbname", &self.database),
            ("user", &self.user),
            ("password", &self.password),
        ];
        pairs.extend(
            self.parameters
                .iter()
                .map(|(name, value)| (name.as_str(), value.as_str())),
        );
        if !pairs.iter().any(|(name, _)| *name == "sslmode") {
            pairs.push(("sslmode", "disable"));
        }
        let quoted = |value: &str| value.replace('\\', "\\\\").replace('\'', "\\'");
        pairs
            .iter()
            .map(|(name, value)| format!("{name}='{}'", quoted(value)))
            .collect::<Vec<_>>()
            .join(" ")
    }

    /// A client program of PostgreSQL, of the system's version, with this target in the
    /// environment.
    pub fn program(&self, name: &str) -> Command {
        let mut command = Command::new(Major::System.programs().join(name));
        self.environment(&mut command);
        command
    }

    /// Sets the variables that libpq and other drivers read.
    pub(crate) fn environment(&self, command: &mut Command) {
        without_libpq_variables(command)
            .env("PGHOST", &self.host)
            .env("PGPORT", self.port.to_string())
            .env("PGDATABASE", &self.database)
            .env("PGUSER", &self.user)
            .env("PGPASSWORD", &self.password)
            .env("PGCONNECT_TIMEOUT", "20")
            .env("PGSSLMODE", "disable");
        for (name, value) in &self.parameters {
            let variable = match name.as_str() {
                "application_name" => "PGAPPNAME".to_owned(),
                name => format!("PG{}", name.replace('_', "").to_uppercase()),
            };
            command.env(variable, value);
        }
    }

    /// Runs SQL by psql, one statement after the other, up to the first error.
    pub fn psql(&self, sql: &str) -> Outcome {
        let mut command = self.program("psql");
        command.args(["-XAtq", "-v", "ON_ERROR_STOP=1", "-v", "VERBOSITY=verbose"]);
        Outcome::of(&mut command, sql)
    }

    /// The same for SQL that works: what psql wrote, unaligned, without the last line feed.
    ///
    /// # Panics
    /// If it fails.
    #[track_caller]
    pub fn sql(&self, sql: &str) -> String {
        let outcome = self.psql(sql);
        outcome.check(sql);
        outcome.stdout.trim_end_matches('\n').to_owned()
    }

    /// Runs pgbench with arguments; gives what it reports.
    ///
    /// # Panics
    /// If it fails.
    #[track_caller]
    pub fn pgbench(&self, arguments: &str) -> String {
        let outcome = self.try_pgbench(arguments);
        outcome.check(arguments);
        outcome.stdout
    }

    /// Runs pgbench with arguments, separated by spaces.
    pub fn try_pgbench(&self, arguments: &str) -> Outcome {
        Outcome::of(
            self.program("pgbench").args(arguments.split_whitespace()),
            "",
        )
    }
}

/// What a program has written, and how it ended.
#[derive(Debug)]
pub struct Outcome {
    /// Whether it ended with 0.
    pub success: bool,
    /// What it ended with, if no signal ended it.
    pub code: Option<i32>,
    /// Its output.
    pub stdout: String,
    /// Its errors.
    pub stderr: String,
}

impl Outcome {
    /// Runs a program to its end, with something to read.
    ///
    /// # Panics
    /// If it is not there.
    pub fn of(command: &mut Command, input: &str) -> Self {
        let mut child = command
            .stdin(Stdio::piped())
            .stdout(Stdio::piped())
            .stderr(Stdio::piped())
            .spawn()
            .unwrap_or_else(|error| panic!("{command:?}: {error}"));
        let mut stdin = child.stdin.take().expect("piped");
        let input = input.to_owned();
        // A program that ends early does not read everything.
        thread::spawn(move || drop(stdin.write_all(input.as_bytes())));
        let stdout = read_all(child.stdout.take().expect("piped"));
        let stderr = read_all(child.stderr.take().expect("piped"));
        let status = wait_or_kill(&mut child);
        let mut outcome = Self {
            success: status.is_some_and(|status| status.success()),
            code: status.and_then(|status| status.code()),
            stdout: stdout.join().expect("it does not panic"),
            stderr: stderr.join().expect("it does not panic"),
        };
        if status.is_none() {
            outcome.stderr += &format!("killed after {LONGEST:?}");
        }
        outcome
    }

    /// Checks that it succeeded.
    ///
    /// # Panics
    /// If not, with what it wrote.
    #[track_caller]
    pub fn check(&self, what: &str) {
        assert!(self.success, "{what}\n{}{}", self.stdout, self.stderr);
    }

    /// Checks that it failed, and that its errors contain a text.
    ///
    /// # Panics
    /// If not, with what it wrote.
    #[track_caller]
    pub fn check_failure(&self, text: &str) {
        assert!(
            !self.success && self.stderr.contains(text),
            "expected {text:?} in\n{}{}",
            self.stdout,
            self.stderr
        );
    }
}

/// A program that runs longer hangs.
const LONGEST: Duration = Duration::from_secs(90);

fn wait_or_kill(child: &mut Child) -> Option<ExitStatus> {
    let deadline = Instant::now() + LONGEST;
    while Instant::now() < deadline {
        if let Some(status) = child.try_wait().expect("it is our child") {
            return Some(status);
        }
        thread::sleep(Duration::from_millis(2));
    }
    let _ = child.kill();
    let _ = child.wait();
    None
}

fn read_all(mut from: impl Read + Send + 'static) -> JoinHandle<String> {
    thread::spawn(move || {
        let mut bytes = Vec::new();
        // What came before an error is shown.
        let _ = from.read_to_end(&mut bytes);
        String::from_utf8_lossy(&bytes).into_owned()
    })
}
