//! What makes a query more than a read.
//!
//! Goes through the tokens of SELECT, VALUES, TABLE or WITH and remembers of those before no more
//! than what the next one's meaning depends on.

use super::Reason;
use super::catalog::{Catalog, Function};
use super::name::with_stored;
use super::statements::Statements;
use super::word::{Class, Keyword, Meaning, Word};
use crate::lex::{Kind, Token};

/// Where a query ends.
#[derive(Clone, Copy, PartialEq, Eq)]
pub(super) enum Until {
    Statement,
    /// With the parenthesis that it began with.
    Parenthesis,
}

/// What a token's meaning depends on: the one before.
#[derive(Clone, Copy, PartialEq, Eq)]
enum Before {
    Start,
    /// A value or name is complete: what follows without operator is its alias, or syntax.
    Operand,
    /// `)`, which completes one.
    Close,
    Open,
    Comma,
    /// What follows is a name, whatever word it is.
    As,
    Dot,
    /// What follows is a type.
    Cast,
    Keyword(Keyword, Class),
    /// An operator or other sign.
    Sign,
}

/// One bit for each of the first levels of parentheses.
#[derive(Clone, Copy, Default)]
struct Levels(u64);

impl Levels {
    fn set(&mut self, depth: u32, on: bool) {
        if depth < u64::BITS {
            self.0 = self.0 & !(1 << depth) | u64::from(on) << depth;
        }
    }

    /// `deep` where there is no bit.
    fn has(self, depth: u32, deep: bool) -> bool {
        if depth < u64::BITS {
            self.0 >> depth & 1 == 1
        } else {
            deep
        }
    }
}

/// A name with or without what stands before its points.
#[derive(Clone, Copy)]
struct Chain {
    /// What stands before the first part.
    before: Before,
    /// The part before the last one.
    schema: Option<Token>,
    last: Token,
    /// Of the last part.
    word: Word,
    parts: u8,
}

struct Query {
    before: Before,
    /// The name that ends with the last token, or with the point that is the last token.
    chain: Option<Chain>,
    /// Levels at which WITH was read and the statement that it belongs to was not.
    with: Levels,
    /// Those of them where a name behind a comma is still one of an item of WITH.
    items: Levels,
    /// Levels whose parenthesis, when it closes, completes no value: those of `DISTINCT ON (…)` and
    /// `OPERATOR(…)`.
    open_ended: Levels,
    /// The next parenthesis is one of those.
    next_open_ended: bool,
    /// The last parenthesis that was opened may have a statement of any kind in it: that of AS in
    /// WITH, and of COPY.
    opens_statement: bool,
}

impl<C: Catalog + ?Sized> Statements<'_, C> {
    /// Reads a query that begins with `first`, up to its end or to a reason that nothing outweighs.
    pub(super) fn query(&mut self, first: Token, until: Until) {
        let mut query = Query {
            before: Before::Start,
            chain: None,
            with: Levels::default(),
            items: Levels::default(),
            open_ended: Levels::default(),
            next_open_ended: false,
            opens_statement: false,
        };
        let mut token = first;
        loop {
            match token.kind {
                Kind::Word => self.query_word(&mut query, token),
                Kind::Quoted | Kind::UnicodeQuoted => self.name(&mut query, token, Word::UNKNOWN),
                _ => self.query_sign(&mut query, token),
            }
            let is_closed = token.kind == Kind::Close && self.depth == 0;
            if (is_closed && until == Until::Parenthesis) || self.is_settled() {
                return;
            }
            token = self.tokens.next();
            if token.kind == Kind::End {
                self.is_over = true;
            }
            if self.is_over || (token.kind == Kind::Semicolon && self.depth == 0) {
                self.tokens.put_back(token);
                return;
            }
        }
    }

    #[inline]
    fn query_sign(&mut self, query: &mut Query, token: Token) {
        let chain = query.chain.take();
        query.before = match token.kind {
            Kind::Open => {
                query.opens_statement = match chain {
                    Some(chain) => chain.word.keyword == Keyword::Materialized,
                    None => matches!(query.before, Before::As | Before::Start),
                };
                if let Some(chain) = chain.filter(|_| query.before != Before::Dot) {
                    self.call(query, &chain);
                }
                let is_item = chain.is_some_and(|chain| begins_item(chain.before));
                if !query.opens_statement && !is_item {
                    // What follows WITH stands in parentheses, or a type in CYCLE does.
                    query.items.set(self.depth, false);
                }
                self.depth += 1;
                query.with.set(self.depth, false);
                query.items.set(self.depth, false);
                query.open_ended.set(self.depth, query.next_open_ended);
                Before::Open
            }
            Kind::Close => {
                // Where nothing was remembered, what follows is looked at.
                let is_operand = !query.open_ended.has(self.depth, true);
                self.depth = self.depth.saturating_sub(1);
                if is_operand {
                    Before::Close
                } else {
                    Before::Sign
                }
            }
            Kind::Dot => {
                query.chain = chain;
                Before::Dot
            }
            Kind::Comma => Before::Comma,
            Kind::Cast => Before::Cast,
            Kind::Text | Kind::Number | Kind::Parameter | Kind::CloseBracket => Before::Operand,
            Kind::Bad(_) => {
                self.note(Reason::Unreadable, token);
                Before::Sign
            }
            _ => Before::Sign,
        };
        query.next_open_ended = false;
    }

    #[inline]
    fn query_word(&mut self, query: &mut Query, token: Token) {
        let word = self.tokens.word(token);
        if matches!(query.before, Before::As | Before::Dot) || word.class == Class::None {
            return self.name(query, token, word);
        }
        self.keyword(query, token, word);
        let before = query.before;
        query.next_open_ended = match word.keyword {
            Keyword::On => matches!(before, Before::Keyword(Keyword::Distinct, _)),
            Keyword::Operator => true,
            _ => false,
        };
        match word.class {
            Class::Reserved => query.chain = None,
            _ => query.chain = Some(Chain::new(before, token, word)),
        }
        query.before = match word.keyword {
            Keyword::As => Before::As,
            keyword => Before::Keyword(keyword, word.class),
        };
    }

    /// What a keyword does to the intent.
    fn keyword(&mut self, query: &mut Query, token: Token, word: Word) {
        use Keyword as K;
        let reason = match word.keyword {
            K::Into => Reason::SelectInto,
            K::For => match self.tokens.peek_word().keyword {
                K::Update | K::Share | K::No | K::Key => Reason::RowLock,
                _ => return,
            },
            K::Insert | K::Update | K::Delete | K::Merge => {
                if !self.writes(query, word.keyword) {
                    return;
                }
                if self.depth > 0 {
                    Reason::WriteInQuery
                } else {
                    Reason::Write
                }
            }
            K::With => {
                if matches!(query.before, Before::Start | Before::Open) {
                    query.with.set(self.depth, true);
                    query.items.set(self.depth, true);
                }
                return;
            }
            K::Select | K::Values | K::Table => {
                query.with.set(self.depth, false);
                query.items.set(self.depth, false);
                return;
            }
            _ => return,
        };
        self.note(reason, token);
    }

    /// Whether the verb of a writing statement is one here, and not somebody's name.
    fn writes(&mut self, query: &Query, verb: Keyword) -> bool {
        let begins = query.before == Before::Open && query.opens_statement;
        // Behind WITH there may be SEARCH and CYCLE, which end with a name.
        if !begins && !query.with.has(self.depth, true) {
            return false;
        }
        let next = self.tokens.peek();
        let word = self.tokens.word(next);
        match verb {
            Keyword::Delete => word.keyword == Keyword::From,
            Keyword::Update => match next.kind {
                Kind::Quoted | Kind::UnicodeQuoted => true,
                Kind::Word => word.class != Class::Reserved || word.keyword == Keyword::Only,
                _ => false,
            },
            _ => word.keyword == Keyword::Into,
        }
    }

    /// A part of a name, or all of it.
    #[inline]
    fn name(&mut self, query: &mut Query, token: Token, word: Word) {
        let chain = match (query.before, query.chain) {
            (Before::Dot, Some(chain)) => chain.with(token, word),
            (Before::Dot, None) => Chain::new(Before::Sign, token, word).with(token, word),
            (before, _) => Chain::new(before, token, word),
        };
        if query.before != Before::As {
            self.relation(token, word);
        }
        query.chain = Some(chain);
        query.before = Before::Operand;
        query.next_open_ended = false;
    }

    /// What a name means wherever it stands.
    #[inline]
    fn relation(&mut self, token: Token, word: Word) {
        let bytes = self.tokens.bytes(token);
        let known = match token.kind {
            Kind::Quoted if bytes.starts_with(b"\"pg_") => {
                Word::of_stored(&bytes[1..bytes.len() - 1])
            }
            _ => word,
        };
        let begins_temporary = |name: &[u8]| {
            name.get(..8)
                .is_some_and(|front| front.eq_ignore_ascii_case(b"pg_temp_"))
        };
        let reason = match known.meaning {
            Meaning::HostView => Reason::HostState,
            Meaning::SessionView => Reason::SessionState,
            Meaning::TemporarySchema => Reason::Temporary,
            Meaning::None if begins_temporary(bytes.strip_prefix(b"\"").unwrap_or(bytes)) => {
                Reason::Temporary
            }
            _ if self.catalog.has_volatile_views() => {
                let may_be = |name: Option<&[u8]>| {
                    name.is_none_or(|name| self.catalog.is_volatile_view(name))
                };
                if !with_stored(token.kind, bytes, may_be) {
                    return;
                }
                Reason::VolatileView
            }
            _ => return,
        };
        self.note(reason, token);
    }

    /// A name before a parenthesis.
    fn call(&mut self, query: &Query, chain: &Chain) {
        if let Some(reason) = self.called(query, chain) {
            self.note(reason, chain.last);
        }
    }

    fn called(&mut self, query: &Query, chain: &Chain) -> Option<Reason> {
        // `AS t(a, b)`, `CAST(… AS numeric(5))`, `::numeric(5)`.
        if matches!(chain.before, Before::As | Before::Cast) {
            return None;
        }
        let last = chain.last;
        with_stored(last.kind, self.tokens.bytes(last), |name| {
            let Some(name) = name else {
                return Some(Reason::UnknownFunction);
            };
            match chain.schema {
                None => self.called_in(query, chain, None, name),
                Some(schema) => {
                    with_stored(
                        schema.kind,
                        self.tokens.bytes(schema),
                        |schema| match schema {
                            Some(schema) if chain.parts == 2 => {
                                self.called_in(query, chain, Some(schema), name)
                            }
                            _ => Some(Reason::UnknownFunction),
                        },
                    )
                }
            }
        })
    }

    /// A function by its stored name.
    #[inline]
    fn called_in(
        &self,
        query: &Query,
        chain: &Chain,
        schema: Option<&[u8]>,
        name: &[u8],
    ) -> Option<Reason> {
        let built_in = match schema {
            None if chain.last.kind == Kind::Word => chain.word.meaning,
            None | Some(b"pg_catalog") => Word::of_stored(name).meaning,
            Some(b"information_schema") if name.starts_with(b"_pg_") => Meaning::Read,
            Some(_) => Meaning::None,
        };
        if let Some(reason) = reason_of(built_in) {
            return Some(reason);
        }
        if schema.is_none() && self.is_syntax(query, chain) {
            return None;
        }
        if matches!(schema, Some(b"pg_catalog" | b"information_schema")) {
            return (built_in != Meaning::Read).then_some(Reason::UnknownFunction);
        }
        match (built_in, self.catalog.function(schema, name)) {
            (_, Function::Volatile) => Some(Reason::VolatileFunction),
            (Meaning::Read, _) | (_, Function::Stable) => None,
            _ if is_syntax_too(chain.word.keyword) => None,
            _ => Some(Reason::UnknownFunction),
        }
    }

    /// Whether a word before a parenthesis is an alias with columns or a keyword, and no function.
    fn is_syntax(&self, query: &Query, chain: &Chain) -> bool {
        use Keyword as K;
        let before = chain.before;
        let is_operand = matches!(before, Before::Operand | Before::Close);
        // `FROM f(x) t(a)`, `x OVER (…)`, `a LIKE (…)`; `coalesce(…)`.
        if is_operand || chain.word.class == Class::Column {
            return true;
        }
        // `WITH a(x) AS (…), b(y) AS (…)`.
        if query.items.has(self.depth, false) && begins_item(before) {
            return true;
        }
        let Before::Keyword(before, class) = before else {
            return false;
        };
        match (before, chain.word.keyword) {
            (K::Group | K::Order | K::Partition, K::By)
            | (K::Grouping, K::Sets)
            | (K::Fetch, K::First | K::Next)
            | (K::Time, K::Zone)
            | (K::Not, K::Materialized)
            | (K::Ordinality, _) => true,
            // `SEARCH … SET a (SELECT …)`, `CYCLE … USING a (SELECT …)`.
            (K::Set | K::Using, _) => query.with.has(self.depth, false),
            // `LEFT JOIN (…)`, `name ILIKE (…)`, `NOT ILIKE (…)`. As functions of a user they would
            // stand behind an operator or a reserved word.
            _ if chain.word.class == Class::Function => {
                class != Class::Reserved || before == K::Not
            }
            _ => false,
        }
    }
}

/// Whether what follows is the name of an item of WITH, if this is where they stand.
fn begins_item(before: Before) -> bool {
    matches!(
        before,
        Before::Comma | Before::Keyword(Keyword::With | Keyword::Recursive, _)
    )
}

/// Words that are syntax in places that are not told apart here, and functions in others.
fn is_syntax_too(keyword: Keyword) -> bool {
    matches!(keyword, Keyword::Rollup | Keyword::Cube | Keyword::Second)
}

fn reason_of(function: Meaning) -> Option<Reason> {
    Some(match function {
        Meaning::None
        | Meaning::Read
        | Meaning::HostView
        | Meaning::SessionView
        | Meaning::TemporarySchema => return None,
        Meaning::Sequence => Reason::Sequence,
        Meaning::AdvisoryLock => Reason::AdvisoryLock,
        Meaning::Notification => Reason::Notification,
        Meaning::LargeObject => Reason::LargeObject,
        Meaning::SessionState => Reason::SessionState,
        Meaning::TransactionId => Reason::TransactionId,
        Meaning::RunsText => Reason::RunsText,
        Meaning::Remote => Reason::Remote,
        Meaning::Server => Reason::Server,
        Meaning::HostState => Reason::HostState,
    })
}

impl Chain {
    fn new(before: Before, token: Token, word: Word) -> Self {
        Self {
            before,
            schema: None,
            last: token,
            word,
            parts: 1,
        }
    }

    /// Behind a point.
    fn with(self, token: Token, word: Word) -> Self {
        Self {
            before: self.before,
            schema: Some(self.last),
            last: token,
            word,
            parts: self.parts.saturating_add(1),
        }
    }
}
