//! Modules that import each other in a circle cannot be read one after the other.

use std::collections::{BTreeMap, BTreeSet};

use crate::source::{File, code_lines, files};

/// Modules at the top of a crate, with what they import of each other. What is below a module
/// counts as the module: a file and its directory are one subject.
type Imports = BTreeMap<String, BTreeSet<String>>;

#[test]
fn modules_import_in_one_direction() {
    let mut circles = Vec::new();
    for room in rooms() {
        let imports = imports(&room);
        for circle in circles_in(&imports) {
            circles.push(format!("{room}: {}", circle.join(" → ")));
        }
    }
    assert!(circles.is_empty(), "import cycles:\n{}", circles.join("\n"));
}

fn rooms() -> BTreeSet<String> {
    let crates = files().iter().filter_map(|file| {
        let path = file.path.to_str()?;
        Some(
            path.strip_prefix("crates/")?
                .split_once("/src/")?
                .0
                .to_owned(),
        )
    });
    crates.collect()
}

fn imports(room: &str) -> Imports {
    let mut imports = Imports::new();
    for file in files() {
        let Some(module) = module_of(room, file) else {
            continue;
        };
        imports.entry(module).or_default();
    }
    let modules: BTreeSet<String> = imports.keys().cloned().collect();
    let re_exports = re_exports_of(room);
    for file in files() {
        let Some(module) = module_of(room, file) else {
            continue;
        };
        let depth = file.path.components().count() - 3;
        for used in imported(without_tests(&file.text), depth) {
            let used = re_exports.get(&used).cloned().unwrap_or(used);
            if used != module && modules.contains(&used) {
                imports
                    .get_mut(&module)
                    .expect("entered above")
                    .insert(used);
            }
        }
    }
    imports
}

/// The module at the top of a crate that a file is part of; none for the crate's root, which
/// has to name all, and for tests, which may.
fn module_of(room: &str, file: &File) -> Option<String> {
    let path = file
        .path
        .to_str()?
        .strip_prefix(&format!("crates/{room}/src/"))?;
    let module = path.split(['/', '.']).next()?;
    (!["lib", "main", "tests"].contains(&module) && !path.contains("tests"))
        .then(|| module.to_owned())
}

/// A module's own tests may look at everything.
fn without_tests(text: &str) -> &str {
    text.split_once("#[cfg(test)]\nmod tests {")
        .map_or(text, |(code, _)| code)
}

/// What the root of a crate re-exports, with the module that it comes from: an import of
/// `crate::Name` is one of that module.
fn re_exports_of(room: &str) -> BTreeMap<String, String> {
    let root = format!("crates/{room}/src/lib.rs");
    let Some(root) = files()
        .iter()
        .find(|file| file.path.to_str() == Some(&root))
    else {
        return BTreeMap::new();
    };
    re_exports(&root.text)
}

fn re_exports(root: &str) -> BTreeMap<String, String> {
    let code: Vec<&str> = code_lines(root).map(|(_, line)| line).collect();
    let code = code.join("\n");
    let paths = code.split("pub use ").skip(1);
    let found = paths.filter_map(|path| path.split(';').next());
    let found = found.filter_map(|path| {
        let path = path
            .trim_start_matches("crate::")
            .trim_start_matches("self::");
        path.split_once("::")
    });
    let mut re_exports = BTreeMap::new();
    for (module, names) in found {
        // Behind the last `::` stand a name, or several in braces.
        let names = names.rsplit_once("::").map_or(names, |(_, names)| names);
        let words = names.split(|c: char| !(c.is_alphanumeric() || c == '_'));
        for name in words.filter(|word| !word.is_empty()) {
            re_exports.insert(name.to_owned(), module.to_owned());
        }
    }
    re_exports
}

/// Names at the top of the own crate that a text uses by `crate::…`, or by `super::…` from a module
/// at the top: modules, and what the root re-exports.
fn imported(text: &str, depth: usize) -> BTreeSet<String> {
    let code: Vec<&str> = code_lines(text).map(|(_, line)| line).collect();
    let code = code.join("\n");
    let mut found = BTreeSet::new();
    let up = "super::".repeat(depth);
    for prefix in ["crate::", up.as_str()] {
        if prefix.is_empty() {
            continue;
        }
        for (at, _) in code.match_indices(prefix) {
            let before = code[..at].chars().next_back();
            if before.is_some_and(|c| c.is_alphanumeric() || c == '_' || c == ':') {
                continue;
            }
            names(&code[at + prefix.len()..], &mut found);
        }
    }
    found
}

/// The first name of a path, or of each path in braces.
fn names(text: &str, found: &mut BTreeSet<String>) {
    let word = |text: &str| -> String {
        text.chars()
            .take_while(|c| c.is_alphanumeric() || *c == '_')
            .collect()
    };
    let Some(group) = text.strip_prefix('{') else {
        found.insert(word(text));
        return;
    };
    let mut depth = 0;
    let mut begins = true;
    for (at, c) in group.char_indices() {
        match c {
            '{' => depth += 1,
            '}' if depth == 0 => return,
            '}' => depth -= 1,
            ',' if depth == 0 => begins = true,
            c if begins && !c.is_whitespace() => {
                found.insert(word(&group[at..]));
                begins = false;
            }
            _ => {}
        }
    }
}

/// For each set of modules that reach each other, one way around.
fn circles_in(imports: &Imports) -> Vec<Vec<String>> {
    let mut circles = Vec::new();
    let mut seen: BTreeSet<&str> = BTreeSet::new();
    for start in imports.keys() {
        if seen.contains(start.as_str()) {
            continue;
        }
        if let Some(circle) = way(imports, start, start) {
            seen.extend(
                circle
                    .iter()
                    .map(|name| imports.get_key_value(name).expect("a module").0.as_str()),
            );
            circles.push(circle);
        }
    }
    circles
}

/// The shortest way from one module to another, with both ends.
fn way(imports: &Imports, from: &str, to: &str) -> Option<Vec<String>> {
    let mut ways = vec![vec![from.to_owned()]];
    let mut seen = BTreeSet::new();
    while !ways.is_empty() {
        let mut longer = Vec::new();
        for way in ways {
            for next in &imports[way.last().expect("never empty")] {
                let mut way = way.clone();
                way.push(next.clone());
                if next == to {
                    return Some(way);
                }
                if seen.insert(next.clone()) {
                    longer.push(way);
                }
            }
        }
        ways = longer;
    }
    None
}

#[test]
fn re_exports_are_found() {
    let root = "mod a;\npub use crate::a::b::C;\npub use crate::d::{E, F};\npub use self::g::H;\n// pub use i::J;\n";
    let pair = |name: &str, module: &str| (name.to_owned(), module.to_owned());
    let expected = [
        pair("C", "a"),
        pair("E", "d"),
        pair("F", "d"),
        pair("H", "g"),
    ];
    assert_eq!(re_exports(root), BTreeMap::from(expected));
    let text = "use crate::a;\n\n#[cfg(test)]\nmod tests {\n    use crate::b;\n}\n";
    assert!(!without_tests(text).contains("crate::b"));
}

#[test]
fn imports_are_found() {
    let text = "use crate::a::B;\nuse crate::{b, c::{D, e}, f};\nfn x() { super::g::h(); othercrate::i(); }\n// crate::j\n";
    let expected = ["a", "b", "c", "f", "g"].map(str::to_owned);
    assert_eq!(imported(text, 1), BTreeSet::from(expected));
    let circle = [
        ("a", vec!["b"]),
        ("b", vec!["c"]),
        ("c", vec!["a"]),
        ("d", vec!["a"]),
    ];
    let imports = circle.map(|(name, used)| {
        (
            name.to_owned(),
            used.into_iter().map(str::to_owned).collect(),
        )
    });
    assert_eq!(
        circles_in(&Imports::from(imports)),
        [["a", "b", "c", "a"].map(str::to_owned)]
    );
}
