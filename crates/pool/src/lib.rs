//! Who may use which server connection: one value for all pools of a process.
//!
//! Sans-IO: nothing here opens, moves or closes a connection. What is to be done comes out as an
//! [`Action`]; what was done is told by the caller. Time comes in as `now`.
//!
//! # Promises
//!
//! - **P1** opening + idle + leased ≤ limit, for every limit.
//! - **P2** A connection is in exactly one place.
//! - **P3** No idle connection while somebody waits for it; first come, first served (across
//!   workers up to the `locality` given to [`Pools::new`]).
//! - **P4** A lease ends exactly once, a permit is answered exactly once.
//! - **P5** Time enters only as `now`.

mod action;
mod caps;
mod control;
mod grow;
mod limits;
mod pool;
mod pools;
mod queue;
mod tick;
mod token;

#[cfg(test)]
mod tests;

pub use action::{Action, Fatal, Figures, Refusal, Release, Take};
pub use limits::Limits;
pub use pool::{Counts, Kind, Phase, PoolKey};
pub use pools::{PoolRef, Pools};
pub use token::{ClientId, ConnId, Lease, Permit, PoolId, Ticket, WorkerId};
