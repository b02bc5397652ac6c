//! The two sides of a unit on trial: what the server has said so far, and what the client takes back.

use crate::batch::Batch;
use crate::client::Client;
use crate::frame::Passing;
use crate::journal::Before;
use crate::reply::To;
use crate::server::Server;
use crate::trial::{Setback, Trial, Verdict, says_goodbye, verdict};

/// Longest beginning of an answer that is held back, in bytes.
const HELD_MAX: usize = 64 * 1024;

impl Server {
    /// Why the unit on trial must run elsewhere, if it must. Nothing of it has reached the client.
    pub fn setback(&self) -> Option<Setback> {
        match self.trial {
            Trial::Failed(setback) => Some(setback),
            Trial::Over | Trial::On => None,
        }
    }

    /// Whether nothing of what the client has asked on this lease has been answered, and all of it may run
    /// elsewhere.
    pub fn is_on_trial(&self) -> bool {
        self.trial != Trial::Over
    }

    /// The client is to hear whatever the server says.
    pub fn end_trial(&mut self) {
        if self.trial == Trial::On {
            self.trial = Trial::Over;
        }
    }

    /// Looks at what a server has sent, before any of it is dealt with that is the client's. `false`: it
    /// does not say enough yet, or says that the unit must run elsewhere.
    pub(crate) fn passes_trial(
        &mut self,
        input: &[u8],
        client: Option<&Client>,
        to_client: &mut Batch,
    ) -> bool {
        let is_clients = self.replies.front().is_some_and(|it| it.to != To::Swallow);
        let Some(client) = client else {
            // Whoever asked is gone, or asks elsewhere.
            self.trial = Trial::Over;
            self.inject(to_client);
            return true;
        };
        if !is_clients {
            if says_goodbye(input) {
                self.trial = Trial::Failed(Setback::Goodbye);
                return false;
            }
            return true;
        }
        match verdict(input, client.is_on_standby()) {
            Verdict::Unknown if input.len() < HELD_MAX => false,
            Verdict::Unknown | Verdict::Runs => {
                self.trial = Trial::Over;
                self.inject(to_client);
                true
            }
            Verdict::Fails(setback) => {
                self.trial = Trial::Failed(setback);
                false
            }
        }
    }
}

impl Client {
    /// All that was asked on this lease is taken back, to be asked again on another: names and the
    /// unnamed statement are what they were.
    pub fn take_back(&mut self, server: &mut Server) {
        debug_assert!(server.is_on_trial());
        let mut journal = std::mem::take(&mut server.journal);
        journal.undo_all(|before| match before {
            Before::Name(name, named) => {
                self.names.get_or_insert_default().replace(&name, named);
            }
            Before::Client(unnamed) => self.unnamed = unnamed,
            Before::Server(unnamed) => server.unnamed = unnamed,
        });
        self.passing = Passing::default();
    }
}
