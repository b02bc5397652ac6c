//! `auth_query`: a server is asked for the secret of a user whom no file names.
//!
//! The question goes through a normal pool, on a connection that has the settings of its own login:
//! whatever the client has in its startup packet stays off it, so that no `search_path` leads the
//! query to somebody else's tables (CVE-2025-12819). A task of its own asks, so that a client that
//! leaves in the middle costs no server connection.

mod answer;

use std::future::poll_fn;
use std::io;
use std::rc::Rc;
use std::sync::Arc;
use std::task::Poll;

use pgweir_auth::Secret;
use pgweir_pool::PoolId;
use pgweir_session::{Batch, Client, Mode, Settings, Verdict};
use pgweir_wire::encode;
use tokio::sync::oneshot;
use tokio::time::Instant;

use self::answer::Answer;
use crate::ask::send_with;
use crate::client::{ClientShared, ClientState};
use crate::giveback;
use crate::grant::first_server_of;
use crate::lease::Leased;
use crate::reading::{Scratch, is_alive, keep, read};
use crate::report::Report;
use crate::server::{ServerConn, ServerState};
use crate::worker::Worker;

/// A connection that idled for long may not answer any more: then the next one is asked, so many times.
const ATTEMPTS: usize = 3;

/// Longest answer, in bytes: a name and a secret with room to spare.
const ANSWER_MAX: usize = 256 * 1024;

/// Who asks what about whom.
#[derive(Debug)]
pub struct Question {
    /// The database, by the name that clients use.
    pub database: String,
    /// `auth_user`.
    pub asker: String,
    /// `auth_query`.
    pub query: String,
    /// The user who wants to log in.
    pub user: String,
}

/// What a server says of a user, before the deadline; `None`: nothing.
///
/// # Errors
/// What the client is to be told; the log has more.
pub async fn look_up(
    worker: &Rc<Worker>,
    client: &Rc<ClientShared>,
    question: Rc<Question>,
    deadline: Instant,
) -> Result<Option<(String, Secret)>, Report> {
    let pool = || {
        let Question {
            database, asker, ..
        } = &*question;
        worker.shared.pool_as(database, asker)
    };
    let Some(mut place) = pool() else {
        return Err(misconfigured(&question, "there is no such database"));
    };
    for _ in 0..ATTEMPTS {
        let leased = ready_server(worker, client, &question, &mut place, pool, deadline).await?;
        let idled = leased.check();
        let until = if idled {
            // As long as it would get to show that it is alive.
            deadline.min(Instant::now() + worker.limits().connect_timeout)
        } else {
            deadline
        };
        let (reply, answer) = oneshot::channel();
        let (asker, question_too) = (Rc::clone(worker), Rc::clone(&question));
        tokio::task::spawn_local(ask(asker, leased, question_too, until, reply));
        let gone = |_| io::Error::other("the question was dropped");
        match answer.await.map_err(gone).flatten() {
            Ok(Answer::Row(name, secret)) => return Ok(Some((name, secret))),
            Ok(Answer::NoRow) => return Ok(None),
            Ok(Answer::Wrong(what)) => return Err(misconfigured(&question, &what)),
            // Nothing had been answered on it since long ago.
            Err(error) if idled => tracing::debug!(%error, "auth_query is asked again"),
            Err(error) if error.kind() == io::ErrorKind::TimedOut => {
                return Err(Report::new("08006", "client_login_timeout"));
            }
            Err(error) => {
                let report = Report::new("08006", "server conn crashed?");
                return Err(report.cause(error.to_string()));
            }
        }
    }
    Err(Report::new("08006", "server conn crashed?"))
}

/// A connection that can be asked. Those that died while they were idle are no reason to give up.
async fn ready_server(
    worker: &Rc<Worker>,
    client: &Rc<ClientShared>,
    question: &Question,
    place: &mut PoolId,
    pool: impl Fn() -> Option<PoolId>,
    deadline: Instant,
) -> Result<Box<Leased>, Report> {
    if worker.shared.pools.lock().is_disabled(&question.database) {
        let name = &question.database;
        let text = format!("authentication database \"{name}\" is disabled");
        return Err(Report::new("57P03", text));
    }
    loop {
        let granted = first_server_of(worker, client, place, &pool, deadline).await;
        let now = std::time::Instant::now();
        client.enter(ClientState::Login, now);
        let mut leased = granted.map_err(|report| unavailable(question, report))?;
        if poll_fn(|cx| Poll::Ready(is_alive(&mut leased.conn, cx))).await {
            let shared = leased.shared();
            shared.state.set(ServerState::Active);
            shared.link.set(Some(client.id));
            shared.request_time.set(now);
            return Ok(leased);
        }
        worker.discard(*leased, "server conn crashed?", now);
    }
}

/// A client that nobody knows yet hears no more of a server than that there is none: not its host,
/// and not why it does not take `auth_user`.
fn unavailable(question: &Question, report: Report) -> Report {
    let detail = report.detail.as_deref().unwrap_or_default();
    let told = match &*report.sqlstate {
        "53300" | "57P01" | "57P03" => Some(report.message.as_str()),
        "08006" if report.message.starts_with("server login") => {
            Some("server login has been failing (server_login_retry)")
        }
        "08006" => Some(report.message.as_str()),
        _ => None,
    };
    if let Some(told) = told {
        let Question {
            database, asker, ..
        } = question;
        tracing::warn!(
            database,
            auth_user = asker,
            "auth_query waits in vain: {}: {detail}",
            report.message
        );
        return Report::new(report.sqlstate.clone(), told);
    }
    misconfigured(question, &format!("{} {detail}", report.message))
}

/// The operator has to see to it: the log says what is wrong.
fn misconfigured(question: &Question, what: &str) -> Report {
    let Question {
        database, asker, ..
    } = question;
    tracing::error!(database, auth_user = asker, "auth_query failed: {what}");
    Report::new("F0000", "bouncer config error")
}

type Reply = oneshot::Sender<io::Result<Answer>>;

/// Asks, gives the connection back, and tells whoever still wants to know.
async fn ask(
    worker: Rc<Worker>,
    mut leased: Box<Leased>,
    question: Rc<Question>,
    deadline: Instant,
    reply: Reply,
) {
    leased.checked();
    let conversation = converse(&worker, &mut leased.conn, &question);
    match tokio::time::timeout_at(deadline, conversation).await {
        Ok(Ok(answer)) => {
            // Nobody has to hear of it any more if the client has left.
            let _ = reply.send(Ok(answer::read(&answer)));
            if leased.conn.session.at_boundary() {
                giveback::after_transaction(&worker, leased, std::time::Instant::now());
            } else {
                giveback::after_client(&worker, leased, false);
            }
        }
        Ok(Err(error)) => {
            let _ = reply.send(Err(error));
            let reason = "auth_query failed";
            worker.discard(*leased, reason, std::time::Instant::now());
        }
        Err(_) => {
            let _ = reply.send(Err(io::ErrorKind::TimedOut.into()));
            // The query is cancelled.
            giveback::after_client(&worker, leased, false);
        }
    }
}

/// Asks as a client would that has set nothing: what belongs to others on the connection is reset
/// first, as for any client.
async fn converse(
    worker: &Rc<Worker>,
    conn: &mut ServerConn,
    question: &Question,
) -> io::Result<Vec<u8>> {
    let mut request = Vec::new();
    // No type is given for the parameter: the query's own context decides.
    encode::parse(b"", question.query.as_bytes(), &[], &mut request);
    encode::bind(b"", b"", &[Some(question.user.as_bytes())], &mut request);
    encode::describe(b'P', b"", &mut request);
    // A second row would leave open which one is meant.
    encode::execute(b"", 2, &mut request);
    encode::sync(&mut request);

    let base = Arc::clone(conn.session.base());
    let mut session = Client::new(Mode::Transaction, &Settings::default(), base);
    let (mut batch, mut nobody) = (Batch::new(), Batch::new());
    let limits = worker.limits();
    let rules = limits.rules(&worker.shared.statements);
    session.attach(&mut conn.session, &rules, &mut batch);
    let server = Some(&mut conn.session);
    let (taken, verdict) =
        session.handle_request(&request, server, &rules, &mut batch, &mut nobody);
    if taken != request.len() || verdict != Verdict::More {
        return Err(io::Error::other("auth_query exceeds max_packet_size"));
    }
    send_with(conn, &batch, &request).await?;
    let answer = listen(worker, conn, &mut session).await?;
    // They are no client's.
    conn.session.take_counts();
    Ok(answer)
}

/// All that the server says, as it says it to a client.
async fn listen(
    worker: &Rc<Worker>,
    conn: &mut ServerConn,
    session: &mut Client,
) -> io::Result<Vec<u8>> {
    let mut answer = Vec::new();
    poll_fn(|cx| {
        let mut scratch = worker.scratch.borrow_mut();
        let Scratch {
            buffer, to_client, ..
        } = &mut *scratch;
        while conn.session.owed() > 0 {
            let len = match read(&mut conn.stream, cx, &conn.held, buffer) {
                Poll::Pending => return Poll::Pending,
                Poll::Ready(Ok(0)) => return Poll::Ready(Err(io::ErrorKind::UnexpectedEof.into())),
                Poll::Ready(Ok(len)) => len,
                Poll::Ready(Err(error)) => return Poll::Ready(Err(error)),
            };
            let input = &buffer[..len];
            to_client.clear();
            let consumed = conn
                .session
                .handle_replies(input, Some(session), to_client)
                .map_err(io::Error::other)?;
            for slice in to_client.slices(input) {
                answer.extend_from_slice(slice);
            }
            keep(&mut conn.held, input, consumed);
            if answer.len() > ANSWER_MAX {
                return Poll::Ready(Err(io::Error::other("the answer is too long")));
            }
            if !conn.session.takes_requests() {
                return Poll::Ready(Err(io::Error::other("the server waits for copy data")));
            }
        }
        Poll::Ready(Ok(()))
    })
    .await?;
    Ok(answer)
}
