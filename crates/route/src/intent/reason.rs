//! What a statement wants of a host, and the one word that made it so.

/// What a text wants of a host. Ordered: the greatest of its statements is that of a text.
#[derive(Debug, Clone, Copy, PartialEq, Eq, PartialOrd, Ord, Hash)]
pub enum Intent {
    /// Nothing that differs between hosts: wherever the client is, or wherever there is room.
    Anywhere,
    /// To read: a standby can do it.
    Read,
    /// What only the primary can do, or what is not known well enough.
    Primary,
}

/// How much a reason weighs. Ordered.
#[derive(Debug, Clone, Copy, PartialEq, Eq, PartialOrd, Ord)]
enum Weight {
    Anywhere,
    Read,
    /// The primary, because a standby might not do; a hint may say that it does.
    Doubt,
    /// The primary, because a standby would refuse it, or do something else.
    Primary,
}

macro_rules! reasons {
    ($($(#[$doc:meta])* $name:ident $weight:ident $word:literal $text:literal,)*) => {
        /// Why a text has its intent.
        #[derive(Debug, Clone, Copy, PartialEq, Eq, Hash)]
        pub enum Reason {
            $($(#[$doc])* $name,)*
        }

        impl Reason {
            /// All of them, for counters.
            pub const ALL: &'static [Self] = &[$(Self::$name,)*];

            fn weight(self) -> Weight {
                match self {
                    $(Self::$name => Weight::$weight,)*
                }
            }

            /// A word for metrics and tables; it does not change from version to version.
            pub fn word(self) -> &'static str {
                match self {
                    $(Self::$name => $word,)*
                }
            }

            /// Half a sentence: the statement …
            pub fn text(self) -> &'static str {
                match self {
                    $(Self::$name => $text,)*
                }
            }
        }
    };
}

reasons! {
    /// Nothing but white space and comments.
    Empty Anywhere "empty" "is empty",
    /// SET, SHOW, RESET, DISCARD, DEALLOCATE.
    Session Anywhere "session" "is about the session",
    /// BEGIN without a word on access, COMMIT, ROLLBACK, SAVEPOINT and the like.
    Transaction Anywhere "transaction" "is about the transaction",
    /// SELECT, VALUES, TABLE.
    Query Read "query" "reads",
    /// EXPLAIN of something that is not run.
    Explain Read "explain" "is only planned",
    /// COPY … TO STDOUT.
    CopyOut Read "copy_out" "copies out",
    /// The transaction is READ ONLY.
    ReadOnly Read "read_only" "is in a read-only transaction",
    /// The text says that a standby will do.
    HintStandby Read "hint_standby" "has a hint: standby",
    /// The text asks for the primary.
    HintPrimary Primary "hint_primary" "has a hint: primary",
    /// The hint is none of those that are known.
    HintUnknown Primary "hint_unknown" "has a hint that is not known",
    /// INSERT, UPDATE, DELETE, MERGE, TRUNCATE.
    Write Primary "write" "writes",
    /// INSERT, UPDATE, DELETE or MERGE in WITH, or in COPY.
    WriteInQuery Primary "write_in_query" "writes in a query",
    /// SELECT INTO.
    SelectInto Primary "select_into" "makes a table (SELECT INTO)",
    /// FOR UPDATE, FOR SHARE and their like.
    RowLock Primary "row_lock" "locks rows",
    /// CREATE, ALTER, DROP, GRANT, COMMENT and the like.
    Definition Primary "definition" "changes definitions",
    /// CREATE TEMP, or a name in `pg_temp`.
    Temporary Primary "temporary" "uses a temporary object",
    /// COPY … FROM.
    CopyIn Primary "copy_in" "copies in",
    /// COPY with a file or a program of the server.
    CopyFile Primary "copy_file" "copies to or from the server's files",
    /// LISTEN, UNLISTEN, NOTIFY.
    Notification Primary "notification" "listens or notifies",
    /// `pg_advisory_lock` and the like.
    AdvisoryLock Primary "advisory_lock" "uses an advisory lock",
    /// `nextval` and the like.
    Sequence Primary "sequence" "uses a sequence",
    /// LOCK TABLE.
    Lock Primary "lock" "locks a table",
    /// VACUUM, ANALYZE, CHECKPOINT, REINDEX and the like.
    Maintenance Primary "maintenance" "maintains the database",
    /// PREPARE TRANSACTION, COMMIT PREPARED, ROLLBACK PREPARED.
    TwoPhase Primary "two_phase" "is about a prepared transaction",
    /// READ WRITE.
    ReadWrite Primary "read_write" "asks for a transaction that may write",
    /// A standby knows no SERIALIZABLE.
    Serializable Primary "serializable" "asks for a serializable transaction",
    /// `txid_current`, snapshots and the like; SET TRANSACTION SNAPSHOT.
    TransactionId Primary "transaction_id" "uses a transaction id or a snapshot",
    /// A function that acts on the server: `pg_switch_wal`, `pg_terminate_backend`.
    Server Primary "server" "acts on the server",
    /// `lo_…`
    LargeObject Doubt "large_object" "uses a large object",
    /// `dblink` and the like.
    Remote Doubt "remote" "works on another server",
    /// A function that runs what it is given as a string.
    RunsText Doubt "runs_text" "runs a query given as a string",
    /// CALL, DO.
    Code Doubt "code" "runs code",
    /// LOAD.
    Load Doubt "load" "loads a library",
    /// A function that the catalog calls volatile.
    VolatileFunction Doubt "volatile_function" "calls a volatile function",
    /// A function of which nothing is known.
    UnknownFunction Doubt "unknown_function" "calls a function that is not known",
    /// A view that calls volatile functions.
    VolatileView Doubt "volatile_view" "reads a view that calls a volatile function",
    /// DECLARE, FETCH, MOVE, CLOSE.
    Cursor Doubt "cursor" "uses a cursor",
    /// EXECUTE of a statement that is not known.
    UnknownPrepared Doubt "unknown_prepared" "executes a statement that is not known",
    /// `set_config`, `pg_cursors` and the like.
    SessionState Doubt "session_state" "uses state of its connection",
    /// `pg_is_in_recovery`, `pg_stat_activity` and the like.
    HostState Doubt "host_state" "asks about the host",
    /// A standby has refused to write for this text before.
    Refused Primary "refused" "was refused by a standby",
    /// A text that leaves a transaction open that may write later.
    OpenTransaction Doubt "open_transaction" "leaves a transaction open",
    /// Its answer is asked for with Flush: what follows belongs to the same transaction, and may write.
    Cut Doubt "cut" "is flushed, and what follows may write",
    /// A statement that begins with none of the words that are known.
    Unknown Primary "unknown" "is not known",
    /// The text cannot be read to its end.
    Unreadable Primary "unreadable" "cannot be read to its end",
    /// The text is larger than what is held of it.
    Unseen Primary "unseen" "was not seen whole",
}

impl Reason {
    /// What a text wants that has this reason.
    pub fn intent(self) -> Intent {
        match self.weight() {
            Weight::Anywhere => Intent::Anywhere,
            Weight::Read => Intent::Read,
            Weight::Doubt | Weight::Primary => Intent::Primary,
        }
    }

    /// Whether it leads to the primary only because a standby might not do: one who knows the
    /// statement may say otherwise (a hint, READ ONLY).
    pub fn is_doubt(self) -> bool {
        self.weight() == Weight::Doubt
    }

    /// Whether nothing can outweigh it.
    pub(super) fn is_certain(self) -> bool {
        self.weight() == Weight::Primary
    }

    /// Whether it weighs more.
    pub fn outweighs(self, other: Self) -> bool {
        self.weight() > other.weight()
    }

    /// What is left of it in a transaction that is READ ONLY: there a cursor is one on this
    /// host, and code that writes is refused everywhere alike.
    #[must_use]
    pub fn in_read_only(self) -> Self {
        match self {
            Self::Cursor
            | Self::Code
            | Self::VolatileFunction
            | Self::UnknownFunction
            | Self::VolatileView
            | Self::RunsText
            | Self::OpenTransaction => Self::ReadOnly,
            _ => self,
        }
    }
}
