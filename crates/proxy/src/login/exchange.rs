//! The part of a login in which a client proves who it is.

use std::rc::Rc;

use nix::unistd::{Uid, User};
use pgweir_auth::hba::{Directory, Way};
use pgweir_auth::{
    Authenticated, ChannelBinding, Exchange, Message, Method, Reply, Request, Secret, Start, Step,
};
use pgweir_wire::{encode, frontend, header, tag};

use zeroize::Zeroizing;

use super::known::Known;
use super::wish::Wish;
use super::{Conversation, Failure, Outcome};
use crate::client::ClientShared;
use crate::ldap;
use crate::pam;
use crate::place::Peer;
use crate::report::Report;
use crate::worker::Worker;

/// Has the client prove that it is who it says.
pub(super) async fn authenticate(
    worker: &Rc<Worker>,
    client: &ClientShared,
    conversation: Conversation,
    wish: &Wish,
    known: &Known,
    way: &Way,
) -> Outcome<Conversation> {
    match way {
        Way::Ask(Method::Any) => any(worker, conversation, wish),
        Way::Ask(Method::Trust) if !known.is_somebody() => {
            conversation.refuse(Report::new("28000", "\"trust\" authentication failed"))
        }
        Way::Ask(method) => exchange(worker, conversation, wish, *method, known.secret()).await,
        Way::Certificate { map } => {
            let rules = worker.shared.rules.load();
            let name = conversation.client_name.clone();
            let name = name.as_deref();
            let outcome = Exchange::certificate(&wish.user, name, rules.mapping(map.as_deref()));
            let text = "certificate authentication failed";
            known_by(conversation, known, outcome, name, text)
        }
        Way::Peer { map } => {
            let name = process_user(&conversation).await;
            let rules = worker.shared.rules.load();
            let name = name.as_deref();
            let outcome = Exchange::peer(&wish.user, name, rules.mapping(map.as_deref()));
            let text = "unix socket login rejected";
            known_by(conversation, known, outcome, name, text)
        }
        Way::Ldap(directory) => {
            let judge = Judge::Directory(directory);
            by_password(worker, client, conversation, wish, judge).await
        }
        Way::Pam => by_password(worker, client, conversation, wish, Judge::Pam).await,
    }
}

/// Who is asked about a password.
enum Judge<'a> {
    Directory(&'a Directory),
    Pam,
}

impl Judge<'_> {
    /// In PgBouncer's words.
    fn refusal(&self) -> &'static str {
        match self {
            Self::Directory(_) => "LDAP authentication failed",
            Self::Pam => "PAM authentication failed",
        }
    }

    /// Asks; what is said against it, and whether that is the client's, so that the operator need not
    /// look.
    async fn ask(
        &self,
        worker: &Worker,
        peer: Peer,
        user: &str,
        password: &str,
    ) -> Result<(), (String, bool)> {
        match self {
            Self::Directory(directory) => {
                let answer = ldap::check(directory, user, password).await;
                answer.map_err(|error| (error.to_string(), error.is_clients()))
            }
            Self::Pam => {
                let from = match peer {
                    Peer::Tcp(address) => Some(address.ip()),
                    Peer::Unix(..) => None,
                };
                let service = worker.shared.config.load().settings.pam_service.clone();
                let turns = &worker.shared.pam;
                let answer = pam::check(turns, &service, from, user, password).await;
                answer.map_err(|error| (error.to_string(), error.is_clients()))
            }
        }
    }
}

/// Somebody else is asked whether the password is right. With it the server is logged in to, too.
async fn by_password(
    worker: &Worker,
    client: &ClientShared,
    mut conversation: Conversation,
    wish: &Wish,
    judge: Judge<'_>,
) -> Outcome<Conversation> {
    let mut out = Vec::new();
    encode::authentication_cleartext(&mut out);
    conversation.send(&out).await?;
    let (conversation, body) = password_message(conversation).await?;
    let body = Zeroizing::new(body);
    let password = match frontend::password(&body) {
        Ok(b"") => {
            let text = "empty password returned by client";
            return conversation.refuse(Report::new("28P01", text));
        }
        Ok(password) => std::str::from_utf8(password).ok(),
        Err(error) => return conversation.refuse(Report::new("08P01", error.to_string())),
    };
    let user = &wish.user;
    let refusal = || Report::new("28P01", judge.refusal());
    let Some(password) = password else {
        return conversation.refuse(refusal().cause("the password is not UTF-8"));
    };
    let asked = tokio::time::timeout_at(
        conversation.deadline,
        judge.ask(worker, client.peer, user, password),
    );
    let answer = tokio::select! {
        biased;
        answer = asked => answer,
        () = conversation.stream.hung_up() => {
            return Err(Failure::Silent("client gone during login"));
        }
    };
    match answer {
        Ok(Ok(())) => {
            if !wish.is_for_console() {
                let secret = Secret::plain(password);
                let secret = worker.shared.found.known(&wish.database, user, secret);
                worker.shared.found.keep(&wish.database, user, secret);
            }
            Ok(conversation)
        }
        Ok(Err((why, is_clients))) => {
            if !is_clients {
                tracing::error!(user, error = why, "{}", judge.refusal());
            }
            conversation.refuse(refusal().cause(why))
        }
        Err(_) => {
            tracing::error!(user, "{}: there is no answer", judge.refusal());
            conversation.refuse(refusal())
        }
    }
}

/// Nobody is asked; who the client is on the server, its database must say.
fn any(worker: &Worker, conversation: Conversation, wish: &Wish) -> Outcome<Conversation> {
    let config = worker.shared.config.load();
    let entry = config.database(&wish.database);
    if entry.is_some_and(|entry| entry.user.is_none()) {
        let database = &wish.database;
        tracing::error!(database, "auth_type = any needs the database's \"user\"");
        return conversation.refuse(Report::new("F0000", "bouncer config error"));
    }
    Ok(conversation)
}

/// A client that something outside the conversation has named; it must be one of our users, too.
fn known_by(
    conversation: Conversation,
    known: &Known,
    outcome: Result<Authenticated, pgweir_auth::Error>,
    name: Option<&str>,
    text: &'static str,
) -> Outcome<Conversation> {
    let cause = match outcome {
        Ok(_) if known.is_somebody() => return Ok(conversation),
        Ok(_) => format!("there is no such user (known outside as {name:?})"),
        Err(error) => format!("authentication failed: {error} (known outside as {name:?})"),
    };
    conversation.refuse(Report::new("28000", text).cause(cause))
}

/// The system's name of the user at the other end of a Unix socket. The system may have to ask
/// somebody, which must not hold up the worker.
async fn process_user(conversation: &Conversation) -> Option<String> {
    let uid = Uid::from_raw(conversation.stream.peer_uid()?);
    let asked = tokio::task::spawn_blocking(move || User::from_uid(uid));
    let answer = tokio::time::timeout_at(conversation.deadline, asked).await;
    Some(answer.ok()?.ok()?.ok()??.name)
}

async fn exchange(
    worker: &Rc<Worker>,
    mut conversation: Conversation,
    wish: &Wish,
    method: Method,
    secret: Option<&pgweir_auth::Secret>,
) -> Outcome<Conversation> {
    let binding = conversation
        .certificate
        .as_deref()
        .and_then(ChannelBinding::end_point);
    let start = Exchange::start(
        method,
        &wish.user,
        secret,
        binding.as_ref(),
        rand::random(),
        &worker.shared.salting(),
    );
    let (mut exchange, request) = match start {
        Start::Authenticated(_) => return Ok(conversation),
        Start::Ask(exchange, request) => (exchange, request),
    };
    let mut out = Vec::new();
    let sasl = matches!(request, Request::Sasl { .. });
    match request {
        Request::Cleartext => encode::authentication_cleartext(&mut out),
        Request::Md5 { salt } => encode::authentication_md5(salt, &mut out),
        Request::Sasl { mechanisms } => encode::authentication_sasl(mechanisms, &mut out),
    }
    conversation.send(&out).await?;
    let mut first = true;
    loop {
        let (conversation_back, body) = password_message(conversation).await?;
        conversation = conversation_back;
        let message = read(&body, sasl, first);
        let message = match message {
            Ok(message) => message,
            Err(error) => return conversation.refuse(Report::new("08P01", error.to_string())),
        };
        first = false;
        out.clear();
        match exchange.step(message) {
            Ok(Step::Continue(next, Reply::SaslContinue(challenge))) => {
                exchange = next;
                encode::authentication_sasl_continue(&challenge, &mut out);
                conversation.send(&out).await?;
            }
            Ok(Step::Success(authenticated, last)) => {
                if let Some(keys) = authenticated.scram_keys() {
                    worker
                        .shared
                        .scram_keys
                        .lock()
                        .insert(wish.user.clone(), keys.clone());
                }
                if let Some(last) = last {
                    encode::authentication_sasl_final(&last, &mut conversation.unsent);
                }
                return Ok(conversation);
            }
            Err(error) => {
                let text = match error {
                    pgweir_auth::Error::EmptyPassword => "empty password returned by client",
                    _ if sasl => "SASL authentication failed",
                    _ => "password authentication failed",
                };
                let cause = format!("authentication failed: {error}");
                return conversation.refuse(Report::new("28P01", text).cause(cause));
            }
        }
    }
}

/// What a password message is depends on what was asked for: all have the same tag.
fn read(body: &[u8], sasl: bool, first: bool) -> Result<Message<'_>, pgweir_wire::Error> {
    match (sasl, first) {
        (false, _) => frontend::password(body).map(Message::Password),
        (true, true) => frontend::sasl_initial(body).map(|initial| Message::SaslInitial {
            mechanism: initial.mechanism,
            response: initial.response,
        }),
        (true, false) => Ok(Message::SaslResponse(frontend::sasl_response(body))),
    }
}

async fn password_message(mut conversation: Conversation) -> Outcome<(Conversation, Vec<u8>)> {
    loop {
        match header(&conversation.buffer, frontend::PASSWORD_LEN_MAX) {
            Ok(Some(head)) if head.tag != tag::frontend::PASSWORD => {
                if head.tag == tag::frontend::TERMINATE {
                    return Err(Failure::Silent("client close request during login"));
                }
                let text = format!("expected password response, got message type {}", head.tag);
                return conversation.refuse(Report::new("08P01", text));
            }
            Ok(Some(head)) if conversation.buffer.len() as u64 >= head.frame_len() => {
                let frame: Vec<u8> = conversation
                    .buffer
                    .drain(..head.frame_len() as usize)
                    .collect();
                return Ok((conversation, frame[pgweir_wire::HEADER_LEN..].to_vec()));
            }
            Ok(_) => conversation = conversation.read().await?,
            Err(error) => return conversation.refuse(Report::new("08P01", error.to_string())),
        }
    }
}
