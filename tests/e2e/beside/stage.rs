//! Where a play takes place, with one of the two.

use std::fmt::Write as _;
use std::fs;
use std::process::Command;

use pgweir_tests::{
    Cluster, Frame, Major, Pooler, Room, Starting, Target, Wire, free_port, give_to, unprivileged,
};
use pgweir_wire::encode;
use pgweir_wire::startup::PROTOCOL_3_0;

use super::talk;

/// Which of the two.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(super) enum Side {
    PgBouncer,
    Pgweir,
}

impl Side {
    /// The program: Debian keeps PgBouncer where only root looks.
    pub(super) fn program(self) -> String {
        match self {
            Self::PgBouncer => "/usr/sbin/pgbouncer".to_owned(),
            Self::Pgweir => Pooler::program().display().to_string(),
        }
    }

    /// What it says of its version, in the first line.
    pub(super) fn version(self) -> String {
        let output = Command::new(self.program()).arg("-V").output();
        let output = output.unwrap_or_else(|error| panic!("{}: {error}", self.program()));
        let said = String::from_utf8_lossy(&output.stdout).into_owned();
        said.lines().next().unwrap_or_default().to_owned()
    }
}

/// What was seen under a name.
#[derive(Debug, Clone, PartialEq, Eq)]
pub(super) enum Seen {
    Text(String),
    /// Columns, or settings: names and what there is to say about each.
    List(Vec<(String, String)>),
}

impl Seen {
    /// In one line.
    pub(super) fn text(&self) -> String {
        match self {
            Self::Text(text) => text.clone(),
            Self::List(list) => {
                let items = list.iter().map(|(name, text)| format!("{name} {text}"));
                items.collect::<Vec<_>>().join(",")
            }
        }
    }
}

/// A side, a database, and what was seen.
pub(super) struct Stage {
    pub(super) side: Side,
    pub(super) cluster: &'static Cluster,
    pub(super) database: String,
    noted: Vec<(String, Seen)>,
}

/// What every file says unless the play says something else.
const SETTINGS: &[(&str, &str)] = &[
    ("listen_addr", "127.0.0.1"),
    ("unix_socket_dir", "ROOM"),
    ("auth_type", "scram-sha-256"),
    ("auth_file", "ROOM/users"),
    ("auth_hba_file", "ROOM/hba"),
    ("admin_users", "ops"),
    ("stats_users", "watch"),
    ("server_login_retry", "1"),
];

const HBA: &str = "\
host all trusting 127.0.0.1/32 trust
host all rejected 127.0.0.1/32 reject
host all plain 127.0.0.1/32 password
host all old 127.0.0.1/32 md5
host all app,ops 127.0.0.1/32 scram-sha-256
";

impl Stage {
    pub(super) fn new(side: Side) -> Self {
        let cluster = Cluster::shared(Major::System);
        Self {
            side,
            cluster,
            database: cluster.database(),
            noted: Vec::new(),
        }
    }

    pub(super) fn noted(self) -> Vec<(String, Seen)> {
        self.noted
    }

    /// Fills the words in capitals, and writes the files that a configuration needs.
    pub(super) fn write(
        &self,
        room: &Room,
        port: u16,
        settings: &[(&str, &str)],
        databases: &str,
    ) -> String {
        let hash = |user: &str| {
            let sql = format!("SELECT 'md5' || md5('{user}-secret' || '{user}')");
            self.cluster.admin("postgres", &sql)
        };
        let mut users = String::new();
        for user in [
            "app", "ops", "watch", "plain", "trusting", "rejected", "nobody",
        ] {
            let _ = writeln!(users, "\"{user}\" \"{user}-secret\"");
        }
        let _ = writeln!(users, "\"old\" \"{}\"", hash("old"));
        let _ = writeln!(users, "\"other\" \"{}\"", hash("other"));
        let _ = writeln!(users, "\"walker\" \"not the server's\"");
        let put = |name: &str, text: &str| fs::write(room.join(name), text).expect("ours");
        put("users", &users);
        put("hba", HBA);
        let mut text = "[databases]\nshop = SERVER dbname=DATABASE\n".to_owned();
        let _ = writeln!(text, "{databases}\n[pgbouncer]\nlisten_port = {port}");
        let kept = SETTINGS
            .iter()
            .filter(|(key, _)| !settings.iter().any(|(other, _)| other == key));
        for (key, value) in kept.chain(settings) {
            let _ = writeln!(text, "{key} = {value}");
        }
        let server = format!("host=127.0.0.1 port={}", self.cluster.port());
        let room_name = room.path().display().to_string();
        let text = text
            .replace("SERVER", &server)
            .replace("DATABASE", &self.database)
            .replace("ROOM", &room_name);
        put("pooler.ini", &text);
        if let Some(user) = unprivileged() {
            give_to(room.path(), user.uid.as_raw(), user.gid.as_raw());
        }
        text
    }

    /// A program that is about to run.
    pub(super) fn starting(&self, room: &Room) -> Starting {
        Starting::unprivileged(self.side.program(), "KILL", &room.join("log"))
    }

    /// Starts it with these settings, and databases besides `shop`.
    pub(super) fn start(&self, settings: &[(&str, &str)], databases: &str) -> Pooler {
        let (room, port) = (Room::new("beside"), free_port());
        self.write(&room, port, settings, databases);
        let starting = self.starting(&room).arg(room.join("pooler.ini"));
        Pooler::start_as(starting, room, port)
    }

    /// The console, for who may do everything.
    pub(super) fn console(pooler: &Pooler) -> Target {
        pooler.target("pgbouncer").user("ops")
    }

    /// Notes something.
    pub(super) fn note(&mut self, name: impl Into<String>, text: impl Into<String>) {
        let text = self.neutral(&text.into());
        self.put(name.into(), Seen::Text(text));
    }

    /// Notes a list.
    pub(super) fn list(&mut self, name: impl Into<String>, list: Vec<(String, String)>) {
        let list = list
            .into_iter()
            .map(|(name, text)| (name, self.neutral(&text)))
            .collect();
        self.put(name.into(), Seen::List(list));
    }

    fn put(&mut self, name: String, seen: Seen) {
        assert!(
            !self.noted.iter().any(|(noted, _)| *noted == name),
            "two things are called {name:?}"
        );
        self.noted.push((name, seen));
    }

    /// Without what differs from run to run.
    fn neutral(&self, text: &str) -> String {
        let text = text
            .replace(&self.database, "DATABASE")
            .replace(&self.cluster.port().to_string(), "PORT");
        talk::neutral(&text)
    }

    /// Notes a login without the settings that are told in it; gives the connection if it went well.
    pub(super) fn login(&mut self, name: &str, target: &Target) -> Option<Wire> {
        self.login_with(name, target, PROTOCOL_3_0, &[])
    }

    /// Notes a login with a version and parameters. The first parameter's value is noted as it is told, and
    /// what a first query brings.
    pub(super) fn login_with(
        &mut self,
        name: &str,
        target: &Target,
        version: u32,
        parameters: &[(&str, &str)],
    ) -> Option<Wire> {
        let mut wire = Wire::open(target);
        wire.startup(target, version, parameters);
        let frames = wire.login_frames(target);
        let good = frames.last().is_some_and(|frame| frame.tag == b'Z');
        let others = frames.into_iter().filter(|frame| frame.tag != b'S');
        let others: Vec<Frame> = others.collect();
        let mut text = said(&others, good, &mut wire);
        if let (true, Some((key, _))) = (good, parameters.first()) {
            let told = wire.identity.parameters.get(*key);
            text += &told.map_or_else(String::new, |told| format!("; told {told}"));
            wire.write(|out| encode::query(b"SELECT 1", out));
            text += &format!("; then {}", heard(&mut wire));
        }
        self.note(name, text);
        good.then_some(wire)
    }

    /// Notes which settings a login tells, in their order.
    pub(super) fn told(&mut self, name: &str, target: &Target) {
        let mut wire = Wire::open(target);
        wire.startup(target, PROTOCOL_3_0, &[]);
        let frames = wire.login_frames(target);
        let told = frames.iter().filter(|frame| frame.tag == b'S');
        let told = told.map(|frame| {
            let text = frame.text();
            let (name, value) = text.split_once('\0').expect("a name and a value");
            let value = match value {
                "" => "empty",
                other => other,
            };
            (name.to_owned(), value.to_owned())
        });
        self.list(name, told.collect());
        wire.write(encode::terminate);
    }

    /// Notes what a simple query brings.
    pub(super) fn ask(&mut self, name: &str, wire: &mut Wire, sql: &str) {
        let name = match name {
            "" => sql.to_owned(),
            name => format!("{name}: {sql}"),
        };
        self.send(&name, wire, |out| encode::query(sql.as_bytes(), out));
    }

    /// Notes what bytes bring, up to ReadyForQuery or to the end.
    pub(super) fn send(&mut self, name: &str, wire: &mut Wire, write: impl FnOnce(&mut Vec<u8>)) {
        let mut out = Vec::new();
        write(&mut out);
        // If it is closed already, there is nothing more to read either.
        let _ = wire.try_send(&out);
        self.hear(name, wire);
    }

    /// Notes what comes, up to ReadyForQuery or to the end.
    pub(super) fn hear(&mut self, name: &str, wire: &mut Wire) {
        let text = heard(wire);
        self.note(name, text);
    }
}

/// What comes, up to ReadyForQuery or to the end.
fn heard(wire: &mut Wire) -> String {
    let mut frames = Vec::new();
    while let Some(frame) = wire.next_frame() {
        let last = frame.tag == b'Z';
        frames.push(frame);
        if last {
            break;
        }
    }
    let good = frames.last().is_some_and(|frame| frame.tag == b'Z');
    said(&frames, good, wire)
}

/// What was said, and that it was the end if nothing can come.
fn said(frames: &[Frame], open: bool, wire: &mut Wire) -> String {
    let mut said: Vec<String> = frames.iter().map(talk::frame).collect();
    if !open {
        let mut more = Vec::new();
        while let Some(frame) = wire.next_frame() {
            more.push(talk::frame(&frame));
        }
        said.extend(more);
        said.push("closed".to_owned());
    }
    said.join("; ")
}
