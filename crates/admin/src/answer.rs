//! Answers to commands, as messages for the client.

use pgweir_wire::encode;

use crate::column::{Formats, row_description};
use crate::command::Command;
use crate::notice::Notice;
use crate::show::{Show, help};
use crate::snapshot::Snapshot;

/// Writes the whole answer of a SHOW for the simple protocol, without ReadyForQuery.
pub fn answer(show: Show, snapshot: &Snapshot, out: &mut Vec<u8>) {
    let formats = Formats::default();
    if let Some(relation) = show.relation() {
        row_description(&relation.columns(), &formats, out);
    }
    rows(show, snapshot, &formats, out);
}

/// Writes what a command will return: RowDescription, or NoData where there are no rows.
pub fn describe(command: &Command, formats: &Formats, out: &mut Vec<u8>) {
    let relation = match command {
        Command::Show(show) => show.relation(),
        Command::ExplainRoute(_) => Show::Explained.relation(),
        _ => None,
    };
    match relation {
        Some(relation) => row_description(&relation.columns(), formats, out),
        None => encode::no_data(out),
    }
}

/// Writes the answer of a SHOW without its description: rows and CommandComplete.
pub fn rows(show: Show, snapshot: &Snapshot, formats: &Formats, out: &mut Vec<u8>) {
    match show.relation() {
        Some(relation) => relation.rows(snapshot, formats, out),
        None => help::notice(out),
    }
    encode::command_complete(show.tag(), out);
}

/// Writes the answer of a command that was performed, and what it has to say, without ReadyForQuery.
pub fn complete(command: &Command, notices: &[Notice], out: &mut Vec<u8>) {
    for notice in notices {
        notice.encode(out);
    }
    if *command == Command::FakeSet {
        encode::notice_once(&help::notice_fields("SET ignored", None), out);
    }
    encode::command_complete(&command.tag(), out);
}
