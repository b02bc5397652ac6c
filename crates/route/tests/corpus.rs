//! Statements and what they must be judged as: `tests/data`.

use std::fmt::Write;

use pgweir_route::intent::{Catalog, Function};
use pgweir_route::lex::Dialect;
use pgweir_route::{Judgement, Reason, judge};

/// A database with something in it, and a client that has prepared two statements.
struct Known;

impl Catalog for Known {
    fn function(&self, schema: Option<&[u8]>, name: &[u8]) -> Function {
        match (schema, name) {
            (None | Some(b"public"), b"stable_one") => Function::Stable,
            (None | Some(b"public"), b"volatile_one" | b"trunc") => Function::Volatile,
            _ => Function::Unknown,
        }
    }

    fn has_volatile_views(&self) -> bool {
        true
    }

    fn is_volatile_view(&self, name: &[u8]) -> bool {
        name == b"volatile_view"
    }

    fn prepared(&self, name: &[u8]) -> Option<Reason> {
        match name {
            b"reader" => Some(Reason::Query),
            b"writer" => Some(Reason::Write),
            _ => None,
        }
    }
}

/// A line of a corpus.
struct Case {
    place: String,
    reason: String,
    dialect: Dialect,
    text: String,
}

fn cases(file: &str, content: &str) -> Vec<Case> {
    let mut reason = String::new();
    let mut dialect = Dialect::default();
    let mut cases = Vec::new();
    for (number, line) in content.lines().enumerate() {
        if let Some(header) = line.strip_prefix("@ ") {
            let (word, options) = header.split_once(' ').unwrap_or((header, ""));
            reason = word.to_owned();
            dialect.standard_conforming_strings = options != "[backslashes]";
        } else if !line.is_empty() && !line.starts_with('#') {
            cases.push(Case {
                place: format!("{file}:{}", number + 1),
                reason: reason.clone(),
                dialect,
                text: line.replace('␤', "\n"),
            });
        }
    }
    cases
}

fn all() -> Vec<Case> {
    let files: [(&str, &str); 1] = [("corpus.txt", include_str!("data/corpus.txt"))];
    files
        .iter()
        .flat_map(|(name, content)| cases(name, content))
        .collect()
}

fn judged(case: &Case) -> Judgement {
    judge(case.text.as_bytes(), case.dialect, &Known)
}

#[test]
fn r1_the_corpus_is_judged_as_it_says() {
    let mut wrong = String::new();
    for case in all() {
        let found = judged(&case).reason.word();
        if found != case.reason {
            let Case {
                place,
                reason,
                text,
                ..
            } = case;
            writeln!(wrong, "{place}: {found} and not {reason}: {text}").unwrap();
        }
    }
    assert!(wrong.is_empty(), "\n{wrong}");
}
