//! From the first byte of a connection to its first ReadyForQuery.

mod exchange;
mod greeting;
mod known;
mod way;
mod wish;

use std::rc::Rc;
use std::sync::Arc;
use std::sync::atomic::Ordering::Relaxed;
use std::time::Duration;

use pgweir_config::AuthType;
use pgweir_pool::{Kind, PoolId};
use pgweir_session::{Client, Mode, Parameters};
use pgweir_wire::backend::Status;
use pgweir_wire::encode;
use pgweir_wire::startup::{self, Packet};
use tokio::time::Instant;

use self::exchange::authenticate;
use self::known::Known;
use self::way::way;
use self::wish::{Wish, wish};
use crate::admission::{Full, Seat};
use crate::cancel;
use crate::client::{ClientShared, Login};
use crate::cluster::{self, NoHost};
use crate::console::Console;
use crate::grant::first_server;
use crate::lease::Leased;
use crate::passthrough::Passthrough;
use crate::place::Peer;
use crate::relay::Relay;
use crate::report::{self, Report};
use crate::shared::{Open, Shared};
use crate::stream::Stream;
use crate::worker::Worker;

/// Longest name of a database in PostgreSQL, in bytes.
const NAME_LEN_MAX: usize = 63;

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
    Told(Box<Stream>, Box<Report>),
}

/// A stream with what was read of it and not used yet.
struct Conversation {
    stream: Stream,
    buffer: Vec<u8>,
    /// What the client is told with the next message: it saves a system call and a wake-up each. A
    /// client that is refused need not hear it.
    unsent: Vec<u8>,
    /// DER of our certificate, once the stream is under TLS.
    certificate: Option<Vec<u8>>,
    /// The common name of the client's, which has been verified.
    client_name: Option<String>,
    /// When the login must be done.
    deadline: Instant,
}

type Outcome<T> = Result<T, Failure>;

impl Conversation {
    fn refuse<T>(self, report: Report) -> Outcome<T> {
        Err(Failure::Told(Box::new(self.stream), Box::new(report)))
    }

    async fn send(&mut self, bytes: &[u8]) -> Outcome<()> {
        self.unsent.extend_from_slice(bytes);
        let unsent = std::mem::take(&mut self.unsent);
        self.stream
            .write_all(&unsent)
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
        unsent: Vec::new(),
        certificate: None,
        client_name: None,
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
    introduce(client, &conversation, &wish);
    crate::report::login_attempt(&worker.shared, client);
    if wish.is_for_console() {
        return console(worker, client, conversation, &wish).await;
    }
    resumed(worker, &conversation).await?;
    // Whoever comes by TCP has come before the port was closed.
    let is_late = matches!(client.peer, Peer::Unix(..));
    if is_late && *worker.shared.open.borrow() != Open::Everything {
        return conversation.refuse(Report::new("57P03", "pooler is shutting down"));
    }
    // Before anything is asked or answered: those who never log in count, too.
    let count = worker.shared.connections().saturating_sub(1);
    let limit = worker.shared.config.load().settings.max_client_conn;
    if limit > 0 && count >= limit {
        let setting = "max_client_conn";
        return conversation.refuse(Report::full(&Full { setting, count }));
    }
    let conversation = prove(worker, client, conversation, &mut wish).await?;
    let (mut conversation, seat) = seat(worker, conversation, &wish)?;
    if wish.replication.is_some() {
        conversation.send(&[]).await?;
        let Conversation { stream, buffer, .. } = conversation;
        let client = Rc::clone(client);
        let passthrough = Passthrough::new(client, stream, buffer, seat, wish.parameters);
        return Ok(Box::new(Ready::Replication(Box::new(passthrough))));
    }
    welcome(worker, client, conversation, &wish, seat).await
}

/// Has a client of a database prove who it is.
async fn prove(
    worker: &Rc<Worker>,
    client: &Rc<ClientShared>,
    conversation: Conversation,
    wish: &mut Wish,
) -> Outcome<Conversation> {
    // Who may not come in is not looked up.
    let (conversation, mut way) = way(worker, client, conversation, wish)?;
    let (mut conversation, known) = known::user(worker, client, conversation, wish, &way).await?;
    if let Some(name) = known.name().filter(|name| **name != wish.user) {
        // The query's word for the user: from now on the client is that one.
        wish.user = name.to_owned();
        introduce(client, &conversation, wish);
        (conversation, way) = self::way::way(worker, client, conversation, wish)?;
    }
    let conversation = authenticate(worker, client, conversation, wish, &known, &way).await?;
    known.keep(worker, wish);
    Ok(conversation)
}

/// What others may know of the client from now on.
fn introduce(client: &ClientShared, conversation: &Conversation, wish: &Wish) {
    *client.login.borrow_mut() = Some(Rc::new(Login {
        database: wish.database.as_str().into(),
        user: wish.user.as_str().into(),
        tls: conversation.stream.tls_description(),
        replication: wish.replication.unwrap_or("none"),
        application_name: wish.application_name.clone(),
        console: wish.is_for_console(),
        target: wish.target,
    }));
}

/// Who comes while SUSPEND is in force waits for its end. Cancel requests and the console do not:
/// with them somebody may end it.
async fn resumed(worker: &Worker, conversation: &Conversation) -> Outcome<()> {
    let mut suspended = worker.shared.suspension.subscribe();
    tokio::select! {
        // An error means that the sender is gone, and so is everything.
        _ = suspended.wait_for(|suspended| !suspended) => Ok(()),
        () = conversation.stream.hung_up() => Err(Failure::Silent("client gone during login")),
    }
}

/// A place for a client that has proved who it is. Only now: who may not log in learns nothing of
/// what databases there are.
fn seat(worker: &Worker, conversation: Conversation, wish: &Wish) -> Outcome<(Conversation, Seat)> {
    let kind = match wish.replication {
        Some(_) => Kind::Dedicated,
        None => Kind::Normal,
    };
    let Some(pool) = worker.shared.pool(&wish.database, &wish.user, kind) else {
        // As much of it as a name may have in PostgreSQL.
        let name = report::cut(&wish.database, NAME_LEN_MAX);
        let text = format!("no such database: {name}");
        return conversation.refuse(Report::new("3D000", text));
    };
    let config = worker.shared.config.load();
    let admissions = &worker.shared.admissions;
    let admission = match admissions.admit(&config, &wish.database, &wish.user) {
        Ok(admission) => admission,
        Err(full) => return conversation.refuse(Report::full(&full)),
    };
    if worker.shared.pools.lock().is_disabled(&wish.database) {
        let text = format!("database \"{}\" is disabled", wish.database);
        return conversation.refuse(Report::new("57P03", text));
    }
    let stats = worker.shared.stats_of(&wish.database, worker.id);
    stats.logged_in();
    let seat = Seat {
        pool,
        stats,
        admission,
    };
    Ok((conversation, seat))
}

/// What servers report to such a client, if one has done so already; on a cluster, any of its hosts.
fn known_base(worker: &Worker, wish: &Wish, seat: &Seat) -> Option<Arc<Parameters>> {
    let shared = &worker.shared;
    let of_pool = |pool: &PoolId| shared.welcome.lock().get(pool).cloned();
    of_pool(&seat.pool).or_else(|| {
        let cluster = shared.cluster_of(&shared.config.load(), &wish.database)?;
        let mut hosts = cluster.hosts.iter();
        hosts.find_map(|host| of_pool(&shared.pool_at(&wish.database, &wish.user, host)?))
    })
}

/// Waits until a host of the cluster can serve somebody, if the database lies on one: its pool.
async fn some_host(
    worker: &Worker,
    wish: &Wish,
    deadline: Instant,
) -> Result<Option<PoolId>, Report> {
    let shared = &worker.shared;
    let config = shared.config.load_full();
    let Some(mut cluster) = shared.cluster_of(&config, &wish.database) else {
        return Ok(None);
    };
    let hold = config
        .database(&wish.database)
        .map_or(Duration::ZERO, |entry| entry.failover_hold());
    let began = Instant::now();
    let deadline = deadline.min(began + hold);
    let mut version = cluster.version.subscribe();
    while let Err(why) = cluster.serves() {
        if tokio::time::timeout_at(deadline, version.changed())
            .await
            .is_err()
        {
            return Err(Report::no_host(&NoHost {
                why: cluster::say(&cluster, why),
                failures: cluster.failures(),
                waited: Some(began.elapsed()),
            }));
        }
        // It may have another one in its place by now.
        let next = shared.cluster_of(&shared.config.load(), &wish.database);
        if let Some(next) = next.filter(|next| !Arc::ptr_eq(next, &cluster)) {
            version = next.version.subscribe();
            cluster = next;
        }
    }
    Ok(shared.pool(&wish.database, &wish.user, Kind::Normal))
}

/// A server connection, to learn what it reports; an end when the client does not wait for it.
async fn first_of(
    worker: &Rc<Worker>,
    client: &Rc<ClientShared>,
    wish: &Wish,
    pool: &mut PoolId,
    conversation: &Conversation,
) -> Outcome<Result<Box<Leased>, Report>> {
    let first = async {
        if let Some(found) = some_host(worker, wish, conversation.deadline).await? {
            *pool = found;
        }
        first_server(worker, client, pool, conversation.deadline).await
    };
    tokio::select! {
        biased;
        first = first => Ok(first),
        () = conversation.stream.hung_up() => Err(Failure::Silent("client gone during login")),
    }
}

/// Tells the client what its server reports, and that it may begin.
async fn welcome(
    worker: &Rc<Worker>,
    client: &Rc<ClientShared>,
    mut conversation: Conversation,
    wish: &Wish,
    mut seat: Seat,
) -> Outcome<Box<Ready>> {
    let mode = mode(&worker.shared.config.load(), wish);
    let known = known_base(worker, wish, &seat);
    let base = match known {
        Some(base) => base,
        None => match first_of(worker, client, wish, &mut seat.pool, &conversation).await? {
            Ok(leased) => {
                let base = Arc::clone(leased.conn.session.base());
                worker.give_back(*leased, std::time::Instant::now());
                base
            }
            Err(report) => return conversation.refuse(report),
        },
    };
    let session = Client::new(mode, &wish.settings, base);
    let mut out = Vec::new();
    encode::authentication_ok(&mut out);
    for (name, value) in session.welcome() {
        encode::parameter_status(name, value, &mut out);
    }
    greeting::parameters(worker, mode, &mut out);
    cancel::backend_key(worker, client, wish.version, &mut out);
    greeting::message(worker, &mut out);
    encode::ready(Status::Idle, &mut out);
    conversation.send(&out).await?;
    let Conversation { stream, buffer, .. } = conversation;
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
            .map(|entry| crate::limits::hosts(config, entry.database))
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

async fn startup(
    worker: &Rc<Worker>,
    client: &ClientShared,
    mut conversation: Conversation,
) -> Outcome<(Conversation, Wish)> {
    let is_tcp = matches!(client.peer, Peer::Tcp(_));
    let tls = worker.shared.tls.load_full();
    let offers_tls = is_tcp && tls.accepts();
    if offers_tls && conversation.stream.starts_with_handshake().await {
        conversation = encrypt(&worker.shared, &tls, conversation, true).await?;
    }
    // Each request for encryption may come once, then the startup packet must.
    for _ in 0..3 {
        let len = loop {
            match startup::packet_len(&conversation.buffer) {
                Ok(Some(len)) if conversation.buffer.len() >= len => break len,
                Ok(_) => conversation = conversation.read().await?,
                Err(error) => {
                    let report = Report::bad_packet(&error, &conversation.buffer);
                    return conversation.refuse(report);
                }
            }
        };
        let packet: Vec<u8> = conversation.buffer.drain(..len).collect();
        let read = match startup::packet(&packet) {
            Ok(read) => read,
            Err(error) => return conversation.refuse(Report::bad_packet(&error, &packet)),
        };
        match read {
            Packet::Cancel(cancel) => {
                let what = cancel::handle(worker, cancel.pid, cancel.key).await;
                report::client_closed(&worker.shared, client, what);
                return Err(Failure::Silent("cancel request"));
            }
            Packet::SslRequest | Packet::GssEncRequest => {
                // Whatever was sent along was not sent by who will be behind the encryption
                // (CVE-2021-23214).
                if !conversation.buffer.is_empty() {
                    let text = "received unencrypted data after SSL request";
                    return conversation.refuse(Report::new("08P01", text));
                }
                let agreed = matches!(read, Packet::SslRequest)
                    && offers_tls
                    && !conversation.stream.is_tls();
                conversation.send(if agreed { b"S" } else { b"N" }).await?;
                if agreed {
                    conversation = encrypt(&worker.shared, &tls, conversation, false).await?;
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
                let config = worker.shared.config.load();
                return match wish(&startup, &config.settings, &client.peer) {
                    Ok(wish) => Ok((conversation, wish)),
                    Err(report) => conversation.refuse(report),
                };
            }
        }
    }
    conversation.refuse(Report::new("08P01", "too many requests for encryption"))
}

async fn encrypt(
    shared: &Shared,
    tls: &crate::tls::Tls,
    conversation: Conversation,
    direct: bool,
) -> Outcome<Conversation> {
    let Stream::Plain(socket) = conversation.stream else {
        return Err(Failure::Silent("TLS within TLS"));
    };
    let accepted = tls.accept(socket, direct).await;
    shared.tls_handshakes[usize::from(accepted.is_err())].fetch_add(1, Relaxed);
    match accepted {
        Ok((stream, certificate)) => Ok(Conversation {
            client_name: crate::tls::client_certificate(&stream)
                .and_then(|certificate| pgweir_auth::common_name(&certificate)),
            stream: Stream::Tls(Box::new(stream.into())),
            buffer: Vec::new(),
            unsent: Vec::new(),
            certificate: Some(certificate),
            deadline: conversation.deadline,
        }),
        Err(error) => {
            tracing::info!(%error, "TLS handshake with client failed");
            Err(Failure::Silent("TLS handshake failed"))
        }
    }
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
    let known = Known::of_files(worker, wish);
    let role = if is_owner || named(&config.settings.admin_users) {
        Some(pgweir_admin::Role::Admin)
    } else if named(&config.settings.stats_users)
        // Who is anybody may look.
        || config.settings.auth_type == AuthType::Any
    {
        Some(pgweir_admin::Role::Stats)
    } else {
        None
    };
    let not_allowed =
        || Report::new("42501", "not allowed").hint("Name the user in admin_users or stats_users.");
    if role.is_none() && known.is_somebody() {
        return conversation.refuse(not_allowed());
    }
    let conversation = if is_owner {
        conversation
    } else {
        // Users of the console are the operator's: no server is asked about them.
        let (conversation, way) = way(worker, client, conversation, wish)?;
        authenticate(worker, client, conversation, wish, &known, &way).await?
    };
    // Whoever is nobody here hears what a wrong password hears, and so does not come to this.
    let Some(role) = role else {
        return conversation.refuse(not_allowed());
    };
    let mut conversation = conversation;
    let mut out = Vec::new();
    encode::authentication_ok(&mut out);
    for (name, value) in pgweir_admin::LOGIN_PARAMETERS {
        encode::parameter_status(name.as_bytes(), value.as_bytes(), &mut out);
    }
    cancel::backend_key(worker, client, wish.version, &mut out);
    encode::ready(Status::Idle, &mut out);
    conversation.send(&out).await?;
    let Conversation { stream, buffer, .. } = conversation;
    let console = Console::new(Rc::clone(worker), Rc::clone(client), stream, buffer, role);
    Ok(Box::new(Ready::Console(Box::new(console))))
}
