//! Conversations that went wrong once, or would with a simpler rule.

use pgweir_session::{Effects, Mode, Refusal, Verdict};
use pgweir_wire::{encode, tag::frontend};

use crate::desk::{Desk, bind, parse, rerun, run};

/// Puts `write` in front of a Sync.
fn synced(write: impl FnOnce(&mut Vec<u8>)) -> impl FnOnce(&mut Vec<u8>) {
    |out| {
        write(out);
        encode::sync(out);
    }
}

fn tags(words: &[String]) -> String {
    words.iter().map(|word| &word[..1]).collect()
}

fn has(words: &[String], text: &str) -> bool {
    words.iter().any(|word| word.contains(text))
}

#[test]
fn s1_a_reply_is_made_only_where_the_server_would_give_it() {
    let mut desk = Desk::new();
    let mut client = desk.client(&[]);
    desk.ask(&mut client, synced(|out| run("a", "select 1", out)));
    // The server has it: its ParseComplete is ours.
    let seen = desk.ask(&mut client, synced(|out| parse("b", "select 1", out)));
    assert_eq!(tags(&seen), "1Z");
    // In a failed transaction it would be an error.
    desk.query(&mut client, "begin; fail");
    let seen = desk.ask(&mut client, synced(|out| parse("c", "select 1", out)));
    assert!(has(&seen, "25P02"), "{seen:?}");
    assert_eq!(client.prepared(), 2);
}

#[test]
fn s1_notices_of_our_own_requests_stay_here() {
    let mut desk = Desk::new();
    let mut client = desk.client(&[]);
    let mut batch = pgweir_session::Batch::new();
    desk.server.ask(b"notice", &mut batch);
    let mut sent = Vec::new();
    batch.copy_after(&[], 0, &mut sent);
    desk.fake.feed(&sent);
    assert_eq!(desk.answers(&mut client), [""; 0]);
}

#[test]
fn s1_a_sync_that_a_failed_copy_did_not_read_is_answered() {
    let mut desk = Desk::new();
    let mut client = desk.client(&[]);
    let seen = desk.ask(&mut client, |out| {
        run("", "copy in refused", out);
        encode::sync(out);
    });
    assert_eq!(tags(&seen), "12GEZ");
    // Whether it would come could not be told, so nobody else gets the connection as it is.
    assert!(desk.server.left().has(Effects::UNKNOWN));
    let seen = desk.ask(&mut client, |out| {
        encode::frame(frontend::COPY_DONE, b"", out);
        encode::sync(out);
    });
    assert_eq!(tags(&seen), "Z");
    desk.clean();
    desk.attach(&mut client);
    assert_eq!(tags(&desk.query(&mut client, "select 1")), "TDCZ");
}

#[test]
fn s1_a_copy_whose_syncs_came_first_goes_on() {
    let mut desk = Desk::new();
    let mut client = desk.client(&[]);
    let seen = desk.ask(&mut client, |out| {
        run("", "copy in", out);
        encode::sync(out);
    });
    assert_eq!(tags(&seen), "12G");
    assert!(!desk.server.at_boundary() && !desk.server.takes_requests());
    let seen = desk.ask(&mut client, |out| {
        encode::frame(frontend::COPY_DATA, b"1\n", out);
        encode::sync(out);
        encode::frame(frontend::COPY_DONE, b"", out);
        encode::sync(out);
    });
    assert_eq!(tags(&seen), "CZ");
    assert!(desk.server.at_boundary());
}

#[test]
fn s2_no_boundary_before_the_sync() {
    let mut desk = Desk::new();
    let mut client = desk.client(&[]);
    let seen = desk.ask(&mut client, |out| {
        run("", "select 1", out);
        encode::flush(out);
    });
    assert_eq!(tags(&seen), "12DC");
    assert_eq!(desk.server.owed(), 0);
    assert!(!desk.server.at_boundary());
    desk.ask(&mut client, encode::sync);
    assert!(desk.server.at_boundary());
}

#[test]
fn s2_no_boundary_in_the_middle_of_a_frame() {
    let mut desk = Desk::new();
    let mut client = desk.client(&[]);
    desk.ask(&mut client, synced(|out| parse("a", "select $1", out)));
    let mut bytes = Vec::new();
    encode::bind(b"", b"a", &[Some(&[b'x'; 9000])], &mut bytes);
    encode::execute(b"", 0, &mut bytes);
    encode::sync(&mut bytes);
    // The names are there, the value is not.
    assert_eq!(desk.judge(&mut client, &bytes[..20]), (20, Verdict::More));
    assert!(!desk.server.takes_requests() && !desk.server.can_clean());
    let rest = bytes.len() - 20;
    assert_eq!(desk.judge(&mut client, &bytes[20..]), (rest, Verdict::More));
    assert_eq!(tags(&desk.answers(&mut client)), "2DCZ");
}

#[test]
fn s3_a_skipped_close_closes_nothing() {
    let mut desk = Desk::new();
    let mut client = desk.client(&[]);
    desk.ask(&mut client, synced(|out| parse("a", "select 1", out)));
    desk.ask(
        &mut client,
        synced(|out| {
            bind("nobody", out);
            encode::close(b'S', b"a", out);
        }),
    );
    assert_eq!(client.prepared(), 1);
    let seen = desk.ask(&mut client, synced(|out| rerun("a", out)));
    assert_eq!(tags(&seen), "2DCZ");
}

#[test]
fn s3_a_skipped_parse_gives_no_name() {
    let mut desk = Desk::new();
    let mut client = desk.client(&[]);
    // All of it in one go, so that nothing is known of the failure yet.
    desk.say(&mut client, |out| {
        bind("nobody", out);
        parse("a", "select 1", out);
        parse("", "select 2", out);
        encode::sync(out);
        rerun("a", out);
        encode::sync(out);
        rerun("", out);
        encode::sync(out);
    });
    assert_eq!(tags(&desk.answers(&mut client)), "EZEZEZ");
    assert_eq!(client.prepared(), 0);
}

#[test]
fn s3_a_failed_parse_can_be_followed_by_a_good_one_at_once() {
    let mut desk = Desk::new();
    let mut client = desk.client(&[]);
    let seen = desk.ask(&mut client, |out| {
        parse("a", "syntax x", out);
        encode::sync(out);
        run("a", "select 1", out);
        encode::sync(out);
    });
    assert_eq!(tags(&seen), "EZ12DCZ");
    // Nor has anybody else got the wrong text under the name that was tried.
    desk.query(&mut client, "select 1");
    let mut other = desk.client(&[]);
    let seen = desk.ask(&mut other, synced(|out| run("b", "select 1", out)));
    assert!(has(&seen, "D ····1"), "{seen:?}");
    let seen = desk.ask(&mut other, synced(|out| run("c", "syntax x", out)));
    assert_eq!(tags(&seen), "EZ", "{seen:?}");
}

#[test]
fn s4_errors_name_what_the_client_named() {
    let mut desk = Desk::new();
    let mut client = desk.client(&[]);
    desk.ask(
        &mut client,
        synced(|out| {
            parse("one", "select $1", out);
            parse("two", "select $1", out);
        }),
    );
    for name in ["one", "two"] {
        let quoted = format!("\"{name}\"");
        let seen = desk.ask(&mut client, synced(|out| bind(name, out)));
        assert!(has(&seen, "08P01") && has(&seen, &quoted), "{seen:?}");
        let seen = desk.ask(&mut client, synced(|out| parse(name, "select 1", out)));
        assert!(has(&seen, "42P05") && has(&seen, &quoted), "{seen:?}");
    }
    // Gone by the time the server answers.
    let seen = desk.ask(
        &mut client,
        synced(|out| {
            bind("two", out);
            encode::close(b'S', b"two", out);
        }),
    );
    assert!(has(&seen, "\"two\""), "{seen:?}");
    // What looks like a name of ours reaches nobody, and is not changed.
    let seen = desk.ask(&mut client, synced(|out| bind("pgweir_1", out)));
    assert!(has(&seen, "\"pgweir_1\""), "{seen:?}");
}

#[test]
fn s4_other_texts_with_our_names_are_left_alone() {
    let mut desk = Desk::new();
    let mut client = desk.client(&[]);
    desk.ask(&mut client, synced(|out| parse("a", "select 1", out)));
    let seen = desk.query(&mut client, "syntax pgweir_1");
    assert!(has(&seen, "syntax pgweir_1"), "{seen:?}");
}

#[test]
fn s4_names_can_be_given_anew_right_behind_a_sweep() {
    for sweep in ["discard all", "deallocate all"] {
        let mut desk = Desk::new();
        let mut client = desk.client(&[]);
        desk.ask(
            &mut client,
            synced(|out| {
                parse("a", "select 1", out);
                parse("b", "select 2", out);
            }),
        );
        let seen = desk.ask(&mut client, |out| {
            encode::query(sweep.as_bytes(), out);
            run("a", "select 2", out);
            run("b", "select 1", out);
            encode::sync(out);
        });
        assert_eq!(tags(&seen), "CZ12DC12DCZ", "{sweep}");
        assert!(has(&seen[..5], "D ····2"), "{seen:?}");
        assert_eq!(client.prepared(), 2);
        let seen = desk.ask(&mut client, synced(|out| rerun("a", out)));
        assert!(has(&seen, "D ····2"), "{seen:?}");
    }
}

#[test]
fn s4_reset_brings_back_what_the_startup_packet_said() {
    let mut desk = Desk::new();
    let startup = [("TimeZone", "Berlin"), ("DateStyle", "German")];
    let mut client = desk.client(&startup);
    for reset in ["reset all", "discard all", "RESET timezone"] {
        desk.query(&mut client, "set TimeZone = Tokyo");
        let seen = desk.ask(&mut client, |out| {
            encode::query(reset.as_bytes(), out);
            encode::query(b"show TimeZone", out);
            encode::query(b"show DateStyle", out);
        });
        let values: Vec<_> = seen
            .iter()
            .filter(|word| word.starts_with(['D', 'S']))
            .collect();
        assert_eq!(
            values,
            ["S TimeZone·Berlin·", "D ····Berlin", "D ····German, DMY"],
            "{reset}"
        );
    }
    // One that fails resets nothing.
    desk.query(&mut client, "set TimeZone = Tokyo");
    let seen = desk.query(&mut client, "begin; reset all; fail");
    assert!(!has(&seen, "TimeZone"), "{seen:?}");
    assert_eq!(client.settings().value(b"timezone"), Some(&b"Tokyo"[..]));
}

#[test]
fn s4_equal_texts_under_other_settings_are_not_shared() {
    let mut desk = Desk::new();
    let mut us = desk.client(&[]);
    let seen = desk.ask(&mut us, synced(|out| run("a", "parsed DateStyle", out)));
    assert!(has(&seen, "ISO, MDY"), "{seen:?}");
    let mut german = desk.client(&[("DateStyle", "German")]);
    let seen = desk.ask(&mut german, synced(|out| run("a", "parsed DateStyle", out)));
    assert!(has(&seen, "German"), "{seen:?}");
    desk.attach(&mut us);
    let seen = desk.ask(&mut us, synced(|out| rerun("a", out)));
    assert!(has(&seen, "ISO, MDY"), "{seen:?}");
}

#[test]
fn s5_nobody_reaches_the_unnamed_statement_of_another() {
    let mut desk = Desk::new();
    let mut first = desk.client(&[]);
    desk.ask(&mut first, synced(|out| run("", "select secret", out)));
    let mut second = desk.client(&[]);
    // Its own Parse is skipped, and nothing of that is known yet.
    desk.say(&mut second, |out| {
        bind("nobody", out);
        parse("", "select 2", out);
        encode::sync(out);
    });
    desk.say(&mut second, synced(|out| rerun("", out)));
    let seen = desk.answers(&mut second);
    assert!(!has(&seen, "secret"), "{seen:?}");
    desk.query(&mut second, "");
    desk.attach(&mut first);
    desk.ask(&mut first, synced(|out| run("", "select secret", out)));
    desk.attach(&mut second);
    // The same with a Close, and with a Query, that is skipped.
    for skipped in [
        (|out| encode::close(b'S', b"", out)) as fn(&mut Vec<u8>),
        |out| encode::query(b"select 3", out),
    ] {
        desk.say(&mut second, |out| {
            bind("nobody", out);
            skipped(out);
            encode::sync(out);
        });
        desk.say(&mut second, synced(|out| rerun("", out)));
        let seen = desk.answers(&mut second);
        assert!(!has(&seen, "secret"), "{seen:?}");
    }
}

#[test]
fn s5_what_a_function_call_did_is_not_known() {
    let mut desk = Desk::new();
    let mut client = desk.client(&[]);
    desk.ask(&mut client, |out| {
        encode::frame(frontend::FUNCTION_CALL, &[0; 10], out);
    });
    assert!(desk.server.at_boundary());
    assert!(desk.server.left().has(Effects::UNKNOWN));
}

#[test]
fn s5_what_is_sent_behind_a_discard_is_not_forgotten_with_it() {
    let mut desk = Desk::new();
    let mut client = desk.client(&[]);
    desk.ask(&mut client, |out| {
        encode::query(b"discard all", out);
        encode::query(b"select pg_advisory_lock(1)", out);
    });
    assert!(desk.server.left().has(Effects::LOCK));
    desk.query(&mut client, "discard all");
    assert!(desk.server.left().is_none());
}

#[test]
fn s5_a_set_is_harmless_only_in_its_own_portal() {
    let mut desk = Desk::new();
    let mut client = desk.client(&[]);
    desk.ask(
        &mut client,
        synced(|out| {
            parse("a", "set work_mem = 9MB", out);
            parse("b", "set local TimeZone = Paris", out);
            encode::bind(b"p", b"a", &[], out);
            encode::bind(b"", b"b", &[], out);
            encode::execute(b"p", 0, out);
        }),
    );
    assert!(desk.server.left().has(Effects::SETTING));
}

#[test]
fn s5_a_transaction_that_no_answer_has_shown_is_rolled_back() {
    let mut desk = Desk::new();
    let mut client = desk.client(&[]);
    desk.ask(&mut client, |out| {
        run("", "begin", out);
        run("", "fail", out);
    });
    assert!(!desk.server.at_boundary() && desk.server.can_clean());
    desk.clean();
}

#[test]
fn s5_a_client_that_goes_before_it_has_asked_leaves_nothing_owed() {
    let mut desk = Desk::new();
    desk.max_prepared = 0;
    let mut client = desk.client(&[]);
    desk.ask(&mut client, synced(|out| parse("a", "select 1", out)));
    // Statements beyond the limit are closed when the next lease begins.
    desk.attach(&mut client);
    let mut batch = pgweir_session::Batch::new();
    desk.server.finish(&mut batch);
    assert!(!batch.is_empty());
    let mut sent = desk.sent().to_vec();
    batch.copy_after(&[], 0, &mut sent);
    desk.fake.feed(&sent);
    let replies = std::mem::take(&mut desk.fake.output);
    let mut to_client = pgweir_session::Batch::new();
    desk.server
        .handle_replies(&replies, None, &mut to_client)
        .unwrap();
    assert!(desk.server.at_boundary() && desk.fake.engine.named.is_empty());
}

#[test]
fn s5_a_preparation_that_fails_is_no_error_of_ours() {
    let mut desk = Desk::new();
    let mut client = desk.client(&[]);
    desk.ask(&mut client, synced(|out| parse("a", "missing t", out)));
    desk.query(&mut client, "begin");
    desk.ask(&mut client, synced(|out| parse("b", "select 1", out)));
    desk.query(&mut client, "fail");
    desk.clean();
    desk.attach(&mut client);
    desk.query(&mut client, "begin; fail");
    // Prepared anew here, in vain; and the client is gone before it hears of it.
    desk.say(&mut client, synced(|out| bind("b", out)));
    let sent = desk.sent().to_vec();
    desk.fake.feed(&sent);
    let replies = std::mem::take(&mut desk.fake.output);
    let mut to_client = pgweir_session::Batch::new();
    desk.server
        .handle_replies(&replies, None, &mut to_client)
        .unwrap();
    assert_eq!(desk.server.own_error(), None);
}

#[test]
fn a_statement_that_is_too_long_is_so_however_it_comes() {
    let mut bytes = Vec::new();
    parse("a", &"x".repeat(5000), &mut bytes);
    for cut in [100, bytes.len()] {
        let mut desk = Desk::new();
        let mut client = desk.client(&[]);
        let refusal = desk.refused(&mut client, &bytes[..cut]);
        assert!(
            matches!(refusal, Refusal::StatementTooLong { .. }),
            "{refusal:?}"
        );
    }
    // Without a name it works as long as the lease lasts.
    let mut desk = Desk::new();
    let mut client = desk.client(&[]);
    let text = format!("select {}", "x".repeat(5000));
    let seen = desk.ask(&mut client, synced(|out| run("", &text, out)));
    assert_eq!(tags(&seen), "12DCZ");
    assert!(desk.server.left().has(Effects::UNKNOWN));
}

#[test]
fn a_length_that_no_longer_fits_is_refused() {
    let mut desk = Desk::new();
    let mut client = desk.client(&[]);
    desk.ask(&mut client, synced(|out| parse("a", "select $1", out)));
    let mut front = vec![frontend::BIND];
    front.extend_from_slice(&u32::MAX.to_be_bytes());
    front.extend_from_slice(b"\0a\0");
    let refusal = desk.refused(&mut client, &front);
    assert!(
        matches!(refusal, Refusal::StatementTooLong { .. }),
        "{refusal:?}"
    );
}

#[test]
fn a_query_that_is_cut_is_judged_by_its_whole_text() {
    let mut desk = Desk::new();
    let mut client = desk.client(&[]);
    let mut bytes = Vec::new();
    encode::query(b"select pg_advisory_lock(1)", &mut bytes);
    assert_eq!(desk.judge(&mut client, &bytes[..20]), (0, Verdict::More));
    assert!(desk.server.left().is_none());
    assert_eq!(
        desk.judge(&mut client, &bytes),
        (bytes.len(), Verdict::More)
    );
    assert_eq!(desk.server.left(), Effects::LOCK);
}

#[test]
fn in_session_mode_names_pass() {
    let mut desk = Desk::new();
    let mut client = desk.client_in(Mode::Session, &[("TimeZone", "Berlin")]);
    desk.ask(&mut client, synced(|out| run("a", "select 1", out)));
    assert_eq!(desk.fake.engine.named.len(), 1);
    let seen = desk.ask(&mut client, |out| {
        encode::query(b"discard all", out);
        encode::query(b"show TimeZone", out);
        rerun("a", out);
        encode::sync(out);
    });
    assert_eq!(tags(&seen), "CZTDCZEZ");
    assert!(has(&seen, "Berlin") && has(&seen, "\"a\" does not exist"));
}
