//! Conversations that end before the client says goodbye: the server closes the connection, or the
//! client does what its mode does not allow.

use pgweir_session::{Batch, Goodbye, Mode};
use pgweir_wire::encode;

use crate::desk::{Desk, run};

fn tags(words: &[String]) -> String {
    words.iter().map(|word| &word[..1]).collect()
}

#[test]
fn a_goodbye_of_the_server_is_heard_once() {
    for mode in [Mode::Session, Mode::Transaction, Mode::Statement] {
        // While a query runs.
        let mut desk = Desk::new();
        let mut client = desk.client_in(mode, &[]);
        desk.say(&mut client, |out| encode::query(b"select 1", out));
        desk.fake.terminate();
        let seen = desk.answers(&mut client);
        assert_eq!(tags(&seen), "E", "{seen:?}");
        assert!(seen[0].contains("57P01"), "{seen:?}");
        assert_eq!(desk.server.goodbye(), Goodbye::Heard);
        assert!(!desk.server.can_clean());
    }
    // While a transaction is idle.
    let mut desk = Desk::new();
    let mut client = desk.client(&[]);
    desk.query(&mut client, "begin");
    desk.fake.terminate();
    assert_eq!(tags(&desk.answers(&mut client)), "E");
    assert_eq!(desk.server.goodbye(), Goodbye::Heard);
}

#[test]
fn an_error_is_no_goodbye() {
    let mut desk = Desk::new();
    let mut client = desk.client(&[]);
    assert_eq!(tags(&desk.query(&mut client, "fail")), "EZ");
    assert_eq!(desk.server.goodbye(), Goodbye::No);
    assert!(desk.server.can_clean());
}

#[test]
fn s5_the_end_of_a_connection_between_two_leases_is_nobodys() {
    for (mode, seen, goodbye) in [
        (Mode::Transaction, "", Goodbye::Unheard),
        (Mode::Statement, "", Goodbye::Unheard),
        // The connection is the client's as long as it is there.
        (Mode::Session, "E", Goodbye::Heard),
    ] {
        let mut desk = Desk::new();
        let mut client = desk.client_in(mode, &[]);
        desk.query(&mut client, "select 1");
        desk.fake.terminate();
        assert_eq!(tags(&desk.answers(&mut client)), seen, "{mode:?}");
        assert_eq!(desk.server.goodbye(), goodbye, "{mode:?}");
        assert!(!desk.server.can_clean(), "{mode:?}");
    }
}

#[test]
fn a_goodbye_to_a_request_of_ours_is_not_for_the_client() {
    let mut desk = Desk::new();
    let mut client = desk.client(&[]);
    desk.server.ask(b"DISCARD ALL", &mut Batch::new());
    desk.fake.terminate();
    assert_eq!(tags(&desk.answers(&mut client)), "");
    assert_eq!(desk.server.goodbye(), Goodbye::Unheard);
}

#[test]
fn a_transaction_block_in_statement_mode_has_no_ready_for_query() {
    for (text, expected) in [
        ("begin", ""),
        ("begin; select 1", "CTDC"),
        ("begin; fail", "CE"),
    ] {
        let mut desk = Desk::new();
        let mut client = desk.client_in(Mode::Statement, &[]);
        assert_eq!(tags(&desk.query(&mut client, text)), expected, "{text}");
        assert!(client.is_refused(), "{text}");
        assert!(!desk.server.at_boundary() && desk.server.can_clean());
        desk.clean();
        assert!(desk.fake.is_idle(), "{text}");
    }
}

#[test]
fn a_transaction_block_in_statement_mode_is_refused_at_its_sync() {
    let mut desk = Desk::new();
    let mut client = desk.client_in(Mode::Statement, &[]);
    let seen = desk.ask(&mut client, |out| {
        run("", "begin", out);
        encode::flush(out);
    });
    assert_eq!(tags(&seen), "12C");
    assert!(!client.is_refused());
    assert_eq!(tags(&desk.ask(&mut client, encode::sync)), "");
    assert!(client.is_refused());
    desk.clean();
}

#[test]
fn a_whole_transaction_in_statement_mode_passes() {
    let mut desk = Desk::new();
    let mut client = desk.client_in(Mode::Statement, &[]);
    let seen = desk.query(&mut client, "begin; select 1; commit");
    assert_eq!(tags(&seen), "CTDCCZ");
    assert!(!client.is_refused() && desk.server.at_boundary());
    let seen = desk.ask(&mut client, |out| {
        for text in ["begin", "select 2", "commit"] {
            run("", text, out);
        }
        encode::sync(out);
    });
    assert_eq!(tags(&seen), "12C12DC12CZ");
    assert!(!client.is_refused() && desk.server.at_boundary());
    // What ends idle ends well, in whatever way.
    assert_eq!(tags(&desk.query(&mut client, "fail")), "EZ");
    assert!(!client.is_refused());
}

#[test]
fn what_was_sent_behind_a_refused_block_is_answered_to_nobody() {
    let mut desk = Desk::new();
    let mut first = desk.client_in(Mode::Statement, &[]);
    desk.ask(&mut first, |out| {
        run("a", "select 1", out);
        encode::sync(out);
    });
    let mut client = desk.client_in(Mode::Statement, &[]);
    let seen = desk.ask(&mut client, |out| {
        encode::query(b"begin", out);
        // Its ParseComplete might be ours to make.
        run("b", "select 1", out);
        encode::sync(out);
        encode::query(b"commit", out);
        encode::query(b"select 2", out);
    });
    // The connection is idle again by then, the client is refused nonetheless.
    assert_eq!(tags(&seen), "");
    assert!(client.is_refused());
    assert_eq!(desk.server.owed(), 0);
    desk.clean();
}

#[test]
fn in_other_modes_transaction_blocks_are_fine() {
    for mode in [Mode::Session, Mode::Transaction] {
        let mut desk = Desk::new();
        let mut client = desk.client_in(mode, &[]);
        assert_eq!(tags(&desk.query(&mut client, "begin")), "CZ", "{mode:?}");
        assert!(!client.is_refused(), "{mode:?}");
    }
}
