//! A Patroni that shows a certificate and wants a password.

use std::path::Path;
use std::time::Duration;

use pgweir_tests::{
    Config, Patroni, Pooler, Process, Starting, Wire, certificates, eventually, free_port,
};

/// What pgweir says of itself, and how that stands in the address.
const LOGIN: &str = "weir:s3:cret@x";
const IN_URL: &str = "weir:s3%3Acret%40x";

/// HTTPS in front of the first member.
fn front(patroni: &Patroni, room: &Path) -> (Process, u16) {
    let port = free_port();
    let member = &patroni.members()[0];
    let program = concat!(env!("CARGO_MANIFEST_DIR"), "/clients/https_front.py");
    let process = Starting::new("python3", "TERM", &room.join("log"))
        .arg(program)
        .arg(port.to_string())
        .arg(certificates().server())
        .arg(certificates().server_key())
        .arg(LOGIN)
        .arg(format!("http://{}:{}", member.address(), member.api()))
        .start();
    (process, port)
}

fn pooler(patroni: &Patroni, endpoint: &str, authority: &Path) -> Pooler {
    let hosts = patroni.members().iter();
    let hosts: Vec<_> = hosts.map(|it| format!("127.0.0.1:{}", it.port())).collect();
    let hosts: [String; 3] = hosts.try_into().expect("three");
    let config = Config::new()
        .user("app")
        .user("monitor")
        .set("monitor_user", "monitor")
        .set("log_level", "debug")
        .set("server_tls_ca_file", authority.to_str().expect("text"))
        .database_set("work", "hosts", hosts.each_ref().map(String::as_str))
        .database_set("work", "patroni", [endpoint])
        .database_set("work", "routing", "automatic");
    let pooler = Pooler::start(&config);
    eventually("all are known", || {
        let rows = pooler.rows("SHOW HOSTS");
        let used = rows.iter().all(|row| row.number("in_rotation") == 1);
        (used && rows.len() == 3).then_some(())
    });
    pooler
}

#[test]
fn it_is_asked_as_somebody_it_knows() {
    let patroni = Patroni::start();
    let room = pgweir_tests::Room::new("front");
    let (_front, port) = front(&patroni, room.path());
    let authority = certificates().authority();
    eventually("it listens", || {
        std::net::TcpStream::connect(("127.0.0.1", port)).ok()
    });
    let refused = |endpoint: &str, authority: &Path| {
        let pooler = pooler(&patroni, endpoint, authority);
        let mut console = Wire::connect(&pooler.console());
        console.patience(Duration::from_secs(90));
        let message = console.sql_error("SWITCHOVER work").message;
        let log = pooler.log();
        assert!(!log.contains("s3") && !message.contains("s3"), "{message}");
        message
    };
    let place = format!("localhost:{port}");
    let message = refused(&format!("https://{place}"), &authority);
    assert!(message.contains("401 Unauthorized"), "{message}");
    let message = refused(&format!("https://weir:s3@{place}"), &authority);
    assert!(message.contains("401 Unauthorized"), "{message}");
    let stranger = certificates().stranger();
    let known = format!("https://{IN_URL}@{place}");
    let message = refused(&known, &stranger);
    assert!(message.contains("certificate"), "{message}");
    let message = refused(&format!("https://{IN_URL}@127.0.0.2:{port}"), &authority);
    assert!(message.contains("refused"), "{message}");

    let pooler = pooler(&patroni, &known, &authority);
    let old = patroni.leader_place();
    let mut console = Wire::connect(&pooler.console());
    console.patience(Duration::from_secs(90));
    console.sql("SWITCHOVER work");
    assert_ne!(patroni.leader_place(), old);
    assert!(!pooler.log().contains("s3"), "{}", pooler.log());
}
