//! pgweir's own errors, counted by what they are.

use std::collections::BTreeMap;

use parking_lot::Mutex;

/// How an error's text begins, and the word that it is counted by. The words do not change from version to version,
/// and there are no others, so that nobody can make a monitor's memory grow.
const WORDS: &[(&str, &str)] = &[
    ("admin forced disconnect", "admin_forced_disconnect"),
    ("bad packet header", "bad_packet"),
    ("bouncer config error", "config_error"),
    ("client connections exceeded", "client_connections_exceeded"),
    ("client_idle_timeout", "client_idle_timeout"),
    ("client_login_timeout (server down)", "server_down"),
    ("client_login_timeout", "client_login_timeout"),
    ("database \"", "database_disabled"),
    (
        "database configuration changed",
        "database_configuration_changed",
    ),
    ("database removed", "database_removed"),
    ("idle transaction timeout", "idle_transaction_timeout"),
    ("no more connections allowed", "no_more_connections_allowed"),
    ("no such database", "no_such_database"),
    ("no such user", "login_failed"),
    ("not allowed", "not_allowed"),
    ("password authentication failed", "login_failed"),
    ("pooler is shutting down", "shutting_down"),
    ("query timeout", "query_timeout"),
    ("query_timeout", "query_timeout"),
    ("query_wait_timeout", "query_wait_timeout"),
    ("server conn crashed?", "server_conn_crashed"),
    ("server login has been failing", "server_login_failing"),
    ("server shutting down", "shutting_down"),
    ("SSL required", "tls_required"),
    ("suspend_timeout", "suspend_timeout"),
    ("the server is no longer the primary", "fenced"),
    ("there is no primary", "no_primary"),
    (
        "transaction blocks not allowed",
        "transaction_in_statement_mode",
    ),
    ("transaction timeout", "transaction_timeout"),
];

/// What errors are counted by that have no word of their own: by the class of their SQLSTATE (errcodes-appendix).
const CLASSES: &[(&str, &str)] = &[
    ("08", "protocol"),
    ("0A", "not_supported"),
    ("28", "login_failed"),
    ("53", "limit"),
    ("54", "limit"),
];

/// How many there were of each.
#[derive(Debug, Default)]
pub struct Faults(Mutex<BTreeMap<&'static str, u64>>);

impl Faults {
    /// One more.
    pub fn count(&self, sqlstate: &str, message: &str) {
        *self.0.lock().entry(word(sqlstate, message)).or_default() += 1;
    }

    /// All of them, in the order of their words.
    pub fn all(&self) -> Vec<(&'static str, u64)> {
        let counts = self.0.lock();
        counts.iter().map(|(word, count)| (*word, *count)).collect()
    }
}

fn word(sqlstate: &str, message: &str) -> &'static str {
    let of = |known: &'static [(&str, &'static str)], text: &str| {
        let found = known.iter().find(|(start, _)| text.starts_with(start));
        found.map(|(_, word)| *word)
    };
    of(WORDS, message)
        .or_else(|| of(CLASSES, sqlstate))
        .unwrap_or("other")
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn errors_are_counted_by_few_words() {
        let faults = Faults::default();
        for (sqlstate, message) in [
            ("57014", "query timeout"),
            ("57014", "query_timeout"),
            ("3D000", "no such database: x"),
            ("3D000", "no such database: y"),
            ("28P01", "something of a server's"),
            ("XX000", "something else"),
        ] {
            faults.count(sqlstate, message);
        }
        let expected = [
            ("login_failed", 1),
            ("no_such_database", 2),
            ("other", 1),
            ("query_timeout", 2),
        ];
        assert_eq!(faults.all(), expected);
    }
}
