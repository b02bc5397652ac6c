//! Asking the hosts of clusters what they are.
//!
//! Each host has a task with a connection of its own, which asks when the topology says that it is time and
//! notices at once when the connection ends.

use std::rc::Rc;
use std::sync::Arc;
use std::time::{Duration, Instant};

use pgweir_route::HostIndex;
use pgweir_route::topology::{Lsn, Probe};
use tokio::sync::Notify;

use crate::cluster::Cluster;
use crate::connect::Error;
use crate::connect::question::{Asker, Row};
use crate::roles;
use crate::worker::Worker;

/// What a host is, in one row. The timeline is that which is written on, or the highest that a
/// standby is known to follow: of its last restartpoint, of what it has replayed, of what it receives.
const QUESTION: &str = "\
    SELECT recovers, \
           CASE WHEN recovers \
                THEN greatest((pg_control_checkpoint()).timeline_id, \
                              (pg_control_recovery()).min_recovery_end_timeline, \
                              (SELECT received_tli FROM pg_stat_wal_receiver)) \
                ELSE ('x' || substr(pg_walfile_name(pg_current_wal_insert_lsn()), 1, 8))::bit(32)::int \
           END, \
           (pg_control_system()).system_identifier, \
           CASE WHEN recovers THEN pg_last_wal_replay_lsn() ELSE pg_current_wal_insert_lsn() END \
      FROM pg_is_in_recovery() AS recovers";

/// Bytes of a page of the WAL.
const PAGE: u64 = 8192;
/// Lengths of the headers of such pages.
const HEADERS: [u64; 2] = [24, 40];

/// Begins to watch a cluster; its tasks end when it is retired.
pub fn start(worker: &Rc<Worker>, cluster: Arc<Cluster>) {
    let asks: Vec<Rc<Notify>> = cluster.hosts.iter().map(|_| Rc::default()).collect();
    for (index, ask) in asks.iter().enumerate() {
        let watch = Watch {
            worker: Rc::clone(worker),
            cluster: Arc::clone(&cluster),
            host: HostIndex(index),
            ask: Rc::clone(ask),
        };
        tokio::task::spawn_local(watch.run());
    }
    tokio::task::spawn_local(async move {
        while !cluster.is_retired() {
            let now = Instant::now();
            let (due, next) = cluster.topology(|topology| (topology.due(now), topology.next_due()));
            for host in due {
                asks[host.0].notify_one();
            }
            let nudged = cluster.nudge.notified();
            // Whoever is nudged looks again; whoever is not, when the next host is due.
            match next {
                Some(next) => drop(tokio::time::timeout_at(next.into(), nudged).await),
                None => nudged.await,
            }
        }
        for ask in asks {
            ask.notify_one();
        }
    });
}

/// The task of one host.
struct Watch {
    worker: Rc<Worker>,
    cluster: Arc<Cluster>,
    host: HostIndex,
    ask: Rc<Notify>,
}

impl Watch {
    async fn run(self) {
        let mut asker = None;
        loop {
            let began = Instant::now();
            let gone = async {
                match &mut asker {
                    Some(asker) => Asker::gone(asker).await,
                    None => std::future::pending().await,
                }
            };
            tokio::select! {
                biased;
                () = self.ask.notified() => {
                    if self.cluster.is_retired() {
                        return;
                    }
                    self.look(&mut asker).await;
                }
                error = gone => {
                    asker = None;
                    // It has ended now, not when somebody began to wait for that.
                    self.troubled(&error, Instant::now().max(began));
                }
            }
        }
    }

    async fn look(&self, asker: &mut Option<Asker>) {
        let asked = Instant::now();
        let limit = self.worker.shared.config.load().settings.monitor_interval;
        let probed = tokio::time::timeout(limit.max(LIMIT_MIN), self.probe(asker));
        match probed.await.unwrap_or(Err(Error::Timeout)) {
            Ok(probe) => {
                let events = self.cluster.probed(self.host, probe, asked);
                roles::announce(&self.worker.shared, &self.cluster, &events);
            }
            Err(error) => {
                *asker = None;
                self.troubled(&error, asked);
            }
        }
    }

    fn troubled(&self, error: &Error, since: Instant) {
        let (trouble, cause) = (error.trouble(), error.to_string());
        let host = &self.cluster.hosts[self.host.0];
        tracing::debug!(cluster = %self.cluster.name, %host, "probe failed: {cause}");
        let events = self
            .cluster
            .troubled(self.host, trouble, Some(&cause), since);
        roles::announce(&self.worker.shared, &self.cluster, &events);
    }

    async fn probe(&self, asker: &mut Option<Asker>) -> Result<Probe, Error> {
        let connected = match asker {
            Some(connected) => connected,
            None => {
                let Cluster {
                    database, hosts, ..
                } = &*self.cluster;
                let config = self.worker.shared.config.load_full();
                let entry = config.database(database).ok_or(Error::Removed)?;
                let user = config.settings.monitor_user(entry.database);
                let user = user.ok_or(Error::Removed)?;
                let host = &hosts[self.host.0];
                asker.insert(Asker::connect(&self.worker, database, user, host).await?)
            }
        };
        let rows = connected.ask(QUESTION).await?;
        let probe = rows.first().and_then(read);
        probe.ok_or(Error::Unexpected(pgweir_wire::tag::backend::DATA_ROW))
    }
}

/// An answer may take so long, however often is asked.
const LIMIT_MIN: Duration = Duration::from_millis(250);

fn read(row: &Row) -> Option<Probe> {
    let [recovers, timeline, system, lsn] = &row[..] else {
        return None;
    };
    let system: i64 = system.as_deref()?.parse().ok()?;
    Some(Probe {
        in_recovery: recovers.as_deref()? == "t",
        timeline: timeline.as_deref()?.parse().ok()?,
        // An identifier, which PostgreSQL prints with a sign here and without one elsewhere.
        system: system.cast_unsigned(),
        lsn: before_header(Lsn::read(lsn.as_deref()?.as_bytes())?),
    })
}

/// Where the next record will begin may be behind the header of a page on which nothing is yet; what has been
/// replayed ends in front of it.
fn before_header(lsn: Lsn) -> Lsn {
    let within = lsn.0 % PAGE;
    if HEADERS.contains(&within) {
        Lsn(lsn.0 - within)
    } else {
        lsn
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn rows_are_read() {
        let row = |values: [&str; 4]| values.map(|it| Some(it.to_owned())).to_vec();
        let probe = read(&row(["f", "3", "-2", "16/B374D848"]));
        let expected = Probe {
            in_recovery: false,
            timeline: 3,
            system: u64::MAX - 1,
            lsn: Lsn(0x16_B374_D848),
        };
        assert_eq!(probe, Some(expected));
        assert_eq!(read(&row(["f", "3", "7", "16"])), None);
        assert_eq!(read(&vec![None; 4]), None);
    }

    #[test]
    fn what_is_behind_an_empty_page_is_in_front_of_its_header() {
        assert_eq!(before_header(Lsn(PAGE * 3 + 24)), Lsn(PAGE * 3));
        assert_eq!(before_header(Lsn(PAGE * 3 + 40)), Lsn(PAGE * 3));
        assert_eq!(before_header(Lsn(PAGE * 3 + 48)), Lsn(PAGE * 3 + 48));
    }
}
