//! PgBouncer and pgweir side by side: the same ini, the same things said, on the same PostgreSQL.
//!
//! A play notes what it sees under names. What PgBouncer and pgweir did not say alike has to stand in
//! `docs/side-by-side.md`, with the reason; and what stands there has to differ.

mod command_line;
mod commands;
mod logins;
mod queries;
mod shows;
mod signals;
mod stage;
mod table;
mod talk;
mod timeouts;

use stage::{Side, Stage};

/// A play, which notes what it sees.
type Play = fn(&mut Stage);

/// The version whose differences are listed.
const VERSION: &str = "1.18";

/// All plays: the sections of the table.
const PLAYS: &[(&str, Play)] = &[
    ("logins", logins::logins),
    ("packets", logins::packets),
    ("limits", logins::limits),
    ("servers", logins::servers),
    ("queries", queries::queries),
    ("modes", queries::modes),
    ("sessions", queries::sessions),
    ("timeouts", timeouts::timeouts),
    ("commands", commands::commands),
    ("effects", commands::effects),
    ("shows", shows::shows),
    ("signals", signals::signals),
    ("log", signals::log),
    ("command line", command_line::command_line),
];

/// Performs a play with both, and compares.
fn perform(name: &str) {
    let version = Side::PgBouncer.version();
    if !version.starts_with(&format!("PgBouncer {VERSION}.")) {
        eprintln!("the differences to {VERSION} are listed, and this is {version}: not compared");
        return;
    }
    let (_, play) = PLAYS
        .iter()
        .find(|(known, _)| *known == name)
        .expect("a play");
    let [one, other] = std::thread::scope(|scope| {
        [Side::PgBouncer, Side::Pgweir]
            .map(|side| {
                scope.spawn(move || {
                    let mut stage = Stage::new(side);
                    play(&mut stage);
                    stage.noted()
                })
            })
            .map(|thread| thread.join().expect("the play comes to its end"))
    });
    table::check(name, &one, &other);
}

macro_rules! plays {
    ($($test:ident: $name:literal;)+) => {
        $(#[test]
        fn $test() {
            perform($name);
        })+

        #[test]
        fn every_section_has_a_play_and_every_play_a_test() {
            let tested = [$($name),+];
            assert_eq!(PLAYS.iter().map(|(name, _)| *name).collect::<Vec<_>>(), tested);
            for section in table::sections() {
                assert!(tested.contains(&&*section), "no play is called {section:?}");
            }
        }
    };
}

plays! {
    logins: "logins";
    packets: "packets";
    limits: "limits";
    servers: "servers";
    queries: "queries";
    modes: "modes";
    sessions: "sessions";
    timeouts: "timeouts";
    commands: "commands";
    effects: "effects";
    shows: "shows";
    signals: "signals";
    log: "log";
    command_line: "command line";
}
