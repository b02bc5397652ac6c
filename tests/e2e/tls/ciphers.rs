//! Which versions, ciphers and curves are spoken.

use pgweir_tests::{Config, Major, Pooler, Scene, Way, Wire, cases, certificates};
use pgweir_wire::startup::PROTOCOL_3_0;

use super::cluster;

cases! {
    ciphers_towards_clients;
    curves_towards_clients;
    ciphers_towards_servers;
    lists_of_which_nothing_is_left;
}

fn towards_clients(major: Major, settings: &[(&str, &str)]) -> Scene {
    Scene::with(major, Way::Transaction, |config| {
        let config = config
            .set("client_tls_sslmode", "allow")
            .set("client_tls_cert_file", certificates().server())
            .set("client_tls_key_file", certificates().server_key());
        let each = settings.iter();
        each.fold(config, |config, (key, value)| config.set(key, *value))
    })
}

fn ciphers_towards_clients(major: Major) {
    for (settings, cipher) in [
        (
            &[
                ("client_tls_ciphers", "CHACHA20:HIGH"),
                ("client_tls_protocols", "tlsv1.2"),
            ][..],
            Some("TLSv1.2/TLS_ECDHE_ECDSA_WITH_CHACHA20_POLY1305_SHA256"),
        ),
        (
            &[("client_tls13_ciphers", "TLS_AES_128_GCM_SHA256")][..],
            Some("TLSv1.3/TLS_AES_128_GCM_SHA256"),
        ),
        // The tests' key is one for ECDSA.
        (
            &[
                ("client_tls_ciphers", "HIGH:!aECDSA"),
                ("client_tls_protocols", "tlsv1.2"),
            ][..],
            None,
        ),
    ] {
        let scene = towards_clients(major, settings);
        let target = scene.target();
        let mut wire = Wire::open(&target);
        assert_eq!(wire.ask_for_tls(), b'S');
        let Some(cipher) = cipher else {
            assert!(wire.try_encrypt(&[]).is_err(), "{settings:?}");
            continue;
        };
        let mut wire = wire.encrypt(&[]);
        wire.startup(&target, PROTOCOL_3_0, &[]);
        wire.login(&target).unwrap();
        let rows = scene.pooler().rows("SHOW CLIENTS");
        let row = rows
            .iter()
            .find(|row| row.text("database") == scene.database);
        assert_eq!(row.expect("it is there").text("tls"), cipher);
    }
}

fn curves_towards_clients(major: Major) {
    for curve in ["secp384r1", "X25519:prime256v1", "auto"] {
        let scene = towards_clients(major, &[("client_tls_ecdhcurve", curve)]);
        assert_eq!(
            scene.target().with("sslmode", "require").sql("SELECT 1"),
            "1",
            "{curve}"
        );
    }
}

fn ciphers_towards_servers(major: Major) {
    let cluster = cluster(major);
    let database = cluster.database();
    let spoken = "SELECT version || ' ' || cipher FROM pg_stat_ssl WHERE pid = pg_backend_pid()";
    for (key, value, expected) in [
        ("server_tls_protocols", "tlsv1.2", "TLSv1.2 "),
        (
            "server_tls13_ciphers",
            "TLS_CHACHA20_POLY1305_SHA256",
            "TLSv1.3 TLS_CHACHA20",
        ),
    ] {
        let config = Config::of(cluster, &database)
            .set("server_tls_sslmode", "require")
            .set("server_tls_ciphers", "CHACHA20")
            .set(key, value);
        let pooler = Pooler::start(&config);
        let mut wire = Wire::connect(&pooler.target(&database));
        let shown = wire.sql(spoken).remove(0);
        assert!(
            shown.starts_with(expected) && shown.contains("CHACHA20"),
            "{shown}"
        );
        // Connections that were made before give way.
        pooler.ask("SET server_tls_ciphers = 'AES256'");
        pooler.ask("SET server_tls13_ciphers = 'TLS_AES_256_GCM_SHA384'");
        let shown = wire.sql(spoken).remove(0);
        assert!(shown.contains("AES") && shown.contains("256"), "{shown}");
    }
}

fn lists_of_which_nothing_is_left(major: Major) {
    let scene = Scene::new(major, Way::Transaction);
    let mut console = Wire::connect(&scene.pooler().console());
    for (setting, said) in [
        ("client_tls_ciphers = '3DES'", "none of \"3DES\" is spoken"),
        (
            "server_tls13_ciphers = 'TLS_AES_128_CCM_SHA256'",
            "is spoken: expected some of TLS_AES_256",
        ),
        ("client_tls_ecdhcurve = 'none'", "without a curve"),
        ("server_tls_protocols = 'tlsv1.0'", "tlsv1.0 is not spoken"),
    ] {
        let error = console.sql_error(&format!("SET {setting}"));
        assert!(error.detail.contains(said), "{error:?}");
    }
}
