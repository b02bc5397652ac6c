//! What the words of SQL mean here: keywords, built-in functions, the catalog's views.
//!
//! The lists are in `words/`. They become one hash table when this is compiled, so that each word of
//! a statement costs one probe whatever it is.

/// A keyword that the rules ask for by name.
macro_rules! keywords {
    ($($name:ident $text:literal,)*) => {
        /// A keyword that the rules ask for by name.
        #[derive(Debug, Clone, Copy, PartialEq, Eq)]
        pub(super) enum Keyword {
            /// None of those, or no keyword at all.
            Other,
            $(#[doc = $text] $name,)*
        }

        const KEYWORDS: &[(&str, Keyword)] = &[$(($text, Keyword::$name),)*];
    };
}

#[rustfmt::skip]
keywords! {
    Abort "abort", All "all", Alter "alter", Analyse "analyse", Analyze "analyze", As "as",
    Atomic "atomic", Authorization "authorization", Begin "begin", By "by", Call "call", Case "case", Chain "chain",
    Characteristics "characteristics", Checkpoint "checkpoint", Close "close", Cluster "cluster",
    Comment "comment", Commit "commit", Constraints "constraints", Copy "copy", Create "create",
    Cube "cube", Deallocate "deallocate", Declare "declare", Default "default", Delete "delete",
    Discard "discard", Distinct "distinct", Do "do", Drop "drop", End "end", Execute "execute",
    Explain "explain", Fetch "fetch", First "first", For "for", From "from", Function "function", Global "global",
    Grant "grant", Group "group", Grouping "grouping", Import "import", Insert "insert", Into "into",
    Isolation "isolation", Key "key", Level "level", Listen "listen", Load "load", Local "local", Lock "lock",
    Materialized "materialized", Merge "merge", Move "move", Next "next", No "no", Not "not", Notify "notify", On "on", Only "only",
    Operator "operator", Or "or", Order "order", Ordinality "ordinality", Partition "partition", Prepare "prepare", Prepared "prepared",
    Procedure "procedure", Program "program", Read "read", Reassign "reassign", Recursive "recursive",
    Refresh "refresh", Reindex "reindex", Release "release", Replace "replace", Reset "reset",
    Revoke "revoke", Rollback "rollback", Rollup "rollup", Savepoint "savepoint", Second "second",
    Security "security", Select "select", Serializable "serializable", Session "session", Set "set", Sets "sets",
    Share "share", Show "show", Snapshot "snapshot", Start "start", Stdin "stdin", Stdout "stdout",
    Table "table", Temp "temp", Temporary "temporary", Time "time", To "to",
    Transaction "transaction", Truncate "truncate", Unlisten "unlisten", Update "update", Using "using",
    Vacuum "vacuum", Values "values", Verbose "verbose", With "with", Work "work", Write "write", Zone "zone",
}

/// Where a keyword may be a name (sql-keywords-appendix).
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(super) enum Class {
    /// No keyword.
    None,
    /// Never, except behind AS and a point.
    Reserved,
    /// Of a column or table; as a function it is syntax of its own.
    Column,
    /// Of a function or type.
    Function,
    /// Of anything.
    Free,
}

const CLASSES: [Class; 4] = [Class::Reserved, Class::Column, Class::Function, Class::Free];

/// What a function or view is to routing.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(super) enum Meaning {
    /// Nothing that is known here.
    None,
    /// Of the variants below `words/functions.txt` tells.
    Read,
    Sequence,
    AdvisoryLock,
    Notification,
    LargeObject,
    SessionState,
    TransactionId,
    RunsText,
    Remote,
    Server,
    HostState,
    HostView,
    SessionView,
    TemporarySchema,
}

const MEANINGS: [Meaning; 14] = [
    Meaning::Read,
    Meaning::Sequence,
    Meaning::AdvisoryLock,
    Meaning::Notification,
    Meaning::LargeObject,
    Meaning::SessionState,
    Meaning::TransactionId,
    Meaning::RunsText,
    Meaning::Remote,
    Meaning::Server,
    Meaning::HostState,
    Meaning::HostView,
    Meaning::SessionView,
    Meaning::TemporarySchema,
];

/// All that is known of a word.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(super) struct Word {
    pub(super) keyword: Keyword,
    pub(super) class: Class,
    pub(super) meaning: Meaning,
}

impl Word {
    /// A word of which nothing is known.
    pub(super) const UNKNOWN: Self = Self {
        keyword: Keyword::Other,
        class: Class::None,
        meaning: Meaning::None,
    };

    /// Of a name as PostgreSQL stores it: great letters make it another one.
    pub(super) fn of_stored(name: &[u8]) -> Self {
        match find(name) {
            Some(entry) if entry.text == name => entry.word,
            _ => Self::UNKNOWN,
        }
    }

    /// Of a word without quotes; its case does not matter.
    #[inline]
    pub(super) fn of(bytes: &[u8]) -> Self {
        find(bytes).map_or(Self::UNKNOWN, |entry| entry.word)
    }
}

/// The entry of a word in any case. Signs that no word has may be taken for others.
#[inline]
fn find(bytes: &[u8]) -> Option<&'static Entry> {
    let key = Key::of(bytes);
    let mut slot = key.slot();
    loop {
        let index = TABLE.slots[slot];
        if index == 0 {
            return None;
        }
        let entry = &TABLE.entries[index as usize - 1];
        // The ends are all of a word of up to 16 bytes.
        if entry.key.is(key) && (bytes.len() <= 16 || entry.text.eq_ignore_ascii_case(bytes)) {
            return Some(entry);
        }
        slot = (slot + 1) % SLOTS;
    }
}

/// Both ends of a word and its length, whatever its case.
#[derive(Clone, Copy)]
struct Key {
    first: u64,
    last: u64,
    len: usize,
}

impl Key {
    #[inline]
    const fn of(word: &[u8]) -> Self {
        // Makes small letters of great ones, and something of everything else.
        const FOLD: u64 = 0x2020_2020_2020_2020;
        let (first, last) = match (word.first_chunk(), word.last_chunk()) {
            (Some(first), Some(last)) => (u64::from_le_bytes(*first), u64::from_le_bytes(*last)),
            _ => match (word.first_chunk(), word.last_chunk()) {
                (Some(first), Some(last)) => (
                    u32::from_le_bytes(*first) as u64,
                    u32::from_le_bytes(*last) as u64,
                ),
                _ => match word {
                    [a, b, c] => (u32::from_le_bytes([*a, *b, *c, 0]) as u64, 0),
                    [a, b] => (u16::from_le_bytes([*a, *b]) as u64, 0),
                    [a] => (*a as u64, 0),
                    _ => (0, 0),
                },
            },
        };
        Self {
            first: first | FOLD,
            last: last | FOLD,
            len: word.len(),
        }
    }

    #[inline]
    const fn is(self, other: Self) -> bool {
        self.first == other.first && self.last == other.last && self.len == other.len
    }

    #[inline]
    const fn slot(self) -> usize {
        let mixed = self.first.wrapping_mul(0x9e37_79b9_7f4a_7c15)
            ^ self
                .last
                .wrapping_mul(0xc2b2_ae3d_27d4_eb4f)
                .rotate_left(29)
            ^ (self.len as u64).wrapping_mul(0x1656_67b1_9e37_79f9);
        (mixed.wrapping_mul(0x9e37_79b9_7f4a_7c15) >> 52) as usize % SLOTS
    }
}

const KEYWORD_LIST: &[u8] = include_bytes!("words/keywords.txt");
const FUNCTION_LIST: &[u8] = include_bytes!("words/functions.txt");

const SLOTS: usize = 4096;
/// At most; the lists have fewer, since some keywords are functions too.
const ENTRIES: usize = count(KEYWORD_LIST) + count(FUNCTION_LIST);
#[derive(Clone, Copy)]
struct Entry {
    text: &'static [u8],
    key: Key,
    word: Word,
}

struct Table {
    /// Index into `entries`, plus one; 0 is free. Invariant: at least half of them are free.
    slots: [u16; SLOTS],
    entries: [Entry; ENTRIES],
}

static TABLE: Table = {
    assert!(ENTRIES * 2 <= SLOTS, "a full table is slow");
    let mut table = Table {
        slots: [0; SLOTS],
        entries: [Entry {
            text: b"",
            key: Key::of(b""),
            word: Word::UNKNOWN,
        }; ENTRIES],
    };
    let mut len = 0;
    let mut list = List::new(KEYWORD_LIST);
    while let Some((text, section)) = list.next() {
        let entry = enter(&mut table, &mut len, text);
        table.entries[entry].word.class = CLASSES[section];
    }
    let mut list = List::new(FUNCTION_LIST);
    while let Some((text, section)) = list.next() {
        let entry = enter(&mut table, &mut len, text);
        table.entries[entry].word.meaning = MEANINGS[section];
    }
    let mut keyword = 0;
    while keyword < KEYWORDS.len() {
        let (text, name) = KEYWORDS[keyword];
        let before = len;
        let entry = enter(&mut table, &mut len, text.as_bytes());
        assert!(before == len, "every keyword is in the list");
        table.entries[entry].word.keyword = name;
        keyword += 1;
    }
    table
};

/// The entry of a word; made if there is none.
const fn enter(table: &mut Table, len: &mut usize, text: &'static [u8]) -> usize {
    let key = Key::of(text);
    let mut slot = key.slot();
    while table.slots[slot] != 0 {
        let index = table.slots[slot] as usize - 1;
        if equal(table.entries[index].text, text) {
            return index;
        }
        slot = (slot + 1) % SLOTS;
    }
    table.entries[*len].text = text;
    table.entries[*len].key = key;
    *len += 1;
    table.slots[slot] = *len as u16;
    *len - 1
}

const fn equal(a: &[u8], b: &[u8]) -> bool {
    if a.len() != b.len() {
        return false;
    }
    let mut at = 0;
    while at < a.len() {
        if a[at] != b[at] {
            return false;
        }
        at += 1;
    }
    true
}

/// Words of a list, each with the number of its section.
struct List {
    text: &'static [u8],
    at: usize,
    /// Sections that were begun.
    sections: usize,
}

impl List {
    const fn new(text: &'static [u8]) -> Self {
        Self {
            text,
            at: 0,
            sections: 0,
        }
    }

    const fn next(&mut self) -> Option<(&'static [u8], usize)> {
        while self.at < self.text.len() {
            match self.text[self.at] {
                b'#' => {
                    while self.text[self.at] != b'\n' {
                        self.at += 1;
                    }
                }
                b'[' => {
                    self.sections += 1;
                    while self.text[self.at] != b'\n' {
                        self.at += 1;
                    }
                }
                b' ' | b'\n' => self.at += 1,
                _ => {
                    let rest = self.text.split_at(self.at).1;
                    let mut len = 0;
                    while len < rest.len() && rest[len] != b' ' && rest[len] != b'\n' {
                        len += 1;
                    }
                    self.at += len;
                    return Some((rest.split_at(len).0, self.sections - 1));
                }
            }
        }
        None
    }
}

const fn count(text: &'static [u8]) -> usize {
    let mut list = List::new(text);
    let mut count = 0;
    while list.next().is_some() {
        count += 1;
    }
    count
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn the_sections_of_the_lists_are_the_variants() {
        let names = |list: &[u8]| {
            let list = std::str::from_utf8(list).unwrap();
            let lines = list.lines().filter_map(|line| line.strip_prefix('['));
            lines
                .map(|line| line.trim_end_matches(']').to_owned())
                .collect::<Vec<_>>()
        };
        assert_eq!(
            names(KEYWORD_LIST),
            CLASSES.map(|class| format!("{class:?}"))
        );
        assert_eq!(
            names(FUNCTION_LIST),
            MEANINGS.map(|meaning| format!("{meaning:?}"))
        );
    }

    #[test]
    fn words_are_found_in_any_case() {
        let select = Word::of(b"SeLeCt");
        assert_eq!(
            (select.keyword, select.class),
            (Keyword::Select, Class::Reserved)
        );
        let left = Word::of(b"LEFT");
        assert_eq!((left.class, left.meaning), (Class::Function, Meaning::Read));
        assert_eq!(Word::of(b"nextval").meaning, Meaning::Sequence);
        assert_eq!(Word::of(b"pg_stat_activity").meaning, Meaning::HostView);
        for unknown in [
            "",
            "nextva",
            "nextvall",
            "\u{7f}extval",
            "p\u{fc}",
            &"x".repeat(99),
        ] {
            assert_eq!(Word::of(unknown.as_bytes()), Word::UNKNOWN, "{unknown}");
        }
    }

    #[test]
    fn no_word_is_far_from_its_slot() {
        for entry in TABLE.entries.iter().filter(|entry| !entry.text.is_empty()) {
            let start = entry.key.slot();
            let found = (0..SLOTS).find(|step| {
                let index = TABLE.slots[(start + step) % SLOTS];
                TABLE.entries[index as usize - 1].text == entry.text
            });
            assert!(
                found.is_some_and(|steps| steps < 16),
                "{:?}",
                entry.text.escape_ascii()
            );
        }
    }
}
