//! The words of refusals, notices and tags.

use super::{fields, messages, tags};
use crate::{Command, Error, Notice, Role, Show, Shutdown, Snapshot, answer, complete, parse};

#[track_caller]
fn check(error: Error, sqlstate: &str, message: &str) {
    let mut out = Vec::new();
    error.encode(&mut out);
    assert_eq!(tags(&out), "E");
    assert_eq!(
        fields(&out),
        ("ERROR".into(), sqlstate.into(), message.into(), None)
    );
}

#[test]
fn d2_refusals_have_the_words_of_pgbouncer() {
    let x = || "x".to_owned();
    let console = |verb| Error::ConsoleDatabase {
        verb,
        database: "pgbouncer".into(),
    };
    check(
        Error::Invalid("".into()),
        "08P01",
        "invalid command '', use SHOW HELP;",
    );
    check(
        Error::Invalid("a b c".into()),
        "08P01",
        "invalid command 'a b c', use SHOW HELP;",
    );
    check(Error::BadArguments, "08P01", "bad arguments");
    check(Error::AdminNeeded, "08P01", "admin access needed");
    check(Error::DatabaseRequired, "08P01", "a database is required");
    check(Error::NoSuchDatabase(x()), "08P01", "no such database: x");
    check(
        console("pause"),
        "08P01",
        "cannot pause admin db: pgbouncer",
    );
    check(
        console("disable"),
        "08P01",
        "cannot disable admin db: pgbouncer",
    );
    check(
        console("enable"),
        "08P01",
        "cannot enable admin db: pgbouncer",
    );
    check(
        console("reconnect"),
        "08P01",
        "cannot reconnect admin db: pgbouncer",
    );
    check(console("kill"), "08P01", "cannot kill admin db: pgbouncer");
    check(
        console("wait in"),
        "08P01",
        "cannot wait in admin db: pgbouncer",
    );
    check(Error::AlreadyPaused, "08P01", "already suspended/paused");
    let text = "cannot suspend with paused databases";
    check(Error::PausedDatabases, "08P01", text);
    check(Error::NotPaused, "08P01", "pooler is not paused/suspended");
    check(
        Error::DatabaseNotPaused(x()),
        "08P01",
        "database x is not paused",
    );
    check(Error::ShuttingDown, "08P01", "pooler is shutting down");
    check(Error::BadClient, "08P01", "invalid client pointer supplied");
    check(Error::NoClient, "08P01", "client not found");
    check(Error::SetFailed { detail: None }, "08P01", "SET failed");
    let text = "RELOAD failed, see logs for additional details";
    check(Error::ReloadFailed { detail: None }, "F0000", text);
    check(Error::BadPacket, "08P01", "bad packet");
    let text = "unsupported packet type for admin console: 70";
    check(Error::UnsupportedPacket(b'F'), "08P01", text);
}

#[test]
fn d2_refusals_that_pgbouncer_does_not_have_use_the_words_of_postgresql() {
    let x = || "x".to_owned();
    check(
        Error::NoStatement(x()),
        "26000",
        "prepared statement \"x\" does not exist",
    );
    check(
        Error::StatementExists(x()),
        "42P05",
        "prepared statement \"x\" already exists",
    );
    check(Error::NoPortal(x()), "34000", "portal \"x\" does not exist");
    check(
        Error::PortalExists(x()),
        "42P03",
        "portal \"x\" already exists",
    );
    let text = "bind message supplies 2 parameters, but console commands have none";
    check(Error::Parameters(2), "08P01", text);
    let text = "too many prepared statements or portals on a console connection, the limit is 100";
    check(Error::TooManyNames(100), "53400", text);
}

#[test]
fn d2_what_was_wrong_is_the_detail() {
    for error in [
        Error::SetFailed {
            detail: Some("why".into()),
        },
        Error::ReloadFailed {
            detail: Some("why".into()),
        },
    ] {
        let mut out = Vec::new();
        error.encode(&mut out);
        assert_eq!(fields(&out).3.as_deref(), Some("why"));
    }
}

#[test]
fn d2_tags_name_the_command() {
    for (text, tag) in [
        ("show pools", "SHOW"),
        ("select pools", "SHOW"),
        ("pause a", "PAUSE"),
        ("resume", "RESUME"),
        ("disable a", "DISABLE"),
        ("enable a", "ENABLE"),
        ("reconnect", "RECONNECT"),
        ("kill a", "KILL"),
        ("kill_client 1", "KILL_CLIENT"),
        ("wait_close", "WAIT_CLOSE"),
        ("reload", "RELOAD"),
        ("shutdown wait_for_servers", "SHUTDOWN"),
        ("set server_lifetime to '200'", "SET server_lifetime=200"),
        ("set timezone to x", "SET"),
    ] {
        let command = parse(text.as_bytes(), Role::Admin).expect(text);
        assert_eq!(command.tag(), tag, "{text}");
    }
}

#[test]
fn d2_what_was_done_is_reported() {
    let done = |command: Command| {
        let mut out = Vec::new();
        complete(&command, &[], &mut out);
        out
    };
    let out = done(Command::Shutdown(Shutdown::WaitForClients));
    assert_eq!(messages(&out), [('C', &b"SHUTDOWN\0"[..])]);
    let out = done(Command::FakeSet);
    assert_eq!(tags(&out), "NC");
    let expected = (
        "NOTICE".to_owned(),
        "00000".to_owned(),
        "SET ignored".to_owned(),
        None,
    );
    assert_eq!(fields(&out), expected);
    assert_eq!(messages(&out)[1], ('C', &b"SET\0"[..]));
}

#[test]
fn d2_what_there_is_to_say_comes_first() {
    let mut out = Vec::new();
    let warning = Notice::Warning("port: not now".to_owned());
    complete(&Command::Reload, &[warning], &mut out);
    assert_eq!(tags(&out), "NC");
    let (severity, sqlstate, text, _) = fields(&out);
    assert_eq!(
        [severity, sqlstate, text],
        ["WARNING", "01000", "port: not now"]
    );
}

#[test]
fn d2_the_log_has_commands_in_words() {
    for (text, words) in [
        ("pause", "PAUSE"),
        ("pause \"My db\"", "PAUSE 'My db'"),
        ("kill_client 7", "KILL_CLIENT 7"),
        ("switchover a to \"b:1\"", "SWITCHOVER 'a' TO 'b:1'"),
        ("switchover a", "SWITCHOVER 'a'"),
        ("shutdown wait_for_clients", "SHUTDOWN WAIT_FOR_CLIENTS"),
        ("set a = 'b c'", "SET a=b c"),
        (
            "set auth_ldap_options = 'ldapbindpasswd=x'",
            "SET auth_ldap_options=***",
        ),
    ] {
        let command = parse(text.as_bytes(), Role::Admin).expect(text);
        assert_eq!(command.to_string(), words, "{text}");
    }
}

/// Every command that SHOW HELP names is one, and every SHOW is named.
#[test]
fn d2_help_tells_the_truth() {
    let mut out = Vec::new();
    answer(Show::Help, &Snapshot::default(), &mut out);
    let (severity, sqlstate, message, detail) = fields(&out);
    assert_eq!((severity.as_str(), sqlstate.as_str()), ("NOTICE", "00000"));
    assert_eq!(message, "Console usage");
    let detail = detail.expect("the commands");
    assert!(detail.starts_with("\n\tSHOW HELP|CONFIG|"));
    let mut shows = Vec::new();
    for line in detail.lines().skip(1) {
        let line = line.trim_start();
        let line = line
            .replace("[<db>]", "db")
            .replace("<db>", "db")
            .replace("[TO <host>]", "TO host")
            .replace("<client_id>", "1");
        let (word, arguments) = line.split_once(' ').unwrap_or((&line, ""));
        for argument in arguments.split('|') {
            let text = format!("{word} {argument}");
            match parse(text.as_bytes(), Role::Admin) {
                Ok(Command::Show(show)) => shows.push(show),
                other => drop(other.expect(&text)),
            }
        }
    }
    let all = super::columns::all();
    let missing = all
        .iter()
        .filter(|show| !matches!(show, Show::Fake(_)) && !shows.contains(show));
    assert_eq!(missing.collect::<Vec<_>>(), Vec::<&Show>::new());
}
