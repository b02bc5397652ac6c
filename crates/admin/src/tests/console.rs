//! One connection's conversation.

use pgweir_wire::{encode, tag};
use proptest::prelude::*;

use super::{described, fields, messages, sample, tags};
use crate::{Command, Console, Error, Notice, Role, Show, Snapshot, Step};

/// A client and its console.
struct Talk {
    console: Console,
    snapshot: Snapshot,
    /// Commands that were performed.
    done: Vec<Command>,
    /// What performing gives.
    outcome: Result<Vec<Notice>, Error>,
    is_closed: bool,
}

fn talk() -> Talk {
    let (console, snapshot) = (Console::new(Role::Admin), sample::snapshot());
    Talk {
        console,
        snapshot,
        done: Vec::new(),
        outcome: Ok(Vec::new()),
        is_closed: false,
    }
}

impl Talk {
    /// What comes back for these frames.
    fn say(&mut self, write: impl FnOnce(&mut Vec<u8>)) -> Vec<u8> {
        let (mut input, mut out) = (Vec::new(), Vec::new());
        write(&mut input);
        for (tag, body) in messages(&input) {
            self.hear(tag as u8, body, &mut out);
        }
        out
    }

    fn hear(&mut self, tag: u8, body: &[u8], out: &mut Vec<u8>) {
        match self.console.handle_frame(tag, body, out) {
            Step::Next => {}
            Step::Show(asked) => self.console.show(asked, &self.snapshot, out),
            Step::Perform(asked) => {
                self.done.push(asked.question().clone());
                self.console.performed(asked, self.outcome.clone(), out);
            }
            Step::Close => self.is_closed = true,
        }
    }

    fn query(&mut self, text: &str) -> Vec<u8> {
        self.say(|out| encode::query(text.as_bytes(), out))
    }

    fn prepare(&mut self, name: &str, text: &str) -> Vec<u8> {
        self.say(|out| encode::parse(name.as_bytes(), text.as_bytes(), b"", out))
    }
}

#[test]
fn simple_queries_are_answered_one_by_one() {
    let mut talk = talk();
    assert_eq!(tags(&talk.query("show pools")), "TDDDCZ");
    assert_eq!(tags(&talk.query("show help")), "NCZ");
    assert_eq!(tags(&talk.query("set timezone = x")), "NCZ");
    assert_eq!(tags(&talk.query("pause \"a b\"")), "CZ");
    assert_eq!(talk.done, [Command::Pause(Some("a b".into()))]);
    assert_eq!(tags(&talk.query("")), "EZ");
    talk.outcome = Err(Error::AlreadyPaused);
    let out = talk.query("pause");
    assert_eq!(
        (tags(&out).as_str(), fields(&out).2.as_str()),
        ("EZ", "already suspended/paused")
    );
    assert!(talk.say(encode::terminate).is_empty() && talk.is_closed);
}

#[test]
fn prepared_statements_are_described_and_executed() {
    let mut talk = talk();
    assert_eq!(tags(&talk.prepare("s", "show lists")), "1");
    let out = talk.say(|out| encode::describe(b'S', b"s", out));
    assert_eq!(tags(&out), "tT");
    let run = |out: &mut Vec<u8>| {
        encode::bind(b"", b"s", &[], out);
        encode::describe(b'P', b"", out);
        encode::execute(b"", 0, out);
        encode::sync(out);
    };
    for _ in 0..2 {
        assert_eq!(tags(&talk.say(run)), format!("2T{}CZ", "D".repeat(14)));
    }
    let out = talk.say(|out| {
        encode::close(b'S', b"s", out);
        encode::flush(out);
        encode::describe(b'S', b"s", out);
        encode::sync(out);
    });
    assert_eq!(
        (tags(&out).as_str(), fields(&out).1.as_str()),
        ("3EZ", "26000")
    );
}

#[test]
fn commands_without_rows_are_described_as_such() {
    let mut talk = talk();
    for (text, expected) in [
        ("reload", "1tn2nCZ"),
        ("show help", "1tn2nNCZ"),
        ("set timezone=x", "1tn2nNCZ"),
    ] {
        let out = talk.say(|out| {
            encode::parse(b"", text.as_bytes(), b"", out);
            encode::describe(b'S', b"", out);
            encode::bind(b"", b"", &[], out);
            encode::describe(b'P', b"", out);
            encode::execute(b"", 0, out);
            encode::sync(out);
        });
        assert_eq!(tags(&out), expected, "{text}");
    }
    assert_eq!(talk.done, [Command::Reload]);
}

/// A Bind of the unnamed statement with one result format.
fn bind_in_format(code: u16, out: &mut Vec<u8>) {
    let mut body = vec![0; 2 + 2 + 2];
    body.extend([0, 1]);
    body.extend(code.to_be_bytes());
    encode::frame(tag::frontend::BIND, &body, out);
}

#[test]
fn results_come_in_the_format_that_was_asked_for() {
    let mut talk = talk();
    talk.prepare("", "show lists");
    let out = talk.say(|out| {
        bind_in_format(1, out);
        encode::describe(b'P', b"", out);
        encode::execute(b"", 1, out);
    });
    let messages = messages(&out);
    assert!(described(messages[1].1).iter().all(|column| column.3 == 1));
    assert!(
        messages[2].1.ends_with(&[0, 0, 0, 4, 0, 0, 0, 3]),
        "databases: 3 as int4"
    );
    talk.say(|out| bind_in_format(2, out));
    assert!(talk.is_closed, "there is no third format");
}

#[test]
fn rows_can_be_fetched_in_parts() {
    let mut talk = talk();
    talk.prepare("", "show pools");
    let mut fetch = |max_rows| talk.say(|out| encode::execute(b"p", max_rows, out));
    assert_eq!(tags(&fetch(1)), "E", "not bound");
    talk.say(encode::sync);
    talk.say(|out| encode::bind(b"p", b"", &[], out));
    let mut fetch = |max_rows| tags(&talk.say(|out| encode::execute(b"p", max_rows, out)));
    assert_eq!(fetch(2), "DDs");
    assert_eq!(fetch(1), "Ds");
    assert_eq!(fetch(1), "C");
    assert_eq!(fetch(0), "C", "nothing left");
    assert_eq!(tags(&talk.say(encode::sync)), "Z");
    assert_eq!(
        tags(&talk.say(|out| encode::execute(b"p", 0, out))),
        "E",
        "ended with Sync"
    );
}

#[test]
fn d2_a_portal_asks_for_its_command_once() {
    let mut talk = talk();
    talk.prepare("", "kill a");
    let out = talk.say(|out| {
        encode::bind(b"", b"", &[], out);
        encode::execute(b"", 0, out);
        encode::execute(b"", 0, out);
        encode::sync(out);
    });
    assert_eq!(tags(&out), "2CCZ");
    assert_eq!(talk.done.len(), 1);
}

#[test]
fn after_an_error_everything_up_to_sync_is_skipped() {
    let mut talk = talk();
    let out = talk.say(|out| {
        encode::parse(b"", b"nonsense", b"", out);
        encode::bind(b"", b"", &[], out);
        encode::query(b"reload", out);
        encode::execute(b"", 0, out);
        encode::sync(out);
        encode::query(b"show version", out);
    });
    assert_eq!(tags(&out), "EZTDCZ");
    assert!(talk.done.is_empty());
    talk.outcome = Err(Error::NotPaused);
    let out = talk.say(|out| {
        encode::parse(b"", b"resume", b"", out);
        encode::bind(b"", b"", &[], out);
        encode::execute(b"", 0, out);
        encode::execute(b"", 0, out);
        encode::sync(out);
    });
    assert_eq!(tags(&out), "12EZ");
}

#[test]
fn names_are_taken_once_and_limited() {
    let mut talk = talk();
    let code = |out: &[u8]| fields(out).1;
    talk.prepare("s", "show pools");
    assert_eq!(code(&talk.prepare("s", "show pools")), "42P05");
    talk.say(encode::sync);
    let bind = |out: &mut Vec<u8>| encode::bind(b"p", b"s", &[], out);
    talk.say(bind);
    assert_eq!(code(&talk.say(bind)), "42P03");
    talk.say(encode::sync);
    let out = talk.say(|out| encode::bind(b"p", b"s", &[Some(b"x")], out));
    assert_eq!(code(&out), "08P01");
    talk.say(encode::sync);
    talk.prepare("", "show pools");
    for number in 1..99 {
        assert_eq!(
            tags(&talk.prepare(&format!("s{number}"), "show pools")),
            "1"
        );
    }
    assert_eq!(
        tags(&talk.prepare("", "show stats")),
        "1",
        "takes no new place"
    );
    assert_eq!(code(&talk.prepare("s100", "show pools")), "53400");
}

#[test]
fn what_cannot_be_read_ends_the_connection() {
    for (kind, body, message) in [
        (
            b'F',
            &b""[..],
            "unsupported packet type for admin console: 70",
        ),
        (b'd', b"", "unsupported packet type for admin console: 100"),
        (b'Q', b"show pools", "bad packet"),
        (b'P', b"", "bad packet"),
        (b'B', b"\0", "bad packet"),
        (b'B', b"\0\0\0\0\0\0\0\0x", "bad packet"),
        (b'D', b"X\0", "bad packet"),
        (b'E', b"\0", "bad packet"),
        (b'C', b"", "bad packet"),
    ] {
        let mut talk = talk();
        let out = talk.say(|out| encode::frame(kind, body, out));
        assert_eq!(
            (tags(&out).as_str(), fields(&out).2.as_str()),
            ("E", message)
        );
        assert!(talk.is_closed);
    }
}

#[test]
fn d2_rights_hold_in_both_protocols() {
    let mut talk = talk();
    talk.console = Console::new(Role::Stats);
    for out in [talk.query("reload"), talk.prepare("", "reload")] {
        assert_eq!(fields(&out).2, "admin access needed");
    }
    talk.say(encode::sync);
    assert_eq!(tags(&talk.query("show config")), "TDCZ");
    assert!(talk.done.is_empty());
}

#[test]
fn d1_what_is_asked_is_known_before_it_is_answered() {
    let mut console = Console::new(Role::Stats);
    let mut out = Vec::new();
    let Step::Show(asked) = console.handle_frame(b'Q', b"show stats\0", &mut out) else {
        panic!("no question");
    };
    assert_eq!(*asked.question(), Show::Stats);
    assert!(asked.question().needs().stats && out.is_empty());
}

/// Frames that come near to what a client sends.
fn frame() -> impl Strategy<Value = (u8, Vec<u8>)> {
    let tag = prop::sample::select(b"QPBDECHSXFdp".as_slice());
    let piece = prop::sample::select(vec![
        &b"\0"[..],
        b"\0\0",
        b"\0\x01",
        b"S",
        b"P",
        b"a\0",
        b"show pools\0",
        b"pause\0",
        b"\0\0\0\x01",
    ]);
    let body = prop::collection::vec(piece, 0..6).prop_map(|pieces| pieces.concat());
    (tag, body)
}

proptest! {
    #[test]
    fn d2_no_frame_makes_the_console_panic(frames in prop::collection::vec(frame(), 0..20)) {
        let mut talk = talk();
        let mut out = Vec::new();
        for (tag, body) in frames {
            talk.hear(tag, &body, &mut out);
        }
        messages(&out);
    }
}
