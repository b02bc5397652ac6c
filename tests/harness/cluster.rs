//! PostgreSQL servers.

use std::fmt::Write as _;
use std::fs;
use std::io::Write as _;
use std::path::PathBuf;
use std::process::{Command, Stdio};
use std::sync::atomic::{AtomicU32, Ordering};
use std::sync::mpsc::{Sender, channel};
use std::sync::{Mutex, OnceLock};
use std::thread;
use std::time::Duration;

use std::os::unix::fs::PermissionsExt;

use nix::sys::signal::Signal;

use crate::cache::{once, run};
use crate::certificates::certificates;
use crate::major::Major;
use crate::port::free_port;
use crate::process::{
    Process, Starting, become_unprivileged, unprivileged, without_libpq_variables,
};
use crate::room::{Room, give_to};
use crate::target::Target;
use crate::wait::eventually;

/// Roles that every server has; `postgres` besides, who may come through the Unix socket alone.
///
/// Passwords are `NAME-secret`.
const ROLES: &[&str] = &[
    "CREATE ROLE app LOGIN PASSWORD 'app-secret'",
    "CREATE ROLE other LOGIN PASSWORD 'other-secret'",
    "CREATE ROLE trusting LOGIN",
    "CREATE ROLE plain LOGIN PASSWORD 'plain-secret'",
    "CREATE ROLE walker LOGIN REPLICATION PASSWORD 'walker-secret'",
    "GRANT pg_read_all_data TO walker",
    "CREATE ROLE monitor LOGIN PASSWORD 'monitor-secret'",
    "GRANT pg_monitor TO monitor",
    "SET password_encryption = md5",
    "CREATE ROLE old LOGIN PASSWORD 'old-secret'",
];

/// First match counts. `trusting`, `plain` and `old` are asked in their own way.
const HBA: &str = "\
local   all,replication  postgres                trust
local   all              trusting                trust
local   all,replication  all                     scram-sha-256
host    all              trusting  127.0.0.1/32  trust
host    all              plain     127.0.0.1/32  password
host    all              old       127.0.0.1/32  md5
host    all,replication  all       127.0.0.1/32  scram-sha-256
";

/// Safe against a crash of PostgreSQL, which tests make happen; not of the machine.
const SETTINGS: &[&str] = &[
    "fsync=off",
    "synchronous_commit=off",
    "autovacuum=off",
    "shared_buffers=32MB",
    // A container's /dev/shm may be small.
    "dynamic_shared_memory_type=mmap",
    "max_connections=200",
    "wal_level=logical",
    "max_wal_senders=20",
    "max_prepared_transactions=4",
    // The others are hosts of their own to who resolves names.
    "listen_addresses=127.0.0.1,127.0.0.2,127.0.0.3",
    "log_line_prefix=%m [%p] %u@%d ",
];

/// What is special about a server.
#[derive(Debug, Clone, Default)]
pub struct Options {
    /// More settings, as `name=value`.
    pub settings: Vec<String>,
    /// Whether it offers TLS, with the certificates of [`certificates`].
    pub tls: bool,
    /// Lines for the top of `pg_hba.conf`.
    pub hba: String,
}

/// A running PostgreSQL server with data of its own, which is stopped when this is dropped.
#[derive(Debug)]
pub struct Cluster {
    major: Major,
    room: Room,
    port: u16,
    settings: Vec<String>,
    process: Mutex<Option<Process>>,
}

impl Cluster {
    /// The server of a major version that many tests use at once, each with a database of its
    /// own. It must not be stopped.
    pub fn shared(major: Major) -> &'static Self {
        static SHARED: [OnceLock<Cluster>; 2] = [const { OnceLock::new() }; 2];
        SHARED[major as usize].get_or_init(|| Self::start(major, &Options::default()))
    }

    /// Starts one with the given options.
    ///
    /// # Panics
    /// If it does not come up.
    pub fn start(major: Major, options: &Options) -> Self {
        let room = Room::new("pg");
        run(Command::new("cp")
            .arg("-a")
            .arg(template(major))
            .arg(room.join("data")));
        let mut cluster = Self {
            major,
            room,
            port: 0,
            settings: options.settings.clone(),
            process: Mutex::new(None),
        };
        if options.tls {
            cluster.offer_tls();
        }
        fs::write(
            cluster.data().join("pg_hba.conf"),
            format!("{}{HBA}", options.hba),
        )
        .expect("ours");
        own(&cluster.room);
        cluster.bring_up();
        cluster
    }

    /// Starts a standby that streams from this server.
    ///
    /// # Panics
    /// If it does not come up.
    pub fn standby(&self) -> Self {
        let room = Room::new("pg");
        own(&room);
        let data = room.join("data");
        let label = room.join("label");
        let (begin, end) = match self.major.number() {
            ..15 => (
                "pg_start_backup('standby', true, false)",
                "pg_stop_backup(false, false)",
            ),
            15.. => ("pg_backup_start('standby', true)", "pg_backup_stop(false)"),
        };
        // Both calls must come from one session, and what is copied while it lasts is made
        // whole by the WAL.
        let (from, to) = (self.data().display().to_string(), data.display());
        let script = format!(
            "SELECT {begin};\n\\! cp -a {from} {to} 2>/dev/null || true\n\\o {}\nSELECT labelfile FROM {end};\n",
            label.display()
        );
        self.psql_as_admin("postgres", &script);
        fs::copy(&label, data.join("backup_label")).expect("psql wrote it");
        for name in ["postmaster.pid", "postmaster.opts"] {
            fs::remove_file(data.join(name)).expect("a running server has it");
        }
        fs::write(data.join("standby.signal"), "").expect("ours");
        // In the file that ALTER SYSTEM writes, so that `follow` can change it.
        let primary = format!("primary_conninfo = '{}'\n", self.conninfo());
        fs::write(data.join("postgresql.auto.conf"), primary).expect("ours");
        let settings = self.settings.clone();
        let mut standby = Self {
            major: self.major,
            room,
            port: 0,
            settings,
            process: Mutex::new(None),
        };
        own(&standby.room);
        standby.bring_up();
        standby
    }

    /// Makes a primary of a standby.
    ///
    /// # Panics
    /// If it cannot become one.
    pub fn promote(&self) {
        assert_eq!(self.admin("postgres", "SELECT pg_promote()"), "t");
    }

    /// libpq's keywords and values for streaming from this server.
    fn conninfo(&self) -> String {
        format!(
            "host={} port={} user=postgres",
            self.socket().display(),
            self.port
        )
    }

    /// Makes a standby stream from somewhere else; libpq's keywords and values say from where.
    ///
    /// # Panics
    /// If it does not accept them.
    pub fn follow(&self, conninfo: &str) {
        let quoted = conninfo.replace('\'', "''");
        self.admin(
            "postgres",
            &format!("ALTER SYSTEM SET primary_conninfo = '{quoted}'"),
        );
        self.admin("postgres", "SELECT pg_reload_conf()");
    }

    fn offer_tls(&mut self) {
        let made = certificates();
        for (from, to) in [
            (made.server(), "server.crt"),
            (made.server_key(), "server.key"),
        ] {
            let to = self.data().join(to);
            fs::copy(from, &to).expect("ours");
            fs::set_permissions(&to, fs::Permissions::from_mode(0o600)).expect("ours");
        }
        fs::copy(made.authority(), self.data().join("root.crt")).expect("ours");
        self.settings
            .extend(["ssl=on".to_owned(), "ssl_ca_file=root.crt".to_owned()]);
    }

    /// Starts on a free port; on another if somebody took that one meanwhile.
    fn bring_up(&mut self) {
        for _ in 0..5 {
            self.port = free_port();
            if self.try_to_start() {
                return;
            }
            let log = fs::read_to_string(self.log_file()).unwrap_or_default();
            assert!(
                log.contains("Address already in use"),
                "PostgreSQL does not start:\n{log}"
            );
        }
        panic!("five free ports were all taken");
    }

    fn try_to_start(&self) -> bool {
        let mut starting = Starting::unprivileged(
            self.major.programs().join("postgres"),
            "QUIT",
            &self.log_file(),
        )
        .arg("-D")
        .arg(self.data())
        .args(["-p", &self.port.to_string(), "-k"])
        .arg(self.socket());
        for setting in SETTINGS
            .iter()
            .copied()
            .chain(self.settings.iter().map(String::as_str))
        {
            starting = starting.args(["-c", setting]);
        }
        let mut process = starting.start();
        let started = eventually("PostgreSQL is up", || {
            if process.ended().is_some() {
                return Some(false);
            }
            self.is_ready(&process).then_some(true)
        });
        *self.process.lock().expect("no panic while it is held") = Some(process);
        started
    }

    /// The server writes into `postmaster.pid` who it is and, in the eighth line, how far it is.
    fn is_ready(&self, process: &Process) -> bool {
        let text = fs::read_to_string(self.data().join("postmaster.pid")).unwrap_or_default();
        let mut lines = text.lines();
        lines.next() == Some(process.id().to_string().as_str())
            && lines
                .nth(6)
                .is_some_and(|status| matches!(status.trim(), "ready" | "standby"))
    }

    /// Starts it again, on the same port, after [`stop`](Self::stop) or
    /// [`kill_all`](Self::kill_all).
    ///
    /// # Panics
    /// If it does not come up.
    pub fn start_again(&self) {
        assert!(
            self.try_to_start(),
            "PostgreSQL does not start again:\n{}",
            self.log()
        );
    }

    /// Stops it in order, disconnecting everybody ("fast").
    pub fn stop(&self) {
        self.signal_and_wait(Signal::SIGINT);
    }

    /// Stops it as a crash would: nobody gets a word, and recovery follows ("immediate").
    pub fn crash(&self) {
        self.signal_and_wait(Signal::SIGQUIT);
    }

    /// Kills the whole server with SIGKILL.
    pub fn kill_all(&self) {
        self.signal_and_wait(Signal::SIGKILL);
        // The children notice the death of their parent and end; until then nobody else gets the shared memory.
        eventually("its children are gone", || {
            (!self.has_processes()).then_some(())
        });
    }

    /// Whether a process works in the data directory, as all of a server's do.
    fn has_processes(&self) -> bool {
        let data = self.data();
        let processes = fs::read_dir("/proc").expect("this is Linux").flatten();
        let mut places =
            processes.filter_map(|process| fs::read_link(process.path().join("cwd")).ok());
        places.any(|place| place == data)
    }

    fn signal_and_wait(&self, signal: Signal) {
        let process = self
            .process
            .lock()
            .expect("no panic while it is held")
            .take();
        let mut process = process.expect("it runs");
        process.signal(signal);
        process.wait(Duration::from_secs(30));
    }

    /// Stops all processes of the server where they are, without ending them: it accepts
    /// connections (the kernel does) and answers nothing.
    pub fn freeze(&self) {
        self.signal(Signal::SIGSTOP);
    }

    /// Undoes [`freeze`](Self::freeze).
    pub fn thaw(&self) {
        self.signal(Signal::SIGCONT);
    }

    /// Sends a signal to the postmaster.
    pub fn signal(&self, signal: Signal) {
        self.process
            .lock()
            .expect("no panic while it is held")
            .as_ref()
            .expect("it runs")
            .signal(signal);
    }

    /// Its major version.
    pub fn major(&self) -> Major {
        self.major
    }

    /// Its port, the same on 127.0.0.1 and in [`socket`](Self::socket).
    pub fn port(&self) -> u16 {
        self.port
    }

    /// The directory of its Unix socket.
    pub fn socket(&self) -> PathBuf {
        self.room.path().to_owned()
    }

    fn data(&self) -> PathBuf {
        self.room.join("data")
    }

    fn log_file(&self) -> PathBuf {
        self.room.join("log")
    }

    /// What it has logged.
    pub fn log(&self) -> String {
        String::from_utf8_lossy(&fs::read(self.log_file()).unwrap_or_default()).into_owned()
    }

    /// Runs SQL as superuser in a database, past any pooler. The answer is psql's, unaligned:
    /// a line for each row, `|` between columns.
    ///
    /// # Panics
    /// If it fails.
    #[track_caller]
    pub fn admin(&self, database: &str, sql: &str) -> String {
        self.psql_as_admin(database, sql)
            .trim_end_matches('\n')
            .to_owned()
    }

    #[track_caller]
    fn psql_as_admin(&self, database: &str, script: &str) -> String {
        // Standby making copies files of the server's, so it runs as who owns them.
        let mut command = Command::new("setpriv");
        command
            .args(become_unprivileged())
            .arg("--")
            .arg(Major::System.programs().join("psql"))
            .args([
                "-XAtq",
                "-v",
                "ON_ERROR_STOP=1",
                "-U",
                "postgres",
                "-d",
                database,
            ])
            .args(["-p", &self.port.to_string(), "-h"])
            .arg(self.socket())
            .current_dir(self.room.path())
            .stdin(Stdio::piped())
            .stdout(Stdio::piped())
            .stderr(Stdio::piped());
        let mut child = without_libpq_variables(&mut command)
            .spawn()
            .expect("psql is installed");
        child
            .stdin
            .take()
            .expect("piped")
            .write_all(script.as_bytes())
            .expect("psql reads it");
        let output = child.wait_with_output().expect("it is our child");
        let stderr = String::from_utf8_lossy(&output.stderr);
        assert!(output.status.success(), "{script}\n{stderr}");
        String::from_utf8_lossy(&output.stdout).into_owned()
    }

    /// Makes an empty database that belongs to `app`; gives its name.
    pub fn database(&self) -> String {
        static NUMBER: AtomicU32 = AtomicU32::new(0);
        let name = format!("db{}", NUMBER.fetch_add(1, Ordering::Relaxed));
        self.admin("postgres", &format!("CREATE DATABASE {name} OWNER app"));
        name
    }

    /// Removes a database, some time later, so that disks need not be large. Nobody waits for it.
    pub(crate) fn remove_database(&'static self, name: &str) {
        static REMOVER: OnceLock<Mutex<Sender<(&Cluster, String)>>> = OnceLock::new();
        let remover = REMOVER.get_or_init(|| {
            let (orders, inbox) = channel::<(&Cluster, String)>();
            thread::spawn(move || {
                for (cluster, name) in inbox {
                    let mut psql = cluster
                        .target("postgres")
                        .user("postgres")
                        .host(cluster.socket())
                        .program("psql");
                    // A database that stays does no harm.
                    let _ = psql
                        .args(["-Xqc", &format!("DROP DATABASE {name} WITH (FORCE)")])
                        .output();
                }
            });
            Mutex::new(orders)
        });
        let order = (self, name.to_owned());
        remover
            .lock()
            .expect("no panic while it is held")
            .send(order)
            .expect("the thread stays");
    }

    /// How to reach a database of it, as `app`.
    pub fn target(&self, database: &str) -> Target {
        Target::new(self.port, database, "app")
    }

    /// What is stored as a role's password.
    pub fn verifier(&self, role: &str) -> String {
        self.admin(
            "postgres",
            &format!("SELECT rolpassword FROM pg_authid WHERE rolname = '{role}'"),
        )
    }
}

impl Drop for Cluster {
    fn drop(&mut self) {
        let process = self
            .process
            .get_mut()
            .unwrap_or_else(std::sync::PoisonError::into_inner);
        if let Some(mut process) = process.take() {
            if std::thread::panicking() {
                eprintln!(
                    "--- log of PostgreSQL on port {}\n{}",
                    self.port,
                    last_lines(&process.log(), 40)
                );
            }
            // Its children go with it only if it can tell them.
            process.signal(Signal::SIGCONT);
            process.signal(Signal::SIGQUIT);
            for _ in 0..400 {
                if process.ended().is_some() {
                    return;
                }
                std::thread::sleep(Duration::from_millis(5));
            }
        }
    }
}

/// Gives a room to the user that PostgreSQL runs under.
fn own(room: &Room) {
    if let Some(user) = unprivileged() {
        give_to(room.path(), user.uid.as_raw(), user.gid.as_raw());
    }
}

/// The end of a long text.
pub(crate) fn last_lines(text: &str, count: usize) -> String {
    let lines: Vec<&str> = text.lines().collect();
    let mut out = String::new();
    for line in &lines[lines.len().saturating_sub(count)..] {
        let _ = writeln!(out, "{line}");
    }
    out
}

/// A data directory to copy, made once for each version and set of roles.
fn template(major: Major) -> PathBuf {
    let programs = major.programs();
    let version = run(Command::new(programs.join("postgres")).arg("--version"));
    let version: String = version
        .chars()
        .filter(|c| c.is_ascii_alphanumeric() || *c == '.')
        .collect();
    once(&format!("data-{version}-{:x}", fingerprint()), |path| {
        let room = Room::new("template");
        let data = room.join("data");
        own(&room);
        let as_server = |program: &str| {
            let mut command = Command::new("setpriv");
            without_libpq_variables(&mut command);
            command
                .args(become_unprivileged())
                .arg("--")
                .arg(programs.join(program))
                .current_dir(room.path());
            command
        };
        run(as_server("initdb")
            .args([
                "--no-sync",
                "--username=postgres",
                "--auth=trust",
                "--encoding=UTF8",
            ])
            .args(["--no-locale", "--wal-segsize=1", "-D"])
            .arg(&data));
        create_roles(
            as_server("postgres")
                .arg("--single")
                .arg("-D")
                .arg(&data)
                .arg("postgres"),
        );
        // As root, this keeps the owner.
        run(Command::new("cp").arg("-a").arg(&data).arg(path));
    })
}

fn create_roles(single: &mut Command) {
    let mut child = single
        .stdin(Stdio::piped())
        .stdout(Stdio::piped())
        .stderr(Stdio::piped())
        .spawn()
        .expect("postgres was just found");
    let script = ROLES.join("\n") + "\n";
    child
        .stdin
        .take()
        .expect("piped")
        .write_all(script.as_bytes())
        .expect("postgres reads it");
    let output = child.wait_with_output().expect("it is our child");
    let said = String::from_utf8_lossy(&output.stderr);
    assert!(output.status.success() && !said.contains("ERROR"), "{said}");
}

/// Of what goes into the template: FNV-1a, to tell versions of it apart.
fn fingerprint() -> u64 {
    ROLES
        .iter()
        .flat_map(|role| role.bytes())
        .fold(0xcbf2_9ce4_8422_2325, |hash, byte| {
            (hash ^ u64::from(byte)).wrapping_mul(0x100_0000_01b3)
        })
}
