//! One address for a primary and its standbys.

mod consistency;
mod failover;
mod kinds;
mod patroni;
mod patroni_https;
mod places;

use std::sync::OnceLock;

use pgweir_tests::{Cluster, Config, Major, Options, Pooler, Target, Wire, eventually};

/// A primary with two standbys.
pub(crate) struct Trio {
    primary: Cluster,
    standbys: [Cluster; 2],
}

impl Trio {
    /// One that many tests use at once. It must not be changed but for what lies in a database of its own.
    pub(crate) fn shared(major: Major) -> &'static Self {
        static SHARED: [OnceLock<Trio>; 2] = [const { OnceLock::new() }; 2];
        SHARED[major as usize].get_or_init(|| Self::start(major))
    }

    pub(crate) fn start(major: Major) -> Self {
        let primary = Cluster::start(major, &Options::default());
        let standbys = [(); 2].map(|()| primary.standby());
        Self { primary, standbys }
    }

    /// In front of a database of its own on all three, which is the only one in the configuration.
    pub(crate) fn pooler(&self, change: impl FnOnce(Config, &str) -> Config) -> (Pooler, Target) {
        let database = self.primary.database();
        let config = Config::of(&self.primary, &database)
            .set("monitor_user", "monitor")
            .user("monitor")
            .set("log_level", "debug")
            .database_set(
                &database,
                "hosts",
                self.hosts().each_ref().map(String::as_str),
            )
            .database_set(&database, "routing", "automatic");
        let pooler = Pooler::start(&change(config, &database));
        let target = pooler.target(&database);
        self.settled(&pooler);
        (pooler, target)
    }

    fn hosts(&self) -> [String; 3] {
        self.ports().map(|port| format!("127.0.0.1:{port}"))
    }

    pub(crate) fn ports(&self) -> [u16; 3] {
        let [one, other] = &self.standbys;
        [self.primary.port(), one.port(), other.port()]
    }

    /// Waits until pgweir knows all three, and they have all that was written so far.
    pub(crate) fn settled(&self, pooler: &Pooler) {
        let written = self
            .primary
            .admin("postgres", "SELECT pg_current_wal_insert_lsn()");
        let has_all = format!("SELECT pg_last_wal_replay_lsn() >= '{written}'");
        for standby in &self.standbys {
            eventually("the standby has all", || {
                (standby.admin("postgres", &has_all) == "t").then_some(())
            });
        }
        eventually("all hosts are known and used", || {
            let rows = pooler.rows("SHOW HOSTS");
            let known = |role: &str| rows.iter().filter(|row| row.text("role") == role).count();
            let used = rows.iter().all(|row| row.number("in_rotation") == 1);
            (used && (known("primary"), known("standby")) == (1, 2)).then_some(())
        });
    }

    /// Which of the three answers with this port.
    pub(crate) fn place(&self, port: &str) -> Place {
        match self.ports().iter().position(|own| own.to_string() == port) {
            Some(0) => Place::Primary,
            Some(_) => Place::Standby,
            None => panic!("nobody has the port {port}"),
        }
    }

    /// Where a query that gives the port ran.
    #[track_caller]
    pub(crate) fn place_of(&self, wire: &mut Wire, sql: &str) -> Place {
        let rows = wire.sql(sql);
        self.place(rows.last().expect("a row"))
    }
}

#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(crate) enum Place {
    Primary,
    Standby,
}

/// A read, as far as anybody can see, that says where it ran.
pub(crate) const WHERE: &str = "SELECT current_setting('port')";

/// How often statements went somewhere for a reason.
pub(crate) fn routed(pooler: &Pooler, target: &str, reason: &str) -> i64 {
    let rows = pooler.rows("SHOW ROUTES");
    let row = rows
        .iter()
        .find(|row| row.text("target") == target && row.text("reason") == reason);
    row.map_or(0, |row| row.number("count"))
}
