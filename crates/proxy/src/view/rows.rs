//! The connections of one worker as rows of SHOW CLIENTS and SHOW SERVERS.

use std::time::{Duration, Instant};

use jiff::Timestamp;
use jiff::tz::TimeZone;
use pgweir_admin::{Buffers, ConnectionRow, Replication, State};
use pgweir_pool::WorkerId;

use crate::client::{ClientShared, ClientState};
use crate::mail::WorkerView;
use crate::place::{OnTheWay, Peer};
use crate::server::{ServerShared, ServerState};
use crate::worker::Worker;

/// What there is on a worker now.
pub fn of_worker(worker: &Worker) -> WorkerView {
    let now = Instant::now();
    let zone = TimeZone::system();
    let config = worker.shared.config.load();
    WorkerView {
        clients: worker
            .clients()
            .iter()
            .map(|client| client_row(client, worker.id, now, &zone))
            .collect(),
        servers: worker
            .servers()
            .iter()
            .map(|server| {
                server_row(
                    server,
                    worker.id,
                    now,
                    config.settings.server_check_delay,
                    &zone,
                )
            })
            .collect(),
    }
}

fn time(time: Timestamp, zone: &TimeZone) -> String {
    time.to_zoned(zone.clone())
        .strftime("%Y-%m-%d %H:%M:%S %Z")
        .to_string()
}

/// The calendar's time of a moment on the monotonic clock.
fn time_of(moment: Instant, now: Instant, zone: &TimeZone) -> String {
    let ago = now.saturating_duration_since(moment);
    match Timestamp::now().checked_sub(ago) {
        Ok(then) => time(then, zone),
        Err(_) => String::new(),
    }
}

fn client_row(
    client: &ClientShared,
    worker: WorkerId,
    now: Instant,
    zone: &TimeZone,
) -> ConnectionRow {
    let login = client.login.borrow().clone();
    let link = client.link.borrow().as_ref().map(|server| server.facts.id);
    let state = match client.state.get() {
        ClientState::Login if login.as_ref().is_some_and(|login| login.console) => {
            State::ClientActive
        }
        ClientState::Login => State::ClientLogin,
        ClientState::Waiting => State::ClientWaiting,
        _ if link.is_some() => State::ClientActive,
        _ => State::ClientIdle,
    };
    let waiting = client.state.get() == ClientState::Waiting;
    let (addr, port, pid) = match client.peer {
        Peer::Tcp(addr) => (addr.ip().to_string(), addr.port(), 0),
        Peer::Unix(pid, port) => ("unix".to_owned(), port, pid.unwrap_or(0)),
    };
    let local = client.local.map_or(("unix".to_owned(), port), |addr| {
        (addr.ip().to_string(), addr.port())
    });
    ConnectionRow {
        state,
        user: login.as_ref().map(|login| login.user.to_string()),
        database: login.as_ref().map(|login| login.database.to_string()),
        replication: match login.as_ref().map_or("none", |login| login.replication) {
            "physical" => Replication::Physical,
            "logical" => Replication::Logical,
            _ => Replication::None,
        },
        addr,
        port: port.into(),
        local_addr: local.0,
        local_port: local.1.into(),
        connect_time: time(client.since_time, zone),
        request_time: time_of(client.request_time.get(), now, zone),
        wait: if waiting {
            now.saturating_duration_since(client.since.get())
        } else {
            Duration::ZERO
        },
        close_needed: client.kill.get().is_some(),
        link,
        remote_pid: pid.unsigned_abs().into(),
        tls: login
            .as_ref()
            .map_or_else(String::new, |login| login.tls.clone()),
        application_name: login
            .as_ref()
            .map_or_else(String::new, |login| login.application_name.clone()),
        prepared_statements: client.prepared.get().into(),
        fd: client.fd.into(),
        id: client.id,
        buffers: buffers(client.bytes.get()),
        worker: worker.0.into(),
        pin: None,
    }
}

/// What is read is not judged yet, or there were no need to keep it; what is written is gone.
fn buffers(bytes: OnTheWay) -> Buffers {
    Buffers {
        recv_pos: bytes.held.into(),
        pkt_avail: bytes.held.into(),
        send_avail: bytes.unsent.into(),
        ..Buffers::default()
    }
}

fn server_row(
    server: &ServerShared,
    worker: WorkerId,
    now: Instant,
    check_delay: Duration,
    zone: &TimeZone,
) -> ConnectionRow {
    let facts = &server.facts;
    let idled = now.saturating_duration_since(server.request_time.get());
    let state = match server.state.get() {
        ServerState::Active => State::ServerActive,
        ServerState::Idle if idled > check_delay => State::ServerUsed,
        ServerState::Idle => State::ServerIdle,
        ServerState::Tested => State::ServerTested,
        ServerState::BeingCanceled => State::ServerBeingCanceled,
    };
    let end = |addr: Option<std::net::SocketAddr>| {
        addr.map_or(("unix".to_owned(), 0), |addr| {
            (addr.ip().to_string(), addr.port())
        })
    };
    let (addr, port) = match facts.peer {
        Some(_) => end(facts.peer),
        None => ("unix".to_owned(), facts.host.port()),
    };
    let local = end(facts.local);
    ConnectionRow {
        state,
        user: Some(facts.user.to_string()),
        database: Some(facts.database.to_string()),
        replication: Replication::None,
        addr,
        port: port.into(),
        local_addr: local.0,
        local_port: local.1.into(),
        connect_time: time(facts.since_time, zone),
        request_time: time_of(server.request_time.get(), now, zone),
        wait: Duration::ZERO,
        close_needed: server.close_needed.get(),
        link: server.link.get(),
        remote_pid: facts.pid.into(),
        tls: facts.tls.to_string(),
        application_name: String::new(),
        prepared_statements: server.prepared.get().into(),
        fd: facts.fd.into(),
        id: facts.id,
        buffers: match server.state.get() {
            ServerState::Active => buffers(server.bytes.get()),
            // It carries nothing that belongs to anybody.
            _ => Buffers::default(),
        },
        worker: worker.0.into(),
        pin: None,
    }
}
