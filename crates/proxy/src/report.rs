//! Errors become what a client reads and what the log says; only here.

use std::borrow::Cow;

use pgweir_config::{ErrorStyle, LogFormat};
use pgweir_pool::PoolKey;
use pgweir_session::Refusal;
use pgweir_wire::encode::{self, ErrorFields};
use pgweir_wire::startup;

use crate::admission::Full;
use crate::client::ClientShared;
use crate::cluster::NoHost;
use crate::mail::Kill;
use crate::server::ServerFacts;
use crate::shared::Shared;

/// An error that pgweir makes for a client.
///
/// Where PgBouncer makes the same one, the text is PgBouncer's: drivers and people match on it.
#[derive(Debug, Clone, PartialEq, Eq, thiserror::Error)]
#[error("{message}")]
pub struct Report {
    /// Five characters (errcodes-appendix).
    pub sqlstate: Cow<'static, str>,
    /// What happened.
    pub message: String,
    /// The figures.
    pub detail: Option<Box<str>>,
    /// What to change.
    pub hint: Option<Box<str>>,
    /// PgBouncer's text, where ours says more.
    plain: Option<Box<str>>,
    /// What the client must not know; for the log.
    cause: Option<Box<str>>,
    /// Whether it is the server's, whose SQLSTATE is handed on in any style.
    is_servers: bool,
}

/// What PgBouncer's own errors all have.
const PLAIN_SQLSTATE: &str = "08P01";
/// Longest text of one, in bytes.
const PLAIN_LEN_MAX: usize = 127;

impl Report {
    /// An error without detail and hint.
    pub fn new(sqlstate: impl Into<Cow<'static, str>>, message: impl Into<String>) -> Self {
        Self {
            sqlstate: sqlstate.into(),
            message: message.into(),
            detail: None,
            hint: None,
            plain: None,
            cause: None,
            is_servers: false,
        }
    }

    /// An error that a server has made.
    pub fn of_server(sqlstate: impl Into<Cow<'static, str>>, message: impl Into<String>) -> Self {
        Self {
            is_servers: true,
            ..Self::new(sqlstate, message)
        }
    }

    /// The same with PgBouncer's text, which is shorter.
    #[must_use]
    pub fn plain(mut self, text: impl Into<Box<str>>) -> Self {
        self.plain = Some(text.into());
        self
    }

    /// The same with something that only the log says.
    #[must_use]
    pub fn cause(mut self, cause: impl Into<Box<str>>) -> Self {
        self.cause = Some(cause.into());
        self
    }

    /// The same with figures.
    #[must_use]
    pub fn detail(mut self, detail: impl Into<Box<str>>) -> Self {
        self.detail = Some(detail.into());
        self
    }

    /// The same with advice.
    #[must_use]
    pub fn hint(mut self, hint: impl Into<Box<str>>) -> Self {
        self.hint = Some(hint.into());
        self
    }

    /// As an ErrorResponse that ends the connection.
    pub fn fatal(&self, style: ErrorStyle) -> Vec<u8> {
        let mut out = Vec::new();
        match style {
            ErrorStyle::Postgresql => encode::error(
                &ErrorFields {
                    severity: "FATAL",
                    sqlstate: &self.sqlstate,
                    message: &self.message,
                    detail: self.detail.as_deref(),
                    hint: self.hint.as_deref(),
                },
                &mut out,
            ),
            ErrorStyle::Pgbouncer => {
                let (sqlstate, len) = match self.is_servers {
                    true => (&*self.sqlstate, self.message.len()),
                    false => (PLAIN_SQLSTATE, PLAIN_LEN_MAX),
                };
                let text = self.plain.as_deref().unwrap_or(&self.message);
                encode::plain_error("FATAL", sqlstate, cut(text, len), &mut out);
            }
        }
        out
    }

    /// No host of a cluster may serve the client.
    pub fn no_host(none: &NoHost) -> Self {
        let NoHost {
            why,
            failures,
            waited,
        } = none;
        // 57P03: as a server says that is not ready yet.
        let report = Self::new("57P03", format!("there is no primary: {why}"));
        let failures = match &failures[..] {
            [] => String::new(),
            failures => format!(" {}.", failures.join("; ")),
        };
        match waited {
            Some(waited) => report.detail(format!(
                "The client has waited {:.1} s (failover_hold).{failures}",
                waited.as_secs_f64()
            )),
            None => report
                .detail(format!("As many clients wait for one as may.{failures}"))
                .hint("Raise failover_hold_clients."),
        }
    }

    /// A client broke a rule of the conversation.
    pub fn refusal(refusal: &Refusal) -> Self {
        match refusal {
            Refusal::StatementTooLong { .. } => Self::new("54000", refusal.to_string())
                .hint("Raise max_statement_size, or prepare large statements without a name."),
            Refusal::TooManyNames(_) => Self::new("53400", refusal.to_string()),
            Refusal::Tag(_) => Self::new("08P01", refusal.to_string()).plain("unknown pkt"),
            Refusal::Query => Self::new("0A000", refusal.to_string())
                .hint("Use the extended protocol, or change disable_pqexec."),
            Refusal::Malformed(_) => Self::new("08P01", refusal.to_string()),
        }
    }

    /// A packet at the start of a connection that cannot be read.
    pub fn bad_packet(error: &pgweir_wire::Error, packet: &[u8]) -> Self {
        use pgweir_wire::Error;
        let report = match error {
            Error::Version { .. } => Self::new("0A000", error.to_string()),
            _ => Self::new("08P01", error.to_string()),
        };
        match error {
            Error::PacketLayout { .. } => report,
            Error::Version { version } if version >> 16 == 2 => {
                report.plain("old V2 protocol not supported")
            }
            _ => {
                let header = packet.iter().take(startup::PACKET_LEN_MIN);
                let header: String = header.map(|byte| format!("{byte:02x}")).collect();
                report.plain(format!("bad packet header: '{header}'"))
            }
        }
    }

    /// A client was disconnected from outside.
    pub fn kill(kill: Kill) -> Self {
        match kill {
            Kill::Admin => Self::new("57P01", "admin forced disconnect"),
            Kill::DatabaseRemoved => Self::new("57P01", "database removed"),
            Kill::FastClose => Self::new("57P01", "database configuration changed"),
            Kill::Suspend => Self::new("57P01", "suspend_timeout"),
            Kill::ClientIdle => Self::new("57P05", "client_idle_timeout"),
            Kill::Query => Self::new("57014", "query timeout"),
            // PgBouncer's names of the two differ by that line.
            Kill::QueryInQueue => Self::new("57014", "query_timeout")
                .detail("No server connection became free before the query's time was over.")
                .hint("Raise query_timeout, or default_pool_size."),
            Kill::Transaction => Self::new("25P04", "transaction timeout"),
            Kill::IdleTransaction => Self::new("25P03", "idle transaction timeout"),
            Kill::Fenced => Self::new("08006", "the server is no longer the primary")
                .detail("Whether what was under way has been done is not known."),
            Kill::Shutdown => Self::new("57P01", "server shutting down"),
        }
    }

    /// There are too many clients.
    pub fn full(full: &Full) -> Self {
        let Full { setting, count } = full;
        let what = match *setting {
            "max_client_conn" => "no more connections allowed",
            _ => "client connections exceeded",
        };
        Self::new("53300", format!("{what} ({setting})"))
            .detail(format!("There are {count} client connections already."))
            .hint(format!("Raise {setting}."))
    }

    /// A login that took too long because there was no server connection, and how the last attempt to make
    /// one failed.
    pub fn server_down(cause: Option<&str>) -> Self {
        let report = Self::new("08006", "client_login_timeout (server down)");
        match cause {
            Some(cause) => report.because(cause),
            None => report,
        }
    }

    /// The same with how the last attempt to connect failed.
    fn because(self, cause: &str) -> Self {
        let (_, cause) = of_cause(cause);
        self.detail(format!("The last attempt to connect failed: {cause}."))
            .hint(look_there(cause))
    }

    /// No server connection could be had.
    pub fn no_server(refusal: &pgweir_pool::Refusal) -> Self {
        use pgweir_pool::Refusal as Why;
        match refusal {
            Why::WaitTimeout {
                waited,
                figures,
                hindrance,
            } => {
                // To the tenth: more digits would say how often the pooler looks.
                let waited = format!("{:.1}", waited.as_secs_f64());
                let detail =
                    format!("No server connection became free within {waited} s; {figures}.");
                hindered(Self::new("53300", "query_wait_timeout"), detail, hindrance)
            }
            Why::LoginFailing { cause } => {
                let (_, text) = of_cause(cause);
                let text = headline(text);
                let message = format!(
                    "server login has been failing, cached error: {text} (server_login_retry)"
                );
                Self::new("08006", message).because(cause)
            }
            Why::LoginRefused { cause } => match of_cause(cause) {
                (Some(sqlstate), message) => Self::of_server(sqlstate.to_owned(), message),
                (None, message) => Self::new("08004", message),
            },
            Why::Disabled { database } => {
                Self::new("57P03", format!("database \"{database}\" is disabled"))
            }
            Why::Removed => Self::new("57P01", "database removed"),
            Why::ShuttingDown => Self::new("57P01", "server shutting down"),
        }
    }
}

/// A notice of ours.
pub fn notice(text: &str, out: &mut Vec<u8>) {
    let fields = ErrorFields {
        severity: "NOTICE",
        sqlstate: "00000",
        message: text,
        ..ErrorFields::default()
    };
    encode::notice(&fields, out);
}

/// As much of a text as so many bytes hold, in whole characters.
pub fn cut(text: &str, len: usize) -> &str {
    let mut end = len.min(text.len());
    while !text.is_char_boundary(end) {
        end -= 1;
    }
    &text[..end]
}

/// What the matter was, and what can be done about it.
fn hindered(report: Report, detail: String, hindrance: &pgweir_pool::Hindrance) -> Report {
    use pgweir_pool::Hindrance;
    let hint = match hindrance {
        Hindrance::Size => {
            "Raise default_pool_size (or the pool_size of the database or user), or query_wait_timeout."
        }
        Hindrance::DatabaseCap => {
            "max_db_connections of the database is reached: raise it, or query_wait_timeout."
        }
        Hindrance::UserCap => {
            "max_user_connections of the user is reached: raise it, or query_wait_timeout."
        }
        Hindrance::Paused => "PAUSE is in force: RESUME ends it.",
        Hindrance::Failing { cause } => {
            let (_, cause) = of_cause(cause);
            return report
                .detail(format!(
                    "{detail} The last attempt to connect failed: {cause}."
                ))
                .hint(look_there(cause));
        }
    };
    report.detail(detail).hint(hint)
}

/// Where to look when a server cannot be reached.
fn look_there(cause: &str) -> &'static str {
    if cause.starts_with("server DNS lookup failed") {
        "See whether the host of the database is spelled well, and the name servers answer."
    } else {
        "See whether the server is up and lets the pooler in."
    }
}

/// What PgBouncer says of a cause: not what the system adds to it.
fn headline(cause: &str) -> &str {
    match cause.split_once(": ") {
        Some((known @ ("connect failed" | "server DNS lookup failed"), _)) => known,
        _ => cause,
    }
}

/// A cause as `connect` gives it: the server's SQLSTATE, if it gave one, and the rest.
fn of_cause(cause: &str) -> (Option<&str>, &str) {
    let is_state = |text: &str| {
        text.len() == 5
            && text
                .bytes()
                .all(|byte| byte.is_ascii_uppercase() || byte.is_ascii_digit())
    };
    match cause.split_once(' ') {
        Some((sqlstate, message)) if is_state(sqlstate) => (Some(sqlstate), message),
        _ => (None, cause),
    }
}

/// A client has said who it is, which PgBouncer logs, and not whether it was let in.
pub fn login_attempt(shared: &Shared, client: &ClientShared) {
    let settings = &shared.config.load().settings;
    if !settings.log_connections || settings.log_format != LogFormat::PgBouncer {
        return;
    }
    if let Some(login) = &*client.login.borrow() {
        tracing::info!(
            client = client.id,
            database = %login.database,
            user = %login.user,
            peer = %client.peer,
            tls = Some(&*login.tls).filter(|tls| !tls.is_empty()).unwrap_or("no"),
            replication = match login.replication {
                "none" => "no",
                "physical" => "yes",
                _ => "database",
            },
            "login attempt"
        );
    }
}

/// A client has logged in.
pub fn login(shared: &Shared, client: &ClientShared) {
    let settings = &shared.config.load().settings;
    if !settings.log_connections || settings.log_format == LogFormat::PgBouncer {
        return;
    }
    if let Some(login) = &*client.login.borrow() {
        tracing::info!(
            client = client.id,
            database = %login.database,
            user = %login.user,
            peer = %client.peer,
            tls = %login.tls,
            "login attempt succeeded"
        );
    }
}

/// A client's connection ends.
pub fn client_closed(shared: &Shared, client: &ClientShared, reason: &str) {
    if !shared.config.load().settings.log_disconnections {
        return;
    }
    let age = client.connected.elapsed().as_secs();
    match &*client.login.borrow() {
        Some(login) => tracing::info!(
            client = client.id,
            database = %login.database,
            user = %login.user,
            peer = %client.peer,
            "closing because: {reason} (age={age}s)"
        ),
        None => {
            tracing::info!(client = client.id, peer = %client.peer, "closing because: {reason} (age={age}s)")
        }
    }
}

/// An error was sent to a client.
pub fn pooler_error(shared: &Shared, client: &ClientShared, report: &Report) {
    shared.faults.count(&report.sqlstate, &report.message);
    let settings = &shared.config.load().settings;
    if !settings.log_pooler_errors {
        return;
    }
    let login = client.login.borrow().clone();
    let database = login.as_ref().map_or("(nodb)", |login| &login.database);
    let user = login.as_ref().map_or("(nouser)", |login| &login.user);
    if let Some(cause) = &report.cause {
        tracing::info!(client = client.id, database, user, peer = %client.peer, "{cause}");
    }
    let text = match (&report.plain, settings.log_format) {
        (Some(plain), LogFormat::PgBouncer) => plain,
        _ => &*report.message,
    };
    tracing::warn!(
        client = client.id,
        database,
        user,
        peer = %client.peer,
        sqlstate = %report.sqlstate,
        detail = report.detail.as_deref().unwrap_or(""),
        "pooler error: {text}"
    );
}

/// A command was given on the console.
pub fn command(client: &ClientShared, command: &pgweir_admin::Command) {
    let login = client.login.borrow().clone();
    let user = login.as_ref().map_or("(nouser)", |login| &login.user);
    let database = login.as_ref().map_or("(nodb)", |login| &login.database);
    tracing::info!(client = client.id, %database, %user, peer = %client.peer, "{command} command issued");
}

/// A server connection was opened.
pub fn server_opened(shared: &Shared, facts: &ServerFacts) {
    let settings = &shared.config.load().settings;
    if !settings.log_connections {
        return;
    }
    let from = facts.local.map(|address| address.to_string());
    tracing::info!(
        server = facts.id,
        database = %facts.database,
        user = %facts.user,
        host = %facts.host,
        pid = facts.pid,
        tls = %facts.tls,
        from = from.as_deref().unwrap_or("unix"),
        "new connection to server"
    );
    if settings.log_format == LogFormat::PgBouncer && !facts.tls.is_empty() {
        tracing::info!(
            server = facts.id,
            database = %facts.database,
            user = %facts.user,
            host = %facts.host,
            "SSL established: {}",
            facts.tls
        );
    }
}

/// A server connection is closed.
pub fn server_closed(shared: &Shared, facts: &ServerFacts, reason: &str) {
    if shared.config.load().settings.log_disconnections {
        let age = facts.since.elapsed().as_secs();
        tracing::info!(
            server = facts.id,
            database = %facts.database,
            user = %facts.user,
            host = %facts.host,
            pid = facts.pid,
            "closing because: {reason} (age={age}s)"
        );
    }
}

/// A server refused a connection, or could not be reached.
pub fn connect_failed(shared: &Shared, key: &PoolKey, host: &str, what: &str) {
    tracing::warn!(
        server = shared.next_id(),
        database = %key.database,
        user = %key.user,
        host,
        "server login failed: {what}"
    );
}

#[cfg(test)]
mod tests {
    use pgweir_wire::backend::Fields;

    use super::*;

    /// SQLSTATE and text, of an ErrorResponse.
    fn said(report: &Report, style: ErrorStyle) -> (String, String) {
        let frame = report.fatal(style);
        let fields = Fields::new(&frame[pgweir_wire::HEADER_LEN..]);
        let text =
            |field: Option<&[u8]>| String::from_utf8_lossy(field.unwrap_or_default()).into_owned();
        (text(fields.sqlstate()), text(fields.message()))
    }

    fn check(report: &Report, sqlstate: &str, plain: (&str, &str)) {
        let (state, _) = said(report, ErrorStyle::Postgresql);
        assert_eq!(state, sqlstate, "{report}");
        let (state, text) = said(report, ErrorStyle::Pgbouncer);
        assert_eq!((&*state, &*text), plain, "{report}");
    }

    #[test]
    fn what_cannot_be_provoked_at_will() {
        use pgweir_pool::Refusal as Why;
        let cause = |cause: &str| cause.into();
        check(
            &Report::no_server(&Why::LoginFailing {
                cause: cause("connect timeout"),
            }),
            "08006",
            (
                "08P01",
                "server login has been failing, cached error: connect timeout (server_login_retry)",
            ),
        );
        let refused = Report::no_server(&Why::LoginFailing {
            cause: cause("connect failed: Connection refused (os error 111)"),
        });
        check(
            &refused,
            "08006",
            (
                "08P01",
                "server login has been failing, cached error: connect failed (server_login_retry)",
            ),
        );
        let detail = "The last attempt to connect failed: connect failed: Connection refused (os error 111).";
        assert_eq!(refused.detail.as_deref(), Some(detail));
        check(
            &Report::no_server(&Why::LoginRefused {
                cause: cause("28000 role \"x\" is not permitted to log in"),
            }),
            "28000",
            ("28000", "role \"x\" is not permitted to log in"),
        );
        check(
            &Report::no_server(&Why::LoginRefused {
                cause: cause("server refused TLS"),
            }),
            "08004",
            ("08P01", "server refused TLS"),
        );
        check(
            &Report::no_server(&Why::Removed),
            "57P01",
            ("08P01", "database removed"),
        );
        check(
            &Report::no_server(&Why::ShuttingDown),
            "57P01",
            ("08P01", "server shutting down"),
        );
        check(
            &Report::kill(Kill::Shutdown),
            "57P01",
            ("08P01", "server shutting down"),
        );
    }

    #[test]
    fn a_long_text_is_cut_between_two_characters() {
        let report = Report::new("XX000", format!("x{}", "ü".repeat(100)));
        let (_, text) = said(&report, ErrorStyle::Pgbouncer);
        assert_eq!(text.len(), PLAIN_LEN_MAX);
        let (_, text) = said(&report, ErrorStyle::Postgresql);
        assert_eq!(text.len(), 201);
    }
}
