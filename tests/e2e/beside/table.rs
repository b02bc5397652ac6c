//! The differences, which stand in `docs/side-by-side.md`.

use std::fmt::Write as _;
use std::fs;
use std::path::{Path, PathBuf};

use super::stage::Seen;

/// A row: what was looked at, and what each of the two said.
#[derive(Debug, Clone, PartialEq, Eq)]
struct Row {
    name: String,
    one: String,
    other: String,
}

fn file() -> PathBuf {
    Path::new(env!("CARGO_MANIFEST_DIR")).join("../docs/side-by-side.md")
}

fn document() -> String {
    fs::read_to_string(file()).expect("it is there")
}

/// What the sections are called.
pub(super) fn sections() -> Vec<String> {
    let headings = document();
    let headings = headings.lines().filter_map(|line| line.strip_prefix("## "));
    headings.map(str::to_owned).collect()
}

/// What is listed in a section. Every row has a reason.
fn listed(section: &str) -> Vec<Row> {
    let document = document();
    let mut lines = document.lines();
    lines.find(|line| line.strip_prefix("## ") == Some(section));
    lines
        .take_while(|line| !line.starts_with("## "))
        .filter(|line| line.starts_with("| `"))
        .map(|line| {
            let line = line.replace("\\|", "\u{1}");
            let cells: Vec<String> = line
                .trim_matches('|')
                .split('|')
                .map(|cell| cell.trim().trim_matches('`').replace('\u{1}', "|"))
                .collect();
            let [name, one, other, reason] = &cells[..] else {
                panic!("four cells: {line}");
            };
            assert!(!reason.is_empty(), "no reason: {line}");
            let (name, one, other) = (name.clone(), one.clone(), other.clone());
            Row { name, one, other }
        })
        .collect()
}

/// Fails if there is another difference than those that are listed, or one of these is none.
pub(super) fn check(section: &str, one: &[(String, Seen)], other: &[(String, Seen)]) {
    let mut found = Vec::new();
    let nothing = Seen::Text("—".to_owned());
    let of = |noted: &[(String, Seen)], name: &str| {
        let found = noted.iter().find(|(noted, _)| noted == name);
        found.map_or_else(|| nothing.clone(), |(_, seen)| seen.clone())
    };
    let more = other.iter().filter(|(name, _)| of(one, name) == nothing);
    for (name, _) in one.iter().chain(more) {
        compare(name, &of(one, name), &of(other, name), &mut found);
    }
    let listed = listed(section);
    let mut report = String::new();
    for row in found.iter().filter(|row| !listed.contains(row)) {
        let _ = writeln!(
            report,
            "not listed: | `{}` | `{}` | `{}` |  |",
            cell(&row.name),
            cell(&row.one),
            cell(&row.other)
        );
    }
    for row in listed.iter().filter(|row| !found.contains(row)) {
        let _ = writeln!(report, "listed, and not so: {row:?}");
    }
    assert!(
        report.is_empty(),
        "docs/side-by-side.md, {section}:\n{report}"
    );
}

fn cell(text: &str) -> String {
    text.replace('|', "\\|")
}

fn compare(name: &str, one: &Seen, other: &Seen, found: &mut Vec<Row>) {
    let mut differ = |name: String, one: &str, other: &str| {
        if one != other {
            let text = |text: &str| text.replace('\n', "⏎").replace('\t', "⇥");
            found.push(Row {
                name,
                one: text(one),
                other: text(other),
            });
        }
    };
    match (one, other) {
        (Seen::Text(one), Seen::Text(other)) => differ(name.to_owned(), one, other),
        (Seen::List(one), Seen::List(other)) => {
            let has = |list: &[(String, String)], name: &str| {
                let found = list.iter().find(|(known, _)| known == name);
                found.map_or("—".to_owned(), |(_, text)| text.clone())
            };
            let more = other.iter().filter(|(name, _)| has(one, name) == "—");
            for (item, _) in one.iter().chain(more) {
                differ(
                    format!("{name}, {item}"),
                    &has(one, item),
                    &has(other, item),
                );
            }
            let order = |list: &[(String, String)], in_both: &[(String, String)]| -> String {
                let names = list.iter().map(|(name, _)| name.as_str());
                let names: Vec<&str> = names.filter(|name| has(in_both, name) != "—").collect();
                names.join(" ")
            };
            differ(
                format!("{name}, order"),
                &order(one, other),
                &order(other, one),
            );
        }
        (one, other) => differ(name.to_owned(), &one.text(), &other.text()),
    }
}
