//! A snapshot with something in every part.

use std::time::Duration;

use crate::{
    Buffers, Cache, ConfigRow, ConnectionRow, Counters, DatabaseRow, DnsHostRow, DnsZoneRow,
    ExplainedRow, FdRow, HostRow, Lists, Mem, PeerPoolRow, PeerRow, PoolRow, Quantiles,
    Replication, RouteRow, Snapshot, State, StatsRow, UserRow,
};

pub(super) fn some(text: &str) -> Option<String> {
    Some(text.into())
}

pub(super) fn counters(first: u64) -> Counters {
    Counters {
        server_assignment_count: first,
        xact_count: first + 1,
        query_count: first + 2,
        bytes_received: first + 3,
        bytes_sent: first + 4,
        xact_time: first + 5,
        query_time: first + 6,
        wait_time: first + 7,
        client_parse_count: first + 8,
        server_parse_count: first + 9,
        bind_count: first + 10,
        client_login_count: first + 11,
    }
}

pub(super) fn connection(id: u64, state: State) -> ConnectionRow {
    ConnectionRow {
        id,
        state,
        ..ConnectionRow::default()
    }
}

pub(super) fn fd(fd: u64, task: &'static str, user: Option<String>) -> FdRow {
    FdRow {
        fd,
        task,
        user,
        link: fd + 2,
        ..FdRow::default()
    }
}

pub(super) fn peer(peer_id: u64, host: &str, port: u64, pool_size: u64) -> PeerRow {
    PeerRow {
        peer_id,
        host: host.to_owned(),
        port,
        pool_size,
    }
}

pub(super) fn client() -> ConnectionRow {
    ConnectionRow {
        fd: 9,
        state: State::ClientActive,
        user: some("u"),
        database: some("d"),
        replication: Replication::Logical,
        addr: "192.0.2.1".into(),
        port: 5000,
        local_addr: "192.0.2.2".into(),
        local_port: 6432,
        connect_time: "2026-11-23 01:02:03 UTC".into(),
        request_time: "2026-11-23 01:02:04 UTC".into(),
        wait: Duration::from_micros(3_000_007),
        close_needed: true,
        link: Some(255),
        remote_pid: 77,
        tls: "TLSv1.3/TLS_AES_256_GCM_SHA384".into(),
        application_name: "psql".into(),
        prepared_statements: 4,
        id: 16,
        buffers: Buffers::default(),
        worker: 1,
        pin: some("temporary table"),
    }
}

/// Something in every part.
// Long because: it has a value for each column.
pub(super) fn snapshot() -> Snapshot {
    let pool = |database: &str, user: &str, cl_active| PoolRow {
        database: database.into(),
        user: user.into(),
        cl_active,
        maxwait: Duration::from_micros(2_000_003),
        pool_mode: "transaction".into(),
        host: "h:5432".into(),
        pool_size: 20,
        ..PoolRow::default()
    };
    let quantiles = |first| Quantiles {
        p50: first,
        p95: first + 1,
        p99: first + 2,
    };
    let stats = |database: &str, first| StatsRow {
        database: database.into(),
        totals: counters(first),
        averages: counters(first + 100),
        waits: quantiles(first + 200),
        queries: quantiles(first + 300),
        clients: quantiles(first + 400),
    };
    let cache = Cache {
        size: 10,
        used: 2,
        free: 3,
    };
    Snapshot {
        pools: vec![pool("b", "x", 1), pool("a", "z", 2), pool("a", "y", 3)],
        clients: vec![client(), connection(17, State::ClientLogin)],
        servers: vec![connection(255, State::ServerActive)],
        databases: vec![
            DatabaseRow {
                name: "b".into(),
                paused: true,
                ..DatabaseRow::default()
            },
            DatabaseRow {
                name: "a".into(),
                host: some("h1,h2"),
                port: 5432,
                database: "real".into(),
                force_user: some("f"),
                pool_size: 1,
                min_pool_size: 2,
                reserve_pool_size: 3,
                server_lifetime: 3600,
                pool_mode: some("session"),
                load_balance_hosts: some("disable"),
                max_connections: 4,
                current_connections: 5,
                max_client_connections: 6,
                current_client_connections: 7,
                paused: false,
                disabled: true,
            },
        ],
        users: vec![
            UserRow {
                name: "v".into(),
                ..UserRow::default()
            },
            UserRow {
                name: "u".into(),
                pool_size: Some(5),
                ..UserRow::default()
            },
        ],
        hosts: vec![HostRow {
            database: "d".into(),
            host: "h:5432".into(),
            role: "standby".into(),
            timeline: Some(3),
            lsn: some("16/B374D848"),
            lag_bytes: Some(7),
            lag: Some(Duration::from_micros(8_900)),
            state: "down".into(),
            reason: some("connect timeout"),
            latency: Duration::from_micros(10),
            clients: 11,
            in_rotation: false,
        }],
        routes: vec![RouteRow {
            database: "d".into(),
            target: "standby".into(),
            reason: "query".into(),
            count: 12,
        }],
        explained: vec![ExplainedRow {
            database: some("d"),
            target: "standby".into(),
            host: some("h:5432"),
            reason: "query".into(),
            because: "it reads".into(),
            word: None,
        }],
        lists: Lists {
            databases: 3,
            used_clients: 2,
            dns_pending: 1,
            ..Lists::default()
        },
        stats: vec![stats("b", 1000), stats("a", 2000)],
        averages: counters(50),
        config: vec![ConfigRow {
            key: "k".into(),
            changeable: true,
            ..ConfigRow::default()
        }],
        peers: vec![peer(1, "a", 6432, 20), peer(2, "/run", 6433, 0)],
        peer_pools: vec![PeerPoolRow {
            peer_id: 2,
            cl_active_cancel_req: 1,
            cl_waiting_cancel_req: 2,
            sv_active_cancel: 3,
            sv_login: 4,
        }],
        fds: vec![fd(7, "pooler", None), fd(9, "client", some("ann"))],
        dns_hosts: [
            ("a", 15, vec!["10.0.0.1:0", "[::1]:0"]),
            ("b.example.org", 0, vec![]),
        ]
        .map(|(name, ttl, addrs)| DnsHostRow {
            hostname: name.to_owned(),
            ttl,
            addrs: addrs.into_iter().map(str::to_owned).collect(),
        })
        .into(),
        dns_zones: vec![DnsZoneRow {
            zonename: "example.org".to_owned(),
            serial: 2_026_112_301,
            count: 1,
        }],
        is_paused: true,
        is_suspended: true,
        mem: Mem {
            pool_cache: cache,
            ..Mem::default()
        },
        version: "0.1.0".into(),
    }
}
