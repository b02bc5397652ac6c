//! Replication connections: every byte passes as it is, on a server connection of their own.
//!
//! The slot of the connection is leased from a pool like any other; the connection itself is made
//! here, since it begins with the client's own startup parameters.

use std::rc::Rc;
use std::time::Instant;

use pgweir_wire::encode;

use crate::admission::Seat;
use crate::cancel;
use crate::client::{ClientShared, ClientState};
use crate::grant::slot;
use crate::lease::Guard;
use crate::place::OnTheWay;
use crate::report::Report;
use crate::server::{ServerConn, ServerState};
use crate::stream::Stream;
use crate::worker::Worker;

/// Bytes in flight in each direction.
const BUFFER: usize = 64 * 1024;

/// A replication client that has logged in, as far as pgweir is concerned.
pub struct Passthrough {
    client: Rc<ClientShared>,
    stream: Stream,
    held: Vec<u8>,
    seat: Seat,
    parameters: Vec<(Vec<u8>, Vec<u8>)>,
}

impl Passthrough {
    /// `held` is what the client sent behind its last login message.
    pub fn new(
        client: Rc<ClientShared>,
        stream: Stream,
        held: Vec<u8>,
        seat: Seat,
        parameters: Vec<(Vec<u8>, Vec<u8>)>,
    ) -> Self {
        Self {
            client,
            stream,
            held,
            seat,
            parameters,
        }
    }

    /// Carries bytes until either side ends; says why it ended.
    pub async fn run(mut self, worker: &Rc<Worker>) -> &'static str {
        let slot = match slot(worker, &self.client, &mut self.seat.pool).await {
            Ok(slot) => slot,
            Err(report) => return self.refuse(worker, &report).await,
        };
        let key = worker.shared.pools.lock().key(self.seat.pool).clone();
        let opened = crate::connect::open_replication(
            worker,
            &key,
            (slot.conn(), self.seat.pool),
            &self.parameters,
        );
        let conn = match opened.await {
            Ok(conn) => conn,
            Err(error) => {
                let report = match &error {
                    // The server's own words: replication users need them.
                    crate::connect::Error::Refused { sqlstate, message } => {
                        Report::of_server(sqlstate.clone(), message.clone())
                    }
                    other => Report::new("08006", other.to_string()),
                };
                return self.refuse(worker, &report).await;
            }
        };
        let reason = self.carry(worker, conn, &slot).await;
        drop(slot);
        reason
    }

    async fn refuse(&mut self, worker: &Rc<Worker>, report: &Report) -> &'static str {
        crate::report::pooler_error(&worker.shared, &self.client, report);
        // Gone in any case.
        let style = worker.shared.config.load().settings.error_style;
        let _ = self.stream.write_all(&report.fatal(style)).await;
        "no server connection"
    }

    async fn carry(
        &mut self,
        worker: &Rc<Worker>,
        mut conn: ServerConn,
        _slot: &Guard,
    ) -> &'static str {
        let mut out = Vec::new();
        encode::authentication_ok(&mut out);
        for (name, value) in conn.session.base().iter() {
            encode::parameter_status(name, value, &mut out);
        }
        cancel::backend_key(
            worker,
            &self.client,
            pgweir_wire::startup::PROTOCOL_3_0,
            &mut out,
        );
        encode::ready(pgweir_wire::backend::Status::Idle, &mut out);
        if self.stream.write_all(&out).await.is_err() {
            return "client unexpected eof";
        }
        let now = Instant::now();
        conn.shared.state.set(ServerState::Active);
        conn.shared.link.set(Some(self.client.id));
        *self.client.link.borrow_mut() = Some(Rc::clone(&conn.shared));
        self.client.enter(ClientState::Active, now);
        worker.register(&conn.shared);
        let reason = self.pump(worker, &mut conn).await;
        worker.unregister(&conn.shared);
        *self.client.link.borrow_mut() = None;
        // Both sides learn that it is over: the sockets close here.
        reason
    }

    async fn pump(&mut self, worker: &Worker, conn: &mut ServerConn) -> &'static str {
        let held = std::mem::take(&mut self.held);
        if conn.stream.write_all(&held).await.is_err() {
            return "server conn crashed?";
        }
        let mut up = Half::new();
        let mut down = Half::new();
        std::future::poll_fn(|cx| {
            use std::task::Poll;
            self.client.register(cx);
            if self.client.kill.get().is_some() {
                return Poll::Ready("killed");
            }
            // Each direction goes on by itself; both have to be polled each time.
            let more = !worker.is_suspended();
            let upward = up.poll(cx, &mut self.stream, &mut conn.stream, more);
            let downward = down.poll(cx, &mut conn.stream, &mut self.stream, more);
            let bytes = |half: &Half| OnTheWay {
                held: 0,
                unsent: (half.end - half.start) as u32,
            };
            self.client.bytes.set(bytes(&down));
            conn.shared.bytes.set(bytes(&up));
            match (upward, downward) {
                (Poll::Ready(Side::From), _) | (_, Poll::Ready(Side::To)) => {
                    Poll::Ready("client close request")
                }
                (Poll::Ready(Side::To), _) | (_, Poll::Ready(Side::From)) => {
                    Poll::Ready("server conn crashed?")
                }
                _ => Poll::Pending,
            }
        })
        .await
    }
}

enum Side {
    From,
    To,
}

/// One direction.
struct Half {
    buffer: Vec<u8>,
    /// What is read and not written yet: `buffer[start..end]`.
    start: usize,
    end: usize,
    unflushed: bool,
}

impl Half {
    fn new() -> Self {
        Self {
            buffer: vec![0; BUFFER],
            start: 0,
            end: 0,
            unflushed: false,
        }
    }

    /// Carries what it can, and with `more` reads on; ready when one of the sides has ended.
    fn poll(
        &mut self,
        cx: &mut std::task::Context<'_>,
        from: &mut Stream,
        to: &mut Stream,
        more: bool,
    ) -> std::task::Poll<Side> {
        use std::task::Poll;
        loop {
            while self.start < self.end {
                match to.poll_write(cx, &self.buffer[self.start..self.end]) {
                    Poll::Ready(Ok(len)) if len > 0 => {
                        self.start += len;
                        self.unflushed = true;
                    }
                    Poll::Ready(_) => return Poll::Ready(Side::To),
                    Poll::Pending => return Poll::Pending,
                }
            }
            if self.unflushed {
                match to.poll_flush(cx) {
                    Poll::Ready(Ok(())) => self.unflushed = false,
                    Poll::Ready(Err(_)) => return Poll::Ready(Side::To),
                    Poll::Pending => {}
                }
            }
            if !more {
                return Poll::Pending;
            }
            match from.poll_read(cx, &mut self.buffer) {
                Poll::Ready(Ok(len)) if len > 0 => (self.start, self.end) = (0, len),
                Poll::Ready(_) => return Poll::Ready(Side::From),
                Poll::Pending => return Poll::Pending,
            }
        }
    }
}
