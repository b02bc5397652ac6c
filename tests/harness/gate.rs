//! A way to a server that can be blocked at any byte.

use std::io::{Read, Write};
use std::net::{Ipv4Addr, Shutdown, SocketAddr, TcpListener, TcpStream};
use std::sync::{Arc, Condvar, Mutex, MutexGuard};
use std::thread;

use crate::cluster::Cluster;

/// Carries bytes between a pooler and a server. What the server says is held back as a test
/// wants it: to the other side that looks like a server that says nothing more.
#[derive(Debug)]
pub struct Gate {
    address: SocketAddr,
    shared: Arc<Shared>,
}

#[derive(Debug)]
struct Shared {
    server: SocketAddr,
    state: Mutex<State>,
    changed: Condvar,
}

#[derive(Debug)]
struct State {
    /// Bytes that a connection made from now on gets from the server.
    allowance: u64,
    /// All connections there ever were.
    passages: Vec<Passage>,
    over: bool,
}

#[derive(Debug)]
struct Passage {
    pooler: TcpStream,
    server: TcpStream,
    /// Bytes from the server that came through, or are about to.
    passed: u64,
    allowed: u64,
    closed: bool,
}

impl Gate {
    /// An open one, before a server.
    ///
    /// # Panics
    /// If there is no port for it.
    pub fn before(cluster: &Cluster) -> Self {
        let listener = TcpListener::bind((Ipv4Addr::LOCALHOST, 0)).expect("there are free ports");
        let address = listener.local_addr().expect("it is bound");
        let shared = Arc::new(Shared {
            server: (Ipv4Addr::LOCALHOST, cluster.port()).into(),
            state: Mutex::new(State {
                allowance: u64::MAX,
                passages: Vec::new(),
                over: false,
            }),
            changed: Condvar::new(),
        });
        let gate = Self {
            address,
            shared: Arc::clone(&shared),
        };
        thread::spawn(move || {
            for pooler in listener.incoming().flatten() {
                if shared.lock().over {
                    return;
                }
                // Whoever connects sees it closed, as the server would do it.
                if let Ok(server) = TcpStream::connect(shared.server) {
                    shared.carry(pooler, server);
                }
            }
        });
        gate
    }

    /// Where it is, as a host of the configuration.
    pub fn host(&self) -> String {
        self.address.to_string()
    }

    /// Connections made from now on get so many bytes from the server, and then silence.
    pub fn limit(&self, bytes: u64) {
        self.shared.lock().allowance = bytes;
    }

    /// Silence, on the connections that there are.
    pub fn hush(&self) {
        for passage in &mut self.shared.lock().passages {
            passage.allowed = passage.passed;
        }
    }

    /// Everything comes through, also what was held back.
    pub fn open(&self) {
        let mut state = self.shared.lock();
        state.allowance = u64::MAX;
        for passage in &mut state.passages {
            passage.allowed = u64::MAX;
        }
        self.shared.changed.notify_all();
    }

    /// Says something on every connection, as if the server did.
    pub fn say(&self, bytes: &[u8]) {
        for passage in &mut self.shared.lock().passages {
            // Those that are closed hear nothing.
            let _ = passage.pooler.write_all(bytes);
        }
    }

    /// How many bytes of the server's came through on the connection made last.
    ///
    /// # Panics
    /// If there was none.
    pub fn passed(&self) -> u64 {
        let state = self.shared.lock();
        state.passages.last().expect("there was one").passed
    }

    /// How many connections there are.
    pub fn connections(&self) -> usize {
        let state = self.shared.lock();
        state.passages.iter().filter(|one| !one.closed).count()
    }
}

impl Drop for Gate {
    fn drop(&mut self) {
        let mut state = self.shared.lock();
        state.over = true;
        for passage in &mut state.passages {
            passage.close();
        }
        self.shared.changed.notify_all();
        drop(state);
        // Wakes who accepts.
        drop(TcpStream::connect(self.address));
    }
}

impl Passage {
    fn close(&mut self) {
        self.closed = true;
        for stream in [&self.pooler, &self.server] {
            let _ = stream.shutdown(Shutdown::Both);
        }
    }
}

impl Shared {
    fn lock(&self) -> MutexGuard<'_, State> {
        self.state.lock().expect("nobody panics while holding it")
    }

    fn carry(self: &Arc<Self>, pooler: TcpStream, server: TcpStream) {
        let again = |stream: &TcpStream| stream.try_clone().expect("there are file descriptors");
        for stream in [&pooler, &server] {
            stream.set_nodelay(true).expect("TCP has it");
        }
        let (mut from_pooler, mut to_server) = (again(&pooler), again(&server));
        let (from_server, to_pooler) = (again(&server), again(&pooler));
        let number = {
            let mut state = self.lock();
            let allowed = state.allowance;
            state.passages.push(Passage {
                pooler,
                server,
                passed: 0,
                allowed,
                closed: false,
            });
            state.passages.len() - 1
        };
        let shared = Arc::clone(self);
        thread::spawn(move || {
            // An error is an end as well.
            let _ = std::io::copy(&mut from_pooler, &mut to_server);
            shared.lock().passages[number].close();
            shared.changed.notify_all();
        });
        let shared = Arc::clone(self);
        thread::spawn(move || {
            shared.answers(number, from_server, to_pooler);
            shared.lock().passages[number].close();
        });
    }

    fn answers(&self, number: usize, mut from: TcpStream, mut to: TcpStream) {
        let mut chunk = [0; 16 * 1024];
        loop {
            let len = from.read(&mut chunk).unwrap_or(0);
            let mut rest = &chunk[..len];
            if len == 0 {
                // Silence has no end.
                self.room(number, 0);
                return;
            }
            while !rest.is_empty() {
                let room = self.room(number, rest.len());
                if room == 0 || to.write_all(&rest[..room]).is_err() {
                    return;
                }
                rest = &rest[room..];
            }
        }
    }

    /// Waits until something may pass, and says how much of `wanted`; 0: the pooler has closed.
    fn room(&self, number: usize, wanted: usize) -> usize {
        let mut state = self.lock();
        loop {
            let passage = &mut state.passages[number];
            if passage.closed {
                return 0;
            }
            let most = passage.allowed - passage.passed;
            if most > 0 {
                let room = wanted.min(usize::try_from(most).expect("64 bits"));
                passage.passed += room as u64;
                return room;
            }
            let waited = self.changed.wait(state);
            state = waited.expect("nobody panics while holding it");
        }
    }
}
