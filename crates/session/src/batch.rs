//! What one pass over a read buffer gives to be written: mostly the very bytes that were read.
//!
//! A batch names ranges of the input and pieces of our own in the order in which they must be
//! written. It copies nothing of the input; its two vectors are reused from pass to pass.

use std::ops::Range;

#[derive(Debug, Clone, Copy)]
enum Piece {
    /// Bytes of the input buffer.
    Input { start: u32, end: u32 },
    /// Bytes of `Batch::own`.
    Own { start: u32, end: u32 },
}

/// An ordered list of pieces for one direction.
#[derive(Debug, Default)]
pub struct Batch {
    pieces: Vec<Piece>,
    own: Vec<u8>,
    /// Invariant: the sum of the lengths of `pieces`.
    len: usize,
}

impl Batch {
    /// An empty batch.
    pub fn new() -> Self {
        Self::default()
    }

    /// Bytes in all pieces together.
    pub fn len(&self) -> usize {
        self.len
    }

    /// Whether there is nothing to write.
    pub fn is_empty(&self) -> bool {
        self.len == 0
    }

    /// Forgets the pieces, keeps the memory.
    pub fn clear(&mut self) {
        self.pieces.clear();
        self.own.clear();
        self.len = 0;
        // One huge statement must not be paid for ever after.
        if self.own.capacity() > 1 << 20 {
            self.own = Vec::new();
        }
    }

    /// Appends bytes of the input; a range that continues the last one becomes part of it.
    #[inline]
    pub fn input(&mut self, range: Range<usize>) {
        if range.is_empty() {
            return;
        }
        self.len += range.len();
        let (from, to) = (range.start as u32, range.end as u32);
        if let Some(Piece::Input { end, .. }) = self.pieces.last_mut()
            && *end == from
        {
            *end = to;
            return;
        }
        self.pieces.push(Piece::Input {
            start: from,
            end: to,
        });
    }

    /// Appends bytes of our own, written by `write` to the end of a vector.
    pub fn own(&mut self, write: impl FnOnce(&mut Vec<u8>)) {
        let from = self.own.len();
        write(&mut self.own);
        let to = self.own.len();
        self.len += to - from;
        if from == to {
            return;
        }
        if let Some(Piece::Own { end, .. }) = self.pieces.last_mut()
            && *end as usize == from
        {
            *end = to as u32;
            return;
        }
        self.pieces.push(Piece::Own {
            start: from as u32,
            end: to as u32,
        });
    }

    /// The pieces as slices, in order; `input` is the buffer that the ranges were taken from.
    pub fn slices<'a>(&'a self, input: &'a [u8]) -> impl Iterator<Item = &'a [u8]> {
        self.pieces.iter().map(move |piece| match *piece {
            Piece::Input { start, end } => &input[start as usize..end as usize],
            Piece::Own { start, end } => &self.own[start as usize..end as usize],
        })
    }

    /// The only slice, when there is just one: the common case, written with one plain `write`.
    pub fn single<'a>(&'a self, input: &'a [u8]) -> Option<&'a [u8]> {
        if self.pieces.len() == 1 {
            self.slices(input).next()
        } else {
            None
        }
    }

    /// Copies what lies behind the first `skip` bytes to the end of `to`.
    pub fn copy_after(&self, input: &[u8], mut skip: usize, to: &mut Vec<u8>) {
        for slice in self.slices(input) {
            if skip >= slice.len() {
                skip -= slice.len();
            } else {
                to.extend_from_slice(&slice[skip..]);
                skip = 0;
            }
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn neighbours_become_one_piece() {
        let input = b"abcdefgh";
        let mut batch = Batch::new();
        batch.input(0..2);
        batch.input(2..4);
        assert_eq!(batch.single(input), Some(&b"abcd"[..]));
        batch.own(|own| own.extend_from_slice(b"12"));
        batch.own(|own| own.extend_from_slice(b"34"));
        batch.input(6..8);
        let slices: Vec<_> = batch.slices(input).collect();
        assert_eq!(slices, [&b"abcd"[..], b"1234", b"gh"]);
        assert_eq!(batch.len(), 10);
        let mut rest = Vec::new();
        batch.copy_after(input, 5, &mut rest);
        assert_eq!(rest, b"234gh");
    }
}
