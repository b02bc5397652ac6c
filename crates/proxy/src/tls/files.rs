//! Certificates and keys in PEM, and the files that they are read from.

use std::hash::{DefaultHasher, Hash, Hasher};
use std::path::Path;
use std::sync::Arc;

use pgweir_config::Settings;
use rustls::crypto::CryptoProvider;
use rustls::sign::{CertifiedKey, SingleCertAndKey};
use rustls_pki_types::pem::PemObject;
use rustls_pki_types::{CertificateDer, PrivateKeyDer};
use x509_cert::Certificate;
use x509_cert::der::{Decode, Encode};

use super::error::{Error, Flaw, Part, RSA_BITS_MIN};
use super::key::rsa_bits;

/// Reads a file, and names it in the error.
pub(super) fn read(path: &Path) -> Result<Vec<u8>, Error> {
    let whose = |source| Error::Read {
        path: path.to_owned(),
        source,
    };
    std::fs::read(path).map_err(whose)
}

/// Tells one state of the files that the settings name from another.
pub(super) fn print(settings: &Settings) -> u64 {
    let paths = [
        &settings.client_tls_cert_file,
        &settings.client_tls_key_file,
        &settings.client_tls_ca_file,
        &settings.server_tls_cert_file,
        &settings.server_tls_key_file,
        &settings.server_tls_ca_file,
    ];
    let mut hasher = DefaultHasher::new();
    for path in paths.into_iter().flatten() {
        std::fs::read(path).ok().hash(&mut hasher);
    }
    hasher.finish()
}

pub(super) fn flaw(part: Part, flaw: Flaw) -> Error {
    Error::Part { part, flaw }
}

/// All certificates of a text, at least one. The others in it (keys, comments) are passed over.
pub(super) fn certificates(pem: &[u8], part: Part) -> Result<Vec<CertificateDer<'static>>, Error> {
    let all: Result<Vec<_>, _> = CertificateDer::pem_slice_iter(pem).collect();
    let all = all.map_err(|error| flaw(part, Flaw::NotPem(error.to_string())))?;
    if all.is_empty() {
        return Err(flaw(part, Flaw::NoCertificate));
    }
    Ok(all)
}

/// A certificate with its chain and the key to it, which has been compared with it.
///
/// The certificate may be of X.509 version 1, as OpenSSL makes them by PostgreSQL's manual:
/// whether to believe it is for the other side to decide.
pub(super) fn identity(
    certificate_pem: &[u8],
    key_pem: &[u8],
    provider: &CryptoProvider,
) -> Result<Identity, Error> {
    let chain = certificates(certificate_pem, Part::Certificate)?;
    let leaf = chain[0].clone();
    let unreadable = |_| flaw(Part::Certificate, Flaw::UnreadableCertificate(1));
    let parsed = Certificate::from_der(&leaf).map_err(unreadable)?;
    let public = parsed.tbs_certificate().subject_public_key_info();
    if let Some(bits) = rsa_bits(public).filter(|bits| *bits < RSA_BITS_MIN) {
        return Err(flaw(Part::Certificate, Flaw::WeakKey { bits }));
    }
    let key = PrivateKeyDer::from_pem_slice(key_pem).map_err(|_| {
        let encrypted = key_pem.windows(9).any(|window| window == b"ENCRYPTED");
        let what = if encrypted {
            Flaw::EncryptedKey
        } else {
            Flaw::NoKey
        };
        flaw(Part::Key, what)
    })?;
    let key = provider.key_provider.load_private_key(key);
    let key = key.map_err(|error| flaw(Part::Key, Flaw::UnusableKey(error.to_string())))?;
    let public = public.to_der().map_err(unreadable)?;
    if key.public_key().is_some_and(|own| own.as_ref() != public) {
        return Err(flaw(Part::Key, Flaw::KeyMismatch));
    }
    let both = Arc::new(SingleCertAndKey::from(CertifiedKey::new(chain, key)));
    Ok(Identity { leaf, both })
}

/// See [`identity`].
#[derive(Debug, Clone)]
pub(super) struct Identity {
    pub(super) leaf: CertificateDer<'static>,
    /// The chain and the key. The library prints nothing of the key.
    pub(super) both: Arc<SingleCertAndKey>,
}

/// The authorities that the system trusts; those that cannot be read are left out.
pub(super) fn system_authorities() -> Vec<CertificateDer<'static>> {
    let found = rustls_native_certs::load_native_certs();
    for error in &found.errors {
        tracing::warn!(%error, "a certificate of the system cannot be read");
    }
    found.certs
}
