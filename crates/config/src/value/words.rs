//! Values that are one of a few words, and small notations of their own.

use std::fmt;

use super::pgbouncer::integer;
use super::{Raw, Shape, Value, expected, unexpected};

/// An enum whose variants are the words of a key, each written once.
macro_rules! words {
    (
        $(#[$meta:meta])*
        pub enum $name:ident, $kind:literal {
            $( $(#[$variant_meta:meta])* $variant:ident = $word:literal, )+
        }
    ) => {
        $(#[$meta])*
        #[derive(Debug, Clone, Copy, PartialEq, Eq, PartialOrd, Ord, Hash)]
        pub enum $name { $( $(#[$variant_meta])* $variant, )+ }

        impl $name {
            /// The word of the configuration.
            pub const fn as_str(self) -> &'static str {
                match self { $( $name::$variant => $word, )+ }
            }

            #[cfg(test)]
            pub(crate) const ALL: &[$name] = &[ $( $name::$variant, )+ ];
        }

        impl ::std::fmt::Display for $name {
            fn fmt(&self, f: &mut ::std::fmt::Formatter<'_>) -> ::std::fmt::Result {
                f.write_str(self.as_str())
            }
        }

        impl $crate::value::Value for $name {
            const KIND: &'static str = $kind;

            fn from_text(text: &str) -> Result<Self, String> {
                $( if text == $word { return Ok($name::$variant); } )+
                let meant = $crate::suggest::did_you_mean(text, [ $( $word, )+ ]);
                Err(format!("{}{meant}", $crate::value::expected::<Self>(text)))
            }

            /// PgBouncer does not mind capitals.
            fn from_ini(text: &str) -> Result<Self, String> {
                Self::from_text(&text.to_ascii_lowercase())
            }

            fn to_text(&self) -> Option<String> {
                Some(self.as_str().to_owned())
            }
        }
    };
}
pub(crate) use words;

words! {
    /// Which of several hosts a new server connection goes to.
    pub enum LoadBalanceHosts, "one of round-robin, disable" {
        /// Each in its turn.
        RoundRobin = "round-robin",
        /// The one that the last connection went to, until it fails.
        Disable = "disable",
    }
}

words! {
    /// How the hosts of a database are used.
    pub enum Routing, "one of off, by-name, automatic, shadow" {
        /// As places where the same server may be, one at a time.
        Off = "off",
        /// As a cluster: its primary, or its standbys for a name that ends with `_readonly`.
        ByName = "by-name",
        /// As a cluster: each statement goes where it may run.
        Automatic = "automatic",
        /// As a cluster whose primary gets everything; counted is what `automatic` would do.
        Shadow = "shadow",
    }
}

words! {
    /// How new what a client reads must be.
    pub enum Consistency, "one of session, application, bounded, eventual" {
        /// As new as what this client has written and read.
        Session = "session",
        /// The same, with all clients of one user and `application_name` counted as one that writes.
        Application = "application",
        /// No older than `max_lag` and `max_lag_bytes` say.
        Bounded = "bounded",
        /// Any state of a standby that answers.
        Eventual = "eventual",
    }
}

words! {
    /// Which of several standbys a read goes to.
    pub enum Balance, "one of least-outstanding, round-robin, random" {
        /// Of two at random the one that has less to do, weighed by how fast it has been.
        LeastOutstanding = "least-outstanding",
        /// Each in its turn.
        RoundRobin = "round-robin",
        /// Any.
        Random = "random",
    }
}

words! {
    /// Whether reads go to the primary.
    pub enum PrimaryReads, "one of fallback, share" {
        /// Only where no standby may serve them.
        Fallback = "fallback",
        /// As to any standby.
        Share = "share",
    }
}

words! {
    /// When a server connection goes back to its pool.
    pub enum PoolMode, "one of session, transaction, statement" {
        /// When the client leaves.
        Session = "session",
        /// When the transaction ends.
        Transaction = "transaction",
        /// After each statement; transactions of several statements are refused.
        Statement = "statement",
    }
}

words! {
    /// How clients prove who they are.
    pub enum AuthType, "one of any, trust, plain, md5, scram-sha-256, cert, hba, ldap, pam" {
        /// Not at all, and the name does not matter: the database says who its clients are.
        Any = "any",
        /// Not at all; the user must be known all the same.
        Trust = "trust",
        /// By the password in clear text.
        Plain = "plain",
        /// By an MD5 hash, or SCRAM for users whose stored secret is a SCRAM verifier.
        Md5 = "md5",
        /// By SCRAM-SHA-256, over TLS with channel binding where the client can.
        ScramSha256 = "scram-sha-256",
        /// By the common name of a client certificate.
        Cert = "cert",
        /// As the first line of `auth_hba_file` that fits says.
        Hba = "hba",
        /// By a password that an LDAP directory knows.
        Ldap = "ldap",
        /// By a password that the system's PAM knows.
        Pam = "pam",
    }
}

words! {
    /// How errors look that the pooler makes itself.
    pub enum ErrorStyle, "one of postgresql, pgbouncer" {
        /// With the SQLSTATE that says what is the matter, with DETAIL and HINT.
        Postgresql = "postgresql",
        /// Severity, SQLSTATE 08P01 and text, no more.
        Pgbouncer = "pgbouncer",
    }
}

words! {
    /// How much is logged: this level and those above it.
    pub enum LogLevel, "one of error, warn, info, debug, trace" {
        /// What needs somebody's attention.
        Error = "error",
        /// What may need it soon.
        Warn = "warn",
        /// What happened.
        Info = "info",
        /// Why it happened.
        Debug = "debug",
        /// Every step.
        Trace = "trace",
    }
}

words! {
    /// How a line of the log is written.
    pub enum LogFormat, "one of text, json, pgbouncer" {
        /// For people.
        Text = "text",
        /// One JSON object in each line.
        Json = "json",
        /// As PgBouncer writes it.
        PgBouncer = "pgbouncer",
    }
}

words! {
    /// What a line in the system's log is said to be about.
    pub enum SyslogFacility, "one of auth, authpriv, daemon, user, local0 to local7" {
        /// Who comes in.
        Auth = "auth",
        /// The same in private.
        Authpriv = "authpriv",
        /// A service.
        Daemon = "daemon",
        /// Somebody's program.
        User = "user",
        /// As the system's administrator has it.
        Local0 = "local0",
        /// As the system's administrator has it.
        Local1 = "local1",
        /// As the system's administrator has it.
        Local2 = "local2",
        /// As the system's administrator has it.
        Local3 = "local3",
        /// As the system's administrator has it.
        Local4 = "local4",
        /// As the system's administrator has it.
        Local5 = "local5",
        /// As the system's administrator has it.
        Local6 = "local6",
        /// As the system's administrator has it.
        Local7 = "local7",
    }
}

/// The query that shows whether a connection still works after it idled for long.
#[derive(Debug, Clone, PartialEq, Eq)]
pub enum CheckQuery {
    /// Connections are not checked.
    Off,
    /// This text is sent as a simple query; the empty text costs the server least.
    Query(String),
}

/// PgBouncer's word for the query that is an empty text.
const EMPTY_QUERY: &str = "<empty>";

impl CheckQuery {
    /// What to send, if anything.
    pub fn text(&self) -> Option<&str> {
        match self {
            CheckQuery::Off => None,
            CheckQuery::Query(text) => Some(text),
        }
    }
}

impl Value for CheckQuery {
    const KIND: &'static str = "a query, \"<empty>\" for an empty one, or \"\" for no check";

    fn from_text(text: &str) -> Result<Self, String> {
        match text {
            "" => Ok(CheckQuery::Off),
            EMPTY_QUERY => Ok(CheckQuery::Query(String::new())),
            text => String::from_text(text).map(CheckQuery::Query),
        }
    }

    fn to_text(&self) -> Option<String> {
        Some(match self {
            CheckQuery::Off => String::new(),
            CheckQuery::Query(text) if text.is_empty() => EMPTY_QUERY.to_owned(),
            CheckQuery::Query(text) => text.clone(),
        })
    }
}

/// Permission bits of a socket file.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct SocketMode(u16);

impl SocketMode {
    /// The bits, 0 to 0o777.
    pub fn bits(self) -> u32 {
        self.0.into()
    }
}

impl fmt::Display for SocketMode {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "{:04o}", self.0)
    }
}

impl Value for SocketMode {
    const KIND: &'static str = "permission bits in octal, as text (\"0777\")";
    const SHAPE: Shape = Shape::Text;

    fn from_text(text: &str) -> Result<Self, String> {
        let digits = text.strip_prefix("0o").unwrap_or(text);
        if digits.is_empty() || !digits.bytes().all(|byte| byte.is_ascii_digit()) {
            return Err(expected::<Self>(text));
        }
        match u16::from_str_radix(digits, 8) {
            Ok(bits) if bits <= 0o777 => Ok(SocketMode(bits)),
            _ => Err(expected::<Self>(text)),
        }
    }

    /// A number as any other: octal only with a 0 in front.
    fn from_ini(text: &str) -> Result<Self, String> {
        let bits = integer(text).and_then(|number| u16::try_from(number).ok());
        match bits {
            Some(bits) if bits <= 0o777 => Ok(SocketMode(bits)),
            _ => Err(format!(
                "expected permission bits in octal with a 0 in front (\"0777\"), found \"{}\"",
                text.escape_debug()
            )),
        }
    }

    fn from_raw(raw: &Raw) -> Result<Self, String> {
        match raw {
            Raw::Text(text) => Self::from_text(text),
            // A format may have read `0o777` as a number already; what `777` meant cannot be told.
            other => Err(unexpected::<Self>(other)),
        }
    }

    fn to_text(&self) -> Option<String> {
        Some(self.to_string())
    }

    fn to_ini(&self) -> Option<String> {
        Some(self.0.to_string())
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn reads_as_itself<T: Value + Copy + PartialEq + fmt::Debug>(
        all: &[T],
        word: fn(T) -> &'static str,
    ) {
        for value in all {
            assert_eq!(T::from_text(word(*value)), Ok(*value));
            assert!(T::KIND.contains(word(*value)), "{}", T::KIND);
        }
    }

    #[test]
    fn words_of_clusters_read_as_themselves() {
        reads_as_itself(Routing::ALL, Routing::as_str);
        reads_as_itself(Consistency::ALL, Consistency::as_str);
        reads_as_itself(Balance::ALL, Balance::as_str);
        reads_as_itself(PrimaryReads::ALL, PrimaryReads::as_str);
    }
}
