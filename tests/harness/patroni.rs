//! Three PostgreSQL servers that Patroni looks after, with etcd to agree in.

use std::fs;
use std::io::{Read, Write};
use std::net::TcpStream;
use std::os::unix::fs::PermissionsExt;
use std::path::{Path, PathBuf};
use std::process::Command;
use std::time::Duration;

use nix::sys::signal::{Signal, kill};
use nix::unistd::Pid;

use crate::major::Major;
use crate::network::{Network, Spot};
use crate::port::free_port;
use crate::process::{Process, Starting, unprivileged, without_libpq_variables};
use crate::room::{Room, give_to};
use crate::script::python_packages;
use crate::target::Target;
use crate::wait::eventually;

/// What Patroni calls before it stops a server and when it is up.
const HOOK: &str = concat!(env!("CARGO_MANIFEST_DIR"), "/../config/patroni/pgweir-hook");

/// A Patroni that knows `before_stop`, which Debian 12's (3.0) does not.
const NEWEST: &[&str] = &["patroni[etcd3,psycopg3]==4.1.5", "psycopg[binary]==3.3.9"];

const LOCALHOST: &str = "127.0.0.1";

/// Whoever cannot be reached within is out of reach.
const REACHED_IN: Duration = Duration::from_secs(1);

/// How long a server may take to end.
const ENDS_IN: Duration = Duration::from_secs(30);

/// See the module. The newest commits are on two servers before they are answered.
#[derive(Debug)]
pub struct Patroni {
    members: Vec<Member>,
    /// Dropped last: members that go down tell it.
    _etcd: Process,
    room: Room,
}

/// One server, with the Patroni that looks after it.
#[derive(Debug)]
pub struct Member {
    name: String,
    room: Room,
    /// Where it listens.
    address: String,
    /// The namespace of the network that it is in, if it is not ours.
    network: Option<String>,
    /// What the hook reads.
    poolers: PathBuf,
    /// Where its Patroni is, unless it is the system's.
    packages: Option<PathBuf>,
    port: u16,
    api: u16,
    process: Option<Process>,
}

impl Patroni {
    /// Starts all of it: one leader, two that follow.
    ///
    /// # Panics
    /// If it does not come up.
    pub fn start() -> Self {
        Self::on(None, None)
    }

    /// The same with the newest Patroni, which calls the hook before it stops a server.
    ///
    /// # Panics
    /// If it does not come up.
    pub fn start_newest() -> Self {
        Self::on(None, Some(python_packages(NEWEST)))
    }

    /// The same, each server on a machine of its own.
    ///
    /// # Panics
    /// If it does not come up.
    pub fn start_on(network: &Network) -> Self {
        Self::on(Some(network), None)
    }

    fn on(network: Option<&Network>, packages: Option<PathBuf>) -> Self {
        let room = owned("etcd");
        fs::write(room.join("poolers"), "").expect("ours");
        let (client, peer) = (free_port(), free_port());
        let middle = network.map_or_else(|| LOCALHOST.to_owned(), Network::middle);
        let url = |port: u16| format!("http://{middle}:{port}");
        let etcd = Starting::unprivileged("etcd", "TERM", &room.join("log"))
            .arg("--data-dir")
            .arg(room.join("data"))
            .args(["--listen-client-urls", &url(client)])
            .args(["--advertise-client-urls", &url(client)])
            .args(["--listen-peer-urls", &url(peer)])
            .args(["--initial-advertise-peer-urls", &url(peer)])
            .args(["--initial-cluster", &format!("default={}", url(peer))])
            .start();
        let member = |place| {
            let spot = network.map(|network| network.spot(place));
            let poolers = room.join("poolers");
            let mut member = Member::new(place + 1, &format!("{middle}:{client}"), &poolers, spot);
            member.packages.clone_from(&packages);
            member
        };
        let members = (0..3).map(member).collect();
        let mut patroni = Self {
            members,
            _etcd: etcd,
            room,
        };
        for member in &mut patroni.members {
            member.start();
        }
        eventually_long("a leader and two that follow", || {
            patroni
                .roles()
                .filter(|(leader, streaming)| leader.is_some() && *streaming == 2)
        });
        let leader = patroni.leader();
        for sql in [
            "CREATE ROLE app LOGIN PASSWORD 'app-secret'",
            "CREATE ROLE monitor LOGIN PASSWORD 'monitor-secret'; GRANT pg_monitor TO monitor",
            "CREATE DATABASE work OWNER app",
        ] {
            leader.admin(sql);
        }
        patroni.settled();
        patroni
    }

    /// From now on the hook tells this pgweir what is done with the servers.
    pub fn tell(&self, console: &Target) {
        let place = format!("{}:{}\n", console.host, console.port);
        fs::write(self.room.join("poolers"), place).expect("ours");
    }

    /// The servers.
    pub fn members(&self) -> &[Member] {
        &self.members
    }

    /// The same, to be killed and started.
    pub fn members_mut(&mut self) -> &mut [Member] {
        &mut self.members
    }

    /// Who leads, and how many stream from it; none if nobody can tell.
    fn roles(&self) -> Option<(Option<usize>, usize)> {
        let mut streaming = 0;
        let mut leader = None;
        for (place, member) in self.members.iter().enumerate() {
            let health = member.try_ask("GET", "/patroni", "")?;
            if health.contains("\"role\": \"master\"") || health.contains("\"role\": \"primary\"") {
                leader = Some(place);
                streaming += health.matches("\"state\": \"streaming\"").count();
            }
        }
        Some((leader, streaming))
    }

    /// The place of the leader.
    ///
    /// # Panics
    /// If there is none for long.
    pub fn leader_place(&self) -> usize {
        eventually_long("there is a leader", || {
            let leads = |member: &&Member| {
                let answer = member.try_ask("GET", "/primary", "");
                answer.is_some_and(|answer| answer.starts_with("HTTP/1.0 200"))
            };
            let leading: Vec<_> = self.members.iter().filter(leads).collect();
            let [leader] = leading[..] else { return None };
            self.members
                .iter()
                .position(|member| member.name == leader.name)
        })
    }

    /// The leader.
    ///
    /// # Panics
    /// If there is none for long.
    pub fn leader(&self) -> &Member {
        &self.members[self.leader_place()]
    }

    /// Waits until all three do their part.
    ///
    /// # Panics
    /// If that takes too long.
    pub fn settled(&self) {
        eventually_long("a leader and two that follow", || {
            self.roles()
                .filter(|(leader, streaming)| leader.is_some() && *streaming == 2)
        });
        eventually_long("one of them is in step", || {
            let cluster = self.members[0].ask("GET", "/cluster", "");
            cluster.contains("sync_standby").then_some(())
        });
    }
}

impl Member {
    fn new(number: usize, etcd: &str, poolers: &Path, spot: Option<Spot>) -> Self {
        let room = owned("patroni");
        let (address, network) = match spot {
            Some(spot) => (spot.address, Some(spot.namespace)),
            None => (LOCALHOST.to_owned(), None),
        };
        let member = Self {
            name: format!("member{number}"),
            address,
            network,
            poolers: poolers.to_owned(),
            packages: None,
            port: free_port(),
            api: free_port(),
            room,
            process: None,
        };
        let Self {
            name,
            address,
            port,
            api,
            ..
        } = &member;
        let data = member.room.join("data").display().to_string();
        let pgpass = member.room.join("pgpass").display().to_string();
        let socket = member.room.path().display().to_string();
        let programs = Major::System.programs().display().to_string();
        let hook = member.hook().display().to_string();
        let text = format!(
            "\
scope: weir
name: {name}
restapi: {{listen: '{address}:{api}', connect_address: '{address}:{api}'}}
etcd3: {{host: '{etcd}'}}
bootstrap:
  dcs:
    ttl: 20
    loop_wait: 1
    retry_timeout: 3
    synchronous_mode: true
    postgresql:
      use_pg_rewind: true
      use_slots: true
      parameters: {{max_connections: 100, wal_log_hints: 'on', wal_keep_size: '256MB'}}
  initdb: [{{encoding: UTF8}}, {{locale: C}}]
postgresql:
  listen: '{address}:{port}'
  connect_address: '{address}:{port}'
  data_dir: {data}
  bin_dir: {programs}
  pgpass: {pgpass}
  before_stop: {hook} before_stop
  callbacks:
    on_start: {hook}
    on_restart: {hook}
    on_role_change: {hook}
  pg_hba:
    - local all all trust
    - host replication replicator samenet scram-sha-256
    - host all postgres samenet scram-sha-256
    - host all all samenet scram-sha-256
  authentication:
    superuser: {{username: postgres, password: postgres-secret}}
    replication: {{username: replicator, password: replicator-secret}}
  parameters:
    unix_socket_directories: {socket}
    fsync: 'off'
    shared_buffers: 32MB
    dynamic_shared_memory_type: mmap
    password_encryption: scram-sha-256
"
        );
        fs::write(member.room.join("patroni.yml"), text).expect("ours");
        member
    }

    /// The hook, with the password that it needs.
    fn hook(&self) -> PathBuf {
        let passfile = self.room.join("passfile");
        fs::write(&passfile, "*:*:*:ops:ops-secret\n").expect("ours");
        // libpq wants to be the only one who can read it.
        fs::set_permissions(&passfile, fs::Permissions::from_mode(0o600)).expect("ours");
        if let Some(user) = unprivileged() {
            give_to(&passfile, user.uid.as_raw(), user.gid.as_raw());
        }
        // A copy: the user that servers run as may not come as far as ours.
        let hook = self.room.join("hook");
        fs::copy(HOOK, &hook).expect("ours");
        hook
    }

    /// Starts it, for the first time or again.
    pub fn start(&mut self) {
        let log = self.room.join("log");
        let starting = match &self.packages {
            None => Starting::unprivileged("patroni", "TERM", &log),
            Some(packages) => Starting::unprivileged("python3", "TERM", &log)
                .env("PYTHONPATH", packages)
                .args(["-m", "patroni"]),
        };
        let mut starting = starting
            .arg(self.room.join("patroni.yml"))
            .env("PGWEIR_POOLERS", &self.poolers)
            .env("PGWEIR_SERVER", format!("{}:{}", self.address, self.port))
            .env("PGWEIR_USER", "ops")
            .env("PGWEIR_PASSFILE", self.room.join("passfile"));
        if let Some(network) = &self.network {
            starting = starting.within(network);
        }
        self.process = Some(starting.start());
    }

    /// Its name in Patroni.
    pub fn name(&self) -> &str {
        &self.name
    }

    /// Where both listen.
    pub fn address(&self) -> &str {
        &self.address
    }

    /// Where PostgreSQL listens.
    pub fn port(&self) -> u16 {
        self.port
    }

    /// Where Patroni does.
    pub fn api(&self) -> u16 {
        self.api
    }

    /// What its Patroni has logged, and its PostgreSQL.
    pub fn log(&self) -> String {
        fs::read_to_string(self.room.join("log")).unwrap_or_default()
    }

    /// Runs SQL as superuser.
    ///
    /// # Panics
    /// If it fails.
    pub fn admin(&self, sql: &str) -> String {
        let output = self
            .psql("postgres", sql)
            .output()
            .expect("psql is installed");
        let stderr = String::from_utf8_lossy(&output.stderr);
        assert!(output.status.success(), "{sql}\n{stderr}");
        String::from_utf8_lossy(&output.stdout)
            .trim_end()
            .to_owned()
    }

    /// What runs SQL as superuser, over the Unix socket.
    pub fn psql(&self, database: &str, sql: &str) -> Command {
        let target = Target::new(self.port, database, "postgres");
        let mut command = target.host(self.room.path()).program("psql");
        without_libpq_variables(&mut command)
            .args(["-XAtqc", sql, "-U", "postgres", "-d", database])
            .args(["-p", &self.port.to_string(), "-h"])
            .arg(self.room.path());
        command
    }

    /// Asks its Patroni: the whole answer, head and all.
    ///
    /// # Panics
    /// If there is none.
    pub fn ask(&self, method: &str, path: &str, body: &str) -> String {
        self.try_ask(method, path, body)
            .unwrap_or_else(|| panic!("{} does not answer {method} {path}", self.name))
    }

    /// A connection to its Patroni, unless it is out of reach.
    fn stream(&self) -> Option<TcpStream> {
        let address = format!("{}:{}", self.address, self.api);
        TcpStream::connect_timeout(&address.parse().ok()?, REACHED_IN).ok()
    }

    fn try_ask(&self, method: &str, path: &str, body: &str) -> Option<String> {
        let mut stream = self.stream()?;
        stream
            .set_read_timeout(Some(Duration::from_secs(60)))
            .ok()?;
        let request = format!(
            "{method} {path} HTTP/1.0\r\nContent-Type: application/json\r\nContent-Length: {}\r\n\r\n{body}",
            body.len()
        );
        stream.write_all(request.as_bytes()).ok()?;
        let mut answer = String::new();
        stream.read_to_string(&mut answer).ok()?;
        Some(answer)
    }

    /// Kills both with SIGKILL: Patroni first, so that it can do nothing about it.
    pub fn kill(&mut self) {
        if let Some(mut patroni) = self.process.take() {
            patroni.kill();
        }
        if let Some(postmaster) = self.postmaster() {
            let _ = kill(postmaster, Signal::SIGKILL);
        }
    }

    /// The postmaster that its Patroni has started.
    fn postmaster(&self) -> Option<Pid> {
        let text = fs::read_to_string(self.room.join("data/postmaster.pid")).ok()?;
        let number = text.lines().next()?.trim().parse::<i32>().ok()?;
        // Not another process that has the number by now.
        let directory = fs::read_link(format!("/proc/{number}/cwd")).ok()?;
        (directory == self.room.join("data")).then(|| Pid::from_raw(number))
    }
}

impl Drop for Member {
    fn drop(&mut self) {
        if let Some(mut patroni) = self.process.take() {
            if std::thread::panicking() {
                let log = self.log();
                let last = crate::cluster::last_lines(&log, 25);
                eprintln!("--- log of {} on port {}\n{last}", self.name, self.port);
            }
            patroni.kill();
        }
        if let Some(postmaster) = self.postmaster() {
            let _ = kill(postmaster, Signal::SIGQUIT);
            let deadline = std::time::Instant::now() + ENDS_IN;
            while self.postmaster().is_some() && std::time::Instant::now() < deadline {
                std::thread::sleep(Duration::from_millis(5));
            }
        }
    }
}

/// A room of the user that servers run as.
fn owned(name: &str) -> Room {
    let room = Room::new(name);
    if let Some(user) = unprivileged() {
        give_to(room.path(), user.uid.as_raw(), user.gid.as_raw());
    }
    room
}

/// As [`eventually`], for what takes Patroni several rounds.
fn eventually_long<T>(what: &str, mut ask: impl FnMut() -> Option<T>) -> T {
    for _ in 0..200 {
        if let Some(answer) = ask() {
            return answer;
        }
        std::thread::sleep(Duration::from_millis(200));
    }
    eventually(what, ask)
}
