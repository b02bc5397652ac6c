//! BEGIN, COMMIT, SET, RESET and SHOW.

use super::catalog::Catalog;
use super::name::span;
use super::statements::Statements;
use super::word::Keyword;
use super::{Access, Reason, Span, Statement};
use crate::lex::{Kind, Token};

/// A statement about a setting of pgweir's own (`pgweir.…`): the server knows nothing of it.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Hash)]
pub enum Own {
    /// SET, for the session.
    Set {
        /// What follows `pgweir.`.
        name: Span,
        /// As it is written.
        value: Span,
    },
    /// SET LOCAL, for the transaction.
    SetLocal {
        /// What follows `pgweir.`.
        name: Span,
        /// As it is written.
        value: Span,
    },
    /// RESET, and SET … TO DEFAULT.
    Reset {
        /// What follows `pgweir.`.
        name: Span,
    },
    /// SHOW.
    Show {
        /// What follows `pgweir.`.
        name: Span,
    },
}

impl Own {
    /// A value without the quotes around it; none if there is more to it (quotes inside, escapes).
    pub fn value(written: Span, text: &[u8]) -> Option<&[u8]> {
        let written = written.of(text);
        match written {
            [b'\'', inside @ .., b'\''] => {
                let is_plain = memchr::memchr2(b'\'', b'\\', inside).is_none();
                is_plain.then_some(inside)
            }
            [b'$', ..] => None,
            _ => memchr::memchr(b'\'', written).is_none().then_some(written),
        }
    }
}

/// The modes of a transaction, as far as they decide where it can run.
#[derive(Default)]
struct Modes {
    access: Access,
    serializable: bool,
}

impl<C: Catalog + ?Sized> Statements<'_, C> {
    pub(super) fn begin(&mut self, verb: Token) -> Statement {
        let is_start = self.tokens.word(verb).keyword == Keyword::Start;
        let says = self.tokens.takes(Keyword::Transaction);
        if is_start && !says {
            self.note(Reason::Unknown, verb);
            return Statement::Other;
        }
        self.tokens.takes(Keyword::Work);
        let access = self.modes(verb, Reason::Transaction);
        Statement::Begin(access)
    }

    /// COMMIT, END, ROLLBACK, ABORT.
    pub(super) fn finish(&mut self, verb: Token) -> Statement {
        let _ = self.tokens.takes(Keyword::Work) || self.tokens.takes(Keyword::Transaction);
        if self.tokens.takes(Keyword::Prepared) {
            self.note(Reason::TwoPhase, verb);
            return Statement::Other;
        }
        self.note(Reason::Transaction, verb);
        if self.tokens.takes(Keyword::To) {
            return Statement::Other;
        }
        let chain = self.tokens.takes_word("and") && self.tokens.takes(Keyword::Chain);
        Statement::End { chain }
    }

    /// Reads modes to the end of the statement and notes what follows from them; `unsaid` if nothing does.
    fn modes(&mut self, verb: Token, unsaid: Reason) -> Access {
        let mut modes = Modes::default();
        while !self.is_at_end() {
            if self.tokens.takes(Keyword::Serializable) {
                modes.serializable = true;
            } else if self.tokens.takes(Keyword::Read) {
                if self.tokens.takes(Keyword::Only) {
                    modes.access = Access::ReadOnly;
                } else if self.tokens.takes(Keyword::Write) {
                    modes.access = Access::ReadWrite;
                }
            } else {
                if self.tokens.takes(Keyword::Level) {
                    // The last one counts.
                    modes.serializable = false;
                    continue;
                }
                self.step();
            }
        }
        let reason = match modes.access {
            _ if modes.serializable => Reason::Serializable,
            Access::ReadOnly => Reason::ReadOnly,
            Access::ReadWrite => Reason::ReadWrite,
            Access::Unsaid => unsaid,
        };
        self.note(reason, verb);
        modes.access
    }

    pub(super) fn set(&mut self, verb: Token) -> Statement {
        let is_local = self.tokens.takes(Keyword::Local);
        // SESSION is a scope, and the first word of what follows.
        while self.tokens.takes(Keyword::Session) {}
        if self.tokens.takes(Keyword::Characteristics) {
            self.tokens.takes(Keyword::As);
            self.tokens.takes(Keyword::Transaction);
            let access = self.modes(verb, Reason::Session);
            if access != Access::Unsaid {
                // Of transactions to come: this one statement runs anywhere.
                self.soften(verb);
            }
            return Statement::SetDefault(access);
        }
        if self.tokens.takes(Keyword::Transaction) {
            if self.tokens.takes(Keyword::Snapshot) {
                self.note(Reason::TransactionId, verb);
                return Statement::Other;
            }
            return Statement::SetTransaction(self.modes(verb, Reason::Transaction));
        }
        let name = self.tokens.next();
        let own = self.own_name(name);
        let is_given = self.tokens.takes(Keyword::To) || self.tokens.takes_kind(Kind::Operator);
        if self.is_at_end() || !is_given {
            self.note(Reason::Session, verb);
            return Statement::Other;
        }
        let value = self.tokens.next();
        let Some(own) = own else {
            return self.set_known(verb, name, value);
        };
        self.note(Reason::Session, verb);
        let (name, value_span) = (own, span(value));
        Statement::Own(match self.tokens.word(value).keyword {
            Keyword::Default => Own::Reset { name },
            _ if is_local => Own::SetLocal {
                name,
                value: value_span,
            },
            _ => Own::Set {
                name,
                value: value_span,
            },
        })
    }

    /// SET of a setting of the server: some are modes of transactions.
    fn set_known(&mut self, verb: Token, name: Token, value: Token) -> Statement {
        let name = self.tokens.bytes(name);
        let is = |known: &str| is_name(name, known);
        let written = self.tokens.bytes(value);
        let default = is("default_transaction_read_only");
        if default || is("transaction_read_only") {
            let access = access_of(written);
            let is_default_value = self.tokens.word(value).keyword == Keyword::Default;
            if default {
                self.note(Reason::Session, verb);
                return Statement::SetDefault(access);
            }
            self.note(
                match access {
                    Access::ReadOnly => Reason::ReadOnly,
                    Access::ReadWrite => Reason::ReadWrite,
                    Access::Unsaid if is_default_value => Reason::Transaction,
                    Access::Unsaid => Reason::Unknown,
                },
                verb,
            );
            return Statement::SetTransaction(access);
        }
        let isolates = is("transaction_isolation") || is("default_transaction_isolation");
        let reason = if isolates && is_name(written, "serializable") {
            Reason::Serializable
        } else {
            Reason::Session
        };
        self.note(reason, verb);
        Statement::Other
    }

    pub(super) fn reset(&mut self, verb: Token) -> Statement {
        self.note(Reason::Session, verb);
        let name = self.tokens.next();
        match self.own_name(name) {
            Some(name) => Statement::Own(Own::Reset { name }),
            None if is_name(self.tokens.bytes(name), "default_transaction_read_only") => {
                Statement::SetDefault(Access::Unsaid)
            }
            None => Statement::Other,
        }
    }

    pub(super) fn show(&mut self, verb: Token) -> Statement {
        let name = self.tokens.next();
        if let Some(name) = self.own_name(name) {
            self.note(Reason::Session, verb);
            return Statement::Own(Own::Show { name });
        }
        // How drivers find out whether they have reached the primary.
        let of_host = ["transaction_read_only", "in_hot_standby"];
        let written = self.tokens.bytes(name);
        if of_host.into_iter().any(|known| is_name(written, known)) {
            self.note(Reason::HostState, name);
        } else {
            self.note(Reason::Session, verb);
        }
        Statement::Other
    }

    /// What follows `pgweir.`, if that is what the name is.
    fn own_name(&mut self, name: Token) -> Option<Span> {
        let bytes = self.tokens.bytes(name);
        if !is_name(bytes, "pgweir") || !self.tokens.takes_kind(Kind::Dot) {
            return None;
        }
        Some(span(self.tokens.next()))
    }

    fn soften(&mut self, verb: Token) {
        if self.reason != Some(Reason::Serializable) {
            (self.reason, self.at) = (Some(Reason::Session), span(verb));
        }
    }
}

/// A name or value, with or without quotes around it.
fn is_name(written: &[u8], known: &str) -> bool {
    let inside = match written {
        [b'"', inside @ .., b'"'] | [b'\'', inside @ .., b'\''] => inside,
        plain => plain,
    };
    inside.eq_ignore_ascii_case(known.as_bytes())
}

fn access_of(written: &[u8]) -> Access {
    let is = |words: &[&str]| words.iter().any(|word| is_name(written, word));
    if is(&["on", "true", "t", "yes", "y", "1"]) {
        Access::ReadOnly
    } else if is(&["off", "false", "f", "no", "n", "0"]) {
        Access::ReadWrite
    } else {
        Access::Unsaid
    }
}
