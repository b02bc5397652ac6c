//! What is said about files that are not as they should be.

use std::path::Path;

use super::recipes::{Authority, Made, of_the_manual, openssl_key, params, self_signed};
use super::settings;
use crate::tls::{Misfit, Tls};

/// Writes files, and loads the settings that name them: `DIR` stands for where they are.
fn load(files: &[(&str, &str)], lines: &str) -> Result<Tls, Vec<String>> {
    let dir = tempfile::tempdir().expect("there is room for files");
    for (name, text) in files {
        std::fs::write(dir.path().join(name), text).expect("there is room for files");
    }
    let path = |dir: &Path| dir.display().to_string();
    let settings = settings(&lines.replace("DIR", &path(dir.path())));
    Tls::load(&settings).map_err(|misfits| {
        let text = |misfit: &Misfit| misfit.error.to_string().replace(&path(dir.path()), "DIR");
        misfits.iter().map(text).collect()
    })
}

const CLIENT: &str = "client_tls_sslmode = \"require\"
client_tls_cert_file = \"DIR/crt\"
client_tls_key_file = \"DIR/key\"";

#[test]
fn t3_errors_name_the_file_and_the_remedy() {
    let good = self_signed(params("", &["db"]));
    let other = self_signed(params("", &["db"]));
    let weak = of_the_manual("db", "rsa:1024");
    let curve = ["-algorithm", "EC", "-pkeyopt", "ec_paramgen_curve:P-256"];
    let encrypted = openssl_key(&[&curve[..], &["-aes256", "-pass", "pass:secret"]].concat());
    let damaged = good
        .certificate
        .replacen("MII", "???", 1)
        .replacen("MIIB", "", 1);
    let shuffled = "-----BEGIN CERTIFICATE-----\nTUlJQg==\n-----END CERTIFICATE-----\n";
    let check = |certificate: &str, key: &str, expected: &str| {
        let outcome = load(&[("crt", certificate), ("key", key)], CLIENT);
        let errors = outcome.err().unwrap_or_default();
        assert_eq!(errors.len(), 1, "{expected}: {errors:?}");
        assert!(errors[0].starts_with(expected), "{expected}: {errors:?}");
    };
    let Made { certificate, key } = &good;
    check("", key, "DIR/crt: no certificate in it");
    check(key, key, "DIR/crt: no certificate in it");
    check(&damaged, key, "DIR/crt: not a PEM file: ");
    check(
        shuffled,
        key,
        "DIR/crt: certificate 1 of the file cannot be read",
    );
    check(certificate, "", "DIR/key: no private key in it");
    check(certificate, certificate, "DIR/key: no private key in it");
    check(
        certificate,
        &other.key,
        "DIR/key: the key is not the one of the certificate",
    );
    check(
        certificate,
        &encrypted,
        "DIR/key: the key is encrypted, which is not supported: decrypt",
    );
    check(
        &weak.certificate,
        &weak.key,
        "DIR/crt: the RSA key has 1024 bits, at least 2048",
    );
    let old = "-----BEGIN RSA PRIVATE KEY-----\nProc-Type: 4,ENCRYPTED\n";
    check(certificate, old, "DIR/key: the key is encrypted");
}

#[test]
fn t3_missing_files_of_both_sides_are_named_at_once() {
    let lines = format!(
        "{CLIENT}
client_tls_ca_file = \"DIR/clients\"
server_tls_ca_file = \"DIR/servers\""
    );
    let errors = load(&[("servers", "")], &lines).err().unwrap_or_default();
    let files = ["DIR/crt", "DIR/key", "DIR/clients", "DIR/servers"];
    assert_eq!(errors.len(), files.len(), "{errors:?}");
    for (error, file) in errors.iter().zip(files) {
        assert!(error.starts_with(&format!("{file}: ")), "{error}");
    }
}

#[test]
fn t3_what_is_wrong_with_one_file_does_not_hide_what_is_wrong_with_another() {
    let good = self_signed(params("", &["db"]));
    let other = self_signed(params("", &["db"]));
    let lines = format!(
        "{CLIENT}
client_tls_ca_file = \"DIR/ca\"
server_tls_ca_file = \"DIR/missing\""
    );
    let files = [("crt", &*good.certificate), ("key", &other.key), ("ca", "")];
    let errors = load(&files, &lines).err().unwrap_or_default();
    let expected = [
        "DIR/key: the key is not",
        "DIR/ca: no certificate",
        "DIR/missing: ",
    ];
    assert_eq!(errors.len(), expected.len(), "{errors:?}");
    for (error, expected) in errors.iter().zip(expected) {
        assert!(error.starts_with(expected), "{error}");
    }
}

#[test]
fn what_is_not_asked_for_is_not_loaded() {
    let tls = load(
        &[],
        "client_tls_cert_file = \"DIR/crt\"\nclient_tls_key_file = \"DIR/key\"",
    );
    let tls = tls.expect("client_tls_sslmode is disable");
    assert!(!tls.accepts() && !tls.requires());
}

#[test]
fn modes_say_who_may_and_who_must() {
    let authority = Authority::new("authority");
    let Made { certificate, key } = &self_signed(params("", &["db"]));
    let certificate: &str = certificate;
    let files = [
        ("crt", certificate),
        ("key", key),
        ("ca", &authority.certificate),
    ];
    let check = |mode: &str, requires: bool| {
        let lines = CLIENT.replace("require", mode) + "\nclient_tls_ca_file = \"DIR/ca\"";
        let tls = load(&files, &lines).expect("files are good");
        assert!(tls.accepts(), "{mode}");
        assert_eq!(tls.requires(), requires, "{mode}");
    };
    check("allow", false);
    check("prefer", false);
    check("require", true);
    check("verify-ca", true);
    check("verify-full", true);
}

#[test]
fn keys_of_all_usual_kinds_are_taken() {
    for kind in ["rsa:2048", "ed25519"] {
        let made = of_the_manual("db", kind);
        let files = [("crt", &made.certificate[..]), ("key", &made.key[..])];
        let outcome = load(&files, CLIENT);
        assert!(outcome.is_ok(), "{kind}: {outcome:?}");
        // In one file, too, in either order.
        let one = format!("{}{}", made.key, made.certificate);
        let outcome = load(&[("crt", &one), ("key", &one)], CLIENT);
        assert!(outcome.is_ok(), "{kind}: {outcome:?}");
    }
}
