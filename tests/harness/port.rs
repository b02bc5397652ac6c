//! Ports that nobody uses.

use std::collections::HashSet;
use std::hash::{BuildHasher, RandomState};
use std::net::{Ipv4Addr, TcpListener};
use std::sync::Mutex;

/// A port on 127.0.0.1 that was free a moment ago and was not given out before by this process.
///
/// It lies below those the kernel gives to outgoing connections (which `bind` to port 0 gives
/// too): a server that is restarted finds its port still free.
///
/// # Panics
/// If all are taken.
pub fn free_port() -> u16 {
    static GIVEN: Mutex<Option<HashSet<u16>>> = Mutex::new(None);
    let mut given = GIVEN.lock().expect("nobody panics while holding it");
    let given = given.get_or_insert_default();
    // Each RandomState has keys of its own.
    let first = RandomState::new().hash_one(std::process::id());
    for step in 0..10_000 {
        let port = u16::try_from(12_000 + (first + step * 7) % 20_000).expect("below 32000");
        if !given.contains(&port) && TcpListener::bind((Ipv4Addr::LOCALHOST, port)).is_ok() {
            given.insert(port);
            return port;
        }
    }
    panic!("no free port");
}
