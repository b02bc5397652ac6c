//! What a client is asked, by the rules in force.

use pgweir_auth::hba::{Attempt, Channel, Refusal, Replication, Way};

use super::wish::Wish;
use super::{Conversation, Outcome};
use crate::client::ClientShared;
use crate::place::Peer;
use crate::report::Report;
use crate::worker::Worker;

/// How the client is to prove who it is.
pub(super) fn way(
    worker: &Worker,
    client: &ClientShared,
    conversation: Conversation,
    wish: &Wish,
) -> Outcome<(Conversation, Way)> {
    let attempt = Attempt {
        channel: match &client.peer {
            Peer::Tcp(address) if conversation.stream.is_tls() => Channel::Tls(address.ip()),
            Peer::Tcp(address) => Channel::Plain(address.ip()),
            Peer::Unix(..) => Channel::Local,
        },
        database: &wish.database,
        user: &wish.user,
        replication: match wish.replication {
            None => Replication::No,
            Some("physical") => Replication::Physical,
            Some(_) => Replication::Logical,
        },
    };
    match worker.shared.rules.load().decide(&attempt) {
        Ok((way, line)) => {
            tracing::debug!(client = client.id, line, ?way, "authentication method");
            Ok((conversation, way))
        }
        Err(refusal) => {
            let line = match refusal {
                Refusal::Rejected { line } => format!("line {line}"),
                Refusal::NoRule => "no line".to_owned(),
            };
            let cause = format!("by {line} of auth_hba_file");
            conversation.refuse(Report::new("28000", refusal.to_string()).cause(cause))
        }
    }
}
