//! Certificates and keys from PEM files.

use std::path::Path;

use rustls_pki_types::pem::PemObject;
use rustls_pki_types::{CertificateDer, PrivateKeyDer};

use super::Error;

/// A certificate with its chain, and the key to it.
#[derive(Debug)]
pub struct Identity {
    /// The certificate first, then those that vouch for it.
    pub chain: Vec<CertificateDer<'static>>,
    /// Never printed: the library's `Debug` leaves it out.
    pub key: PrivateKeyDer<'static>,
}

fn read(path: &Path) -> Result<Vec<u8>, Error> {
    std::fs::read(path).map_err(|source| Error::Read {
        path: path.to_owned(),
        source,
    })
}

fn mistake(path: &Path, what: impl Into<String>) -> Error {
    Error::File {
        path: path.to_owned(),
        what: what.into(),
    }
}

/// All certificates of a file.
///
/// # Errors
/// When it cannot be read, or has none.
pub fn certificates(path: &Path) -> Result<Vec<CertificateDer<'static>>, Error> {
    let text = read(path)?;
    let all: Result<Vec<_>, _> = CertificateDer::pem_slice_iter(&text).collect();
    let all = all.map_err(|error| mistake(path, format!("not a PEM file: {error}")))?;
    if all.is_empty() {
        return Err(mistake(
            path,
            "no certificate in it (expected -----BEGIN CERTIFICATE-----)",
        ));
    }
    Ok(all)
}

/// A certificate and its key.
///
/// # Errors
/// When one of the files cannot be read, or does not hold what it should.
pub fn identity(certificate: &Path, key: &Path) -> Result<Identity, Error> {
    let chain = certificates(certificate)?;
    let text = read(key)?;
    let key = PrivateKeyDer::from_pem_slice(&text).map_err(|_| {
        let encrypted = text.windows(9).any(|window| window == b"ENCRYPTED");
        mistake(
            key,
            if encrypted {
                "the key is encrypted, which is not supported: decrypt it with `openssl pkey -in KEY -out NEWKEY`"
            } else {
                "no private key in it (expected -----BEGIN PRIVATE KEY-----)"
            },
        )
    })?;
    Ok(Identity { chain, key })
}

/// The authorities that the system trusts; those that cannot be read are left out.
pub(super) fn system_authorities() -> Vec<CertificateDer<'static>> {
    let found = rustls_native_certs::load_native_certs();
    for error in &found.errors {
        tracing::warn!(%error, "a certificate of the system cannot be read");
    }
    found.certs
}
