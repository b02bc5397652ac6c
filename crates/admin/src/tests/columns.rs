//! Names, order and types of columns against a table of PgBouncer 1.25's, written down from its
//! answers and not from our code.

use super::{described, messages, tags};
use crate::{Command, Role, Show, Snapshot, answer, parse};

/// PgBouncer's columns, then ours behind a bar. A type holds until the next one.
const FACTS: &[(&str, &str)] = &[
    (
        "CLIENTS",
        "text: type user database replication state addr int4: port text: local_addr \
         int4: local_port text: connect_time request_time int4: wait wait_us close_needed \
         text: ptr link int4: remote_pid text: tls application_name \
         int4: prepared_statements id | int4: worker text: pin",
    ),
    (
        "SERVERS",
        "text: type user database replication state addr int4: port text: local_addr \
         int4: local_port text: connect_time request_time int4: wait wait_us close_needed \
         text: ptr link int4: remote_pid text: tls application_name \
         int4: prepared_statements id | int4: worker text: pin",
    ),
    (
        "SOCKETS",
        "text: type user database replication state addr int4: port text: local_addr \
         int4: local_port text: connect_time request_time int4: wait wait_us close_needed \
         text: ptr link int4: remote_pid text: tls application_name \
         int4: prepared_statements id recv_pos pkt_pos pkt_remain send_pos send_remain \
         pkt_avail send_avail",
    ),
    (
        "ACTIVE_SOCKETS",
        "text: type user database replication state addr int4: port text: local_addr \
         int4: local_port text: connect_time request_time int4: wait wait_us close_needed \
         text: ptr link int4: remote_pid text: tls application_name \
         int4: prepared_statements id recv_pos pkt_pos pkt_remain send_pos send_remain \
         pkt_avail send_avail",
    ),
    (
        "POOLS",
        "text: database user int4: cl_active cl_waiting cl_active_cancel_req \
         cl_waiting_cancel_req sv_active sv_active_cancel sv_being_canceled sv_idle sv_used \
         sv_tested sv_login maxwait maxwait_us text: pool_mode load_balance_hosts \
         | text: host int4: pool_size",
    ),
    (
        "PEER_POOLS",
        "int4: peer_id cl_active_cancel_req cl_waiting_cancel_req sv_active_cancel sv_login",
    ),
    (
        "DATABASES",
        "text: name host int4: port text: database force_user int4: pool_size min_pool_size \
         reserve_pool_size server_lifetime text: pool_mode load_balance_hosts \
         int4: max_connections current_connections max_client_connections \
         current_client_connections paused disabled",
    ),
    (
        "FDS",
        "int4: fd text: task user database addr int4: port int8: cancel int4: link \
         text: client_encoding std_strings datestyle timezone password \
         bytea: scram_client_key scram_server_key",
    ),
    ("PEERS", "int4: peer_id text: host int4: port pool_size"),
    (
        "USERS",
        "text: name pool_size reserve_pool_size pool_mode int4: max_user_connections \
         current_connections max_user_client_connections current_client_connections",
    ),
    ("LISTS", "text: list int4: items"),
    (
        "STATS",
        "text: database numeric: total_server_assignment_count total_xact_count \
         total_query_count total_received total_sent total_xact_time total_query_time \
         total_wait_time total_client_parse_count total_server_parse_count total_bind_count \
         total_client_login_count avg_server_assignment_count avg_xact_count avg_query_count \
         avg_recv avg_sent avg_xact_time avg_query_time avg_wait_time avg_client_parse_count \
         avg_server_parse_count avg_bind_count avg_client_login_count | numeric: p50_wait_time \
         p95_wait_time p99_wait_time p50_query_time p95_query_time p99_query_time p50_client_time \
         p95_client_time p99_client_time",
    ),
    (
        "STATS_TOTALS",
        "text: database numeric: server_assignment_count xact_count query_count \
         bytes_received bytes_sent xact_time query_time wait_time client_parse_count \
         server_parse_count bind_count client_login_count",
    ),
    (
        "STATS_AVERAGES",
        "text: database numeric: server_assignment_count xact_count query_count \
         bytes_received bytes_sent xact_time query_time wait_time avg_client_parse_count \
         avg_server_parse_count avg_bind_count avg_client_login_count",
    ),
    ("TOTALS", "text: name numeric: value"),
    ("CONFIG", "text: key value default changeable"),
    ("MEM", "text: name int4: size used free memtotal"),
    ("DNS_HOSTS", "text: hostname int8: ttl text: addrs"),
    ("DNS_ZONES", "text: zonename int8: serial int4: count"),
    ("VERSION", "text: version | text: pgweir"),
    ("STATE", "text: key value"),
    ("HELP", ""),
    ("client_encoding", "text: client_encoding"),
    (
        "default_transaction_isolation",
        "text: default_transaction_isolation",
    ),
    (
        "standard_conforming_strings",
        "text: standard_conforming_strings",
    ),
    ("datestyle", "text: datestyle"),
    ("timezone", "text: timezone"),
];

/// Every SHOW.
pub(super) fn all() -> Vec<Show> {
    let shows =
        FACTS.iter().map(
            |(name, _)| match parse(format!("SHOW {name}").as_bytes(), Role::Admin) {
                Ok(Command::Show(show)) => show,
                other => panic!("SHOW {name} is {other:?}"),
            },
        );
    shows.collect()
}

/// Names with the OID and size of their types.
fn expected(facts: &str) -> Vec<(String, i32, usize, usize)> {
    let mut kind = (0, 0);
    let mut columns = Vec::new();
    for word in facts.split_whitespace().filter(|word| *word != "|") {
        match word {
            "text:" => kind = (25, 0xffff),
            "int4:" => kind = (23, 4),
            "int8:" => kind = (20, 8),
            "bytea:" => kind = (17, 0xffff),
            "numeric:" => kind = (1700, 0xffff),
            name => columns.push((name.to_owned(), kind.0, kind.1, 0)),
        }
    }
    columns
}

#[test]
fn d3_columns_are_those_of_pgbouncer_and_ours_behind_them() {
    for (show, (name, facts)) in all().into_iter().zip(FACTS) {
        let mut out = Vec::new();
        answer(show, &Snapshot::default(), &mut out);
        if show == Show::Help {
            assert_eq!(tags(&out), "NC", "notice and tag, no rows");
            continue;
        }
        let messages = messages(&out);
        let ('T', body) = messages[0] else {
            panic!("{name}: no description in front")
        };
        assert_eq!(described(body), expected(facts), "{name}");
        let last = messages.last().expect("CommandComplete");
        assert_eq!(*last, ('C', &b"SHOW\0"[..]), "{name}");
    }
}

/// What `wire` writes for columns in text form is what we write.
#[test]
fn d3_a_description_is_that_of_wire() {
    for show in all() {
        let Some(relation) = show.relation() else {
            continue;
        };
        let columns = relation.columns();
        let for_wire: Vec<_> = columns
            .iter()
            .map(|(name, kind)| (*name, kind.oid()))
            .collect();
        let (mut ours, mut theirs) = (Vec::new(), Vec::new());
        crate::describe(&Command::Show(show), &crate::Formats::default(), &mut ours);
        pgweir_wire::encode::row_description(&for_wire, &mut theirs);
        assert_eq!(ours, theirs, "{show:?}");
    }
}

/// What a SHOW does not say it needs, it does not look at.
#[test]
fn d3_needs_name_all_that_is_looked_at() {
    let full = super::sample::snapshot();
    for show in all() {
        let needs = show.needs();
        let mut part = Snapshot::default();
        let mut take = |needed: bool, copy: fn(&mut Snapshot, Snapshot)| {
            if needed {
                copy(&mut part, full.clone());
            }
        };
        take(needs.pools, |part, full| part.pools = full.pools);
        take(needs.clients, |part, full| part.clients = full.clients);
        take(needs.servers, |part, full| part.servers = full.servers);
        take(needs.databases, |part, full| {
            part.databases = full.databases
        });
        take(needs.users, |part, full| part.users = full.users);
        take(needs.peers, |part, full| {
            part.peers = full.peers;
            part.peer_pools = full.peer_pools;
        });
        take(needs.fds, |part, full| part.fds = full.fds);
        take(needs.dns, |part, full| {
            part.dns_hosts = full.dns_hosts;
            part.dns_zones = full.dns_zones;
        });
        take(needs.lists, |part, full| part.lists = full.lists);
        take(needs.stats, |part, full| {
            part.stats = full.stats;
            part.averages = full.averages;
        });
        take(needs.config, |part, full| part.config = full.config);
        take(needs.state, |part, full| {
            part.is_paused = full.is_paused;
            part.is_suspended = full.is_suspended;
        });
        take(needs.mem, |part, full| part.mem = full.mem);
        take(needs.version, |part, full| part.version = full.version);
        let (mut of_part, mut of_full) = (Vec::new(), Vec::new());
        answer(show, &part, &mut of_part);
        answer(show, &full, &mut of_full);
        assert_eq!(of_part, of_full, "{show:?}");
    }
}
