//! Opening server connections: reach the host, encrypt, log in, learn what it reports.

pub mod cancel_request;
mod dial;
mod login;
pub mod question;

use std::io;
use std::net::SocketAddr;
use std::rc::Rc;
use std::sync::Arc;
use std::time::Instant;

use jiff::Timestamp;
use pgweir_auth::{ChannelBinding, Login};
use pgweir_config::{Host, LoadBalanceHosts, Routing, SslMode};
use pgweir_pool::{Fatal, Kind, Permit, PoolKey};
use pgweir_route::topology::Trouble;
use pgweir_route::{HostIndex, Hosts, Order, Outcome};
use pgweir_session::Server;
use pgweir_wire::backend::Fields;
use pgweir_wire::{encode, startup};

use self::dial::{dial, encrypt_as};
use self::login::{Reader, Welcome, authenticate, welcome};
use crate::ask::ask;
use crate::limits::or_for_ever;
use crate::mail::Mail;
use crate::server::{ServerConn, ServerFacts};
use crate::stream::Stream;
use crate::worker::Worker;

/// Why a connection could not be opened.
#[derive(Debug, thiserror::Error)]
pub enum Error {
    /// The host cannot be reached.
    #[error("connect failed: {0}: {1}")]
    Connect(String, #[source] io::Error),
    /// It hung up.
    #[error("connect failed: {0}")]
    Io(#[from] io::Error),
    /// The name of the host has no address, or nobody can tell.
    #[error("server DNS lookup failed: {0}")]
    Lookup(#[from] pgweir_route::Unknown),
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

impl Error {
    /// What it says of a host of a cluster.
    pub fn trouble(&self) -> Trouble {
        match self {
            Self::Timeout => Trouble::Silent,
            Self::Connect(..) | Self::Lookup(_) => Trouble::Refused,
            Self::Refused { sqlstate, message } if sqlstate == "57P03" => {
                if message.contains("shutting down") {
                    Trouble::ShuttingDown
                } else {
                    Trouble::Starting
                }
            }
            Self::Refused { sqlstate, .. } if matches!(&**sqlstate, "57P01" | "57P02") => {
                Trouble::ShuttingDown
            }
            _ => Trouble::Broken,
        }
    }

    /// With what to try once more after this failure, as libpq does for `prefer` and `allow`: the
    /// server does not take this user over such a connection, or its TLS cannot be used.
    fn other_way(&self, configured: SslMode, tried: SslMode) -> Option<SslMode> {
        // 28000: pg_hba.conf has no line for it, or one that rejects.
        let not_so = matches!(self, Self::Refused { sqlstate, .. } if sqlstate == "28000");
        match (configured, tried) {
            (SslMode::Allow, SslMode::Disable) if not_so => Some(SslMode::Require),
            (SslMode::Prefer, SslMode::Prefer) if not_so || matches!(self, Self::Tls(_)) => {
                Some(SslMode::Disable)
            }
            _ => None,
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
    let attempt = Attempt {
        worker: Rc::clone(worker),
        permit: Some(permit),
    };
    tokio::task::spawn_local(async move {
        let worker = Rc::clone(&attempt.worker);
        let opened = match &attempt.permit {
            Some(permit) => open(&worker, permit).await,
            None => return,
        };
        let Some(permit) = attempt.answer() else {
            return;
        };
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

/// A permit in a task's hands: it is answered whatever happens to the task.
struct Attempt {
    worker: Rc<Worker>,
    /// Invariant: `Some` until somebody else answers for it.
    permit: Option<Permit>,
}

impl Attempt {
    /// The permit, for who answers it.
    fn answer(mut self) -> Option<Permit> {
        self.permit.take()
    }
}

impl Drop for Attempt {
    fn drop(&mut self) {
        if let Some(permit) = self.permit.take() {
            self.worker.shared.send_back(Mail::Open(permit));
            self.worker.shared.mail(self.worker.id, Mail::Settle);
        }
    }
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
    /// Whether they are those of a cluster, each with pools of its own.
    is_cluster: bool,
    order: Order,
    /// Parameters that the database has clients begin with.
    parameters: Vec<(&'static str, String)>,
}

fn target(worker: &Worker, database: &Arc<str>, user: &Arc<str>) -> Result<Target, Error> {
    let config = worker.shared.config.load();
    let entry = config.database(database).ok_or(Error::Removed)?;
    let password = match (&entry.password, &entry.user) {
        // It is the password of that user: who asks for secrets is another.
        (Some(secret), Some(owner)) if **owner == **user => Some(Arc::new(secret.clone())),
        (_, owner) => {
            let known = worker.shared.users.load().get(&**user).cloned();
            let found = || worker.shared.found.secret(database, user);
            known.or_else(|| owner.is_none().then(found).flatten())
        }
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
        hosts: crate::limits::hosts(&config, entry.database),
        is_cluster: entry.routing() != Routing::Off,
        order: match entry.load_balance_hosts {
            None => Order::First,
            Some(LoadBalanceHosts::RoundRobin) => Order::RoundRobin,
            Some(LoadBalanceHosts::Disable) => Order::Sticky,
        },
        parameters: crate::limits::startup_parameters(entry.database),
    })
}

/// The same for connections of a pool, which may be that of one host of a cluster.
fn target_of(worker: &Worker, key: &PoolKey) -> Result<Target, Error> {
    let mut target = target(worker, &key.database, &key.user)?;
    if target.is_cluster {
        target.hosts.retain(|host| host.to_string() == *key.host);
    }
    if target.hosts.is_empty() {
        return Err(Error::Removed);
    }
    Ok(target)
}

/// The host that a connection should go to now.
fn next_host(worker: &Worker, target: &Target) -> HostIndex {
    if target.is_cluster {
        return HostIndex(0);
    }
    let retry = worker.shared.config.load().settings.server_login_retry;
    let (count, order) = (target.hosts.len(), target.order);
    let fresh = || Hosts::new(count, retry, order);
    let mut all = worker.shared.hosts.lock();
    let entry = all.entry(Arc::clone(&target.database));
    let hosts = entry.or_insert_with(fresh);
    if hosts.len() != count || hosts.order() != order {
        *hosts = fresh();
    }
    hosts.target(Instant::now())
}

async fn open(worker: &Rc<Worker>, permit: &Permit) -> Result<ServerConn, Error> {
    let key = worker.shared.pools.lock().key(permit.pool()).clone();
    let target = target_of(worker, &key)?;
    let mut tried = Vec::new();
    let mut host = next_host(worker, &target);
    loop {
        let began = Instant::now();
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
        if let (true, Err(error)) = (target.is_cluster, &result) {
            let cause = cause(error);
            crate::roles::connect_failed(&worker.shared, &key, error.trouble(), &cause, began);
        }
        if let Some(hosts) = worker.shared.hosts.lock().get_mut(&key.database) {
            hosts.report(host, outcome, Instant::now());
        }
        if let Err(error) = &result {
            let name = target.hosts[host.0].to_string();
            let what = match error {
                // In the server's words, with its severity.
                Error::Refused { message, .. } => format!("FATAL {message}"),
                other => other.to_string(),
            };
            crate::report::connect_failed(&worker.shared, &key, &name, &what);
        }
        // One host that does not answer is no reason to wait as long as there is another.
        tried.push(host);
        if answered {
            return result;
        }
        host = next_host(worker, &target);
        if tried.contains(&host) {
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
    permit_pool: &PoolKey,
    conn: (pgweir_pool::ConnId, pgweir_pool::PoolId),
    parameters: &[(Vec<u8>, Vec<u8>)],
) -> Result<ServerConn, Error> {
    debug_assert_eq!(permit_pool.kind, Kind::Dedicated);
    let target = target_of(worker, permit_pool)?;
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
    if target.is_cluster {
        crate::roles::confirmed(worker, &target.database, host).await;
    }
    if let Some(query) = &target.connect_query {
        ask(worker, &mut conn, query.as_bytes()).await?;
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
    let (stream, peer, welcome) = reach(worker, target, host, extra).await?;
    let local = stream.local_addr();
    let facts = ServerFacts {
        conn,
        pool,
        id: worker.shared.next_id(),
        database: Arc::clone(&target.database),
        user: Arc::clone(&target.user),
        host: host.clone(),
        peer,
        fd: stream.fd(),
        local,
        pid: welcome.pid,
        key: welcome.key.into(),
        since: Instant::now(),
        since_time: Timestamp::now(),
        tls: stream.tls_description().into(),
    };
    let base = worker.shared.base(pool, welcome.parameters);
    Ok(ServerConn::new(stream, Server::new(base), facts))
}

/// Connects and logs in, in whatever way the server takes.
async fn reach(
    worker: &Rc<Worker>,
    target: &Target,
    host: &Host,
    extra: &[(Vec<u8>, Vec<u8>)],
) -> Result<(Stream, Option<SocketAddr>, Welcome), Error> {
    // libpq's "allow" is plain first, then TLS.
    let mut sslmode = match target.sslmode {
        SslMode::Allow => SslMode::Disable,
        other => other,
    };
    let mut version = startup::PROTOCOL_3_2;
    loop {
        match try_log_in(worker, target, host, extra, sslmode, version).await {
            // A server too old to negotiate refuses 3.2 outright.
            Err(Error::Refused { message, .. })
                if version == startup::PROTOCOL_3_2
                    && message.starts_with("unsupported frontend protocol") =>
            {
                version = startup::PROTOCOL_3_0;
            }
            Err(error) => match error.other_way(target.sslmode, sslmode) {
                Some(other) => sslmode = other,
                None => return Err(error),
            },
            Ok(logged_in) => return Ok(logged_in),
        }
    }
}

async fn try_log_in(
    worker: &Rc<Worker>,
    target: &Target,
    host: &Host,
    extra: &[(Vec<u8>, Vec<u8>)],
    sslmode: SslMode,
    version: u32,
) -> Result<(Stream, Option<SocketAddr>, Welcome), Error> {
    let stream = dial(worker, host, None).await?;
    let peer = stream.peer_addr();
    let (mut stream, certificate) = encrypt_as(worker, stream, host, sslmode).await?;
    let binding = certificate.as_deref().and_then(ChannelBinding::end_point);
    let mut parameters: Vec<(&[u8], &[u8])> = vec![
        (b"user", target.user.as_bytes()),
        (b"database", target.dbname.as_bytes()),
    ];
    let own = target.parameters.iter();
    parameters.extend(own.map(|(name, value)| (name.as_bytes(), value.as_bytes())));
    parameters.extend(extra.iter().map(|(name, value)| (&name[..], &value[..])));
    let mut packet = Vec::new();
    encode::startup_message(version, parameters, &mut packet);
    stream.write_all(&packet).await?;
    let keys = worker.shared.scram_keys.lock().get(&*target.user).cloned();
    let login = Login::new(&target.user, target.password.as_deref(), keys, binding);
    let mut reader = Reader::new(stream);
    authenticate(&mut reader, login).await?;
    let welcome = welcome(&mut reader).await?;
    Ok((reader.stream, peer, welcome))
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn the_other_way_is_libpqs() {
        use SslMode::{Allow, Disable, Prefer, Require, VerifyCa};
        let refused = |sqlstate: &str| Error::Refused {
            sqlstate: sqlstate.to_owned(),
            message: String::new(),
        };
        let handshake = || Error::Tls(crate::tls::Error::Alpn);
        for (configured, tried, error, expected) in [
            (Allow, Disable, refused("28000"), Some(Require)),
            (Allow, Disable, refused("28P01"), None),
            (Allow, Require, refused("28000"), None),
            (Allow, Require, handshake(), None),
            (Prefer, Prefer, refused("28000"), Some(Disable)),
            (Prefer, Prefer, refused("3D000"), None),
            (Prefer, Prefer, handshake(), Some(Disable)),
            (Prefer, Disable, refused("28000"), None),
            (Require, Require, handshake(), None),
            (Require, Require, refused("28000"), None),
            (VerifyCa, VerifyCa, handshake(), None),
            (Disable, Disable, refused("28000"), None),
        ] {
            let found = error.other_way(configured, tried);
            assert_eq!(found, expected, "{configured} {tried} {error:?}");
        }
    }
}
