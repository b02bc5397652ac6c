//! Errors that are the pooler's own, in the styles of PostgreSQL and of PgBouncer.

mod login;

use std::fs;

use pgweir_tests::{
    Cluster, Config, Major, Pooler, Room, Scene, ServerError, Target, Way, Wire, cases, free_port,
};
use pgweir_wire::encode;
use pgweir_wire::startup::PROTOCOL_3_0;

cases! {
    no_connection_to_be_had;
    in_the_conversation;
    time_is_over;
    commands_of_the_console;
    the_servers_own_are_handed_on;
    an_ini_speaks_as_pgbouncer;
}

/// What makes the pooler say it.
type Provoke = fn(&Scene) -> ServerError;

/// What is provoked, and how it has to look.
struct Case {
    provoke: Provoke,
    sqlstate: &'static str,
    message: &'static str,
    /// In PgBouncer's style, if it is another text.
    plain: Option<&'static str>,
    /// Whether PostgreSQL's style says more than the text.
    more: bool,
}

fn case(provoke: Provoke, sqlstate: &'static str, message: &'static str, more: bool) -> Case {
    Case {
        provoke,
        sqlstate,
        message,
        plain: None,
        more,
    }
}

impl Case {
    fn plain(self, text: &'static str) -> Self {
        Self {
            plain: Some(text),
            ..self
        }
    }
}

/// Provokes each in both styles, with a pooler of its own for each style.
fn check(major: Major, way: Way, change: fn(Config) -> Config, cases: &[Case]) {
    for style in ["postgresql", "pgbouncer"] {
        let scene = Scene::with(major, way, |config| {
            change(config).set("error_style", style)
        });
        for case in cases {
            let error = (case.provoke)(&scene);
            let more = if case.more {
                !error.hint.is_empty()
            } else {
                true
            };
            let (sqlstate, message, fields) = match style {
                "postgresql" => (case.sqlstate, case.message, "SVCM"),
                _ => ("08P01", case.plain.unwrap_or(case.message), "SCM"),
            };
            assert_eq!(
                (&*error.severity, &*error.sqlstate, &*error.message),
                ("FATAL", sqlstate, message),
                "{style}"
            );
            assert!(error.fields.starts_with(fields), "{style} {error:?}");
            match style {
                "postgresql" => assert!(more, "{error:?}"),
                _ => assert_eq!(&*error.fields, "SCM"),
            }
        }
    }
}

fn refused(target: &Target, parameters: &[(&str, &str)]) -> ServerError {
    let mut wire = Wire::open(target);
    wire.startup(target, PROTOCOL_3_0, parameters);
    let error = wire.login(target).unwrap_err();
    wire.closed();
    error
}

fn no_connection_to_be_had(major: Major) {
    let queue = |config: Config| {
        config
            .set("default_pool_size", 1)
            .set("query_wait_timeout", "300ms")
            .user_set("other", "query_timeout", "100ms")
            .database_set(
                "down",
                "hosts",
                [format!("127.0.0.1:{}", free_port()).as_str()],
            )
            .set("client_login_timeout", "1s")
            .database_set("down", "query_wait_timeout", "1min")
    };
    let cases = [
        case(
            |scene| {
                let mut holds = Wire::connect(&scene.target());
                holds.sql("BEGIN");
                let mut waits = Wire::connect(&scene.target());
                waits.write(|out| encode::query(b"SELECT 1", out));
                waits.last_error()
            },
            "53300",
            "query_wait_timeout",
            true,
        ),
        case(
            |scene| {
                let target = scene.target().user("other");
                let mut waits = Wire::connect(&target);
                scene.pooler().ask(&format!("PAUSE {}", scene.database));
                waits.write(|out| encode::query(b"SELECT 1", out));
                let error = waits.last_error();
                scene.pooler().ask(&format!("RESUME {}", scene.database));
                error
            },
            "57014",
            "query_timeout",
            true,
        ),
        case(
            |scene| refused(&scene.target().database("down"), &[]),
            "08006",
            "client_login_timeout (server down)",
            false,
        ),
    ];
    check(major, Way::Transaction, queue, &cases);
}

fn in_the_conversation(major: Major) {
    let begin = case(
        |scene| {
            let mut wire = Wire::connect(&scene.target());
            wire.write(|out| encode::query(b"BEGIN", out));
            loop {
                let frame = wire.frame();
                if frame.tag == b'E' {
                    wire.closed();
                    return frame.error();
                }
            }
        },
        "25001",
        "transaction blocks not allowed in statement pooling mode",
        false,
    );
    check(major, Way::Statement, |config| config, &[begin]);
    let unknown = case(
        |scene| {
            let mut wire = Wire::connect(&scene.target());
            wire.send(b"y\0\0\0\x04");
            wire.last_error()
        },
        "08P01",
        "invalid frontend message type 121",
        false,
    )
    .plain("unknown pkt");
    check(major, Way::Transaction, |config| config, &[unknown]);
}

fn time_is_over(major: Major) {
    let limits = |config: Config| {
        config
            .user_set("app", "query_timeout", "300ms")
            .user_set("other", "idle_transaction_timeout", "300ms")
            .user_set("plain", "transaction_timeout", "300ms")
            .user_set("old", "client_idle_timeout", "300ms")
            .set("client_login_timeout", "1s")
    };
    fn after(scene: &Scene, user: &str, sql: &str) -> ServerError {
        let mut wire = Wire::connect(&scene.target().user(user));
        wire.query("SELECT 1");
        if sql == "BEGIN" {
            wire.query(sql);
        } else if !sql.is_empty() {
            wire.write(|out| encode::query(sql.as_bytes(), out));
        }
        wire.last_error()
    }
    let cases = [
        case(
            |scene| after(scene, "app", "SELECT pg_sleep(100)"),
            "57014",
            "query timeout",
            false,
        ),
        case(
            |scene| after(scene, "other", "BEGIN"),
            "25P03",
            "idle transaction timeout",
            false,
        ),
        case(
            |scene| after(scene, "plain", "BEGIN"),
            "25P04",
            "transaction timeout",
            false,
        ),
        case(
            |scene| after(scene, "old", ""),
            "57P05",
            "client_idle_timeout",
            false,
        ),
        case(
            |scene| Wire::open(&scene.target()).last_error(),
            "08006",
            "client_login_timeout",
            true,
        ),
    ];
    check(major, Way::Transaction, limits, &cases);
}

fn commands_of_the_console(major: Major) {
    let kill_client = case(
        |scene| {
            let parameters = [("application_name", "victim")];
            let mut wire = Wire::try_connect(&scene.target(), &parameters).unwrap();
            let rows = scene.pooler().rows("SHOW CLIENTS");
            let row = rows
                .iter()
                .find(|row| row.text("application_name") == "victim");
            let id = row.expect("it is there").number("id");
            scene.pooler().ask(&format!("KILL_CLIENT {id}"));
            wire.last_error()
        },
        "57P01",
        "admin forced disconnect",
        false,
    );
    let kill = case(
        |scene| {
            let mut wire = Wire::connect(&scene.target());
            scene.pooler().ask(&format!("KILL {}", scene.database));
            wire.last_error()
        },
        "57P01",
        "database removed",
        false,
    );
    let shutdown = case(
        |scene| {
            scene.pooler().ask("RESUME");
            let mut held = Wire::connect(&scene.target());
            held.sql("BEGIN");
            let mut wire = Wire::connect(&scene.target());
            // The process ends with the transaction: nothing can come after this case.
            scene.pooler().ask("SHUTDOWN WAIT_FOR_SERVERS");
            wire.last_error()
        },
        "57P01",
        "server shutting down",
        false,
    );
    check(
        major,
        Way::Transaction,
        |config| config,
        &[kill_client, kill, shutdown],
    );
}

fn the_servers_own_are_handed_on(major: Major) {
    for (style, fields) in [("postgresql", "SVCM"), ("pgbouncer", "SCM")] {
        let scene = Scene::with(major, Way::Transaction, |config| {
            let config = config.set("error_style", style);
            config.database("missing", Cluster::shared(major))
        });
        let error = refused(&scene.target().database("missing"), &[]);
        assert_eq!(
            (&*error.sqlstate, &*error.message, &*error.fields),
            ("3D000", "database \"missing\" does not exist", fields)
        );
        // Said to a client that is in the middle of something, it goes through as it is.
        let mut wire = Wire::connect(&scene.target());
        wire.sql("BEGIN");
        let pid = wire.sql("SELECT pg_backend_pid()");
        scene.admin(&format!("SELECT pg_terminate_backend({})", pid[0]));
        let error = wire.last_error();
        assert_eq!(
            (&*error.sqlstate, &*error.message),
            (
                "57P01",
                "terminating connection due to administrator command"
            )
        );
    }
}

fn an_ini_speaks_as_pgbouncer(major: Major) {
    let cluster = Cluster::shared(major);
    let write = |room: &Room, port: u16, style: &str| {
        let users = room.join("userlist.txt");
        fs::write(&users, "\"app\" \"app-secret\"\n\"ops\" \"ops-secret\"\n").expect("ours");
        format!(
            "[databases]\npostgres = host=127.0.0.1 port={}\n[pgbouncer]\nlisten_addr = 127.0.0.1\n\
             listen_port = {port}\nunix_socket_dir =\nauth_file = {}\nadmin_users = ops\n{style}\n",
            cluster.port(),
            users.display()
        )
    };
    let pooler = Pooler::start_with_file("pgbouncer.ini", |room, port| write(room, port, ""));
    let nowhere = pooler.target("nowhere");
    let error = refused(&nowhere, &[]);
    assert_eq!((&*error.sqlstate, &*error.fields), ("08P01", "SCM"));
    let text = write(pooler.room(), pooler.port(), "error_style = postgresql");
    fs::write(pooler.room().join("pgbouncer.ini"), text).expect("ours");
    pooler.ask("RELOAD");
    let error = refused(&nowhere, &[]);
    assert_eq!((&*error.sqlstate, &*error.fields), ("3D000", "SVCM"));
}
