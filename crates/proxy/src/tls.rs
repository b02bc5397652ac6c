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
mod offer;
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
pub use connector::{Connector, of_system};
pub use error::{Error, Flaw, Part};
pub use offer::Offer;

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
    /// Of what is in the files.
    print: u64,
}

impl Tls {
    /// Reads the files that the settings name.
    ///
    /// # Errors
    /// The mistakes of both sides, with the settings and files that they are in.
    pub fn load(settings: &Settings) -> Result<Self, Vec<Misfit>> {
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
                print: files::print(settings),
            }),
            (acceptor, connector) => {
                let errors = [acceptor.err(), connector.err()];
                Err(errors.into_iter().flatten().flatten().collect())
            }
        }
    }

    /// Whether the files are as they were when the other one was read from them.
    pub fn is_of_same_files(&self, other: &Self) -> bool {
        self.print == other.print
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

    /// The handshake with somebody who speaks HTTP: see [`Connector::connect_https`].
    ///
    /// # Errors
    /// When it fails, or the certificate is not by whom we believe, for `host`.
    pub async fn connect_https<S>(
        &self,
        stream: S,
        host: &str,
    ) -> Result<client::TlsStream<S>, Error>
    where
        S: AsyncRead + AsyncWrite + Unpin,
    {
        self.connector.connect_https(stream, host).await
    }
}

/// The certificate that a server has shown, in DER.
pub fn peer_certificate<S>(stream: &client::TlsStream<S>) -> Option<Vec<u8>> {
    let shown = stream.get_ref().1.peer_certificates()?;
    shown.first().map(|certificate| certificate.to_vec())
}

/// The certificate that a client has shown, which has been verified; in DER.
pub fn client_certificate<S>(stream: &server::TlsStream<S>) -> Option<Vec<u8>> {
    let shown = stream.get_ref().1.peer_certificates()?;
    shown.first().map(|certificate| certificate.to_vec())
}

/// Something wrong with a file, or with what the settings say together.
#[derive(Debug, thiserror::Error)]
#[error("{key}: {error}")]
pub struct Misfit {
    /// The setting that it is about.
    pub key: &'static str,
    /// What it is.
    pub error: Error,
}

fn acceptor(settings: &Settings) -> Result<Acceptor, Vec<Misfit>> {
    let mut files = Files::of("client_tls_sslmode");
    let certificate = files.read(
        Part::Certificate,
        "client_tls_cert_file",
        &settings.client_tls_cert_file,
    );
    let key = files.read(
        Part::Key,
        "client_tls_key_file",
        &settings.client_tls_key_file,
    );
    let authorities = files.read(
        Part::Authorities,
        "client_tls_ca_file",
        &settings.client_tls_ca_file,
    );
    files.check(&certificate, &key, &authorities);
    if !files.misfits.is_empty() {
        return Err(files.misfits);
    }
    let (Some(certificate), Some(key)) = (certificate, key) else {
        let error = "client_tls_sslmode needs client_tls_cert_file and client_tls_key_file";
        return Err(vec![files.misfit(Error::Settings(error))]);
    };
    let mode = settings.client_tls_sslmode;
    let offer = Offer::to_clients(settings);
    Acceptor::new(mode, &certificate, &key, authorities.as_deref(), &offer)
        .map_err(|error| vec![files.misfit(error)])
}

fn connector(settings: &Settings) -> Result<Connector, Vec<Misfit>> {
    let mut files = Files::of("server_tls_sslmode");
    let certificate = files.read(
        Part::Certificate,
        "server_tls_cert_file",
        &settings.server_tls_cert_file,
    );
    let key = files.read(
        Part::Key,
        "server_tls_key_file",
        &settings.server_tls_key_file,
    );
    let authorities = files.read(
        Part::Authorities,
        "server_tls_ca_file",
        &settings.server_tls_ca_file,
    );
    files.check(&certificate, &key, &authorities);
    if !files.misfits.is_empty() {
        return Err(files.misfits);
    }
    let identity = match (&certificate, &key) {
        (Some(certificate), Some(key)) => Some((&certificate[..], &key[..])),
        (None, None) => None,
        _ => {
            let error = "server_tls_cert_file and server_tls_key_file go together";
            return Err(vec![files.misfit(Error::Settings(error))]);
        }
    };
    let mode = settings.server_tls_sslmode;
    let offer = Offer::to_servers(settings);
    Connector::new(mode, authorities.as_deref(), identity, offer)
        .map_err(|error| vec![files.misfit(error)])
}

/// The files of one side: which part came from where, and those that could not be read.
struct Files {
    /// The setting that they are there for.
    mode: &'static str,
    parts: Vec<(Part, &'static str, PathBuf)>,
    misfits: Vec<Misfit>,
}

impl Files {
    fn of(mode: &'static str) -> Self {
        Self {
            mode,
            parts: Vec::new(),
            misfits: Vec::new(),
        }
    }

    fn read(&mut self, part: Part, key: &'static str, path: &Option<PathBuf>) -> Option<Vec<u8>> {
        let path = path.as_ref()?;
        self.parts.push((part, key, path.clone()));
        match files::read(path) {
            Ok(text) => Some(text),
            Err(error) => {
                self.misfits.push(Misfit { key, error });
                None
            }
        }
    }

    /// Looks into those that could be read: what is wrong with one does not hide what is wrong with
    /// another.
    fn check(
        &mut self,
        certificate: &Option<Vec<u8>>,
        key: &Option<Vec<u8>>,
        authorities: &Option<Vec<u8>>,
    ) {
        let identity = certificate.as_ref().zip(key.as_ref());
        let identity = identity
            .map(|(certificate, key)| files::identity(certificate, key, &provider()).map(drop));
        let authorities = authorities.as_ref();
        let authorities = authorities.map(|pem| verify::Authorities::from_pem(pem).map(drop));
        for outcome in [identity, authorities].into_iter().flatten() {
            if let Err(error) = outcome {
                self.misfits.push(self.misfit(error));
            }
        }
    }

    /// Names the setting, and the file in the place of the part.
    fn misfit(&self, error: Error) -> Misfit {
        let key = self.mode;
        let Error::Part { part, flaw } = error else {
            return Misfit { key, error };
        };
        match self.parts.iter().find(|(other, ..)| *other == part) {
            Some((_, key, path)) => Misfit {
                key,
                error: Error::File {
                    path: path.clone(),
                    flaw,
                },
            },
            None => Misfit {
                key,
                error: Error::Part { part, flaw },
            },
        }
    }
}
