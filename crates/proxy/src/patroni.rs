//! Patroni: what it says of the hosts of a cluster, and asking it for another leader.

use std::io;
use std::rc::Rc;
use std::sync::Arc;
use std::time::{Duration, Instant};

use base64::Engine;
use base64::engine::general_purpose::STANDARD;
use http_body_util::{BodyExt, Full, Limited};
use hyper::body::Bytes;
use hyper::client::conn::http1;
use hyper::header::{AUTHORIZATION, CONTENT_TYPE, HOST};
use hyper::{Method, Request, StatusCode};
use hyper_util::rt::TokioIo;
use pgweir_config::{Endpoint, Host, Login};
use pgweir_route::HostIndex;
use pgweir_route::topology::Told;
use serde::Deserialize;
use tokio::io::{AsyncRead, AsyncWrite};
use tokio::net::TcpStream;

use crate::cluster::Cluster;
use crate::reload;
use crate::roles;
use crate::shared::Shared;
use crate::tls;
use crate::worker::Worker;

/// Longest answer, in bytes.
const ANSWER_MAX: usize = 1 << 20;
/// How long Patroni may take for a switchover: it answers when that is done.
const SWITCHOVER_LIMIT: Duration = Duration::from_secs(60);

/// Why Patroni was asked in vain.
#[derive(Debug, thiserror::Error)]
pub enum Error {
    /// The database has no `patroni`.
    #[error("no addresses of Patroni are configured (patroni)")]
    Unknown,
    /// Nobody listens, or the connection broke.
    #[error("{0}: {1}")]
    Io(String, io::Error),
    /// It is not who it should be, or speaks no TLS.
    #[error("{0}: {1}")]
    Tls(String, tls::Error),
    /// It speaks no HTTP.
    #[error("{0}: {1}")]
    Http(String, hyper::Error),
    /// No answer in time.
    #[error("{0}: no answer within {1:?}")]
    Timeout(String, Duration),
    /// An answer that cannot be read.
    #[error("{0}: {1}")]
    Unreadable(String, String),
    /// Patroni does not do it.
    #[error("{0}: {1}")]
    Refused(StatusCode, String),
    /// It has no such member.
    #[error("Patroni has no member {0}")]
    NoMember(String),
    /// It has no leader.
    #[error("Patroni has no leader")]
    NoLeader,
}

/// The answer to `GET /cluster`.
#[derive(Debug, Deserialize)]
struct Members {
    members: Vec<Member>,
}

#[derive(Debug, Deserialize)]
struct Member {
    name: String,
    role: String,
    #[serde(default)]
    host: Option<String>,
    #[serde(default)]
    port: Option<u16>,
    #[serde(default)]
    timeline: Option<u32>,
}

impl Member {
    fn leads(&self) -> bool {
        matches!(&*self.role, "leader" | "master" | "standby_leader")
    }

    fn host(&self) -> Option<Host> {
        Host::from_parts(self.host.as_deref()?, self.port?).ok()
    }

    fn place(&self, cluster: &Cluster) -> Option<HostIndex> {
        cluster.host(&self.host()?.to_string())
    }
}

/// Listens to what Patroni says of a cluster, if it has Patroni, until that is retired.
pub fn start(worker: &Rc<Worker>, cluster: Arc<Cluster>) {
    let worker = Rc::clone(worker);
    tokio::task::spawn_local(async move {
        while !cluster.is_retired() {
            let every = worker.shared.config.load().settings.monitor_interval;
            let asked = Instant::now();
            match members(&worker.shared, &cluster, every).await {
                Ok(members) => {
                    find(&worker.shared, &cluster, &members);
                    tell(&worker.shared, &cluster, &members, asked);
                }
                Err(Error::Unknown) => {}
                Err(error) => tracing::debug!(cluster = %cluster.name, "Patroni: {error}"),
            }
            tokio::time::sleep(every).await;
        }
    });
}

/// Where nobody has said what the hosts are, they are Patroni's members.
fn find(shared: &Shared, cluster: &Cluster, members: &[Member]) {
    let mut hosts: Vec<Host> = members.iter().filter_map(Member::host).collect();
    hosts.sort();
    hosts.dedup();
    if !hosts.is_empty() {
        reload::discovered(shared, &endpoints(shared, cluster), &hosts);
    }
}

fn tell(shared: &Shared, cluster: &Arc<Cluster>, members: &[Member], asked: Instant) {
    let told: Vec<Told> = members
        .iter()
        .filter_map(|member| {
            Some(Told {
                host: member.place(cluster)?,
                leads: member.leads(),
                timeline: member.timeline,
            })
        })
        .collect();
    let events = cluster.topology(|topology| topology.told(&told, asked, Instant::now()));
    cluster.nudge.notify_one();
    roles::announce(shared, cluster, &events);
}

fn endpoints(shared: &Shared, cluster: &Cluster) -> Vec<Endpoint> {
    let config = shared.config.load();
    let entry = config.database(&cluster.database);
    entry.map_or_else(Vec::new, |entry| entry.patroni.clone())
}

/// What the first member that answers knows of all.
async fn members(
    shared: &Shared,
    cluster: &Cluster,
    limit: Duration,
) -> Result<Vec<Member>, Error> {
    let mut failed = Error::Unknown;
    for endpoint in endpoints(shared, cluster) {
        match ask(
            shared,
            &endpoint,
            Method::GET,
            "/cluster",
            String::new(),
            limit,
        )
        .await
        {
            Ok(text) => {
                let members = serde_json::from_str::<Members>(&text);
                return members
                    .map(|it| it.members)
                    .map_err(|error| Error::Unreadable(endpoint.to_string(), error.to_string()));
            }
            Err(error) => failed = error,
        }
    }
    Err(failed)
}

/// Has Patroni make another host the leader: this one, or whichever it likes best.
///
/// # Errors
/// It does not, or nobody can tell.
pub async fn switch_over(
    shared: &Shared,
    cluster: &Cluster,
    to: Option<HostIndex>,
) -> Result<(), Error> {
    let limit = shared
        .config
        .load()
        .settings
        .monitor_interval
        .max(Duration::from_secs(1));
    let members = members(shared, cluster, limit).await?;
    let leader = members
        .iter()
        .find(|member| member.leads())
        .ok_or(Error::NoLeader)?;
    let candidate = to.map(|host| {
        let named = members.iter().find(|it| it.place(cluster) == Some(host));
        let name = || cluster.hosts[host.0].to_string();
        named
            .map(|it| it.name.clone())
            .ok_or_else(|| Error::NoMember(name()))
    });
    let mut request = serde_json::Map::new();
    request.insert("leader".to_owned(), leader.name.clone().into());
    if let Some(candidate) = candidate {
        request.insert("candidate".to_owned(), candidate?.into());
    }
    let body = serde_json::Value::Object(request).to_string();
    let mut failed = Error::Unknown;
    for endpoint in endpoints(shared, cluster) {
        let asked = ask(
            shared,
            &endpoint,
            Method::POST,
            "/switchover",
            body.clone(),
            SWITCHOVER_LIMIT,
        );
        match asked.await {
            Ok(_) => return Ok(()),
            // It has heard us, and nobody else need be asked.
            Err(error @ (Error::Refused(..) | Error::Timeout(..) | Error::Http(..))) => {
                return Err(error);
            }
            Err(error) => failed = error,
        }
    }
    Err(failed)
}

/// One request, and the text of its answer.
async fn ask(
    shared: &Shared,
    endpoint: &Endpoint,
    method: Method,
    path: &str,
    body: String,
    limit: Duration,
) -> Result<String, Error> {
    let name = || endpoint.to_string();
    let asked = tokio::time::timeout(limit, exchange(shared, endpoint, method, path, body));
    let outcome = asked.await;
    let (status, text) = outcome.map_err(|_| Error::Timeout(name(), limit))??;
    if status.is_success() {
        Ok(text)
    } else {
        Err(Error::Refused(status, text))
    }
}

async fn exchange(
    shared: &Shared,
    endpoint: &Endpoint,
    method: Method,
    path: &str,
    body: String,
) -> Result<(StatusCode, String), Error> {
    let name = || endpoint.to_string();
    let io = |error| Error::Io(name(), error);
    let mut request = Request::builder()
        .method(method)
        .uri(path)
        .header(HOST, endpoint.authority())
        .header(CONTENT_TYPE, "application/json");
    if let Some(Login { user, password }) = &endpoint.login {
        let pair = STANDARD.encode(format!("{user}:{}", *password.to_text()));
        request = request.header(AUTHORIZATION, format!("Basic {pair}"));
    }
    let request = request
        .body(Full::new(Bytes::from(body)))
        .map_err(|error| Error::Unreadable(name(), error.to_string()))?;
    let stream = TcpStream::connect((&*endpoint.host, endpoint.port))
        .await
        .map_err(io)?;
    if endpoint.https {
        let tls = shared.tls.load_full();
        let stream = tls.connect_https(stream, &endpoint.host).await;
        let stream = stream.map_err(|error| Error::Tls(name(), error))?;
        converse(endpoint, stream, request).await
    } else {
        converse(endpoint, stream, request).await
    }
}

async fn converse<S>(
    endpoint: &Endpoint,
    stream: S,
    request: Request<Full<Bytes>>,
) -> Result<(StatusCode, String), Error>
where
    S: AsyncRead + AsyncWrite + Unpin + 'static,
{
    let name = || endpoint.to_string();
    let http = |error| Error::Http(name(), error);
    let (mut sender, connection) = http1::handshake(TokioIo::new(stream)).await.map_err(http)?;
    // It ends with the request.
    let carrying = tokio::task::spawn_local(connection);
    let answer = sender.send_request(request).await.map_err(http)?;
    let status = answer.status();
    let body = Limited::new(answer.into_body(), ANSWER_MAX).collect().await;
    carrying.abort();
    let body = body.map_err(|error| Error::Unreadable(name(), error.to_string()))?;
    let text = String::from_utf8_lossy(&body.to_bytes()).into_owned();
    Ok((status, text))
}
