//! Name servers of tests.

use std::collections::HashMap;
use std::fs;
use std::io::ErrorKind;
use std::net::{Ipv4Addr, SocketAddr, UdpSocket};
use std::path::PathBuf;
use std::sync::atomic::{AtomicBool, Ordering};
use std::sync::{Arc, Mutex, MutexGuard};
use std::thread::{self, JoinHandle};
use std::time::Duration;

use hickory_proto::op::{Message, OpCode, ResponseCode};
use hickory_proto::rr::rdata::{A, SOA};
use hickory_proto::rr::{Name, RData, Record, RecordType};

use crate::room::Room;

/// A name server on a loopback address of its own, at the only port that a resolv.conf can name.
#[derive(Debug)]
pub struct NameServer {
    room: Room,
    address: SocketAddr,
    knows: Arc<Mutex<Knows>>,
    over: Arc<AtomicBool>,
    thread: Option<JoinHandle<()>>,
}

#[derive(Debug, Default)]
struct Knows {
    /// Addresses and time to live, in seconds.
    names: HashMap<String, (Vec<Ipv4Addr>, u32)>,
    serials: HashMap<String, u32>,
    /// Questions for the address of each name.
    asked: HashMap<String, usize>,
    silent: bool,
}

impl NameServer {
    /// Starts one that knows nothing. `None`: this user may not use the port.
    ///
    /// # Panics
    /// If there is no address left.
    pub fn start() -> Option<Self> {
        let socket = (1..=254)
            .flat_map(|third| (1..=254).map(move |last| Ipv4Addr::new(127, 53, third, last)))
            .find_map(|address| match UdpSocket::bind((address, 53)) {
                Ok(socket) => Some(Some(socket)),
                Err(error) if error.kind() == ErrorKind::PermissionDenied => Some(None),
                Err(_) => None,
            })
            .expect("an address is left")?;
        let pause = Duration::from_millis(50);
        socket.set_read_timeout(Some(pause)).expect("not zero");
        let address = socket.local_addr().expect("it is bound");
        let room = Room::new("name-server");
        let text = format!(
            "nameserver {}\noptions timeout:1 attempts:1\n",
            address.ip()
        );
        fs::write(room.join("resolv.conf"), text).expect("ours");
        let (knows, over) = (Arc::<Mutex<Knows>>::default(), Arc::<AtomicBool>::default());
        let thread = {
            let (knows, over) = (Arc::clone(&knows), Arc::clone(&over));
            thread::spawn(move || serve(&socket, &knows, &over))
        };
        Some(Self {
            room,
            address,
            knows,
            over,
            thread: Some(thread),
        })
    }

    /// A file that names it.
    pub fn resolv_conf(&self) -> PathBuf {
        self.room.join("resolv.conf")
    }

    /// Gives a name these addresses, for so many seconds; without any there is no such name.
    pub fn set(&self, name: &str, addresses: &[Ipv4Addr], ttl: u32) {
        let mut knows = self.knows();
        knows
            .names
            .insert(name.to_owned(), (addresses.to_vec(), ttl));
    }

    /// Gives a zone a serial number.
    pub fn set_serial(&self, zone: &str, serial: u32) {
        self.knows().serials.insert(zone.to_owned(), serial);
    }

    /// Has it say nothing, or something again.
    pub fn hush(&self, silent: bool) {
        self.knows().silent = silent;
    }

    /// How often it was asked for the address of a name.
    pub fn asked(&self, name: &str) -> usize {
        self.knows().asked.get(name).copied().unwrap_or(0)
    }

    fn knows(&self) -> MutexGuard<'_, Knows> {
        self.knows.lock().expect("nobody panics with it")
    }
}

impl Drop for NameServer {
    fn drop(&mut self) {
        self.over.store(true, Ordering::Relaxed);
        // So that it need not wait for the end of its patience.
        if let Ok(socket) = UdpSocket::bind("127.0.0.1:0") {
            let _ = socket.send_to(&[0], self.address);
        }
        drop(self.thread.take().map(JoinHandle::join));
    }
}

fn serve(socket: &UdpSocket, knows: &Mutex<Knows>, over: &AtomicBool) {
    let mut buffer = [0; 4096];
    while !over.load(Ordering::Relaxed) {
        let Ok((length, from)) = socket.recv_from(&mut buffer) else {
            continue;
        };
        let Ok(question) = Message::from_vec(&buffer[..length]) else {
            continue;
        };
        let mut knows = knows.lock().expect("nobody panics with it");
        if let Some(answer) = answer(&question, &mut knows) {
            let bytes = answer.to_vec().expect("it is well formed");
            let _ = socket.send_to(&bytes, from);
        }
    }
}

/// `None`: it says nothing.
fn answer(question: &Message, knows: &mut Knows) -> Option<Message> {
    let query = question.queries.first()?;
    let name = query.name().to_ascii();
    let name = name.trim_end_matches('.').to_owned();
    let kind = query.query_type();
    if kind == RecordType::A {
        *knows.asked.entry(name.clone()).or_default() += 1;
    }
    if knows.silent {
        return None;
    }
    let mut answer = Message::response(question.metadata.id, OpCode::Query);
    answer.metadata.recursion_desired = question.metadata.recursion_desired;
    answer.metadata.recursion_available = true;
    answer.add_query(query.clone());
    let owner = query.name().clone();
    match (kind, knows.names.get(&name), knows.serials.get(&name)) {
        (RecordType::A, Some((addresses, ttl)), _) if !addresses.is_empty() => {
            for address in addresses {
                let data = RData::A(A(*address));
                answer.add_answer(Record::from_rdata(owner.clone(), *ttl, data));
            }
        }
        (RecordType::SOA, _, Some(serial)) => {
            let server = Name::from_ascii("ns.invalid.").expect("it is a name");
            let data = SOA::new(server.clone(), server, *serial, 1, 1, 1, 1);
            answer.add_answer(Record::from_rdata(owner, 1, RData::SOA(data)));
        }
        // There is nothing of this kind.
        (_, Some((addresses, _)), _) if !addresses.is_empty() => {}
        _ => answer.metadata.response_code = ResponseCode::NXDomain,
    }
    Some(answer)
}
