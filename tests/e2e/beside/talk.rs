//! Frames as text, without what differs from run to run.

use pgweir_tests::Frame;

/// A frame as text.
pub(super) fn frame(frame: &Frame) -> String {
    match frame.tag {
        b'E' | b'N' => {
            let error = frame.error();
            let mut text = format!("{} {} {}", error.severity, error.sqlstate, error.message);
            for (word, more) in [("detail", &error.detail), ("hint", &error.hint)] {
                if !more.is_empty() {
                    text += &format!(", {word}: {more}");
                }
            }
            // PostgreSQL has a dozen of fields, and those are its own.
            match error.fields.len() {
                ..=5 => format!("{text} ({})", error.fields),
                _ => text,
            }
        }
        b'D' => format!("row {}", frame.row().join(",")),
        b'C' => format!("done {}", frame.text()),
        b'S' => format!("set {}", frame.text().replace('\0', "=")),
        b'T' => {
            let columns: Vec<String> = columns(frame)
                .into_iter()
                .map(|(name, kind)| format!("{name} {kind}"))
                .collect();
            format!("columns {}", columns.join(","))
        }
        b'Z' => format!("ready {}", frame.text()),
        b'R' => format!("auth {}", frame.body[3]),
        b'K' => format!("key of {} bytes", frame.body.len() - 4),
        b'1' => "parsed".to_owned(),
        b'2' => "bound".to_owned(),
        b'3' => "shut".to_owned(),
        b'I' => "empty".to_owned(),
        b'n' => "no columns".to_owned(),
        b'v' => "another version".to_owned(),
        other => format!("{} of {} bytes", char::from(other), frame.body.len()),
    }
}

/// Names and types (and sizes) of the columns in a RowDescription.
pub(super) fn columns(frame: &Frame) -> Vec<(String, String)> {
    let mut rest = &frame.body[2..];
    let mut columns = Vec::new();
    while let Some(end) = rest.iter().position(|byte| *byte == 0) {
        let name = String::from_utf8_lossy(&rest[..end]).into_owned();
        let fields = &rest[end + 1..];
        let kind = u32::from_be_bytes([fields[6], fields[7], fields[8], fields[9]]);
        let size = i16::from_be_bytes([fields[10], fields[11]]);
        let kind = match kind {
            17 => "bytea".to_owned(),
            20 => "int8".to_owned(),
            23 => "int4".to_owned(),
            25 => "text".to_owned(),
            1700 => "numeric".to_owned(),
            other => other.to_string(),
        };
        let format = match fields[17] {
            0 => "",
            _ => " binary",
        };
        columns.push((name, format!("{kind}({size}){format}")));
        rest = &fields[18..];
    }
    columns
}

/// Without versions and the rooms of tests.
pub(super) fn neutral(text: &str) -> String {
    let text = text
        .replace("1.18.0", "VERSION")
        .replace("1.25.2", "VERSION");
    let mut words = Vec::new();
    for word in text.split(' ') {
        words.push(match word.find("/pgweir-test-") {
            Some(start) => {
                let slash =
                    word[..start].rfind(|at: char| !at.is_ascii_alphanumeric() && at != '/');
                let rest: Vec<&str> = word[start + 1..].split('/').skip(2).collect();
                let end = match rest.is_empty() {
                    true => String::new(),
                    false => format!("/{}", rest.join("/")),
                };
                format!("{}ROOM{end}", &word[..slash.map_or(0, |at| at + 1)])
            }
            None => word.to_owned(),
        });
    }
    words.join(" ")
}
