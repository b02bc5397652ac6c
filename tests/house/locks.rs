//! Promise X2 of proxy: no lock is held across an await. The compiler finds out; here it is made
//! sure that it is asked, in every crate and without exceptions.

use std::fs;

use crate::source::{files, repository};

/// The first is about locks of threads, the second about borrows of what a worker owns: a task
/// that waits with one of them makes the next task panic.
const LINTS: [&str; 2] = ["await_holding_lock", "await_holding_refcell_ref"];
/// Groups that they are in.
const GROUPS: [&str; 2] = ["clippy::all", "clippy::suspicious"];

#[test]
fn x2_no_lock_is_held_across_an_await() {
    let workspace = fs::read_to_string(repository().join("Cargo.toml")).expect("it is there");
    check(
        "Cargo.toml",
        section(&workspace, "[workspace.lints.clippy]"),
    );
    let mut count = 0;
    for entry in fs::read_dir(repository().join("crates")).expect("it is there") {
        let path = entry.expect("a directory").path().join("Cargo.toml");
        let name = path.display().to_string();
        let text = fs::read_to_string(&path).unwrap_or_else(|error| panic!("{name}: {error}"));
        count += 1;
        if !section(&text, "[lints]").contains("workspace = true") {
            check(&name, section(&text, "[lints.clippy]"));
        }
    }
    assert!(count >= 8, "the crates were not found");
    let excepted: Vec<String> = files()
        .iter()
        .filter(|file| file.path.starts_with("crates"))
        .filter(|file| {
            let mut names = LINTS.iter().chain(&GROUPS);
            names.any(|name| file.text.contains(name))
        })
        .map(|file| file.path.display().to_string())
        .collect();
    assert!(
        excepted.is_empty(),
        "no exceptions, neither allowed nor expected: {}",
        excepted.join(", ")
    );
}

#[track_caller]
fn check(name: &str, section: &str) {
    for lint in LINTS {
        assert!(
            section
                .lines()
                .any(|line| line == format!("{lint} = \"deny\"")),
            "{name} does not deny clippy's {lint}"
        );
    }
}

/// A section of a manifest; nothing if there is none.
fn section<'a>(text: &'a str, header: &str) -> &'a str {
    let Some((_, after)) = text.split_once(&format!("\n{header}\n")) else {
        return "";
    };
    after
        .split_once("\n[")
        .map_or(after, |(section, _)| section)
}
