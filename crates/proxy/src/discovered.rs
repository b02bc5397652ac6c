//! Hosts that no configuration names: those of the members that Patroni knows.

use std::collections::BTreeMap;

use parking_lot::Mutex;
use pgweir_config::{Config, Endpoint, Host};

/// See the module: what is known of them, by the section of the database.
#[derive(Debug, Default)]
pub struct Discovered(Mutex<BTreeMap<String, Members>>);

#[derive(Debug, Clone, Default)]
struct Members {
    /// Whom they were asked of.
    asked: Vec<Endpoint>,
    hosts: Vec<Host>,
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
                hosts: Vec::new(),
            });
            database.hosts.clone_from(&members.hosts);
            known.insert(name.clone(), members);
        }
    }

    /// Patroni has said who its members are: the configuration that follows from it, if that is another one.
    pub fn learn(&self, config: &Config, asked: &[Endpoint], hosts: &[Host]) -> Option<Config> {
        let mut known = self.0.lock();
        let mut next = None;
        let of_it = known
            .iter_mut()
            .filter(|(_, it)| it.asked == asked && it.hosts != hosts);
        for (name, members) in of_it {
            members.hosts = hosts.to_vec();
            let next = next.get_or_insert_with(|| config.clone());
            if let Some(database) = next.databases.get_mut(name) {
                database.hosts = hosts.to_vec();
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
    fn members_are_the_hosts_of_who_names_none() {
        let (discovered, mut config) = (Discovered::default(), written(TEXT));
        discovered.fill(&mut config);
        assert_eq!(hosts(&config), ["", "", "c:1"]);
        let asked = config.databases["a"].patroni.clone();
        let told = ["x:1".parse().expect("a host")];
        let config = discovered.learn(&config, &asked, &told).expect("news");
        assert_eq!(hosts(&config), ["x:1", "", "c:1"]);
        assert_eq!(discovered.learn(&config, &asked, &told), None);
        // As it is written, it is what it was, and yet nothing has to be asked again.
        let mut again = written(TEXT);
        discovered.fill(&mut again);
        assert_eq!(again, config);
        // Somebody has said what they are.
        let mut said = written(&TEXT.replace("[databases.b]", "hosts = [\"a:2\"]\n[databases.b]"));
        discovered.fill(&mut said);
        assert_eq!(discovered.learn(&said, &asked, &told), None);
        assert_eq!(hosts(&said), ["a:2", "", "c:1"]);
        // And no more, but it is another Patroni.
        let mut other = written(&TEXT.replacen("p:1", "p:2", 1));
        discovered.fill(&mut other);
        assert_eq!(hosts(&other), ["", "", "c:1"]);
    }
}
