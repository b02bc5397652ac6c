//! What is known of the user who wants to log in: from files, or from a server that is asked.

use std::rc::Rc;
use std::sync::Arc;

use pgweir_auth::hba::Way;
use pgweir_auth::{Method, Secret};

use super::wish::Wish;
use super::{Conversation, Failure, Outcome};
use crate::client::ClientShared;
use crate::lookup::{Question, look_up};
use crate::worker::Worker;

/// What is known of a user.
pub(super) struct Known {
    secret: Option<Arc<Secret>>,
    /// The name that a server has given, if it was asked and knows the user.
    found: Option<String>,
    /// Whether there is such a user, with a secret or without.
    is_somebody: bool,
}

impl Known {
    /// What the configuration and `auth_file` have.
    pub(super) fn of_files(worker: &Worker, wish: &Wish) -> Self {
        let config = worker.shared.config.load();
        let secret = worker.shared.users.load().get(&wish.user).cloned();
        // Whoever the database's clients are on the server: to come in one must be somebody here.
        let is_somebody = secret.is_some() || config.users.contains_key(&wish.user);
        Self {
            secret,
            found: None,
            is_somebody,
        }
    }

    /// What proves the user.
    pub(super) fn secret(&self) -> Option<&Secret> {
        self.secret.as_deref()
    }

    /// Whether there is such a user, with a secret or without.
    pub(super) fn is_somebody(&self) -> bool {
        self.is_somebody
    }

    /// The name that a server has given in the place of the client's.
    pub(super) fn name(&self) -> Option<&str> {
        self.found.as_deref()
    }

    /// The user has proved to be who it is: what was found serves for the server, too.
    pub(super) fn keep(&self, worker: &Worker, wish: &Wish) {
        if let (Some(name), Some(secret)) = (&self.found, &self.secret) {
            let found = &worker.shared.found;
            found.keep(&wish.database, name, Arc::clone(secret));
        }
    }
}

/// What is known of the user, with the help of `auth_query` where files have no secret.
pub(super) async fn user(
    worker: &Rc<Worker>,
    client: &Rc<ClientShared>,
    conversation: Conversation,
    wish: &Wish,
    way: &Way,
) -> Outcome<(Conversation, Known)> {
    let known = Known::of_files(worker, wish);
    // Where nobody need be known, or a directory knows, nobody is asked.
    let others_know = matches!(way, Way::Ask(Method::Any) | Way::Ldap(_) | Way::Pam);
    if known.secret.is_some() || others_know {
        return Ok((conversation, known));
    }
    let Some(question) = question(worker, wish) else {
        return Ok((conversation, known));
    };
    let database = wish.database.as_str();
    let answer = tokio::select! {
        biased;
        answer = look_up(worker, client, Rc::new(question), conversation.deadline) => answer,
        () = conversation.stream.hung_up() => {
            return Err(Failure::Silent("client gone during login"));
        }
    };
    match answer {
        Ok(Some((name, secret))) => {
            let secret = worker.shared.found.known(database, &name, secret);
            let known = Known {
                secret: Some(secret),
                found: Some(name),
                is_somebody: true,
            };
            Ok((conversation, known))
        }
        Ok(None) => Ok((conversation, known)),
        Err(report) => conversation.refuse(report),
    }
}

fn question(worker: &Worker, wish: &Wish) -> Option<Question> {
    let config = worker.shared.config.load();
    let asked = config.auth_query(&wish.database)?;
    Some(Question {
        database: asked.database.to_owned(),
        asker: asked.user.to_owned(),
        query: asked.query.to_owned(),
        user: wish.user.clone(),
    })
}
