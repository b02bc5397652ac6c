//! Where statements begin and end, and what is known of each.

use super::catalog::Catalog;
use super::name::span;
use super::tokens::Tokens;
use super::word::Keyword;
use super::{Reason, Span, Statement};
use crate::lex::{Dialect, Kind, Token};

/// One statement of a text.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct Found {
    /// Why it has the intent that it has, taken by itself.
    pub reason: Reason,
    /// The word that gave the reason.
    pub at: Span,
    /// What it is.
    pub statement: Statement,
    /// Its first byte.
    pub start: usize,
}

/// The statements of a text, one after the other, each judged by itself. Empty ones are left out.
pub struct Statements<'a, C: ?Sized> {
    pub(super) text: &'a [u8],
    pub(super) tokens: Tokens<'a>,
    pub(super) catalog: &'a C,
    /// Open parentheses.
    pub(super) depth: u32,
    /// Whether the current statement has been read to its end.
    pub(super) is_over: bool,
    /// The weightiest so far of the current statement.
    pub(super) reason: Option<Reason>,
    pub(super) at: Span,
    /// It is one that may have a body with semicolons.
    pub(super) is_routine: bool,
    asked_prepared: bool,
}

impl<'a, C: Catalog + ?Sized> Statements<'a, C> {
    /// Of a text without terminator.
    pub fn new(text: &'a [u8], dialect: Dialect, catalog: &'a C) -> Self {
        Self {
            text,
            tokens: Tokens::new(text, dialect),
            catalog,
            depth: 0,
            is_over: true,
            reason: None,
            at: Span::default(),
            is_routine: false,
            asked_prepared: false,
        }
    }

    /// The next statement. It is read only as far as needed.
    #[expect(clippy::should_implement_trait, reason = "with `end` in between")]
    pub fn next(&mut self) -> Option<Found> {
        self.end();
        let first = loop {
            let token = self.tokens.next();
            match token.kind {
                Kind::End => return None,
                Kind::Semicolon => {}
                _ => break token,
            }
        };
        (self.reason, self.at) = (None, Span::default());
        (self.depth, self.is_over, self.is_routine) = (0, false, false);
        let statement = self.statement(first);
        Some(Found {
            // Whoever found nothing to say has not understood it.
            reason: self.reason.unwrap_or(Reason::Unknown),
            at: self.at,
            statement,
            start: first.start,
        })
    }

    /// Reads the current statement to its end; says where that is: at its semicolon, or at the end
    /// of the text.
    pub fn end(&mut self) -> usize {
        let mut body = Body::default();
        while !self.is_over {
            if self.is_routine {
                let token = self.tokens.peek();
                body.see(token.kind, self.tokens.word(token).keyword);
            }
            if self.tokens.peek().kind == Kind::Semicolon && self.depth == 0 && !body.is_open() {
                break;
            }
            self.step();
        }
        self.is_over = true;
        self.tokens.peek().start
    }

    /// Whether what [`Catalog::prepared`] said had a say so far.
    pub fn asked_prepared(&self) -> bool {
        self.asked_prepared
    }

    /// The next token, parentheses counted. Behind the end of the statement there is no more of it.
    #[inline]
    pub(super) fn step(&mut self) -> Token {
        let token = self.tokens.next();
        match token.kind {
            Kind::Open => self.depth += 1,
            // One too many is the server's to complain about.
            Kind::Close => self.depth = self.depth.saturating_sub(1),
            Kind::End => self.is_over = true,
            Kind::Bad(_) => self.note(Reason::Unreadable, token),
            _ => {}
        }
        token
    }

    /// Whether nothing of the statement is left.
    pub(super) fn is_at_end(&mut self) -> bool {
        let kind = self.tokens.peek().kind;
        kind == Kind::End || kind == Kind::Semicolon
    }

    /// A reason, if there is no weightier one.
    #[inline]
    pub(super) fn note(&mut self, reason: Reason, token: Token) {
        if self.reason.is_none_or(|known| reason.outweighs(known)) {
            (self.reason, self.at) = (Some(reason), span(token));
        }
    }

    /// Nothing can outweigh what was noted.
    #[inline]
    pub(super) fn is_settled(&self) -> bool {
        self.reason.is_some_and(Reason::is_certain)
    }

    pub(super) fn ask_prepared(&mut self, name: &[u8]) -> Option<Reason> {
        self.asked_prepared = true;
        self.catalog.prepared(name)
    }

    #[cfg(test)]
    pub(crate) fn looked_at(&self) -> usize {
        self.tokens.looked_at()
    }
}

impl<C: ?Sized> std::fmt::Debug for Statements<'_, C> {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        f.debug_struct("Statements").finish_non_exhaustive()
    }
}

/// The body of a function in SQL: BEGIN ATOMIC … END, with statements in it (sql-createfunction).
#[derive(Default)]
struct Body {
    /// How many ENDs are to come.
    open: u32,
    /// The last word was BEGIN.
    begin: bool,
    /// The last token makes any word a name: AS, or a point.
    name_follows: bool,
}

impl Body {
    fn see(&mut self, kind: Kind, keyword: Keyword) {
        let is_name = self.name_follows;
        self.name_follows = kind == Kind::Dot || (keyword == Keyword::As && !is_name);
        if is_name {
            self.begin = false;
            return;
        }
        match keyword {
            Keyword::Atomic if self.begin && self.open == 0 => self.open = 1,
            Keyword::Case if self.open > 0 => self.open += 1,
            Keyword::End if self.open > 0 => self.open -= 1,
            _ => {}
        }
        self.begin = keyword == Keyword::Begin;
    }

    fn is_open(&self) -> bool {
        self.open > 0
    }
}
