//! What the rules of a conversation are told besides the bytes, and what they say to them.

use crate::statement::Statements;

/// When a client's server connection goes back to the pool.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Hash)]
pub enum Mode {
    /// When the client leaves.
    Session,
    /// After each transaction.
    Transaction,
    /// After each statement; transactions of several statements are refused.
    Statement,
}

/// What the rules need to know besides the bytes.
#[derive(Debug, Clone, Copy)]
pub struct Rules<'a> {
    /// The shared statements.
    pub statements: &'a Statements,
    /// The largest Parse message with a name, in bytes.
    pub max_statement_size: u64,
    /// The largest message, in bytes.
    pub max_packet_size: u32,
    /// Whether Query is refused.
    pub extended_only: bool,
    /// How many shared statements a server connection keeps.
    pub max_prepared_statements: usize,
}

/// What is to be done with a client after its bytes were judged.
#[derive(Debug, PartialEq, Eq)]
pub enum Verdict {
    /// All frames that were whole enough are dealt with: read more.
    More,
    /// The next frame needs a server connection, and there is none.
    NeedsServer,
    /// The next frame may need another one than is leased: it is to be judged again when nothing is owed
    /// any more.
    Waits,
    /// The next frame needs another server connection than the one that is leased, on which nothing of what the
    /// client goes on with has been run: that one is to be given back as if the client had gone.
    Elsewhere,
    /// The client said goodbye.
    Terminate,
    /// The client broke a rule: tell it and close the connection.
    Refused(Refusal),
}

/// Why a client's connection is closed.
#[derive(Debug, Clone, PartialEq, Eq, thiserror::Error)]
pub enum Refusal {
    /// A message that no client may send now.
    #[error("invalid frontend message type {0}")]
    Tag(u8),
    /// Query, where only the extended protocol is allowed.
    #[error("PQexec disallowed")]
    Query,
    /// A message that cannot be read.
    #[error("{0}")]
    Malformed(#[from] pgweir_wire::Error),
    /// A named statement larger than what is kept.
    #[error("prepared statement of {len} bytes exceeds max_statement_size of {limit} bytes")]
    StatementTooLong {
        /// Bytes in the Parse message.
        len: u64,
        /// The setting.
        limit: u64,
    },
    /// More names than a client may have.
    #[error("client has more than {0} prepared statements")]
    TooManyNames(usize),
}
