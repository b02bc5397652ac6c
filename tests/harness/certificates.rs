//! Certificates for tests: an authority, and a server's and a client's made by it.

use std::fs;
use std::path::PathBuf;
use std::sync::OnceLock;

use rcgen::{BasicConstraints, CertificateParams, CertifiedIssuer, DnType, IsCa, KeyPair};

use crate::room::Room;

/// Files in PEM.
#[derive(Debug)]
pub struct Certificates {
    room: Room,
}

impl Certificates {
    /// The authority that made the others.
    pub fn authority(&self) -> PathBuf {
        self.room.join("authority.crt")
    }

    /// An authority that made none of them.
    pub fn stranger(&self) -> PathBuf {
        self.room.join("stranger.crt")
    }

    /// Certificate of a server that is `localhost` and 127.0.0.1.
    pub fn server(&self) -> PathBuf {
        self.room.join("server.crt")
    }

    /// Its key.
    pub fn server_key(&self) -> PathBuf {
        self.room.join("server.key")
    }

    /// Another certificate of the same server, as after a renewal.
    pub fn renewed(&self) -> PathBuf {
        self.room.join("renewed.crt")
    }

    /// Its key.
    pub fn renewed_key(&self) -> PathBuf {
        self.room.join("renewed.key")
    }

    /// Certificate of the client `app`.
    pub fn client(&self) -> PathBuf {
        self.room.join("client.crt")
    }

    /// Its key.
    pub fn client_key(&self) -> PathBuf {
        self.room.join("client.key")
    }
}

/// The certificates of this run.
///
/// # Panics
/// If they cannot be made.
pub fn certificates() -> &'static Certificates {
    static CERTIFICATES: OnceLock<Certificates> = OnceLock::new();
    CERTIFICATES.get_or_init(|| {
        let made = Certificates {
            room: Room::new("certificates"),
        };
        let authority = issuer("authority of the tests");
        fs::write(made.authority(), authority.pem()).expect("ours");
        fs::write(made.stranger(), issuer("somebody else").pem()).expect("ours");
        for (name, common_name, names) in [
            ("server", "localhost", &["localhost", "127.0.0.1"][..]),
            ("renewed", "localhost", &["localhost", "127.0.0.1"]),
            ("client", "app", &[]),
        ] {
            let key = KeyPair::generate().expect("there is randomness");
            let certificate = parameters(common_name, names)
                .signed_by(&key, &authority)
                .expect("valid parameters");
            fs::write(made.room.join(&format!("{name}.crt")), certificate.pem()).expect("ours");
            fs::write(made.room.join(&format!("{name}.key")), key.serialize_pem()).expect("ours");
        }
        made
    })
}

fn issuer(name: &str) -> CertifiedIssuer<'static, KeyPair> {
    let mut parameters = parameters(name, &[]);
    parameters.is_ca = IsCa::Ca(BasicConstraints::Unconstrained);
    let key = KeyPair::generate().expect("there is randomness");
    CertifiedIssuer::self_signed(parameters, key).expect("valid parameters")
}

fn parameters(common_name: &str, names: &[&str]) -> CertificateParams {
    let names: Vec<String> = names.iter().map(|name| (*name).to_owned()).collect();
    let mut parameters = CertificateParams::new(names).expect("valid names");
    parameters
        .distinguished_name
        .push(DnType::CommonName, common_name);
    parameters
}
