//! What of PgBouncer's is not a key of pgweir.
//!
//! `docs/pgbouncer.md` is written from here: after a change,
//! `PGWEIR_WRITE_REFERENCE=1 cargo test -p pgweir-config reference`.

/// Names and defaults; see its head.
const ALL: &str = include_str!("options.txt");

/// All options of `[pgbouncer]`, in the order of PgBouncer's SHOW CONFIG, each with what it is where a
/// file does not say it; `None`: nothing, which is not the same as the empty text.
pub(crate) fn all() -> impl Iterator<Item = (&'static str, Option<&'static str>)> {
    let lines = ALL.lines().filter(|line| !line.starts_with('#'));
    lines.map(|line| match line.split_once(' ') {
        Some((name, "-")) => (name, None),
        Some((name, default)) => (name, Some(default)),
        None => (line, Some("")),
    })
}

/// Those that PgBouncer looks at only when it starts.
const RESTART: &[&str] = &[
    "disable_pqexec",
    "job_name",
    "listen_addr",
    "listen_backlog",
    "listen_port",
    "pidfile",
    "pkt_buf",
    "resolv_conf",
    "so_reuseport",
    "track_extra_parameters",
    "unix_socket_dir",
    "unix_socket_group",
    "unix_socket_mode",
    "user",
];

/// Whether PgBouncer looks at an option only when it starts.
pub(crate) fn is_restart(name: &str) -> bool {
    RESTART.contains(&name)
}

/// What pgweir understands and does nothing about, with the reason, which is told whenever it is
/// met.
pub(crate) const WITHOUT_EFFECT: &[(&str, &str)] = &[
    (
        "pkt_buf",
        "has no effect: a buffer belongs to a thread and not to a connection, so its size costs \
         nothing",
    ),
    (
        "sbuf_loopcnt",
        "has no effect: after a few buffers of one connection the others have their turn",
    ),
    (
        "track_extra_parameters",
        "has no effect: whatever the server reports and a client can set follows the client",
    ),
    (
        "client_tls_dheparams",
        "has no effect: keys are agreed on over elliptic curves only",
    ),
    (
        "conffile",
        "has no effect: RELOAD reads the file that the process was started with",
    ),
    ("job_name", "has no effect: it names a service of Windows"),
    (
        "service_name",
        "has no effect: it names a service of Windows",
    ),
];

/// Values of keys of pgweir that do not mean quite what they mean to PgBouncer.
pub(crate) const REMARKS: &[(&str, &str, &str)] = &[
    ("client_tls_protocols", "all", OLD_TLS),
    ("server_tls_protocols", "all", OLD_TLS),
];

const OLD_TLS: &str = "means TLS 1.2 and 1.3: older versions are broken and not spoken";
