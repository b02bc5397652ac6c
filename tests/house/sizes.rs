//! Files and functions that fit into a head.

use crate::source::{code_lines, files};

/// Code lines of a file.
const FILE: usize = 500;
/// Lines of a function, with everything in it.
const FUNCTION: usize = 80;
/// What stands above what is longer, with the reason behind it.
const REASON: &str = "// Long because: ";

#[test]
fn no_file_is_too_long() {
    let long: Vec<String> = files()
        .iter()
        .filter(|file| code_lines(&file.text).count() > FILE)
        .filter(|file| {
            !file
                .text
                .lines()
                .take(10)
                .any(|line| line.starts_with(REASON))
        })
        .map(|file| {
            format!(
                "{}: {} lines of code",
                file.path.display(),
                code_lines(&file.text).count()
            )
        })
        .collect();
    assert!(
        long.is_empty(),
        "split these, or say why not, in their first lines ({REASON}…):\n{}",
        long.join("\n")
    );
}

#[test]
fn no_function_is_too_long() {
    let long: Vec<String> = files()
        .iter()
        .flat_map(|file| {
            functions(&file.text)
                .into_iter()
                .filter(|function| function.lines > FUNCTION && !function.has_reason)
                .map(|function| {
                    format!(
                        "{}: fn {}: {} lines",
                        file.path.display(),
                        function.name,
                        function.lines
                    )
                })
        })
        .collect();
    assert!(
        long.is_empty(),
        "split these, or say why not, above them ({REASON}…):\n{}",
        long.join("\n")
    );
}

#[derive(Debug, PartialEq)]
struct Function {
    name: String,
    lines: usize,
    has_reason: bool,
}

/// Functions as rustfmt lays them out: the closing brace is below the `fn`.
fn functions(text: &str) -> Vec<Function> {
    let lines: Vec<&str> = text.lines().collect();
    let mut found = Vec::new();
    for (at, line) in lines.iter().enumerate() {
        let Some(name) = function_name(line) else {
            continue;
        };
        let indent = line.len() - line.trim_start().len();
        let end = format!("{}}}", " ".repeat(indent));
        let Some(length) = lines[at..].iter().position(|line| *line == end) else {
            continue;
        };
        let above = lines[..at].iter().rev().take_while(|line| {
            let line = line.trim_start();
            line.starts_with("//") || line.starts_with('#')
        });
        let has_reason = above
            .into_iter()
            .any(|line| line.trim_start().starts_with(REASON));
        found.push(Function {
            name: name.to_owned(),
            lines: length + 1,
            has_reason,
        });
    }
    found
}

fn function_name(line: &str) -> Option<&str> {
    let mut rest = line.trim_start();
    if line.ends_with(';') {
        return None;
    }
    if rest.starts_with("pub") {
        rest = rest.split_once(' ')?.1;
    }
    for word in ["default ", "const ", "async ", "unsafe ", "extern \"C\" "] {
        rest = rest.strip_prefix(word).unwrap_or(rest);
    }
    rest.strip_prefix("fn ")?.split(['(', '<']).next()
}

#[test]
fn functions_are_found() {
    let text = "impl A {\n    pub(crate) async fn one(\n        a: u8,\n    ) {\n        b();\n    }\n}\n\
                // Long because: it must.\n#[inline]\npub const fn two<T>() -> u8 {\n    1\n}\nfn three();\n";
    let expected =
        [("one", 5, false), ("two", 3, true)].map(|(name, lines, has_reason)| Function {
            name: name.to_owned(),
            lines,
            has_reason,
        });
    assert_eq!(functions(text), expected);
}
