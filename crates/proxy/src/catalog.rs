//! Looking into the catalogs of databases whose statements are routed: which functions are volatile, and which
//! views call such.

use std::rc::Rc;
use std::sync::Arc;
use std::time::{Duration, Instant};

use hashbrown::HashMap;
use pgweir_config::Routing;
use pgweir_route::intent::Snapshot;

use crate::cluster::Cluster;
use crate::connect::Error;
use crate::connect::question::{Asker, Row};
use crate::worker::Worker;

/// How often is looked.
const EVERY: Duration = Duration::from_secs(60);
/// How long after a statement that changes definitions, and after a look that has failed.
const SOON: Duration = Duration::from_secs(1);
/// How long one look may take.
const LIMIT: Duration = Duration::from_secs(10);

const FUNCTIONS: &str = "\
    SELECT nspname, proname, bool_or(provolatile = 'v') \
      FROM pg_catalog.pg_proc JOIN pg_catalog.pg_namespace AS n ON n.oid = pronamespace \
     WHERE nspname NOT IN ('pg_catalog', 'information_schema') AND nspname NOT LIKE 'pg\\_temp%' \
     GROUP BY 1, 2";

/// Views whose rules call volatile functions, and views on such views.
const VIEWS: &str = "\
    WITH RECURSIVE calling(oid) AS ( \
        SELECT r.ev_class FROM pg_catalog.pg_rewrite AS r \
          JOIN pg_catalog.pg_depend AS d ON d.classid = 'pg_catalog.pg_rewrite'::regclass AND d.objid = r.oid \
          JOIN pg_catalog.pg_proc AS p ON d.refclassid = 'pg_catalog.pg_proc'::regclass AND p.oid = d.refobjid \
         WHERE p.provolatile = 'v' \
        UNION \
        SELECT r.ev_class FROM calling \
          JOIN pg_catalog.pg_depend AS d \
            ON d.refclassid = 'pg_catalog.pg_class'::regclass AND d.refobjid = calling.oid \
          JOIN pg_catalog.pg_rewrite AS r ON d.classid = 'pg_catalog.pg_rewrite'::regclass AND r.oid = d.objid \
    ) \
    SELECT DISTINCT relname FROM pg_catalog.pg_class JOIN calling USING (oid) WHERE relkind = 'v'";

/// Looks after the databases of a cluster until that is retired.
pub fn start(worker: &Rc<Worker>, cluster: Arc<Cluster>) {
    let worker = Rc::clone(worker);
    tokio::task::spawn_local(async move {
        let mut due: HashMap<Arc<str>, Instant> = HashMap::new();
        while !cluster.is_retired() {
            for (database, known) in databases(&worker, &cluster) {
                let now = Instant::now();
                let next = due.entry(Arc::clone(&database)).or_insert(now);
                if known.take_outdated() {
                    *next = (*next).min(now + SOON);
                }
                if *next > now {
                    continue;
                }
                let looked = tokio::time::timeout(LIMIT, look(&worker, &cluster, &database));
                match looked.await.unwrap_or(Err(Error::Timeout)) {
                    Ok(snapshot) => {
                        *next = now + EVERY;
                        known.learn(snapshot);
                    }
                    Err(error) => {
                        *next = now + SOON;
                        tracing::debug!(%database, "catalog cannot be read: {error}");
                    }
                }
            }
            tokio::time::sleep(SOON / 2).await;
        }
    });
}

type Known = Arc<pgweir_session::Known>;

/// The databases of the cluster that clients have used, and whose statements are judged.
fn databases(worker: &Worker, cluster: &Arc<Cluster>) -> Vec<(Arc<str>, Known)> {
    let shared = &worker.shared;
    let config = shared.config.load();
    let mut routes = shared.routes.all();
    routes.retain(|(name, _)| {
        let routing = config.database(name).map(|entry| entry.routing());
        let is_judged = matches!(routing, Some(Routing::Automatic | Routing::Shadow));
        let own = shared.cluster_of(&config, name);
        is_judged && own.is_some_and(|own| Arc::ptr_eq(&own, cluster))
    });
    let known = routes.into_iter();
    known
        .map(|(name, routes)| (name, Arc::clone(&routes.known)))
        .collect()
}

async fn look(
    worker: &Rc<Worker>,
    cluster: &Cluster,
    database: &Arc<str>,
) -> Result<Snapshot, Error> {
    let config = worker.shared.config.load_full();
    let entry = config.database(database).ok_or(Error::Removed)?;
    let user = config.settings.monitor_user(entry.database);
    let host = cluster.any_host().ok_or(Error::Removed)?;
    let mut asker = Asker::connect(worker, database, user.ok_or(Error::Removed)?, host).await?;
    let functions = asker.ask(FUNCTIONS).await?;
    let views = asker.ask(VIEWS).await?;
    Ok(snapshot(&functions, &views))
}

fn snapshot(functions: &[Row], views: &[Row]) -> Snapshot {
    let mut snapshot = Snapshot::default();
    for row in functions {
        if let [Some(schema), Some(name), Some(volatile)] = &row[..] {
            snapshot.add_function(schema.as_bytes(), name.as_bytes(), volatile == "t");
        }
    }
    for row in views {
        if let [Some(name)] = &row[..] {
            snapshot.add_volatile_view(name.as_bytes());
        }
    }
    snapshot
}
