//! Which host of a database a new connection goes to.
//!
//! Sans-IO: outcomes and times are told by the caller.
//!
//! # Promises
//!
//! - **R3** Nothing goes to a host that is down, as long as another one is up; the last candidate
//!   is never excluded.

mod hosts;

pub use hosts::{HostIndex, Hosts, Order, Outcome};
