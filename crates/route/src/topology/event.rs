//! What has become of hosts, for the log.

use super::{NoPrimary, Role};
use crate::HostIndex;

/// Something that operators want to know.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Event {
    /// Statements that need the primary go here now.
    PrimaryIs(HostIndex),
    /// They wait.
    NoPrimary(NoPrimary),
    /// A host is something else than it was.
    RoleIs(HostIndex, Role),
    /// A host does not answer.
    Down(HostIndex),
    /// It does again.
    Up(HostIndex),
}

/// The primary, and of each host its role and whether it is down.
pub(super) type Outcome = (Result<HostIndex, NoPrimary>, Vec<(Role, bool)>);

pub(super) fn between(before: &Outcome, after: &Outcome) -> Vec<Event> {
    let mut events = Vec::new();
    for (index, (before, after)) in before.1.iter().zip(&after.1).enumerate() {
        let host = HostIndex(index);
        match (before.1, after.1) {
            (false, true) => events.push(Event::Down(host)),
            (true, false) => events.push(Event::Up(host)),
            _ => {}
        }
        if before.0 != after.0 {
            events.push(Event::RoleIs(host, after.0));
        }
    }
    if before.0 != after.0 {
        events.push(match after.0 {
            Ok(primary) => Event::PrimaryIs(primary),
            Err(why) => Event::NoPrimary(why),
        });
    }
    events
}
