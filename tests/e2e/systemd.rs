//! systemd is told how the process is, and hands over sockets.

use std::fs;
use std::os::unix::net::UnixDatagram;
use std::time::Duration;

use nix::sys::signal::Signal;
use pgweir_tests::{Cluster, Config, Major, Pooler, Room, Starting, cases, free_port};

cases! {
    what_systemd_is_told;
    sockets_from_systemd;
}

/// systemd's end of the conversation.
struct Manager(UnixDatagram);

impl Manager {
    fn next(&self) -> String {
        let mut packet = [0; 1000];
        let len = self.0.recv(&mut packet).expect("something is said in time");
        String::from_utf8_lossy(&packet[..len]).into_owned()
    }

    /// The next that is no status.
    fn next_state(&self) -> String {
        loop {
            let said = self.next();
            if !said.starts_with("STATUS=") {
                return said;
            }
        }
    }
}

fn what_systemd_is_told(major: Major) {
    let cluster = Cluster::shared(major);
    let (room, port) = (Room::new("notify"), free_port());
    let (file, socket) = (room.join("pgweir.toml"), room.join("notify"));
    let config = Config::of(cluster, &cluster.database()).set("stats_period", "1s");
    fs::write(&file, config.text(port)).unwrap();
    let manager = Manager(UnixDatagram::bind(&socket).unwrap());
    manager
        .0
        .set_read_timeout(Some(Duration::from_secs(30)))
        .unwrap();
    let starting = Starting::new(Pooler::program(), "KILL", &room.join("log"))
        .env("NOTIFY_SOCKET", &socket)
        .arg(&file);
    let mut pooler = Pooler::start_as(starting, room, port);
    assert_eq!(manager.next_state(), "READY=1\n");
    let status = manager.next();
    let begin = "STATUS=stats: 0 xacts/s, 0 queries/s, 0 client parses/s, ";
    assert!(status.starts_with(begin), "{status}");
    pooler.signal(Signal::SIGHUP);
    let reloading = manager.next_state();
    let since = reloading
        .strip_prefix("RELOADING=1\nMONOTONIC_USEC=")
        .unwrap();
    assert!(since.trim().parse::<u64>().is_ok(), "{reloading}");
    assert_eq!(manager.next_state(), "READY=1\n");
    pooler.signal(Signal::SIGINT);
    assert_eq!(manager.next_state(), "STOPPING=1\n");
    assert!(pooler.wait(Duration::from_secs(10)).success());
}

/// Listens on a TCP port and a path, and becomes the program with these sockets, as systemd does it.
const LISTENING: &str = "
import os, socket, sys
port, path, program = int(sys.argv[1]), sys.argv[2], sys.argv[3:]
tcp = socket.create_server(('127.0.0.1', port))
unix = socket.socket(socket.AF_UNIX)
unix.bind(path)
unix.listen()
# First out of the way: 3 and 4 may be these very sockets.
fds = [os.dup(os.dup(os.dup(s.fileno()))) for s in (tcp, unix)]
for to, fd in enumerate(fds, 3):
    os.dup2(fd, to)
os.environ.update(LISTEN_FDS='2', LISTEN_PID=str(os.getpid()))
os.execv(program[0], program)
";

fn sockets_from_systemd(major: Major) {
    let cluster = Cluster::shared(major);
    let database = cluster.database();
    let (room, port) = (Room::new("activation"), free_port());
    let (file, path) = (
        room.join("pgweir.toml"),
        room.join(&format!(".s.PGSQL.{port}")),
    );
    let elsewhere = free_port();
    fs::write(&file, Config::of(cluster, &database).text(elsewhere)).unwrap();
    let starting = Starting::new("python3", "KILL", &room.join("log"))
        .args(["-c", LISTENING, &port.to_string()])
        .arg(&path)
        .arg(Pooler::program())
        .arg(&file);
    let mut pooler = Pooler::start_as(starting, room, port);
    let target = pooler.target(&database);
    assert_eq!(target.sql("SELECT 1"), "1");
    let directory = pooler.room().path().display().to_string();
    let unix = pgweir_tests::Target {
        host: directory,
        ..target
    };
    assert_eq!(unix.sql("SELECT 1"), "1");
    pooler.logs("socket passed from service manager (fd 3)");
    pooler.logs("socket passed from service manager (fd 4)");
    pooler.logs("sockets passed from service manager, listen_addr ignored");
    let other = std::net::TcpStream::connect(("127.0.0.1", elsewhere));
    assert!(other.is_err(), "listen_addr counts for nothing");
    pooler.signal(Signal::SIGINT);
    assert!(pooler.wait(Duration::from_secs(10)).success());
    assert!(path.exists(), "it is systemd's");
}
