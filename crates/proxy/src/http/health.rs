//! Whether clients are well served here.

use std::fmt::Write;
use std::time::{Duration, Instant};

use pgweir_config::{Host, Routing};
use tokio::net::{TcpStream, UnixStream};
use tokio::task::JoinSet;

use super::is_draining;
use crate::local;
use crate::shared::Shared;

/// How long a server may take to accept a connection.
const REACHED_IN: Duration = Duration::from_secs(1);

/// Ready: this process takes clients, and at least one of the databases that are configured by name can be reached.
/// One that cannot is named, and leaves those of the others alone. Also says what it has found.
pub(super) async fn readiness(shared: &Shared) -> Result<String, String> {
    if is_draining(shared) {
        return Err("draining: waits for its clients to leave\n".to_owned());
    }
    let mut report = String::new();
    let mut known: Vec<(String, bool)> = Vec::new();
    let mut asked = JoinSet::new();
    for (name, hosts) in databases(shared) {
        match hosts {
            Hosts::Seen(reached) => known.push((name, reached)),
            Hosts::Unseen(hosts) => drop(asked.spawn(async move { (name, any(hosts).await) })),
        }
    }
    while let Some(outcome) = asked.join_next().await {
        known.extend(outcome.ok());
    }
    known.sort();
    for (name, reached) in &known {
        let state = if *reached { "reached" } else { "not reached" };
        let _ = writeln!(report, "{name}: {state}");
    }
    if known.is_empty() || known.iter().any(|(_, reached)| *reached) {
        Ok(report)
    } else {
        Err(report)
    }
}

/// What is known of the servers of a database.
enum Hosts {
    /// Whether one of them can be reached.
    Seen(bool),
    /// Nothing: they must be asked.
    Unseen(Vec<Host>),
}

fn databases(shared: &Shared) -> Vec<(String, Hosts)> {
    let config = shared.config.load();
    let named = config.databases.iter().filter(|(name, _)| *name != "*");
    named
        .map(|(name, database)| {
            if database.routing() != Routing::Off
                && let Some(cluster) = shared.cluster_of(&config, name)
            {
                let now = Instant::now();
                let hosts = (0..cluster.hosts.len()).map(pgweir_route::HostIndex);
                let up = hosts.filter_map(|host| cluster.view(host, now));
                let is_up = up
                    .into_iter()
                    .any(|(view, _)| !view.is_down && view.timeline.is_some());
                return (name.clone(), Hosts::Seen(is_up));
            }
            if has_connection(shared, name) {
                return (name.clone(), Hosts::Seen(true));
            }
            let hosts = crate::limits::hosts(&config, database);
            (name.clone(), Hosts::Unseen(hosts))
        })
        .collect()
}

fn has_connection(shared: &Shared, database: &str) -> bool {
    let now = Instant::now();
    let pools = shared.pools.lock();
    pools
        .iter()
        .filter(|pool| *pool.key.database == *database)
        .map(|pool| pools.counts(pool.id, now))
        .any(|counts| counts.active + counts.idle > 0)
}

/// Whether one of them takes a connection, which is closed again before anything is said.
async fn any(hosts: Vec<Host>) -> bool {
    for host in hosts {
        let connected = tokio::time::timeout(REACHED_IN, async {
            match &host {
                Host::Tcp { name, port } => TcpStream::connect((&**name, *port)).await.map(drop),
                Host::Unix { dir, port } => {
                    UnixStream::connect(local::path(dir, *port)).await.map(drop)
                }
            }
        });
        if matches!(connected.await, Ok(Ok(()))) {
            return true;
        }
    }
    false
}
