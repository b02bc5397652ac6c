//! Conversations that the server ends.

use pgweir_session::{Batch, Goodbye, Mode};
use pgweir_wire::encode;

use crate::desk::Desk;

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
