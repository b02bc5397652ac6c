//! Everything of pgweir that touches the outside: sockets, TLS, tasks, the clock, files, signals
//! and the log. What a conversation means, who may use which connection and what the console
//! answers is decided by the crates below this one.
//!
//! # Promises
//!
//! - **X1** This is the only crate that does I/O.
//! - **X2** No lock is held across an await.
//! - **X3** Every wait has a deadline and every task an owner.
//! - **X4** An error in one connection ends that connection only.
//! - **X5** A lease dropped by a dying task comes back as broken.

pub mod admission;
pub mod ask;
pub mod autodb;
pub mod averages;
pub mod cancel;
pub mod catalog;
pub mod client;
pub mod cluster;
pub mod connect;
pub mod console;
pub mod crew;
pub mod descriptors;
mod discovered;
pub mod dns;
pub mod faults;
pub mod files;
pub mod giveback;
pub mod grant;
pub mod http;
pub mod identity;
pub mod ldap;
pub mod lease;
pub mod limits;
pub mod listen;
pub mod local;
pub mod log;
pub mod login;
pub mod lookup;
pub mod mail;
pub mod monitor;
pub mod pam;
pub mod passthrough;
pub mod patroni;
pub mod peers;
pub mod pidfile;
pub mod place;
pub mod reading;
pub mod relay;
pub mod reload;
pub mod report;
pub mod requests;
pub mod roles;
pub mod routes;
pub mod rules;
pub mod run;
pub mod serve;
pub mod server;
pub mod shared;
pub mod stats;
pub mod stream;
pub mod suspension;
pub mod systemd;
pub mod timeouts;
pub mod tls;
pub mod users;
pub mod view;
pub mod worker;
pub mod written;
