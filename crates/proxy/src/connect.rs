//! Opening server connections: reach the host, encrypt, log in, learn what it reports.

use std::io;
use std::net::SocketAddr;
use std::path::Path;
use std::rc::Rc;
use std::sync::Arc;
use std::time::Instant;

use jiff::Timestamp;
use pgweir_auth::{ChannelBinding, Login};
use pgweir_config::{Host, SslMode};
use pgweir_pool::{Fatal, Kind, Permit};
use pgweir_route::Outcome;
use pgweir_session::{Parameters, Server};
use pgweir_wire::backend::{self, Authentication, Fields};
use pgweir_wire::{encode, header, startup, tag};

use crate::server::{ServerConn, ServerFacts};
use crate::shared::or_for_ever;
use crate::stream::{Socket, Stream};
use crate::worker::Worker;

/// The longest message that a server may send during login, in bytes.
const LOGIN_MESSAGE_MAX: u32 = 1 << 20;

/// Why a connection could not be opened.
#[derive(Debug, thiserror::Error)]
pub enum Error {
    /// The host cannot be reached, or hung up.
    #[error("connect failed: {0}")]
    Io(#[from] io::Error),
    /// It took longer than `server_connect_timeout`.
    #[error("connect timeout")]
    Timeout,
    /// The server refused.
    #[error("{message}")]
    Refused {
        /// The server's SQLSTATE.
        sqlstate: String,
        /// The server's message.
        message: String,
    },
    /// The TLS handshake failed.
    #[error(transparent)]
    Tls(#[from] crate::tls::Error),
    /// `server_tls_sslmode` asks for TLS and the server does not speak it.
    #[error("server refused TLS, which server_tls_sslmode requires")]
    NoTls,
    /// The authentication failed on our side.
    #[error(transparent)]
    Auth(#[from] pgweir_auth::Error),
    /// The server broke the protocol.
    #[error(transparent)]
    Wire(#[from] pgweir_wire::Error),
    /// The server asks for something that is not supported.
    #[error("server asks for authentication method {0}, which is not supported")]
    Method(u32),
    /// A message out of place.
    #[error("server sent message {:?} during login", char::from(*.0))]
    Unexpected(u8),
    /// The database is gone from the configuration.
    #[error("database removed")]
    Removed,
}

impl Error {
    /// Whether waiting clients should hear of it at once: the server answered and said no.
    fn fatal(&self) -> Fatal {
        match self {
            // 57P03: starting up or shutting down; 53300: full for the moment.
            Self::Refused { sqlstate, .. } if sqlstate == "57P03" || sqlstate == "53300" => {
                Fatal::Retry
            }
            Self::Refused { .. }
            | Self::Auth(_)
            | Self::Method(_)
            | Self::Removed
            | Self::Tls(_)
            | Self::NoTls => Fatal::FailWaiters,
            _ => Fatal::Retry,
        }
    }
}

/// What the pool is told of a failure, with the server's SQLSTATE in front if it gave one.
fn cause(error: &Error) -> Arc<str> {
    match error {
        Error::Refused { sqlstate, message } => format!("{sqlstate} {message}").into(),
        other => other.to_string().into(),
    }
}

/// Opens the connection that a permit allows, in the background.
pub fn start(worker: &Rc<Worker>, permit: Permit) {
    if worker.shared.pools.lock().key(permit.pool()).kind == Kind::Dedicated {
        // Only the slot is the pool's: its client connects by itself.
        worker.pools(|pools| pools.opened(permit, Instant::now()));
        return;
    }
    let worker = Rc::clone(worker);
    tokio::task::spawn_local(async move {
        // The permit is answered whatever happens to the attempt.
        let opened = open(&worker, &permit).await;
        let now = Instant::now();
        match opened {
            Ok(conn) => {
                crate::report::server_opened(&worker.shared, &conn.shared.facts);
                worker.opened(conn, permit, now);
            }
            Err(error) => {
                let fatal = error.fatal();
                let cause = cause(&error);
                worker.pools(|pools| pools.failed(permit, cause, fatal, now));
            }
        }
    });
}

/// What a login needs to know.
struct Target {
    database: Arc<str>,
    user: Arc<str>,
    dbname: String,
    password: Option<Arc<pgweir_auth::Secret>>,
    sslmode: SslMode,
    connect_query: Option<String>,
    hosts: Vec<Host>,
}

fn target(worker: &Worker, database: &Arc<str>, user: &Arc<str>) -> Result<Target, Error> {
    let config = worker.shared.config.load();
    let entry = config.database(database).ok_or(Error::Removed)?;
    let password = match &entry.password {
        Some(secret) => Some(Arc::new(secret.clone())),
        None => worker.shared.users.load().get(&**user).cloned(),
    };
    Ok(Target {
        database: Arc::clone(database),
        user: Arc::clone(user),
        dbname: entry.dbname().to_owned(),
        password,
        sslmode: entry
            .server_tls_sslmode
            .unwrap_or(config.settings.server_tls_sslmode),
        connect_query: entry.connect_query.clone(),
        hosts: crate::shared::hosts(&config, entry.database),
    })
}

/// The host that a connection should go to now.
fn next_host(worker: &Worker, database: &Arc<str>, count: usize) -> pgweir_route::HostIndex {
    let retry = worker.shared.config.load().settings.server_login_retry;
    let mut all = worker.shared.hosts.lock();
    let fresh = || pgweir_route::Hosts::new(count, retry);
    let hosts = all.entry(Arc::clone(database)).or_insert_with(fresh);
    if hosts.len() != count {
        *hosts = fresh();
    }
    hosts.target(Instant::now())
}

async fn open(worker: &Rc<Worker>, permit: &Permit) -> Result<ServerConn, Error> {
    let key = worker.shared.pools.lock().key(permit.pool()).clone();
    let target = target(worker, &key.database, &key.user)?;
    let mut tried = Vec::new();
    loop {
        let host = next_host(worker, &key.database, target.hosts.len());
        let attempt = log_in(worker, permit, &target, &target.hosts[host.0]);
        // For each host: one that is silent must not use up the time of the next.
        let result = tokio::time::timeout(worker.limits().connect_timeout, attempt)
            .await
            .unwrap_or(Err(Error::Timeout));
        let answered = matches!(&result, Ok(_) | Err(Error::Refused { .. } | Error::Auth(_)));
        let outcome = if answered {
            Outcome::Connected
        } else {
            Outcome::Failed
        };
        if let Some(hosts) = worker.shared.hosts.lock().get_mut(&key.database) {
            hosts.report(host, outcome, Instant::now());
        }
        if let Err(error) = &result {
            let name = target.hosts[host.0].to_string();
            crate::report::connect_failed(&key.database, &key.user, &name, error);
        }
        // One host that does not answer is no reason to wait as long as there is another.
        tried.push(host);
        let next = next_host(worker, &key.database, target.hosts.len());
        if answered || tried.contains(&next) {
            return result;
        }
    }
}

/// A connection for replication: with the client's own startup parameters.
///
/// # Errors
/// As for any other connection.
pub async fn open_replication(
    worker: &Rc<Worker>,
    permit_pool: &pgweir_pool::PoolKey,
    conn: (pgweir_pool::ConnId, pgweir_pool::PoolId),
    parameters: &[(Vec<u8>, Vec<u8>)],
) -> Result<ServerConn, Error> {
    debug_assert_eq!(permit_pool.kind, Kind::Dedicated);
    let target = target(worker, &permit_pool.database, &permit_pool.user)?;
    let host = target.hosts.first().ok_or(Error::Removed)?;
    let timeout = or_for_ever(worker.shared.config.load().settings.server_connect_timeout);
    tokio::time::timeout(timeout, log_in_as(worker, conn, &target, host, parameters))
        .await
        .unwrap_or(Err(Error::Timeout))
}

async fn log_in(
    worker: &Rc<Worker>,
    permit: &Permit,
    target: &Target,
    host: &Host,
) -> Result<ServerConn, Error> {
    let place = (permit.conn(), permit.pool());
    let mut conn = log_in_as(worker, place, target, host, &[]).await?;
    if let Some(query) = &target.connect_query {
        crate::giveback::ask(worker, &mut conn, query.as_bytes()).await?;
        if let Some(error) = conn.session.own_error() {
            let message = String::from_utf8_lossy(Fields::new(error).message().unwrap_or_default())
                .into_owned();
            tracing::warn!(database = %target.database, "connect_query failed: {message}");
            conn.session.forgive();
        }
    }
    Ok(conn)
}

async fn log_in_as(
    worker: &Rc<Worker>,
    (conn, pool): (pgweir_pool::ConnId, pgweir_pool::PoolId),
    target: &Target,
    host: &Host,
    extra: &[(Vec<u8>, Vec<u8>)],
) -> Result<ServerConn, Error> {
    let first = if target.sslmode == SslMode::Allow {
        SslMode::Disable
    } else {
        target.sslmode
    };
    let attempt = |sslmode, version| try_log_in(worker, target, host, extra, sslmode, version);
    let mut result = attempt(first, startup::PROTOCOL_3_2).await;
    // libpq's "allow": plain first, then TLS. A server too old to negotiate refuses 3.2 outright.
    match &result {
        Err(Error::Refused { .. }) if target.sslmode == SslMode::Allow => {
            result = attempt(SslMode::Require, startup::PROTOCOL_3_2).await;
        }
        Err(Error::Refused { message, .. })
            if message.starts_with("unsupported frontend protocol") =>
        {
            result = attempt(first, startup::PROTOCOL_3_0).await;
        }
        _ => {}
    }
    let (stream, peer, welcome) = result?;
    let local = stream.local_addr();
    let facts = ServerFacts {
        conn,
        pool,
        id: worker.shared.next_id(),
        database: Arc::clone(&target.database),
        user: Arc::clone(&target.user),
        host: host.clone(),
        peer,
        local,
        pid: welcome.pid,
        key: welcome.key.into(),
        since: Instant::now(),
        since_time: Timestamp::now(),
        tls: stream.tls_description().into(),
    };
    let base = Arc::new(welcome.parameters);
    worker.shared.welcome.lock().insert(pool, Arc::clone(&base));
    Ok(ServerConn::new(stream, Server::new(base), facts))
}

async fn try_log_in(
    worker: &Rc<Worker>,
    target: &Target,
    host: &Host,
    extra: &[(Vec<u8>, Vec<u8>)],
    sslmode: SslMode,
    version: u32,
) -> Result<(Stream, Option<SocketAddr>, Welcome), Error> {
    let mut stream = dial(worker, host, None).await?;
    let peer = stream.peer_addr();
    let mut binding = None;
    if matches!(host, Host::Tcp { .. }) && sslmode != SslMode::Disable {
        let offered = ask_for_tls(&mut stream).await?;
        if offered {
            let (encrypted, certificate) = encrypt_with(worker, stream, host, sslmode).await?;
            stream = encrypted;
            binding = certificate.as_deref().and_then(ChannelBinding::end_point);
        } else if sslmode != SslMode::Prefer {
            return Err(Error::NoTls);
        }
    }
    let mut parameters: Vec<(&[u8], &[u8])> = vec![
        (b"user", target.user.as_bytes()),
        (b"database", target.dbname.as_bytes()),
    ];
    parameters.extend(extra.iter().map(|(name, value)| (&name[..], &value[..])));
    let mut packet = Vec::new();
    encode::startup_message(version, parameters, &mut packet);
    stream.write_all(&packet).await?;
    let keys = worker.shared.scram_keys.lock().get(&*target.user).cloned();
    let login = Login::new(&target.user, target.password.as_deref(), keys, binding);
    let mut reader = Reader {
        stream,
        buffer: Vec::new(),
        at: 0,
    };
    authenticate(&mut reader, login).await?;
    let welcome = welcome(&mut reader).await?;
    Ok((reader.stream, peer, welcome))
}

/// Connects to a host; to `peer`, if the name has been resolved before.
///
/// # Errors
/// From the operating system.
pub async fn dial(
    worker: &Rc<Worker>,
    host: &Host,
    peer: Option<SocketAddr>,
) -> Result<Stream, Error> {
    let socket = match host {
        Host::Tcp { name, port } => {
            let stream = match peer {
                Some(address) => tokio::net::TcpStream::connect(address).await?,
                None => tokio::net::TcpStream::connect((name.as_str(), *port)).await?,
            };
            stream.set_nodelay(true)?;
            let std = stream.into_std()?;
            crate::listen::tune(&std, &worker.shared.config.load().settings)?;
            Socket::Tcp(tokio::net::TcpStream::from_std(std)?)
        }
        Host::Unix { dir, port } => {
            let path = Path::new(dir).join(format!(".s.PGSQL.{port}"));
            Socket::Unix(tokio::net::UnixStream::connect(path).await?)
        }
    };
    Ok(Stream::Plain(socket))
}

async fn ask_for_tls(stream: &mut Stream) -> Result<bool, Error> {
    let mut packet = Vec::new();
    encode::ssl_request(&mut packet);
    stream.write_all(&packet).await?;
    let mut answer = Vec::new();
    // One byte, not more: what follows belongs to the handshake.
    stream.read_some(&mut answer, 1).await?;
    match answer[0] {
        b'S' => Ok(true),
        b'N' => Ok(false),
        other => Err(Error::Unexpected(other)),
    }
}

/// Asks for TLS and does the handshake, with the database's sslmode; for cancel requests.
///
/// # Errors
/// When the server does not speak TLS, or the handshake fails.
pub async fn encrypt(
    worker: &Rc<Worker>,
    mut stream: Stream,
    host: &Host,
    database: &str,
) -> Result<(Stream, Option<Vec<u8>>), Error> {
    if !ask_for_tls(&mut stream).await? {
        return Err(Error::NoTls);
    }
    let sslmode = {
        let config = worker.shared.config.load();
        let own = config
            .database(database)
            .and_then(|entry| entry.server_tls_sslmode);
        own.unwrap_or(config.settings.server_tls_sslmode)
    };
    encrypt_with(worker, stream, host, sslmode).await
}

async fn encrypt_with(
    worker: &Rc<Worker>,
    stream: Stream,
    host: &Host,
    sslmode: SslMode,
) -> Result<(Stream, Option<Vec<u8>>), Error> {
    let Stream::Plain(socket) = stream else {
        return Ok((stream, None));
    };
    let name = match host {
        Host::Tcp { name, .. } => name.as_str(),
        Host::Unix { .. } => "",
    };
    let tls = worker.shared.tls.load_full();
    let encrypted = tls.connect(sslmode, socket, name).await?;
    let certificate = crate::tls::peer_certificate(&encrypted);
    Ok((Stream::Tls(Box::new(encrypted.into())), certificate))
}

/// Reads messages one by one.
struct Reader {
    stream: Stream,
    buffer: Vec<u8>,
    /// Start of the message that was last given out.
    at: usize,
}

impl Reader {
    /// The next message: its tag and where its body lies in the buffer.
    async fn next(&mut self) -> Result<(u8, std::ops::Range<usize>), Error> {
        loop {
            if let Some(head) = header(&self.buffer[self.at..], LOGIN_MESSAGE_MAX)?
                && self.buffer.len() - self.at >= head.frame_len() as usize
            {
                let body = self.at + pgweir_wire::HEADER_LEN..self.at + head.frame_len() as usize;
                self.at = body.end;
                if head.tag == tag::backend::ERROR_RESPONSE {
                    let fields = Fields::new(&self.buffer[body]);
                    let text = |field: Option<&[u8]>| {
                        String::from_utf8_lossy(field.unwrap_or_default()).into_owned()
                    };
                    return Err(Error::Refused {
                        sqlstate: text(fields.sqlstate()),
                        message: text(fields.message()),
                    });
                }
                return Ok((head.tag, body));
            }
            self.buffer.drain(..self.at);
            self.at = 0;
            self.stream.read_some(&mut self.buffer, 4096).await?;
        }
    }

    async fn send(&mut self, message: &[u8]) -> Result<(), Error> {
        Ok(self.stream.write_all(message).await?)
    }
}

async fn authenticate(reader: &mut Reader, login: Login) -> Result<(), Error> {
    let mut login = Some(login);
    let mut client = None;
    let mut last = None;
    loop {
        let (frame, body) = reader.next().await?;
        match frame {
            tag::backend::NEGOTIATE_PROTOCOL_VERSION | tag::backend::NOTICE_RESPONSE => continue,
            tag::backend::AUTHENTICATION => {}
            other => return Err(Error::Unexpected(other)),
        }
        let mut answer = Vec::new();
        match backend::authentication(&reader.buffer[body])? {
            Authentication::Ok => {
                // A server that ends a SCRAM exchange half-way has not proved who it is.
                if client.is_some() || last.is_some() {
                    return Err(Error::Unexpected(frame));
                }
                return Ok(());
            }
            Authentication::Cleartext => {
                let login = login.as_ref().ok_or(Error::Unexpected(frame))?;
                encode::password(login.cleartext()?, &mut answer);
            }
            Authentication::Md5 { salt } => {
                let login = login.as_ref().ok_or(Error::Unexpected(frame))?;
                encode::password(&login.md5(salt)?, &mut answer);
            }
            Authentication::Sasl { mechanisms } => {
                let login = login.take().ok_or(Error::Unexpected(frame))?;
                let offered: Vec<&[u8]> = mechanisms.collect();
                let (state, mechanism, first) = login.sasl_start(&offered, rand::random())?;
                encode::sasl_initial(mechanism, Some(&first), &mut answer);
                client = Some(state);
            }
            Authentication::SaslContinue(challenge) => {
                let state = client.take().ok_or(Error::Unexpected(frame))?;
                let (state, response) = state.step(challenge)?;
                encode::sasl_response(&response, &mut answer);
                last = Some(state);
            }
            Authentication::SaslFinal(outcome) => {
                last.take()
                    .ok_or(Error::Unexpected(frame))?
                    .verify(outcome)?;
                continue;
            }
            Authentication::Other(method) => return Err(Error::Method(method)),
        }
        reader.send(&answer).await?;
    }
}

/// What a server says between the login and its first ReadyForQuery.
#[derive(Default)]
struct Welcome {
    parameters: Parameters,
    pid: u32,
    key: Vec<u8>,
}

async fn welcome(reader: &mut Reader) -> Result<Welcome, Error> {
    let mut welcome = Welcome::default();
    loop {
        let (frame, body) = reader.next().await?;
        let body = &reader.buffer[body];
        match frame {
            tag::backend::PARAMETER_STATUS => {
                let parameter = backend::parameter_status(body)?;
                welcome.parameters.insert(parameter.name, parameter.value);
            }
            tag::backend::BACKEND_KEY_DATA => {
                let key = backend::backend_key(body)?;
                welcome.pid = key.pid;
                welcome.key = key.key.to_vec();
            }
            tag::backend::READY_FOR_QUERY => return Ok(welcome),
            tag::backend::NOTICE_RESPONSE | tag::backend::NEGOTIATE_PROTOCOL_VERSION => {}
            other => return Err(Error::Unexpected(other)),
        }
    }
}
