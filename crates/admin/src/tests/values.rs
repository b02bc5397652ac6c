//! What rows say.

use super::sample::{connection, snapshot};
use super::{data_row, described, messages, text_rows};
use crate::{
    Buffers, Command, ConnectionRow, Counters, Fake, Format, Formats, Show, Snapshot, State,
    StatsRow, answer, describe, rows,
};

fn shown(show: Show) -> Vec<Vec<String>> {
    let mut out = Vec::new();
    answer(show, &snapshot(), &mut out);
    text_rows(&out)
}

#[track_caller]
fn check(show: Show, expected: &[&str]) {
    let rows: Vec<String> = shown(show).iter().map(|row| row.join(",")).collect();
    assert_eq!(rows, expected, "{show:?}");
}

#[test]
fn rows_of_connections() {
    let back = "192.0.2.1,5000,192.0.2.2,6432,2026-11-23 01:02:03 UTC,2026-11-23 01:02:04 UTC,\
                3,7,1,0x10,0xff,77,TLSv1.3/TLS_AES_256_GCM_SHA384,psql,4,16";
    let server = ",0,,0,,,0,0,0,0xff,,0,,,0,255";
    let client = format!("C,u,d,logical,active,{back},1,temporary table");
    check(Show::Clients, &[&client]);
    check(
        Show::Servers,
        &[&format!("S,(nouser),(nodb),none,active,{server},0,NULL")],
    );
    let logging_in = ",0,,0,,,0,0,0,0x11,,0,,,0,17,0,0,0,0,0,0,0";
    check(
        Show::Sockets,
        &[
            &format!("C,u,d,logical,cl_active,{back},0,0,0,0,0,0,0"),
            &format!("C,(nouser),(nodb),none,cl_login,{logging_in}"),
            &format!("S,(nouser),(nodb),none,sv_active,{server},0,0,0,0,0,0,0"),
        ],
    );
    check(Show::ActiveSockets, &[]);
}

#[test]
fn sockets_with_something_in_their_buffers_are_active() {
    let buffers = Buffers {
        send_avail: 9,
        ..Buffers::default()
    };
    let busy = ConnectionRow {
        buffers,
        ..connection(1, State::ServerIdle)
    };
    let idle = connection(2, State::ServerIdle);
    let snapshot = Snapshot {
        servers: vec![idle, busy],
        ..Snapshot::default()
    };
    let mut out = Vec::new();
    answer(Show::ActiveSockets, &snapshot, &mut out);
    let rows = text_rows(&out);
    assert_eq!(rows.len(), 1);
    assert_eq!(
        (rows[0][4].as_str(), rows[0][27].as_str()),
        ("sv_idle", "9")
    );
}

#[test]
fn states_have_the_names_of_pgbouncer() {
    for (state, kind, name, socket) in [
        (State::ClientActive, "C", "active", "cl_active"),
        (State::ClientIdle, "C", "idle", "cl_active"),
        (State::ClientWaiting, "C", "waiting", "cl_waiting"),
        (State::ClientActiveCancel, "C", "active_cancel_req", ""),
        (State::ClientWaitingCancel, "C", "waiting_cancel_req", ""),
        (State::ClientLogin, "C", "", "cl_login"),
        (State::ServerLogin, "S", "new", "sv_login"),
        (State::ServerActive, "S", "active", "sv_active"),
        (State::ServerIdle, "S", "idle", "sv_idle"),
        (State::ServerUsed, "S", "used", "sv_used"),
        (State::ServerTested, "S", "tested", "sv_tested"),
        (State::ServerActiveCancel, "S", "active_cancel", ""),
        (State::ServerBeingCanceled, "S", "being_canceled", ""),
    ] {
        let row = vec![connection(1, state)];
        let is_client = kind == "C";
        let (clients, servers) = if is_client {
            (row, vec![])
        } else {
            (vec![], row)
        };
        let snapshot = Snapshot {
            clients,
            servers,
            ..Snapshot::default()
        };
        let state_in = |show| {
            let mut out = Vec::new();
            answer(show, &snapshot, &mut out);
            text_rows(&out)
                .pop()
                .map(|row| (row[0].clone(), row[4].clone()))
        };
        let one = |name: &str| (!name.is_empty()).then(|| (kind.to_owned(), name.to_owned()));
        let show = if is_client {
            Show::Clients
        } else {
            Show::Servers
        };
        assert_eq!(state_in(show), one(name), "{state:?}");
        assert_eq!(state_in(Show::Sockets), one(socket), "{state:?}");
    }
}

#[test]
fn rows_in_the_order_of_their_names() {
    let rest = ",0,0,0,0,0,0,0,0,0,0,2,3,transaction,NULL,h:5432,20";
    let pools = [
        format!("a,y,3{rest}"),
        format!("a,z,2{rest}"),
        format!("b,x,1{rest}"),
    ];
    check(Show::Pools, &pools.each_ref().map(String::as_str));
    check(
        Show::Databases,
        &[
            "a,h1,h2,5432,real,f,1,2,3,3600,session,disable,4,5,6,7,0,1",
            "b,NULL,0,,NULL,0,0,0,0,NULL,NULL,0,0,0,0,1,0",
        ],
    );
    check(
        Show::Users,
        &["u,        5,,NULL,0,0,0,0", "v,,,NULL,0,0,0,0"],
    );
}

fn numbers(numbers: impl IntoIterator<Item = u64>) -> String {
    let numbers: Vec<String> = numbers
        .into_iter()
        .map(|number| number.to_string())
        .collect();
    numbers.join(",")
}

#[test]
fn rows_of_statistics() {
    let totals = |first: u64| numbers(first..first + 12);
    let row = |name: &str, values: &str| format!("{name},{values}");
    let (a, b) = (row("a", &totals(2000)), row("b", &totals(1000)));
    check(Show::StatsTotals, &[&a, &b]);
    let (a_avg, b_avg) = (row("a", &totals(2100)), row("b", &totals(1100)));
    check(Show::StatsAverages, &[&a_avg, &b_avg]);
    // Averages, and what only ours has.
    let rest = |first: u64| {
        let quantiles = [200, 300, 400].into_iter();
        numbers(
            (first + 100..first + 112)
                .chain(quantiles.flat_map(|more| first + more..first + more + 3)),
        )
    };
    check(Show::Stats, &[&row(&a, &rest(2000)), &row(&b, &rest(1000))]);
}

#[test]
fn rows_of_totals() {
    let names = [
        "server_assignment_count",
        "xact_count",
        "query_count",
        "client_bytes",
        "server_bytes",
        "xact_time",
        "query_time",
        "wait_time",
        "ps_client_parse_count",
        "ps_server_parse_count",
        "ps_bind_count",
        "client_login_count",
    ];
    let totals = names
        .iter()
        .zip(0..)
        .map(|(name, at)| format!("total_{name},{}", 3000 + 2 * at));
    let averages = names
        .iter()
        .zip(0..)
        .map(|(name, at)| format!("avg_{name},{}", 50 + at));
    let expected: Vec<String> = totals.chain(averages).collect();
    check(
        Show::Totals,
        &expected.iter().map(String::as_str).collect::<Vec<_>>(),
    );
}

#[test]
fn rows_that_are_always_the_same() {
    check(Show::State, &["active,no", "paused,yes", "suspended,yes"]);
    check(Show::Version, &["PgBouncer 1.25.2,0.1.0"]);
    check(Show::Config, &["k,NULL,NULL,yes"]);
    check(
        Show::Fds,
        &[
            "7,pooler,NULL,NULL,,0,NULL,9,NULL,NULL,NULL,NULL,NULL,NULL,NULL",
            "9,client,ann,NULL,,0,NULL,11,NULL,NULL,NULL,NULL,NULL,NULL,NULL",
        ],
    );
    check(Show::Peers, &["1,a,6432,20", "2,/run,6433,0"]);
    check(Show::PeerPools, &["2,1,2,3,4"]);
    check(
        Show::DnsHosts,
        &["a,15,10.0.0.1:0,[::1]:0", "b.example.org,0,"],
    );
    check(Show::DnsZones, &["example.org,2026112301,1"]);
    check(
        Show::Hosts,
        &["d,h:5432,standby,3,16/B374D848,7,8,down,connect timeout,10,11,0"],
    );
    check(Show::Routes, &["d,standby,query,12"]);
    check(Show::Explained, &["d,standby,h:5432,query,it reads,NULL"]);
    check(Show::Help, &[]);
    check(Show::Fake(Fake::ClientEncoding), &["UTF-8"]);
    check(
        Show::Fake(Fake::DefaultTransactionIsolation),
        &["read committed"],
    );
    check(Show::Fake(Fake::StandardConformingStrings), &["on"]);
    check(Show::Fake(Fake::DateStyle), &["ISO"]);
    check(Show::Fake(Fake::TimeZone), &["GMT"]);
    check(
        Show::Lists,
        &[
            "databases,3",
            "users,0",
            "peers,0",
            "pools,0",
            "peer_pools,0",
            "free_clients,0",
            "used_clients,2",
            "login_clients,0",
            "free_servers,0",
            "used_servers,0",
            "dns_names,0",
            "dns_zones,0",
            "dns_queries,0",
            "dns_pending,1",
        ],
    );
    check(
        Show::Mem,
        &[
            "user_cache,0,0,0,0",
            "credentials_cache,0,0,0,0",
            "db_cache,0,0,0,0",
            "peer_cache,0,0,0,0",
            "peer_pool_cache,0,0,0,0",
            "pool_cache,10,2,3,50",
            "outstanding_request_cache,0,0,0,0",
            "server_cache,0,0,0,0",
            "client_cache,0,0,0,0",
            "iobuf_cache,0,0,0,0",
            "var_list_cache,0,0,0,0",
            "server_prepared_statement_cache,0,0,0,0",
        ],
    );
}

/// The values of the only row, in binary form.
fn binary(show: Show, snapshot: &Snapshot) -> Vec<Option<Vec<u8>>> {
    let mut out = Vec::new();
    rows(show, snapshot, &Formats(vec![Format::Binary]), &mut out);
    let messages = messages(&out);
    let (_, body) = messages.iter().find(|(tag, _)| *tag == 'D').expect("a row");
    data_row(body)
        .into_iter()
        .map(|value| value.map(<[u8]>::to_vec))
        .collect()
}

#[test]
fn values_in_binary_form_are_those_of_postgresql() {
    // What `numeric_send` gives: digits, weight, sign, scale, digits of base 10000.
    for (number, words) in [
        (0, vec![0, 0, 0, 0]),
        (1, vec![1, 0, 0, 0, 1]),
        (9999, vec![1, 0, 0, 0, 9999]),
        (10_000, vec![2, 1, 0, 0, 1, 0]),
        (123_456_789, vec![3, 2, 0, 0, 1, 2345, 6789]),
        (u64::MAX, vec![5, 4, 0, 0, 1844, 6744, 737, 955, 1615]),
    ] {
        let totals = Counters {
            server_assignment_count: number,
            ..Counters::default()
        };
        let stats = vec![StatsRow {
            totals,
            ..StatsRow::default()
        }];
        let values = binary(
            Show::StatsTotals,
            &Snapshot {
                stats,
                ..Snapshot::default()
            },
        );
        let words: Vec<u8> = words.into_iter().flat_map(u16::to_be_bytes).collect();
        assert_eq!(values[1].as_deref(), Some(&words[..]), "{number}");
    }
    let row = ConnectionRow {
        port: 5432,
        id: u64::MAX,
        ..connection(0, State::ServerIdle)
    };
    let values = binary(
        Show::Servers,
        &Snapshot {
            servers: vec![row],
            ..Snapshot::default()
        },
    );
    assert_eq!(values[0].as_deref(), Some(&b"S"[..]));
    assert_eq!(values[6].as_deref(), Some(&5432_i32.to_be_bytes()[..]));
    assert_eq!(
        values[20].as_deref(),
        Some(&i32::MAX.to_be_bytes()[..]),
        "as much as fits"
    );
    assert_eq!(values[22], None);
}

#[test]
fn formats_are_for_all_columns_or_for_each() {
    use Format::{Binary, Text};
    let command = Command::Show(Show::Lists);
    for (formats, expected) in [
        (vec![], [0, 0]),
        (vec![Text], [0, 0]),
        (vec![Binary], [1, 1]),
        (vec![Text, Binary], [0, 1]),
    ] {
        let mut out = Vec::new();
        describe(&command, &Formats(formats), &mut out);
        let formats = described(messages(&out)[0].1)
            .into_iter()
            .map(|column| column.3);
        assert_eq!(formats.collect::<Vec<_>>(), expected);
    }
}
