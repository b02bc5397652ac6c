//! What a client has when it has set nothing: the defaults of its login, and those of its startup
//! packet.

use pgweir_session::{Client, Mode};
use pgweir_wire::encode;

use crate::desk::{Desk, run};

#[test]
fn what_the_server_has_anyway_is_not_set() {
    for (startup, is_set) in [
        (&[("timezone", "utc"), ("DateStyle", "iso")][..], false),
        (&[("DateStyle", "ISO, MDY")], false),
        (&[("application_name", "")], false),
        (&[("DateStyle", "ISO, DMY")], true),
        (&[("TimeZone", "Etc/UTC")], true),
        (&[("work_mem", "4MB")], true),
    ] {
        let mut desk = Desk::new();
        let client = desk.client(startup);
        assert_eq!(!desk.sent().is_empty(), is_set, "{startup:?}");
        let mut told = client.welcome();
        let style = told.find(|(name, _)| *name == b"DateStyle");
        let style = String::from_utf8_lossy(style.expect("it is reported").1);
        assert!(["ISO, MDY", "ISO, DMY"].contains(&&*style), "{style}");
    }
}

fn rows(seen: &[String]) -> Vec<&str> {
    let rows = seen.iter().filter_map(|word| word.strip_prefix("D ····"));
    rows.collect()
}

/// A client with settings of its startup packet, in the middle of a transaction.
fn in_a_transaction(mode: Mode) -> (Desk, Client) {
    let mut desk = Desk::new();
    let startup = [("TimeZone", "Berlin"), ("work_mem", "7MB")];
    let mut client = desk.client_in(mode, &startup);
    desk.query(&mut client, "set TimeZone = Tokyo");
    desk.query(&mut client, "begin");
    desk.query(&mut client, "set work_mem = 9MB");
    (desk, client)
}

#[test]
fn s4_a_reset_in_a_transaction_leads_to_the_clients_own_default() {
    for mode in [Mode::Session, Mode::Transaction] {
        for (reset, expected) in [
            ("reset TimeZone", ["Berlin", "9MB"]),
            ("set TimeZone to default", ["Berlin", "9MB"]),
            ("reset work_mem", ["Tokyo", "7MB"]),
            ("set work_mem to default", ["Tokyo", "7MB"]),
            ("reset all", ["Berlin", "7MB"]),
            ("notice; reset TimeZone", ["Berlin", "9MB"]),
        ] {
            let (mut desk, mut client) = in_a_transaction(mode);
            desk.query(&mut client, reset);
            let seen = desk.query(&mut client, "show TimeZone; show work_mem");
            assert_eq!(rows(&seen), expected, "{mode:?} {reset}");
            // What the transaction did goes with it, and the client hears of it.
            desk.query(&mut client, "rollback");
            let seen = desk.query(&mut client, "show TimeZone");
            assert_eq!(rows(&seen), ["Tokyo"], "{mode:?} {reset}");
            assert_eq!(client.settings().value(b"timezone"), Some(&b"Tokyo"[..]));
        }
    }
}

#[test]
fn s4_a_reset_that_was_prepared_leads_to_the_clients_own_default() {
    for (mode, reset, expected) in [
        (Mode::Transaction, "reset TimeZone", ["Berlin", "9MB"]),
        (
            Mode::Transaction,
            "set TimeZone = default",
            ["Berlin", "9MB"],
        ),
        (Mode::Transaction, "reset work_mem", ["Tokyo", "7MB"]),
        (Mode::Transaction, "reset all", ["Berlin", "7MB"]),
        (Mode::Session, "reset TimeZone", ["Berlin", "9MB"]),
    ] {
        for name in ["", "a"] {
            let (mut desk, mut client) = in_a_transaction(mode);
            desk.ask(&mut client, |out| {
                run(name, reset, out);
                encode::sync(out);
            });
            let seen = desk.ask(&mut client, |out| {
                for show in ["show TimeZone", "show work_mem"] {
                    run("", show, out);
                }
                encode::sync(out);
            });
            assert_eq!(rows(&seen), expected, "{mode:?} {reset}");
        }
    }
}

#[test]
fn s4_a_reset_lasts_in_session_mode() {
    let mut desk = Desk::new();
    let mut client = desk.client_in(Mode::Session, &[("TimeZone", "Berlin")]);
    desk.query(&mut client, "begin; reset TimeZone; commit");
    assert_eq!(rows(&desk.query(&mut client, "show TimeZone")), ["Berlin"]);
    desk.ask(&mut client, |out| {
        run("", "reset TimeZone", out);
        encode::sync(out);
    });
    assert_eq!(rows(&desk.query(&mut client, "show TimeZone")), ["Berlin"]);
}

#[test]
fn nothing_is_put_right_where_it_could_not_be() {
    // In a failed transaction, in the middle of a pipeline, ahead of a portal of before.
    let (mut desk, mut client) = in_a_transaction(Mode::Transaction);
    desk.query(&mut client, "reset work_mem");
    desk.say(&mut client, |out| encode::execute(b"", 0, out));
    desk.say(&mut client, encode::sync);
    let seen = desk.answers(&mut client);
    assert!(seen[0].contains("34000"), "{seen:?}");
    let seen = desk.query(&mut client, "show TimeZone");
    assert!(seen[0].contains("25P02"), "{seen:?}");
    assert_eq!(desk.server.own_error(), None);
    desk.query(&mut client, "rollback");
    assert_eq!(rows(&desk.query(&mut client, "show work_mem")), ["7MB"]);
}
