//! The promises, each in the test named after it.
