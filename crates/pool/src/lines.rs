//! Things in the order in which they came: all in one line, and each also in the line of its worker.
//!
//! Whatever stands anywhere in a line is found, taken out and put in without a search and, once the
//! line has been as long before, without an allocation.

use std::iter;

use slab::Slab;

use crate::token::WorkerId;

/// Where something stands, until it is taken out.
pub(crate) type Key = u32;

const NONE: Key = Key::MAX;

/// Which of the two lines that everything stands in.
const ALL: usize = 0;
const OWN: usize = 1;

#[derive(Debug, Clone, Copy)]
struct Ends {
    front: Key,
    back: Key,
}

impl Ends {
    const EMPTY: Self = Self {
        front: NONE,
        back: NONE,
    };
}

#[derive(Debug, Clone, Copy)]
struct Link {
    before: Key,
    behind: Key,
}

#[derive(Debug)]
struct Node<T> {
    value: T,
    worker: WorkerId,
    links: [Link; 2],
}

/// See the module.
///
/// Invariant: each node is in the line of all and in that of its worker, once, in the same order.
#[derive(Debug)]
pub(crate) struct Lines<T> {
    nodes: Slab<Node<T>>,
    all: Ends,
    /// By worker; as long as the highest worker that something came from asks for.
    own: Vec<Ends>,
}

impl<T> Lines<T> {
    pub(crate) fn new(workers: u16) -> Self {
        Self {
            nodes: Slab::new(),
            all: Ends::EMPTY,
            own: vec![Ends::EMPTY; usize::from(workers)],
        }
    }

    pub(crate) fn len(&self) -> u32 {
        self.nodes.len() as u32
    }

    pub(crate) fn is_empty(&self) -> bool {
        self.nodes.is_empty()
    }

    pub(crate) fn get(&self, key: Key) -> Option<&T> {
        self.nodes.get(key as usize).map(|node| &node.value)
    }

    /// Who came first.
    pub(crate) fn front(&self) -> Option<Key> {
        some(self.all.front)
    }

    /// Who came last.
    pub(crate) fn back(&self) -> Option<Key> {
        some(self.all.back)
    }

    /// Who came first of those of a worker.
    pub(crate) fn front_of(&self, worker: WorkerId) -> Option<Key> {
        some(self.own.get(usize::from(worker.0))?.front)
    }

    /// Who came last of those of a worker.
    pub(crate) fn back_of(&self, worker: WorkerId) -> Option<Key> {
        some(self.own.get(usize::from(worker.0))?.back)
    }

    /// All, the first first.
    pub(crate) fn iter(&self) -> impl Iterator<Item = (Key, &T)> {
        iter::successors(self.front(), |key| {
            some(self.nodes[*key as usize].links[ALL].behind)
        })
        .map(|key| (key, &self.nodes[key as usize].value))
    }

    pub(crate) fn push_back(&mut self, worker: WorkerId, value: T) -> Key {
        let at = usize::from(worker.0);
        if at >= self.own.len() {
            self.own.resize(at + 1, Ends::EMPTY);
        }
        let links = [self.all.back, self.own[at].back].map(|before| Link {
            before,
            behind: NONE,
        });
        let key = self.nodes.insert(Node {
            value,
            worker,
            links,
        }) as Key;
        for (which, link) in links.into_iter().enumerate() {
            match some(link.before) {
                Some(before) => self.nodes[before as usize].links[which].behind = key,
                None => self.ends(which, worker).front = key,
            }
            self.ends(which, worker).back = key;
        }
        key
    }

    /// # Panics
    /// When nothing stands there.
    pub(crate) fn remove(&mut self, key: Key) -> T {
        let Node {
            value,
            worker,
            links,
        } = self.nodes.remove(key as usize);
        for (which, Link { before, behind }) in links.into_iter().enumerate() {
            match some(before) {
                Some(before) => self.nodes[before as usize].links[which].behind = behind,
                None => self.ends(which, worker).front = behind,
            }
            match some(behind) {
                Some(behind) => self.nodes[behind as usize].links[which].before = before,
                None => self.ends(which, worker).back = before,
            }
        }
        value
    }

    fn ends(&mut self, which: usize, worker: WorkerId) -> &mut Ends {
        match which {
            OWN => &mut self.own[usize::from(worker.0)],
            _ => &mut self.all,
        }
    }
}

fn some(key: Key) -> Option<Key> {
    (key != NONE).then_some(key)
}

#[cfg(test)]
mod tests {
    use std::collections::VecDeque;

    use proptest::prelude::*;

    use super::*;

    proptest! {
        #[test]
        fn lines_are_what_a_list_would_be(
            ops in prop::collection::vec((0..5u16, any::<prop::sample::Index>()), 0..200)
        ) {
            let mut lines = Lines::new(1);
            let mut model: VecDeque<(Key, u16, usize)> = VecDeque::new();
            for (number, (op, which)) in ops.into_iter().enumerate() {
                if op < 3 {
                    model.push_back((lines.push_back(WorkerId(op), number), op, number));
                } else if !model.is_empty() {
                    let (key, _, value) = model.remove(which.index(model.len())).expect("within");
                    prop_assert_eq!(lines.remove(key), value);
                    prop_assert_eq!(lines.get(key), None);
                }
                let all: Vec<_> = lines.iter().map(|(key, value)| (key, *value)).collect();
                let expected: Vec<_> = model.iter().map(|(key, _, value)| (*key, *value)).collect();
                prop_assert_eq!(all, expected);
                prop_assert_eq!(lines.len() as usize, model.len());
                prop_assert_eq!(lines.back(), model.back().map(|(key, ..)| *key));
                for worker in 0..4 {
                    let mut own = model.iter().filter(|(_, of, _)| *of == worker).map(|(key, ..)| *key);
                    prop_assert_eq!(lines.front_of(WorkerId(worker)), own.clone().next());
                    prop_assert_eq!(lines.back_of(WorkerId(worker)), own.next_back());
                }
            }
        }
    }
}
