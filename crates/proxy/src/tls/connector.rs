//! TLS towards servers, with libpq's meaning of `sslmode`.

use std::sync::{Arc, OnceLock};

use pgweir_config::{Settings, SslMode};
use rustls::ClientConfig;
use rustls::client::Resumption;
use rustls::crypto::CryptoProvider;
use rustls_pki_types::{IpAddr, Ipv4Addr, ServerName};
use tokio::io::{AsyncRead, AsyncWrite};
use tokio_rustls::{TlsConnector, client};

use super::error::Error;
use super::files::Identity;
use super::offer::Offer;
use super::verify::{Authorities, Depth, ServerVerifier};
use super::{ALPN, files};

/// Whom we believe, and who we say we are. One for all modes: each database may have its own.
#[derive(Debug)]
pub struct Connector {
    authorities: Option<Arc<Authorities>>,
    identity: Option<Identity>,
    provider: Arc<CryptoProvider>,
    offer: Offer,
    unverified: Arc<ClientConfig>,
    /// Made when first used: where no authorities are given, those of the system are read then.
    by_chain: OnceLock<Arc<ClientConfig>>,
    by_name: OnceLock<Arc<ClientConfig>>,
}

impl Connector {
    /// Makes one from texts in PEM. `mode` is the one of most databases: what it needs is made
    /// now. `identity_pem` is a certificate with its chain, and the key.
    ///
    /// # Errors
    /// [`Error::Part`] says which text is wrong, and how; [`Error::Settings`] if `mode` needs one
    /// that is not given.
    pub fn new(
        mode: SslMode,
        authorities_pem: Option<&[u8]>,
        identity_pem: Option<(&[u8], &[u8])>,
        offer: Offer,
    ) -> Result<Self, Error> {
        let provider = offer.provider();
        let authorities = authorities_pem
            .map(|pem| Authorities::from_pem(pem).map(Arc::new))
            .transpose()?;
        let identity = identity_pem
            .map(|(certificate, key)| files::identity(certificate, key, &provider))
            .transpose()?;
        let nobody = Arc::new(Authorities::none());
        let connector = Self {
            authorities,
            unverified: config(Depth::None, nobody, identity.as_ref(), &provider, &offer)?,
            identity,
            provider,
            offer,
            by_chain: OnceLock::new(),
            by_name: OnceLock::new(),
        };
        connector.config(connector.depth(mode)?)?;
        Ok(connector)
    }

    /// The handshake with a server after its `S`. `host` is what was dialled: it is sent as SNI
    /// if it is a name, and compared with the certificate if `mode` is verify-full.
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
        let depth = self.depth(mode)?;
        let name = match ServerName::try_from(host.to_owned()) {
            Ok(name) => name,
            Err(_) if depth == Depth::ChainAndName => return Err(Error::Name(host.to_owned())),
            // Nobody compares it. An address is not sent either.
            Err(_) => ServerName::IpAddress(IpAddr::V4(Ipv4Addr::from([0; 4]))),
        };
        let connector = TlsConnector::from(self.config(depth)?);
        let stream = connector.connect(name, stream).await;
        stream.map_err(Error::Handshake)
    }

    /// The handshake with somebody who speaks HTTP/1.1, as `verify-full` has it.
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
        let name = ServerName::try_from(host.to_owned());
        let name = name.map_err(|_| Error::Name(host.to_owned()))?;
        let mut config = Arc::unwrap_or_clone(self.config(Depth::ChainAndName)?);
        // Nobody but PostgreSQL is offered its protocol.
        config.alpn_protocols.clear();
        let stream = TlsConnector::from(Arc::new(config))
            .connect(name, stream)
            .await;
        stream.map_err(Error::Handshake)
    }

    fn depth(&self, mode: SslMode) -> Result<Depth, Error> {
        match mode {
            // With authorities given, "require" behaves like "verify-ca" (libpq-ssl, Protection
            // Provided in Different Modes).
            SslMode::Require if self.authorities.is_some() => Ok(Depth::Chain),
            SslMode::Disable | SslMode::Allow | SslMode::Prefer | SslMode::Require => {
                Ok(Depth::None)
            }
            // Anybody can have a certificate by them, for some name: libpq refuses it as well.
            SslMode::VerifyCa if self.authorities.is_none() => Err(Error::Settings(
                "server_tls_sslmode verify-ca needs server_tls_ca_file: with the system's \
                 authorities, only verify-full tells one server from another",
            )),
            SslMode::VerifyCa => Ok(Depth::Chain),
            SslMode::VerifyFull => Ok(Depth::ChainAndName),
        }
    }

    fn config(&self, depth: Depth) -> Result<Arc<ClientConfig>, Error> {
        let made = match depth {
            Depth::None => return Ok(Arc::clone(&self.unverified)),
            Depth::Chain => &self.by_chain,
            Depth::ChainAndName => &self.by_name,
        };
        if let Some(config) = made.get() {
            return Ok(Arc::clone(config));
        }
        let authorities = match &self.authorities {
            Some(authorities) => Arc::clone(authorities),
            None => Arc::new(Authorities::of_system()?),
        };
        let identity = self.identity.as_ref();
        let new = config(depth, authorities, identity, &self.provider, &self.offer)?;
        Ok(Arc::clone(made.get_or_init(|| new)))
    }
}

/// For conversations in other protocols than PostgreSQL's, with somebody whom the system trusts.
///
/// # Errors
/// The system trusts nobody.
pub fn of_system() -> Result<Arc<ClientConfig>, Error> {
    let none = "the system has no authorities by which a directory could be trusted";
    let authorities = Authorities::of_system().map_err(|_| Error::Settings(none))?;
    let depth = Depth::ChainAndName;
    // What is set for servers is about PostgreSQL's.
    let offer = Offer::to_servers(&Settings::default());
    let provider = offer.provider();
    let config = config(depth, Arc::new(authorities), None, &provider, &offer)?;
    let mut config = Arc::unwrap_or_clone(config);
    config.alpn_protocols.clear();
    Ok(Arc::new(config))
}

fn config(
    depth: Depth,
    authorities: Arc<Authorities>,
    identity: Option<&Identity>,
    provider: &Arc<CryptoProvider>,
    offer: &Offer,
) -> Result<Arc<ClientConfig>, Error> {
    let verifier = ServerVerifier {
        depth,
        authorities,
        provider: Arc::clone(provider),
    };
    let builder = ClientConfig::builder_with_provider(Arc::clone(provider))
        .with_protocol_versions(&offer.versions())?
        .dangerous()
        .with_custom_certificate_verifier(Arc::new(verifier));
    let mut config = match identity {
        Some(identity) => builder.with_client_cert_resolver(Arc::clone(&identity.both) as _),
        None => builder.with_no_client_auth(),
    };
    config.alpn_protocols = vec![ALPN.to_vec()];
    // PostgreSQL hands out no tickets.
    config.resumption = Resumption::disabled();
    Ok(Arc::new(config))
}
