//! Every metric is documented, and nothing else is.

use std::collections::BTreeSet;
use std::fs;

use crate::source::repository;

/// All names in a text that begin like those of metrics, as they stand between these marks.
fn names(path: &str, mark: char) -> BTreeSet<String> {
    let text = fs::read_to_string(repository().join(path)).expect("it is in the repository");
    text.split(mark)
        .filter(|part| part.starts_with("pgweir_"))
        .filter(|part| part.chars().all(|c| c.is_ascii_lowercase() || c == '_'))
        .map(str::to_owned)
        .collect()
}

#[test]
fn each_has_its_meaning_written_down() {
    let made = names("crates/admin/src/metrics.rs", '"');
    let written = names("docs/monitoring.md", '`');
    assert!(made.len() > 30, "{made:?}");
    assert_eq!(made, written);
}
