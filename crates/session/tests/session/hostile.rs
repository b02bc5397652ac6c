//! Bytes from people who do not keep to the protocol, or not to a cut that suits us.

use std::sync::Arc;

use pgweir_session::Verdict;
use pgweir_session::{Batch, Client, Mode, Parameters, Rules, Server, Settings, Statements};
use pgweir_wire::encode;
use proptest::prelude::*;

use crate::rng::Rng;
use crate::script;

fn base() -> Arc<Parameters> {
    let mut base = Parameters::default();
    base.insert(b"TimeZone", b"UTC");
    Arc::new(base)
}

fn rules(statements: &Statements) -> Rules<'_> {
    Rules {
        statements,
        max_statement_size: 512,
        extended_only: false,
        max_packet_size: 1 << 20,
        max_prepared_statements: 2,
    }
}

/// What became of a client's bytes.
#[derive(Debug, PartialEq)]
struct Outcome {
    to_server: Vec<u8>,
    to_client: Vec<u8>,
    end: Option<Verdict>,
    owed: usize,
}

/// A client says `bytes`, of which so many arrive at a time; nothing is ever answered.
fn judge(bytes: &[u8], mode: Mode, mut cut: impl FnMut(usize) -> usize) -> Outcome {
    let statements = Statements::new(1);
    let mut client = Client::new(mode, &Settings::default(), base());
    let mut server = Server::new(base());
    let mut batch = Batch::new();
    client.attach(&mut server, &rules(&statements), &mut batch);
    let (mut to_server, mut to_client) = (Vec::new(), Vec::new());
    let (mut held, mut at, mut end) = (Vec::new(), 0, None);
    while at < bytes.len() && end.is_none() {
        let len = cut(bytes.len() - at);
        held.extend_from_slice(&bytes[at..at + len]);
        at += len;
        let (mut there, mut back) = (Batch::new(), Batch::new());
        let rules = rules(&statements);
        let (consumed, verdict) =
            client.handle_request(&held, Some(&mut server), &rules, &mut there, &mut back);
        there.copy_after(&held, 0, &mut to_server);
        back.copy_after(&held, 0, &mut to_client);
        held.drain(..consumed);
        assert!(held.len() <= 64 * 1024 + at, "held back without bound");
        end = Some(verdict).filter(|verdict| *verdict != Verdict::More);
    }
    let owed = server.owed();
    Outcome {
        to_server,
        to_client,
        end,
        owed,
    }
}

/// A server says `bytes` while a pipeline of a client's is outstanding.
fn answer(bytes: &[u8], mut cut: impl FnMut(usize) -> usize) -> (Vec<u8>, bool, usize) {
    let statements = Statements::new(1);
    let startup = Settings::new([(&b"TimeZone"[..], &b"Berlin"[..])]);
    let mut client = Client::new(Mode::Transaction, &startup, base());
    let mut server = Server::new(base());
    let mut batch = Batch::new();
    client.attach(&mut server, &rules(&statements), &mut batch);
    let mut asked = Vec::new();
    encode::query(b"reset all", &mut asked);
    encode::parse(b"a", b"select 1", b"", &mut asked);
    encode::bind(b"", b"a", &[], &mut asked);
    encode::close(b'S', b"a", &mut asked);
    encode::execute(b"", 0, &mut asked);
    encode::sync(&mut asked);
    encode::query(b"copy t from stdin", &mut asked);
    let rules = rules(&statements);
    client.handle_request(
        &asked,
        Some(&mut server),
        &rules,
        &mut batch,
        &mut Batch::new(),
    );
    let (mut seen, mut held, mut at, mut broken) = (Vec::new(), Vec::new(), 0, false);
    while at < bytes.len() && !broken {
        let len = cut(bytes.len() - at);
        held.extend_from_slice(&bytes[at..at + len]);
        at += len;
        let mut back = Batch::new();
        match server.handle_replies(&held, Some(&mut client), &mut back) {
            Ok(consumed) => {
                back.copy_after(&held, 0, &mut seen);
                held.drain(..consumed);
            }
            Err(_) => {
                back.copy_after(&held, 0, &mut seen);
                broken = true;
            }
        }
    }
    let _ = (server.at_boundary(), server.can_clean(), server.left());
    (seen, broken, server.owed())
}

/// Frames with tags that occur and bodies that do not, or hardly.
fn frames(tags: &'static [u8]) -> impl Strategy<Value = Vec<u8>> {
    let body = prop_oneof![
        proptest::collection::vec(any::<u8>(), 0..20),
        proptest::sample::select(vec![
            &b""[..],
            b"I",
            b"a\0",
            b"\0",
            b"\0\0",
            b"\0a\0",
            b"Sa\0",
            b"S\0",
            b"Pp\0",
            b"\0a\0\0\0\0\0\0\0",
            b"\0\0\0\0\0",
            b"\0select 1\0\0\0",
            b"a\0select 1\0\0\0",
            b"select 1\0",
            b"reset all\0",
            b"SET\0",
            b"RESET\0",
            b"DISCARD ALL\0",
            b"DEALLOCATE ALL\0",
            b"TimeZone\0UTC\0",
            b"TimeZone\0Paris\0",
            b"SERROR\0C26000\0M\"pgweir_1\"\0\0",
            b"SERROR\0C0A000\0\0",
        ])
        .prop_map(<[u8]>::to_vec),
        proptest::collection::vec(any::<u8>(), 600..2000),
    ];
    let tag = prop_oneof![9 => proptest::sample::select(tags), 1 => any::<u8>()];
    let frame = (tag, body, 0..40usize).prop_map(|(tag, body, wrong)| {
        let mut out = Vec::new();
        encode::frame(tag, &body, &mut out);
        match wrong {
            // A length that is not that of the body.
            0 => out[4] ^= 1,
            1 => out[1] = 0xff,
            _ => {}
        }
        out
    });
    proptest::collection::vec(frame, 0..30).prop_map(|frames| frames.concat())
}

const CLIENT: &[u8] = b"QPBDECSHFdcfXp";
const SERVER: &[u8] = b"ZCETDnt123sIGHWdcSNAV";

proptest! {
    #![proptest_config(ProptestConfig { failure_persistence: None, ..Default::default() })]

    #[test]
    fn s1_clients_can_say_anything_in_any_pieces(bytes in frames(CLIENT), seed: u64) {
        for mode in [Mode::Transaction, Mode::Session] {
            let mut rng = Rng::new(seed);
            let whole = judge(&bytes, mode, |len| len);
            let pieces = judge(&bytes, mode, |len| rng.cut(len));
            let single = judge(&bytes, mode, |_| 1);
            // Where it is thrown out, more or less of what it said before may have gone out.
            if whole.end.is_none() {
                prop_assert_eq!(&whole, &pieces);
                prop_assert_eq!(&whole, &single);
            } else {
                prop_assert_eq!(&whole.end, &pieces.end);
                prop_assert_eq!(&whole.end, &single.end);
            }
        }
    }

    #[test]
    fn s2_servers_can_say_anything_in_any_pieces(bytes in frames(SERVER), seed: u64) {
        let mut rng = Rng::new(seed);
        let whole = answer(&bytes, |len| len);
        prop_assert_eq!(&whole, &answer(&bytes, |len| rng.cut(len)));
        prop_assert_eq!(&whole, &answer(&bytes, |_| 1));
    }

    #[test]
    fn s1_noise_is_no_danger(bytes in proptest::collection::vec(any::<u8>(), 0..300)) {
        judge(&bytes, Mode::Transaction, |len| len);
        answer(&bytes, |len| len);
    }

    #[test]
    fn s1_a_good_client_may_be_cut_anywhere(seed: u64, bursts in 1..6usize) {
        let mut rng = Rng::new(seed);
        let script = script::make(&mut rng, bursts, false, false);
        let bytes: Vec<u8> = script.bursts.iter().flat_map(|burst| burst.bytes.clone()).collect();
        let whole = judge(&bytes, Mode::Transaction, |len| len);
        prop_assert_eq!(whole, judge(&bytes, Mode::Transaction, |len| rng.cut(len)));
    }
}

#[test]
fn names_have_a_bound_however_they_come() {
    for (len, fits) in [(16_000, true), (17_000, false), (70_000, false)] {
        let name = "x".repeat(len);
        let mut messages = [const { Vec::new() }; 3];
        encode::describe(b'S', name.as_bytes(), &mut messages[0]);
        encode::close(b'S', name.as_bytes(), &mut messages[1]);
        encode::bind(b"", name.as_bytes(), &[], &mut messages[2]);
        for bytes in messages {
            for cut in [bytes.len(), 16_900, 1000] {
                let outcome = judge(&bytes, Mode::Transaction, |left| left.min(cut));
                assert_eq!(outcome.end.is_none(), fits, "{len} {cut} {:?}", outcome.end);
            }
        }
    }
}

#[test]
fn large_replies_pass_however_they_come() {
    // Two for the client's settings, the rest for its first request.
    let mut bytes = Vec::new();
    encode::command_complete("SET", &mut bytes);
    encode::frame(b'Z', b"I", &mut bytes);
    encode::frame(b'N', &[b'x'; 70_000], &mut bytes);
    encode::frame(b'E', &[b'x'; 70_000], &mut bytes);
    encode::frame(b'Z', b"I", &mut bytes);
    for cut in [bytes.len(), 65_536, 1000, 7] {
        let (seen, broken, _) = answer(&bytes, |left| left.min(cut));
        assert!(!broken && seen.len() > 140_000, "{cut}");
    }
    // A setting that cannot be put back for the next client is the end.
    bytes.clear();
    encode::parameter_status(b"TimeZone", &[b'x'; 70_000], &mut bytes);
    assert!(answer(&bytes, |left| left).1);
}
