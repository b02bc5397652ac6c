//! Checks on the source: the house is as docs/architecture.md draws it.

use std::collections::{BTreeMap, BTreeSet};
use std::path::{Path, PathBuf};
use std::process::Command;

/// Code lines of a file, and lines of a function, beyond which its top has to say why.
const FILE_LINES_MAX: usize = 500;
const FUNCTION_LINES_MAX: usize = 80;

fn root() -> PathBuf {
    Path::new(env!("CARGO_MANIFEST_DIR"))
        .parent()
        .expect("the crate lies in the workspace")
        .to_owned()
}

/// Which crates each crate of ours uses, apart from its tests; and which foreign ones.
fn uses() -> BTreeMap<String, BTreeSet<String>> {
    let output = Command::new(env!("CARGO"))
        .args([
            "metadata",
            "--no-deps",
            "--offline",
            "--format-version",
            "1",
        ])
        .current_dir(root())
        .output()
        .expect("cargo runs");
    assert!(
        output.status.success(),
        "{}",
        String::from_utf8_lossy(&output.stderr)
    );
    let metadata: serde_json::Value = serde_json::from_slice(&output.stdout).expect("JSON");
    let packages = metadata["packages"].as_array().expect("packages");
    let name = |value: &serde_json::Value| value["name"].as_str().expect("a name").to_owned();
    packages
        .iter()
        .map(|package| {
            let dependencies = package["dependencies"].as_array().expect("dependencies");
            let normal = dependencies
                .iter()
                .filter(|dependency| dependency["kind"].is_null());
            (name(package), normal.map(name).collect())
        })
        .collect()
}

/// The table of docs/architecture.md: crate, and what it may use.
fn map() -> BTreeMap<String, BTreeSet<String>> {
    let page = std::fs::read_to_string(root().join("docs/architecture.md")).expect("the map");
    let rows = page.lines().filter_map(|line| {
        let cells: Vec<&str> = line.split('|').map(str::trim).collect();
        let name = cells.get(1)?.strip_prefix('`')?.strip_suffix('`')?;
        let may_use = *cells.get(3)?;
        Some((name, may_use)).filter(|_| cells.len() == 5)
    });
    let crates: Vec<(&str, &str)> = rows.collect();
    let all: BTreeSet<String> = crates
        .iter()
        .map(|(name, _)| format!("pgweir-{name}"))
        .collect();
    crates
        .iter()
        .map(|(name, may_use)| {
            let name = format!("pgweir-{name}");
            let allowed = match *may_use {
                "all" => all
                    .iter()
                    .filter(|other| **other != name)
                    .cloned()
                    .collect(),
                list => list
                    .split('`')
                    .filter(|word| word.chars().any(char::is_alphabetic))
                    .map(|word| format!("pgweir-{word}"))
                    .collect(),
            };
            (name, allowed)
        })
        .collect()
}

#[test]
fn crates_use_only_what_the_map_allows() {
    let (uses, map) = (uses(), map());
    assert!(map.len() >= 8, "the table was not found: {map:?}");
    for (name, allowed) in &map {
        let ours: BTreeSet<String> = uses[name]
            .iter()
            .filter(|other| other.starts_with("pgweir-"))
            .cloned()
            .collect();
        let more: Vec<_> = ours.difference(allowed).collect();
        assert!(
            more.is_empty(),
            "{name} uses {more:?}, which the map does not allow"
        );
    }
}

#[test]
fn no_crate_uses_itself_through_others() {
    let uses = uses();
    fn reaches(uses: &BTreeMap<String, BTreeSet<String>>, from: &str, to: &str) -> bool {
        uses.get(from).is_some_and(|others| {
            others
                .iter()
                .any(|other| other == to || reaches(uses, other, to))
        })
    }
    for name in uses.keys() {
        assert!(!reaches(&uses, name, name), "{name} uses itself");
    }
}

#[test]
fn x1_only_proxy_does_io() {
    const IO: [&str; 8] = [
        "tokio",
        "tokio-rustls",
        "rustls",
        "socket2",
        "nix",
        "libc",
        "hyper",
        "mio",
    ];
    // What std has of the outside. Addresses and paths are values; time is an argument.
    const OUTSIDE: [&str; 8] = [
        "std::net::Tcp",
        "std::os::unix::net",
        "std::fs",
        "std::thread",
        "std::process",
        "std::env",
        "Instant::now",
        "SystemTime::now",
    ];
    for (name, others) in uses()
        .iter()
        .filter(|(name, _)| *name != "pgweir-proxy" && map().contains_key(*name))
    {
        let io: Vec<_> = IO.iter().filter(|io| others.contains(**io)).collect();
        assert!(io.is_empty(), "{name} uses {io:?}");
        let crate_name = name.trim_start_matches("pgweir-");
        for file in sources(&root().join("crates").join(crate_name).join("src")) {
            if is_test(&file) {
                continue;
            }
            let code = without_tests(&file);
            for outside in OUTSIDE {
                assert!(!code.contains(outside), "{} uses {outside}", file.display());
            }
        }
    }
}

#[test]
fn files_and_functions_fit_on_a_few_screens() {
    let mut mistakes = Vec::new();
    for part in ["crates", "tests", "benches"] {
        for file in sources(&root().join(part)) {
            let text = std::fs::read_to_string(&file).expect("a source");
            if text
                .lines()
                .take(12)
                .any(|line| line.contains("Long because"))
            {
                continue;
            }
            let code = without_tests(&file);
            let lines = code
                .lines()
                .map(str::trim)
                .filter(|line| !line.is_empty() && !line.starts_with("//"));
            let lines = lines.count();
            if lines > FILE_LINES_MAX {
                mistakes.push(format!("{}: {lines} lines of code", file.display()));
            }
            mistakes.extend(
                long_functions(&code)
                    .into_iter()
                    .map(|long| format!("{}: {long}", file.display())),
            );
        }
    }
    assert!(
        mistakes.is_empty(),
        "say «Long because …» at the top, or divide:\n{}",
        mistakes.join("\n")
    );
}

/// All Rust files below a directory.
fn sources(directory: &Path) -> Vec<PathBuf> {
    let mut found = Vec::new();
    let entries = std::fs::read_dir(directory).expect("a directory of the workspace");
    for entry in entries {
        let path = entry.expect("an entry").path();
        if path.is_dir() {
            found.extend(sources(&path));
        } else if path.extension().is_some_and(|extension| extension == "rs") {
            found.push(path);
        }
    }
    found.sort();
    found
}

fn is_test(file: &Path) -> bool {
    file.components().any(|part| part.as_os_str() == "tests") || file.ends_with("tests.rs")
}

/// A file's text up to its tests, which stand last.
fn without_tests(file: &Path) -> String {
    let text = std::fs::read_to_string(file).expect("a source");
    match text.find("\n#[cfg(test)]\nmod tests {") {
        Some(end) => text[..end].to_owned(),
        None => text,
    }
}

/// rustfmt puts a function's end in the column of its beginning, which makes them easy to measure.
fn long_functions(code: &str) -> Vec<String> {
    let mut long = Vec::new();
    let mut begun: Option<(usize, usize, String)> = None;
    for (number, line) in code.lines().enumerate() {
        let column = line.len() - line.trim_start().len();
        let text = line.trim_start();
        match &begun {
            Some((start, at, name)) if column == *at && text.starts_with('}') => {
                if number - start > FUNCTION_LINES_MAX {
                    long.push(format!("fn {name} has {} lines", number - start + 1));
                }
                begun = None;
            }
            Some(_) => {}
            None => {
                let words: Vec<&str> = text.split_whitespace().collect();
                let is_function = words.iter().take(4).any(|word| *word == "fn")
                    && !line.trim_end().ends_with(';');
                if is_function && !text.starts_with("//") {
                    let name = text.split("fn ").nth(1).unwrap_or_default();
                    let name: String = name
                        .chars()
                        .take_while(|c| c.is_alphanumeric() || *c == '_')
                        .collect();
                    // A function of one line ends where it begins.
                    if !(line.trim_end().ends_with('}') && text.contains('{')) {
                        begun = Some((number, column, name));
                    }
                }
            }
        }
    }
    long
}
