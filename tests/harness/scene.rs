//! One behaviour, on every version and in every mode.

use crate::cluster::Cluster;
use crate::config::Config;
use crate::major::Major;
use crate::pooler::Pooler;
use crate::target::Target;
use crate::wait::eventually;

/// What lies between the client and PostgreSQL.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Way {
    /// Nothing. A test that passes this way says something true about PostgreSQL.
    Direct,
    /// pgweir in session mode.
    Session,
    /// pgweir in transaction mode.
    Transaction,
    /// pgweir in statement mode.
    Statement,
}

/// A database of its own on the shared server, and a way to it.
#[derive(Debug)]
pub struct Scene {
    /// The server.
    pub cluster: &'static Cluster,
    /// The name of the database.
    pub database: String,
    /// The way.
    pub way: Way,
    /// The pooler, if there is one on the way.
    pub pooler: Option<Pooler>,
}

impl Scene {
    /// Sets one up.
    pub fn new(major: Major, way: Way) -> Self {
        Self::with(major, way, |config| config)
    }

    /// The same with a configuration that differs from the usual: four server connections.
    #[track_caller]
    pub fn with(major: Major, way: Way, change: impl FnOnce(Config) -> Config) -> Self {
        let cluster = Cluster::shared(major);
        let database = cluster.database();
        let mode = match way {
            Way::Direct => {
                return Self {
                    cluster,
                    database,
                    way,
                    pooler: None,
                };
            }
            Way::Session => "session",
            Way::Transaction => "transaction",
            Way::Statement => "statement",
        };
        let config = Config::of(cluster, &database)
            .set("pool_mode", mode)
            .set("default_pool_size", 4);
        let pooler = Pooler::start(&change(config));
        Self {
            cluster,
            database,
            way,
            pooler: Some(pooler),
        }
    }

    /// Where its clients connect to, as `app`.
    pub fn target(&self) -> Target {
        match &self.pooler {
            Some(pooler) => pooler.target(&self.database),
            None => self.direct(),
        }
    }

    /// The same database without pooler.
    pub fn direct(&self) -> Target {
        self.cluster.target(&self.database)
    }

    /// The pooler.
    ///
    /// # Panics
    /// If there is none.
    #[track_caller]
    pub fn pooler(&self) -> &Pooler {
        self.pooler.as_ref().expect("a pooler is on the way")
    }

    /// Waits until a client of the database runs a statement, as the server sees it.
    ///
    /// # Panics
    /// If none does.
    #[track_caller]
    pub fn busy(&self) {
        eventually("a statement runs", || {
            let sql = "SELECT 1 FROM pg_stat_activity WHERE datname = current_database() AND state = 'active' \
                       AND pid <> pg_backend_pid() AND backend_type = 'client backend'";
            (!self.admin(sql).is_empty()).then_some(())
        });
    }

    /// Runs SQL as superuser in the database, past the pooler.
    ///
    /// # Panics
    /// If it fails.
    #[track_caller]
    pub fn admin(&self, sql: &str) -> String {
        self.cluster.admin(&self.database, sql)
    }
}

impl Drop for Scene {
    fn drop(&mut self) {
        self.pooler = None;
        self.cluster.remove_database(&self.database);
    }
}

/// Makes tests of functions that take a [`Scene`], one for each major version and way, or of
/// functions that take a [`Major`], one for each:
///
/// ```text
/// cases! {
///     copy_in: direct session transaction;
///     a_server_that_is_killed;
/// }
/// ```
#[macro_export]
macro_rules! cases {
    ($($name:ident $(: $($way:ident)+)?;)+) => {
        $($crate::case! { $name $(: $($way)+)? })+
    };
}

/// One line of [`cases!`].
#[macro_export]
macro_rules! case {
    ($name:ident) => {
        mod $name {
            #[test]
            fn system() {
                super::$name($crate::Major::System);
            }
            #[test]
            fn eighteen() {
                super::$name($crate::Major::Eighteen);
            }
        }
    };
    ($name:ident : $($way:ident)+) => {
        mod $name {
            $(mod $way {
                #[test]
                fn system() {
                    super::super::$name(&$crate::Scene::new($crate::Major::System, $crate::way!($way)));
                }
                #[test]
                fn eighteen() {
                    super::super::$name(&$crate::Scene::new($crate::Major::Eighteen, $crate::way!($way)));
                }
            })+
        }
    };
}

/// A [`Way`] by its name.
#[macro_export]
macro_rules! way {
    (direct) => {
        $crate::Way::Direct
    };
    (session) => {
        $crate::Way::Session
    };
    (transaction) => {
        $crate::Way::Transaction
    };
    (statement) => {
        $crate::Way::Statement
    };
}
