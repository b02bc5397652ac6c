//! How many open files the process may have, and how many its configuration can come to need.

use nix::sys::resource::{Resource, getrlimit, setrlimit};
use pgweir_config::{Config, DatabaseRef};

/// Those of the process itself: its log, its listening sockets, and a few for each worker.
const OWN: u64 = 32;

/// As many as the system allows, since clients are open files; and a warning if that is too few.
pub fn prepare(config: &Config, users: usize) {
    let Ok((soft, hard)) = getrlimit(Resource::RLIMIT_NOFILE) else {
        return;
    };
    let mut limit = soft;
    if soft < hard {
        match setrlimit(Resource::RLIMIT_NOFILE, hard, hard) {
            Ok(()) => limit = hard,
            Err(error) => {
                tracing::warn!(%error, soft, "cannot raise the limit of open files");
            }
        }
    }
    let clients = config.settings.max_client_conn;
    let Some(need) = need(config, users) else {
        tracing::info!("kernel file descriptor limit: {limit} (hard: {hard})");
        return;
    };
    tracing::info!(
        "kernel file descriptor limit: {limit} (hard: {hard}); max_client_conn: {clients}, \
         max expected fd use: {need}"
    );
    if limit < need {
        tracing::warn!(
            "{limit} open files are not enough for {clients} clients and their server connections, which \
             may come to {need}: raise the limit (ulimit -n, LimitNOFILE= of systemd), or lower \
             max_client_conn"
        );
    }
}

/// Open files at most; none if the clients have no limit.
fn need(config: &Config, users: usize) -> Option<u64> {
    let settings = &config.settings;
    let clients = u64::from(settings.max_client_conn);
    if clients == 0 {
        return None;
    }
    let (mut servers, mut kept) = (0_u64, 0_u64);
    for name in config.databases.keys() {
        let Some(DatabaseRef { database, .. }) = config.database(name) else {
            continue;
        };
        let user = database.user.as_deref();
        let pools = user.map_or(users.max(1) as u64, |_| 1);
        let user = user.unwrap_or_default();
        let size = config.pool_size(database, user);
        let pool = match size {
            0 => clients,
            size => u64::from(size) + u64::from(config.reserve_pool_size(database, user)),
        };
        let all = pools.saturating_mul(pool);
        let cap = u64::from(config.max_db_connections(database));
        servers = servers.saturating_add(if cap > 0 { all.min(cap) } else { all });
        kept += u64::from(config.min_pool_size(database)).saturating_mul(pools);
    }
    // A connection is opened for a client, or because of min_pool_size.
    Some(clients + servers.min(clients + kept) + OWN)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn what_a_configuration_may_need() {
        let check = |text: &str, users: usize, expected: Option<u64>| {
            let config = pgweir_config::parse(text).expect("it is one");
            assert_eq!(need(&config, users), expected, "{text}");
        };
        let one = "[databases.a]\nhosts = [\"h\"]\n";
        let all = |settings: &str| format!("[pgweir]\n{settings}\n{one}");
        check(&all("max_client_conn = 0"), 1, None);
        // Four users of twenty connections each, but no more than one for each client.
        check(&all("max_client_conn = 100"), 4, Some(100 + 80 + OWN));
        check(&all("max_client_conn = 50"), 4, Some(50 + 50 + OWN));
        let size = "max_client_conn = 100\nreserve_pool_size = 5";
        check(&all(size), 1, Some(100 + 25 + OWN));
        let cap = "max_client_conn = 100\nmax_db_connections = 7";
        check(&all(cap), 4, Some(100 + 7 + OWN));
        let forced = all("max_client_conn = 100") + "user = \"app\"\n";
        check(&forced, 4, Some(100 + 20 + OWN));
    }
}
