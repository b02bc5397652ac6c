//! The promises, each in tests named after it; and what the answers look like on the wire.

mod columns;
mod console;
mod grammar;
mod sample;
mod texts;
mod values;

use pgweir_wire::backend::Fields;
use pgweir_wire::{HEADER_LEN, header};

use crate::Snapshot;

/// The messages in `bytes`: tag and body.
fn messages(mut bytes: &[u8]) -> Vec<(char, &[u8])> {
    let mut messages = Vec::new();
    while !bytes.is_empty() {
        let header = header(bytes, u32::MAX)
            .expect("a valid header")
            .expect("a whole one");
        let (frame, rest) = bytes.split_at(header.frame_len() as usize);
        messages.push((header.tag.into(), &frame[HEADER_LEN..]));
        bytes = rest;
    }
    messages
}

/// The tags of the messages in `bytes`.
fn tags(bytes: &[u8]) -> String {
    messages(bytes).into_iter().map(|(tag, _)| tag).collect()
}

fn word(bytes: &mut &[u8]) -> usize {
    let (word, rest) = bytes.split_first_chunk().expect("two more bytes");
    *bytes = rest;
    u16::from_be_bytes(*word).into()
}

fn long(bytes: &mut &[u8]) -> i32 {
    let (long, rest) = bytes.split_first_chunk().expect("four more bytes");
    *bytes = rest;
    i32::from_be_bytes(*long)
}

/// A column as RowDescription has it: name, type OID, size, format.
type Described = (String, i32, usize, usize);

fn described(mut body: &[u8]) -> Vec<Described> {
    let body = &mut body;
    let columns = word(body);
    let columns = (0..columns).map(|_| {
        let end = body
            .iter()
            .position(|byte| *byte == 0)
            .expect("a name's end");
        let name = String::from_utf8(body[..end].to_vec()).expect("a name of ours");
        *body = &body[end + 1..];
        assert_eq!((long(body), word(body)), (0, 0), "no table's column");
        let (oid, size) = (long(body), word(body));
        assert_eq!(long(body), -1, "no type modifier");
        (name, oid, size, word(body))
    });
    columns.collect()
}

/// The values of a DataRow, NULL as `None`.
fn data_row(mut body: &[u8]) -> Vec<Option<&[u8]>> {
    let body = &mut body;
    let values = word(body);
    let values = (0..values).map(|_| {
        let len = usize::try_from(long(body)).ok()?;
        let (value, rest) = body.split_at(len);
        *body = rest;
        Some(value)
    });
    values.collect()
}

/// The rows of an answer in text form, `NULL` for NULL.
fn text_rows(bytes: &[u8]) -> Vec<Vec<String>> {
    let rows = messages(bytes).into_iter().filter(|(tag, _)| *tag == 'D');
    let text = |value: Option<&[u8]>| match value {
        Some(value) => String::from_utf8(value.to_vec()).expect("a text of ours"),
        None => "NULL".to_owned(),
    };
    rows.map(|(_, body)| data_row(body).into_iter().map(text).collect())
        .collect()
}

/// Severity, SQLSTATE, message and detail of the first error or notice in an answer.
fn fields(bytes: &[u8]) -> (String, String, String, Option<String>) {
    let messages = messages(bytes);
    let (_, body) = messages
        .iter()
        .find(|(tag, _)| matches!(tag, 'E' | 'N'))
        .expect("one");
    let fields = Fields::new(body);
    let field = |code| {
        let text = fields.field(code)?;
        Some(String::from_utf8(text.to_vec()).expect("a text of ours"))
    };
    let needed = |code| field(code).expect("a field that is always there");
    (needed(b'S'), needed(b'C'), needed(b'M'), field(b'D'))
}

/// An answer changes nothing and depends on nothing but its question and the snapshot.
#[test]
fn d1_asking_changes_nothing() {
    let snapshot = sample::snapshot();
    let before = snapshot.clone();
    for show in columns::all() {
        let ask = |snapshot: &Snapshot| {
            let mut out = Vec::new();
            crate::answer(show, snapshot, &mut out);
            out
        };
        assert_eq!(ask(&snapshot), ask(&snapshot), "{show:?}");
        assert_eq!(snapshot, before, "{show:?}");
    }
}
