//! The words that a statement begins with.

use super::catalog::{Catalog, executed};
use super::name::Name;
use super::query::Until;
use super::statements::Statements;
use super::word::{Keyword, Meaning};
use super::{Reason, Statement};
use crate::lex::{Kind, Token};

impl<C: Catalog + ?Sized> Statements<'_, C> {
    /// Judges the statement that begins with this token.
    pub(super) fn statement(&mut self, first: Token) -> Statement {
        let mut first = first;
        let mut statement = Statement::Other;
        // EXPLAIN and PREPARE have a statement in them, with words of its own.
        loop {
            match self.tokens.word(first).keyword {
                Keyword::Explain => match self.explain(first) {
                    Some(inner) => first = inner,
                    None => return statement,
                },
                Keyword::Prepare => match self.prepare(first) {
                    Some((name, inner)) => {
                        (statement, first) = (Statement::Prepare(name), inner);
                    }
                    None => return statement,
                },
                _ => break,
            }
        }
        let inner = self.verb(first);
        if statement == Statement::Other {
            inner
        } else {
            statement
        }
    }

    fn verb(&mut self, verb: Token) -> Statement {
        use Keyword as K;
        let keyword = self.tokens.word(verb).keyword;
        let reason = match keyword {
            K::Select | K::Values | K::Table | K::With => {
                self.query(verb, Until::Statement);
                Reason::Query
            }
            _ if verb.kind == Kind::Open => {
                self.query(verb, Until::Statement);
                Reason::Query
            }
            K::Insert | K::Update | K::Delete | K::Merge | K::Truncate => Reason::Write,
            K::Begin | K::Start => return self.begin(verb),
            K::Commit | K::End | K::Rollback | K::Abort => return self.finish(verb),
            K::Savepoint | K::Release => Reason::Transaction,
            K::Set => return self.set(verb),
            K::Reset => return self.reset(verb),
            K::Show => return self.show(verb),
            K::Copy => return self.copy(verb),
            K::Execute => return self.execute(verb),
            K::Declare => return self.declare(verb),
            K::Fetch | K::Move | K::Close => Reason::Cursor,
            K::Deallocate => return self.deallocate(verb),
            K::Discard => return self.discard(verb),
            K::Create => return self.create(verb),
            K::Alter
            | K::Drop
            | K::Grant
            | K::Revoke
            | K::Comment
            | K::Security
            | K::Reassign
            | K::Import => Reason::Definition,
            K::Vacuum
            | K::Analyze
            | K::Analyse
            | K::Checkpoint
            | K::Cluster
            | K::Reindex
            | K::Refresh => Reason::Maintenance,
            K::Listen | K::Unlisten | K::Notify => Reason::Notification,
            K::Lock => Reason::Lock,
            K::Call | K::Do => Reason::Code,
            K::Load => Reason::Load,
            _ if matches!(verb.kind, Kind::Bad(_)) => Reason::Unreadable,
            _ => Reason::Unknown,
        };
        self.note(reason, verb);
        Statement::Other
    }

    /// Behind EXPLAIN: the statement in it, if that matters.
    fn explain(&mut self, verb: Token) -> Option<Token> {
        let mut runs = false;
        let mut inner = None;
        if self.tokens.peek().kind == Kind::Open {
            let open = self.tokens.next();
            let after = self.tokens.peek();
            use Keyword as K;
            let is_query = matches!(
                self.tokens.word(after).keyword,
                K::Select | K::Values | K::Table | K::With
            );
            if is_query || after.kind == Kind::Open {
                inner = Some(open);
            } else {
                self.depth = 1;
                runs = self.explain_options();
            }
        } else {
            runs = self.tokens.takes(Keyword::Analyze) || self.tokens.takes(Keyword::Analyse);
            self.tokens.takes(Keyword::Verbose);
        }
        // EXECUTE is planned from what the connection has prepared.
        if runs || self.tokens.peek_word().keyword == Keyword::Execute {
            return Some(inner.unwrap_or_else(|| self.tokens.next()));
        }
        if inner.is_some() {
            self.depth = 1;
        }
        self.note(Reason::Explain, verb);
        None
    }

    /// Behind the parenthesis: whether the options have the statement run.
    fn explain_options(&mut self) -> bool {
        let mut runs = false;
        while self.depth > 0 && !self.is_over {
            let option = self.step();
            // In quotes it is one too.
            runs |= matches!(option.kind, Kind::Quoted | Kind::UnicodeQuoted);
            let keyword = self.tokens.word(option).keyword;
            if keyword != Keyword::Analyze && keyword != Keyword::Analyse {
                continue;
            }
            let value = self.tokens.peek();
            let value = self.tokens.bytes(value).trim_ascii();
            let value = value.strip_prefix(b"'").unwrap_or(value);
            let value = value.strip_suffix(b"'").unwrap_or(value);
            let is_off = |off: &str| value.eq_ignore_ascii_case(off.as_bytes());
            // The last one counts.
            runs = !["off", "false", "0"].into_iter().any(is_off);
        }
        runs
    }

    /// Behind PREPARE: the name, and where the statement in it begins.
    fn prepare(&mut self, verb: Token) -> Option<(Name, Token)> {
        let name = self.tokens.next();
        let is_transaction = self.tokens.word(name).keyword == Keyword::Transaction;
        if is_transaction && self.tokens.peek().kind == Kind::Text {
            self.note(Reason::TwoPhase, verb);
            return None;
        }
        self.pass_parentheses();
        if !self.tokens.takes(Keyword::As) {
            self.note(Reason::Unknown, verb);
            return None;
        }
        Some((Name::new(name), self.tokens.next()))
    }

    /// Passes over what stands in parentheses, if they come next.
    fn pass_parentheses(&mut self) {
        if self.tokens.peek().kind != Kind::Open {
            return;
        }
        let outside = self.depth;
        loop {
            let token = self.step();
            self.note_temporary(token);
            if self.depth <= outside || self.is_over {
                return;
            }
        }
    }

    fn execute(&mut self, verb: Token) -> Statement {
        let name = Name::new(self.tokens.next());
        let mut room = [0; Name::LEN_MAX];
        let known = name
            .stored(self.text, &mut room)
            .and_then(|stored| self.ask_prepared(stored));
        self.note(executed(known), verb);
        if self.tokens.peek().kind == Kind::Open {
            let open = self.tokens.next();
            self.query(open, Until::Statement);
        }
        Statement::Execute(name)
    }

    fn declare(&mut self, verb: Token) -> Statement {
        self.note(Reason::Cursor, verb);
        while !self.is_at_end() && !self.tokens.takes(Keyword::For) {
            self.step();
        }
        if !self.is_at_end() {
            let first = self.tokens.next();
            self.query(first, Until::Statement);
        }
        Statement::Other
    }

    /// COPY of a table, or of a query in parentheses.
    fn copy(&mut self, verb: Token) -> Statement {
        if self.tokens.peek().kind == Kind::Open {
            let open = self.tokens.next();
            self.query(open, Until::Parenthesis);
        }
        while !self.is_at_end() {
            if self.depth == 0 && self.tokens.takes(Keyword::From) {
                self.note(Reason::CopyIn, verb);
                return Statement::Other;
            }
            if self.depth == 0 && self.tokens.takes(Keyword::To) {
                // PostgreSQL takes STDIN too, for the same.
                let is_client =
                    self.tokens.takes(Keyword::Stdout) || self.tokens.takes(Keyword::Stdin);
                let reason = if is_client {
                    Reason::CopyOut
                } else {
                    Reason::CopyFile
                };
                self.note(reason, verb);
                return Statement::Other;
            }
            let token = self.step();
            self.note_temporary(token);
        }
        self.note(Reason::Unknown, verb);
        Statement::Other
    }

    fn note_temporary(&mut self, token: Token) {
        if self.tokens.word(token).meaning == Meaning::TemporarySchema {
            self.note(Reason::Temporary, token);
        }
    }

    fn create(&mut self, verb: Token) -> Statement {
        if self.tokens.takes(Keyword::Or) {
            self.tokens.takes(Keyword::Replace);
        }
        let _ = self.tokens.takes(Keyword::Global) || self.tokens.takes(Keyword::Local);
        if self.tokens.takes(Keyword::Temp) || self.tokens.takes(Keyword::Temporary) {
            self.note(Reason::Temporary, verb);
        }
        self.is_routine =
            self.tokens.takes(Keyword::Function) || self.tokens.takes(Keyword::Procedure);
        self.note(Reason::Definition, verb);
        Statement::Other
    }

    fn deallocate(&mut self, verb: Token) -> Statement {
        self.note(Reason::Session, verb);
        let mut name = self.tokens.next();
        if self.tokens.word(name).keyword == Keyword::Prepare && !self.is_at_end() {
            name = self.tokens.next();
        }
        let is_all = self.tokens.word(name).keyword == Keyword::All;
        Statement::Deallocate((!is_all).then(|| Name::new(name)))
    }

    fn discard(&mut self, verb: Token) -> Statement {
        self.note(Reason::Session, verb);
        if self.tokens.takes(Keyword::All) {
            Statement::Deallocate(None)
        } else {
            Statement::Other
        }
    }
}
