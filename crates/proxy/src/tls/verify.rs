//! Whose certificate is believed: libpq's `sslmode`, on top of webpki.
//!
//! webpki is stricter than OpenSSL: it refuses a certificate that is its own authority (the recipe
//! of PostgreSQL's manual), and does not look at the common name. Both are made up for here.

use std::net::IpAddr;
use std::sync::Arc;

use pgweir_config::SslMode;
use rustls::client::WebPkiServerVerifier;
use rustls::client::danger::{HandshakeSignatureValid, ServerCertVerified, ServerCertVerifier};
use rustls::crypto::{CryptoProvider, verify_tls12_signature, verify_tls13_signature};
use rustls::{CertificateError, DigitallySignedStruct, RootCertStore, SignatureScheme};
use rustls_pki_types::{CertificateDer, ServerName, UnixTime};
use x509_cert::Certificate;
use x509_cert::der::Decode;
use x509_cert::der::asn1::{Ia5StringRef, PrintableStringRef, Utf8StringRef};
use x509_cert::der::oid::ObjectIdentifier;
use x509_cert::ext::pkix::SubjectAltName;
use x509_cert::ext::pkix::name::GeneralName;

const COMMON_NAME: ObjectIdentifier = ObjectIdentifier::new_unwrap("2.5.4.3");

/// See the module.
#[derive(Debug)]
pub struct ServerVerifier {
    mode: SslMode,
    /// Checks chains; none where the mode does not ask for it.
    chain: Option<Arc<WebPkiServerVerifier>>,
    roots: Vec<CertificateDer<'static>>,
    provider: Arc<CryptoProvider>,
}

impl ServerVerifier {
    /// For a mode, with these authorities.
    ///
    /// # Errors
    /// When the mode asks for a chain and there is no authority that could begin one.
    pub fn new(
        mode: SslMode,
        roots: &[CertificateDer<'static>],
        provider: Arc<CryptoProvider>,
    ) -> Result<Self, super::Error> {
        let chain = if mode.verifies() {
            let mut store = RootCertStore::empty();
            // A self-signed X.509 v1 root is no authority to webpki, but can still be believed as
            // it is (below).
            store.add_parsable_certificates(roots.iter().cloned());
            if roots.is_empty() {
                return Err(super::Error::Settings(
                    "server_tls_sslmode verify-ca and verify-full need server_tls_ca_file, or authorities of the system",
                ));
            }
            let built =
                WebPkiServerVerifier::builder_with_provider(Arc::new(store), Arc::clone(&provider))
                    .build();
            built.ok()
        } else {
            None
        };
        Ok(Self {
            mode,
            chain,
            roots: roots.to_vec(),
            provider,
        })
    }

    fn check_chain(
        &self,
        leaf: &CertificateDer<'_>,
        others: &[CertificateDer<'_>],
        name: &ServerName<'_>,
        now: UnixTime,
    ) -> Result<(), rustls::Error> {
        if self.roots.iter().any(|root| root == leaf) {
            return check_dates(leaf, now);
        }
        let unknown = || rustls::Error::InvalidCertificate(CertificateError::UnknownIssuer);
        let chain = self.chain.as_ref().ok_or_else(unknown)?;
        match chain.verify_server_cert(leaf, others, name, &[], now) {
            Ok(_) => Ok(()),
            // The chain was good: the name is judged here, by libpq's rules.
            Err(rustls::Error::InvalidCertificate(
                CertificateError::NotValidForName | CertificateError::NotValidForNameContext { .. },
            )) => Ok(()),
            Err(error) => Err(error),
        }
    }
}

impl ServerCertVerifier for ServerVerifier {
    fn verify_server_cert(
        &self,
        leaf: &CertificateDer<'_>,
        others: &[CertificateDer<'_>],
        name: &ServerName<'_>,
        _ocsp: &[u8],
        now: UnixTime,
    ) -> Result<ServerCertVerified, rustls::Error> {
        if self.mode.verifies() {
            self.check_chain(leaf, others, name, now)?;
        }
        if self.mode == SslMode::VerifyFull {
            check_name(leaf, name)?;
        }
        Ok(ServerCertVerified::assertion())
    }

    fn verify_tls12_signature(
        &self,
        message: &[u8],
        certificate: &CertificateDer<'_>,
        signature: &DigitallySignedStruct,
    ) -> Result<HandshakeSignatureValid, rustls::Error> {
        let algorithms = &self.provider.signature_verification_algorithms;
        lenient(
            self.mode,
            certificate,
            verify_tls12_signature(message, certificate, signature, algorithms),
        )
    }

    fn verify_tls13_signature(
        &self,
        message: &[u8],
        certificate: &CertificateDer<'_>,
        signature: &DigitallySignedStruct,
    ) -> Result<HandshakeSignatureValid, rustls::Error> {
        let algorithms = &self.provider.signature_verification_algorithms;
        lenient(
            self.mode,
            certificate,
            verify_tls13_signature(message, certificate, signature, algorithms),
        )
    }

    fn supported_verify_schemes(&self) -> Vec<SignatureScheme> {
        self.provider
            .signature_verification_algorithms
            .supported_schemes()
    }
}

/// webpki reads no X.509 v1 certificate, so it cannot check a signature made with one. Where the
/// certificate is not looked at anyway (require and below), nothing is lost by letting it pass.
fn lenient(
    mode: SslMode,
    certificate: &CertificateDer<'_>,
    result: Result<HandshakeSignatureValid, rustls::Error>,
) -> Result<HandshakeSignatureValid, rustls::Error> {
    match result {
        Err(_)
            if !mode.verifies()
                && rustls::server::ParsedCertificate::try_from(certificate).is_err() =>
        {
            Ok(HandshakeSignatureValid::assertion())
        }
        other => other,
    }
}

fn other(what: &str) -> rustls::Error {
    rustls::Error::General(what.to_owned())
}

fn parse(certificate: &CertificateDer<'_>) -> Result<Certificate, rustls::Error> {
    Certificate::from_der(certificate)
        .map_err(|_| rustls::Error::InvalidCertificate(CertificateError::BadEncoding))
}

fn check_dates(certificate: &CertificateDer<'_>, now: UnixTime) -> Result<(), rustls::Error> {
    let parsed = parse(certificate)?;
    let validity = parsed.tbs_certificate().validity();
    let seconds = |time: &x509_cert::time::Time| time.to_unix_duration().as_secs();
    if now.as_secs() < seconds(&validity.not_before) {
        return Err(rustls::Error::InvalidCertificate(
            CertificateError::NotValidYet,
        ));
    }
    if now.as_secs() > seconds(&validity.not_after) {
        return Err(rustls::Error::InvalidCertificate(CertificateError::Expired));
    }
    Ok(())
}

/// libpq's rules (libpq-ssl): the alternative names count; without any of the kind that is asked
/// for, the common name does.
fn check_name(
    certificate: &CertificateDer<'_>,
    name: &ServerName<'_>,
) -> Result<(), rustls::Error> {
    let parsed = parse(certificate)?;
    let names = alternative_names(&parsed)?;
    let common = common_name(&parsed);
    let address: Option<IpAddr> = match name {
        ServerName::IpAddress(address) => Some((*address).into()),
        _ => None,
    };
    let wanted = name.to_str();
    let by_name = names.iter().any(|other| match other {
        GeneralName::DnsName(pattern) => matches_pattern(pattern.as_str(), &wanted),
        GeneralName::IpAddress(bytes) => {
            address.is_some_and(|address| is_address(bytes.as_bytes(), address))
        }
        _ => false,
    });
    let has_names = names.iter().any(|other| match other {
        GeneralName::DnsName(_) => true,
        GeneralName::IpAddress(_) => address.is_some(),
        _ => false,
    });
    let by_common = !has_names
        && common
            .as_deref()
            .is_some_and(|common| matches_pattern(common, &wanted));
    if by_name || by_common {
        return Ok(());
    }
    Err(other(&format!(
        "server certificate is for \"{}\", not for host name \"{wanted}\"",
        common.unwrap_or_else(|| "other names".to_owned())
    )))
}

fn alternative_names(certificate: &Certificate) -> Result<Vec<GeneralName>, rustls::Error> {
    let bad = |_| rustls::Error::InvalidCertificate(CertificateError::BadEncoding);
    let found = certificate
        .tbs_certificate()
        .get_extension::<SubjectAltName>()
        .map_err(bad)?;
    Ok(found.map(|(_, names)| names.0).unwrap_or_default())
}

fn common_name(certificate: &Certificate) -> Option<String> {
    let subject = certificate.tbs_certificate().subject();
    let attributes = subject.iter_rdn().flat_map(|names| names.iter());
    let value = &attributes
        .filter(|attribute| attribute.oid == COMMON_NAME)
        .last()?
        .value;
    let utf8 = value
        .decode_as::<Utf8StringRef<'_>>()
        .map(|text| text.as_str().to_owned());
    let printable = || {
        value
            .decode_as::<PrintableStringRef<'_>>()
            .map(|text| text.as_str().to_owned())
    };
    let ia5 = || {
        value
            .decode_as::<Ia5StringRef<'_>>()
            .map(|text| text.as_str().to_owned())
    };
    utf8.or_else(|_| printable()).or_else(|_| ia5()).ok()
}

fn is_address(bytes: &[u8], address: IpAddr) -> bool {
    match address {
        IpAddr::V4(address) => bytes == address.octets(),
        IpAddr::V6(address) => bytes == address.octets(),
    }
}

/// A wildcard stands for the whole first label, and only for one (RFC 6125, as libpq has it).
fn matches_pattern(pattern: &str, name: &str) -> bool {
    if pattern.eq_ignore_ascii_case(name) {
        return true;
    }
    match (pattern.strip_prefix("*."), name.split_once('.')) {
        (Some(rest), Some((label, other))) => !label.is_empty() && rest.eq_ignore_ascii_case(other),
        _ => false,
    }
}
