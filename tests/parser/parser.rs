//! `pgweir_route::intent` and PostgreSQL's own parser (18, by way of libpg_query) must agree: on where tokens
//! and statements begin and end, and on what reads.

mod random;
mod sentence;
mod tree;

use pgweir_route::intent::{NoCatalog, Statements};
use pgweir_route::lex::{self, Dialect, Kind, Lexer};
use pgweir_route::{Intent, Reason};

use crate::random::Random;
use crate::tree::{Tree, Trees};

const BACKSLASHES: Dialect = Dialect {
    standard_conforming_strings: false,
    trails: lex::Trails::High,
};

/// The corpora of route: lines of texts, by the header above them.
const CORPORA: [&str; 9] = [
    include_str!("../../crates/route/tests/data/corpus.txt"),
    include_str!("../../crates/route/tests/data/traffic/psql.txt"),
    include_str!("../../crates/route/tests/data/traffic/pgbench.txt"),
    include_str!("../../crates/route/tests/data/traffic/pg_dump.txt"),
    include_str!("../../crates/route/tests/data/traffic/django.txt"),
    include_str!("../../crates/route/tests/data/traffic/sqlalchemy.txt"),
    include_str!("../../crates/route/tests/data/traffic/sequelize.txt"),
    include_str!("../../crates/route/tests/data/traffic/typeorm.txt"),
    include_str!("../../crates/route/tests/data/traffic/others.txt"),
];

fn corpus() -> impl Iterator<Item = String> {
    let lines = CORPORA.iter().flat_map(|file| file.lines());
    let texts = lines.filter(|line| !line.is_empty() && !line.starts_with(['#', '@']));
    texts.map(|line| line.replace('␤', "\n"))
}

/// Begins and ends of the statements of a text.
fn borders(text: &str, dialect: Dialect) -> Vec<(usize, usize)> {
    let mut statements = Statements::new(text.as_bytes(), dialect, &NoCatalog);
    let mut borders = Vec::new();
    while let Some(found) = statements.next() {
        borders.push((found.start, statements.end()));
    }
    borders
}

/// Compares borders, if PostgreSQL takes the text; says whether it does.
fn compare_borders(text: &str, dialect: Dialect) -> bool {
    let Some(trees) = Trees::of(text, dialect) else {
        return false;
    };
    let expected: Vec<_> = trees.borders(text).collect();
    assert_eq!(borders(text, dialect), expected, "{text}");
    true
}

/// Whether a token is made of what operators are made of. Where one ends and the next begins is no matter
/// here, and ours are not cut (`=-1`).
fn is_operator(text: &str) -> bool {
    text.bytes()
        .all(|byte| b"~!@#^&|`?+-*/%<>=".contains(&byte))
}

/// Where PostgreSQL's scanner sees a token, a token of ours begins, and one ends. Ours may be smaller
/// (numbers), but not strings and names.
fn compare_tokens(text: &str) -> bool {
    use pg_query::protobuf::Token as T;
    // The scanner takes the settings of the thread's last parser.
    pg_query::parse("", pg_query::ParserOptions::DEFAULT).expect("nothing is SQL");
    let Ok(expected) = pg_query::scan(text) else {
        return false;
    };
    let mut lexer = Lexer::new(text.as_bytes(), Dialect::default());
    let mut token = lexer.token();
    let mut expected = expected.tokens.iter().peekable();
    while let Some(wanted) = expected.next() {
        let kind = wanted.token();
        if matches!(kind, T::SqlComment | T::CComment) {
            continue;
        }
        let start = wanted.start as usize;
        let mut end = wanted.end as usize;
        let operator = is_operator(&text[start..end]);
        while operator
            && let Some(more) = expected.next_if(|next| {
                let is_comment = matches!(next.token(), T::SqlComment | T::CComment);
                !is_comment
                    && next.start as usize == end
                    && is_operator(&text[end..next.end as usize])
            })
        {
            end = more.end as usize;
        }
        assert_eq!(token.start, start, "{kind:?} of {text:?}");
        let whole = matches!(
            kind,
            T::Sconst | T::Usconst | T::Bconst | T::Xconst | T::Uident
        );
        assert!(
            !whole || token.end == end,
            "{kind:?} {start}..{end} of {text:?}"
        );
        while token.end < end {
            token = lexer.token();
        }
        assert_eq!(token.end, end, "{kind:?} of {text:?}");
        token = lexer.token();
    }
    assert_eq!(token.kind, Kind::End, "{text:?}");
    true
}

/// Reasons that a tree shows as well as the tokens do; for each, whether the tree has it.
fn is_in_tree(reason: Reason, tree: &Tree<'_>) -> Option<bool> {
    Some(match reason {
        Reason::Write | Reason::WriteInQuery => tree.writes(),
        Reason::RowLock => tree.locks_rows(),
        Reason::SelectInto => tree.makes_table(),
        Reason::CopyIn => tree.copies_in(),
        Reason::Definition | Reason::Temporary if tree.is_query() => tree.names_temporary(),
        Reason::Explain => tree.is_only_planned(),
        _ => return None,
    })
}

/// What a tree shows to be more than a read must not be taken for one, and the other way round.
fn compare_intent(
    text: &str,
    dialect: Dialect,
    trees: &Trees,
    is_safe: impl Fn(&[String]) -> bool,
) {
    let mut statements = Statements::new(text.as_bytes(), dialect, &NoCatalog);
    for tree in trees.statements() {
        let found = statements
            .next()
            .unwrap_or_else(|| panic!("more statements: {text}"));
        let reason = found.reason;
        if tree.must_write() {
            assert_eq!(
                reason.intent(),
                Intent::Primary,
                "{reason:?}, {:?}: {text}",
                found.at.of(text.as_bytes()).escape_ascii().to_string()
            );
        }
        if let Some(in_tree) = is_in_tree(reason, &tree) {
            assert!(in_tree, "{reason:?} is not in the tree: {text}");
        }
        let calls = tree.runs_only_safe_functions(&is_safe);
        if tree.is_query()
            && calls
            && !tree.must_write()
            && !tree.names_temporary()
            && !tree.names_host_views()
        {
            assert_eq!(
                reason.intent(),
                Intent::Read,
                "{reason:?}, {:?}: {text}",
                found.at.of(text.as_bytes()).escape_ascii().to_string()
            );
        }
        if tree.is_query() && !calls && !tree.is_only_planned() {
            assert_eq!(
                reason.intent(),
                Intent::Primary,
                "{reason:?}, {:?}: {text}",
                found.at.of(text.as_bytes()).escape_ascii().to_string()
            );
        }
    }
}

#[test]
fn borders_of_the_corpus() {
    let counted = corpus()
        .filter(|text| compare_borders(text, Dialect::default()))
        .count();
    assert!(counted > 700, "only {counted} texts are SQL");
    let counted = corpus()
        .filter(|text| compare_borders(text, BACKSLASHES))
        .count();
    assert!(counted > 700, "only {counted} texts are SQL");
}

#[test]
fn tokens_of_the_corpus() {
    let counted = corpus().filter(|text| compare_tokens(text)).count();
    assert!(counted > 900, "only {counted} texts can be scanned");
}

#[test]
fn r1_intent_of_the_corpus() {
    // Functions are the subject of the corpus itself: here, of each it is believed what was said.
    for text in corpus() {
        let Some(trees) = Trees::of(&text, Dialect::default()) else {
            continue;
        };
        if trees.statements().count() == 1 {
            let mut statements = Statements::new(text.as_bytes(), Dialect::default(), &NoCatalog);
            let found = statements.next().expect("a statement");
            compare_intent(&text, Dialect::default(), &trees, |_| {
                found.reason.intent() < Intent::Primary
            });
        }
    }
}

#[test]
fn r1_intent_and_borders_of_generated_statements() {
    const TEXTS: u64 = 3000;
    let mut taken = 0;
    for seed in 0..TEXTS {
        let text = sentence::text(&mut Random::new(seed));
        for dialect in [Dialect::default(), BACKSLASHES] {
            let Some(trees) = Trees::of(&text, dialect) else {
                continue;
            };
            let expected: Vec<_> = trees.borders(&text).collect();
            assert_eq!(borders(&text, dialect), expected, "seed {seed}: {text}");
            compare_intent(&text, dialect, &trees, sentence::is_safe);
            taken += 1;
        }
        compare_tokens(&text);
    }
    // With backslashes as escapes, `U&'…'` is refused.
    assert!(
        taken > TEXTS * 7 / 5,
        "only {taken} of {TEXTS} texts, twice, are SQL"
    );
}

#[test]
fn tokens_of_rubbish() {
    let mut scanned = 0;
    for seed in 0..10_000 {
        let text = sentence::rubbish(&mut Random::new(seed));
        scanned += u32::from(compare_tokens(&text));
        for dialect in [Dialect::default(), BACKSLASHES] {
            compare_borders(&text, dialect);
        }
    }
    assert!(scanned > 2_500, "only {scanned} texts can be scanned");
}
