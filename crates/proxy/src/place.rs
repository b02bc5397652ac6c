//! Which client: its number among all, and where it comes from.

use std::net::SocketAddr;

use pgweir_pool::{ClientId, WorkerId};

/// Bits of a client id that number the slot on its worker; above them is the worker, above that
/// the generation of the slot. The lower 32 bits are the `process id` of its cancel key.
const SLOT_BITS: u32 = 24;

/// The parts of a [`ClientId`].
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct Place {
    /// On which worker.
    pub worker: WorkerId,
    /// Where in its table.
    pub slot: usize,
    /// How often the slot was used before.
    pub generation: u32,
}

impl Place {
    /// As one number.
    pub fn id(self) -> ClientId {
        let low = (u64::from(self.worker.0) << SLOT_BITS) | self.slot as u64;
        ClientId((u64::from(self.generation) << 32) | low)
    }

    /// From that number.
    pub fn of(id: ClientId) -> Self {
        Self {
            generation: (id.0 >> 32) as u32,
            ..Self::of_pid(id.0 as u32)
        }
    }

    /// From the process id of a cancel request; the generation is not in it.
    pub fn of_pid(pid: u32) -> Self {
        Self {
            worker: WorkerId((pid >> SLOT_BITS) as u16),
            slot: (pid & ((1 << SLOT_BITS) - 1)) as usize,
            generation: 0,
        }
    }
}

/// The address of a client.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Peer {
    /// TCP.
    Tcp(SocketAddr),
    /// A Unix socket: process id of the other side, if the system tells, and the port in its name.
    Unix(Option<i32>, u16),
}

impl std::fmt::Display for Peer {
    fn fmt(&self, out: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        match self {
            Self::Tcp(addr) => write!(out, "{addr}"),
            Self::Unix(Some(pid), port) => write!(out, "unix({pid}):{port}"),
            Self::Unix(None, port) => write!(out, "unix:{port}"),
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_client_id_keeps_its_parts() {
        let place = Place {
            worker: WorkerId(3),
            slot: 70_000,
            generation: 9,
        };
        assert_eq!(Place::of(place.id()), place);
        let pid = place.id().0 as u32;
        assert_eq!(
            Place::of_pid(pid),
            Place {
                generation: 0,
                ..place
            }
        );
        assert!(pid < 1 << 31, "drivers print it as a signed number");
    }
}

/// Bytes of a connection that are on their way.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Default)]
pub struct OnTheWay {
    /// Read, and not dealt with.
    pub held: u32,
    /// To be written, and not taken by the kernel.
    pub unsent: u32,
}
