//! Metrics and health over HTTP.

use std::io::{Read, Write};
use std::net::TcpStream;
use std::process::{Command, Stdio};
use std::time::{Duration, Instant};

use nix::sys::signal::Signal;
use pgweir_tests::{
    Cluster, Config, Major, Options, Outcome, Pooler, Process, Room, Starting, Target, Wire, cases,
    eventually, free_port,
};
use pgweir_wire::encode;

use crate::routing::Trio;

cases! {
    metrics_say_what_has_happened;
    metrics_of_a_cluster;
    ready_with_its_servers_and_not_while_it_drains;
    who_says_nothing_is_not_waited_for;
    prometheus_reads_it_all;
}

/// Status and body.
fn get(port: u16, path: &str) -> (u16, String) {
    let mut stream = TcpStream::connect(("127.0.0.1", port)).expect("it listens");
    write!(stream, "GET {path} HTTP/1.0\r\n\r\n").expect("it reads");
    let mut answer = String::new();
    stream.read_to_string(&mut answer).expect("it answers");
    let (head, body) = answer.split_once("\r\n\r\n").expect("a head");
    let status = head.split(' ').nth(1).expect("a status");
    (status.parse().expect("a number"), body.to_owned())
}

fn with_http(config: Config, port: u16) -> Config {
    config
        .set("http_addr", ["127.0.0.1"])
        .set("http_port", i32::from(port))
}

/// One value, by its name and labels as they are written.
fn value(port: u16, of: &str) -> f64 {
    let (status, text) = get(port, "/metrics");
    assert_eq!(status, 200, "{text}");
    let line = text
        .lines()
        .find_map(|line| line.strip_prefix(of)?.strip_prefix(' '));
    let value = line.unwrap_or_else(|| panic!("no {of} in {text}"));
    value.parse().expect("a number")
}

/// Prometheus' own judgement.
fn lint(port: u16) {
    let (_, text) = get(port, "/metrics");
    let mut command = Command::new("promtool");
    command
        .args(["check", "metrics"])
        .stdin(Stdio::piped())
        .stderr(Stdio::piped());
    Outcome::of(&mut command, &text).check("promtool");
}

fn start(major: Major, change: impl FnOnce(Config) -> Config) -> (Cluster, Pooler, Target, u16) {
    let cluster = Cluster::start(major, &Options::default());
    let port = free_port();
    let config = with_http(Config::of(&cluster, "postgres"), port);
    let pooler = Pooler::start(&change(config));
    let target = pooler.target("postgres");
    (cluster, pooler, target, port)
}

fn metrics_say_what_has_happened(major: Major) {
    let (_cluster, pooler, target, port) =
        start(major, |config| config.set("default_pool_size", 1));
    let of = |name: &str| value(port, &format!("{name}{{database=\"postgres\"}}"));
    let pool = |name: &str, more: &str| {
        let labels = format!("database=\"postgres\",user=\"app\"{more}");
        value(port, &format!("{name}{{{labels}}}"))
    };
    let mut wire = Wire::connect(&target);
    let pause = Duration::from_millis(300);
    wire.sql("SELECT pg_sleep(0.3)");
    assert_eq!(wire.sql_error("SELECT 1/0").sqlstate, "22012");
    wire.sql("BEGIN");
    // A client that thinks, and another one that waits for it.
    let mut other = Wire::connect(&target);
    other.write(|out| encode::query(b"SELECT 1", out));
    eventually("it waits", || {
        (pool("pgweir_pool_clients", ",state=\"waiting\"") > 0.0).then_some(())
    });
    assert_eq!(pool("pgweir_pool_servers", ",state=\"active\""), 1.0);
    let began = Instant::now();
    eventually("it has waited", || (began.elapsed() > pause).then_some(()));
    assert!(pool("pgweir_pool_oldest_wait_seconds", "") >= 0.3);
    wire.sql("COMMIT");
    other.until_ready();
    let error = Wire::try_connect(&pooler.target("nothing"), &[]).expect_err("it is not there");
    assert_eq!(error.sqlstate, "3D000");

    assert_eq!(of("pgweir_transactions_total"), 4.0);
    assert_eq!(of("pgweir_queries_total"), 5.0);
    assert_eq!(of("pgweir_client_logins_total"), 2.0);
    assert_eq!(of("pgweir_server_seconds_count"), 5.0);
    assert!(of("pgweir_server_seconds_sum") >= 0.3);
    assert_eq!(of("pgweir_client_seconds_count"), 4.0);
    assert!(of("pgweir_client_seconds_sum") >= 0.3);
    assert_eq!(of("pgweir_wait_seconds_count"), 4.0);
    assert!(of("pgweir_wait_seconds_sum") >= 0.3);
    let below = "pgweir_server_seconds_bucket{database=\"postgres\",le=\"0.262144\"}";
    assert_eq!(value(port, below), 4.0);
    let errors = "pgweir_server_errors_total{database=\"postgres\",class=\"22\"}";
    assert_eq!(value(port, errors), 1.0);
    let errors = "pgweir_pooler_errors_total{reason=\"no_such_database\"}";
    assert_eq!(value(port, errors), 1.0);
    wire.cancel(&target);
    eventually("it is counted", || {
        (value(port, "pgweir_cancel_requests_total") == 1.0).then_some(())
    });
    pooler.ask("PAUSE");
    assert_eq!(value(port, "pgweir_paused"), 1.0);
    lint(port);
    let (status, _) = get(port, "/elsewhere");
    assert_eq!(status, 404);
}

fn metrics_of_a_cluster(major: Major) {
    let trio = Trio::shared(major);
    let port = free_port();
    let (_pooler, target) = trio.pooler(|config, _| with_http(config, port));
    let database = target.sql("SELECT current_database()");
    let [primary, standby, _] = trio.ports();
    let host = |name: &str, port_of: u16, more: &str| {
        let labels = format!("database=\"{database}\",host=\"127.0.0.1:{port_of}\"{more}");
        value(port, &format!("{name}{{{labels}}}"))
    };
    assert_eq!(host("pgweir_host_role", primary, ",role=\"primary\""), 1.0);
    assert_eq!(host("pgweir_host_role", standby, ",role=\"standby\""), 1.0);
    assert_eq!(host("pgweir_host_up", standby, ""), 1.0);
    assert_eq!(host("pgweir_host_in_rotation", primary, ""), 1.0);
    assert!(host("pgweir_host_lag_bytes", standby, "") >= 0.0);
    assert!(host("pgweir_host_timeline", primary, "") >= 1.0);
    target.sql("CREATE TABLE t ()");
    let labels = format!("database=\"{database}\",target=\"primary\",reason=\"definition\"");
    let routed = value(port, &format!("pgweir_routed_total{{{labels}}}"));
    assert_eq!(routed, 1.0);
    let (status, report) = get(port, "/readyz");
    assert_eq!(
        (status, &*report),
        (200, &*format!("{database}: reached\n"))
    );
    lint(port);
}

fn ready_with_its_servers_and_not_while_it_drains(major: Major) {
    let (cluster, mut pooler, target, port) = start(major, |config| {
        config.database_set("gone", "hosts", ["127.0.0.1:1"])
    });
    assert_eq!(get(port, "/healthz"), (200, "alive\n".to_owned()));
    assert_eq!(get(port, "/startupz"), (200, "started\n".to_owned()));
    let ready = (200, "gone: not reached\npostgres: reached\n".to_owned());
    assert_eq!(get(port, "/readyz"), ready);
    target.sql("SELECT 1");
    assert_eq!(get(port, "/readyz"), ready);
    cluster.stop();
    let down = (503, "gone: not reached\npostgres: not reached\n".to_owned());
    eventually("it is noticed", || {
        (get(port, "/readyz") == down).then_some(())
    });
    cluster.start_again();
    assert_eq!(get(port, "/readyz"), ready);

    let mut wire = Wire::connect(&target);
    pooler.signal(Signal::SIGTERM);
    eventually("it is not ready", || {
        (get(port, "/readyz").0 == 503).then_some(())
    });
    assert_eq!(value(port, "pgweir_draining"), 1.0);
    assert_eq!(get(port, "/healthz").0, 200);
    assert_eq!(wire.sql("SELECT 1"), ["1"]);
    drop(wire);
    assert!(pooler.wait(Duration::from_secs(10)).success());
}

fn who_says_nothing_is_not_waited_for(major: Major) {
    let (_cluster, _pooler, target, port) = start(major, |config| config);
    // More than are served at once, and none of them says anything.
    let silent: Vec<TcpStream> = (0..64)
        .map(|_| TcpStream::connect(("127.0.0.1", port)).expect("it listens"))
        .collect();
    assert_eq!(target.sql("SELECT 1"), "1");
    drop(silent);
    assert_eq!(get(port, "/healthz").0, 200);
}

/// Starts one that scrapes this port every second, with our alerts.
fn prometheus(room: &Room, scraped: u16) -> (Process, u16) {
    let rules = concat!(
        env!("CARGO_MANIFEST_DIR"),
        "/../docker/prometheus/pgweir.rules.yml"
    );
    let config = format!(
        "global: {{scrape_interval: 1s, evaluation_interval: 1s}}\n\
         rule_files: ['{rules}']\n\
         scrape_configs: [{{job_name: pgweir, static_configs: [{{targets: ['127.0.0.1:{scraped}']}}]}}]\n"
    );
    std::fs::write(room.join("prometheus.yml"), config).expect("ours");
    let port = free_port();
    let process = Starting::new("prometheus", "TERM", &room.join("log"))
        .arg(format!(
            "--config.file={}",
            room.join("prometheus.yml").display()
        ))
        .arg(format!(
            "--storage.tsdb.path={}",
            room.join("data").display()
        ))
        .arg(format!("--web.listen-address=127.0.0.1:{port}"))
        .start();
    eventually("Prometheus listens", || {
        TcpStream::connect(("127.0.0.1", port)).ok()
    });
    (process, port)
}

/// What a real Prometheus makes of it: all targets of the pictures can be asked for, and alerts come.
fn prometheus_reads_it_all(major: Major) {
    let trio = Trio::shared(major);
    let scraped = free_port();
    let (pooler, target) = trio.pooler(|config, _| with_http(config, scraped));
    let room = Room::new("prometheus");
    let (_prometheus, port) = prometheus(&room, scraped);
    target.sql("SELECT 1");
    let ask = |query: &str| -> serde_json::Value {
        let query: String = query.bytes().map(|byte| format!("%{byte:02x}")).collect();
        let (status, body) = get(port, &format!("/api/v1/query?query={query}"));
        assert_eq!(status, 200, "{body}");
        serde_json::from_str(&body).expect("it is JSON")
    };
    let rows = |query: &str| ask(query)["data"]["result"].as_array().map_or(0, Vec::len);
    eventually("it has been scraped twice", || {
        (rows("count_over_time(pgweir_build_info[1m]) > 1") == 1).then_some(())
    });
    assert_eq!(rows("pgweir_host_role{role='primary'}"), 1);
    let pictures = include_str!("../../docker/grafana/pgweir.json");
    let pictures: serde_json::Value = serde_json::from_str(pictures).expect("it is JSON");
    let panels = pictures["panels"].as_array().expect("a list");
    assert!(panels.len() > 10);
    for panel in panels {
        for target in panel["targets"].as_array().expect("a list") {
            let query = target["expr"].as_str().expect("a text");
            let query = query
                .replace("$instance", ".*")
                .replace("$database", ".*")
                .replace("$__rate_interval", "1m");
            let title = &panel["title"];
            // Of errors there are none.
            let is_there = rows(&query) > 0 || query.contains("_errors_total");
            assert!(is_there, "{title}: nothing comes of {query}");
        }
    }
    pooler.ask("PAUSE");
    eventually("an alert is on its way", || {
        (rows("ALERTS{alertname='PgweirPaused', alertstate='pending'}") == 1).then_some(())
    });
}
