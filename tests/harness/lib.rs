//! What the end-to-end tests stand on: PostgreSQL servers of their own, poolers in front of them,
//! and clients of all kinds.
//!
//! | need | where |
//! | --- | --- |
//! | a PostgreSQL server, and a standby of it | [`Cluster`] |
//! | a server that falls silent at any byte | [`Gate`] |
//! | a pgweir in front of it | [`Pooler`] |
//! | three servers that Patroni looks after | [`Patroni`] |
//! | machines that lose sight of each other | [`Network`] |
//! | an LDAP directory with people in it | [`Directory`] |
//! | where a client connects to, and `psql` and `pgbench` there | [`Target`] |
//! | one behaviour on every major version and in every mode | [`cases!`], [`Scene`] |
//! | a client that says exactly the bytes it is told | [`Wire`] |
//! | programs in Python and JavaScript | [`script`] |
//!
//! Nothing is left behind, even by a test that is killed: a server or pooler gets a signal when
//! the process that started it ends, and a janitor removes its files. Only processes that were
//! started here are ever signalled, by the handle they were started with. Servers listen on
//! ports that were free, so runs do not disturb each other nor a server that is there already.

mod cache;
mod certificates;
mod cluster;
mod config;
mod directory;
mod frame;
mod gate;
mod major;
mod name_server;
mod network;
mod patroni;
mod pooler;
mod port;
mod process;
mod room;
mod scene;
pub mod script;
mod target;
mod wait;
mod wire;

pub use certificates::{Certificates, certificates};
pub use cluster::{Cluster, Options};
pub use config::{Config, Value};
pub use directory::Directory;
pub use frame::{Frame, ServerError};
pub use gate::Gate;
pub use major::Major;
pub use name_server::NameServer;
pub use network::{Network, Spot};
pub use patroni::{Member, Patroni};
pub use pooler::{Pooler, Row};
pub use port::free_port;
pub use process::{Process, Starting, unprivileged};
pub use room::{Room, give_to};
pub use scene::{Scene, Way};
pub use target::{Outcome, Target};
pub use wait::{eventually, for_a_while};
pub use wire::{Identity, Wire};
