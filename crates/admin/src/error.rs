//! Why a console command is refused, in PgBouncer's words.

use pgweir_wire::encode::{self, ErrorFields};

/// A refusal. All have the SQLSTATE 08P01, as in PgBouncer, unless said otherwise.
///
/// The ones about the state of the pools are for the caller, who performs commands.
#[derive(Debug, Clone, PartialEq, Eq, thiserror::Error)]
pub enum Error {
    /// The text is no command. It is shown up to 1000 bytes; what is not UTF-8 is replaced.
    #[error("invalid command '{0}', use SHOW HELP;")]
    Invalid(String),
    /// A command's word of more than 15 bytes, an argument of more than 63, a value of more than 255.
    #[error("bad arguments")]
    BadArguments,
    /// The command is for `admin_users`.
    #[error("admin access needed")]
    AdminNeeded,
    /// DISABLE and ENABLE have no meaning for all databases.
    #[error("a database is required")]
    DatabaseRequired,
    /// No database has this name, not even by way of `*`.
    #[error("no such database: {0}")]
    NoSuchDatabase(String),
    /// The console itself cannot be paused and the like.
    #[error("cannot {verb} admin db: {database}")]
    ConsoleDatabase {
        /// What was to be done with it.
        verb: &'static str,
        /// One of [`CONSOLE_DATABASES`](crate::CONSOLE_DATABASES).
        database: String,
    },
    /// PAUSE, KILL or SUSPEND of what is paused already.
    #[error("already suspended/paused")]
    AlreadyPaused,
    /// SUSPEND while PAUSE of a database is in force.
    #[error("cannot suspend with paused databases")]
    PausedDatabases,
    /// RESUME while nothing is paused.
    #[error("pooler is not paused/suspended")]
    NotPaused,
    /// RESUME of a database that is not paused.
    #[error("database {0} is not paused")]
    DatabaseNotPaused(String),
    /// RESUME during a shutdown.
    #[error("pooler is shutting down")]
    ShuttingDown,
    /// A cancel request for a command that waits, SQLSTATE 57014 as in PostgreSQL.
    #[error("canceling statement due to user request")]
    Canceled,
    /// KILL_CLIENT wants the `id` of SHOW CLIENTS.
    #[error("invalid client pointer supplied")]
    BadClient,
    /// No client has this id.
    #[error("client not found")]
    NoClient,
    /// SET of an unknown key, of one that needs a restart, or with a value that is not one.
    #[error("SET failed")]
    SetFailed {
        /// Why, as DETAIL.
        detail: Option<String>,
    },
    /// The files are not usable; everything stays as it was. SQLSTATE F0000.
    #[error("RELOAD failed, see logs for additional details")]
    ReloadFailed {
        /// The mistakes, as DETAIL.
        detail: Option<String>,
    },
    /// SWITCHOVER came to nothing, SQLSTATE 55000; statements go where they went before.
    #[error("switchover failed: {0}")]
    Switchover(String),
    /// A message that cannot be read. The connection ends.
    #[error("bad packet")]
    BadPacket,
    /// A message that the console has no use for, by its tag. The connection ends.
    #[error("unsupported packet type for admin console: {0}")]
    UnsupportedPacket(u8),
    /// Bind with parameters. Commands have none.
    #[error("bind message supplies {0} parameters, but console commands have none")]
    Parameters(u16),
    /// A prepared statement that was not made, SQLSTATE 26000.
    #[error("prepared statement \"{0}\" does not exist")]
    NoStatement(String),
    /// A prepared statement that exists, SQLSTATE 42P05.
    #[error("prepared statement \"{0}\" already exists")]
    StatementExists(String),
    /// A portal that was not made, SQLSTATE 34000.
    #[error("portal \"{0}\" does not exist")]
    NoPortal(String),
    /// A portal that exists, SQLSTATE 42P03.
    #[error("portal \"{0}\" already exists")]
    PortalExists(String),
    /// More prepared statements or portals than one console connection may have, SQLSTATE 53400.
    #[error("too many prepared statements or portals on a console connection, the limit is {0}")]
    TooManyNames(usize),
}

impl Error {
    /// Five characters, as in PostgreSQL's appendix "Error Codes".
    pub fn sqlstate(&self) -> &'static str {
        match self {
            Self::ReloadFailed { .. } => "F0000",
            Self::NoStatement(_) => "26000",
            Self::StatementExists(_) => "42P05",
            Self::NoPortal(_) => "34000",
            Self::PortalExists(_) => "42P03",
            Self::TooManyNames(_) => "53400",
            Self::Canceled => "57014",
            Self::Switchover(_) => "55000",
            _ => "08P01",
        }
    }

    /// Whether the connection cannot go on after it.
    pub(crate) fn ends_connection(&self) -> bool {
        matches!(self, Self::BadPacket | Self::UnsupportedPacket(_))
    }

    /// Writes it as ErrorResponse of severity ERROR, without ReadyForQuery. The severity is there once, as in
    /// all that PgBouncer says.
    pub fn encode(&self, out: &mut Vec<u8>) {
        let detail = match self {
            Self::SetFailed { detail } | Self::ReloadFailed { detail } => detail.as_deref(),
            _ => None,
        };
        let fields = ErrorFields {
            severity: "ERROR",
            sqlstate: self.sqlstate(),
            message: &self.to_string(),
            detail,
            hint: None,
        };
        encode::error_once(&fields, out);
    }
}
