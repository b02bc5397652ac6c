//! Which crate may use which, and what it may touch.

use std::collections::{BTreeMap, BTreeSet};
use std::process::Command;

use serde_json::Value;

use crate::source::{code_lines, files, repository};

/// The picture in docs/architecture.md: a crate, and what it may use in what is shipped.
const ARROWS: &[(&str, &[&str])] = &[
    ("wire", &[]),
    ("auth", &[]),
    ("config", &["auth"]),
    ("pool", &[]),
    ("route", &[]),
    ("session", &["wire", "route"]),
    ("admin", &["wire"]),
    (
        "proxy",
        &[
            "wire", "auth", "config", "pool", "route", "session", "admin",
        ],
    ),
];

fn metadata() -> Value {
    let output = Command::new(env!("CARGO"))
        .args([
            "metadata",
            "--format-version",
            "1",
            "--no-deps",
            "--offline",
        ])
        .current_dir(repository())
        .output()
        .expect("cargo runs, since it runs this");
    assert!(
        output.status.success(),
        "{}",
        String::from_utf8_lossy(&output.stderr)
    );
    serde_json::from_slice(&output.stdout).expect("cargo writes JSON")
}

/// Our crates in `crates/`, with what of ours they depend on; the tests' dependencies apart.
fn dependencies() -> BTreeMap<String, BTreeSet<String>> {
    let metadata = metadata();
    let packages = metadata["packages"].as_array().expect("an array");
    let in_the_house = |package: &&Value| {
        let manifest = package["manifest_path"].as_str().expect("a path");
        manifest.starts_with(&format!("{}/crates/", repository().display()))
    };
    packages
        .iter()
        .filter(in_the_house)
        .map(|package| {
            let used = package["dependencies"].as_array().expect("an array").iter();
            let ours = used
                .filter(|dependency| dependency["kind"] != "dev")
                .filter_map(|dependency| dependency["name"].as_str()?.strip_prefix("pgweir-"))
                .map(str::to_owned)
                .collect();
            let name = package["name"]
                .as_str()
                .expect("a name")
                .trim_start_matches("pgweir-");
            (name.to_owned(), ours)
        })
        .collect()
}

#[test]
fn crates_use_only_what_the_picture_allows() {
    let found = dependencies();
    let names: Vec<&str> = found.keys().map(String::as_str).collect();
    let mut expected: Vec<&str> = ARROWS.iter().map(|(name, _)| *name).collect();
    expected.sort_unstable();
    assert_eq!(
        names, expected,
        "a crate that is not in the picture, or missing"
    );
    for (name, allowed) in ARROWS {
        for used in &found[*name] {
            assert!(
                allowed.contains(&used.as_str()),
                "{name} uses {used}: that is not in docs/architecture.md"
            );
        }
    }
}

#[test]
fn the_picture_is_the_one_of_the_documents() {
    let text =
        std::fs::read_to_string(repository().join("docs/architecture.md")).expect("it is there");
    for (name, allowed) in ARROWS {
        let line = text
            .lines()
            .find(|line| line.starts_with(&format!("| `{name}` |")));
        let line = line.unwrap_or_else(|| panic!("docs/architecture.md has no row for {name}"));
        let cell = line
            .trim_end_matches('|')
            .rsplit('|')
            .next()
            .expect("a last cell")
            .trim();
        let written: BTreeSet<&str> = cell
            .split(['`', ',', ' '])
            .filter(|word| !word.is_empty())
            .collect();
        let expected: BTreeSet<&str> = match (allowed.len(), *name) {
            (_, "proxy") => ["all"].into(),
            (0, _) => ["–"].into(),
            _ => allowed.iter().copied().collect(),
        };
        assert_eq!(
            written, expected,
            "the row of {name} in docs/architecture.md"
        );
    }
}

/// What only `proxy` may do. Its promise X1.
const OUTSIDE: &[&str] = &[
    "TcpStream",
    "TcpListener",
    "UdpSocket",
    "UnixStream",
    "ToSocketAddrs",
    "std::fs",
    "std::env",
    "std::thread",
    "std::process",
    "std::os",
    "Instant::now",
    "SystemTime",
    "tokio",
    "socket2",
    "nix::",
    "println!",
    "static mut",
];

#[test]
fn x1_only_proxy_touches_the_outside() {
    let mut found = Vec::new();
    for file in files() {
        let path = file.path.display().to_string();
        let room = path
            .strip_prefix("crates/")
            .and_then(|path| path.split_once("/src/"));
        let Some((room, inside)) = room else { continue };
        if room == "proxy" || inside.starts_with("tests") || inside.contains("/tests") {
            continue;
        }
        for (number, line) in code_lines(&file.text) {
            for word in OUTSIDE.iter().filter(|word| line.contains(*word)) {
                found.push(format!("{path}:{}: {word}", number + 1));
            }
        }
    }
    assert!(found.is_empty(), "{}", found.join("\n"));
}
