//! What the hosts of clusters turn out to be: who watches them, and who is told.

use std::sync::Arc;
use std::time::Instant;

use pgweir_config::{Config, Host};
use pgweir_pool::{PoolKey, WorkerId};
use pgweir_route::HostIndex;
use pgweir_route::topology::{Event, Trouble};

use crate::cluster::{Cluster, policy, say};
use crate::mail::Mail;
use crate::shared::Shared;
use crate::worker::Worker;

/// All clusters of a configuration are watched, and no others.
pub fn watch_all(shared: &Shared, config: &Config) {
    // The new ones take over from the old ones what is known.
    for database in config.databases.keys() {
        shared.cluster_of(config, database);
    }
    for gone in shared.clusters.keep_those_of(config) {
        reroute(shared, &gone);
    }
}

/// Connecting to a host has failed, which its cluster should know.
pub fn connect_failed(
    shared: &Shared,
    key: &PoolKey,
    trouble: Trouble,
    cause: &str,
    since: Instant,
) {
    let config = shared.config.load();
    let Some(cluster) = shared.cluster_of(&config, &key.database) else {
        return;
    };
    if let Some(host) = cluster.host(&key.host) {
        let events = cluster.troubled(host, trouble, Some(cause), since);
        announce(shared, &cluster, &events);
    }
}

/// Waits until a host, to which a connection has just been opened, has shown that it is what it is known to be.
pub async fn confirmed(worker: &Worker, database: &Arc<str>, host: &Host) {
    let opened = Instant::now();
    let config = worker.shared.config.load_full();
    let Some(entry) = config.database(database) else {
        return;
    };
    // Nothing is known of a last resort, and nothing is asked of what one reads from it.
    if policy(&config, &entry).last_resort {
        return;
    }
    if let Some(cluster) = worker.shared.cluster_of(&config, database)
        && let Some(index) = cluster.host(&host.to_string())
    {
        cluster.is_confirmed(index, opened).await;
    }
}

/// Hosts have become something else: operators and those who wait are told.
pub fn announce(shared: &Shared, cluster: &Arc<Cluster>, events: &[Event]) {
    if events.is_empty() {
        return;
    }
    let name = &*cluster.name;
    let host = |host: HostIndex| cluster.hosts[host.0].to_string();
    for event in events {
        match *event {
            Event::PrimaryIs(it) => tracing::info!(cluster = name, host = host(it), "primary"),
            Event::NoPrimary(why) => {
                tracing::warn!(cluster = name, "no primary: {}", say(cluster, why));
            }
            Event::RoleIs(it, role) => {
                let role = role.word();
                tracing::info!(cluster = name, host = host(it), role, "role");
            }
            Event::Down(it) => tracing::warn!(cluster = name, host = host(it), "down"),
            Event::Up(it) => tracing::info!(cluster = name, host = host(it), "up"),
        }
    }
    reroute(shared, cluster);
}

/// Who waits for a host of a cluster asks anew.
pub fn reroute(shared: &Shared, cluster: &Arc<Cluster>) {
    cluster.version.send_modify(|version| *version += 1);
    for worker in 0..shared.workers() {
        let mail = Mail::Rerouted(Arc::clone(cluster));
        shared.mail(WorkerId(worker as u16), mail);
    }
}
