//! Which names a client gave to its prepared statements.

use std::collections::VecDeque;
use std::sync::Arc;

use hashbrown::HashMap;

use crate::statement::Statement;

/// How many prepared statements a client may have at a time.
pub const NAMES_MAX: usize = 65_536;
/// Bytes of their texts together; that is what they keep in memory.
const BYTES_MAX: usize = 64 << 20;

/// Of how many names that are gone the client's spelling is kept for error messages.
const GONE_MAX: usize = 256;

/// A statement that a client prepared under a name.
#[derive(Debug, Clone)]
pub struct Named {
    /// What it is.
    pub statement: Arc<Statement>,
    /// In which lease of the client it was prepared.
    pub lease: u32,
    /// Number in the queue of replies of that lease's server connection.
    pub number: u64,
    /// Segment of that connection: what fails there takes all behind it along.
    pub segment: u64,
    /// Stands for the name in the queue of replies. Never 0.
    pub alias: u32,
}

/// The names of one client.
#[derive(Debug, Default)]
pub struct Names {
    entries: HashMap<Box<[u8]>, Named, foldhash::fast::RandomState>,
    /// Invariant: sum of the sizes of `entries`.
    bytes: usize,
    /// Names that are no more, or never were, while an error message may still be about them; the
    /// last [`GONE_MAX`] of them.
    gone: VecDeque<(u32, Box<[u8]>)>,
    aliases: u32,
}

fn size(name: &[u8], named: &Named) -> usize {
    name.len() + named.statement.text().len() + named.statement.types().len()
}

impl Names {
    /// How many there are.
    pub fn len(&self) -> usize {
        self.entries.len()
    }

    /// Whether there are none.
    pub fn is_empty(&self) -> bool {
        self.entries.is_empty()
    }

    /// Whether the client has as many as it may have.
    pub fn is_full(&self) -> bool {
        self.entries.len() >= NAMES_MAX || self.bytes >= BYTES_MAX
    }

    /// What a name stands for.
    pub fn find(&self, name: &[u8]) -> Option<&Named> {
        self.entries.get(name)
    }

    /// The same, to be changed.
    pub fn find_mut(&mut self, name: &[u8]) -> Option<&mut Named> {
        self.entries.get_mut(name)
    }

    /// A number to stand for a name in the queue of replies.
    pub fn new_alias(&mut self) -> u32 {
        self.aliases = self.aliases.wrapping_add(1).max(1);
        self.aliases
    }

    /// Makes a name stand for `named`, or for nothing; gives what it stood for.
    pub fn replace(&mut self, name: &[u8], named: Option<Named>) -> Option<Named> {
        let old = match named {
            Some(named) => {
                self.bytes += size(name, &named);
                self.entries.insert(name.into(), named)
            }
            None => self.entries.remove(name),
        };
        if let Some(old) = &old {
            self.bytes -= size(name, old);
            self.remember(old.alias, name);
        }
        old
    }

    /// Keeps a name for error messages.
    pub fn remember(&mut self, alias: u32, name: &[u8]) {
        remember(&mut self.gone, alias, name.into());
    }

    /// No message can be about a name that is gone any more.
    pub fn forget_gone(&mut self) {
        self.gone.clear();
    }

    /// Lets go of all names that `keep` does not want.
    pub fn retain(&mut self, keep: impl Fn(&Named) -> bool) {
        let (gone, bytes) = (&mut self.gone, &mut self.bytes);
        self.entries.retain(|name, named| {
            let kept = keep(named);
            if !kept {
                *bytes -= size(name, named);
                remember(gone, named.alias, name.clone());
            }
            kept
        });
    }

    /// The name that an alias stands for.
    pub fn name_of(&self, alias: u32) -> Option<&[u8]> {
        let gone = || self.gone.iter().find(|(other, _)| *other == alias);
        let mut entries = self.entries.iter();
        entries
            .find(|(_, named)| named.alias == alias)
            .map(|(name, _)| &**name)
            .or_else(|| gone().map(|(_, name)| &**name))
    }
}

fn remember(gone: &mut VecDeque<(u32, Box<[u8]>)>, alias: u32, name: Box<[u8]>) {
    if gone.len() == GONE_MAX {
        gone.pop_front();
    }
    gone.push_back((alias, name));
}

/// Puts `name` where `text` has the statement name `ours`; `None` when it does not have it.
pub(crate) fn rename(text: &[u8], ours: &[u8], name: &[u8]) -> Option<Vec<u8>> {
    let mut out = Vec::new();
    let mut copied = 0;
    for at in memchr::memmem::find_iter(text, ours) {
        let end = at + ours.len();
        // Not the front of a longer number.
        if text.get(end).is_some_and(u8::is_ascii_digit) {
            continue;
        }
        out.extend_from_slice(&text[copied..at]);
        out.extend_from_slice(name);
        copied = end;
    }
    if copied == 0 {
        return None;
    }
    out.extend_from_slice(&text[copied..]);
    Some(out)
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::statement::Statements;

    fn named(store: &Statements, text: &[u8], alias: u32) -> Named {
        Named {
            statement: store.intern(text, b"", |_| false),
            lease: 1,
            number: 0,
            segment: 0,
            alias,
        }
    }

    #[test]
    fn a_name_is_known_to_error_messages_after_it_is_gone() {
        let store = Statements::new(1);
        let mut names = Names::default();
        names.replace(b"a", Some(named(&store, b"x", 1)));
        names.replace(b"b", Some(named(&store, b"x", 2)));
        assert_eq!(
            (names.name_of(1), names.name_of(2)),
            (Some(&b"a"[..]), Some(&b"b"[..]))
        );
        names.replace(b"a", None);
        assert_eq!((names.len(), names.name_of(1)), (1, Some(&b"a"[..])));
        names.forget_gone();
        assert_eq!(names.name_of(1), None);
    }

    #[test]
    fn names_have_a_bound_in_bytes() {
        let store = Statements::new(1);
        let mut names = Names::default();
        names.replace(b"a", Some(named(&store, b"text", 1)));
        names.replace(b"b", Some(named(&store, b"text", 2)));
        assert_eq!((names.bytes, names.is_full()), (10, false));
        names.bytes += BYTES_MAX;
        assert!(names.is_full());
        names.bytes -= BYTES_MAX;
        names.retain(|named| named.alias != 1);
        names.replace(b"b", None);
        assert_eq!((names.bytes, names.is_empty()), (0, true));
        for alias in 0..1000 {
            names.remember(alias, b"gone");
        }
        assert_eq!(names.gone.len(), GONE_MAX);
    }
}
