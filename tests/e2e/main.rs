//! pgweir between real clients and real PostgreSQL servers.
//!
//! Most behaviours are also tested without pgweir (`…::direct::…`): that a program works with
//! PostgreSQL itself proves that the test asks for the right thing.

mod auth;
mod beside;
mod command_line;
mod connect;
mod console;
mod deadlines;
mod drivers;
mod errors;
mod failure;
mod following;
mod http;
mod ini;
mod isolation;
mod large;
mod lifecycle;
mod log;
mod misbehaviour;
mod names;
mod pausing;
mod peers;
mod pools;
mod protocol;
mod replication;
mod routing;
mod settings;
mod systemd;
mod takeover;
mod tls;
mod tokio_postgres;
mod work;
