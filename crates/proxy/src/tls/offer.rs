//! What is spoken on one side: versions, ciphers and curves, in the library's terms.

use std::sync::Arc;

use pgweir_config::{Curve, Settings, Suite, Tls13Ciphers, TlsCiphers, TlsCurves, TlsProtocols};
use rustls::crypto::aws_lc_rs::{cipher_suite as library, kx_group};
use rustls::crypto::{CryptoProvider, SupportedKxGroup};
use rustls::{SupportedCipherSuite, SupportedProtocolVersion};

use super::provider;

/// See the module.
#[derive(Debug, Clone)]
pub struct Offer {
    protocols: TlsProtocols,
    ciphers: TlsCiphers,
    ciphers13: Option<Tls13Ciphers>,
    curves: TlsCurves,
}

impl Offer {
    /// To clients.
    pub fn to_clients(settings: &Settings) -> Self {
        Self {
            protocols: settings.client_tls_protocols,
            ciphers: settings.client_tls_ciphers.clone(),
            ciphers13: settings.client_tls13_ciphers.clone(),
            curves: settings.client_tls_ecdhcurve.clone(),
        }
    }

    /// To servers.
    pub fn to_servers(settings: &Settings) -> Self {
        Self {
            protocols: settings.server_tls_protocols,
            ciphers: settings.server_tls_ciphers.clone(),
            ciphers13: settings.server_tls13_ciphers.clone(),
            curves: TlsCurves::auto(),
        }
    }

    /// Whether somebody has said which ciphers come first.
    pub(super) fn has_order(&self) -> bool {
        self.ciphers.is_chosen() || self.ciphers13.is_some()
    }

    pub(super) fn provider(&self) -> Arc<CryptoProvider> {
        let suites13 = match &self.ciphers13 {
            Some(ciphers) => ciphers.suites().to_vec(),
            None => Tls13Ciphers::all(),
        };
        let suites = suites13.iter().chain(self.ciphers.suites());
        let curves = self.curves.curves().iter();
        Arc::new(CryptoProvider {
            cipher_suites: suites.map(|suite| of_library(*suite)).collect(),
            kx_groups: curves.map(|curve| group(*curve)).collect(),
            ..CryptoProvider::clone(&provider())
        })
    }

    pub(super) fn versions(&self) -> Vec<&'static SupportedProtocolVersion> {
        let mut versions = Vec::new();
        if self.protocols.tls12() {
            versions.push(&rustls::version::TLS12);
        }
        if self.protocols.tls13() {
            versions.push(&rustls::version::TLS13);
        }
        versions
    }
}

fn of_library(suite: Suite) -> SupportedCipherSuite {
    match suite {
        Suite::EcdsaAes256 => library::TLS_ECDHE_ECDSA_WITH_AES_256_GCM_SHA384,
        Suite::EcdsaAes128 => library::TLS_ECDHE_ECDSA_WITH_AES_128_GCM_SHA256,
        Suite::EcdsaChacha20 => library::TLS_ECDHE_ECDSA_WITH_CHACHA20_POLY1305_SHA256,
        Suite::RsaAes256 => library::TLS_ECDHE_RSA_WITH_AES_256_GCM_SHA384,
        Suite::RsaAes128 => library::TLS_ECDHE_RSA_WITH_AES_128_GCM_SHA256,
        Suite::RsaChacha20 => library::TLS_ECDHE_RSA_WITH_CHACHA20_POLY1305_SHA256,
        Suite::Tls13Aes256 => library::TLS13_AES_256_GCM_SHA384,
        Suite::Tls13Aes128 => library::TLS13_AES_128_GCM_SHA256,
        Suite::Tls13Chacha20 => library::TLS13_CHACHA20_POLY1305_SHA256,
    }
}

fn group(curve: Curve) -> &'static dyn SupportedKxGroup {
    match curve {
        Curve::X25519MlKem768 => kx_group::X25519MLKEM768,
        Curve::X25519 => kx_group::X25519,
        Curve::P256 => kx_group::SECP256R1,
        Curve::P384 => kx_group::SECP384R1,
    }
}
