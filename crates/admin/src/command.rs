//! What an operator may ask for: text → [`Command`].

use std::borrow::Cow;
use std::fmt;

use crate::error::Error;
use crate::show::fake::Fake;
use crate::words::{Sentence, sentence};
use crate::{CONSOLE_DATABASES, Show};

/// Longest first word of a command, in bytes.
const WORD_LEN_MAX: usize = 15;
/// Longest argument or key, in bytes: a name of PostgreSQL's (`NAMEDATALEN` - 1).
const ARGUMENT_LEN_MAX: usize = 63;
/// Longest value of SET, in bytes.
const VALUE_LEN_MAX: usize = 255;
/// How much of a text that is no command its refusal repeats, in bytes.
const SHOWN_LEN_MAX: usize = 1000;

/// What a user of the console may do.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Role {
    /// Everything (`admin_users`).
    Admin,
    /// Look (`stats_users`).
    Stats,
}

/// A command that its asker may give. A database is named as configured; `None` means all.
#[derive(Debug, Clone, PartialEq, Eq)]
pub enum Command {
    /// Answered from a [`Snapshot`](crate::Snapshot).
    Show(Show),
    /// Say where a statement would go, and why; answered from a [`Snapshot`](crate::Snapshot), too.
    ExplainRoute(String),
    /// Hand out no server connections; answered when none is active any more.
    Pause(Option<String>),
    /// Write what was read, and read nothing more; answered when everything is written.
    Suspend,
    /// Undo PAUSE, KILL and SUSPEND.
    Resume(Option<String>),
    /// Make another host of a cluster its primary.
    Switchover {
        /// A database that lies on the cluster.
        database: String,
        /// The host, as SHOW HOSTS has it; `None`: whichever is best.
        to: Option<String>,
    },
    /// Refuse new clients of a database.
    Disable(String),
    /// Accept them again.
    Enable(String),
    /// Make every server connection anew, each when it is free.
    Reconnect(Option<String>),
    /// Pause, and drop clients and server connections.
    Kill(Option<String>),
    /// Drop the client with this `id` of SHOW CLIENTS.
    KillClient(u64),
    /// Answered when RECONNECT has nothing left to close.
    WaitClose(Option<String>),
    /// Read the files again.
    Reload,
    /// Change a setting until the next RELOAD.
    Set {
        /// Name of the setting, as written.
        key: String,
        /// Its value, quotes removed.
        value: String,
    },
    /// End the process.
    Shutdown(Shutdown),
    /// SET of what drivers set on every connection: nothing is to be done.
    FakeSet,
}

/// What a shutdown waits for.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Shutdown {
    /// Nothing; the command has no answer, connections just close.
    Now,
    /// Until no server connection is in use.
    WaitForServers,
    /// Until no client is left but the console's.
    WaitForClients,
}

/// The command that `text` is, when a user with this role gives it.
///
/// `text` is a query without its NUL, in any encoding.
///
/// # Errors
/// It is no command, its arguments are wrong, or the role does not allow it.
pub fn parse(text: &[u8], role: Role) -> Result<Command, Error> {
    match sentence(text).ok_or_else(|| invalid(text))? {
        Sentence::Plain { word, argument } => {
            if word.len() > WORD_LEN_MAX || argument.len() > ARGUMENT_LEN_MAX {
                return Err(Error::BadArguments);
            }
            plain(&word, &argument, role).unwrap_or_else(|| Err(invalid(text)))
        }
        Sentence::Set { key, value } => set(key, value, role),
        Sentence::Switchover { .. } if role != Role::Admin => Err(Error::AdminNeeded),
        Sentence::Switchover { database, to } => {
            let is_long = |name: &Vec<u8>| name.len() > ARGUMENT_LEN_MAX;
            if is_long(&database) || to.as_ref().is_some_and(|to| to.len() > VALUE_LEN_MAX) {
                return Err(Error::BadArguments);
            }
            let to = to.as_deref().map(lossy);
            one("switchover", &database).map(|database| Command::Switchover { database, to })
        }
        Sentence::ExplainRoute { text } => Ok(Command::ExplainRoute(lossy(&text))),
    }
}

fn invalid(text: &[u8]) -> Error {
    Error::Invalid(lossy(&text[..text.len().min(SHOWN_LEN_MAX)]))
}

fn lossy(bytes: &[u8]) -> String {
    String::from_utf8_lossy(bytes).into_owned()
}

/// `None` if there is no such command.
fn plain(word: &[u8], argument: &[u8], role: Role) -> Option<Result<Command, Error>> {
    let word = word.to_ascii_lowercase();
    let command = match word.as_slice() {
        b"show" | b"select" => {
            return Show::named(argument).map(|show| match (show, role) {
                // Which sockets a process has is for those who run it.
                (Show::Fds, Role::Stats) => Err(Error::AdminNeeded),
                (show, _) => Ok(Command::Show(show)),
            });
        }
        b"reload" if argument.is_empty() => Ok(Command::Reload),
        b"shutdown" => Ok(Command::Shutdown(shutdown(argument)?)),
        b"pause" => any("pause", argument).map(Command::Pause),
        b"suspend" if argument.is_empty() => Ok(Command::Suspend),
        b"resume" => resume(argument),
        b"disable" => one("disable", argument).map(Command::Disable),
        b"enable" => one("enable", argument).map(Command::Enable),
        b"reconnect" => any("reconnect", argument).map(Command::Reconnect),
        b"kill" => any("kill", argument).map(Command::Kill),
        b"kill_client" => client(argument),
        b"wait_close" => any("wait in", argument).map(Command::WaitClose),
        _ => return None,
    };
    // Who may not give the command does not learn whether its argument was right.
    Some(if role == Role::Admin {
        command
    } else {
        Err(Error::AdminNeeded)
    })
}

fn shutdown(argument: &[u8]) -> Option<Shutdown> {
    match argument.to_ascii_lowercase().as_slice() {
        b"" => Some(Shutdown::Now),
        b"wait_for_servers" => Some(Shutdown::WaitForServers),
        b"wait_for_clients" => Some(Shutdown::WaitForClients),
        _ => None,
    }
}

/// A database other than the console, or all.
fn any(verb: &'static str, argument: &[u8]) -> Result<Option<String>, Error> {
    let database = lossy(argument);
    if CONSOLE_DATABASES.contains(&database.as_str()) {
        return Err(Error::ConsoleDatabase { verb, database });
    }
    Ok((!database.is_empty()).then_some(database))
}

fn one(verb: &'static str, argument: &[u8]) -> Result<String, Error> {
    any(verb, argument)?.ok_or(Error::DatabaseRequired)
}

fn resume(argument: &[u8]) -> Result<Command, Error> {
    any("resume", argument)
        .map(Command::Resume)
        .map_err(|error| match error {
            Error::ConsoleDatabase { database, .. } => Error::DatabaseNotPaused(database),
            error => error,
        })
}

fn client(argument: &[u8]) -> Result<Command, Error> {
    let id = str::from_utf8(argument).ok().and_then(|id| id.parse().ok());
    id.map(Command::KillClient).ok_or(Error::BadClient)
}

fn set(key: Vec<u8>, value: Vec<u8>, role: Role) -> Result<Command, Error> {
    if key.len() > ARGUMENT_LEN_MAX || value.len() > VALUE_LEN_MAX {
        return Err(Error::BadArguments);
    }
    // JDBC sets extra_float_digits on every connection; PgBouncer 1.26 takes it, too.
    if Fake::named(&key).is_some() || key.eq_ignore_ascii_case(b"extra_float_digits") {
        return Ok(Command::FakeSet);
    }
    if role != Role::Admin {
        return Err(Error::AdminNeeded);
    }
    let text = |bytes| String::from_utf8(bytes).map_err(|_| Error::SetFailed { detail: None });
    Ok(Command::Set {
        key: text(key)?,
        value: text(value)?,
    })
}

impl Command {
    /// The tag with which CommandComplete reports it as done.
    pub fn tag(&self) -> Cow<'static, str> {
        Cow::Borrowed(match self {
            Self::Show(_) => "SHOW",
            Self::ExplainRoute(_) => "EXPLAIN",
            Self::Pause(_) => "PAUSE",
            Self::Suspend => "SUSPEND",
            Self::Resume(_) => "RESUME",
            Self::Switchover { .. } => "SWITCHOVER",
            Self::Disable(_) => "DISABLE",
            Self::Enable(_) => "ENABLE",
            Self::Reconnect(_) => "RECONNECT",
            Self::Kill(_) => "KILL",
            Self::KillClient(_) => "KILL_CLIENT",
            Self::WaitClose(_) => "WAIT_CLOSE",
            Self::Reload => "RELOAD",
            Self::Set { key, value } => return Cow::Owned(format!("SET {key}={value}")),
            Self::Shutdown(_) => "SHUTDOWN",
            Self::FakeSet => "SET",
        })
    }
}

/// As the log has it: who may read the log need not know what secrets were set.
impl fmt::Display for Command {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            Self::Pause(Some(name))
            | Self::Resume(Some(name))
            | Self::Disable(name)
            | Self::Enable(name)
            | Self::Reconnect(Some(name))
            | Self::Kill(Some(name))
            | Self::WaitClose(Some(name)) => write!(f, "{} '{name}'", self.tag()),
            Self::Switchover { database, to } => match to {
                Some(to) => write!(f, "SWITCHOVER '{database}' TO '{to}'"),
                None => write!(f, "SWITCHOVER '{database}'"),
            },
            Self::KillClient(id) => write!(f, "{} {id}", self.tag()),
            Self::Shutdown(Shutdown::WaitForServers) => f.write_str("SHUTDOWN WAIT_FOR_SERVERS"),
            Self::Shutdown(Shutdown::WaitForClients) => f.write_str("SHUTDOWN WAIT_FOR_CLIENTS"),
            // The options of LDAP have a password in them.
            Self::Set { key, .. } if key.contains("ldap") => write!(f, "SET {key}=***"),
            _ => f.write_str(&self.tag()),
        }
    }
}
