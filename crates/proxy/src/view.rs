//! What the console is shown: the state of the pooler as plain rows.

mod clusters;

pub use clusters::explained;
mod rows;

pub use self::rows::of_worker;

use std::collections::BTreeMap;
use std::sync::Arc;
use std::time::{Duration, Instant};

use hashbrown::HashMap;
use pgweir_admin::{
    ConfigRow, ConnectionRow, Counters, DatabaseRow, FdRow, Lists, Mem, Needs, PoolRow, Quantiles,
    Snapshot, State, StatsRow, UserRow,
};
use pgweir_pool::WorkerId;
use tokio::sync::oneshot;

use crate::mail::Mail;
use crate::peers::Peers;
use crate::shared::Shared;
use crate::stats::{Times, Totals};

/// Gathers what a SHOW needs.
pub async fn snapshot(shared: &Shared, needs: Needs) -> Snapshot {
    let mut snapshot = Snapshot {
        version: env!("CARGO_PKG_VERSION").to_owned(),
        ..Snapshot::default()
    };
    let rows = needs.clients || needs.servers || needs.lists || needs.mem;
    if rows {
        (snapshot.clients, snapshot.servers) = connections(shared).await;
    }
    if needs.pools || needs.lists || needs.mem {
        snapshot.pools = pools(shared);
    }
    if needs.databases || needs.lists || needs.mem {
        snapshot.databases = databases(shared);
    }
    if needs.users || needs.lists || needs.mem {
        snapshot.users = users(shared);
    }
    if needs.peers || needs.lists || needs.mem {
        let config = shared.config.load();
        snapshot.peers = Peers::rows(&config);
        snapshot.peer_pools = shared.peers.pool_rows(&config);
    }
    if needs.fds {
        let (clients, servers) = connections(shared).await;
        snapshot.fds = fds(shared, &clients, &servers);
    }
    if needs.dns || needs.lists {
        snapshot.dns_hosts = shared.dns.host_rows();
        snapshot.dns_zones = shared.dns.zone_rows();
    }
    if needs.lists || needs.mem {
        snapshot.lists = lists(&snapshot);
        snapshot.lists.dns_queries = shared.dns.pending();
        snapshot.mem = mem(&snapshot);
    }
    if needs.hosts {
        snapshot.hosts = clusters::hosts(shared);
        snapshot.routes = clusters::routes(shared);
    }
    if needs.stats {
        (snapshot.stats, snapshot.averages) = stats(shared);
    }
    if needs.config {
        snapshot.config = settings(shared);
    }
    snapshot.is_paused = shared.pools.lock().is_paused(None);
    snapshot.is_suspended = shared.suspension.is_in_force();
    snapshot
}

fn settings(shared: &Shared) -> Vec<ConfigRow> {
    let shown = shared.config.load().show(shared.written.notation);
    let rows = shown.into_iter().map(|setting| ConfigRow {
        value: match (setting.key, &shared.written.file) {
            ("conffile", Some(file)) => Some(file.display().to_string()),
            _ => setting.value,
        },
        key: setting.key.to_owned(),
        default: setting.default,
        changeable: setting.changeable,
    });
    rows.collect()
}

async fn connections(shared: &Shared) -> (Vec<ConnectionRow>, Vec<ConnectionRow>) {
    let mut replies = Vec::new();
    for worker in 0..shared.workers() {
        let (reply, wait) = oneshot::channel();
        shared.mail(WorkerId(worker as u16), Mail::View(reply));
        replies.push(wait);
    }
    let (mut clients, mut servers) = (Vec::new(), Vec::new());
    for reply in replies {
        // A worker that has stopped has none.
        let view = reply.await.unwrap_or_default();
        clients.extend(view.clients);
        servers.extend(view.servers);
    }
    clients.sort_by_key(|client| client.id);
    servers.sort_by_key(|server| server.id);
    (clients, servers)
}

/// Clients that are logged in, by database and user of the pool that serves them.
fn clients_of_pools(
    config: &pgweir_config::Config,
    admitted: &HashMap<(Arc<str>, Arc<str>), u32>,
) -> BTreeMap<(String, String), u64> {
    let mut clients: BTreeMap<(String, String), u64> = BTreeMap::new();
    for ((database, login), count) in admitted {
        let entry = config.database(database);
        let user = entry
            .map_or(&**login, |entry| entry.pool_user(login))
            .to_owned();
        *clients.entry((database.to_string(), user)).or_default() += u64::from(*count);
    }
    clients
}

/// All counts of a row are of one moment: who waits is not counted as active, too.
fn pools(shared: &Shared) -> Vec<PoolRow> {
    let now = Instant::now();
    let config = shared.config.load();
    let clients = clients_of_pools(&config, &shared.admissions.by_pair());
    let cancels = shared.cancels.lock();
    let pools = shared.pools.lock();
    let mut rows: Vec<PoolRow> = pools
        .iter()
        .map(|pool| {
            let counts = pools.counts(pool.id, now);
            let cancels = cancels
                .get(&pool.id)
                .map(|it| it.counts())
                .unwrap_or_default();
            let (database, user) = (pool.key.database.to_string(), pool.key.user.to_string());
            let entry = config.database(&database);
            let mode = entry.map(|entry| config.pool_mode(entry.database, &user));
            PoolRow {
                cl_active: 0,
                cl_waiting: counts.waiting.into(),
                cl_active_cancel_req: cancels.sent.into(),
                cl_waiting_cancel_req: cancels.connecting.into(),
                sv_active: counts.active.into(),
                sv_active_cancel: cancels.sent.into(),
                sv_being_canceled: counts.being_canceled.into(),
                sv_idle: counts.idle.into(),
                sv_used: counts.used.into(),
                sv_tested: counts.tested.into(),
                sv_login: counts.opening.into(),
                maxwait: counts
                    .oldest_wait
                    .map_or(Duration::ZERO, |since| now.saturating_duration_since(since)),
                pool_mode: mode.map(|mode| mode.to_string()).unwrap_or_default(),
                load_balance_hosts: entry
                    .and_then(|entry| crate::limits::load_balance_hosts(&config, entry.database)),
                host: pool.key.host.to_string(),
                pool_size: pool.limits.size.into(),
                database,
                user,
            }
        })
        .collect();
    // One row for each database and user, as exporters expect: replication counts with the rest.
    rows.sort_by(|a, b| (&a.database, &a.user).cmp(&(&b.database, &b.user)));
    rows.dedup_by(|other, row| {
        let same = (&other.database, &other.user) == (&row.database, &row.user);
        if same {
            row.cl_waiting += other.cl_waiting;
            row.sv_active += other.sv_active;
            row.sv_being_canceled += other.sv_being_canceled;
            row.sv_idle += other.sv_idle;
            row.sv_used += other.sv_used;
            row.sv_tested += other.sv_tested;
            row.sv_login += other.sv_login;
            row.maxwait = row.maxwait.max(other.maxwait);
        }
        same
    });
    for row in &mut rows {
        let all = clients.get(&(row.database.clone(), row.user.clone()));
        row.cl_active = all.map_or(0, |all| all.saturating_sub(row.cl_waiting));
    }
    rows.push(PoolRow {
        database: "pgbouncer".to_owned(),
        user: "pgbouncer".to_owned(),
        cl_active: shared.suspension.consoles().into(),
        pool_mode: "statement".to_owned(),
        ..PoolRow::default()
    });
    rows
}

fn databases(shared: &Shared) -> Vec<DatabaseRow> {
    let config = shared.config.load();
    let admitted = shared.admissions.by_database();
    let pools = shared.pools.lock();
    let mut names: Vec<String> = config
        .databases
        .keys()
        .filter(|name| *name != "*")
        .cloned()
        .collect();
    names.extend(pools.databases().iter().map(ToString::to_string));
    names.sort_unstable();
    names.dedup();
    let mut rows: Vec<DatabaseRow> = names
        .iter()
        .filter_map(|name| {
            let entry = config.database(name)?;
            let database = entry.database;
            let hosts = crate::limits::hosts(&config, database);
            let of_database = pools.iter().filter(|pool| *pool.key.database == **name);
            let current: u64 = of_database
                .map(|pool| {
                    let counts = pools.counts(pool.id, Instant::now());
                    let held = counts.active + counts.tested + counts.being_canceled;
                    u64::from(counts.idle + counts.used + held + counts.opening)
                })
                .sum();
            let tcp: Vec<&str> = hosts
                .iter()
                .filter(|host| !host.is_unix())
                .map(|host| host.name())
                .collect();
            Some(DatabaseRow {
                name: name.clone(),
                host: if tcp.is_empty() {
                    None
                } else {
                    Some(tcp.join(","))
                },
                port: hosts.first().map_or(5432, pgweir_config::Host::port).into(),
                database: entry.dbname().to_owned(),
                force_user: database.user.clone(),
                pool_size: config
                    .pool_size(database, database.user.as_deref().unwrap_or_default())
                    .into(),
                min_pool_size: config.min_pool_size(database).into(),
                reserve_pool_size: config
                    .reserve_pool_size(database, database.user.as_deref().unwrap_or_default())
                    .into(),
                server_lifetime: config.server_lifetime(database).as_secs(),
                pool_mode: database.pool_mode.map(|mode| mode.to_string()),
                load_balance_hosts: crate::limits::load_balance_hosts(&config, database),
                max_connections: config.max_db_connections(database).into(),
                current_connections: current,
                max_client_connections: config.max_db_client_connections(database).into(),
                current_client_connections: admitted
                    .get(name.as_str())
                    .copied()
                    .unwrap_or(0)
                    .into(),
                paused: pools.is_paused(Some(name)),
                disabled: pools.is_disabled(name),
            })
        })
        .collect();
    rows.push(DatabaseRow {
        name: "pgbouncer".to_owned(),
        port: config.settings.listen_port.into(),
        database: "pgbouncer".to_owned(),
        force_user: Some("pgbouncer".to_owned()),
        pool_size: 2,
        pool_mode: Some("statement".to_owned()),
        ..DatabaseRow::default()
    });
    rows
}

fn users(shared: &Shared) -> Vec<UserRow> {
    let config = shared.config.load();
    let admitted = shared.admissions.by_user();
    let known = shared.users.load();
    let mut names: Vec<&str> = known.keys().map(String::as_str).collect();
    names.extend(config.users.keys().map(String::as_str));
    names.extend(admitted.keys().map(|name| &**name));
    names.sort_unstable();
    names.dedup();
    let pools = shared.pools.lock();
    names
        .iter()
        .map(|name| {
            let user = config.users.get(*name);
            UserRow {
                name: (*name).to_owned(),
                pool_size: user.and_then(|user| user.pool_size).map(u64::from),
                reserve_pool_size: user.and_then(|user| user.reserve_pool_size).map(u64::from),
                pool_mode: user
                    .and_then(|user| user.pool_mode)
                    .map(|mode| mode.to_string()),
                max_user_connections: config.max_user_connections(name).into(),
                current_connections: u64::from(pools.user_connections(name)),
                max_user_client_connections: config.max_user_client_connections(name).into(),
                current_client_connections: admitted.get(*name).copied().unwrap_or(0).into(),
            }
        })
        .collect()
}

/// Sockets without TLS, those that listen first.
fn fds(shared: &Shared, clients: &[ConnectionRow], servers: &[ConnectionRow]) -> Vec<FdRow> {
    let all = || clients.iter().chain(servers);
    let by_id: HashMap<u64, u64> = all().map(|row| (row.id, row.fd)).collect();
    let mut fds = shared.listening.lock().clone();
    let of = |task| {
        let by_id = &by_id;
        move |row: &ConnectionRow| FdRow {
            fd: row.fd,
            task,
            user: row.user.clone(),
            database: row.database.clone(),
            addr: row.addr.clone(),
            port: row.port,
            link: row.link.and_then(|id| by_id.get(&id).copied()).unwrap_or(0),
        }
    };
    let plain = |row: &&ConnectionRow| row.tls.is_empty();
    fds.extend(clients.iter().filter(plain).map(of("client")));
    fds.extend(servers.iter().filter(plain).map(of("server")));
    fds
}

fn lists(snapshot: &Snapshot) -> Lists {
    let count = |rows: &[ConnectionRow], states: &[State]| {
        rows.iter()
            .filter(|row| states.contains(&row.state))
            .count() as u64
    };
    let login = count(&snapshot.clients, &[State::ClientLogin]);
    let opening: u64 = snapshot.pools.iter().map(|pool| pool.sv_login).sum();
    Lists {
        databases: snapshot.databases.len() as u64,
        users: snapshot.users.len() as u64,
        pools: snapshot.pools.len() as u64,
        peers: snapshot.peers.len() as u64,
        peer_pools: snapshot.peer_pools.len() as u64,
        dns_names: snapshot.dns_hosts.len() as u64,
        dns_zones: snapshot.dns_zones.len() as u64,
        used_clients: snapshot.clients.len() as u64 - login,
        login_clients: login,
        used_servers: snapshot.servers.len() as u64 + opening,
        ..Lists::default()
    }
}

/// Caches in PgBouncer's sense: we have none, so these are the sizes and numbers of the things
/// themselves.
fn mem(snapshot: &Snapshot) -> Mem {
    let cache = |size: usize, used: u64| pgweir_admin::Cache {
        size: size as u64,
        used,
        ..Default::default()
    };
    Mem {
        db_cache: cache(
            size_of::<pgweir_config::Database>(),
            snapshot.databases.len() as u64,
        ),
        user_cache: cache(
            size_of::<pgweir_config::User>(),
            snapshot.users.len() as u64,
        ),
        peer_cache: cache(
            size_of::<pgweir_config::Peer>(),
            snapshot.peers.len() as u64,
        ),
        peer_pool_cache: cache(
            size_of::<crate::requests::Requests>(),
            snapshot.peer_pools.len() as u64,
        ),
        pool_cache: cache(
            size_of::<pgweir_pool::Limits>(),
            snapshot.pools.len() as u64,
        ),
        server_cache: cache(
            size_of::<crate::server::ServerConn>(),
            snapshot.servers.len() as u64,
        ),
        client_cache: cache(
            size_of::<crate::relay::Relay>(),
            snapshot.clients.len() as u64,
        ),
        ..Mem::default()
    }
}

fn counters(totals: &Totals) -> Counters {
    Counters {
        server_assignment_count: totals.assignments,
        xact_count: totals.transactions,
        query_count: totals.queries,
        bytes_received: totals.received,
        bytes_sent: totals.sent,
        xact_time: totals.transaction_us,
        query_time: totals.query_us,
        wait_time: totals.wait_us,
        client_parse_count: totals.client_parses,
        server_parse_count: totals.server_parses,
        bind_count: totals.binds,
        client_login_count: totals.logins,
    }
}

fn stats(shared: &Shared) -> (Vec<StatsRow>, Counters) {
    let stats = shared.stats.lock();
    let rows = stats.iter().map(|(name, database)| StatsRow {
        database: name.to_string(),
        totals: counters(&database.totals()),
        averages: counters(&database.averages),
        waits: quantiles(&database.spans.wait),
        queries: quantiles(&database.spans.server),
        clients: quantiles(&database.spans.client),
    });
    (rows.collect(), counters(&shared.overall.lock().averages))
}

fn quantiles(times: &Times) -> Quantiles {
    Quantiles {
        p50: times.quantile(0.5),
        p95: times.quantile(0.95),
        p99: times.quantile(0.99),
    }
}

/// Counters of the console count as those of a database of its own, as in PgBouncer.
pub fn console_stats(shared: &Shared, worker: WorkerId) -> Arc<crate::stats::Stats> {
    shared.stats_of("pgbouncer", worker)
}
