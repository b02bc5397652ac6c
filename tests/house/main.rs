//! Checks on the source itself: what a compiler does not care about, and readers do.

mod arrows;
mod cycles;
mod locks;
mod metrics;
mod sizes;
mod source;
