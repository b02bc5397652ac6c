//! Which texts are which commands.

use proptest::prelude::*;

use crate::{CONSOLE_DATABASES, Command, Error, Fake, Role, Show, Shutdown, parse};

#[track_caller]
fn check(text: &str, expected: Command) {
    assert_eq!(
        parse(text.as_bytes(), Role::Admin),
        Ok(expected),
        "{text:?}"
    );
}

#[track_caller]
fn refused(role: Role, text: &str, expected: Error) {
    assert_eq!(parse(text.as_bytes(), role), Err(expected), "{text:?}");
}

#[track_caller]
fn invalid(text: &str) {
    refused(Role::Admin, text, Error::Invalid(text.into()));
}

fn set(key: &str, value: &str) -> Command {
    Command::Set {
        key: key.into(),
        value: value.into(),
    }
}

fn some(name: &str) -> Option<String> {
    Some(name.into())
}

#[test]
fn d2_shows_are_commands() {
    check("SHOW version", Command::Show(Show::Version));
    check("show\tversion\n", Command::Show(Show::Version));
    check("\r\n show  version ; ", Command::Show(Show::Version));
    check("sElEcT VerSion;", Command::Show(Show::Version));
    check("show \"version\"", Command::Show(Show::Version));
    check("\"SHOW\" \"VeRsion\"", Command::Show(Show::Version));
    check("SHOW ACTIVE_SOCKETS;", Command::Show(Show::ActiveSockets));
    check("show DateStyle", Command::Show(Show::Fake(Fake::DateStyle)));
    check("show timezone", Command::Show(Show::Fake(Fake::TimeZone)));
}

#[test]
fn d2_routes_are_explained_and_primaries_switched() {
    let explain = |text: &str| Command::ExplainRoute(text.into());
    check("EXPLAIN ROUTE SELECT 1", explain("SELECT 1"));
    check(
        " explain  route\n/* x */ select 'it''s'; ",
        explain("/* x */ select 'it''s'; "),
    );
    let switch = |to: Option<&str>| Command::Switchover {
        database: "shop".into(),
        to: to.map(Into::into),
    };
    check("SWITCHOVER shop", switch(None));
    check("switchover \"shop\" ;", switch(None));
    check(
        "Switchover shop To \"pg-2:5432\";",
        switch(Some("pg-2:5432")),
    );
    for text in [
        "explain",
        "explain route",
        "explain select 1",
        "switchover shop to",
        "switchover shop pg2",
        "switchover shop to a b",
    ] {
        invalid(text);
    }
    let console = Error::ConsoleDatabase {
        verb: "switchover",
        database: "pgweir".into(),
    };
    refused(Role::Admin, "switchover pgweir", console);
    refused(Role::Stats, "switchover shop", Error::AdminNeeded);
    assert_eq!(
        parse(b"explain route select 1", Role::Stats),
        Ok(explain("select 1"))
    );
}

#[test]
fn d2_actions_are_commands() {
    check("pause", Command::Pause(None));
    check("pause \"\"", Command::Pause(None));
    check("PAUSE abc;", Command::Pause(some("abc")));
    check("pause AbC", Command::Pause(some("AbC")));
    check("pause \"my-db\"", Command::Pause(some("my-db")));
    check(
        "pause \"a \"\"b\"\"; c\" ;",
        Command::Pause(some("a \"b\"; c")),
    );
    check("pause \"größe\"", Command::Pause(some("größe")));
    check("resume", Command::Resume(None));
    check("resume a", Command::Resume(some("a")));
    check("disable a", Command::Disable("a".into()));
    check("enable a", Command::Enable("a".into()));
    check("reconnect", Command::Reconnect(None));
    check("reconnect a", Command::Reconnect(some("a")));
    check("kill", Command::Kill(None));
    check("kill a", Command::Kill(some("a")));
    check("kill_client 17", Command::KillClient(17));
    check("wait_close", Command::WaitClose(None));
    check("wait_close a", Command::WaitClose(some("a")));
    check("reload", Command::Reload);
    check("Suspend;", Command::Suspend);
    check("shutdown", Command::Shutdown(Shutdown::Now));
    check(
        "shutdown wait_for_servers",
        Command::Shutdown(Shutdown::WaitForServers),
    );
    check(
        "SHUTDOWN WAIT_FOR_CLIENTS;",
        Command::Shutdown(Shutdown::WaitForClients),
    );
}

#[test]
fn d2_set_has_two_forms_of_value() {
    check("set server_lifetime=100;", set("server_lifetime", "100"));
    check("set server_lifetime =100", set("server_lifetime", "100"));
    check(
        "SET server_lifetime = \"100\" ;",
        set("server_lifetime", "100"),
    );
    check("set server_lifetime TO'100'", set("server_lifetime", "100"));
    check("set server_lifetime to 100", set("server_lifetime", "100"));
    check("set \"a-b\" = 'it''s; \"so\"'", set("a-b", "it's; \"so\""));
    check("set server_lifetime = ''", set("server_lifetime", ""));
    check("set timezone = 'x'", Command::FakeSet);
    check("SET DateStyle TO iso", Command::FakeSet);
    check("set client_encoding='UTF8'", Command::FakeSet);
    check("set extra_float_digits = 3", Command::FakeSet);
    check("set application_name = 'x'", set("application_name", "x"));
}

#[test]
fn d2_other_texts_are_no_commands() {
    for text in [
        "",
        ";",
        " ",
        "show",
        "show;",
        "show foo",
        "show \"\"",
        "suspend x",
        "help",
        "frobnicate",
        "show version;;",
        "show version; show version",
        "show version version",
        "-- x\nshow version",
        "show /* x */ version",
        "show\x0bversion",
        "show\"version\"",
        "show 'version'",
        "show \"version",
        "\"\" version",
        "select * from x",
        "select 1",
        "pause my-db",
        "pause;resume",
        "reload x",
        "shutdown x",
        "begin",
        "set",
        "set foo",
        "set foo to",
        "set foo =",
        "set server_lifetime = -1",
        "set server_lifetime = 1.5",
        "set server_lifetime==1",
        "set server_lifetime = 'x",
        "set max_client_conn=200 junk",
        "set timezonetox",
        "settimezone=x",
    ] {
        invalid(text);
    }
    let long = "-".repeat(3000);
    refused(Role::Admin, &long, Error::Invalid("-".repeat(1000)));
    let bytes = parse(b"\xff", Role::Admin);
    assert_eq!(bytes, Err(Error::Invalid("\u{fffd}".into())));
}

#[test]
fn d2_lengths_are_limited() {
    let text = |len| "a".repeat(len);
    invalid(&text(15));
    refused(Role::Admin, &text(16), Error::BadArguments);
    check(
        &format!("pause {}", text(63)),
        Command::Pause(Some(text(63))),
    );
    check(
        &format!("pause \"{}\"", text(63)),
        Command::Pause(Some(text(63))),
    );
    refused(
        Role::Admin,
        &format!("pause {}", text(64)),
        Error::BadArguments,
    );
    refused(
        Role::Admin,
        &format!("show {}", text(64)),
        Error::BadArguments,
    );
    check(&format!("set {} = x", text(63)), set(&text(63), "x"));
    refused(
        Role::Admin,
        &format!("set {} = x", text(64)),
        Error::BadArguments,
    );
    check(&format!("set a = '{}'", text(255)), set("a", &text(255)));
    refused(
        Role::Admin,
        &format!("set a = '{}'", text(256)),
        Error::BadArguments,
    );
}

#[test]
fn d2_arguments_are_right() {
    refused(Role::Admin, "disable", Error::DatabaseRequired);
    refused(Role::Admin, "enable;", Error::DatabaseRequired);
    for text in [
        "kill_client",
        "kill_client x",
        "kill_client 0x10",
        "kill_client 99999999999999999999",
    ] {
        refused(Role::Admin, text, Error::BadClient);
    }
    for database in CONSOLE_DATABASES {
        for (command, verb) in [
            ("pause", "pause"),
            ("disable", "disable"),
            ("enable", "enable"),
            ("reconnect", "reconnect"),
            ("kill", "kill"),
            ("wait_close", "wait in"),
        ] {
            let error = Error::ConsoleDatabase {
                verb,
                database: database.into(),
            };
            refused(Role::Admin, &format!("{command} {database}"), error);
        }
        let error = Error::DatabaseNotPaused(database.into());
        refused(Role::Admin, &format!("resume {database}"), error);
    }
    assert_eq!(
        parse(b"set a = '\xff'", Role::Admin),
        Err(Error::SetFailed { detail: None })
    );
}

#[test]
fn d2_who_may_look_only_looks() {
    for text in [
        "pause",
        "pause pgbouncer",
        "resume",
        "disable",
        "enable",
        "reconnect",
        "kill",
        "kill_client x",
        "wait_close",
        "reload",
        "suspend",
        "shutdown",
        "shutdown wait_for_clients",
        "show fds",
        "set server_lifetime = 1",
        "set foo = '\u{ff}'",
    ] {
        refused(Role::Stats, text, Error::AdminNeeded);
    }
    for text in ["frob", "reload x", "shutdown x", "show foo", "suspend x"] {
        refused(Role::Stats, text, Error::Invalid(text.into()));
    }
    assert_eq!(
        parse(b"show config", Role::Stats),
        Ok(Command::Show(Show::Config))
    );
    assert_eq!(
        parse(b"set timezone = x", Role::Stats),
        Ok(Command::FakeSet)
    );
}

/// Pieces of which texts are made that come near to commands.
fn near_commands() -> impl Strategy<Value = String> {
    let piece = prop_oneof![
        Just(" "),
        Just("\n"),
        Just(";"),
        Just("\""),
        Just("'"),
        Just("="),
        Just("to"),
        Just("set"),
        Just("show"),
        Just("pause"),
        Just("kill_client"),
        Just("pools"),
        Just("a"),
        Just("1"),
        Just("ß"),
    ];
    prop::collection::vec(piece, 0..12).prop_map(|pieces| pieces.concat())
}

proptest! {
    #![proptest_config(ProptestConfig::with_cases(512))]

    #[test]
    fn d2_no_text_makes_parse_panic(text in prop::collection::vec(any::<u8>(), 0..400)) {
        let _ = parse(&text, Role::Admin);
    }

    #[test]
    fn d2_no_near_command_makes_parse_panic(text in near_commands()) {
        let of_admin = parse(text.as_bytes(), Role::Admin);
        // Rights only take away.
        match parse(text.as_bytes(), Role::Stats) {
            Err(Error::AdminNeeded) => {}
            other => prop_assert_eq!(other, of_admin),
        }
    }

    #[test]
    fn d2_any_name_can_be_quoted(name in "[^\0]{1,15}") {
        prop_assume!(!CONSOLE_DATABASES.contains(&name.as_str()));
        let text = format!("PAUSE \"{}\"", name.replace('"', "\"\""));
        prop_assert_eq!(parse(text.as_bytes(), Role::Admin), Ok(Command::Pause(Some(name))));
    }

    #[test]
    fn d2_any_value_can_be_quoted(value in "[^\0]{0,60}") {
        let text = format!("set x = '{}'", value.replace('\'', "''"));
        prop_assert_eq!(parse(text.as_bytes(), Role::Admin), Ok(set("x", &value)));
    }
}
