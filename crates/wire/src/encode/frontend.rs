//! What we say as a client.

use super::{count, frame, framed, packet, text, value};
use crate::startup::{CANCEL_REQUEST, SSL_REQUEST};
use crate::tag::frontend as tag;

/// Writes a startup packet; `version` is one of [`startup`](crate::startup)'s.
///
/// Parameters with an empty name are left out: it would end the packet.
pub fn startup_message<N: AsRef<[u8]>, V: AsRef<[u8]>>(
    version: u32,
    parameters: impl IntoIterator<Item = (N, V)>,
    out: &mut Vec<u8>,
) {
    packet(version, out, |out| {
        for (name, parameter) in parameters {
            if !matches!(name.as_ref(), [] | [0, ..]) {
                text(name.as_ref(), out);
                text(parameter.as_ref(), out);
            }
        }
        out.push(0);
    });
}

/// Writes SSLRequest.
pub fn ssl_request(out: &mut Vec<u8>) {
    packet(SSL_REQUEST, out, |_| ());
}

/// Writes CancelRequest with what the server gave in BackendKeyData: process ID and 4 to 256 bytes.
pub fn cancel_request(pid: u32, key: &[u8], out: &mut Vec<u8>) {
    packet(CANCEL_REQUEST, out, |out| {
        out.extend_from_slice(&pid.to_be_bytes());
        out.extend_from_slice(key);
    });
}

/// Writes PasswordMessage: a password or its MD5 answer.
pub fn password(password: &[u8], out: &mut Vec<u8>) {
    framed(tag::PASSWORD, out, |out| text(password, out));
}

/// Writes SASLInitialResponse with the mechanism's first message.
pub fn sasl_initial(mechanism: &str, response: Option<&[u8]>, out: &mut Vec<u8>) {
    framed(tag::PASSWORD, out, |out| {
        text(mechanism.as_bytes(), out);
        value(response, out);
    });
}

/// Writes SASLResponse with a later message of the mechanism.
pub fn sasl_response(response: &[u8], out: &mut Vec<u8>) {
    frame(tag::PASSWORD, response, out);
}

/// Writes Query.
pub fn query(query: &[u8], out: &mut Vec<u8>) {
    framed(tag::QUERY, out, |out| text(query, out));
}

/// Writes Parse. `types` are the OIDs of the parameters' types, four bytes each, as
/// [`frontend::parse`](crate::frontend::parse) gives them; a rest of fewer than four is left out.
pub fn parse(name: &[u8], query: &[u8], types: &[u8], out: &mut Vec<u8>) {
    let (types, _) = types.as_chunks::<4>();
    framed(tag::PARSE, out, |out| {
        text(name, out);
        text(query, out);
        count(types.len(), out);
        out.extend_from_slice(types.as_flattened());
    });
}

/// Writes Bind with parameters in text form (`None` is NULL), results in text form too.
pub fn bind(portal: &[u8], statement: &[u8], parameters: &[Option<&[u8]>], out: &mut Vec<u8>) {
    framed(tag::BIND, out, |out| {
        text(portal, out);
        text(statement, out);
        count(0, out);
        count(parameters.len(), out);
        for &parameter in parameters {
            value(parameter, out);
        }
        count(0, out);
    });
}

/// Writes Describe for a statement (`b'S'`) or a portal (`b'P'`).
pub fn describe(kind: u8, name: &[u8], out: &mut Vec<u8>) {
    framed(tag::DESCRIBE, out, |out| {
        out.push(kind);
        text(name, out);
    });
}

/// Writes Execute; 0 as `max_rows` means all.
pub fn execute(portal: &[u8], max_rows: u32, out: &mut Vec<u8>) {
    framed(tag::EXECUTE, out, |out| {
        text(portal, out);
        out.extend_from_slice(&max_rows.to_be_bytes());
    });
}

/// Writes Close for a statement (`b'S'`) or a portal (`b'P'`).
pub fn close(kind: u8, name: &[u8], out: &mut Vec<u8>) {
    framed(tag::CLOSE, out, |out| {
        out.push(kind);
        text(name, out);
    });
}

/// Writes CopyFail with the reason that the server's error will quote.
pub fn copy_fail(reason: &str, out: &mut Vec<u8>) {
    framed(tag::COPY_FAIL, out, |out| text(reason.as_bytes(), out));
}

/// Writes Sync.
pub fn sync(out: &mut Vec<u8>) {
    frame(tag::SYNC, b"", out);
}

/// Writes Flush.
pub fn flush(out: &mut Vec<u8>) {
    frame(tag::FLUSH, b"", out);
}

/// Writes Terminate.
pub fn terminate(out: &mut Vec<u8>) {
    frame(tag::TERMINATE, b"", out);
}
