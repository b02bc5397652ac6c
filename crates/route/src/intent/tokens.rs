//! Tokens one by one, with a look at the next.

use std::cell::Cell;

use super::word::{Keyword, Word};
use crate::lex::{Dialect, Kind, Lexer, Token};

/// The tokens of a text.
pub(super) struct Tokens<'a> {
    lexer: Lexer<'a>,
    peeked: Option<Token>,
    /// The word that was asked for last, by where it begins: most are asked for twice.
    known: Cell<(usize, Word)>,
}

impl<'a> Tokens<'a> {
    pub(super) fn new(text: &'a [u8], dialect: Dialect) -> Self {
        Self {
            lexer: Lexer::new(text, dialect),
            peeked: None,
            known: Cell::new((usize::MAX, Word::UNKNOWN)),
        }
    }

    #[inline]
    pub(super) fn next(&mut self) -> Token {
        match self.peeked.take() {
            Some(token) => token,
            None => self.lexer.token(),
        }
    }

    /// Makes the last token the next one again.
    pub(super) fn put_back(&mut self, token: Token) {
        self.peeked = Some(token);
    }

    pub(super) fn peek(&mut self) -> Token {
        if let Some(token) = self.peeked {
            return token;
        }
        let token = self.lexer.token();
        self.peeked = Some(token);
        token
    }

    pub(super) fn bytes(&self, token: Token) -> &'a [u8] {
        self.lexer.bytes(token)
    }

    /// What is known of a token as a word; nothing if it has quotes, or is none.
    #[inline]
    pub(super) fn word(&self, token: Token) -> Word {
        if token.kind != Kind::Word {
            return Word::UNKNOWN;
        }
        let (start, known) = self.known.get();
        if start == token.start {
            return known;
        }
        let word = Word::of(self.bytes(token));
        self.known.set((token.start, word));
        word
    }

    pub(super) fn peek_word(&mut self) -> Word {
        let token = self.peek();
        self.word(token)
    }

    /// Passes over this keyword if it comes next.
    pub(super) fn takes(&mut self, keyword: Keyword) -> bool {
        let is_next = self.peek_word().keyword == keyword;
        if is_next {
            self.peeked = None;
        }
        is_next
    }

    /// Passes over this sign if it comes next.
    pub(super) fn takes_kind(&mut self, kind: Kind) -> bool {
        let is_next = self.peek().kind == kind;
        if is_next {
            self.peeked = None;
        }
        is_next
    }

    /// Whether this word comes next, whatever is known of it; passes over it.
    pub(super) fn takes_word(&mut self, text: &str) -> bool {
        let token = self.peek();
        let is_next =
            token.kind == Kind::Word && self.bytes(token).eq_ignore_ascii_case(text.as_bytes());
        if is_next {
            self.peeked = None;
        }
        is_next
    }

    #[cfg(test)]
    pub(super) fn looked_at(&self) -> usize {
        self.lexer.looked_at()
    }
}
