//! Who may use which server connection: one value for all pools of a process.
//!
//! Sans-IO: nothing here opens, moves or closes a connection. What is to be done comes out as an
//! [`Action`]; what was done is told by the caller. Time comes in as `now`.
//!
//! ```text
//!             Action::Open                 take, Action::Hand
//!   (nothing) ───────────▶ opening ──────▶ idle ◀──────────▶ leased
//!       ▲                     │ failed      │ lost, Close      │ release(Close)
//!       └─────────────────────┴─────────────┴──────────────────┘
//!                        a slot is free: settle
//! ```
//!
//! Whatever frees a slot, or lets a pool have one, ends with `settle`: who waits longest without a
//! connection on its way is served first, in whichever pool, if need be in the place of an idle
//! connection of a pool under the same cap. So there is one place where waiting ends, and no order
//! of calls in which it does not.
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
mod backoff;
mod caps;
mod conn;
mod control;
mod give;
mod limits;
mod lines;
mod places;
mod pool;
mod pools;
mod settle;
mod take;
mod tick;
mod token;
mod waiting;

#[cfg(test)]
mod tests;

pub use action::{Action, Fatal, Figures, Hindrance, Refusal, Release, Take};
pub use limits::Limits;
pub use pool::{Counts, Kind, Phase, PoolKey};
pub use pools::{PoolRef, Pools};
pub use token::{ClientId, ConnId, Lease, Permit, PoolId, Ticket, WorkerId};
