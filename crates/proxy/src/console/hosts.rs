//! PAUSE and RESUME of one host of a cluster.

use std::sync::Arc;
use std::time::Instant;

use pgweir_admin::Error;
use pgweir_route::HostIndex;

use super::Console;
use crate::cluster::Cluster;
use crate::roles;

/// A host, in each cluster that it belongs to.
pub(super) type Places = Vec<(Arc<Cluster>, HostIndex)>;

impl Console {
    /// The host of this name, as SHOW HOSTS has it; `None` if there is none.
    pub(super) fn host(&self, name: &str) -> Option<Places> {
        let all = self.worker.shared.clusters.all();
        let places: Places = all
            .into_iter()
            .filter_map(|cluster| cluster.host(name).map(|host| (cluster, host)))
            .collect();
        (!places.is_empty()).then_some(places)
    }

    /// Nothing goes to a host any more; answered when nothing is in use there.
    pub(super) async fn pause_host(&mut self, name: &str, places: &Places) -> Result<(), Error> {
        if !self.set_paused(places, true) {
            return Err(Error::AlreadyPaused);
        }
        self.worker
            .pools(|pools| pools.close_idle_at(name, Instant::now()));
        let is_paused = |(cluster, host): &(Arc<Cluster>, HostIndex)| {
            cluster.topology(|it| it.is_paused(*host))
        };
        let is_unused = |(cluster, host): &(Arc<Cluster>, HostIndex)| cluster.load(*host).0 == 0;
        let mut resumed = false;
        let outcome = self
            .until(|_| {
                resumed = !places.iter().all(is_paused);
                resumed || places.iter().all(is_unused)
            })
            .await;
        if resumed {
            return Err(Error::DatabaseNotPaused(name.to_owned()));
        }
        if outcome == Err(Error::Canceled) {
            self.set_paused(places, false);
        }
        // What was given back meanwhile.
        self.worker
            .pools(|pools| pools.close_idle_at(name, Instant::now()));
        outcome
    }

    /// It does again.
    pub(super) fn resume_host(&self, name: &str, places: &Places) -> Result<(), Error> {
        if self.set_paused(places, false) {
            Ok(())
        } else {
            Err(Error::DatabaseNotPaused(name.to_owned()))
        }
    }

    /// Says whether that is a change.
    pub(super) fn set_paused(&self, places: &Places, paused: bool) -> bool {
        let mut is_change = false;
        for (cluster, host) in places {
            let now = Instant::now();
            let (changed, _) = cluster.topology(|topology| topology.pause(*host, paused, now));
            is_change |= changed;
            if changed {
                let host = &cluster.hosts[host.0];
                tracing::info!(cluster = %cluster.name, %host, paused, "PAUSE of a host");
                roles::reroute(&self.worker.shared, cluster);
            }
        }
        is_change
    }
}
