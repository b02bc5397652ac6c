//! From a configuration to what is in force, at the start and whenever it changes.

mod changes;
mod source;

use std::sync::Arc;
use std::time::Instant;

use hashbrown::HashSet;
use pgweir_config::{Config, Endpoint, Host, Mistake, Routing};
use pgweir_pool::{PoolKey, WorkerId};

use crate::files::Files;
use crate::limits;
use crate::mail::{Kill, Mail, Whom};
use crate::shared::Shared;
use crate::users;
use crate::written::Written;

pub use self::changes::Changes;
pub use self::source::Source;

/// Everything that a configuration names, read and checked.
#[derive(Debug)]
pub struct Loaded {
    /// The configuration.
    pub config: Config,
    /// What is in the files that it names.
    pub files: Files,
    /// What it says without effect, and what is odd, one line each.
    pub warnings: Vec<String>,
    /// Where and how it is written.
    pub written: Written,
}

/// Reads a configuration and all files that it names.
///
/// # Errors
/// One line for each mistake.
pub fn load(source: &Source) -> Result<Loaded, Vec<String>> {
    let mut read = source.read()?;
    let mut odd = Vec::new();
    let files = Files::read(&read.config, &mut odd);
    let mut mistakes = std::mem::take(&mut read.mistakes);
    let locate = |all: &mut Vec<Mistake>| {
        let unplaced = |it: &&mut Mistake| it.file.is_none() && it.line.is_none();
        for mistake in all.iter_mut().filter(unplaced) {
            read.locate(mistake);
        }
        all.sort_by(|a, b| (&a.file, a.line).cmp(&(&b.file, b.line)));
    };
    let files = match files {
        Ok(files) if mistakes.is_empty() => files,
        files => {
            let named = |it: &Mistake| mistakes.iter().any(|known| known.key == it.key);
            let mut others = files.err().unwrap_or_default();
            others.retain(|it| !named(it));
            mistakes.append(&mut others);
            locate(&mut mistakes);
            return Err(source.say_all(&mistakes));
        }
    };
    odd.extend(pgweir_config::oddities(&read.config));
    locate(&mut odd);
    read.warnings.append(&mut odd);
    Ok(Loaded {
        warnings: source.say_all(&read.warnings),
        written: source.written(&read),
        config: read.config,
        files,
    })
}

/// Logs what a configuration says without effect.
pub fn warn(warnings: &[String]) {
    for warning in warnings {
        tracing::warn!("{warning}");
    }
}

/// Puts a configuration in force in the place of the old one: all of it, or, if anything in it is
/// wrong, nothing.
///
/// # Errors
/// One line for each mistake.
pub fn reload(shared: &Shared, source: &Source) -> Result<Changes, Vec<String>> {
    let _one_at_a_time = shared.changing.lock();
    let mut loaded = load(source)?;
    warn(&loaded.warnings);
    shared.discovered.fill(&mut loaded.config);
    let changes = adopt(shared, loaded.config, Some(loaded.files));
    for setting in changes.needs_restart() {
        tracing::warn!(
            setting,
            "changed in the configuration, takes effect only after a restart"
        );
    }
    Ok(changes)
}

/// Changes one setting, until the next reload. Files are read again if the setting names them, or
/// says how they are to be used.
///
/// # Errors
/// What is wrong with it.
pub fn set(shared: &Shared, key: &str, value: &str) -> Result<(), String> {
    let _one_at_a_time = shared.changing.lock();
    let config = shared
        .config
        .load()
        .set(key, value, shared.written.notation);
    let config = config.map_err(|mistake| mistake.to_string())?;
    let mut odd = Vec::new();
    let names_files = key.starts_with("auth_") || key.contains("_tls") || key == "scram_iterations";
    let files = names_files.then(|| Files::read(&config, &mut odd));
    let lines = |all: Vec<Mistake>| all.iter().map(ToString::to_string).collect::<Vec<_>>();
    let files = files.transpose();
    let files = files.map_err(|mistakes| lines(mistakes).join("; "))?;
    warn(&lines(odd));
    adopt(shared, config, files);
    Ok(())
}

/// Puts a checked configuration in force in the place of the old one, with the files that were read
/// for it; without them, what they said stays.
fn adopt(shared: &Shared, config: Config, files: Option<Files>) -> Changes {
    let old = shared.config.load_full();
    let difference = pgweir_config::difference(&old, &config);
    let config = old.reloaded(config);
    let mut changes = Changes::of(&difference);
    if let Some(files) = files {
        let Files {
            mut users,
            rules,
            tls,
        } = files;
        if !tls.is_of_same_files(&shared.tls.load()) {
            changes.whole("certificates");
        }
        shared.tls.store(Arc::new(tls));
        if rules != **shared.rules.load() {
            changes.whole("rules");
        }
        shared.rules.store(Arc::new(rules));
        let before = shared.users.load();
        let salting = shared.salting_of(&config);
        users::prepare(&mut users, &before, &salting);
        changes.userlist((&before, &old), (&users, &config));
        shared.users.store(Arc::new(users));
    }
    apply(shared, config);
    for database in &difference.databases_removed {
        remove(shared, database);
    }
    let changed = difference
        .databases_changed
        .iter()
        .filter(|changed| changed.reconnect);
    for changed in changed {
        reconnect(shared, Some(&changed.name));
    }
    if difference.reconnect {
        reconnect(shared, None);
    }
    changes
}

/// Patroni has said which hosts its cluster has.
pub fn discovered(shared: &Shared, asked: &[Endpoint], hosts: &[Host]) {
    let _one_at_a_time = shared.changing.lock();
    let next = shared
        .discovered
        .learn(&shared.config.load(), asked, hosts, Instant::now());
    if let Some(config) = next {
        let names: Vec<String> = hosts.iter().map(ToString::to_string).collect();
        tracing::info!(members = names.join(","), "Patroni has other members");
        apply(shared, config);
    }
}

/// Has pools and log follow a configuration.
fn apply(shared: &Shared, config: Config) {
    let config = Arc::new(config);
    crate::log::set_level(&config.settings);
    crate::log::reopen(&config.settings);
    let old = shared.config.swap(Arc::clone(&config));
    let mut pools = shared.pools.lock();
    let all: Vec<_> = pools
        .iter()
        .map(|pool| (pool.id, pool.key.clone()))
        .collect();
    for (pool, key) in all {
        if has_moved(&key, &old, &config) {
            // Its clients find the one that takes its place when they ask next.
            pools.remove_pool(pool, "database configuration changed", Instant::now());
            shared.welcome.lock().remove(&pool);
            continue;
        }
        pools.set_limits(pool, limits::of_pool(&config, &key), Instant::now());
        limits::set_caps(&config, &key, &mut pools);
    }
    drop(pools);
    crate::roles::watch_all(shared, &config);
    let names = host_names(&config);
    shared.dns.keep(|name| names.contains(name));
    // Whatever the new limits ask for is done by a worker.
    shared.mail(WorkerId(0), Mail::Settle);
}

/// All names of hosts that connections are made to.
fn host_names(config: &Config) -> HashSet<String> {
    let peers = config.peers.values().map(|peer| peer.host.clone());
    let hosts = config.databases.values().flat_map(|it| &it.hosts);
    hosts
        .map(|host| host.name().to_owned())
        .chain(peers)
        .collect()
}

/// Whether clients that a pool was made for have another one under the new configuration.
fn has_moved(key: &PoolKey, old: &Config, new: &Config) -> bool {
    let forced = |config: &Config| config.database(&key.database)?.user.clone();
    let Some(entry) = new.database(&key.database) else {
        // It is removed as a whole.
        return false;
    };
    let is_there = if entry.routing() == Routing::Off {
        limits::host_names(new, entry.database) == *key.host
    } else {
        let hosts = limits::hosts(new, entry.database);
        hosts.iter().any(|host| host.to_string() == *key.host)
    };
    !is_there || forced(old) != forced(new)
}

fn remove(shared: &Shared, database: &str) {
    shared
        .pools
        .lock()
        .remove_database(database, Instant::now());
    shared.found.forget_database(database);
    let database: Arc<str> = database.into();
    for worker in 0..shared.workers() {
        let (reply, _) = tokio::sync::oneshot::channel();
        let whom = Whom::Database(Some(Arc::clone(&database)));
        let why = Kill::DatabaseRemoved;
        shared.mail(WorkerId(worker as u16), Mail::Kill { whom, why, reply });
    }
    shared.mail(WorkerId(0), Mail::Settle);
}

/// Has connections of a database (all, if none is named) closed as soon as nobody uses them, and
/// forgets what is known of its hosts; their names are asked again.
pub fn reconnect(shared: &Shared, database: Option<&str>) {
    shared.pools.lock().reconnect(database, Instant::now());
    let database: Option<Arc<str>> = database.map(Into::into);
    {
        let mut hosts = shared.hosts.lock();
        match &database {
            Some(name) => drop(hosts.remove(name)),
            None => hosts.clear(),
        }
    }
    let config = shared.config.load();
    let entry = database.as_deref().map(|name| config.database(name));
    let names = entry.map(|entry| {
        let hosts = entry.into_iter().flat_map(|entry| &entry.database.hosts);
        hosts.map(|host| host.name())
    });
    shared.dns.distrust(names);
    shared.welcome.lock().clear();
    for worker in 0..shared.workers() {
        shared.mail(WorkerId(worker as u16), Mail::Reconnect(database.clone()));
    }
    shared.mail(WorkerId(0), Mail::Settle);
}
