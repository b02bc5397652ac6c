use proptest::prelude::*;

use super::*;
use crate::lex::Trails;

fn judged(text: &str) -> Judgement {
    judge(text.as_bytes(), Dialect::default(), &NoCatalog)
}

/// What a name or value is written as.
fn written(span: Span, text: &str) -> &str {
    std::str::from_utf8(span.of(text.as_bytes())).expect("cut between letters")
}

#[test]
fn what_has_to_be_followed_is_told() {
    use Access::{ReadOnly, ReadWrite, Unsaid};
    use Statement as S;
    for (text, expected) in [
        ("select 1", S::Other),
        ("select 1; select 2", S::Several),
        ("begin", S::Begin(Unsaid)),
        ("start transaction read only", S::Begin(ReadOnly)),
        ("begin read only, read write", S::Begin(ReadWrite)),
        (
            "begin isolation level repeatable read read only",
            S::Begin(ReadOnly),
        ),
        ("begin isolation level read committed", S::Begin(Unsaid)),
        ("set transaction read only", S::SetTransaction(ReadOnly)),
        (
            "set local transaction read write",
            S::SetTransaction(ReadWrite),
        ),
        (
            "set transaction isolation level read committed",
            S::SetTransaction(Unsaid),
        ),
        (
            "set transaction_read_only = on",
            S::SetTransaction(ReadOnly),
        ),
        (
            "set session characteristics as transaction read only",
            S::SetDefault(ReadOnly),
        ),
        (
            "set session session characteristics as transaction read write",
            S::SetDefault(ReadWrite),
        ),
        (
            "set default_transaction_read_only to 'off'",
            S::SetDefault(ReadWrite),
        ),
        (
            "set session default_transaction_read_only = 1",
            S::SetDefault(ReadOnly),
        ),
        (
            "set default_transaction_read_only = default",
            S::SetDefault(Unsaid),
        ),
        ("reset default_transaction_read_only", S::SetDefault(Unsaid)),
        ("commit", S::End { chain: false }),
        ("abort work", S::End { chain: false }),
        ("end and no chain", S::End { chain: false }),
        ("rollback and chain", S::End { chain: true }),
        ("rollback to a", S::Other),
        ("savepoint a", S::Other),
        ("commit prepared 'a'", S::Other),
        ("deallocate all", S::Deallocate(None)),
        ("discard all", S::Deallocate(None)),
        ("discard plans", S::Other),
        ("set a = b", S::Other),
    ] {
        assert_eq!(judged(text).statement, expected, "{text}");
    }
}

#[test]
fn names_of_prepared_statements_are_told() {
    for (text, expected) in [
        ("prepare A as select 1", "a"),
        ("prepare \"A\"\"b\" (int) as delete from t", "A\"b"),
        ("execute A(1)", "a"),
        ("explain execute \"a b\"", "a b"),
        ("explain (analyze) execute c", "c"),
        ("deallocate A", "a"),
        ("deallocate prepare A", "a"),
        ("deallocate prepare", "prepare"),
    ] {
        let (Statement::Prepare(name)
        | Statement::Execute(name)
        | Statement::Deallocate(Some(name))) = judged(text).statement
        else {
            panic!("{text}: {:?}", judged(text).statement);
        };
        let mut room = [0; Name::LEN_MAX];
        assert_eq!(
            name.stored(text.as_bytes(), &mut room),
            Some(expected.as_bytes()),
            "{text}"
        );
    }
    let long = format!("execute {}", "x".repeat(70));
    let Statement::Execute(name) = judged(&long).statement else {
        panic!("{long}");
    };
    let mut room = [0; Name::LEN_MAX];
    assert_eq!(
        name.stored(long.as_bytes(), &mut room).map(<[u8]>::len),
        Some(63)
    );
}

#[test]
fn settings_of_our_own_are_told() {
    let check = |text: &str, verb: &str, name: &str, value: Option<&str>| {
        let Statement::Own(own) = judged(text).statement else {
            panic!("{text}: {:?}", judged(text).statement);
        };
        let (found, span, given) = match own {
            Own::Set { name, value } => ("set", name, Some(value)),
            Own::SetLocal { name, value } => ("local", name, Some(value)),
            Own::Reset { name } => ("reset", name, None),
            Own::Show { name } => ("show", name, None),
        };
        assert_eq!((found, written(span, text)), (verb, name), "{text}");
        let given = given.and_then(|value| Own::value(value, text.as_bytes()));
        assert_eq!(given, value.map(str::as_bytes), "{text}");
    };
    check(
        "set pgweir.target = 'standby'",
        "set",
        "target",
        Some("standby"),
    );
    check(
        "SET SESSION PGWEIR.target TO primary;",
        "set",
        "target",
        Some("primary"),
    );
    check(
        "set local pgweir . target to auto",
        "local",
        "target",
        Some("auto"),
    );
    check(
        "set pgweir.min_lsn = '0/16B3748'",
        "set",
        "min_lsn",
        Some("0/16B3748"),
    );
    check("set pgweir.target = 'it''s'", "set", "target", None);
    check("set pgweir.target = e'a'", "set", "target", None);
    check("set pgweir.target = default", "reset", "target", None);
    check("reset pgweir.target", "reset", "target", None);
    check("show pgweir.lsn", "show", "lsn", None);
    for text in [
        "set a.pgweir = 1",
        "set pgweir = 1",
        "show pgweir",
        "set pgweir.target",
    ] {
        assert_eq!(judged(text).statement, Statement::Other, "{text}");
    }
}

#[test]
fn the_word_that_decided_is_told() {
    for (text, expected) in [
        ("select a, nextval('x') from t", "nextval"),
        ("select 1; delete from t", "delete"),
        ("with a as (update t set a = 1) select 1", "update"),
        ("select * from t for share", "for"),
        ("select public.Mine(1)", "Mine"),
        ("select 1 from pg_locks", "pg_locks"),
        ("select mine(), nextval('s')", "nextval"),
    ] {
        assert_eq!(written(judged(text).at, text), expected, "{text}");
    }
}

#[test]
fn each_statement_is_judged_by_itself() {
    let function = "create function f() begin atomic select 1; select case when a then 1 end; end";
    let rule = "create rule r as on insert to t do (select 1; select 2)";
    let text = format!("begin; select ';' ; /* ; */ delete from t;; {function}; {rule}; commit");
    let mut statements = Statements::new(text.as_bytes(), Dialect::default(), &NoCatalog);
    let mut found = Vec::new();
    while let Some(statement) = statements.next() {
        let end = statements.end();
        found.push((statement.reason, text[statement.start..end].trim_end()));
    }
    assert_eq!(
        found,
        [
            (Reason::Transaction, "begin"),
            (Reason::Query, "select ';'"),
            (Reason::Write, "delete from t"),
            (Reason::Definition, function),
            (Reason::Definition, rule),
            (Reason::Transaction, "commit"),
        ]
    );
}

#[test]
fn a_text_that_is_not_seen_whole_goes_to_the_primary() {
    assert_eq!(Judgement::UNSEEN.intent(), Intent::Primary);
}

#[test]
fn words_for_metrics_are_different() {
    let words: std::collections::BTreeSet<_> =
        Reason::ALL.iter().map(|reason| reason.word()).collect();
    assert_eq!(words.len(), Reason::ALL.len());
}

/// What reading a text to its end costs, statement by statement: bytes looked at.
fn cost(text: &[u8], dialect: Dialect) -> usize {
    let mut statements = Statements::new(text, dialect, &NoCatalog);
    while statements.next().is_some() {}
    statements.looked_at()
}

/// Each byte is looked at a few times at most: in a comment behind a string by what may continue
/// the string too; and each token and each run of blanks counts one more.
const COST_MAX: usize = 4;

#[test]
fn ten_megabytes_of_malice_cost_no_more_than_their_length() {
    const LEN: usize = 10 << 20;
    let repeated = |part: &str| part.repeat(LEN / part.len()).into_bytes();
    let after = |front: &str, part: &str| [front.as_bytes(), &repeated(part)].concat();
    for (name, text) in [
        ("open comments", repeated("/*")),
        ("nested comments", [repeated("/*"), repeated("*/")].concat()),
        ("almost comments", after("select 1 ", "- - / * ")),
        ("dollars", repeated("$")),
        ("dollar tags", after("select ", "$a$b")),
        ("dollar tags that never end", after("select $x$", "$y$")),
        ("long dollar tag", after("select $", "a")),
        (
            "long dollar tags",
            after("select ", "$aaaaaaaaaaaaaaaaaaaaaaaaaaaa "),
        ),
        ("parentheses", after("select ", "(")),
        ("closing ones", after("select ", ")")),
        ("levels with WITH", after("", "(with a as ")),
        ("quotes", repeated("'")),
        ("strings", after("select ", "'a' ")),
        ("strings that might go on", after("select ", "'a'\n--x\n")),
        ("strings that go on", after("select ", "'a'\n--x\n 'b'")),
        ("names in quotes", after("select ", "\"a\"\"")),
        ("backslashes", after("select e'", "\\")),
        ("one name", after("select ", "a")),
        ("points", after("select a", ".a")),
        ("calls", after("select ", "f(")),
        ("FOR", after("select ", "for ")),
        ("FOR and comments", after("select ", "for /* x */")),
        ("DML words", after("with a as (", "update delete ")),
        ("semicolons", repeated(";")),
        ("statements", repeated("select 1;")),
        ("EXPLAIN", repeated("explain ")),
        ("PREPARE", repeated("prepare a as ")),
        (
            "routines",
            repeated("create function f() begin atomic select 1; end;"),
        ),
        (
            "CASE in a routine",
            after("create function f() begin atomic ", "case "),
        ),
        ("options", after("explain (", "analyze off, ")),
        ("modes", after("begin ", "read only ")),
        ("numbers", after("select ", "1.2.3..4")),
        ("operators", after("select ", "+-*/<>=")),
        ("zeros", vec![0; LEN]),
        ("letters beyond ASCII", vec![0xff; LEN]),
    ] {
        let cost = cost(&text, Dialect::default());
        assert!(
            cost <= COST_MAX * text.len(),
            "{name}: {cost} for {} bytes",
            text.len()
        );
    }
}

/// Pieces of SQL and what else may be between them.
fn pieces() -> impl Strategy<Value = Vec<u8>> {
    const PIECES: [&str; 62] = [
        "select",
        "insert into t",
        "delete from t",
        "update t set a = 1",
        "merge into",
        "with",
        "as",
        "(",
        ")",
        ";",
        "'",
        "\"",
        "$$",
        "$a$",
        "/*",
        "*/",
        "--",
        "\n",
        " ",
        "e'",
        "u&'",
        "u&\"",
        "b'",
        "\\",
        "''",
        ".",
        ",",
        "::",
        "for update",
        "for",
        "into",
        "from",
        "f(",
        "nextval(",
        "begin",
        "atomic",
        "end",
        "case",
        "create function",
        "explain",
        "analyze",
        "(analyze)",
        "prepare",
        "execute",
        "copy",
        "to",
        "stdout",
        "declare c cursor for",
        "set",
        "transaction",
        "read only",
        "pgweir.target",
        "=",
        "show",
        "commit",
        "and chain",
        "$1",
        "1.5",
        "pg_temp",
        "/* pgweir: standby */",
        "\0",
        "é",
    ];
    let piece = prop_oneof![
        8 => prop::sample::select(&PIECES[..]).prop_map(|piece| format!("{piece} ").into_bytes()),
        4 => prop::sample::select(&PIECES[..]).prop_map(|piece| piece.as_bytes().to_vec()),
        1 => prop::collection::vec(any::<u8>(), 0..8),
    ];
    prop::collection::vec(piece, 0..40).prop_map(|pieces| pieces.concat())
}

fn dialects() -> impl Strategy<Value = Dialect> {
    let trails = prop_oneof![Just(Trails::High), Just(Trails::Ascii)];
    (any::<bool>(), trails).prop_map(|(standard_conforming_strings, trails)| Dialect {
        standard_conforming_strings,
        trails,
    })
}

proptest! {
    #![proptest_config(ProptestConfig::with_cases(2000))]

    #[test]
    fn no_bytes_make_it_panic_or_cost_more_than_their_length(
        text in prop_oneof![pieces(), prop::collection::vec(any::<u8>(), 0..200)],
        dialect in dialects(),
    ) {
        for cut in 0..=text.len() {
            let text = &text[..cut];
            let judgement = judge(text, dialect, &NoCatalog);
            prop_assert!(judgement.at.end as usize <= text.len());
            prop_assert!(cost(text, dialect) <= COST_MAX * text.len() + 8);
        }
    }

    /// R1 for texts of several statements, whatever stands between them.
    #[test]
    fn r1_a_text_wants_what_its_weightiest_statement_wants(
        parts in prop::collection::vec(
            prop::sample::select(&[
                "select 1", "select nextval('s')", "set a = 1", "delete from t", "select f(1)", "show a",
                "explain delete from t", "values (1)", "copy t to stdout", "", "lock t",
            ][..]),
            1..6,
        ),
        between in prop::sample::select(&[";", " ; ", ";;", "; -- x\n", "/* ; */;"][..]),
    ) {
        let text = parts.join(between);
        let greatest = parts.iter().map(|part| judged(part).intent()).max();
        prop_assert_eq!(Some(judged(&text).intent()), greatest, "{}", text);
    }

    #[test]
    fn tokens_cover_the_text_in_order(text in pieces(), dialect in dialects()) {
        let mut lexer = crate::lex::Lexer::new(&text, dialect);
        let mut end = 0;
        loop {
            let token = lexer.token();
            prop_assert!(token.start >= end && token.end >= token.start);
            prop_assert_eq!(crate::lex::blank_len(&text[end..token.start]), Some(token.start - end));
            end = token.end;
            if token.kind == crate::lex::Kind::End {
                break;
            }
            prop_assert!(token.end > token.start);
        }
        prop_assert_eq!(end, text.len());
    }
}
