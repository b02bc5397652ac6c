//! What a monitor is told: the state of the pooler in Prometheus' text format.
//!
//! Names follow Prometheus' conventions (base units, `_total` for what only grows), labels are names of the configuration, of
//! hosts and of fixed sets, so that no client can make a monitor's memory grow. `docs/monitoring.md` has all of them.

mod family;

use crate::snapshot::Snapshot;
use crate::snapshot::database::DatabaseRow;
use crate::snapshot::host::HostRow;
use crate::snapshot::pool::PoolRow;
use crate::snapshot::stats::Counters;

use family::Families;

/// What is measured beside what the console shows.
#[derive(Debug, Clone, Default, PartialEq)]
pub struct Meters {
    /// Where the time of transactions went, by database.
    pub spans: Vec<SpanRow>,
    /// Errors of servers that clients were told of: database, class of the SQLSTATE, how often.
    pub server_errors: Vec<(String, String, u64)>,
    /// Errors of ours: word, how often.
    pub pooler_errors: Vec<(&'static str, u64)>,
    /// TLS handshakes with clients that have succeeded, and that have failed.
    pub tls_handshakes: [u64; 2],
    /// Cancel requests that have come.
    pub cancel_requests: u64,
    /// Threads that serve clients.
    pub workers: u64,
    /// Whether the process waits for its clients to leave.
    pub is_draining: bool,
}

/// Where the time of the transactions of one database went.
#[derive(Debug, Clone, Default, PartialEq)]
pub struct SpanRow {
    /// Name by which clients connect.
    pub database: String,
    /// Waiting for a server connection.
    pub wait: Distribution,
    /// The server's.
    pub server: Distribution,
    /// The client's, while it held a server connection.
    pub client: Distribution,
}

/// How long things took.
#[derive(Debug, Clone, Default, PartialEq)]
pub struct Distribution {
    /// Upper bounds in seconds, growing, and how many took no longer.
    pub buckets: Vec<(f64, u64)>,
    /// How many there are.
    pub count: u64,
    /// All together, in seconds.
    pub sum: f64,
}

/// The parts of a snapshot that are in it.
pub const NEEDS: crate::Needs = crate::Needs {
    pools: true,
    databases: true,
    hosts: true,
    stats: true,
    ..crate::Needs::NOTHING
};

/// Name, meaning and value of a metric that rows of a kind have.
type Metric<R, V> = (&'static str, &'static str, fn(&R) -> V);

/// All of it, for an answer of the type `text/plain; version=0.0.4`.
pub fn metrics(snapshot: &Snapshot, meters: &Meters) -> String {
    let mut families = Families::default();
    pools(&mut families, snapshot);
    databases(&mut families, snapshot);
    traffic(&mut families, snapshot);
    spans(&mut families, meters);
    errors(&mut families, meters);
    hosts(&mut families, snapshot);
    process(&mut families, snapshot, meters);
    families.text()
}

fn pools(families: &mut Families, snapshot: &Snapshot) {
    type Count = fn(&PoolRow) -> u64;
    let clients: [(&str, Count); 2] = [
        ("active", |row| row.cl_active),
        ("waiting", |row| row.cl_waiting),
    ];
    let servers: [(&str, Count); 7] = [
        ("active", |row| row.sv_active),
        ("active_cancel", |row| row.sv_active_cancel),
        ("being_canceled", |row| row.sv_being_canceled),
        ("idle", |row| row.sv_idle),
        ("used", |row| row.sv_used),
        ("tested", |row| row.sv_tested),
        ("login", |row| row.sv_login),
    ];
    let mut by_state = |name: &str, help: &str, states: &[(&str, Count)]| {
        let family = families.gauge(name, help);
        for row in &snapshot.pools {
            for (state, count) in states {
                family.add(&pool(row, &[("state", state)]), count(row) as f64);
            }
        }
    };
    let help = "Clients of a pool: active ones have a server connection or need none.";
    by_state("pgweir_pool_clients", help, &clients);
    let help = "Server connections of a pool, by the states of SHOW SERVERS.";
    by_state("pgweir_pool_servers", help, &servers);
    let wait = families.gauge(
        "pgweir_pool_oldest_wait_seconds",
        "For how long the first client of the queue has been waiting.",
    );
    for row in &snapshot.pools {
        wait.add(&pool(row, &[]), row.maxwait.as_secs_f64());
    }
    let size = families.gauge(
        "pgweir_pool_size",
        "Server connections that a pool may have; 0 is no limit.",
    );
    for row in &snapshot.pools {
        size.add(&pool(row, &[]), row.pool_size as f64);
    }
}

/// The labels of a pool, and more.
fn pool<'a>(row: &'a PoolRow, more: &[(&'a str, &'a str)]) -> Vec<(&'a str, &'a str)> {
    let own = [("database", &*row.database), ("user", &*row.user)];
    own.into_iter().chain(more.iter().copied()).collect()
}

fn databases(families: &mut Families, snapshot: &Snapshot) {
    let each: [Metric<DatabaseRow, f64>; 6] = [
        (
            "pgweir_database_servers",
            "Server connections of a database.",
            |row| row.current_connections as f64,
        ),
        (
            "pgweir_database_servers_max",
            "Server connections that a database may have (max_db_connections); 0 is no limit.",
            |row| row.max_connections as f64,
        ),
        ("pgweir_database_clients", "Clients of a database.", |row| {
            row.current_client_connections as f64
        }),
        (
            "pgweir_database_clients_max",
            "Clients that a database may have (max_db_client_connections); 0 is no limit.",
            |row| row.max_client_connections as f64,
        ),
        (
            "pgweir_database_paused",
            "1 if PAUSE or KILL is in force.",
            |row| row.paused.into(),
        ),
        (
            "pgweir_database_disabled",
            "1 if DISABLE is in force.",
            |row| row.disabled.into(),
        ),
    ];
    for (name, help, value) in each {
        let family = families.gauge(name, help);
        for row in &snapshot.databases {
            family.add(&[("database", &row.name)], value(row));
        }
    }
}

fn traffic(families: &mut Families, snapshot: &Snapshot) {
    let each: [Metric<Counters, u64>; 9] = [
        ("pgweir_transactions_total", "Transactions.", |it| {
            it.xact_count
        }),
        (
            "pgweir_queries_total",
            "Queries, counted by the times that a server was ready again.",
            |it| it.query_count,
        ),
        ("pgweir_received_bytes_total", "Bytes from clients.", |it| {
            it.bytes_received
        }),
        ("pgweir_sent_bytes_total", "Bytes to clients.", |it| {
            it.bytes_sent
        }),
        (
            "pgweir_server_assignments_total",
            "Server connections given to clients.",
            |it| it.server_assignment_count,
        ),
        ("pgweir_client_logins_total", "Logins of clients.", |it| {
            it.client_login_count
        }),
        (
            "pgweir_client_parses_total",
            "Parse messages of clients.",
            |it| it.client_parse_count,
        ),
        (
            "pgweir_server_parses_total",
            "Parse messages to servers: what is missing from the clients' was there already.",
            |it| it.server_parse_count,
        ),
        ("pgweir_binds_total", "Bind messages.", |it| it.bind_count),
    ];
    for (name, help, value) in each {
        let family = families.counter(name, help);
        for row in &snapshot.stats {
            family.add(&[("database", &row.database)], value(&row.totals) as f64);
        }
    }
}

fn spans(families: &mut Families, meters: &Meters) {
    type Of = fn(&SpanRow) -> &Distribution;
    let each: [(&str, &str, Of); 3] = [
        (
            "pgweir_wait_seconds",
            "Time for which clients waited for a server connection, for each that was given.",
            |row| &row.wait,
        ),
        (
            "pgweir_server_seconds",
            "Time from a query to the server's being ready again.",
            |row| &row.server,
        ),
        (
            "pgweir_client_seconds",
            "Time of a transaction in which the server waited for the client.",
            |row| &row.client,
        ),
    ];
    for (name, help, of) in each {
        let family = families.histogram(name, help);
        for row in &meters.spans {
            family.add_distribution(&[("database", &row.database)], of(row));
        }
    }
}

fn errors(families: &mut Families, meters: &Meters) {
    let errors = families.counter(
        "pgweir_server_errors_total",
        "Errors of servers that clients were told of, by the class of their SQLSTATE.",
    );
    for (database, class, count) in &meters.server_errors {
        errors.add(&[("database", database), ("class", class)], *count as f64);
    }
    let errors = families.counter(
        "pgweir_pooler_errors_total",
        "Errors of pgweir's own that ended a client's connection, by what they are.",
    );
    for (reason, count) in &meters.pooler_errors {
        errors.add(&[("reason", reason)], *count as f64);
    }
}

fn hosts(families: &mut Families, snapshot: &Snapshot) {
    let each: [Metric<HostRow, Option<f64>>; 7] = [
        ("pgweir_host_up", "1 if the host answers.", |row| {
            Some((row.state == "up" || row.state == "paused").into())
        }),
        (
            "pgweir_host_in_rotation",
            "1 if statements go to the host.",
            |row| Some(row.in_rotation.into()),
        ),
        ("pgweir_host_timeline", "Timeline of the host.", |row| {
            row.timeline.map(f64::from)
        }),
        (
            "pgweir_host_lag_bytes",
            "WAL that a standby is behind the primary.",
            |row| row.lag_bytes.map(|bytes| bytes as f64),
        ),
        (
            "pgweir_host_lag_seconds",
            "How old what a standby shows is at most.",
            |row| row.lag.map(|lag| lag.as_secs_f64()),
        ),
        (
            "pgweir_host_latency_seconds",
            "How long a lease of the host takes, on average of the last ones.",
            |row| Some(row.latency.as_secs_f64()),
        ),
        (
            "pgweir_host_clients",
            "Clients that use the host, or wait for it.",
            |row| Some(row.clients as f64),
        ),
    ];
    for (name, help, value) in each {
        let family = families.gauge(name, help);
        for row in &snapshot.hosts {
            if let Some(value) = value(row) {
                family.add(&[("database", &row.database), ("host", &row.host)], value);
            }
        }
    }
    let roles = families.gauge(
        "pgweir_host_role",
        "1 for the role that the host has: primary, standby, fenced, rival, other_system or unknown.",
    );
    for row in &snapshot.hosts {
        let labels = [
            ("database", &*row.database),
            ("host", &row.host),
            ("role", &row.role),
        ];
        roles.add(&labels, 1.0);
    }
    let routed = families.counter(
        "pgweir_routed_total",
        "Statements by where they went and why, as in SHOW ROUTES.",
    );
    for row in &snapshot.routes {
        let labels = [
            ("database", &*row.database),
            ("target", &row.target),
            ("reason", &row.reason),
        ];
        routed.add(&labels, row.count as f64);
    }
}

fn process(families: &mut Families, snapshot: &Snapshot, meters: &Meters) {
    let handshakes = families.counter(
        "pgweir_tls_handshakes_total",
        "TLS handshakes with clients, by what came of them.",
    );
    for (result, count) in ["succeeded", "failed"].iter().zip(meters.tls_handshakes) {
        handshakes.add(&[("result", result)], count as f64);
    }
    let cancels = families.counter(
        "pgweir_cancel_requests_total",
        "Cancel requests that have come.",
    );
    cancels.add(&[], meters.cancel_requests as f64);
    for (name, help, value) in [
        (
            "pgweir_paused",
            "1 if PAUSE of everything is in force.",
            u64::from(snapshot.is_paused),
        ),
        (
            "pgweir_suspended",
            "1 if SUSPEND is in force.",
            u64::from(snapshot.is_suspended),
        ),
        (
            "pgweir_draining",
            "1 if the process waits for its clients to leave.",
            u64::from(meters.is_draining),
        ),
        (
            "pgweir_workers",
            "Threads that serve clients.",
            meters.workers,
        ),
    ] {
        families.gauge(name, help).add(&[], value as f64);
    }
    let build = families.gauge("pgweir_build_info", "1, with the version.");
    build.add(&[("version", &snapshot.version)], 1.0);
}

#[cfg(test)]
mod tests {
    use std::time::Duration;

    use super::*;

    #[test]
    fn a_pool_and_a_histogram_read_as_prometheus_writes_them() {
        let snapshot = Snapshot {
            pools: vec![PoolRow {
                database: "a \"b\"\n".to_owned(),
                user: "u".to_owned(),
                cl_waiting: 3,
                maxwait: Duration::from_millis(1500),
                ..PoolRow::default()
            }],
            version: "1.2.3".to_owned(),
            ..Snapshot::default()
        };
        let meters = Meters {
            spans: vec![SpanRow {
                database: "a".to_owned(),
                wait: Distribution {
                    buckets: vec![(0.001, 2), (0.1, 3)],
                    count: 4,
                    sum: 9.5,
                },
                ..SpanRow::default()
            }],
            ..Meters::default()
        };
        let text = metrics(&snapshot, &meters);
        for line in [
            "# TYPE pgweir_pool_clients gauge",
            r#"pgweir_pool_clients{database="a \"b\"\n",user="u",state="waiting"} 3"#,
            r#"pgweir_pool_oldest_wait_seconds{database="a \"b\"\n",user="u"} 1.5"#,
            "# TYPE pgweir_wait_seconds histogram",
            r#"pgweir_wait_seconds_bucket{database="a",le="0.1"} 3"#,
            r#"pgweir_wait_seconds_bucket{database="a",le="+Inf"} 4"#,
            r#"pgweir_wait_seconds_sum{database="a"} 9.5"#,
            r#"pgweir_wait_seconds_count{database="a"} 4"#,
            r#"pgweir_build_info{version="1.2.3"} 1"#,
            "pgweir_cancel_requests_total 0",
        ] {
            assert!(text.lines().any(|it| it == line), "{line} in {text}");
        }
        // A family of which there is nothing is not there.
        assert!(!text.contains("pgweir_host_up"), "{text}");
    }
}
