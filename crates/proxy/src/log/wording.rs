//! Events in the words of PgBouncer's log, which people and tools match on.
//!
//! An event that is about a client or a server begins with whose connection it is. What PgBouncer
//! says in other words has a line in `WORDING`; whatever else an event has to tell follows its text.

use std::fmt::{self, Write};

use tracing::field::{Field, Visit};
use tracing::{Event, Level, Subscriber};
use tracing_subscriber::fmt::format::Writer;
use tracing_subscriber::fmt::{FmtContext, FormatEvent, FormatFields};
use tracing_subscriber::registry::LookupSpan;

/// The target of the event that the process ends with.
pub(super) const FATAL: &str = "fatal";

/// Our message and PgBouncer's, with names of fields in it.
const WORDING: &[(&str, &str)] = &[
    ("cannot listen", "cannot listen on {address}: {error}"),
    ("listening", "listening on {address}"),
    (
        "login attempt",
        "login attempt: db={database} user={user} tls={tls} replication={replication}",
    ),
    (
        "new connection to server",
        "new connection to server (from {from})",
    ),
    (
        "process up",
        "process up: pgweir {version}, tls: rustls, workers: {workers}",
    ),
];

/// Fields that say whose connection it is, or that PgBouncer keeps for itself.
const UNSAID: [&str; 10] = [
    "client", "database", "detail", "host", "peer", "pid", "server", "sqlstate", "tls", "user",
];

/// What an event says.
#[derive(Debug, Default)]
pub(super) struct Said {
    message: String,
    fields: Vec<(&'static str, String)>,
}

impl Said {
    pub(super) fn by(event: &Event<'_>) -> Self {
        let mut said = Self::default();
        event.record(&mut said);
        said
    }

    fn field(&self, name: &str) -> Option<&str> {
        let found = self.fields.iter().find(|(other, _)| *other == name);
        found.map(|(_, value)| value.as_str())
    }

    /// The line, without time, process and level.
    pub(super) fn line(&self) -> String {
        let mut line = String::new();
        let whose = self.whose(&mut line);
        let wording = WORDING.iter().find(|(ours, _)| *ours == self.message);
        let mut said = match wording {
            Some((_, theirs)) => self.fill(theirs, &mut line),
            None => {
                line += &self.message;
                Vec::new()
            }
        };
        if whose {
            said.extend(UNSAID);
        }
        // The process is in every line.
        said.push("pid");
        let rest = self.fields.iter().filter(|(name, _)| !said.contains(name));
        for (number, (name, value)) in rest.enumerate() {
            // To a String, nothing can fail.
            let _ = write!(
                line,
                "{} {name}={value}",
                if number == 0 { ";" } else { "," }
            );
        }
        line.replace('\n', "\n\t")
    }

    /// `C-0x2a: shop/ann@127.0.0.1:50000 `, if it is about a connection.
    fn whose(&self, line: &mut String) -> bool {
        let (kind, id) = match (self.field("client"), self.field("server")) {
            (Some(id), _) => ('C', id),
            (None, Some(id)) => ('S', id),
            (None, None) => return false,
        };
        let id: u64 = id.parse().unwrap_or_default();
        let database = self.field("database").unwrap_or("(nodb)");
        let user = self.field("user").unwrap_or("(nouser)");
        let place = self.field("peer").or_else(|| self.field("host"));
        let place = place.unwrap_or("unknown");
        let _ = write!(line, "{kind}-{id:#x}: {database}/{user}@{place} ");
        true
    }

    /// Writes a text with fields in their places; returns their names.
    fn fill(&self, text: &'static str, line: &mut String) -> Vec<&'static str> {
        let mut said = Vec::new();
        let mut pieces = text.split('{');
        line.push_str(pieces.next().unwrap_or_default());
        for piece in pieces {
            let (name, after) = piece.split_once('}').unwrap_or((piece, ""));
            line.push_str(self.field(name).unwrap_or("?"));
            line.push_str(after);
            said.push(name);
        }
        said
    }
}

impl Visit for Said {
    fn record_str(&mut self, field: &Field, value: &str) {
        self.record_debug(field, &format_args!("{value}"));
    }

    fn record_debug(&mut self, field: &Field, value: &dyn fmt::Debug) {
        if field.name() == "message" {
            self.message = format!("{value:?}");
        } else {
            self.fields.push((field.name(), format!("{value:?}")));
        }
    }
}

/// Whole lines: time, process, level and what is said.
pub(super) struct Wording;

impl<S, N> FormatEvent<S, N> for Wording
where
    S: Subscriber + for<'a> LookupSpan<'a>,
    N: for<'a> FormatFields<'a> + 'static,
{
    fn format_event(
        &self,
        _: &FmtContext<'_, S, N>,
        mut out: Writer<'_>,
        event: &Event<'_>,
    ) -> fmt::Result {
        let pid = std::process::id();
        let metadata = event.metadata();
        let level = level(metadata.target(), *metadata.level());
        writeln!(out, "{} [{pid}] {level} {}", now(), Said::by(event).line())
    }
}

/// The time here, as `2026-11-22 23:29:03.123 UTC`.
fn now() -> impl fmt::Display {
    let zone = jiff::tz::TimeZone::try_system().unwrap_or(jiff::tz::TimeZone::UTC);
    let now = jiff::Timestamp::now().to_zoned(zone);
    now.strftime("%Y-%m-%d %H:%M:%S%.3f %Z").to_string()
}

fn level(target: &str, level: Level) -> &'static str {
    match level {
        Level::ERROR if target == FATAL => "FATAL",
        Level::ERROR => "ERROR",
        Level::WARN => "WARNING",
        Level::INFO => "LOG",
        Level::DEBUG => "DEBUG",
        Level::TRACE => "NOISE",
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn check(message: &str, fields: &[(&'static str, &str)], expected: &str) {
        let fields = fields
            .iter()
            .map(|(name, value)| (*name, (*value).to_owned()));
        let said = Said {
            message: message.to_owned(),
            fields: fields.collect(),
        };
        assert_eq!(said.line(), expected);
    }

    #[test]
    fn lines() {
        let client = [
            ("client", "42"),
            ("database", "shop"),
            ("user", "ann"),
            ("peer", "[::1]:5000"),
        ];
        check(
            "closing because: client close request (age=3s)",
            &client,
            "C-0x2a: shop/ann@[::1]:5000 closing because: client close request (age=3s)",
        );
        check(
            "pooler error: two\nlines",
            &[client[0], client[3], ("sqlstate", "08P01")],
            "C-0x2a: (nodb)/(nouser)@[::1]:5000 pooler error: two\n\tlines",
        );
        check(
            "new connection to server",
            &[("server", "7"), ("host", "db:5432"), ("from", "10.0.0.1:4")],
            "S-0x7: (nodb)/(nouser)@db:5432 new connection to server (from 10.0.0.1:4)",
        );
        check(
            "listening",
            &[("address", "unix:/tmp/.s.PGSQL.6432")],
            "listening on unix:/tmp/.s.PGSQL.6432",
        );
        check(
            "something new",
            &[("path", "/x"), ("error", "no")],
            "something new; path=/x, error=no",
        );
    }
}
