//! Signals, ends, and the log.

use std::fs;
use std::time::Duration;

use nix::sys::signal::Signal;
use pgweir_tests::{Pooler, Wire, eventually};
use pgweir_wire::encode;

use super::stage::Stage;

/// Longer than any end takes.
const LONGEST: Duration = Duration::from_secs(20);

/// What signals do.
pub(super) fn signals(stage: &mut Stage) {
    let pidfile = &[("pidfile", "ROOM/pid"), ("pool_mode", "transaction")];
    for signal in [Signal::SIGINT, Signal::SIGTERM, Signal::SIGQUIT] {
        let mut pooler = stage.start(pidfile, "");
        let pid = fs::read_to_string(pooler.room().join("pid")).unwrap_or_default();
        let own = pid == format!("{}\n", pooler.process().id());
        stage.note(
            format!("{signal}: pidfile"),
            format!("the process's own: {own}"),
        );
        let mut client = Wire::connect(&pooler.target("shop"));
        client.sql("SELECT 1");
        let mut busy = Wire::connect(&pooler.target("shop"));
        if signal == Signal::SIGINT {
            busy.sql("BEGIN");
        }
        pooler.signal(signal);
        if signal == Signal::SIGINT {
            pooler.logs("got SIGINT");
            client.write(|out| encode::query(b"SELECT 2", out));
            for sql in ["SELECT 3", "COMMIT"] {
                stage.ask(&format!("{signal}: in a transaction"), &mut busy, sql);
            }
            stage.hear(&format!("{signal}: a query"), &mut client);
        }
        drop(busy);
        drop(client);
        let status = pooler.wait(LONGEST);
        stage.note(
            format!("{signal}: exit code"),
            format!("{:?}", status.code()),
        );
        let left: Vec<&str> = ["pid", &format!(".s.PGSQL.{}", pooler.port())]
            .into_iter()
            .zip(["pidfile", "socket"])
            .filter(|(file, _)| pooler.room().join(file).exists())
            .map(|(_, name)| name)
            .collect();
        stage.note(format!("{signal}: left behind"), left.join(" "));
        note_log(stage, &format!("{signal}: log"), &pooler, "got ");
    }
    let pooler = stage.start(pidfile, "");
    for signal in [Signal::SIGHUP, Signal::SIGUSR1, Signal::SIGUSR2] {
        pooler.signal(signal);
        pooler.logs(&format!("got {signal}"));
        note_log(
            stage,
            &format!("{signal}: log"),
            &pooler,
            &format!("got {signal}"),
        );
    }
    let before = pooler.log().matches("got SIGUSR2").count();
    pooler.signal(Signal::SIGUSR2);
    eventually("it is told", || {
        (pooler.log().matches("got SIGUSR2").count() > before).then_some(())
    });
    note_log(stage, "SIGUSR2 without pause: log", &pooler, "got SIGUSR2");
}

/// Lines that tools look for.
pub(super) fn log(stage: &mut Stage) {
    let pooler = stage.start(&[("stats_period", "1")], "gone = SERVER dbname=nowhere");
    let shop = pooler.target("shop");
    let mut client = Wire::try_connect(&shop, &[("application_name", "me")]).expect("it comes in");
    client.sql("SELECT 1");
    client.write(encode::terminate);
    drop(client);
    let refused = Wire::try_connect(&shop.password("wrong"), &[]);
    refused.expect_err("the password is wrong");
    Wire::try_connect(&pooler.target("gone"), &[]).expect_err("there is no such database");
    let console = Wire::connect(&Stage::console(&pooler));
    drop(console);
    let mut console = Wire::connect(&Stage::console(&pooler));
    for command in [
        "RELOAD",
        "PAUSE",
        "RESUME",
        "RECONNECT",
        "DISABLE shop",
        "ENABLE shop",
    ] {
        console.sql(command);
    }
    for text in [
        "login attempt: db=shop user=app",
        "login attempt: db=pgbouncer user=ops",
        "new connection to server",
        "closing because: client close request",
        "password authentication failed",
        "SASL authentication failed",
        "database \"nowhere\" does not exist",
        "closing because: server login failed",
        "closing because: client unexpected eof",
        "command issued",
        "PAUSE command",
        "listening on",
        "kernel file descriptor limit",
        "process up",
    ] {
        note_log(stage, text, &pooler, text);
    }
    pooler.logs("stats: ");
    note_log(stage, "stats", &pooler, "stats: ");
}

/// Notes the different lines with a text, without what differs from run to run.
fn note_log(stage: &mut Stage, name: &str, pooler: &Pooler, text: &str) {
    let log = pooler.log();
    let mut lines: Vec<String> = Vec::new();
    for line in log.lines().filter(|line| line.contains(text)) {
        let line = plain(line, pooler);
        if !lines.contains(&line) {
            lines.push(line);
        }
    }
    stage.note(name, lines.join("; "));
}

/// A line with `#` for every number.
fn plain(line: &str, pooler: &Pooler) -> String {
    let line = line.replace(&pooler.room().path().display().to_string(), "ROOM");
    // What it is made of, down to the day of its TLS library, is the machine's.
    let made_of = line
        .find("process up: ")
        .and_then(|at| Some(at + line[at..].find(',')?));
    let line = &line[..made_of.unwrap_or(line.len())];
    let mut out = String::new();
    let mut number = false;
    let mut chars = line.chars().peekable();
    while let Some(letter) = chars.next() {
        if letter == '0' && chars.peek() == Some(&'x') {
            while chars.peek().is_some_and(char::is_ascii_alphanumeric) {
                chars.next();
            }
            out.push_str("0x#");
            number = false;
        } else if letter.is_ascii_digit() {
            if !number {
                out.push('#');
            }
            number = true;
        } else {
            number = false;
            out.push(letter);
        }
    }
    out
}
