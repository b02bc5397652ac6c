//! What can be wrong with certificates, keys and handshakes, in words that name the remedy.

use std::path::PathBuf;

use rustls::CertificateError;

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
    #[error("{}: {flaw}", .path.display())]
    File {
        /// Which one.
        path: PathBuf,
        /// What is wrong.
        flaw: Flaw,
    },
    /// The same, where it is not known (yet) which file the text is from.
    #[error("{part}: {flaw}")]
    Part {
        /// Which of the texts.
        part: Part,
        /// What is wrong.
        flaw: Flaw,
    },
    /// A setting that another one needs.
    #[error("{0}")]
    Settings(&'static str),
    /// The library does not take the versions or algorithms that are asked for.
    #[error(transparent)]
    Library(#[from] rustls::Error),
    /// A handshake that failed.
    #[error("TLS handshake failed: {}", explain(.0))]
    Handshake(#[source] std::io::Error),
    /// A client that began with TLS at once must name the protocol it means to speak.
    #[error("direct TLS connection without ALPN protocol \"postgresql\"")]
    Alpn,
    /// A host name that no certificate can be compared with.
    #[error("\"{0}\" is no name that a certificate could have")]
    Name(String),
}

/// One of the texts that TLS on one side is made from.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Part {
    /// Our certificate, with its chain.
    Certificate,
    /// The key to it.
    Key,
    /// Those whose certificates are believed.
    Authorities,
}

impl std::fmt::Display for Part {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        f.write_str(match self {
            Self::Certificate => "certificate",
            Self::Key => "key",
            Self::Authorities => "authorities",
        })
    }
}

/// What is wrong with a certificate or key of ours, or with an authority.
#[derive(Debug, Clone, PartialEq, Eq, thiserror::Error)]
pub enum Flaw {
    /// The armour is damaged.
    #[error("not a PEM file: {0}")]
    NotPem(String),
    /// Maybe the file of the key, by mistake.
    #[error("no certificate in it (expected -----BEGIN CERTIFICATE-----)")]
    NoCertificate,
    /// What is inside the armour is not X.509.
    #[error("certificate {0} of the file cannot be read")]
    UnreadableCertificate(usize),
    /// Certificates, but none that could vouch for others.
    #[error("no certificate in it that can be an authority")]
    NoAuthority,
    /// Maybe the file of the certificate, by mistake.
    #[error("no private key in it (expected -----BEGIN PRIVATE KEY-----)")]
    NoKey,
    /// There is nobody to ask for the passphrase.
    #[error(
        "the key is encrypted, which is not supported: decrypt it with `openssl pkey -in KEY -out NEWKEY`"
    )]
    EncryptedKey,
    /// Not RSA, ECDSA or Ed25519, or damaged.
    #[error("the key cannot be used: {0}")]
    UnusableKey(String),
    /// The two files do not belong together.
    #[error("the key is not the one of the certificate")]
    KeyMismatch,
    /// An RSA key that today's TLS does not take.
    #[error("the RSA key has {bits} bits, at least {RSA_BITS_MIN} are needed: make a new one")]
    WeakKey {
        /// Its length.
        bits: usize,
    },
}

/// The shortest RSA key that the library signs and verifies with.
pub(super) const RSA_BITS_MIN: usize = 2048;

/// Why a server's certificate is not believed, where the library has no word for it.
#[derive(Debug, Clone, PartialEq, Eq, thiserror::Error)]
pub(super) enum Rejected {
    #[error(
        "the server's certificate has X.509 version 1, which cannot be verified by its issuer: \
         issue one of version 3 (openssl x509 -req -extfile ...), or put the server's \
         certificate itself into server_tls_ca_file"
    )]
    Version1,
    #[error(
        "the server's certificate is that of an authority (CA:TRUE): put it itself into \
         server_tls_ca_file, or issue one for the server with CA:FALSE"
    )]
    Authority,
    #[error(
        "the server's RSA key has {bits} bits, at least {RSA_BITS_MIN} are needed: give the \
         server a new key"
    )]
    WeakKey { bits: usize },
    #[error("server certificate for {names} does not match host name \"{host}\"")]
    Name { names: String, host: String },
    #[error("the server's certificate has no name in it that could match host name \"{host}\"")]
    Nameless { host: String },
}

impl From<Rejected> for rustls::Error {
    fn from(why: Rejected) -> Self {
        CertificateError::Other(rustls::OtherError(std::sync::Arc::new(why))).into()
    }
}

/// The library's errors come wrapped; those about certificates are told with what to do.
fn explain(error: &std::io::Error) -> String {
    let inner = error.get_ref();
    let Some(tls) = inner.and_then(|inner| inner.downcast_ref::<rustls::Error>()) else {
        return error.to_string();
    };
    let rustls::Error::InvalidCertificate(certificate) = tls else {
        return tls.to_string();
    };
    match certificate {
        CertificateError::Other(other) => other.0.to_string(),
        CertificateError::UnknownIssuer => {
            "certificate is not issued by any of the configured authorities".to_owned()
        }
        CertificateError::Expired | CertificateError::ExpiredContext { .. } => {
            format!("certificate has expired ({certificate})")
        }
        CertificateError::BadSignature => {
            "a signature is wrong, or made with an RSA key of less than 2048 bits".to_owned()
        }
        CertificateError::UnsupportedSignatureAlgorithmContext { .. } => {
            "certificate is signed with an algorithm that is too weak or unknown (SHA-1, say)"
                .to_owned()
        }
        other => format!("invalid certificate: {other}"),
    }
}
