//! What a text of SQL wants of a host, and why.
//!
//! Works on tokens, not on a tree: it asks for the few words that make a statement more than a read,
//! at the few places where they can. What it does not know is not a read (R1). Linear in the
//! text's length, never recursive, allocates nothing; see `docs/decisions/0012-routing-intent.md`.
//!
//! A text must be whole. One of which only the beginning is held has [`Judgement::UNSEEN`].

mod cache;
mod catalog;
mod header;
mod hint;
mod name;
mod query;
mod reason;
mod settings;
mod statements;
mod tokens;
mod word;

use crate::lex::Dialect;

pub use cache::Cache;
pub use catalog::{Catalog, Function, NoCatalog, Snapshot};
pub use hint::Hint;
pub use name::Name;
pub use reason::{Intent, Reason};
pub use settings::Own;
pub use statements::{Found, Statements};

/// From one byte of a text to another: `text[span.start..span.end]`.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Default, Hash)]
pub struct Span {
    /// Its first byte.
    pub start: u32,
    /// Behind its last byte.
    pub end: u32,
}

impl Span {
    /// These bytes of the text that it belongs to.
    pub fn of(self, text: &[u8]) -> &[u8] {
        text.get(self.start as usize..self.end as usize)
            .unwrap_or_default()
    }
}

/// What a transaction may do, as far as a statement says it.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Default, Hash)]
pub enum Access {
    /// Not said: the session's default.
    #[default]
    Unsaid,
    /// READ ONLY.
    ReadOnly,
    /// READ WRITE.
    ReadWrite,
}

/// What a statement is to those who follow transactions, prepared statements and pgweir's settings.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Default, Hash)]
pub enum Statement {
    /// Nothing that has to be followed.
    #[default]
    Other,
    /// Several statements; each by itself comes from [`Statements`].
    Several,
    /// BEGIN, START TRANSACTION.
    Begin(Access),
    /// SET TRANSACTION, or SET of `transaction_read_only`.
    SetTransaction(Access),
    /// SET SESSION CHARACTERISTICS, or SET or RESET of `default_transaction_read_only`.
    SetDefault(Access),
    /// COMMIT, END, ROLLBACK, ABORT, of the transaction as a whole.
    End {
        /// AND CHAIN: the next one begins at once, with the same access.
        chain: bool,
    },
    /// PREPARE of a statement whose intent this is.
    Prepare(Name),
    /// EXECUTE, also in EXPLAIN. The intent is what [`Catalog::prepared`] said.
    Execute(Name),
    /// DEALLOCATE of one, or of all (DISCARD ALL too).
    Deallocate(Option<Name>),
    /// SET, SHOW or RESET of a setting that is pgweir's own: not for the server.
    Own(Own),
}

/// What is known of a text.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Hash)]
pub struct Judgement {
    /// The weightiest reason of its statements, or the hint.
    pub reason: Reason,
    /// The word that gave the reason; empty where there is none to show.
    pub at: Span,
    /// What it is, if it is one statement.
    pub statement: Statement,
    /// What it asks for in a leading comment.
    pub hint: Option<Hint>,
    /// Statements prepared by the client had a say: the same text may have another judgement later.
    pub asked_prepared: bool,
}

impl Judgement {
    /// Of a text that is larger than what is held of it.
    pub const UNSEEN: Self = Self {
        reason: Reason::Unseen,
        at: Span { start: 0, end: 0 },
        statement: Statement::Other,
        hint: None,
        asked_prepared: false,
    };

    /// What it wants of a host.
    pub fn intent(self) -> Intent {
        self.reason.intent()
    }
}

/// Judges a text, without terminator: that of a Query or Parse message.
///
/// The text is read no further than to the first statement that only the primary can do. So
/// [`Judgement::statement`] of such a text is that statement, even if others follow.
pub fn judge(text: &[u8], dialect: Dialect, catalog: &(impl Catalog + ?Sized)) -> Judgement {
    let hint = hint::of(text);
    let mut total = Total::default();
    let mut statements = Statements::new(text, dialect, catalog);
    while let Some(found) = statements.next() {
        total.add(&found);
        if total.reason.is_certain() {
            break;
        }
    }
    let mut judgement = total.judgement(statements.asked_prepared());
    judgement.hint = hint;
    judgement.reason = hinted(judgement.reason, hint);
    judgement
}

/// A hint decides what is in doubt, never sends a write to a standby, and always may ask for the
/// primary.
fn hinted(reason: Reason, hint: Option<Hint>) -> Reason {
    match hint {
        Some(Hint::Standby) if reason.is_doubt() => Reason::HintStandby,
        Some(Hint::Primary) if !reason.is_certain() => Reason::HintPrimary,
        Some(Hint::Unknown) if !reason.is_certain() => Reason::HintUnknown,
        _ => reason,
    }
}

/// The statements of a text, put together.
struct Total {
    reason: Reason,
    at: Span,
    statement: Statement,
    count: usize,
    /// A transaction that was begun in this text and has not ended in it.
    open: Option<Access>,
}

impl Default for Total {
    fn default() -> Self {
        Self {
            reason: Reason::Empty,
            at: Span::default(),
            statement: Statement::Other,
            count: 0,
            open: None,
        }
    }
}

impl Total {
    fn add(&mut self, found: &Found) {
        self.count += 1;
        self.statement = if self.count == 1 {
            found.statement
        } else {
            Statement::Several
        };
        let reason = match self.open {
            Some(Access::ReadOnly) => found.reason.in_read_only(),
            _ => found.reason,
        };
        match (found.statement, self.open) {
            // A second BEGIN is only warned about.
            (Statement::Begin(access), None) => self.open = Some(access),
            (Statement::SetTransaction(access), Some(_)) => self.open = Some(access),
            (Statement::End { chain: false }, _) => self.open = None,
            _ => {}
        }
        if self.count == 1 || reason.outweighs(self.reason) {
            (self.reason, self.at) = (reason, found.at);
        }
    }

    fn judgement(mut self, asked_prepared: bool) -> Judgement {
        let stays_open = matches!(self.open, Some(Access::Unsaid));
        if self.count > 1 && stays_open && Reason::OpenTransaction.outweighs(self.reason) {
            (self.reason, self.at) = (Reason::OpenTransaction, Span::default());
        }
        Judgement {
            reason: self.reason,
            at: self.at,
            statement: self.statement,
            hint: None,
            asked_prepared,
        }
    }
}

#[cfg(test)]
mod tests;
