//! TLS towards clients.

use std::sync::Arc;

use pgweir_config::SslMode;
use rustls::ServerConfig;
use rustls::server::{NoServerSessionStorage, WebPkiClientVerifier};
use rustls_pki_types::CertificateDer;
use tokio::io::{AsyncRead, AsyncWrite};
use tokio_rustls::{TlsAcceptor, server};

use super::error::Error;
use super::offer::Offer;
use super::verify::Authorities;
use super::{ALPN, files};

/// Our certificate and key, and which clients are let in with it.
#[derive(Debug, Clone)]
pub struct Acceptor {
    config: Arc<ServerConfig>,
    /// Our certificate, for channel binding.
    leaf: CertificateDer<'static>,
}

impl Acceptor {
    /// Makes one from texts in PEM. With verify-ca and verify-full (which are the same here) a
    /// client must show a certificate by one of the authorities; with the other modes it may, if
    /// authorities are given, and is refused with a wrong one, as PostgreSQL does it.
    ///
    /// # Errors
    /// [`Error::Part`] says which text is wrong, and how.
    pub fn new(
        mode: SslMode,
        certificate_pem: &[u8],
        key_pem: &[u8],
        authorities_pem: Option<&[u8]>,
        offer: &Offer,
    ) -> Result<Self, Error> {
        let provider = offer.provider();
        let identity = files::identity(certificate_pem, key_pem, &provider)?;
        let builder = ServerConfig::builder_with_provider(Arc::clone(&provider))
            .with_protocol_versions(&offer.versions())?;
        let builder = match authorities_pem {
            None if mode.verifies() => {
                return Err(Error::Settings(
                    "client_tls_sslmode verify-ca and verify-full need client_tls_ca_file",
                ));
            }
            None => builder.with_no_client_auth(),
            Some(pem) => {
                let roots = Arc::new(Authorities::from_pem(pem)?.into_store()?);
                let verifier = WebPkiClientVerifier::builder_with_provider(roots, provider);
                let verifier = if mode.verifies() {
                    verifier
                } else {
                    verifier.allow_unauthenticated()
                };
                let verifier = verifier.build();
                builder.with_client_cert_verifier(
                    verifier.expect("there is an authority, and no revocation list"),
                )
            }
        };
        let mut config = builder.with_cert_resolver(identity.both);
        config.alpn_protocols = vec![ALPN.to_vec()];
        config.ignore_client_order = offer.has_order();
        // PostgreSQL's clients never resume; a ticket is a write for nothing.
        config.send_tls13_tickets = 0;
        config.session_storage = Arc::new(NoServerSessionStorage {});
        Ok(Self {
            config: Arc::new(config),
            leaf: identity.leaf,
        })
    }

    /// Our certificate in DER, which channel binding is computed from.
    pub fn certificate(&self) -> &[u8] {
        &self.leaf
    }

    /// The handshake after an SSLRequest; there ALPN is up to the client.
    ///
    /// # Errors
    /// When it fails; nothing can be said to the client any more.
    pub async fn accept<S>(&self, stream: S) -> Result<server::TlsStream<S>, Error>
    where
        S: AsyncRead + AsyncWrite + Unpin,
    {
        let acceptor = TlsAcceptor::from(Arc::clone(&self.config));
        acceptor.accept(stream).await.map_err(Error::Handshake)
    }

    /// The handshake with a client that began with it, without an SSLRequest.
    ///
    /// # Errors
    /// As [`accept`](Self::accept), and [`Error::Alpn`] for a client that did not say that it
    /// speaks PostgreSQL's protocol.
    pub async fn accept_direct<S>(&self, stream: S) -> Result<server::TlsStream<S>, Error>
    where
        S: AsyncRead + AsyncWrite + Unpin,
    {
        let stream = self.accept(stream).await?;
        // Else a browser, say, could be led to send us its secrets (CVE-2021-3618).
        if stream.get_ref().1.alpn_protocol() == Some(ALPN) {
            Ok(stream)
        } else {
            Err(Error::Alpn)
        }
    }
}
