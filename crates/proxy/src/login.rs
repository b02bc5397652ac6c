//! From the first byte of a connection to its first ReadyForQuery.

use std::rc::Rc;
use std::sync::Arc;

use pgweir_auth::{ChannelBinding, Exchange, Message, Method, Reply, Request, Start, Step};
use pgweir_config::AuthType;
use pgweir_pool::Kind;
use pgweir_session::{Client, Mode, Settings};
use pgweir_wire::backend::Status;
use pgweir_wire::startup::{self, Packet, Startup};
use pgweir_wire::{encode, frontend, header, tag};
use tokio::time::Instant;

use crate::client::{ClientShared, ClientState, Grant, Login, Peer};
use crate::console::Console;
use crate::lease::{Guard, Leased};
use crate::passthrough::Passthrough;
use crate::relay::{Relay, Seat};
use crate::report::Report;
use crate::stream::Stream;
use crate::worker::{Taken, Worker};

/// A client that may go on.
pub enum Ready {
    /// With queries.
    Session(Box<Relay>),
    /// With commands to the console.
    Console(Box<Console>),
    /// With replication.
    Replication(Box<Passthrough>),
}

/// A login that came to nothing.
pub enum Failure {
    /// The connection just ends.
    Silent(&'static str),
    /// The client is told why.
    Told(Box<Stream>, Report),
}

/// A stream with what was read of it and not used yet.
struct Conversation {
    stream: Stream,
    buffer: Vec<u8>,
    /// DER of our certificate, once the stream is under TLS.
    certificate: Option<Vec<u8>>,
    /// When the login must be done.
    deadline: Instant,
}

type Outcome<T> = Result<T, Failure>;

impl Conversation {
    fn refuse<T>(self, report: Report) -> Outcome<T> {
        Err(Failure::Told(Box::new(self.stream), report))
    }

    async fn send(&mut self, bytes: &[u8]) -> Outcome<()> {
        self.stream
            .write_all(bytes)
            .await
            .map_err(|_| Failure::Silent("client gone during login"))
    }

    /// Waits for more of what the client says, but not longer than a login may take.
    async fn read(mut self) -> Outcome<Self> {
        let read = self.stream.read_some(&mut self.buffer, 1024);
        match tokio::time::timeout_at(self.deadline, read).await {
            Ok(Ok(())) => Ok(self),
            Ok(Err(_)) => Err(Failure::Silent("client gone during login")),
            Err(_) => {
                let report = Report::new("08006", "client_login_timeout");
                self.refuse(
                    report.hint("The client must answer faster, or raise client_login_timeout."),
                )
            }
        }
    }
}

/// What a startup packet asks for.
struct Wish {
    version: u32,
    user: String,
    database: String,
    replication: Option<&'static str>,
    settings: Settings,
    /// As they came, for a replication connection.
    parameters: Vec<(Vec<u8>, Vec<u8>)>,
    application_name: String,
    unsupported: Vec<Vec<u8>>,
}

/// Logs a client in.
///
/// # Errors
/// See [`Failure`].
pub async fn run(
    worker: &Rc<Worker>,
    client: &Rc<ClientShared>,
    stream: Stream,
    deadline: Instant,
) -> Outcome<Box<Ready>> {
    let conversation = Conversation {
        stream,
        buffer: Vec::new(),
        certificate: None,
        deadline,
    };
    let (mut conversation, mut wish) = startup(worker, client, conversation).await?;
    if wish.replication == Some("physical") {
        wish.database = physical_database(&worker.shared.config.load(), wish.database);
    }
    if wish.version > startup::PROTOCOL_3_2 || !wish.unsupported.is_empty() {
        let mut out = Vec::new();
        let minor = (wish.version.min(startup::PROTOCOL_3_2) & 0xffff) as u16;
        encode::negotiate_version(minor, &wish.unsupported, &mut out);
        conversation.send(&out).await?;
    }
    let is_console = matches!(wish.database.as_str(), "pgbouncer" | "pgweir");
    *client.login.borrow_mut() = Some(Rc::new(Login {
        database: wish.database.as_str().into(),
        user: wish.user.as_str().into(),
        tls: conversation.stream.tls_description(),
        replication: wish.replication.unwrap_or("none"),
        application_name: wish.application_name.clone(),
        console: is_console,
    }));
    if is_console {
        return console(worker, client, conversation, &wish).await;
    }
    let conversation = authenticate(worker, conversation, &wish).await?;
    // Only after the password: who may not log in learns nothing of what databases there are.
    let kind = if wish.replication.is_some() {
        Kind::Dedicated
    } else {
        Kind::Normal
    };
    let Some(pool) = worker.shared.pool(&wish.database, &wish.user, kind) else {
        let text = format!("no such database: {}", wish.database);
        return conversation.refuse(Report::new("3D000", text));
    };
    let admission = match worker.shared.admit(&wish.database, &wish.user) {
        Ok(admission) => admission,
        Err(report) => return conversation.refuse(report),
    };
    if worker.shared.pools.lock().is_disabled(&wish.database) {
        let text = format!("database \"{}\" is disabled", wish.database);
        return conversation.refuse(Report::new("57P03", text));
    }
    let stats = worker.shared.stats_of(&wish.database, worker.id);
    stats.logged_in();
    if wish.replication.is_some() {
        let Conversation { stream, buffer, .. } = conversation;
        let parameters = wish.parameters;
        let passthrough = Passthrough::new(
            Rc::clone(client),
            stream,
            buffer,
            pool,
            parameters,
            admission,
        );
        return Ok(Box::new(Ready::Replication(Box::new(passthrough))));
    }
    let mode = mode(&worker.shared.config.load(), &wish);
    let session = Client::new(mode, wish.settings.clone());
    let mut conversation = conversation;
    let known = worker.shared.welcome.lock().get(&pool).cloned();
    let base = match known {
        Some(base) => base,
        None => match first_server(worker, client, pool, deadline).await {
            Ok(leased) => {
                let base = Arc::clone(leased.conn.session.base());
                worker.give_back(*leased, std::time::Instant::now());
                base
            }
            Err(report) => return conversation.refuse(report),
        },
    };
    let mut out = Vec::new();
    encode::authentication_ok(&mut out);
    for (name, value) in session.welcome(&base) {
        encode::parameter_status(name, value, &mut out);
    }
    backend_key(worker, client, wish.version, &mut out);
    encode::ready(Status::Idle, &mut out);
    conversation.send(&out).await?;
    let Conversation { stream, buffer, .. } = conversation;
    let seat = Seat {
        pool,
        stats,
        admission,
    };
    let (worker, client) = (Rc::clone(worker), Rc::clone(client));
    let relay = Relay::new(worker, client, stream, session, buffer, seat);
    Ok(Box::new(Ready::Session(Box::new(relay))))
}

/// The database whose server a physical replication connection goes to.
///
/// PostgreSQL does not care which database such a client names, and libpq names `replication`. If
/// that is not configured, and all databases lie on the same hosts, there is no doubt what is meant.
fn physical_database(config: &pgweir_config::Config, named: String) -> String {
    if config.database(&named).is_some() {
        return named;
    }
    let hosts_of = |name: &str| {
        config
            .database(name)
            .map(|entry| crate::shared::hosts(config, entry.database))
    };
    let mut names = config.databases.keys();
    let Some(first) = names.next() else {
        return named;
    };
    let hosts = hosts_of(first);
    if names.all(|name| hosts_of(name) == hosts) {
        first.clone()
    } else {
        named
    }
}

fn mode(config: &pgweir_config::Config, wish: &Wish) -> Mode {
    let Some(entry) = config.database(&wish.database) else {
        return Mode::Session;
    };
    match config.pool_mode(entry.database, entry.pool_user(&wish.user)) {
        pgweir_config::PoolMode::Session => Mode::Session,
        pgweir_config::PoolMode::Transaction => Mode::Transaction,
        pgweir_config::PoolMode::Statement => Mode::Statement,
    }
}

/// Gives a client its cancel key.
pub fn backend_key(worker: &Worker, client: &ClientShared, version: u32, out: &mut Vec<u8>) {
    let id = client.client_id();
    let secret = crate::cancel::secret(&worker.shared.process_secret, id);
    let len = if version >= startup::PROTOCOL_3_2 {
        secret.len()
    } else {
        4
    };
    client.key_len.set(len as u8);
    encode::backend_key(id.0 as u32, &secret[..len], out);
}

async fn startup(
    worker: &Rc<Worker>,
    client: &ClientShared,
    mut conversation: Conversation,
) -> Outcome<(Conversation, Wish)> {
    let is_tcp = matches!(client.peer, Peer::Tcp(_));
    let tls = worker.shared.tls.load_full();
    let offers_tls = is_tcp && tls.accepts();
    if offers_tls && conversation.stream.starts_with_handshake().await {
        conversation = encrypt(&tls, conversation, true).await?;
    }
    // Each request for encryption may come once, then the startup packet must.
    for _ in 0..3 {
        let len = loop {
            match startup::packet_len(&conversation.buffer) {
                Ok(Some(len)) if conversation.buffer.len() >= len => break len,
                Ok(_) => conversation = conversation.read().await?,
                Err(error) => return conversation.refuse(Report::new("08P01", error.to_string())),
            }
        };
        let packet: Vec<u8> = conversation.buffer.drain(..len).collect();
        let packet = match startup::packet(&packet) {
            Ok(packet) => packet,
            Err(error) => return conversation.refuse(Report::new("08P01", error.to_string())),
        };
        match packet {
            Packet::Cancel(cancel) => {
                crate::cancel::handle(worker, cancel.pid, cancel.key).await;
                return Err(Failure::Silent("cancel request"));
            }
            Packet::SslRequest | Packet::GssEncRequest => {
                // Whatever was sent along was not sent by who will be behind the encryption
                // (CVE-2021-23214).
                if !conversation.buffer.is_empty() {
                    let text = "received unencrypted data after SSL request";
                    return conversation.refuse(Report::new("08P01", text));
                }
                let agreed = matches!(packet, Packet::SslRequest)
                    && offers_tls
                    && !conversation.stream.is_tls();
                conversation.send(if agreed { b"S" } else { b"N" }).await?;
                if agreed {
                    conversation = encrypt(&tls, conversation, false).await?;
                }
            }
            Packet::Startup(startup) => {
                let needs_tls = is_tcp && tls.requires() && !conversation.stream.is_tls();
                if needs_tls {
                    return conversation.refuse(
                        Report::new("28000", "SSL required")
                            .hint("Connect with sslmode=require or stricter."),
                    );
                }
                let ignored = &worker
                    .shared
                    .config
                    .load()
                    .settings
                    .ignore_startup_parameters;
                return match wish(&startup, ignored) {
                    Ok(wish) => Ok((conversation, wish)),
                    Err(report) => conversation.refuse(report),
                };
            }
        }
    }
    conversation.refuse(Report::new("08P01", "too many requests for encryption"))
}

async fn encrypt(
    tls: &crate::tls::Tls,
    conversation: Conversation,
    direct: bool,
) -> Outcome<Conversation> {
    let Stream::Plain(socket) = conversation.stream else {
        return Err(Failure::Silent("TLS within TLS"));
    };
    match tls.accept(socket, direct).await {
        Ok((stream, certificate)) => Ok(Conversation {
            stream: Stream::Tls(Box::new(stream.into())),
            buffer: Vec::new(),
            certificate: Some(certificate),
            deadline: conversation.deadline,
        }),
        Err(error) => {
            tracing::info!(%error, "TLS handshake with client failed");
            Err(Failure::Silent("TLS handshake failed"))
        }
    }
}

fn wish(startup: &Startup<'_>, ignored: &[String]) -> Result<Wish, Report> {
    let mut pairs: Vec<(Vec<u8>, Vec<u8>)> = Vec::new();
    let mut wish = Wish {
        version: startup.version,
        user: String::new(),
        database: String::new(),
        replication: None,
        settings: Settings::default(),
        parameters: Vec::new(),
        application_name: String::new(),
        unsupported: Vec::new(),
    };
    let text = |value: &[u8]| {
        String::from_utf8(value.to_vec())
            .map_err(|_| Report::new("08P01", "user and database names must be encoded in UTF-8"))
    };
    for (name, value) in startup.parameters() {
        match name {
            b"user" => wish.user = text(value)?,
            b"database" => wish.database = text(value)?,
            b"replication" => {
                wish.replication = replication(value)?;
                wish.parameters.push((name.to_vec(), value.to_vec()));
            }
            b"options" => {
                let options = startup::options(value)
                    .map_err(|error| Report::new("08P01", error.to_string()))?;
                pairs.extend(options);
                wish.parameters.push((name.to_vec(), value.to_vec()));
            }
            name if name.starts_with(b"_pq_.") => wish.unsupported.push(name.to_vec()),
            name => {
                pairs.push((name.to_vec(), value.to_vec()));
                wish.parameters.push((name.to_vec(), value.to_vec()));
            }
        }
    }
    if wish.user.is_empty() {
        return Err(Report::new("28000", "no username supplied"));
    }
    if wish.user.len() > 127 {
        return Err(Report::new("08P01", "username too long"));
    }
    if wish.database.is_empty() {
        wish.database.clone_from(&wish.user);
    }
    pairs.retain(|(name, _)| {
        !ignored
            .iter()
            .any(|other| other.as_bytes().eq_ignore_ascii_case(name))
    });
    wish.settings = Settings::new(pairs.iter().map(|(name, value)| (&name[..], &value[..])));
    if let Some(name) = wish.settings.value(b"application_name") {
        wish.application_name = String::from_utf8_lossy(name).into_owned();
    }
    Ok(wish)
}

/// The values of `replication` (protocol-replication).
fn replication(value: &[u8]) -> Result<Option<&'static str>, Report> {
    match value.to_ascii_lowercase().as_slice() {
        b"database" => Ok(Some("logical")),
        b"true" | b"on" | b"yes" | b"1" | b"t" | b"y" => Ok(Some("physical")),
        b"false" | b"off" | b"no" | b"0" | b"f" | b"n" => Ok(None),
        _ => Err(Report::new(
            "22023",
            "invalid value for parameter \"replication\"",
        )),
    }
}

async fn authenticate(
    worker: &Rc<Worker>,
    conversation: Conversation,
    wish: &Wish,
) -> Outcome<Conversation> {
    let method = match worker.shared.config.load().settings.auth_type {
        AuthType::Trust => Method::Trust,
        AuthType::Plain => Method::Password,
        AuthType::Md5 => Method::Md5,
        AuthType::ScramSha256 => Method::Scram,
    };
    let secret = worker.shared.users.load().get(&wish.user).cloned();
    // With trust, only users that are known to the configuration come in.
    let config = worker.shared.config.load_full();
    let forced = config
        .database(&wish.database)
        .is_some_and(|entry| entry.user.is_some());
    let known = secret.is_some() || forced || config.users.contains_key(&wish.user);
    if method == Method::Trust && !known {
        return conversation.refuse(Report::new("28000", "\"trust\" authentication failed"));
    }
    exchange(worker, conversation, wish, method, secret.as_deref()).await
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
        &worker.shared.process_secret,
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
        let message = match (sasl, first) {
            (false, _) => frontend::password(&body).map(Message::Password),
            (true, true) => frontend::sasl_initial(&body).map(|initial| Message::SaslInitial {
                mechanism: initial.mechanism,
                response: initial.response,
            }),
            (true, false) => Ok(Message::SaslResponse(frontend::sasl_response(&body))),
        };
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
                    encode::authentication_sasl_final(&last, &mut out);
                    conversation.send(&out).await?;
                }
                return Ok(conversation);
            }
            Err(error) => {
                tracing::info!(user = %wish.user, %error, "authentication failed");
                let text = if sasl {
                    "SASL authentication failed"
                } else {
                    "password authentication failed"
                };
                return conversation.refuse(Report::new("28P01", text));
            }
        }
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

/// Waits for a server connection, to learn what it reports.
async fn first_server(
    worker: &Rc<Worker>,
    client: &Rc<ClientShared>,
    pool: pgweir_pool::PoolId,
    deadline: Instant,
) -> Result<Box<Leased>, Report> {
    let granted = tokio::time::timeout_at(deadline, granted(worker, client, pool)).await;
    let down = || Report::new("08006", "client_login_timeout (server down)");
    match granted.map_err(|_| down())?? {
        Grant::Lease(leased) => Ok(leased),
        _ => Err(Report::new(
            "XX000",
            "a slot without a connection was granted",
        )),
    }
}

/// Waits for the slot of a connection that the caller opens itself.
///
/// # Errors
/// When there is none to be had.
pub async fn slot(
    worker: &Rc<Worker>,
    client: &Rc<ClientShared>,
    pool: pgweir_pool::PoolId,
) -> Result<Guard, Report> {
    match granted(worker, client, pool).await? {
        Grant::Slot(guard) => Ok(guard),
        _ => Err(Report::new(
            "XX000",
            "a connection was granted where a slot was asked for",
        )),
    }
}

async fn granted(
    worker: &Rc<Worker>,
    client: &Rc<ClientShared>,
    pool: pgweir_pool::PoolId,
) -> Result<Grant, Report> {
    let mut ask = true;
    std::future::poll_fn(|cx| {
        use std::task::Poll;
        client.register(cx);
        if let Some(why) = client.kill.get() {
            return Poll::Ready(Err(Report::kill(why)));
        }
        loop {
            if ask {
                ask = false;
                let now = std::time::Instant::now();
                client.enter(ClientState::Waiting, now);
                client.request_time.set(now);
                match worker.take(pool, client, now) {
                    Taken::Lease(leased) => return Poll::Ready(Ok(Grant::Lease(leased))),
                    Taken::Refused(why) => return Poll::Ready(Err(Report::no_server(&why))),
                    Taken::Waiting => {}
                }
            }
            match client.grant.take() {
                None => return Poll::Pending,
                Some(Grant::Refused(why)) => return Poll::Ready(Err(Report::no_server(&why))),
                Some(Grant::Again) => ask = true,
                Some(grant) => return Poll::Ready(Ok(grant)),
            }
        }
    })
    .await
}

async fn console(
    worker: &Rc<Worker>,
    client: &Rc<ClientShared>,
    conversation: Conversation,
    wish: &Wish,
) -> Outcome<Box<Ready>> {
    let config = worker.shared.config.load_full();
    let named = |users: &[String]| users.contains(&wish.user);
    // Who runs the process may look into it: over the Unix socket, without a password.
    let is_owner = matches!(wish.user.as_str(), "pgbouncer" | "pgweir")
        && conversation.stream.peer_uid() == Some(nix::unistd::geteuid().as_raw());
    let role = if is_owner || named(&config.settings.admin_users) {
        pgweir_admin::Role::Admin
    } else if named(&config.settings.stats_users) {
        pgweir_admin::Role::Stats
    } else {
        return conversation.refuse(
            Report::new("42501", "not allowed")
                .hint("Name the user in admin_users or stats_users."),
        );
    };
    let conversation = if is_owner {
        conversation
    } else {
        authenticate(worker, conversation, wish).await?
    };
    let mut conversation = conversation;
    let mut out = Vec::new();
    encode::authentication_ok(&mut out);
    for (name, value) in pgweir_admin::LOGIN_PARAMETERS {
        encode::parameter_status(name.as_bytes(), value.as_bytes(), &mut out);
    }
    backend_key(worker, client, wish.version, &mut out);
    encode::ready(Status::Idle, &mut out);
    conversation.send(&out).await?;
    let Conversation { stream, buffer, .. } = conversation;
    let console = Console::new(Rc::clone(worker), Rc::clone(client), stream, buffer, role);
    Ok(Box::new(Ready::Console(Box::new(console))))
}
