//! Whose certificate is believed: libpq's `sslmode`, on top of webpki.
//!
//! webpki is stricter than OpenSSL: it refuses a certificate that is its own authority (the recipe
//! of PostgreSQL's manual), and does not look at the common name. Both are made up for here; what
//! is still refused is refused with a remedy.

use std::sync::Arc;

use rustls::client::danger::{HandshakeSignatureValid, ServerCertVerified, ServerCertVerifier};
use rustls::client::verify_server_cert_signed_by_trust_anchor;
use rustls::crypto::{CryptoProvider, verify_tls12_signature, verify_tls13_signature};
use rustls::server::ParsedCertificate;
use rustls::{CertificateError, DigitallySignedStruct, RootCertStore, SignatureScheme};
use rustls_pki_types::{CertificateDer, ServerName, UnixTime};
use x509_cert::Certificate;
use x509_cert::certificate::Version;
use x509_cert::der::Decode;
use x509_cert::ext::pkix::BasicConstraints;

use super::error::{Error, Flaw, Part, RSA_BITS_MIN, Rejected};
use super::{files, key, name};

/// Those that may vouch for a server.
#[derive(Debug)]
pub(super) struct Authorities {
    /// As they are: a server may show one of them as its own.
    certificates: Vec<CertificateDer<'static>>,
    /// The same, as the beginnings of chains.
    store: RootCertStore,
}

impl Authorities {
    /// From a text. A certificate that webpki can begin no chain with is still believed as it is.
    pub(super) fn from_pem(pem: &[u8]) -> Result<Self, Error> {
        let certificates = files::certificates(pem, Part::Authorities)?;
        let mut store = RootCertStore::empty();
        for (at, certificate) in certificates.iter().enumerate() {
            if store.add(certificate.clone()).is_err()
                && Certificate::from_der(certificate).is_err()
            {
                let flaw = Flaw::UnreadableCertificate(at + 1);
                return Err(files::flaw(Part::Authorities, flaw));
            }
        }
        Ok(Self {
            certificates,
            store,
        })
    }

    /// Those of the system. The ones that nothing can be done with are left out.
    pub(super) fn of_system() -> Result<Self, Error> {
        let certificates = files::system_authorities();
        let mut store = RootCertStore::empty();
        store.add_parsable_certificates(certificates.iter().cloned());
        if store.is_empty() {
            return Err(Error::Settings(
                "server_tls_sslmode verify-full needs server_tls_ca_file: the system has no \
                 authorities",
            ));
        }
        Ok(Self {
            certificates,
            store,
        })
    }

    /// Nobody, for where nothing is checked.
    pub(super) fn none() -> Self {
        Self {
            certificates: Vec::new(),
            store: RootCertStore::empty(),
        }
    }

    /// For webpki's verification of clients, at least one.
    pub(super) fn into_store(self) -> Result<RootCertStore, Error> {
        if self.store.is_empty() {
            return Err(files::flaw(Part::Authorities, Flaw::NoAuthority));
        }
        Ok(self.store)
    }
}

/// How much of a certificate is checked. That its owner has the key always is.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(super) enum Depth {
    /// Nothing.
    None,
    /// Who vouches for it.
    Chain,
    /// Also whether it is for this host.
    ChainAndName,
}

/// See the module.
#[derive(Debug)]
pub(super) struct ServerVerifier {
    pub(super) depth: Depth,
    /// Not asked where nothing is checked.
    pub(super) authorities: Arc<Authorities>,
    pub(super) provider: Arc<CryptoProvider>,
}

impl ServerVerifier {
    fn check_chain(
        &self,
        leaf: &CertificateDer<'_>,
        parsed: &Certificate,
        others: &[CertificateDer<'_>],
        now: UnixTime,
    ) -> Result<(), rustls::Error> {
        if self.authorities.certificates.iter().any(|own| own == leaf) {
            return check_dates(parsed, now);
        }
        if parsed.tbs_certificate().version() == Version::V1 {
            return Err(Rejected::Version1.into());
        }
        let algorithms = self.provider.signature_verification_algorithms.all;
        let store = &self.authorities.store;
        let end = ParsedCertificate::try_from(leaf)?;
        let result =
            verify_server_cert_signed_by_trust_anchor(&end, store, others, now, algorithms);
        match result {
            Err(rustls::Error::InvalidCertificate(CertificateError::Other(_)))
                if is_authority(parsed) =>
            {
                Err(Rejected::Authority.into())
            }
            other => other,
        }
    }
}

impl ServerCertVerifier for ServerVerifier {
    fn verify_server_cert(
        &self,
        leaf: &CertificateDer<'_>,
        others: &[CertificateDer<'_>],
        host: &ServerName<'_>,
        _ocsp: &[u8],
        now: UnixTime,
    ) -> Result<ServerCertVerified, rustls::Error> {
        let parsed = Certificate::from_der(leaf).map_err(|_| CertificateError::BadEncoding)?;
        // In every mode: with such a key the signature below could not be checked either, and
        // what would be said then helps nobody.
        let bits = key::rsa_bits(parsed.tbs_certificate().subject_public_key_info());
        if let Some(bits) = bits.filter(|bits| *bits < RSA_BITS_MIN) {
            return Err(Rejected::WeakKey { bits }.into());
        }
        if self.depth != Depth::None {
            self.check_chain(leaf, &parsed, others, now)?;
        }
        if self.depth == Depth::ChainAndName {
            name::check(&parsed, host)?;
        }
        Ok(ServerCertVerified::assertion())
    }

    fn verify_tls12_signature(
        &self,
        message: &[u8],
        leaf: &CertificateDer<'_>,
        signed: &DigitallySignedStruct,
    ) -> Result<HandshakeSignatureValid, rustls::Error> {
        let known = &self.provider.signature_verification_algorithms;
        if ParsedCertificate::try_from(leaf).is_ok() {
            verify_tls12_signature(message, leaf, signed, known)
        } else {
            key::verify_tls12(message, leaf, signed, known)
        }
    }

    fn verify_tls13_signature(
        &self,
        message: &[u8],
        leaf: &CertificateDer<'_>,
        signed: &DigitallySignedStruct,
    ) -> Result<HandshakeSignatureValid, rustls::Error> {
        let known = &self.provider.signature_verification_algorithms;
        if ParsedCertificate::try_from(leaf).is_ok() {
            verify_tls13_signature(message, leaf, signed, known)
        } else {
            key::verify_tls13(message, leaf, signed, known)
        }
    }

    fn supported_verify_schemes(&self) -> Vec<SignatureScheme> {
        let known = &self.provider.signature_verification_algorithms;
        known.supported_schemes()
    }
}

fn is_authority(certificate: &Certificate) -> bool {
    let extension = certificate.tbs_certificate().get_extension();
    let found: Result<Option<(bool, BasicConstraints)>, _> = extension;
    matches!(found, Ok(Some((_, constraints))) if constraints.ca)
}

fn check_dates(certificate: &Certificate, now: UnixTime) -> Result<(), rustls::Error> {
    let validity = certificate.tbs_certificate().validity();
    let at = |time: &x509_cert::time::Time| UnixTime::since_unix_epoch(time.to_unix_duration());
    let (not_before, not_after) = (at(&validity.not_before), at(&validity.not_after));
    if now < not_before {
        let time = now;
        return Err(CertificateError::NotValidYetContext { time, not_before }.into());
    }
    if now > not_after {
        let time = now;
        return Err(CertificateError::ExpiredContext { time, not_after }.into());
    }
    Ok(())
}
