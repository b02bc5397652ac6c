//! Running poolers.

use std::fs;
use std::io::{Read, Write};
use std::net::{Ipv4Addr, TcpStream};
use std::path::{Path, PathBuf};
use std::process::ExitStatus;
use std::sync::OnceLock;
use std::time::Duration;

use nix::sys::signal::Signal;
use pgweir_wire::encode;

use crate::cache::target_directory;
use crate::cluster::last_lines;
use crate::config::Config;
use crate::port::free_port;
use crate::process::{Process, Starting, unprivileged};
use crate::room::{Room, give_to};
use crate::target::Target;
use crate::wait::eventually;

/// A pgweir of a test, which is killed when this is dropped. When the test fails, the end of its
/// log is shown.
#[derive(Debug)]
pub struct Pooler {
    room: Room,
    port: u16,
    process: Process,
}

impl Pooler {
    /// Starts one with a configuration, on a free port, and waits until it accepts.
    ///
    /// # Panics
    /// If it does not come up.
    #[track_caller]
    pub fn start(config: &Config) -> Self {
        Self::start_with_file("pgweir.toml", |_, port| config.text(port))
    }

    /// The same on a system that trusts these authorities.
    ///
    /// # Panics
    /// If it does not come up.
    #[track_caller]
    pub fn start_trusting(config: &Config, authorities: &Path) -> Self {
        let (room, port) = (Room::new("pooler"), free_port());
        let file = room.join("pgweir.toml");
        fs::write(&file, config.text(port)).expect("ours");
        let starting = Self::starting(&room, "pgweir.toml").arg(file);
        Self::start_as(starting.env("SSL_CERT_FILE", authorities), room, port)
    }

    /// Starts one with a file of this name in its room, whose text is made for the room and a free
    /// port of 127.0.0.1.
    ///
    /// # Panics
    /// If it does not come up.
    #[track_caller]
    pub fn start_with_file(name: &str, text: impl FnOnce(&Room, u16) -> String) -> Self {
        let room = Room::new("pooler");
        let port = free_port();
        fs::write(room.join(name), text(&room, port)).expect("ours");
        let starting = Self::starting(&room, name).arg(room.join(name));
        Self::start_as(starting, room, port)
    }

    /// The program about to run a file: as whoever the tests are, but with PgBouncer's never as root.
    pub fn starting(room: &Room, name: &str) -> Starting {
        let log = room.join("log");
        if name.ends_with(".ini") {
            if let Some(user) = unprivileged() {
                give_to(room.path(), user.uid.as_raw(), user.gid.as_raw());
            }
            Starting::unprivileged(Self::program(), "KILL", &log)
        } else {
            Starting::new(Self::program(), "KILL", &log)
        }
    }

    /// Starts one with nothing but the URL of a database, on a free port.
    ///
    /// # Panics
    /// If it does not come up.
    #[track_caller]
    pub fn start_with_url(url: &str) -> Self {
        let (room, port) = (Room::new("pooler"), free_port());
        let starting = Starting::new(Self::program(), "KILL", &room.join("log"))
            .args(["--set", &format!("listen_port={port}")])
            .args(["--set", "unix_socket_dir="])
            .arg(url);
        Self::start_as(starting, room, port)
    }

    /// Starts what is to listen on a port of 127.0.0.1.
    ///
    /// # Panics
    /// If it does not come up.
    #[track_caller]
    pub fn start_as(starting: Starting, room: Room, port: u16) -> Self {
        let process = starting.start();
        let mut pooler = Self {
            room,
            port,
            process,
        };
        eventually("pgweir accepts connections", || {
            if let Some(status) = pooler.process.ended() {
                panic!("pgweir ended with {status}\n{}", pooler.log());
            }
            is_served(port).then_some(())
        });
        pooler
    }

    /// The binary: `PGWEIR_BIN`, or the newest that cargo built.
    ///
    /// # Panics
    /// If there is none.
    pub fn program() -> &'static PathBuf {
        static PROGRAM: OnceLock<PathBuf> = OnceLock::new();
        PROGRAM.get_or_init(|| {
            if let Some(path) = std::env::var_os("PGWEIR_BIN") {
                return fs::canonicalize(path).expect("PGWEIR_BIN names a program");
            }
            let target = target_directory();
            ["debug", "release"]
                .map(|profile| target.join(profile).join("pgweir"))
                .into_iter()
                .filter_map(|path| Some((fs::metadata(&path).ok()?.modified().ok()?, path)))
                .max()
                .expect("`cargo build -p pgweir-proxy` came first")
                .1
        })
    }

    /// How clients reach it, as `app`.
    pub fn target(&self, database: &str) -> Target {
        Target::new(self.port, database, "app")
    }

    /// How its administrator reaches its console.
    pub fn console(&self) -> Target {
        Target::new(self.port, "pgweir", "ops")
    }

    /// Asks the console; the rows are unaligned.
    ///
    /// # Panics
    /// If it answers with an error.
    #[track_caller]
    pub fn ask(&self, command: &str) -> String {
        self.console().sql(command)
    }

    /// Asks the console for a table; each row as pairs of column and value.
    ///
    /// # Panics
    /// If it answers with an error.
    #[track_caller]
    pub fn rows(&self, command: &str) -> Vec<Row> {
        let mut program = self.console().program("psql");
        program.args(["-XAq", "-P", "footer=off", "-c", command]);
        let outcome = crate::target::Outcome::of(&mut program, "");
        outcome.check(command);
        let mut lines = outcome.stdout.lines();
        let names: Vec<&str> = lines.next().unwrap_or_default().split('|').collect();
        lines
            .map(|line| {
                let values = line.split('|').map(str::to_owned);
                Row(names
                    .iter()
                    .map(|name| (*name).to_owned())
                    .zip(values)
                    .collect())
            })
            .collect()
    }

    /// The row of SHOW POOLS for a database and `app`.
    ///
    /// # Panics
    /// If there is none.
    #[track_caller]
    pub fn pool(&self, database: &str) -> Row {
        self.rows("SHOW POOLS")
            .into_iter()
            .find(|row| row.text("database") == database && row.text("user") == "app")
            .expect("the pool was used")
    }

    /// Writes another configuration into its file; it takes effect by a reload.
    pub fn write(&self, config: &Config) {
        fs::write(self.room.join("pgweir.toml"), config.text(self.port)).expect("ours");
    }

    /// Writes any text into its configuration file.
    pub fn write_text(&self, text: &str) {
        fs::write(self.room.join("pgweir.toml"), text).expect("ours");
    }

    /// Sends it a signal.
    pub fn signal(&self, signal: Signal) {
        self.process.signal(signal);
    }

    /// Waits for its end.
    ///
    /// # Panics
    /// If that takes longer.
    #[track_caller]
    pub fn wait(&mut self, longest: Duration) -> ExitStatus {
        self.process.wait(longest)
    }

    /// Whether it has ended.
    pub fn ended(&mut self) -> bool {
        self.process.ended().is_some()
    }

    /// Its port.
    pub fn port(&self) -> u16 {
        self.port
    }

    /// Its process.
    pub fn process(&self) -> &Process {
        &self.process
    }

    /// A directory beside its configuration, for files of the test.
    pub fn room(&self) -> &Room {
        &self.room
    }

    /// What it has logged.
    pub fn log(&self) -> String {
        self.process.log()
    }

    /// Waits until it has logged something.
    ///
    /// # Panics
    /// If it does not.
    #[track_caller]
    pub fn logs(&self, text: &str) {
        eventually(&format!("pgweir logs {text:?}"), || {
            self.log().contains(text).then_some(())
        });
    }
}

/// Whether somebody answers on a port, not only its kernel: with one byte, to the question for TLS.
fn is_served(port: u16) -> bool {
    let asked = || -> std::io::Result<()> {
        let mut socket = TcpStream::connect((Ipv4Addr::LOCALHOST, port))?;
        socket.set_read_timeout(Some(Duration::from_secs(5)))?;
        let mut request = Vec::new();
        encode::ssl_request(&mut request);
        socket.write_all(&request)?;
        socket.read_exact(&mut [0])
    };
    asked().is_ok()
}

impl Drop for Pooler {
    fn drop(&mut self) {
        if std::thread::panicking() {
            eprintln!(
                "--- log of pgweir on port {}\n{}",
                self.port,
                last_lines(&self.log(), 80)
            );
        }
    }
}

/// A row of an answer of the console.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Row(Vec<(String, String)>);

impl Row {
    /// A column's text.
    ///
    /// # Panics
    /// If there is no such column.
    #[track_caller]
    pub fn text(&self, column: &str) -> &str {
        let found = self.0.iter().find(|(name, _)| name == column);
        &found
            .unwrap_or_else(|| panic!("no column {column} in {self:?}"))
            .1
    }

    /// A column's number.
    ///
    /// # Panics
    /// If there is no such column, or it has no number.
    #[track_caller]
    pub fn number(&self, column: &str) -> i64 {
        self.text(column)
            .parse()
            .unwrap_or_else(|_| panic!("{column} is no number in {self:?}"))
    }

    /// Names of the columns.
    pub fn columns(&self) -> Vec<&str> {
        self.0.iter().map(|(name, _)| name.as_str()).collect()
    }
}
