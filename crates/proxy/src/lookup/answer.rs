//! What a server answers to `auth_query`.

use pgweir_auth::{Secret, userlist};
use pgweir_wire::backend::{Fields, data_row};
use pgweir_wire::{header, tag::backend as tag};

/// What it means.
#[derive(Debug, PartialEq, Eq)]
pub(super) enum Answer {
    /// There is such a user.
    Row(String, Secret),
    /// There is none.
    NoRow,
    /// The query is not one that can be used.
    Wrong(String),
}

/// Reads all that a server has sent up to ReadyForQuery.
pub(super) fn read(mut answer: &[u8]) -> Answer {
    let mut columns = None;
    let mut row = None;
    while let Ok(Some(head)) = header(answer, u32::MAX) {
        let len = head.frame_len() as usize;
        let Some((frame, rest)) = answer.split_at_checked(len) else {
            break;
        };
        let body = &frame[pgweir_wire::HEADER_LEN..];
        answer = rest;
        match head.tag {
            tag::ROW_DESCRIPTION => columns = count(body),
            tag::DATA_ROW if row.is_some() => {
                return Answer::Wrong("it found more than one row".to_owned());
            }
            tag::DATA_ROW => row = Some(body),
            tag::ERROR_RESPONSE => {
                let message = Fields::new(body).message().unwrap_or_default();
                return Answer::Wrong(String::from_utf8_lossy(message).into_owned());
            }
            _ => {}
        }
    }
    match (columns, row.map(pair)) {
        (Some(2), None) => Answer::NoRow,
        (Some(2), Some(Some((name, secret)))) => user(name, secret),
        (Some(2), Some(None)) => Answer::Wrong("its row cannot be read".to_owned()),
        (columns, _) => Answer::Wrong(format!(
            "it has {} columns where a name and a secret are expected",
            columns.unwrap_or(0)
        )),
    }
}

fn user(name: Option<&[u8]>, secret: Option<&[u8]>) -> Answer {
    let Some(name) = name else {
        return Answer::NoRow;
    };
    match userlist::row(name, secret) {
        Ok((name, secret)) => Answer::Row(name, secret),
        Err(broken) => Answer::Wrong(format!("its row cannot be used: {broken}")),
    }
}

/// The number in front of columns or values.
fn count(body: &[u8]) -> Option<u16> {
    body.first_chunk().map(|bytes| u16::from_be_bytes(*bytes))
}

type Value<'a> = Option<&'a [u8]>;

/// The values of a DataRow that has two.
fn pair(body: &[u8]) -> Option<(Value<'_>, Value<'_>)> {
    match data_row(body).ok()?[..] {
        [first, second] => Some((first, second)),
        _ => None,
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use pgweir_wire::backend::Status;
    use pgweir_wire::encode;

    /// An answer with these columns and rows.
    fn answer(columns: usize, rows: &[&[Value<'_>]]) -> Vec<u8> {
        let mut out = Vec::new();
        encode::parse_complete(&mut out);
        encode::bind_complete(&mut out);
        encode::row_description(&vec![("column", 25); columns], &mut out);
        for row in rows {
            encode::data_row(row, &mut out);
        }
        encode::command_complete("SELECT", &mut out);
        encode::ready(Status::Idle, &mut out);
        out
    }

    #[test]
    fn rows_are_users_or_mistakes() {
        let check = |columns, rows: &[&[Value<'_>]], expected: Answer| {
            assert_eq!(read(&answer(columns, rows)), expected);
        };
        let wrong = |what: &str| Answer::Wrong(what.to_owned());
        let (name, secret): (Value<'_>, Value<'_>) = (Some(b"ann"), Some(b"pencil"));
        check(
            2,
            &[&[name, secret]],
            Answer::Row("ann".into(), Secret::plain("pencil")),
        );
        check(
            2,
            &[&[name, None]],
            Answer::Row("ann".into(), Secret::plain("")),
        );
        check(2, &[], Answer::NoRow);
        check(2, &[&[None, secret]], Answer::NoRow);
        check(
            2,
            &[&[name, secret], &[name, secret]],
            wrong("it found more than one row"),
        );
        check(
            2,
            &[&[Some(b"\xff"), secret]],
            wrong("its row cannot be used: is not UTF-8"),
        );
        for columns in [1, 3] {
            let expected =
                format!("it has {columns} columns where a name and a secret are expected");
            check(columns, &[], Answer::Wrong(expected));
        }
        check(2, &[&[name]], wrong("its row cannot be read"));
    }

    #[test]
    fn errors_and_nonsense_let_nobody_in() {
        let mut out = answer(2, &[&[Some(b"ann"), Some(b"pencil")]]);
        let fields = encode::ErrorFields {
            severity: "ERROR",
            sqlstate: "42501",
            message: "permission denied",
            detail: None,
            hint: None,
        };
        encode::error(&fields, &mut out);
        assert_eq!(read(&out), Answer::Wrong("permission denied".to_owned()));
        let nothing = "it has 0 columns where a name and a secret are expected";
        assert_eq!(read(b""), Answer::Wrong(nothing.to_owned()));
        let whole = answer(2, &[&[Some(b"ann"), Some(b"pencil")]]);
        for end in 0..whole.len() {
            // Cut short, it is what its whole messages say: never another secret.
            let found = read(&whole[..end]);
            let row = Answer::Row("ann".into(), Secret::plain("pencil"));
            assert!(
                matches!(found, Answer::NoRow | Answer::Wrong(_)) || found == row,
                "{end}: {found:?}"
            );
        }
    }
}
