//! Which servers are believed.

use std::sync::Arc;

use rustls::ServerConfig;
use rustls::sign::{CertifiedKey, SingleCertAndKey};
use rustls_pki_types::pem::PemObject;
use rustls_pki_types::{CertificateDer, PrivateKeyDer};
use tokio_rustls::TlsAcceptor;

use super::recipes::{
    Authority, Made, expired, not_yet, of_the_manual, params, self_signed, self_signed_version1,
};
use super::{ALL_MODES, PIPE_BYTES, acceptor, connector, everything, expect, shake};
use crate::tls::{Connector, Error, peer_certificate, provider};
use pgweir_config::SslMode::{self, Allow, Disable, Prefer, Require, VerifyCa, VerifyFull};

const HOST: &str = "db.example.com";

async fn check(
    case: &str,
    made: &Made,
    authorities: Option<&str>,
    mode: SslMode,
    host: &str,
    error: Option<&str>,
) {
    let acceptor = acceptor(made, "secure");
    let shaken = shake(&acceptor, &connector(authorities), mode, host).await;
    expect(shaken.client, error, &format!("{case}, {mode}, {host}"));
}

#[tokio::test]
async fn t1_modes_check_what_libpq_checks() {
    let authority = Authority::new("authority");
    let known = Some(&authority.certificate[..]);
    let stranger = Authority::new("stranger");
    let good = authority.issue(params("", &[HOST, "127.0.0.1"]));
    let unknown = stranger.issue(params("", &[HOST]));
    let issuer = Some("not issued by any of the configured authorities");
    let name = Some("server certificate for \"db.example.com\" (and 1 other name) does not match");
    for mode in [Disable, Allow, Prefer] {
        check("unknown", &unknown, None, mode, "any", None).await;
        check("unknown", &unknown, known, mode, "any", None).await;
    }
    check("unknown", &unknown, None, Require, "any", None).await;
    for mode in [Require, VerifyCa, VerifyFull] {
        check("good", &good, known, mode, HOST, None).await;
        check("unknown", &unknown, known, mode, HOST, issuer).await;
    }
    check("good", &good, known, Require, "other.example.com", None).await;
    check("good", &good, known, VerifyCa, "other.example.com", None).await;
    check("good", &good, known, VerifyFull, "other.example.com", name).await;
    check("good", &good, known, VerifyFull, "127.0.0.1", None).await;
    check("good", &good, known, VerifyFull, "127.0.0.2", name).await;
}

#[tokio::test]
async fn names_are_compared_as_libpq_does() {
    let authority = Authority::new("authority");
    let check = async |common: &str, alternatives: &[&str], host: &str, error: Option<&str>| {
        let made = authority.issue(params(common, alternatives));
        let case = format!("{common} {alternatives:?}");
        let known = Some(&authority.certificate[..]);
        check(&case, &made, known, VerifyFull, host, error).await;
    };
    let wrong = Some("does not match host name");
    // Without alternative names the common name counts, and only the first is one.
    check(HOST, &[], HOST, None).await;
    check("*.example.com", &[], HOST, None).await;
    check("other.example.com", &[], HOST, wrong).await;
    check("", &[], HOST, Some("has no name in it")).await;
    check("127.0.0.1", &[], "127.0.0.1", None).await;
    check("::1", &[], "::1", None).await;
    // With names of hosts it does not count for hosts, but still for addresses.
    check(HOST, &["other.example.com"], HOST, wrong).await;
    check(HOST, &["127.0.0.1"], HOST, None).await;
    check("127.0.0.1", &[HOST], "127.0.0.1", None).await;
    check("127.0.0.1", &["127.0.0.2"], "127.0.0.1", wrong).await;
    // Addresses are not names.
    check("", &["::1"], "::1", None).await;
    check("", &["::1"], "0:0:0:0:0:0:0:1", None).await;
    check("", &["*.0.0.1"], "127.0.0.1", wrong).await;
    check("", &["*.example.com"], HOST, None).await;
    check("", &["*.example.com"], "a.db.example.com", wrong).await;
}

#[tokio::test]
async fn certificates_have_their_time() {
    let authority = Authority::new("authority");
    let known = &authority.certificate[..];
    let old = authority.issue(expired(params("", &[HOST])));
    let new = authority.issue(not_yet(params("", &[HOST])));
    let own = self_signed(expired(params("", &[HOST])));
    check("old", &old, None, Require, HOST, None).await;
    for mode in [Require, VerifyCa, VerifyFull] {
        check("old", &old, Some(known), mode, HOST, Some("has expired")).await;
        check("new", &new, Some(known), mode, HOST, Some("not valid yet")).await;
        let itself = Some(&own.certificate[..]);
        check("itself", &own, itself, mode, HOST, Some("has expired")).await;
    }
}

#[tokio::test]
async fn a_server_may_be_its_own_authority() {
    let made = of_the_manual(HOST, "rsa:2048");
    let itself = Some(&made.certificate[..]);
    for mode in ALL_MODES {
        check("manual", &made, itself, mode, HOST, None).await;
    }
    let name = "server certificate for \"db.example.com\" does not match host name \"localhost\"";
    check("manual", &made, itself, VerifyCa, "localhost", None).await;
    check("manual", &made, itself, VerifyFull, "localhost", Some(name)).await;
    // Believed are those very bytes, not whoever says to be called like that.
    let other = of_the_manual(HOST, "rsa:2048");
    let error = Some("certificate");
    check("namesake", &other, itself, VerifyCa, HOST, error).await;
}

#[tokio::test]
async fn an_authority_shown_by_a_server_is_refused_with_a_remedy() {
    let authority = Authority::new("authority");
    let known = Some(&authority.certificate[..]);
    let mut params = params("", &[HOST]);
    params.is_ca = rcgen::IsCa::Ca(rcgen::BasicConstraints::Unconstrained);
    let made = authority.issue(params);
    check(
        "authority",
        &made,
        known,
        VerifyFull,
        HOST,
        Some("(CA:TRUE): put it itself into"),
    )
    .await;
}

#[tokio::test]
async fn chains_go_through_those_in_between() {
    let authority = Authority::new("authority");
    let between = authority.delegate("between");
    let mut made = between.issue(params("", &[HOST]));
    let known = Some(&authority.certificate[..]);
    let issuer = Some("not issued by any");
    check("without", &made, known, VerifyFull, HOST, issuer).await;
    made.certificate.push_str(&between.certificate);
    check("with", &made, known, VerifyFull, HOST, None).await;
    let many = Authority::new("other").certificate + &authority.certificate;
    check("second of two", &made, Some(&many), VerifyFull, HOST, None).await;
}

#[tokio::test]
async fn version_1_is_verified_only_as_it_is() {
    let authority = Authority::new("authority");
    let made = authority.issue_version1(HOST);
    let known = Some(&authority.certificate[..]);
    let itself = Some(&made.certificate[..]);
    check("version 1", &made, None, Require, HOST, None).await;
    for mode in [Require, VerifyCa, VerifyFull] {
        check(
            "version 1",
            &made,
            known,
            mode,
            HOST,
            Some("issue one of version 3"),
        )
        .await;
        check("version 1", &made, itself, mode, HOST, None).await;
    }
    for versions in ["tlsv1.2", "tlsv1.3"] {
        for (kind, made) in self_signed_version1(HOST) {
            let acceptor = acceptor(&made, versions);
            let itself = connector(Some(&made.certificate));
            let shaken = shake(&acceptor, &itself, VerifyFull, HOST).await;
            expect(shaken.client, None, &format!("{kind} {versions}"));
        }
    }
}

/// Shows a certificate that it has seen, but does not have the key to.
fn forger(made: &Made, versions: &[&'static rustls::SupportedProtocolVersion]) -> TlsAcceptor {
    let own = self_signed(params("", &[]));
    let key = PrivateKeyDer::from_pem_slice(own.key.as_bytes()).expect("is a key");
    let key = provider()
        .key_provider
        .load_private_key(key)
        .expect("is a key");
    let seen = CertificateDer::from_pem_slice(made.certificate.as_bytes()).expect("is one");
    let both = SingleCertAndKey::from(CertifiedKey::new(vec![seen], key));
    let config = ServerConfig::builder_with_provider(provider())
        .with_protocol_versions(versions)
        .expect("versions are known")
        .with_no_client_auth()
        .with_cert_resolver(Arc::new(both));
    TlsAcceptor::from(Arc::new(config))
}

#[tokio::test]
async fn t2_a_certificate_without_its_key_is_refused_in_every_mode() {
    let authority = Authority::new("authority");
    let version3 = authority.issue(params("", &[HOST]));
    let version1 = authority.issue_version1(HOST);
    for versions in [&rustls::version::TLS12, &rustls::version::TLS13] {
        for made in [&version3, &version1] {
            for mode in ALL_MODES {
                let forger = forger(made, &[versions]);
                let connector = connector(Some(&made.certificate));
                let (near, far) = tokio::io::duplex(PIPE_BYTES);
                let (_, client) =
                    tokio::join!(forger.accept(far), connector.connect(mode, near, HOST));
                expect(
                    client,
                    Some("a signature is wrong"),
                    &format!("{versions:?} {mode}"),
                );
            }
        }
    }
}

#[test]
fn weak_keys_are_refused_with_a_remedy() {
    use crate::tls::verify::{Authorities, Depth, ServerVerifier};
    use rustls::client::danger::ServerCertVerifier;

    let made = of_the_manual(HOST, "rsa:1024");
    let der = CertificateDer::from_pem_slice(made.certificate.as_bytes()).expect("is one");
    let now = rustls_pki_types::UnixTime::now();
    let host = HOST.try_into().expect("is a name");
    for depth in [Depth::None, Depth::Chain, Depth::ChainAndName] {
        let authorities = Authorities::from_pem(made.certificate.as_bytes());
        let verifier = ServerVerifier {
            depth,
            authorities: Arc::new(authorities.expect("can be read")),
            provider: provider(),
        };
        let outcome = verifier.verify_server_cert(&der, &[], &host, &[], now);
        let error = outcome.expect_err("1024 bits are too few");
        let error = Error::Handshake(std::io::Error::other(error)).to_string();
        assert!(
            error.contains("RSA key has 1024 bits, at least 2048"),
            "{error}"
        );
    }
}

#[tokio::test]
async fn names_are_told_to_the_server_and_addresses_are_not() {
    let made = self_signed(params("", &[HOST]));
    let check = async |host: &str, told: Option<&str>| {
        let shaken = shake(&acceptor(&made, "secure"), &connector(None), Prefer, host).await;
        let server = shaken.server.expect("nothing is checked");
        assert_eq!(server.get_ref().1.server_name(), told, "{host}");
        let client = shaken.client.expect("nothing is checked");
        assert_eq!(client.get_ref().1.alpn_protocol(), Some(&b"postgresql"[..]));
    };
    check(HOST, Some(HOST)).await;
    check("my_db", Some("my_db")).await;
    check("127.0.0.1", None).await;
    check("::1", None).await;
    // Not a name, but nobody has to compare it.
    check("not a name", None).await;
}

#[tokio::test]
async fn what_is_no_name_cannot_be_verified() {
    let made = self_signed(params("", &[HOST]));
    let itself = Some(&made.certificate[..]);
    let error = Some("\"not a name\" is no name that a certificate could have");
    check("itself", &made, itself, VerifyCa, "not a name", None).await;
    check("itself", &made, itself, VerifyFull, "not a name", error).await;
}

#[tokio::test]
async fn both_ends_have_the_same_certificate_for_channel_binding() {
    for (kind, made) in self_signed_version1(HOST) {
        let acceptor = acceptor(&made, "secure");
        let shaken = shake(&acceptor, &connector(None), Require, HOST).await;
        let shown = peer_certificate(&shaken.client.expect("nothing is checked"));
        assert_eq!(shown.as_deref(), Some(acceptor.certificate()), "{kind}");
    }
}

#[test]
fn the_systems_authorities_are_not_enough_for_verify_ca() {
    let outcome = Connector::new(VerifyCa, None, None, everything());
    expect(outcome, Some("needs server_tls_ca_file"), "verify-ca");
    for mode in [Disable, Allow, Prefer, Require] {
        expect(
            Connector::new(mode, None, None, everything()),
            None,
            "no authorities",
        );
    }
}
