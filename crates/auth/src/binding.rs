//! Channel binding `tls-server-end-point` (RFC 5929): the hash of the server's certificate.

use sha2::{Digest, Sha256, Sha384, Sha512};
use x509_cert::Certificate;
use x509_cert::der::{Decode, oid::ObjectIdentifier};

/// The data that both ends of a TLS connection agree on, if nobody is in between.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct ChannelBinding(Vec<u8>);

enum Hash {
    Sha256,
    Sha384,
    Sha512,
}

impl ChannelBinding {
    /// From the server's certificate, in DER. `None` where the certificate's signature does not
    /// say which hash to use (Ed25519), or the certificate cannot be read.
    pub fn end_point(certificate: &[u8]) -> Option<Self> {
        let parsed = Certificate::from_der(certificate).ok()?;
        let digest = match hash_of(&parsed.signature_algorithm().oid)? {
            Hash::Sha256 => Sha256::digest(certificate).to_vec(),
            Hash::Sha384 => Sha384::digest(certificate).to_vec(),
            Hash::Sha512 => Sha512::digest(certificate).to_vec(),
        };
        Some(Self(digest))
    }

    pub(crate) fn data(&self) -> &[u8] {
        &self.0
    }
}

/// The hash of a signature algorithm; MD5 and SHA-1 are replaced by SHA-256 (RFC 5929, section 4.1).
fn hash_of(oid: &ObjectIdentifier) -> Option<Hash> {
    match oid.to_string().as_str() {
        // md5WithRSA, sha1WithRSA, sha256WithRSA, ecdsa-with-SHA1, ecdsa-with-SHA256
        "1.2.840.113549.1.1.4"
        | "1.2.840.113549.1.1.5"
        | "1.2.840.113549.1.1.11"
        | "1.2.840.10045.4.1"
        | "1.2.840.10045.4.3.2" => Some(Hash::Sha256),
        "1.2.840.113549.1.1.12" | "1.2.840.10045.4.3.3" => Some(Hash::Sha384),
        "1.2.840.113549.1.1.13" | "1.2.840.10045.4.3.4" => Some(Hash::Sha512),
        _ => None,
    }
}
