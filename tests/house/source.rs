//! The source files of the workspace.

use std::fs;
use std::path::{Path, PathBuf};
use std::sync::OnceLock;

/// The top of the repository.
pub(crate) fn repository() -> &'static Path {
    Path::new(env!("CARGO_MANIFEST_DIR"))
        .parent()
        .expect("tests/ is in it")
}

/// A Rust file.
pub(crate) struct File {
    /// From the top of the repository.
    pub(crate) path: PathBuf,
    /// Its text.
    pub(crate) text: String,
}

/// All Rust files of the workspace.
pub(crate) fn files() -> &'static [File] {
    static FILES: OnceLock<Vec<File>> = OnceLock::new();
    FILES.get_or_init(|| {
        let mut found = Vec::new();
        for directory in ["crates", "benches", "tests"] {
            collect(&repository().join(directory), &mut found);
        }
        found.sort_by(|a, b| a.path.cmp(&b.path));
        assert!(found.len() > 50, "the workspace was not found");
        found
    })
}

fn collect(directory: &Path, found: &mut Vec<File>) {
    for entry in fs::read_dir(directory)
        .expect("a directory of the repository")
        .flatten()
    {
        let path = entry.path();
        let name = entry.file_name();
        if path.is_dir() {
            if name != "target" && name != "node_modules" {
                collect(&path, found);
            }
        } else if path.extension().is_some_and(|extension| extension == "rs") {
            let text = fs::read_to_string(&path).expect("Rust is UTF-8");
            let path = path
                .strip_prefix(repository())
                .expect("found in it")
                .to_owned();
            found.push(File { path, text });
        }
    }
}

/// Lines of code: neither empty nor comment, without the module of tests at the end.
pub(crate) fn code_lines(text: &str) -> impl Iterator<Item = (usize, &str)> {
    text.lines()
        .enumerate()
        .take_while(|(_, line)| *line != "#[cfg(test)]" && *line != "mod tests {")
        .filter(|(_, line)| {
            let line = line.trim();
            !line.is_empty() && !line.starts_with("//")
        })
}
