//! Signatures of the handshake, by keys in certificates that webpki does not read.
//!
//! webpki knows X.509 version 3 only. Where a certificate of version 1 is to be put up with, its
//! owner must still prove to have the key: else whoever saw the certificate could show it, and
//! channel binding (which compares certificates) would notice nothing.

use rustls::client::danger::HandshakeSignatureValid;
use rustls::crypto::WebPkiSupportedAlgorithms;
use rustls::{CertificateError, DigitallySignedStruct, PeerMisbehaved, SignatureScheme};
use rustls_pki_types::{CertificateDer, SignatureVerificationAlgorithm};
use x509_cert::Certificate;
use x509_cert::der::asn1::{AnyRef, ObjectIdentifier, UintRef};
use x509_cert::der::{Decode, Encode, Reader, SliceReader};
use x509_cert::spki::SubjectPublicKeyInfoOwned;

const RSA: ObjectIdentifier = ObjectIdentifier::new_unwrap("1.2.840.113549.1.1.1");

/// Length of an RSA key; `None` for the other kinds.
pub(super) fn rsa_bits(key: &SubjectPublicKeyInfoOwned) -> Option<usize> {
    if key.algorithm.oid != RSA {
        return None;
    }
    // RFC 8017, appendix A.1.1: SEQUENCE { modulus INTEGER, publicExponent INTEGER }.
    let mut reader = SliceReader::new(key.subject_public_key.as_bytes()?).ok()?;
    let modulus = reader.sequence(|inner: &mut SliceReader<'_>| {
        let modulus = UintRef::decode(inner)?;
        UintRef::decode(inner)?;
        Ok::<_, x509_cert::der::Error>(modulus)
    });
    let modulus = modulus.ok()?.as_bytes();
    let first = modulus.first()?;
    Some(modulus.len() * 8 - first.leading_zeros() as usize)
}

/// Checks a signature over a TLS 1.2 handshake, where a scheme leaves the curve open.
pub(super) fn verify_tls12(
    message: &[u8],
    certificate: &CertificateDer<'_>,
    signed: &DigitallySignedStruct,
    known: &WebPkiSupportedAlgorithms,
) -> Result<HandshakeSignatureValid, rustls::Error> {
    verify(
        message,
        certificate,
        signed,
        algorithms(known, signed.scheme)?,
    )
}

/// Checks a signature over a TLS 1.3 handshake, where a scheme names one algorithm (RFC 8446,
/// section 4.2.3), and not those with PKCS #1 padding.
pub(super) fn verify_tls13(
    message: &[u8],
    certificate: &CertificateDer<'_>,
    signed: &DigitallySignedStruct,
    known: &WebPkiSupportedAlgorithms,
) -> Result<HandshakeSignatureValid, rustls::Error> {
    let old = matches!(
        signed.scheme,
        SignatureScheme::RSA_PKCS1_SHA256
            | SignatureScheme::RSA_PKCS1_SHA384
            | SignatureScheme::RSA_PKCS1_SHA512
    );
    if old {
        return Err(PeerMisbehaved::SignedHandshakeWithUnadvertisedSigScheme.into());
    }
    let named = algorithms(known, signed.scheme)?;
    verify(message, certificate, signed, &named[..named.len().min(1)])
}

type Algorithms = &'static [&'static dyn SignatureVerificationAlgorithm];

fn algorithms(
    known: &WebPkiSupportedAlgorithms,
    scheme: SignatureScheme,
) -> Result<Algorithms, rustls::Error> {
    let found = known.mapping.iter().find(|(other, _)| *other == scheme);
    let (_, algorithms) = found.ok_or(PeerMisbehaved::SignedHandshakeWithUnadvertisedSigScheme)?;
    Ok(algorithms)
}

fn verify(
    message: &[u8],
    certificate: &CertificateDer<'_>,
    signed: &DigitallySignedStruct,
    algorithms: Algorithms,
) -> Result<HandshakeSignatureValid, rustls::Error> {
    let bad = |_| rustls::Error::from(CertificateError::BadEncoding);
    let parsed = Certificate::from_der(certificate).map_err(bad)?;
    let key = parsed.tbs_certificate().subject_public_key_info();
    let identifier = key.algorithm.to_der().map_err(bad)?;
    let identifier = AnyRef::from_der(&identifier).map_err(bad)?.value();
    let bytes = key.subject_public_key.as_bytes();
    let bytes = bytes.ok_or(CertificateError::BadEncoding)?;
    let good = algorithms.iter().any(|algorithm| {
        algorithm.public_key_alg_id().as_ref() == identifier
            && algorithm
                .verify_signature(bytes, message, signed.signature())
                .is_ok()
    });
    if good {
        Ok(HandshakeSignatureValid::assertion())
    } else {
        Err(CertificateError::BadSignature.into())
    }
}
