//! The statement without a name: the one that a client means, and the one that a server
//! connection has.

use std::sync::Arc;

use crate::statement::Statement;

/// The unnamed statement of a client.
#[derive(Debug, Default)]
pub(crate) enum ClientUnnamed {
    /// There is none.
    #[default]
    None,
    /// This one.
    Known(Arc<Statement>),
    /// One too large to be kept: it lives on the server of this lease only.
    Untracked(u32),
}

impl ClientUnnamed {
    /// Whether the server has just this.
    pub(crate) fn is_at(&self, server: &Unnamed, lease: u32) -> bool {
        match (self, server) {
            (Self::None, Unnamed::None) => true,
            (Self::Known(here), Unnamed::Known(there)) => Arc::ptr_eq(here, there),
            (Self::Untracked(its_lease), Unnamed::Foreign) => *its_lease == lease,
            _ => false,
        }
    }
}

/// What the unnamed statement of a server connection is, and what is known about the request that
/// made it so.
#[derive(Debug)]
pub(crate) struct ServerUnnamed {
    pub(crate) what: Unnamed,
    /// Number of that request.
    pub(crate) number: u64,
    /// Its segment.
    pub(crate) segment: u64,
    /// Whether the server had just what the client knew, so that it does not matter if the request
    /// is skipped: both are then as before.
    pub(crate) exact: bool,
}

impl Default for ServerUnnamed {
    fn default() -> Self {
        Self {
            what: Unnamed::None,
            number: 0,
            segment: 0,
            exact: true,
        }
    }
}

/// What the unnamed statement of a server connection is.
#[derive(Debug, Default)]
pub(crate) enum Unnamed {
    /// There is none.
    #[default]
    None,
    /// This one.
    Known(Arc<Statement>),
    /// One that is not tracked, or perhaps none.
    Foreign,
}
