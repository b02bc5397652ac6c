//! `docs/pgbouncer.md` names what is missing and why, because its tables are written from ours.

use std::fmt::Write;

use crate::ini::options::WITHOUT_EFFECT;

const PATH: &str = concat!(env!("CARGO_MANIFEST_DIR"), "/../../docs/pgbouncer.md");

fn no_effect() -> String {
    let mut text = "| option | why |\n| --- | --- |\n".to_owned();
    for (name, why) in WITHOUT_EFFECT {
        let why = why.strip_prefix("has no effect: ");
        writeln!(
            text,
            "| `{name}` | {} |",
            why.expect("that is what it says")
        )
        .unwrap();
    }
    text
}

/// The document with the table below its mark.
fn with_table(document: &str, mark: &str, table: &str) -> String {
    let at = document.find(&format!("<!-- {mark}:")).expect(mark);
    let begins = at + document[at..].find('\n').expect("a line") + 1;
    let ends = begins + document[begins..].find("<!-- end -->").expect("an end");
    format!("{}{table}{}", &document[..begins], &document[ends..])
}

#[test]
fn the_document_for_pgbouncers_users_is_the_reference_of_what_has_no_effect() {
    let written = std::fs::read_to_string(PATH).expect("docs/pgbouncer.md is there");
    let expected = with_table(&written, "no effect", &no_effect());
    if std::env::var_os("PGWEIR_WRITE_REFERENCE").is_some() {
        return std::fs::write(PATH, expected).expect("the document can be written");
    }
    assert!(
        written == expected,
        "{PATH} differs from the tables: see {}",
        file!()
    );
}
