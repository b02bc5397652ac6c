//! TLS towards clients and servers: certificates and keys in force, and the handshakes.
//!
//! A [`Tls`] is made anew from the files at each reload and put in the place of the old one;
//! connections that exist keep what they began with. Whether to ask for TLS, and what to do if
//! the other side does not have it, is decided where connections begin, not here.
//!
//! # Promises
//!
//! - **T1** `sslmode` means what it means to libpq, on both sides.
//! - **T2** Whoever shows a certificate proves to have its key, in every mode.
//! - **T3** What is wrong with a file is said with the file's name and the remedy.

mod acceptor;
mod connector;
mod error;
mod files;
mod key;
mod name;
mod verify;

#[cfg(test)]
mod tests;

use std::path::PathBuf;
use std::sync::Arc;

use pgweir_config::{Settings, SslMode};
use rustls::crypto::CryptoProvider;
use tokio::io::{AsyncRead, AsyncWrite};
use tokio_rustls::{client, server};

pub use acceptor::Acceptor;
pub use connector::Connector;
pub use error::{Error, Flaw, Part};

/// The protocol name of PostgreSQL (protocol-flow, SSL Session Encryption).
const ALPN: &[u8] = b"postgresql";

fn provider() -> Arc<CryptoProvider> {
    Arc::new(rustls::crypto::aws_lc_rs::default_provider())
}

/// Everything in force.
#[derive(Debug)]
pub struct Tls {
    client_mode: SslMode,
    acceptor: Option<Acceptor>,
    connector: Connector,
}

impl Tls {
    /// Reads the files that the settings name.
    ///
    /// # Errors
    /// The mistakes of both sides, with the files that they are in.
    pub fn load(settings: &Settings) -> Result<Self, Vec<Error>> {
        let client_mode = settings.client_tls_sslmode;
        let acceptor = match client_mode {
            SslMode::Disable => Ok(None),
            _ => acceptor(settings).map(Some),
        };
        match (acceptor, connector(settings)) {
            (Ok(acceptor), Ok(connector)) => Ok(Self {
                client_mode,
                acceptor,
                connector,
            }),
            (acceptor, connector) => {
                let errors = [acceptor.err(), connector.err()];
                Err(errors.into_iter().flatten().flatten().collect())
            }
        }
    }

    /// Whether clients may use TLS.
    pub fn accepts(&self) -> bool {
        self.acceptor.is_some()
    }

    /// Whether clients on TCP have to.
    pub fn requires(&self) -> bool {
        matches!(
            self.client_mode,
            SslMode::Require | SslMode::VerifyCa | SslMode::VerifyFull
        )
    }

    /// The handshake with a client; gives our certificate in DER too. `direct`: the client began
    /// with it, without asking first.
    ///
    /// # Errors
    /// When it fails; nothing can be said to the client any more.
    pub async fn accept<S>(
        &self,
        stream: S,
        direct: bool,
    ) -> Result<(server::TlsStream<S>, Vec<u8>), Error>
    where
        S: AsyncRead + AsyncWrite + Unpin,
    {
        let acceptor = self.acceptor.as_ref();
        let acceptor = acceptor.ok_or(Error::Settings("client_tls_sslmode is disable"))?;
        let stream = if direct {
            acceptor.accept_direct(stream).await?
        } else {
            acceptor.accept(stream).await?
        };
        Ok((stream, acceptor.certificate().to_vec()))
    }

    /// The handshake with a server: see [`Connector::connect`].
    ///
    /// # Errors
    /// When it fails, or the server's certificate is not what `mode` asks for.
    pub async fn connect<S>(
        &self,
        mode: SslMode,
        stream: S,
        host: &str,
    ) -> Result<client::TlsStream<S>, Error>
    where
        S: AsyncRead + AsyncWrite + Unpin,
    {
        self.connector.connect(mode, stream, host).await
    }
}

/// The certificate that a server has shown, in DER.
pub fn peer_certificate<S>(stream: &client::TlsStream<S>) -> Option<Vec<u8>> {
    let shown = stream.get_ref().1.peer_certificates()?;
    shown.first().map(|certificate| certificate.to_vec())
}

fn acceptor(settings: &Settings) -> Result<Acceptor, Vec<Error>> {
    let mut files = Files::default();
    let certificate = files.read(Part::Certificate, &settings.client_tls_cert_file);
    let key = files.read(Part::Key, &settings.client_tls_key_file);
    let authorities = files.read(Part::Authorities, &settings.client_tls_ca_file);
    if !files.errors.is_empty() {
        return Err(files.errors);
    }
    let (Some(certificate), Some(key)) = (certificate, key) else {
        return Err(vec![Error::Settings(
            "client_tls_sslmode needs client_tls_cert_file and client_tls_key_file",
        )]);
    };
    let mode = settings.client_tls_sslmode;
    let protocols = settings.client_tls_protocols;
    Acceptor::new(mode, &certificate, &key, authorities.as_deref(), protocols)
        .map_err(|error| vec![files.name(error)])
}

fn connector(settings: &Settings) -> Result<Connector, Vec<Error>> {
    let mut files = Files::default();
    let certificate = files.read(Part::Certificate, &settings.server_tls_cert_file);
    let key = files.read(Part::Key, &settings.server_tls_key_file);
    let authorities = files.read(Part::Authorities, &settings.server_tls_ca_file);
    if !files.errors.is_empty() {
        return Err(files.errors);
    }
    let identity = match (&certificate, &key) {
        (Some(certificate), Some(key)) => Some((&certificate[..], &key[..])),
        (None, None) => None,
        _ => {
            return Err(vec![Error::Settings(
                "server_tls_cert_file and server_tls_key_file go together",
            )]);
        }
    };
    let mode = settings.server_tls_sslmode;
    Connector::new(mode, authorities.as_deref(), identity).map_err(|error| vec![files.name(error)])
}

/// The files of one side: which part came from where, and those that could not be read.
#[derive(Default)]
struct Files {
    paths: Vec<(Part, PathBuf)>,
    errors: Vec<Error>,
}

impl Files {
    fn read(&mut self, part: Part, path: &Option<PathBuf>) -> Option<Vec<u8>> {
        let path = path.as_ref()?;
        self.paths.push((part, path.clone()));
        match files::read(path) {
            Ok(text) => Some(text),
            Err(error) => {
                self.errors.push(error);
                None
            }
        }
    }

    /// Puts the file's name in the place of the part's.
    fn name(&self, error: Error) -> Error {
        let Error::Part { part, flaw } = error else {
            return error;
        };
        match self.paths.iter().find(|(other, _)| *other == part) {
            Some((_, path)) => Error::File {
                path: path.clone(),
                flaw,
            },
            None => Error::Part { part, flaw },
        }
    }
}
