//! Every metric is documented, and nothing else is.

use std::collections::BTreeSet;
use std::fs;
use std::process::Command;

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

/// Names of metrics in a text that is not ours to cut; those of histograms as they are asked for.
fn used(path: &str) -> BTreeSet<String> {
    let text = fs::read_to_string(repository().join(path)).expect("it is in the repository");
    let words = text.split(|c: char| !(c.is_ascii_lowercase() || c == '_'));
    words
        .filter(|word| word.starts_with("pgweir_"))
        .map(|word| word.strip_suffix("_bucket").unwrap_or(word).to_owned())
        .collect()
}

#[test]
fn what_alerts_and_pictures_are_of_is_there() {
    let made = names("crates/admin/src/metrics.rs", '"');
    for path in [
        "docker/prometheus/pgweir.rules.yml",
        "docker/prometheus/pgweir.rules.test.yml",
        "docker/grafana/pgweir.json",
        "docs/monitoring.md",
    ] {
        let used = used(path);
        assert!(!used.is_empty(), "{path}");
        let unknown: Vec<_> = used.difference(&made).collect();
        assert!(unknown.is_empty(), "{path}: {unknown:?}");
    }
}

#[test]
fn alerts_come_when_they_should() {
    let output = Command::new("promtool")
        .args(["test", "rules", "pgweir.rules.test.yml"])
        .current_dir(repository().join("docker/prometheus"))
        .output()
        .expect("it is installed (scripts/prerequisites.sh)");
    let said = String::from_utf8_lossy(&output.stdout) + String::from_utf8_lossy(&output.stderr);
    assert!(output.status.success(), "{said}");
}
