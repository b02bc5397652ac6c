//! Machines that can lose sight of each other: namespaces of the network, with a bridge between them.

use std::fs;
use std::process::Command;
use std::thread;

use nix::sched::{CloneFlags, unshare};
use nix::unistd::Uid;

use crate::process::{Process, Starting};
use crate::room::Room;
use crate::wait::eventually;

/// What the machines' addresses begin with. Nobody outside sees them.
const NET: &str = "10.99.0";

/// See the module. The thread that made it is in the middle, and reaches all of them.
#[derive(Debug)]
pub struct Network {
    machines: Vec<Machine>,
    _room: Room,
}

/// One of them.
#[derive(Debug)]
struct Machine {
    /// Its namespace is there as long as this is.
    holder: Process,
}

/// Where a machine is.
#[derive(Debug, Clone)]
pub struct Spot {
    /// Its address.
    pub address: String,
    /// Its namespace, as a file.
    pub namespace: String,
}

impl Network {
    /// Runs something on a thread in the middle of so many machines; without it where that is not allowed.
    pub fn run<R: Send>(count: usize, body: impl FnOnce(&Self) -> R + Send) -> Option<R> {
        if !Uid::effective().is_root() {
            println!("skipped: only root makes namespaces of the network");
            return None;
        }
        let outcome = thread::scope(|scope| {
            let in_the_middle = scope.spawn(|| body(&Self::new(count)));
            in_the_middle.join()
        });
        match outcome {
            Ok(result) => Some(result),
            Err(panic) => std::panic::resume_unwind(panic),
        }
    }

    fn new(count: usize) -> Self {
        unshare(CloneFlags::CLONE_NEWNET).expect("root may do it");
        let room = Room::new("network");
        ip("link set lo up");
        ip("link add middle type bridge");
        ip(&format!("address add {NET}.254/24 dev middle"));
        ip("link set middle up");
        let own = fs::read_link("/proc/thread-self/ns/net").expect("there is one");
        let machine = |number: usize| {
            let holder = Starting::new("unshare", "KILL", &room.join("log"))
                .args(["--net", "sleep", "infinity"])
                .start();
            let id = holder.id();
            let namespace = format!("/proc/{id}/ns/net");
            eventually("it has a namespace of its own", || {
                let theirs = fs::read_link(&namespace).ok()?;
                let command = fs::read_to_string(format!("/proc/{id}/comm")).ok()?;
                (theirs != own && command.trim() == "sleep").then_some(())
            });
            ip(&format!(
                "link add machine{number} type veth peer name outside netns {id}"
            ));
            ip(&format!("link set machine{number} master middle up"));
            for rest in [
                format!("address add {NET}.{number}/24 dev outside"),
                "link set outside up".to_owned(),
                "link set lo up".to_owned(),
            ] {
                let enter = format!("--net={namespace}");
                run(Command::new("nsenter").args([&enter, "ip"]), &rest);
            }
            Machine { holder }
        };
        Self {
            machines: (1..=count).map(machine).collect(),
            _room: room,
        }
    }

    /// The address of the middle.
    pub fn middle(&self) -> String {
        format!("{NET}.254")
    }

    /// Where one of the machines is.
    pub fn spot(&self, place: usize) -> Spot {
        Spot {
            address: format!("{NET}.{}", place + 1),
            namespace: format!("/proc/{}/ns/net", self.machines[place].holder.id()),
        }
    }

    /// Nothing passes between one of them and all others any more.
    pub fn cut(&self, place: usize) {
        // Left to itself but up, the near end would still take what comes.
        ip(&format!("link set machine{} down", place + 1));
    }

    /// It is as it was before.
    pub fn join(&self, place: usize) {
        ip(&format!("link set machine{} up", place + 1));
    }
}

/// Something that `ip` does, in the namespace of this thread.
fn ip(what: &str) {
    run(&mut Command::new("ip"), what);
}

fn run(command: &mut Command, what: &str) {
    let output = command
        .args(what.split(' '))
        .output()
        .expect("ip (package iproute2) and nsenter (package util-linux) are there");
    let said = String::from_utf8_lossy(&output.stderr);
    assert!(output.status.success(), "ip {what}: {said}");
}
