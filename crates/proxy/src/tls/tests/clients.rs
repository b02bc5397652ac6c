//! Which clients are let in.

use std::sync::Arc;

use pgweir_config::SslMode::{self, Allow, Prefer, Require, VerifyCa, VerifyFull};
use rustls::client::Resumption;
use rustls::{ClientConfig, HandshakeKind, ProtocolVersion, RootCertStore};
use rustls_pki_types::CertificateDer;
use rustls_pki_types::pem::PemObject;
use tokio::io::{AsyncReadExt, AsyncWriteExt};
use tokio_rustls::TlsConnector;

use super::recipes::{Authority, Made, expired, params, self_signed};
use super::{PIPE_BYTES, acceptor, connector, everything, expect, protocols, shake};
use crate::tls::{Acceptor, Connector, Error, provider};

const HOST: &str = "db.example.com";

async fn check(
    mode: SslMode,
    authority: Option<&Authority>,
    shown: Option<&Made>,
    error: Option<&str>,
) {
    let own = self_signed(params("", &[HOST]));
    let (certificate, key) = (own.certificate.as_bytes(), own.key.as_bytes());
    let authorities = authority.map(|authority| authority.certificate.as_bytes());
    let acceptor = Acceptor::new(mode, certificate, key, authorities, &protocols("secure"));
    let acceptor = acceptor.expect("certificate and key are good");
    let identity = shown.map(|made| (made.certificate.as_bytes(), made.key.as_bytes()));
    let connector =
        Connector::new(Prefer, None, identity, everything()).expect("certificate and key are good");
    let shaken = shake(&acceptor, &connector, Prefer, HOST).await;
    expect(
        shaken.server,
        error,
        &format!("{mode}, shown: {}", shown.is_some()),
    );
}

#[tokio::test]
async fn t1_clients_are_verified_in_the_verifying_modes() {
    let authority = Authority::new("authority");
    let good = authority.issue(params("alice", &[]));
    let old = authority.issue(expired(params("alice", &[])));
    let stranger = Authority::new("stranger").issue(params("alice", &[]));
    for mode in [Allow, Prefer, Require] {
        check(mode, None, None, None).await;
        check(mode, None, Some(&stranger), None).await;
        check(mode, Some(&authority), None, None).await;
    }
    for mode in [VerifyCa, VerifyFull] {
        let none = Some("peer sent no certificates");
        check(mode, Some(&authority), None, none).await;
    }
    for mode in [Allow, Prefer, Require, VerifyCa, VerifyFull] {
        check(mode, Some(&authority), Some(&good), None).await;
        check(mode, Some(&authority), Some(&old), Some("expired")).await;
        check(
            mode,
            Some(&authority),
            Some(&stranger),
            Some("not issued by any"),
        )
        .await;
    }
}

#[tokio::test]
async fn versions_are_those_of_the_setting() {
    let made = self_signed(params("", &[HOST]));
    let check = async |versions: &str, expected: ProtocolVersion| {
        let shaken = shake(&acceptor(&made, versions), &connector(None), Require, HOST).await;
        let stream = shaken.server.expect("both can do it");
        assert_eq!(stream.get_ref().1.protocol_version(), Some(expected));
    };
    check("secure", ProtocolVersion::TLSv1_3).await;
    check("tlsv1.2", ProtocolVersion::TLSv1_2).await;
    check("tlsv1.3", ProtocolVersion::TLSv1_3).await;
    check("tlsv1.2,tlsv1.3", ProtocolVersion::TLSv1_3).await;
}

/// A client with its own mind about ALPN, which remembers sessions.
fn client(made: &Made, alpn: &[&[u8]]) -> TlsConnector {
    let mut roots = RootCertStore::empty();
    let der = CertificateDer::from_pem_slice(made.certificate.as_bytes()).expect("is one");
    roots.add(der).expect("is one");
    let mut config = ClientConfig::builder_with_provider(provider())
        .with_safe_default_protocol_versions()
        .expect("versions are known")
        .with_root_certificates(roots)
        .with_no_client_auth();
    config.alpn_protocols = alpn.iter().map(|name| name.to_vec()).collect();
    config.resumption = Resumption::in_memory_sessions(8);
    TlsConnector::from(Arc::new(config))
}

#[tokio::test]
async fn direct_tls_needs_alpn() {
    let authority = Authority::new("authority");
    let mut made = authority.issue(params("", &[HOST]));
    let acceptor = acceptor(&made, "secure");
    made.certificate = authority.certificate;
    let check = async |alpn: &[&[u8]], direct: bool, error: Option<&str>| {
        let (near, far) = tokio::io::duplex(PIPE_BYTES);
        let client = client(&made, alpn);
        let host = HOST.try_into().expect("is a name");
        let accept = async {
            if direct {
                acceptor.accept_direct(far).await
            } else {
                acceptor.accept(far).await
            }
        };
        let (server, _) = tokio::join!(accept, client.connect(host, near));
        expect(server, error, &format!("{alpn:?} {direct}"));
    };
    let foreign = Some("doesn't support any known protocol");
    for direct in [false, true] {
        check(&[b"postgresql"], direct, None).await;
        check(&[b"h2", b"postgresql"], direct, None).await;
        check(&[b"h2", b"http/1.1"], direct, foreign).await;
    }
    check(&[], false, None).await;
    let missing = Error::Alpn.to_string();
    check(&[], true, Some(&missing)).await;
}

#[tokio::test]
async fn sessions_are_not_resumed() {
    let authority = Authority::new("authority");
    let made = authority.issue(params("", &[HOST]));
    for versions in ["tlsv1.2", "tlsv1.3"] {
        let acceptor = acceptor(&made, versions);
        let client = client(
            &Made {
                certificate: authority.certificate.clone(),
                ..made.clone()
            },
            &[],
        );
        for _ in 0..2 {
            let (near, far) = tokio::io::duplex(PIPE_BYTES);
            let host = HOST.try_into().expect("is a name");
            let (server, client) = tokio::join!(acceptor.accept(far), client.connect(host, near));
            let mut server = server.expect("certificate is good");
            let mut client = client.expect("certificate is good");
            assert_eq!(
                server.get_ref().1.handshake_kind(),
                Some(HandshakeKind::Full),
                "{versions}"
            );
            // Tickets would come along with the first bytes.
            server.write_all(b"R").await.expect("pipe is open");
            server.flush().await.expect("pipe is open");
            assert_eq!(client.read_u8().await.expect("pipe is open"), b'R');
            assert_eq!(client.get_ref().1.tls13_tickets_received(), 0, "{versions}");
        }
    }
}

#[tokio::test]
async fn garbage_is_an_error() {
    let made = self_signed(params("", &[HOST]));
    let acceptor = acceptor(&made, "secure");
    let cases: [&[u8]; 4] = [
        b"",
        b"\x16\x03\x01",
        b"\0\0\0\x08\x04\xd2\x16\x2f",
        &[0x16; 20_000],
    ];
    for bytes in cases {
        let (mut near, far) = tokio::io::duplex(PIPE_BYTES);
        near.write_all(bytes).await.expect("pipe is open");
        drop(near);
        expect(
            acceptor.accept(far).await,
            Some("TLS handshake failed"),
            &format!("{}", bytes.len()),
        );
    }
}
