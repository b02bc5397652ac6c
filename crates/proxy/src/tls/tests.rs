//! Handshakes between our two sides over a pipe in memory.

mod clients;
mod files;
mod recipes;
mod servers;

use pgweir_config::{Settings, SslMode};
use tokio::io::DuplexStream;
use tokio_rustls::{client, server};

use super::{Acceptor, Connector, Error, Offer};
use recipes::Made;

const ALL_MODES: [SslMode; 6] = [
    SslMode::Disable,
    SslMode::Allow,
    SslMode::Prefer,
    SslMode::Require,
    SslMode::VerifyCa,
    SslMode::VerifyFull,
];

/// Larger than any handshake.
const PIPE_BYTES: usize = 64 * 1024;

fn settings(lines: &str) -> Settings {
    let text = format!("[pgweir]\n{lines}\n[databases.app]\nhost = \"localhost\"\n");
    let parsed = pgweir_config::parse(&text);
    parsed
        .unwrap_or_else(|mistakes| panic!("{mistakes:?}"))
        .settings
}

fn protocols(list: &str) -> Offer {
    Offer::to_clients(&settings(&format!("client_tls_protocols = \"{list}\"")))
}

fn everything() -> Offer {
    Offer::to_servers(&settings(""))
}

/// One that lets everybody in.
fn acceptor(made: &Made, versions: &str) -> Acceptor {
    let (certificate, key) = (made.certificate.as_bytes(), made.key.as_bytes());
    let new = Acceptor::new(
        SslMode::Require,
        certificate,
        key,
        None,
        &protocols(versions),
    );
    new.expect("certificate and key are good")
}

/// One that believes these, and shows nothing.
fn connector(authorities: Option<&str>) -> Connector {
    let new = Connector::new(
        SslMode::Disable,
        authorities.map(str::as_bytes),
        None,
        everything(),
    );
    new.expect("authorities are good")
}

/// What both ends think of a handshake.
struct Shaken {
    server: Result<server::TlsStream<DuplexStream>, Error>,
    client: Result<client::TlsStream<DuplexStream>, Error>,
}

async fn shake(acceptor: &Acceptor, connector: &Connector, mode: SslMode, host: &str) -> Shaken {
    let (near, far) = tokio::io::duplex(PIPE_BYTES);
    let (server, client) = tokio::join!(acceptor.accept(far), connector.connect(mode, near, host));
    Shaken { server, client }
}

/// Panics unless the outcome is `Ok` where nothing is expected, or an error with this in its text.
fn expect<T>(outcome: Result<T, Error>, error: Option<&str>, case: &str) {
    match (outcome, error) {
        (Ok(_), None) => {}
        (Err(found), Some(text)) => {
            let found = found.to_string();
            assert!(found.contains(text), "{case}: {found}");
        }
        (Ok(_), Some(text)) => panic!("{case}: went through, expected: {text}"),
        (Err(found), None) => panic!("{case}: {found}"),
    }
}
