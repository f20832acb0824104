//! A vector that never moves what it holds.

use std::ops::{Index, IndexMut};

/// Elements in a chunk, a power of two. 256 slots of 24 bytes fill a size class of the allocator exactly.
const CHUNK: usize = 256;

/// A vector in chunks: growing it needs no second copy for a moment, leaves no hole behind in the heap, and has at
/// most a chunk of slack.
pub(super) struct Chunked<T> {
    chunks: Vec<Box<[T; CHUNK]>>,
    len: usize,
}

impl<T: Default> Chunked<T> {
    pub(super) fn new() -> Self {
        Self { chunks: Vec::new(), len: 0 }
    }

    #[cfg(test)]
    pub(super) fn len(&self) -> usize {
        self.len
    }

    /// Appends `value` and returns its index.
    pub(super) fn push(&mut self, value: T) -> u32 {
        if self.len == self.chunks.len() * CHUNK {
            self.chunks.push(Box::new(std::array::from_fn(|_| T::default())));
        }
        let index = u32::try_from(self.len).expect("a shard holds fewer than 2^32 entries");
        self.len += 1;
        self[index] = value;
        index
    }
}

impl<T> Index<u32> for Chunked<T> {
    type Output = T;

    fn index(&self, index: u32) -> &T {
        &self.chunks[index as usize / CHUNK][index as usize % CHUNK]
    }
}

impl<T> IndexMut<u32> for Chunked<T> {
    fn index_mut(&mut self, index: u32) -> &mut T {
        &mut self.chunks[index as usize / CHUNK][index as usize % CHUNK]
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn keeps_what_is_pushed_across_chunks() {
        let mut chunked = Chunked::new();
        for value in 0..1000_u32 {
            assert_eq!(chunked.push(value * 3), value);
        }
        assert_eq!(chunked.chunks.len(), 4);
        assert!((0..1000).all(|index| chunked[index] == index * 3));
        chunked[999] = 7;
        assert_eq!(chunked[999], 7);
    }
}
