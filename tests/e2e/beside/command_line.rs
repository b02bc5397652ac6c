//! How the program is called, and what it says when it does not start.

use std::process::{Command, Stdio};

use pgweir_tests::{Pooler, Room, free_port, unprivileged};

use super::stage::Stage;

pub(super) fn command_line(stage: &mut Stage) {
    let room = Room::new("beside");
    let port = free_port();
    stage.write(&room, port, &[], "");
    let file = room.join("pooler.ini").display().to_string();
    run(stage, "-V", &["-V"]);
    run(stage, "--version", &["--version"]);
    run(stage, "-h", &["-h"]);
    run(stage, "no file", &[]);
    run(stage, "two files", &[&file, &file]);
    run(stage, "unknown option", &["--nonsense", &file]);
    run(stage, "missing file", &["/nonexistent/pooler.ini"]);
    run(stage, "unknown user", &["-u", "no-such-user", &file]);
    run(stage, "-d without pidfile", &["-d", &file]);
    for (what, settings, databases) in [
        ("unknown setting", &[("nonsense", "1")][..], ""),
        ("bad number", &[("listen_backlog", "abc")][..], ""),
        ("bad pool_mode", &[("pool_mode", "abc")][..], ""),
        ("bad auth_type", &[("auth_type", "abc")][..], ""),
        ("bad key of a database", &[][..], "bad = SERVER nonsense=1"),
        ("bad connection string", &[][..], "bad = host"),
        ("reserved database", &[][..], "pgbouncer = SERVER"),
        ("unknown section", &[][..], "[nonsense]\na = 1"),
        ("no value", &[][..], "[pgbouncer]\nnonsense"),
        ("bad address", &[("listen_addr", "256.1.1.1")][..], ""),
        (
            "nowhere to listen",
            &[("listen_addr", ""), ("unix_socket_dir", "")][..],
            "",
        ),
        (
            "logfile in no directory",
            &[("logfile", "/nonexistent/log")][..],
            "",
        ),
        ("include of nothing", &[][..], "%include /nonexistent/file"),
    ] {
        let room = Room::new("beside");
        stage.write(&room, free_port(), settings, databases);
        let file = room.join("pooler.ini").display().to_string();
        run(stage, what, &[&file]);
    }
    let pooler: Pooler = stage.start(&[("pidfile", "ROOM/pid")], "");
    let file = pooler.room().join("pooler.ini").display().to_string();
    run(stage, "it runs already", &[&file]);
}

/// Notes the exit code, where it said something, and the last line of that.
fn run(stage: &mut Stage, what: &str, arguments: &[&str]) {
    let mut command = Command::new("setpriv");
    if let Some(user) = unprivileged() {
        command
            .arg(format!("--reuid={}", user.uid))
            .arg(format!("--regid={}", user.gid))
            .arg("--clear-groups");
    }
    let output = command
        .arg("--")
        .arg(stage.side.program())
        .args(arguments)
        .stdin(Stdio::null())
        .current_dir("/")
        .output()
        .expect("setpriv is there");
    let (stdout, stderr) = (
        String::from_utf8_lossy(&output.stdout).into_owned(),
        String::from_utf8_lossy(&output.stderr).into_owned(),
    );
    let kind = |text: &str| match text.lines().last() {
        None => "nothing",
        Some(line) if line.contains(" UTC [") => "log",
        Some(_) => "text",
    };
    let status = output.status.code();
    stage.note(
        what,
        format!(
            "code {status:?}, stdout {}, stderr {}",
            kind(&stdout),
            kind(&stderr)
        ),
    );
}
