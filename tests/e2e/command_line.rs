//! What is said on the command line, and how the process ends.

use std::fs;
use std::os::unix::fs::MetadataExt;
use std::path::Path;
use std::process::Command;
use std::thread;

use nix::sys::signal::{Signal, kill};
use nix::unistd::{Gid, Pid, Uid};
use pgweir_tests::{
    Cluster, Config, Major, Outcome, Pooler, Room, Starting, Target, cases, eventually, free_port,
    give_to, unprivileged,
};

cases! {
    a_url_and_no_file;
    in_the_background;
    as_another_user;
    a_group_for_the_socket;
}

fn a_url_and_no_file(major: Major) {
    let cluster = Cluster::shared(major);
    let database = cluster.database();
    let url = format!(
        "postgres://app:app-secret@127.0.0.1:{}/{database}",
        cluster.port()
    );
    let pooler = Pooler::start_with_url(&url);
    let target = pooler.target(&database);
    assert_eq!(target.sql("SELECT current_user"), "app");
    target
        .password("wrong")
        .psql("SELECT 1")
        .check_failure("FATAL");
    let threads: Vec<_> = (0..8)
        .map(|_| {
            let target = target.clone();
            thread::spawn(move || target.sql("SELECT 1"))
        })
        .collect();
    for thread in threads {
        assert_eq!(thread.join().unwrap(), "1");
    }
}

/// A process that nobody started, so to say: it ends with the test all the same.
struct Daemon(Pid);

impl Daemon {
    fn of(pidfile: &Path) -> Self {
        let pid = eventually("the pidfile is written", || {
            fs::read_to_string(pidfile).ok()?.trim().parse().ok()
        });
        Self(Pid::from_raw(pid))
    }

    fn is_there(&self) -> bool {
        kill(self.0, None).is_ok()
    }
}

impl Drop for Daemon {
    fn drop(&mut self) {
        let _ = kill(self.0, Signal::SIGKILL);
    }
}

fn in_the_background(major: Major) {
    let cluster = Cluster::shared(major);
    let database = cluster.database();
    let (room, port) = (Room::new("daemon"), free_port());
    let (file, pidfile, log) = (room.join("p.toml"), room.join("pid"), room.join("log"));
    let config = Config::of(cluster, &database).set("logfile", log.clone());
    fs::write(&file, config.text(port)).unwrap();
    let start = || {
        let mut program = Command::new(Pooler::program());
        Outcome::of(program.args(["-d", "-q"]).arg(&file), "")
    };
    let outcome = start();
    assert_eq!(outcome.code, Some(1));
    assert!(outcome.stderr.is_empty(), "-q: {}", outcome.stderr);
    let said = fs::read_to_string(&log).unwrap();
    assert!(said.contains("daemon needs pidfile configured"), "{said}");

    fs::write(&file, config.set("pidfile", pidfile.clone()).text(port)).unwrap();
    let outcome = start();
    assert_eq!(outcome.code, Some(0), "{}", outcome.stderr);
    let daemon = Daemon::of(&pidfile);
    let target = Target::new(port, &database, "app");
    assert_eq!(target.sql("SELECT 1"), "1");
    // What can be known is said before it goes to the background.
    fs::write(
        &file,
        Config::of(cluster, &database)
            .set("pidfile", pidfile.clone())
            .text(free_port()),
    )
    .unwrap();
    let outcome = Outcome::of(Command::new(Pooler::program()).arg("-d").arg(&file), "");
    assert_eq!(outcome.code, Some(1));
    outcome.check_failure("another instance running?");
    assert!(pidfile.exists() && daemon.is_there());
    kill(daemon.0, Signal::SIGINT).unwrap();
    eventually("it ends", || (!daemon.is_there()).then_some(()));
    assert!(!pidfile.exists());
}

fn as_another_user(major: Major) {
    let cluster = Cluster::shared(major);
    let database = cluster.database();
    let (room, port) = (Room::new("user"), free_port());
    let file = room.join("pgweir.toml");
    let config = Config::of(cluster, &database)
        .set("unix_socket_dir", room.path().display().to_string())
        .set("user", "no such user");
    fs::write(&file, config.text(port)).unwrap();
    let run = |arguments: &[&str]| {
        Outcome::of(
            Command::new(Pooler::program()).args(arguments).arg(&file),
            "",
        )
    };
    run(&[]).check_failure("could not find user 'no such user' to switch to");
    let Some(user) = unprivileged() else {
        run(&["-u", "root"]).check_failure("failed to assume identity of user 'root'");
        return;
    };
    give_to(room.path(), user.uid.as_raw(), user.gid.as_raw());
    let starting = Starting::new(Pooler::program(), "KILL", &room.join("log"))
        .args(["--user", &user.name])
        .arg(&file);
    let pooler = Pooler::start_as(starting, room, port);
    let status = fs::read_to_string(format!("/proc/{}/status", pooler.process().id())).unwrap();
    let (uid, gid) = (user.uid.to_string(), user.gid.to_string());
    for (name, expected) in [
        ("Uid:", vec![&*uid; 4]),
        ("Gid:", vec![&*gid; 4]),
        ("Groups:", vec![&*gid]),
    ] {
        let line = status.lines().find_map(|line| line.strip_prefix(name));
        let found: Vec<&str> = line.unwrap().split_whitespace().collect();
        assert_eq!(found, expected, "{name}");
    }
    let socket = pooler.room().join(&format!(".s.PGSQL.{port}"));
    assert_eq!(fs::metadata(socket).unwrap().uid(), user.uid.as_raw());
    assert_eq!(pooler.target(&database).sql("SELECT 1"), "1");

    // PgBouncer's file is not run by root.
    let (room, port) = (Room::new("root"), free_port());
    let file = room.join("pgbouncer.ini");
    fs::write(
        &file,
        format!(
            "[pgbouncer]\nlisten_port = {port}\nunix_socket_dir = {}\n",
            room.path().display()
        ),
    )
    .unwrap();
    let outcome = Outcome::of(Command::new(Pooler::program()).arg(&file), "");
    outcome.check_failure("should not run as root");
}

fn a_group_for_the_socket(major: Major) {
    let cluster = Cluster::shared(major);
    let database = cluster.database();
    let room = Room::new("group");
    // Root may take any; others have none but their own.
    let group = if Uid::effective().is_root() {
        54321
    } else {
        Gid::effective().as_raw()
    };
    let pooler = Pooler::start(
        &Config::of(cluster, &database)
            .set("unix_socket_dir", room.path().display().to_string())
            .set("unix_socket_mode", "0770")
            .set("unix_socket_group", group.to_string()),
    );
    let socket = room.join(&format!(".s.PGSQL.{}", pooler.port()));
    let found = fs::metadata(socket).unwrap();
    assert_eq!((found.gid(), found.mode() & 0o777), (group, 0o770));
}

#[test]
fn every_failure_is_1() {
    let run = |arguments: &[&str]| Outcome::of(Command::new(Pooler::program()).args(arguments), "");
    for (arguments, said) in [
        (&[][..], "no configuration file specified"),
        (&["-x"], "unexpected argument '-x'"),
        (&["a.toml", "b.toml"], "b.toml"),
        (
            &["--set", "listen_port=1", "a.toml"],
            "--set goes with a URL",
        ),
        (
            &["--set", "nonsense", "postgres://a@b/c"],
            "expected KEY=VALUE",
        ),
        (&["--set", "nonsense=1", "postgres://a@b/c"], "nonsense: "),
        (&["/nowhere/pgbouncer.ini"], "/nowhere/pgbouncer.ini"),
    ] {
        let outcome = run(arguments);
        assert_eq!(outcome.code, Some(1), "{arguments:?}");
        assert!(
            outcome.stderr.contains(said),
            "{arguments:?}: {}",
            outcome.stderr
        );
    }
    for (arguments, said) in [
        (["-V"], "pgweir 0."),
        (["--version"], "tls: rustls"),
        (["-h"], "--daemon"),
        (["--help"], "-q, --quiet"),
    ] {
        let outcome = run(&arguments);
        assert_eq!(outcome.code, Some(0), "{arguments:?}");
        assert!(
            outcome.stdout.contains(said),
            "{arguments:?}: {}",
            outcome.stdout
        );
    }
}

#[test]
fn more_is_logged_with_v() {
    let room = Room::new("verbose");
    let (file, port) = (room.join("pgweir.toml"), free_port());
    fs::write(&file, Config::new().set("log_level", "error").text(port)).unwrap();
    for (arguments, expected) in [(&[][..], false), (&["-v"], true), (&["-vv"], true)] {
        let log = room.join(&format!("log{}", arguments.len()));
        let starting = Starting::new(Pooler::program(), "KILL", &log);
        let room = Room::new("verbose-pooler");
        let pooler = Pooler::start_as(starting.args(arguments).arg(&file), room, port);
        assert_eq!(
            pooler.log().contains("process up"),
            expected,
            "{arguments:?}"
        );
    }
}

#[test]
fn check_names_every_mistake() {
    let room = Room::new("check");
    let file = room.join("bad.toml");
    fs::write(
        &file,
        "[pgweir]\nlisten_port = 99999\npool_mood = \"transaction\"\n\n[databases.shop]\nhosts = [\"db\"]\npool_size = \"x\"\n",
    )
    .unwrap();
    let outcome = Outcome::of(Command::new(Pooler::program()).arg("check").arg(&file), "");
    assert!(!outcome.success);
    let said = outcome.stdout + &outcome.stderr;
    for (line, key) in [(2, "listen_port"), (3, "pool_mood"), (7, "pool_size")] {
        let place = format!("bad.toml:{line}: ");
        assert!(
            said.lines()
                .any(|text| text.contains(&place) && text.contains(key)),
            "{line} {key}\n{said}"
        );
    }
    assert!(
        said.contains("pool_mode"),
        "a suggestion is missing\n{said}"
    );
    // It does not start with it either.
    let outcome = Outcome::of(Command::new(Pooler::program()).arg(&file), "");
    assert!(
        !outcome.success && outcome.stderr.contains("bad.toml:2: "),
        "{}",
        outcome.stderr
    );
}

#[test]
fn check_names_the_line_of_a_file_that_is_wrong() {
    let room = Room::new("check-files");
    let file = room.join("bad.toml");
    let users = room.join("users.txt");
    fs::write(&users, "\"app\" \"secret\"\nnonsense\n").unwrap();
    let text = format!(
        "[pgweir]\nauth_file = {users:?}\nclient_tls_sslmode = \"require\"\nclient_tls_key_file = {file:?}\n\
         client_tls_cert_file = \"/nowhere/server.crt\"\nserver_tls_ca_file = {file:?}\nlisten_prot = 1\n\n[databases.shop]\nhosts = [\"db\"]\n"
    );
    fs::write(&file, text).unwrap();
    let outcome = Outcome::of(Command::new(Pooler::program()).arg("check").arg(&file), "");
    assert!(!outcome.success);
    let said: Vec<&str> = outcome.stderr.lines().collect();
    assert_eq!(said.len(), 4, "{said:#?}");
    for (said, place) in said.iter().zip([
        "bad.toml:5: client_tls_cert_file: /nowhere/server.crt: ",
        "bad.toml:6: server_tls_ca_file: ",
        "bad.toml:7: listen_prot: ",
        "users.txt:2: ",
    ]) {
        assert!(said.contains(place), "{place}\n{said}");
    }
}

#[test]
fn check_tells_what_is_hardly_meant() {
    let room = Room::new("check-odd");
    let file = room.join("odd.toml");
    let text =
        "[pgweir]\nadmin_users = [\"ann\"]\nmin_pool_size = 30\n[users.app]\npassword = \"x\"\n";
    fs::write(&file, text).unwrap();
    let outcome = Outcome::of(Command::new(Pooler::program()).arg("check").arg(&file), "");
    outcome.check("check");
    let said: Vec<&str> = outcome.stderr.lines().collect();
    assert_eq!(said.len(), 3, "{said:#?}");
    for (said, place) in said.iter().zip([
        "odd.toml: databases: there are none",
        "odd.toml:2: admin_users: \"ann\" has no password",
        "odd.toml:3: min_pool_size: 30 is more than",
    ]) {
        assert!(said.contains(place), "{place}\n{said}");
    }
}

#[test]
fn check_is_content() {
    let repository = concat!(env!("CARGO_MANIFEST_DIR"), "/../config");
    let room = Room::new("check");
    let users = room.join("userlist.txt");
    fs::write(&users, "\"postgres\" \"secret\"\n").unwrap();
    for name in ["pgweir.toml", "minimal.toml", "reference.toml"] {
        let text = fs::read_to_string(format!("{repository}/{name}")).unwrap();
        let file = room.join(name);
        fs::write(
            &file,
            text.replace("/etc/pgweir/userlist.txt", &users.display().to_string()),
        )
        .unwrap();
        let outcome = Outcome::of(Command::new(Pooler::program()).arg("check").arg(&file), "");
        outcome.check(name);
    }
}

#[test]
fn a_file_that_is_missing() {
    for arguments in [
        &["check", "/nowhere/pgweir.toml"][..],
        &["/nowhere/pgweir.toml"],
    ] {
        let outcome = Outcome::of(Command::new(Pooler::program()).args(arguments), "");
        outcome.check_failure("/nowhere/pgweir.toml");
    }
    assert!(!Outcome::of(&mut Command::new(Pooler::program()), "").success);
    Outcome::of(Command::new(Pooler::program()).arg("--version"), "").check("--version");
}

#[test]
fn mistakes_of_an_ini_are_told_as_pgbouncer_logs() {
    let room = Room::new("mistakes");
    let file = room.join("pgbouncer.ini");
    fs::write(&file, "[pgbouncer]\nlisten_port = many\nnonsense = 1\n").unwrap();
    let outcome = Outcome::of(Command::new(Pooler::program()).arg(&file), "");
    assert_eq!(outcome.code, Some(1));
    let lines: Vec<&str> = outcome.stderr.lines().collect();
    let [port, unknown, last] = lines[..] else {
        panic!("{lines:#?}");
    };
    assert!(port.contains("] ERROR ") && port.contains("pgbouncer.ini:2: listen_port: "));
    assert!(unknown.contains("] ERROR ") && unknown.contains("pgbouncer.ini:3: nonsense: "));
    assert!(last.ends_with("] FATAL cannot load config file"), "{last}");
    let quiet = Outcome::of(Command::new(Pooler::program()).arg("-q").arg(&file), "");
    assert_eq!((quiet.code, &*quiet.stderr), (Some(1), ""));
}
