//! Reaching a server: its socket, and TLS on it.

use std::net::SocketAddr;
use std::rc::Rc;

use pgweir_config::{Host, SslMode};
use pgweir_route::Unknown;
use pgweir_wire::encode;
use tokio::net::{TcpStream, UnixStream};

use super::Error;
use crate::local;
use crate::stream::{Socket, Stream, tune};
use crate::tls::peer_certificate;
use crate::worker::Worker;

/// Connects to a host; to `peer`, if the name has been resolved before.
///
/// # Errors
/// From the operating system.
pub(super) async fn dial(
    worker: &Rc<Worker>,
    host: &Host,
    peer: Option<SocketAddr>,
) -> Result<Stream, Error> {
    let socket = match host {
        Host::Tcp { name, port } => {
            let stream = match peer {
                Some(address) => reach(address).await?,
                None => connect(worker, name, *port).await?,
            };
            stream.set_nodelay(true)?;
            let std = stream.into_std()?;
            tune(&std, &worker.shared.config.load().settings)?;
            Socket::Tcp(TcpStream::from_std(std)?)
        }
        Host::Unix { dir, port } => {
            let path = local::path(dir, *port);
            let stream = UnixStream::connect(&path).await;
            Socket::Unix(stream.map_err(|error| Error::Connect(local::shown(&path), error))?)
        }
    };
    Ok(Stream::Plain(socket))
}

async fn reach(address: SocketAddr) -> Result<TcpStream, Error> {
    let stream = TcpStream::connect(address).await;
    stream.map_err(|error| Error::Connect(address.to_string(), error))
}

/// Connects to the first of a name's addresses that answers.
async fn connect(worker: &Rc<Worker>, name: &str, port: u16) -> Result<TcpStream, Error> {
    let shared = &worker.shared;
    let settings = shared.config.load_full();
    let found = shared.dns.resolve(&settings.settings, name).await?;
    shared.outdate(name, &found.gone);
    let nothing = || Unknown(format!("{name}: there is no address"));
    let mut failure = Error::Lookup(nothing());
    for mut address in found.addresses {
        address.set_port(port);
        match reach(address).await {
            Ok(stream) => return Ok(stream),
            Err(error) => failure = error,
        }
    }
    Err(failure)
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
pub(super) async fn encrypt(
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

/// Encrypts as `sslmode` says, with the server's certificate, if it is given; on a Unix socket TLS has no
/// place.
///
/// # Errors
/// When the server does not speak TLS and has to, or the handshake fails.
pub(super) async fn encrypt_as(
    worker: &Rc<Worker>,
    mut stream: Stream,
    host: &Host,
    sslmode: SslMode,
) -> Result<(Stream, Option<Vec<u8>>), Error> {
    if host.is_unix() || sslmode == SslMode::Disable {
        return Ok((stream, None));
    }
    if ask_for_tls(&mut stream).await? {
        return encrypt_with(worker, stream, host, sslmode).await;
    }
    match sslmode {
        SslMode::Prefer => Ok((stream, None)),
        _ => Err(Error::NoTls),
    }
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
    let certificate = peer_certificate(&encrypted);
    Ok((Stream::Tls(Box::new(encrypted.into())), certificate))
}
