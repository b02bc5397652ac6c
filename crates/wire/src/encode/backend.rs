//! What we say as a server.

use bytes::BytesMut;
use pgwire::messages::Message;
use pgwire::messages::data::{FieldDescription, ParameterDescription, RowDescription};
use pgwire::messages::response::{ErrorResponse, NoticeResponse, ReadyForQuery, TransactionStatus};
use pgwire::messages::startup::Authentication;

use super::{count, frame, framed, text, value};
use crate::backend::Status;
use crate::tag::backend as tag;

/// Writes a message of pgwire's.
///
/// Only for kinds whose size pgwire does not limit below what we send.
fn by_pgwire(message: &impl Message, out: &mut Vec<u8>) {
    let mut bytes = BytesMut::with_capacity(message.message_length() + 1);
    message
        .encode(&mut bytes)
        .expect("pgwire refuses only what exceeds its limits");
    out.extend_from_slice(&bytes);
}

/// Our text as pgwire wants it; it must not hold a NUL.
fn owned(text: &str) -> String {
    text.split('\0').next().unwrap_or_default().to_owned()
}

/// Writes AuthenticationOk.
pub fn authentication_ok(out: &mut Vec<u8>) {
    by_pgwire(&Authentication::Ok, out);
}

/// Writes AuthenticationCleartextPassword.
pub fn authentication_cleartext(out: &mut Vec<u8>) {
    by_pgwire(&Authentication::CleartextPassword, out);
}

/// Writes AuthenticationMD5Password.
pub fn authentication_md5(salt: [u8; 4], out: &mut Vec<u8>) {
    by_pgwire(&Authentication::MD5Password(salt.to_vec()), out);
}

/// Writes AuthenticationSASL with the names of the mechanisms, the favourite first.
pub fn authentication_sasl(mechanisms: &[&str], out: &mut Vec<u8>) {
    let mechanisms = mechanisms
        .iter()
        .map(|mechanism| owned(mechanism))
        .collect();
    by_pgwire(&Authentication::SASL(mechanisms), out);
}

/// Writes AuthenticationSASLContinue.
pub fn authentication_sasl_continue(data: &[u8], out: &mut Vec<u8>) {
    sasl(11, data, out);
}

/// Writes AuthenticationSASLFinal.
pub fn authentication_sasl_final(data: &[u8], out: &mut Vec<u8>) {
    sasl(12, data, out);
}

// A client's nonce comes back in it, so its size is not ours.
fn sasl(code: u32, data: &[u8], out: &mut Vec<u8>) {
    framed(tag::AUTHENTICATION, out, |out| {
        out.extend_from_slice(&code.to_be_bytes());
        out.extend_from_slice(data);
    });
}

/// Writes ParameterStatus.
pub fn parameter_status(name: &[u8], setting: &[u8], out: &mut Vec<u8>) {
    framed(tag::PARAMETER_STATUS, out, |out| {
        text(name, out);
        text(setting, out);
    });
}

/// Writes BackendKeyData. The key has 4 bytes in protocol 3.0, up to 256 in 3.2.
pub fn backend_key(pid: u32, key: &[u8], out: &mut Vec<u8>) {
    framed(tag::BACKEND_KEY_DATA, out, |out| {
        out.extend_from_slice(&pid.to_be_bytes());
        out.extend_from_slice(key);
    });
}

/// Writes ReadyForQuery.
pub fn ready(status: Status, out: &mut Vec<u8>) {
    let status = match status {
        Status::Idle => TransactionStatus::Idle,
        Status::Transaction => TransactionStatus::Transaction,
        Status::Failed => TransactionStatus::Error,
    };
    by_pgwire(&ReadyForQuery::new(status), out);
}

/// What [`error`] and [`notice`] say ("Error and Notice Message Fields" in PostgreSQL's manual).
#[derive(Debug, Clone, Copy, PartialEq, Eq, Default)]
pub struct ErrorFields<'a> {
    /// `ERROR`, `FATAL`, `NOTICE`, …; sent both as the text to show and as the one to compare.
    pub severity: &'a str,
    /// Five letters.
    pub sqlstate: &'a str,
    /// What happened, in one line.
    pub message: &'a str,
    /// More about it, with the figures.
    pub detail: Option<&'a str>,
    /// What to do about it.
    pub hint: Option<&'a str>,
}

impl ErrorFields<'_> {
    fn fields(&self) -> Vec<(u8, String)> {
        [
            (b'S', Some(self.severity)),
            (b'V', Some(self.severity)),
            (b'C', Some(self.sqlstate)),
            (b'M', Some(self.message)),
            (b'D', self.detail),
            (b'H', self.hint),
        ]
        .into_iter()
        .filter_map(|(code, text)| text.map(|text| (code, owned(text))))
        .collect()
    }

    fn fields_once(&self) -> Vec<(u8, String)> {
        let mut fields = self.fields();
        fields.retain(|(code, _)| *code != b'V');
        fields
    }
}

/// Writes ErrorResponse.
pub fn error(fields: &ErrorFields<'_>, out: &mut Vec<u8>) {
    by_pgwire(&ErrorResponse::new(fields.fields()), out);
}

/// Writes ErrorResponse with severity, SQLSTATE and text alone, as servers did before they sent
/// the severity twice.
pub fn plain_error(severity: &str, sqlstate: &str, message: &str, out: &mut Vec<u8>) {
    let fields = ErrorFields {
        severity,
        sqlstate,
        message,
        ..ErrorFields::default()
    };
    error_once(&fields, out);
}

/// Writes ErrorResponse with the severity once: only the one to show.
pub fn error_once(fields: &ErrorFields<'_>, out: &mut Vec<u8>) {
    by_pgwire(&ErrorResponse::new(fields.fields_once()), out);
}

/// Writes NoticeResponse with the severity once: only the one to show.
pub fn notice_once(fields: &ErrorFields<'_>, out: &mut Vec<u8>) {
    by_pgwire(&NoticeResponse::new(fields.fields_once()), out);
}

/// Writes NoticeResponse.
pub fn notice(fields: &ErrorFields<'_>, out: &mut Vec<u8>) {
    by_pgwire(&NoticeResponse::new(fields.fields()), out);
}

/// Writes RowDescription: names and type OIDs of columns in text form that belong to no table.
pub fn row_description(columns: &[(&str, u32)], out: &mut Vec<u8>) {
    let fields = columns.iter().map(|&(name, type_oid)| {
        FieldDescription::new(owned(name), 0, 0, type_oid, type_size(type_oid), -1, 0)
    });
    by_pgwire(&RowDescription::new(fields.collect()), out);
}

/// `typlen` of PostgreSQL's catalogue for the types that a console has; -1 for variable length.
fn type_size(type_oid: u32) -> i16 {
    match type_oid {
        // bool
        16 => 1,
        // int2
        21 => 2,
        // int4, oid, float4
        23 | 26 | 700 => 4,
        // int8, float8, timestamp, timestamptz
        20 | 701 | 1114 | 1184 => 8,
        _ => -1,
    }
}

/// Writes DataRow; `None` is NULL.
pub fn data_row(values: &[Option<&[u8]>], out: &mut Vec<u8>) {
    framed(tag::DATA_ROW, out, |out| {
        count(values.len(), out);
        for &column in values {
            value(column, out);
        }
    });
}

/// Writes CommandComplete, such as `SHOW`.
pub fn command_complete(command: &str, out: &mut Vec<u8>) {
    framed(tag::COMMAND_COMPLETE, out, |out| {
        text(command.as_bytes(), out)
    });
}

/// Writes EmptyQueryResponse.
pub fn empty_query(out: &mut Vec<u8>) {
    frame(tag::EMPTY_QUERY_RESPONSE, b"", out);
}

/// Writes ParseComplete.
pub fn parse_complete(out: &mut Vec<u8>) {
    frame(tag::PARSE_COMPLETE, b"", out);
}

/// Writes BindComplete.
pub fn bind_complete(out: &mut Vec<u8>) {
    frame(tag::BIND_COMPLETE, b"", out);
}

/// Writes CloseComplete.
pub fn close_complete(out: &mut Vec<u8>) {
    frame(tag::CLOSE_COMPLETE, b"", out);
}

/// Writes NoData.
pub fn no_data(out: &mut Vec<u8>) {
    frame(tag::NO_DATA, b"", out);
}

/// Writes ParameterDescription with the OIDs of the parameters' types.
pub fn parameter_description(types: &[u32], out: &mut Vec<u8>) {
    by_pgwire(&ParameterDescription::new(types.to_vec()), out);
}

/// Writes NegotiateProtocolVersion: the newest minor version of protocol 3 that we speak, and the names
/// of the protocol options (`_pq_.…`) that we do not know.
pub fn negotiate_version<N: AsRef<[u8]>>(minor: u16, unsupported: &[N], out: &mut Vec<u8>) {
    framed(tag::NEGOTIATE_PROTOCOL_VERSION, out, |out| {
        // PostgreSQL writes, and libpq expects, the major version along with it.
        out.extend_from_slice(&(3 << 16 | u32::from(minor)).to_be_bytes());
        let names =
            u32::try_from(unsupported.len()).expect("a startup packet has fewer parameters");
        out.extend_from_slice(&names.to_be_bytes());
        for name in unsupported {
            text(name.as_ref(), out);
        }
    });
}
