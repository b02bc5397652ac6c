//! Certificates of all kinds, good and bad.

use std::process::Command;

use rcgen::{
    BasicConstraints, CertificateParams, DistinguishedName, DnType, IsCa, Issuer, KeyPair,
    PKCS_ECDSA_P256_SHA256, PKCS_ECDSA_P384_SHA384, SanType, SigningKey, date_time_ymd,
};
use rustls_pki_types::CertificateDer;
use rustls_pki_types::pem::PemObject;
use x509_cert::Certificate;
use x509_cert::der::asn1::BitString;
use x509_cert::der::{Decode, Encode, EncodePem, Header, Tag};

/// A certificate and its key, in PEM.
#[derive(Debug, Clone)]
pub(super) struct Made {
    pub(super) certificate: String,
    pub(super) key: String,
}

/// What a certificate says: a common name, and alternative names.
pub(super) fn params(common: &str, alternatives: &[&str]) -> CertificateParams {
    let mut params = CertificateParams::default();
    params.distinguished_name = DistinguishedName::new();
    if !common.is_empty() {
        params.distinguished_name.push(DnType::CommonName, common);
    }
    params.subject_alt_names = alternatives.iter().map(|name| alternative(name)).collect();
    params
}

fn alternative(name: &str) -> SanType {
    match name.parse() {
        Ok(address) => SanType::IpAddress(address),
        Err(_) => SanType::DnsName(name.try_into().expect("a host name is ASCII")),
    }
}

/// The same, but its time is over.
pub(super) fn expired(mut params: CertificateParams) -> CertificateParams {
    params.not_before = date_time_ymd(2001, 1, 1);
    params.not_after = date_time_ymd(2002, 1, 1);
    params
}

/// The same, but its time is to come.
pub(super) fn not_yet(mut params: CertificateParams) -> CertificateParams {
    params.not_before = date_time_ymd(3001, 1, 1);
    params.not_after = date_time_ymd(3002, 1, 1);
    params
}

pub(super) fn self_signed(params: CertificateParams) -> Made {
    let key = KeyPair::generate().expect("keys can be made");
    let certificate = params.self_signed(&key).expect("certificates can be made");
    Made {
        certificate: certificate.pem(),
        key: key.serialize_pem(),
    }
}

/// One who vouches for others.
pub(super) struct Authority {
    issuer: Issuer<'static, KeyPair>,
    pub(super) certificate: String,
}

impl Authority {
    pub(super) fn new(name: &str) -> Self {
        let mut params = params(name, &[]);
        params.is_ca = IsCa::Ca(BasicConstraints::Unconstrained);
        let key = KeyPair::generate().expect("keys can be made");
        let certificate = params.self_signed(&key).expect("certificates can be made");
        Self {
            certificate: certificate.pem(),
            issuer: Issuer::new(params, key),
        }
    }

    pub(super) fn issue(&self, params: CertificateParams) -> Made {
        let key = KeyPair::generate().expect("keys can be made");
        let certificate = params.signed_by(&key, &self.issuer);
        Made {
            certificate: certificate.expect("certificates can be made").pem(),
            key: key.serialize_pem(),
        }
    }

    /// One in between: its chain is its own certificate.
    pub(super) fn delegate(&self, name: &str) -> Self {
        let mut params = params(name, &[]);
        params.is_ca = IsCa::Ca(BasicConstraints::Unconstrained);
        let key = KeyPair::generate().expect("keys can be made");
        let certificate = params.signed_by(&key, &self.issuer);
        Self {
            certificate: certificate.expect("certificates can be made").pem(),
            issuer: Issuer::new(params, key),
        }
    }

    /// A certificate of X.509 version 1, as `openssl x509 -req` of PostgreSQL's manual makes it.
    pub(super) fn issue_version1(&self, common: &str) -> Made {
        let made = self.issue(params(common, &[]));
        let certificate = version1(&made.certificate, self.issuer.key());
        Made {
            certificate,
            ..made
        }
    }
}

/// Self-signed and of version 1, with keys of several kinds.
pub(super) fn self_signed_version1(common: &str) -> Vec<(&'static str, Made)> {
    let rsa = openssl_key(&["-algorithm", "RSA", "-pkeyopt", "rsa_keygen_bits:2048"]);
    let rsa = KeyPair::from_pem(&rsa).expect("OpenSSL's keys can be read");
    let generate = |algorithm| KeyPair::generate_for(algorithm).expect("keys can be made");
    let keys = [
        ("P-256", generate(&PKCS_ECDSA_P256_SHA256)),
        ("P-384", generate(&PKCS_ECDSA_P384_SHA384)),
        ("RSA", rsa),
    ];
    let make = |(kind, key): (&'static str, KeyPair)| {
        let full = params(common, &[]).self_signed(&key);
        let certificate = version1(&full.expect("certificates can be made").pem(), &key);
        let key = key.serialize_pem();
        (kind, Made { certificate, key })
    };
    keys.into_iter().map(make).collect()
}

/// Leaves out what version 1 does not have (version and extensions), and signs again.
fn version1(pem: &str, issuer: &KeyPair) -> String {
    let der = CertificateDer::from_pem_slice(pem.as_bytes()).expect("rcgen writes PEM");
    let full = Certificate::from_der(&der).expect("rcgen writes X.509");
    let old = full.tbs_certificate();
    let fields = [
        old.serial_number().to_der(),
        old.signature().to_der(),
        old.issuer().to_der(),
        old.validity().to_der(),
        old.subject().to_der(),
        old.subject_public_key_info().to_der(),
    ];
    let body = sequence(fields.into_iter().map(|field| field.expect("was read")));
    let signature = issuer.sign(&body).expect("keys can sign");
    let signature = BitString::from_bytes(&signature).expect("is short");
    let algorithm = full.signature_algorithm().to_der().expect("was read");
    let signature = signature.to_der().expect("is short");
    let all = sequence([body, algorithm, signature].into_iter());
    let new = Certificate::from_der(&all).expect("was put together by the rules");
    new.to_pem(Default::default()).expect("can be written")
}

fn sequence(fields: impl Iterator<Item = Vec<u8>>) -> Vec<u8> {
    let body: Vec<u8> = fields.flatten().collect();
    let length = body.len().try_into().expect("is short");
    let header = Header::new(Tag::Sequence, length);
    let mut all = header.to_der().expect("is short");
    all.extend(body);
    all
}

/// The recipe of PostgreSQL's manual (ssl-tcp, Creating Certificates): its own authority.
pub(super) fn of_the_manual(common: &str, kind: &str) -> Made {
    let dir = tempfile::tempdir().expect("there is room for files");
    let subject = format!("/CN={common}");
    let arguments = ["req", "-new", "-x509", "-days", "365", "-nodes", "-text"];
    let files = ["-out", "server.crt", "-keyout", "server.key"];
    let rest = ["-newkey", kind, "-subj", &subject];
    openssl(dir.path(), &[&arguments[..], &files, &rest].concat());
    let read = |name| std::fs::read_to_string(dir.path().join(name)).expect("was written");
    Made {
        certificate: read("server.crt"),
        key: read("server.key"),
    }
}

/// A key as `openssl genpkey` writes it.
pub(super) fn openssl_key(arguments: &[&str]) -> String {
    let dir = tempfile::tempdir().expect("there is room for files");
    let all = [&["genpkey", "-out", "key"], arguments].concat();
    openssl(dir.path(), &all);
    std::fs::read_to_string(dir.path().join("key")).expect("was written")
}

fn openssl(dir: &std::path::Path, arguments: &[&str]) {
    let mut command = Command::new("openssl");
    let output = command.args(arguments).current_dir(dir).output();
    let output = output.expect("these tests need the program openssl");
    let said = String::from_utf8_lossy(&output.stderr);
    assert!(output.status.success(), "openssl {arguments:?}: {said}");
}
