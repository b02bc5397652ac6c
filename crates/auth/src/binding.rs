//! What ties a login to its TLS connection: `tls-server-end-point` (RFC 5929, section 4).

use sha2::{Digest, Sha224, Sha256, Sha384, Sha512};
use x509_cert::der::asn1::{AnyRef, ContextSpecific};
use x509_cert::der::oid::ObjectIdentifier;
use x509_cert::der::{Decode, Reader, Result, SliceReader, TagNumber};
use x509_cert::spki::AlgorithmIdentifierRef;

/// The data that both ends of a TLS connection agree on, if nobody is in between: a digest of the
/// server's certificate, 28 to 64 bytes.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct ChannelBinding(Vec<u8>);

impl ChannelBinding {
    /// Makes the binding to a server's certificate, given in DER.
    ///
    /// `None` if the certificate's signature algorithm leaves open what to hash with (Ed25519 does), is
    /// unknown, or cannot be read: then SCRAM-SHA-256-PLUS must not be offered.
    #[must_use]
    pub fn end_point(certificate_der: &[u8]) -> Option<ChannelBinding> {
        let digest = match hash(signature_algorithm(certificate_der).ok()?)? {
            Hash::Sha224 => Sha224::digest(certificate_der).to_vec(),
            Hash::Sha256 => Sha256::digest(certificate_der).to_vec(),
            Hash::Sha384 => Sha384::digest(certificate_der).to_vec(),
            Hash::Sha512 => Sha512::digest(certificate_der).to_vec(),
        };
        Some(ChannelBinding(digest))
    }

    pub(crate) fn data(&self) -> &[u8] {
        &self.0
    }
}

#[derive(Debug, Clone, Copy, PartialEq, Eq)]
enum Hash {
    Sha224,
    Sha256,
    Sha384,
    Sha512,
}

const RSASSA_PSS: &str = "1.2.840.113549.1.1.10";

/// Signature and digest algorithms, and what to hash a certificate with that bears them.
const HASHES: &[(&str, Hash)] = &[
    // MD5 and SHA-1 are too weak: RFC 5929 takes SHA-256 in their place.
    ("1.2.840.113549.1.1.4", Hash::Sha256), // md5WithRSAEncryption
    ("1.2.840.113549.1.1.5", Hash::Sha256), // sha1WithRSAEncryption
    ("1.2.840.10045.4.1", Hash::Sha256),    // ecdsa-with-SHA1
    ("1.2.840.10040.4.3", Hash::Sha256),    // dsa-with-sha1
    ("1.3.14.3.2.26", Hash::Sha256),        // sha1
    ("1.2.840.113549.1.1.14", Hash::Sha224), // sha224WithRSAEncryption
    ("1.2.840.113549.1.1.11", Hash::Sha256), // sha256WithRSAEncryption
    ("1.2.840.113549.1.1.12", Hash::Sha384), // sha384WithRSAEncryption
    ("1.2.840.113549.1.1.13", Hash::Sha512), // sha512WithRSAEncryption
    ("1.2.840.10045.4.3.1", Hash::Sha224),  // ecdsa-with-SHA224
    ("1.2.840.10045.4.3.2", Hash::Sha256),  // ecdsa-with-SHA256
    ("1.2.840.10045.4.3.3", Hash::Sha384),  // ecdsa-with-SHA384
    ("1.2.840.10045.4.3.4", Hash::Sha512),  // ecdsa-with-SHA512
    ("2.16.840.1.101.3.4.3.1", Hash::Sha224), // dsa-with-sha224
    ("2.16.840.1.101.3.4.3.2", Hash::Sha256), // dsa-with-sha256
    ("2.16.840.1.101.3.4.2.4", Hash::Sha224), // sha224
    ("2.16.840.1.101.3.4.2.1", Hash::Sha256), // sha256
    ("2.16.840.1.101.3.4.2.2", Hash::Sha384), // sha384
    ("2.16.840.1.101.3.4.2.3", Hash::Sha512), // sha512
];

fn hash(algorithm: AlgorithmIdentifierRef<'_>) -> Option<Hash> {
    let of = |oid: ObjectIdentifier| {
        HASHES
            .iter()
            .find(|(name, _)| ObjectIdentifier::new(name) == Ok(oid))
            .map(|entry| entry.1)
    };
    if ObjectIdentifier::new(RSASSA_PSS) == Ok(algorithm.oid) {
        return of(pss_digest(algorithm.parameters?).ok()?);
    }
    of(algorithm.oid)
}

/// Reads Certificate (RFC 5280, section 4.1) no further than needed.
///
/// TLS has judged the certificate already, by other rules than a whole parser here would.
fn signature_algorithm(certificate: &[u8]) -> Result<AlgorithmIdentifierRef<'_>> {
    let mut reader = SliceReader::new(certificate)?;
    let algorithm = reader.sequence(|reader| -> Result<_> {
        AnyRef::decode(reader)?;
        let algorithm = AlgorithmIdentifierRef::decode(reader)?;
        AnyRef::decode(reader)?;
        Ok(algorithm)
    })?;
    reader.finish()?;
    Ok(algorithm)
}

/// Reads the digest from RSASSA-PSS-params (RFC 4055, section 3.1); without one it is SHA-1.
fn pss_digest(parameters: AnyRef<'_>) -> Result<ObjectIdentifier> {
    parameters.sequence(|reader| {
        type Digest<'a> = ContextSpecific<AlgorithmIdentifierRef<'a>>;
        let digest = Digest::decode_explicit(reader, TagNumber(0))?;
        while !reader.is_finished() {
            AnyRef::decode(reader)?;
        }
        let sha1 = ObjectIdentifier::new_unwrap("1.3.14.3.2.26");
        Ok(digest.map_or(sha1, |digest| digest.value.oid))
    })
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn the_signature_algorithm_names_the_hash() {
        check(
            include_bytes!("../tests/data/certificate.der"),
            Some(Hash::Sha256),
        );
        check(
            include_bytes!("../tests/data/rsa_sha1.der"),
            Some(Hash::Sha256),
        );
        check(
            include_bytes!("../tests/data/rsa_pss_sha1.der"),
            Some(Hash::Sha256),
        );
        check(
            include_bytes!("../tests/data/rsa_pss_sha384.der"),
            Some(Hash::Sha384),
        );
        check(
            include_bytes!("../tests/data/ecdsa_sha224.der"),
            Some(Hash::Sha224),
        );
        check(
            include_bytes!("../tests/data/ecdsa_sha384.der"),
            Some(Hash::Sha384),
        );
        check(
            include_bytes!("../tests/data/ecdsa_sha512.der"),
            Some(Hash::Sha512),
        );
        check(include_bytes!("../tests/data/ed25519.der"), None);
    }

    fn check(certificate: &[u8], expected: Option<Hash>) {
        let found = signature_algorithm(certificate).ok().and_then(hash);
        assert_eq!(found, expected);
        let len = ChannelBinding::end_point(certificate).map(|binding| binding.0.len());
        let len_of = |hash| match hash {
            Hash::Sha224 => 28,
            Hash::Sha256 => 32,
            Hash::Sha384 => 48,
            Hash::Sha512 => 64,
        };
        assert_eq!(len, expected.map(len_of));
    }

    #[test]
    fn what_is_no_certificate_binds_nothing() {
        let certificate = include_bytes!("../tests/data/rsa_pss_sha384.der");
        for len in 0..certificate.len() {
            assert_eq!(ChannelBinding::end_point(&certificate[..len]), None);
        }
        assert_eq!(
            ChannelBinding::end_point(&[&certificate[..], b"x"].concat()),
            None
        );
        // Whatever byte is wrong, it is an answer and no panic.
        for at in 0..certificate.len() {
            let mut other = certificate.to_vec();
            other[at] ^= 0xff;
            let _ = ChannelBinding::end_point(&other);
        }
    }
}
