//! Hosts of clusters, and where statements went.

use std::time::Instant;

use pgweir_admin::{ExplainedRow, HostRow, RouteRow};
use pgweir_config::{Consistency, Routing};
use pgweir_route::intent::{self, Catalog, Intent, NoCatalog};
use pgweir_route::lex::Dialect;
use pgweir_route::topology::{Freshness, HostView, Role};
use pgweir_route::{HostIndex, Seen, Want};

use crate::cluster::{Cluster, policy};
use crate::shared::Shared;

/// For SHOW HOSTS: by database, in the order of the configuration.
pub(super) fn hosts(shared: &Shared) -> Vec<HostRow> {
    let config = shared.config.load();
    let now = Instant::now();
    let mut rows = Vec::new();
    let routed = config.databases.iter();
    for (name, database) in routed.filter(|(_, it)| it.routing() != Routing::Off) {
        let Some(cluster) = shared.cluster_of(&config, name) else {
            continue;
        };
        let is_eventual = database.consistency() == Consistency::Eventual;
        let wanted = Freshness {
            at_least: None,
            lag_max: database.max_lag().filter(|_| !is_eventual),
            lag_bytes_max: database.max_lag_bytes().filter(|_| !is_eventual),
        };
        for place in 0..cluster.hosts.len() {
            let row = host(&cluster, HostIndex(place), wanted, now);
            rows.extend(row.map(|row| HostRow {
                database: name.clone(),
                ..row
            }));
        }
    }
    rows
}

fn host(cluster: &Cluster, host: HostIndex, wanted: Freshness, now: Instant) -> Option<HostRow> {
    let (view, failure) = cluster.view(host, now)?;
    let (clients, latency) = cluster.load(host);
    Some(HostRow {
        database: String::new(),
        host: cluster.hosts[host.0].to_string(),
        role: view.role.word().to_owned(),
        timeline: view.timeline,
        lsn: view.lsn.map(|lsn| lsn.to_string()),
        lag_bytes: view.lag.map(|lag| lag.bytes),
        lag: view.lag.map(|lag| lag.time),
        state: state(&view).to_owned(),
        reason: failure.map(|failure| failure.to_string()),
        latency,
        clients: clients.into(),
        in_rotation: cluster.is_in_rotation(host, wanted, now),
    })
}

fn state(view: &HostView) -> &'static str {
    if view.is_paused {
        "paused"
    } else if view.is_down {
        "down"
    } else if view.is_in_doubt {
        "doubt"
    } else if view.is_stale && view.role != Role::Unknown {
        "stale"
    } else if view.role == Role::Unknown {
        "unknown"
    } else {
        "up"
    }
}

/// For SHOW ROUTES.
pub(super) fn routes(shared: &Shared) -> Vec<RouteRow> {
    let mut rows = Vec::new();
    for (database, routes) in shared.routes.all() {
        rows.extend(
            routes
                .all()
                .into_iter()
                .map(|(target, reason, count)| RouteRow {
                    database: database.to_string(),
                    target: target.word().to_owned(),
                    reason: reason.to_owned(),
                    count,
                }),
        );
    }
    rows
}

/// Where a statement would go that a client sends who has not done anything before.
pub fn explained(shared: &Shared, text: &str) -> Vec<ExplainedRow> {
    let explain = |catalog: &dyn Catalog| {
        let judgement = intent::judge(text.as_bytes(), Dialect::default(), catalog);
        let reason = judgement.reason;
        let word = judgement.at.of(text.as_bytes());
        let target = match reason.intent() {
            Intent::Primary => "primary",
            Intent::Read => "standby",
            Intent::Anywhere => "any",
        };
        let row = ExplainedRow {
            database: None,
            target: target.to_owned(),
            host: None,
            reason: reason.word().to_owned(),
            because: format!("it {}", reason.text()),
            word: (!word.is_empty()).then(|| String::from_utf8_lossy(word).into_owned()),
        };
        (reason, row)
    };
    let config = shared.config.load();
    let judges = |routing: Routing| matches!(routing, Routing::Automatic | Routing::Shadow);
    let names = config.databases.iter();
    let names = names.filter(|(_, database)| judges(database.routing()));
    let rows: Vec<ExplainedRow> = names
        .filter_map(|(name, database)| {
            let cluster = shared.cluster_of(&config, name)?;
            let known = &shared.routes.of(&name.as_str().into()).known;
            let (reason, row) = explain(&*known.snapshot());
            let policy = policy(&config, database);
            let want = match reason.intent() {
                Intent::Primary => Want::Primary,
                _ => Want::Read,
            };
            let now = Instant::now();
            let choice = cluster.choose(&policy, want, &mut Seen::default(), now);
            let host = choice.ok().map(|it| cluster.hosts[it.host.0].to_string());
            Some(ExplainedRow {
                database: Some(name.clone()),
                host,
                ..row
            })
        })
        .collect();
    if rows.is_empty() {
        vec![explain(&NoCatalog).1]
    } else {
        rows
    }
}
