//! TLS towards clients and servers: certificates and keys in force, and the handshakes.
//!
//! A [`Tls`] is made anew from the files at each reload and put in the place of the old one;
//! connections that exist keep what they began with.

mod files;
mod verify;

use std::path::PathBuf;
use std::sync::Arc;

use pgweir_config::{Settings, SslMode, TlsProtocols};
use rustls::crypto::CryptoProvider;
use rustls::server::WebPkiClientVerifier;
use rustls::{ClientConfig, RootCertStore, ServerConfig, SupportedProtocolVersion};
use rustls_pki_types::{CertificateDer, ServerName};
use tokio::io::{AsyncRead, AsyncWrite};
use tokio_rustls::{TlsAcceptor, TlsConnector, client, server};

pub use files::{Identity, certificates, identity};
pub use verify::ServerVerifier;

/// The protocol name of PostgreSQL (protocol-flow, SSL Session Encryption).
const ALPN: &[u8] = b"postgresql";

/// What is wrong with certificates, keys or a handshake.
#[derive(Debug, thiserror::Error)]
pub enum Error {
    /// A file that cannot be read.
    #[error("{}: {source}", .path.display())]
    Read {
        /// Which one.
        path: PathBuf,
        /// Why.
        source: std::io::Error,
    },
    /// A file that does not hold what it should.
    #[error("{}: {what}", .path.display())]
    File {
        /// Which one.
        path: PathBuf,
        /// What is wrong.
        what: String,
    },
    /// A setting that another one needs.
    #[error("{0}")]
    Settings(&'static str),
    /// From the library.
    #[error(transparent)]
    Tls(#[from] rustls::Error),
    /// A handshake that failed.
    #[error("TLS handshake failed: {0}")]
    Handshake(#[from] std::io::Error),
    /// A client that began with TLS at once must name the protocol it means to speak.
    #[error("direct TLS connection without ALPN protocol \"postgresql\"")]
    Alpn,
    /// A host name that TLS has no way to ask for.
    #[error("\"{0}\" is no name that a certificate could have")]
    Name(String),
}

/// Towards clients.
#[derive(Debug)]
struct Front {
    config: Arc<ServerConfig>,
    /// Our certificate, for channel binding.
    leaf: CertificateDer<'static>,
}

/// Everything in force.
#[derive(Debug)]
pub struct Tls {
    client_mode: SslMode,
    front: Option<Front>,
    /// Authorities for servers: those of the file, or the system's.
    roots: Roots,
    identity: Option<Identity>,
    provider: Arc<CryptoProvider>,
}

#[derive(Debug)]
struct Roots {
    certificates: Vec<CertificateDer<'static>>,
    /// Whether they come from `server_tls_ca_file`.
    from_file: bool,
}

impl Tls {
    /// Reads the files that the settings name.
    ///
    /// # Errors
    /// Every mistake, with the file that it is in.
    pub fn load(settings: &Settings) -> Result<Self, Vec<Error>> {
        let provider = Arc::new(rustls::crypto::aws_lc_rs::default_provider());
        let mut errors = Vec::new();
        let mut note = |error: Error| errors.push(error);
        let front = if settings.client_tls_sslmode == SslMode::Disable {
            None
        } else {
            front(settings, &provider).map_err(&mut note).ok()
        };
        let roots = roots(settings).map_err(&mut note);
        let identity = match (
            &settings.server_tls_cert_file,
            &settings.server_tls_key_file,
        ) {
            (Some(certificate), Some(key)) => identity(certificate, key).map_err(&mut note).ok(),
            (None, None) => None,
            _ => {
                note(Error::Settings(
                    "server_tls_cert_file and server_tls_key_file go together",
                ));
                None
            }
        };
        let client_mode = settings.client_tls_sslmode;
        match roots {
            Ok(roots) if errors.is_empty() => Ok(Self {
                client_mode,
                front,
                roots,
                identity,
                provider,
            }),
            _ => Err(errors),
        }
    }

    /// Whether clients may use TLS.
    pub fn accepts(&self) -> bool {
        self.front.is_some()
    }

    /// Whether clients on TCP have to.
    pub fn requires(&self) -> bool {
        matches!(
            self.client_mode,
            SslMode::Require | SslMode::VerifyCa | SslMode::VerifyFull
        )
    }

    /// The handshake with a client; gives our certificate too. `direct`: the client began with
    /// it, without asking first.
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
        let front = self
            .front
            .as_ref()
            .ok_or(Error::Settings("client_tls_sslmode is disable"))?;
        let stream = TlsAcceptor::from(Arc::clone(&front.config))
            .accept(stream)
            .await?;
        // Else a browser, say, could be led to send us its secrets (CVE-2021-3618).
        if direct && stream.get_ref().1.alpn_protocol() != Some(ALPN) {
            return Err(Error::Alpn);
        }
        Ok((stream, front.leaf.to_vec()))
    }

    /// The handshake with a server, with libpq's meaning of `mode`.
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
        // With authorities given, libpq's "require" behaves like "verify-ca".
        let mode = if mode == SslMode::Require && self.roots.from_file {
            SslMode::VerifyCa
        } else {
            mode
        };
        let verifier =
            ServerVerifier::new(mode, &self.roots.certificates, Arc::clone(&self.provider))?;
        let builder = ClientConfig::builder_with_provider(Arc::clone(&self.provider))
            .with_safe_default_protocol_versions()?
            .dangerous()
            .with_custom_certificate_verifier(Arc::new(verifier));
        let mut config = match &self.identity {
            Some(identity) => {
                builder.with_client_auth_cert(identity.chain.clone(), identity.key.clone_key())?
            }
            None => builder.with_no_client_auth(),
        };
        config.alpn_protocols = vec![ALPN.to_vec()];
        config.resumption = rustls::client::Resumption::disabled();
        let name =
            ServerName::try_from(host.to_owned()).map_err(|_| Error::Name(host.to_owned()))?;
        Ok(TlsConnector::from(Arc::new(config))
            .connect(name, stream)
            .await?)
    }
}

/// The certificate that a server has shown, in DER.
pub fn peer_certificate<S>(stream: &client::TlsStream<S>) -> Option<Vec<u8>> {
    stream
        .get_ref()
        .1
        .peer_certificates()?
        .first()
        .map(|certificate| certificate.to_vec())
}

fn front(settings: &Settings, provider: &Arc<CryptoProvider>) -> Result<Front, Error> {
    let (Some(certificate), Some(key)) = (
        &settings.client_tls_cert_file,
        &settings.client_tls_key_file,
    ) else {
        return Err(Error::Settings(
            "client_tls_sslmode needs client_tls_cert_file and client_tls_key_file",
        ));
    };
    let identity = identity(certificate, key)?;
    let leaf = identity.chain.first().cloned().ok_or_else(|| Error::File {
        path: certificate.clone(),
        what: "no certificate in it".to_owned(),
    })?;
    let builder = ServerConfig::builder_with_provider(Arc::clone(provider))
        .with_protocol_versions(&versions(&settings.client_tls_protocols))?;
    let builder = if settings.client_tls_sslmode.verifies() {
        let Some(path) = &settings.client_tls_ca_file else {
            return Err(Error::Settings(
                "client_tls_sslmode verify-ca and verify-full need client_tls_ca_file",
            ));
        };
        let mut roots = RootCertStore::empty();
        for authority in certificates(path)? {
            roots.add(authority)?;
        }
        let verifier =
            WebPkiClientVerifier::builder_with_provider(Arc::new(roots), Arc::clone(provider))
                .build()
                .map_err(|error| Error::File {
                    path: path.clone(),
                    what: error.to_string(),
                })?;
        builder.with_client_cert_verifier(verifier)
    } else {
        builder.with_no_client_auth()
    };
    let mut config = builder
        .with_single_cert(identity.chain, identity.key)
        .map_err(|error| Error::File {
            path: certificate.clone(),
            what: format!("{error} (is {} its key?)", key.display()),
        })?;
    config.alpn_protocols = vec![ALPN.to_vec()];
    // PostgreSQL's clients never resume; a ticket is a write for nothing.
    config.send_tls13_tickets = 0;
    Ok(Front {
        config: Arc::new(config),
        leaf,
    })
}

fn versions(protocols: &TlsProtocols) -> Vec<&'static SupportedProtocolVersion> {
    let mut versions = Vec::new();
    if protocols.tls12() {
        versions.push(&rustls::version::TLS12);
    }
    if protocols.tls13() {
        versions.push(&rustls::version::TLS13);
    }
    versions
}

fn roots(settings: &Settings) -> Result<Roots, Error> {
    match &settings.server_tls_ca_file {
        Some(path) => Ok(Roots {
            certificates: certificates(path)?,
            from_file: true,
        }),
        None if settings.server_tls_sslmode.verifies() => Ok(Roots {
            certificates: files::system_authorities(),
            from_file: false,
        }),
        None => Ok(Roots {
            certificates: Vec::new(),
            from_file: false,
        }),
    }
}
