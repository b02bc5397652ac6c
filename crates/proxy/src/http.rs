//! Metrics and health over HTTP, on the thread that serves no clients.

mod health;

use std::convert::Infallible;
use std::io;
use std::sync::Arc;
use std::sync::atomic::Ordering::Relaxed;
use std::time::Duration;

use http_body_util::Full;
use hyper::body::{Bytes, Incoming};
use hyper::header::{ALLOW, CACHE_CONTROL, CONTENT_TYPE};
use hyper::server::conn::http1;
use hyper::service::service_fn;
use hyper::{Method, Request, Response, StatusCode};
use hyper_util::rt::{TokioIo, TokioTimer};
use pgweir_admin::metrics::{Distribution, Meters, NEEDS, SpanRow, metrics};
use tokio::net::{TcpListener, TcpStream};
use tokio::sync::Semaphore;

use crate::shared::{Open, Shared};
use crate::stats::Times;
use crate::view;

/// Connections at once: more wait to be accepted.
const CONNECTIONS_MAX: usize = 64;
/// How long a request may take to come.
const REQUEST_LIMIT: Duration = Duration::from_secs(10);
/// How long a connection may last: a monitor comes again.
const CONNECTION_LIMIT: Duration = Duration::from_secs(300);
/// Pause after a failed accept, such as one without file descriptors.
const ACCEPT_PAUSE: Duration = Duration::from_millis(100);

/// Upper bounds of the histograms' buckets are powers of four: from 16 µs to 67 s.
const BOUNDS: std::ops::RangeInclusive<u32> = 2..=13;

/// Serves these sockets until the process ends.
///
/// # Errors
/// A socket that cannot be waited for.
pub fn start(shared: &Arc<Shared>, sockets: Vec<std::net::TcpListener>) -> io::Result<()> {
    let places = Arc::new(Semaphore::new(CONNECTIONS_MAX));
    for socket in sockets {
        let listener = TcpListener::from_std(socket)?;
        tokio::task::spawn_local(accept(Arc::clone(shared), listener, Arc::clone(&places)));
    }
    Ok(())
}

async fn accept(shared: Arc<Shared>, listener: TcpListener, places: Arc<Semaphore>) {
    while let Ok(place) = Arc::clone(&places).acquire_owned().await {
        match listener.accept().await {
            Ok((stream, _)) => {
                let shared = Arc::clone(&shared);
                tokio::task::spawn_local(async move {
                    serve(shared, stream).await;
                    drop(place);
                });
            }
            Err(error) => {
                tracing::warn!(%error, "accept of HTTP failed");
                tokio::time::sleep(ACCEPT_PAUSE).await;
            }
        }
    }
}

async fn serve(shared: Arc<Shared>, stream: TcpStream) {
    let service = service_fn(move |request| {
        let shared = Arc::clone(&shared);
        async move { Ok::<_, Infallible>(answer(&shared, &request).await) }
    });
    let connection = http1::Builder::new()
        .timer(TokioTimer::new())
        .header_read_timeout(REQUEST_LIMIT)
        .serve_connection(TokioIo::new(stream), service);
    match tokio::time::timeout(CONNECTION_LIMIT, connection).await {
        Ok(Ok(())) | Err(_) => {}
        Ok(Err(error)) => tracing::debug!(%error, "connection of HTTP"),
    }
}

async fn answer(shared: &Arc<Shared>, request: &Request<Incoming>) -> Response<Full<Bytes>> {
    if !matches!(*request.method(), Method::GET | Method::HEAD) {
        let mut response = text(StatusCode::METHOD_NOT_ALLOWED, "only GET and HEAD\n".into());
        let allowed = hyper::header::HeaderValue::from_static("GET, HEAD");
        response.headers_mut().insert(ALLOW, allowed);
        return response;
    }
    match request.uri().path() {
        "/metrics" => {
            let snapshot = view::snapshot(shared, NEEDS).await;
            let mut response = text(StatusCode::OK, metrics(&snapshot, &meters(shared)));
            let kind = hyper::header::HeaderValue::from_static(prometheus_type());
            response.headers_mut().insert(CONTENT_TYPE, kind);
            response
        }
        "/healthz" => text(StatusCode::OK, "alive\n".into()),
        "/startupz" => text(StatusCode::OK, "started\n".into()),
        "/readyz" => match health::readiness(shared).await {
            Ok(report) => text(StatusCode::OK, report),
            Err(report) => text(StatusCode::SERVICE_UNAVAILABLE, report),
        },
        _ => {
            let there = "there are /metrics, /healthz, /readyz and /startupz\n";
            text(StatusCode::NOT_FOUND, there.into())
        }
    }
}

/// The text format of Prometheus (exposition formats, Basic info).
fn prometheus_type() -> &'static str {
    "text/plain; version=0.0.4; charset=utf-8"
}

fn text(status: StatusCode, text: String) -> Response<Full<Bytes>> {
    let mut response = Response::new(Full::new(Bytes::from(text)));
    *response.status_mut() = status;
    let headers = response.headers_mut();
    let plain = hyper::header::HeaderValue::from_static("text/plain; charset=utf-8");
    headers.insert(CONTENT_TYPE, plain);
    let never = hyper::header::HeaderValue::from_static("no-store");
    headers.insert(CACHE_CONTROL, never);
    response
}

/// Whether the process waits for its clients to leave.
fn is_draining(shared: &Shared) -> bool {
    *shared.open.borrow() != Open::Everything
}

fn meters(shared: &Shared) -> Meters {
    let stats = shared.stats.lock();
    let mut meters = Meters {
        pooler_errors: shared.faults.all(),
        tls_handshakes: [0, 1].map(|result: usize| shared.tls_handshakes[result].load(Relaxed)),
        cancel_requests: shared.cancel_requests.load(Relaxed),
        workers: shared.workers() as u64,
        is_draining: is_draining(shared),
        ..Meters::default()
    };
    for (name, database) in stats.iter() {
        let times = database.span_times();
        meters.spans.push(SpanRow {
            database: name.to_string(),
            wait: distribution(&times.wait),
            server: distribution(&times.server),
            client: distribution(&times.client),
        });
        let errors = database.errors().into_iter().map(|(class, count)| {
            let class = String::from_utf8_lossy(&class).into_owned();
            (name.to_string(), class, count)
        });
        meters.server_errors.extend(errors);
    }
    meters
}

fn distribution(times: &Times) -> Distribution {
    let bounds = BOUNDS.map(|power| 1_u64 << (2 * power));
    Distribution {
        buckets: bounds
            .map(|micros| (micros as f64 / 1e6, times.below(micros)))
            .collect(),
        count: times.count(),
        sum: times.sum() as f64 / 1e6,
    }
}
