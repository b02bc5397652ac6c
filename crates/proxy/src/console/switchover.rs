//! SWITCHOVER: another host of a cluster becomes the primary, and nothing fails.

use std::sync::Arc;
use std::time::{Duration, Instant};

use pgweir_admin::Error;
use pgweir_route::HostIndex;

use super::{Console, LOOK};
use crate::client::ClientState;
use crate::cluster::{Cluster, say};
use crate::patroni;

impl Console {
    /// Lets what is under way on the primary end, holds what comes next, has Patroni make another one, and
    /// lets all go on there.
    pub(super) async fn switch_over(
        &mut self,
        database: &str,
        to: Option<&str>,
    ) -> Result<(), Error> {
        self.known(Some(database))?;
        let failed = |why: String| Error::Switchover(why);
        let shared = Arc::clone(&self.worker.shared);
        let config = shared.config.load_full();
        let cluster = shared
            .cluster_of(&config, database)
            .ok_or_else(|| failed(format!("database \"{database}\" has no routing")))?;
        let candidate = to.map(|name| {
            let host = cluster.host(name);
            host.ok_or_else(|| failed(format!("\"{name}\" is no host of \"{database}\"")))
        });
        let candidate = candidate.transpose()?;
        let old = cluster
            .topology(|topology| topology.primary())
            .map_err(|why| failed(say(&cluster, why)))?;
        if candidate == Some(old) {
            return Err(failed(format!(
                "{} is the primary already",
                cluster.hosts[old.0]
            )));
        }
        let hold = config
            .database(database)
            .map_or(Duration::ZERO, |entry| entry.failover_hold());
        let places = vec![(Arc::clone(&cluster), old)];
        if !self.set_paused(&places, true) {
            return Err(Error::AlreadyPaused);
        }
        self.client.enter(ClientState::Waiting, Instant::now());
        let outcome = self.switch(&cluster, old, candidate, hold).await;
        self.client.enter(ClientState::Idle, Instant::now());
        self.set_paused(&places, false);
        outcome
    }

    async fn switch(
        &mut self,
        cluster: &Arc<Cluster>,
        old: HostIndex,
        candidate: Option<HostIndex>,
        hold: Duration,
    ) -> Result<(), Error> {
        let shared = Arc::clone(&self.worker.shared);
        let name = cluster.hosts[old.0].to_string();
        let in_use = |_: &Cluster| match cluster.load(old).0 {
            0 => Ok(()),
            count => Err(format!(
                "{count} transactions on {name} did not end within {hold:?} (failover_hold)"
            )),
        };
        self.wait_for(cluster, hold, in_use).await?;
        self.worker
            .pools(|pools| pools.close_idle_at(&name, Instant::now()));
        let switched = patroni::switch_over(&shared, cluster, candidate).await;
        switched.map_err(|error| Error::Switchover(error.to_string()))?;
        self.wait_for(cluster, hold, |cluster| {
            match cluster.topology(|topology| topology.primary()) {
                Ok(primary) if primary != old => Ok(()),
                Ok(_) => Err(format!("{name} is the primary still")),
                Err(why) => Err(say(cluster, why)),
            }
        })
        .await
    }

    /// Waits until something is so. Ends early when the client cancels, or is gone.
    async fn wait_for(
        &mut self,
        cluster: &Cluster,
        longest: Duration,
        is_so: impl Fn(&Cluster) -> Result<(), String>,
    ) -> Result<(), Error> {
        let deadline = Instant::now() + longest;
        while let Err(why) = is_so(cluster) {
            if Instant::now() >= deadline {
                return Err(Error::Switchover(why));
            }
            if self.client.kill.get().is_some() || self.has_left() {
                return Err(Error::ShuttingDown);
            }
            if self.client.is_cancelled() {
                return Err(Error::Canceled);
            }
            tokio::time::sleep(LOOK).await;
        }
        Ok(())
    }
}
