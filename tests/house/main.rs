//! Checks on the source.
