//! The worker's buffers, and reading into them behind what could not be dealt with before.

use std::io;
use std::task::{Context, Poll};

use pgweir_session::Batch;

use crate::server::ServerConn;
use crate::stream::Stream;

/// Buffers that every pass over a socket uses, one pass at a time.
#[derive(Debug)]
pub struct Scratch {
    /// What is read goes here.
    pub buffer: Vec<u8>,
    /// What goes to the server.
    pub to_server: Batch,
    /// What goes to the client.
    pub to_client: Batch,
}

/// Reads behind what is held already, into the front of `buffer`; gives the length of both.
pub(crate) fn read(
    stream: &mut Stream,
    cx: &mut Context<'_>,
    held: &[u8],
    buffer: &mut Vec<u8>,
) -> Poll<io::Result<usize>> {
    put_in_front(held, buffer);
    match stream.poll_read(cx, &mut buffer[held.len()..]) {
        Poll::Ready(Ok(0)) => Poll::Ready(Ok(0)),
        Poll::Ready(Ok(len)) => Poll::Ready(Ok(held.len() + len)),
        other => other,
    }
}

/// Copies `held` to the front of `buffer` and sees to it that there is room behind it.
pub(crate) fn put_in_front(held: &[u8], buffer: &mut Vec<u8>) {
    const ROOM_MIN: usize = 16 * 1024;
    if held.is_empty() {
        return;
    }
    if buffer.len() < held.len() + ROOM_MIN {
        buffer.resize(held.len() + 4 * ROOM_MIN, 0);
    }
    buffer[..held.len()].copy_from_slice(held);
}

/// Keeps what was not consumed of `input`; without a rest, no memory is owned.
pub(crate) fn keep(held: &mut Vec<u8>, input: &[u8], consumed: usize) {
    let rest = &input[consumed..];
    if rest.is_empty() {
        if held.capacity() > 0 {
            *held = Vec::new();
        }
        return;
    }
    held.clear();
    held.extend_from_slice(rest);
}

/// Reads what has come on a connection that nobody holds, without waiting.
///
/// # Errors
/// Why the connection is of no use any more.
pub(crate) fn drain_idle(
    conn: &mut ServerConn,
    cx: &mut Context<'_>,
    scratch: &mut Scratch,
) -> Result<(), &'static str> {
    loop {
        let len = match read(&mut conn.stream, cx, &conn.held, &mut scratch.buffer) {
            Poll::Pending => return Ok(()),
            Poll::Ready(Ok(0)) => return Err("server conn crashed?"),
            Poll::Ready(Ok(len)) => len,
            Poll::Ready(Err(_)) => return Err("server conn crashed?"),
        };
        let input = &scratch.buffer[..len];
        scratch.to_client.clear();
        let consumed = conn
            .session
            .handle_replies(input, None, &mut scratch.to_client)
            .map_err(|_| "server sent what nobody asked for")?;
        keep(&mut conn.held, input, consumed);
    }
}

/// Whether a connection that was idle is still of use. Costs no system call as long as nothing
/// has come: the runtime knows whether its socket has anything to say.
pub(crate) fn is_alive(conn: &mut ServerConn, cx: &mut Context<'_>) -> bool {
    let mut buffer = [0; 1024];
    loop {
        match conn.stream.poll_read(cx, &mut buffer) {
            Poll::Pending => break,
            Poll::Ready(Ok(len)) if len > 0 => conn.held.extend_from_slice(&buffer[..len]),
            Poll::Ready(_) => return false,
        }
    }
    if conn.held.is_empty() {
        return true;
    }
    // An error that nobody asked for is the server's goodbye (57P01, 57P02, 57P05).
    if conn.held[0] == pgweir_wire::tag::backend::ERROR_RESPONSE {
        return false;
    }
    let held = std::mem::take(&mut conn.held);
    let mut nobody = Batch::new();
    match conn.session.handle_replies(&held, None, &mut nobody) {
        Ok(consumed) => {
            keep(&mut conn.held, &held, consumed);
            conn.session.at_boundary()
        }
        Err(_) => false,
    }
}
