//! What operators are shown of a host.

use super::{Lag, Lsn, Trouble};

/// What a host is, as far as it is known.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Hash)]
pub enum Role {
    /// It has not answered yet.
    Unknown,
    /// Out of recovery, on the highest timeline.
    Primary,
    /// In recovery.
    Standby,
    /// Out of recovery on an older timeline than another host has: nothing goes there until it is seen
    /// as a standby.
    Fenced,
    /// Out of recovery on the same timeline as the primary, or as another one: the same goes for it.
    Rival,
    /// Of another cluster: its system identifier is not that of the others.
    OtherSystem,
}

impl Role {
    /// A word for tables and metrics.
    pub fn word(self) -> &'static str {
        match self {
            Self::Unknown => "unknown",
            Self::Primary => "primary",
            Self::Standby => "standby",
            Self::Fenced => "fenced",
            Self::Rival => "rival",
            Self::OtherSystem => "other_system",
        }
    }

    /// Whether anything may ever be sent there while it is this.
    pub(super) fn is_candidate(self) -> bool {
        matches!(self, Self::Unknown | Self::Primary | Self::Standby)
    }
}

/// A host as it is known.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct HostView {
    /// What it is.
    pub role: Role,
    /// Its timeline.
    pub timeline: Option<u32>,
    /// Of a primary, what it has written; of a standby, what it has replayed.
    pub lsn: Option<Lsn>,
    /// Of a standby, against the primary's last sample.
    pub lag: Option<Lag>,
    /// An operator wants nothing to go there.
    pub is_paused: bool,
    /// It does not answer.
    pub is_down: bool,
    /// Something speaks against its role, and it has not been asked since.
    pub is_in_doubt: bool,
    /// Nothing was heard of it for longer than the pace allows.
    pub is_stale: bool,
    /// What went wrong last, if nothing has gone well since.
    pub trouble: Option<Trouble>,
}
