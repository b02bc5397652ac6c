//! Hosts that no configuration names: those of the members that Patroni knows.

use std::collections::BTreeMap;
use std::time::{Duration, Instant};

use parking_lot::Mutex;
use pgweir_config::{Config, Endpoint, Host};

/// See the module: what is known of them, by the section of the database.
#[derive(Debug, Default)]
pub struct Discovered(Mutex<BTreeMap<String, Members>>);

#[derive(Debug, Clone, Default)]
struct Members {
    /// Whom they were asked of.
    asked: Vec<Endpoint>,
    /// With when they were named last.
    hosts: BTreeMap<Host, Instant>,
}

/// A member that Patroni does not name any more stays a host for so long. Patroni forgets whom it has not heard of for
/// seconds, and it is then that somebody must keep an eye on it: it may have been the primary, and come back.
const KEPT: Duration = Duration::from_secs(600);

impl Members {
    fn hosts(&self) -> Vec<Host> {
        self.hosts.keys().cloned().collect()
    }
}

impl Discovered {
    /// Puts what is known in a configuration as it was written. Of the databases that have no hosts in it
    /// Patroni is believed from now on.
    pub fn fill(&self, config: &mut Config) {
        let mut known = self.0.lock();
        let before = std::mem::take(&mut *known);
        let open = config.databases.iter_mut();
        for (name, database) in open.filter(|(_, database)| database.is_for_patroni_to_say()) {
            let same = before.get(name).filter(|it| it.asked == database.patroni);
            let members = same.cloned().unwrap_or_else(|| Members {
                asked: database.patroni.clone(),
                hosts: BTreeMap::new(),
            });
            database.hosts = members.hosts();
            known.insert(name.clone(), members);
        }
    }

    /// Patroni has said who its members are: the configuration that follows from it, if that is another one.
    pub fn learn(
        &self,
        config: &Config,
        asked: &[Endpoint],
        hosts: &[Host],
        now: Instant,
    ) -> Option<Config> {
        let mut known = self.0.lock();
        let mut next = None;
        for (name, members) in known.iter_mut().filter(|(_, it)| it.asked == asked) {
            let before = members.hosts();
            let named = hosts.iter().map(|host| (host.clone(), now));
            members.hosts.extend(named);
            let is_kept = |since: Instant| now.saturating_duration_since(since) < KEPT;
            members.hosts.retain(|_, since| is_kept(*since));
            if members.hosts() == before {
                continue;
            }
            let next = next.get_or_insert_with(|| config.clone());
            if let Some(database) = next.databases.get_mut(name) {
                database.hosts = members.hosts();
            }
        }
        next
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use pgweir_config::Database;

    const TEXT: &str = "\
        [pgweir]\nmonitor_user = \"watch\"\n\
        [databases.a]\nrouting = \"automatic\"\npatroni = [\"http://p:1\"]\n\
        [databases.b]\nrouting = \"automatic\"\npatroni = [\"http://q:1\"]\n\
        [databases.c]\nrouting = \"automatic\"\npatroni = [\"http://p:1\"]\nhosts = [\"c:1\"]\n";

    fn written(text: &str) -> Config {
        pgweir_config::parse(text).expect("it is good")
    }

    fn hosts(config: &Config) -> Vec<String> {
        let of = |database: &Database| {
            let names = database.hosts.iter().map(ToString::to_string);
            names.collect::<Vec<_>>().join(",")
        };
        config.databases.values().map(of).collect()
    }

    #[test]
    fn who_is_not_named_any_more_is_watched_for_a_while() {
        let (discovered, mut config) = (Discovered::default(), written(TEXT));
        discovered.fill(&mut config);
        let asked = config.databases["a"].patroni.clone();
        let [one, two] = ["x:1", "y:1"].map(|host| host.parse::<Host>().expect("a host"));
        let began = Instant::now();
        let mut learn = |told: &[&Host], at| {
            let told: Vec<Host> = told.iter().copied().cloned().collect();
            let next = discovered.learn(&config, &asked, &told, at)?;
            config = next;
            Some(hosts(&config)[0].clone())
        };
        assert_eq!(learn(&[&two, &one], began).as_deref(), Some("x:1,y:1"));
        let almost = began + KEPT - Duration::from_secs(1);
        assert_eq!(learn(&[&one], almost), None);
        assert_eq!(learn(&[&one], began + KEPT).as_deref(), Some("x:1"));
    }

    #[test]
    fn members_are_the_hosts_of_who_names_none() {
        let (discovered, mut config) = (Discovered::default(), written(TEXT));
        discovered.fill(&mut config);
        assert_eq!(hosts(&config), ["", "", "c:1"]);
        let asked = config.databases["a"].patroni.clone();
        let told = ["x:1".parse().expect("a host")];
        let now = Instant::now();
        let learn = |config: &Config, told: &[Host], at| discovered.learn(config, &asked, told, at);
        let config = learn(&config, &told, now).expect("news");
        assert_eq!(hosts(&config), ["x:1", "", "c:1"]);
        assert_eq!(learn(&config, &told, now), None);
        // As it is written, it is what it was, and yet nothing has to be asked again.
        let mut again = written(TEXT);
        discovered.fill(&mut again);
        assert_eq!(again, config);
        // Somebody has said what they are.
        let mut said = written(&TEXT.replace("[databases.b]", "hosts = [\"a:2\"]\n[databases.b]"));
        discovered.fill(&mut said);
        assert_eq!(learn(&said, &told, now), None);
        assert_eq!(hosts(&said), ["a:2", "", "c:1"]);
        // And no more, but it is another Patroni.
        let mut other = written(&TEXT.replacen("p:1", "p:2", 1));
        discovered.fill(&mut other);
        assert_eq!(hosts(&other), ["", "", "c:1"]);
    }
}
