//! Queues of records, laid out one after the other in chunks: what lies next to each other came one after the other,
//! so what a queue takes from its end leaves no holes behind.

use std::collections::VecDeque;

use super::record::{ALIGNMENT_BYTES, Record, kill};

/// Bits of an address.
pub(super) const ADDRESS_BITS: u32 = 29;

/// What all chunks of one arena can have together, as far as addresses reach: 2 GiB.
pub(super) const ARENA_BYTES_MAX: usize = ALIGNMENT_BYTES << ADDRESS_BITS;

/// Which queue.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) enum Place {
    /// Entries that have not proved themselves.
    Small,
    /// Entries that have.
    Main,
}

/// Chunks of bytes, and the addresses in them. An address is a chunk's number, and below it the place in the chunk, in
/// units of [`ALIGNMENT_BYTES`].
pub(super) struct Arena {
    chunks: Vec<Chunk>,
    /// Numbers that are free.
    free: Vec<u32>,
    /// Bits of the place in a chunk.
    shift: u32,
    held_bytes: usize,
}

struct Chunk {
    /// None while its number is free. As long as every other chunk, or else as long as the one record in it.
    bytes: Box<[u8]>,
    /// So many bytes have records in them.
    used: u32,
    place: Place,
}

impl Arena {
    /// An arena of chunks of `chunk_bytes`, a power of two.
    pub(super) fn new(chunk_bytes: usize) -> Self {
        Self { chunks: Vec::new(), free: Vec::new(), shift: (chunk_bytes / ALIGNMENT_BYTES).ilog2(), held_bytes: 0 }
    }

    /// The bytes of all chunks together.
    pub(super) fn held_bytes(&self) -> usize {
        self.held_bytes
    }

    pub(super) fn record(&self, address: u32) -> Record<'_> {
        let (chunk, at) = self.locate(address);
        Record(&self.chunks[chunk].bytes[at..])
    }

    /// Writes `record` over the one at `address`, which must be as long.
    pub(super) fn overwrite(&mut self, address: u32, record: &[u8]) {
        let (chunk, at) = self.locate(address);
        self.chunks[chunk].bytes[at..at + record.len()].copy_from_slice(record);
    }

    /// The queue of the record at `address`.
    pub(super) fn place(&self, address: u32) -> Place {
        self.chunks[self.locate(address).0].place
    }

    fn locate(&self, address: u32) -> (usize, usize) {
        let at = address & ((1 << self.shift) - 1);
        ((address >> self.shift) as usize, at as usize * ALIGNMENT_BYTES)
    }

    pub(super) fn chunk_bytes(&self) -> usize {
        ALIGNMENT_BYTES << self.shift
    }

    fn open(&mut self, place: Place, bytes: usize) -> u32 {
        self.held_bytes += bytes;
        let chunk = Chunk { bytes: vec![0; bytes].into(), used: 0, place };
        if let Some(number) = self.free.pop() {
            self.chunks[number as usize] = chunk;
            return number;
        }
        self.chunks.push(chunk);
        (self.chunks.len() - 1) as u32
    }

    fn close(&mut self, number: u32) {
        let chunk = std::mem::take(&mut self.chunks[number as usize].bytes);
        self.held_bytes -= chunk.len();
        self.free.push(number);
    }
}

/// A queue of records. Those taken out of its middle stay, as dead ones, until they come to its tail.
pub(super) struct Queue {
    place: Place,
    /// The newest at the back.
    chunks: VecDeque<u32>,
    /// Where the oldest record begins in the front chunk.
    tail: usize,
    bytes: usize,
    dead_bytes: usize,
}

impl Queue {
    pub(super) fn new(place: Place) -> Self {
        Self { place, chunks: VecDeque::new(), tail: 0, bytes: 0, dead_bytes: 0 }
    }

    /// The bytes of its records, dead ones included.
    pub(super) fn bytes(&self) -> usize {
        self.bytes
    }

    /// The bytes of its dead records.
    pub(super) fn dead_bytes(&self) -> usize {
        self.dead_bytes
    }

    /// How many more bytes the arena will hold after a push of a record of `len` bytes.
    pub(super) fn cost(&self, arena: &Arena, len: usize) -> usize {
        if self.has_room(arena, len) { 0 } else { len.max(arena.chunk_bytes()) }
    }

    /// Adds a record at the head and returns its address.
    pub(super) fn push(&mut self, arena: &mut Arena, record: &[u8]) -> u32 {
        if !self.has_room(arena, record.len()) {
            let number = arena.open(self.place, record.len().max(arena.chunk_bytes()));
            self.chunks.push_back(number);
        }
        let number = self.chunks[self.chunks.len() - 1];
        let chunk = &mut arena.chunks[number as usize];
        let at = chunk.used as usize;
        chunk.bytes[at..at + record.len()].copy_from_slice(record);
        chunk.used += record.len() as u32;
        self.bytes += record.len();
        (number << arena.shift) | (at / ALIGNMENT_BYTES) as u32
    }

    /// The address of the oldest record.
    pub(super) fn tail(&self, arena: &Arena) -> Option<u32> {
        self.chunks.front().map(|number| (number << arena.shift) | (self.tail / ALIGNMENT_BYTES) as u32)
    }

    /// Takes out the oldest record. There must be one.
    pub(super) fn pop(&mut self, arena: &mut Arena) {
        let number = self.chunks[0];
        let chunk = &arena.chunks[number as usize];
        let record = Record(&chunk.bytes[self.tail..]);
        let len = record.len();
        if record.is_dead() {
            self.dead_bytes -= len;
        }
        self.bytes -= len;
        self.tail += len;
        if self.tail == chunk.used as usize {
            arena.close(number);
            self.chunks.pop_front();
            self.tail = 0;
        }
    }

    /// Marks a record of this queue as dead.
    pub(super) fn kill(&mut self, arena: &mut Arena, address: u32) {
        self.dead_bytes += arena.record(address).len();
        let (chunk, at) = arena.locate(address);
        kill(&mut arena.chunks[chunk].bytes[at..]);
    }

    fn has_room(&self, arena: &Arena, len: usize) -> bool {
        self.chunks.back().is_some_and(|&number| {
            let chunk = &arena.chunks[number as usize];
            chunk.used as usize + len <= chunk.bytes.len()
        })
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::cache::{CachedLink, origins::Origins, record::encode};

    impl Queue {
        /// Visits what is alive, oldest first; returns the bytes of all records, and those of the dead ones.
        pub(in crate::cache) fn walk(&self, arena: &Arena, mut alive: impl FnMut(u32, Record<'_>)) -> (usize, usize) {
            let (mut bytes, mut dead_bytes, mut at) = (0, 0, self.tail);
            for &number in &self.chunks {
                let chunk = &arena.chunks[number as usize];
                assert!(chunk.place == self.place && at < chunk.used as usize);
                while at < chunk.used as usize {
                    let address = (number << arena.shift) | (at / ALIGNMENT_BYTES) as u32;
                    let record = arena.record(address);
                    if record.is_dead() {
                        dead_bytes += record.len();
                    } else {
                        alive(address, record);
                    }
                    bytes += record.len();
                    at += record.len();
                }
                at = 0;
            }
            (bytes, dead_bytes)
        }

        pub(in crate::cache) fn held_bytes(&self, arena: &Arena) -> usize {
            self.chunks.iter().map(|&number| arena.chunks[number as usize].bytes.len()).sum()
        }
    }

    fn record(number: u32, target_bytes: usize) -> Vec<u8> {
        let link = CachedLink::present(&number.to_le_bytes(), 1, 301, &vec![b't'; target_bytes], false);
        let mut record = Vec::new();
        encode(number, &link, &Origins::new(), &mut record);
        record
    }

    #[test]
    fn records_come_out_as_they_went_in_and_chunks_are_used_again() {
        let mut arena = Arena::new(256);
        let mut queues = [Queue::new(Place::Small), Queue::new(Place::Main)];
        let mut next = [0, 0];
        for number in 0..1000 {
            for (queue, next) in queues.iter_mut().zip(&mut next) {
                // Every thirteenth is longer than a chunk.
                let record = record(number, if number % 13 == 0 { 300 } else { number as usize % 50 });
                let (cost, held) = (queue.cost(&arena, record.len()), arena.held_bytes());
                let address = queue.push(&mut arena, &record);
                assert_eq!(arena.held_bytes(), held + cost);
                assert_eq!(arena.record(address).0[..record.len()], record);
                assert_eq!(arena.place(address), queue.place);
                while queue.bytes() > 1000 {
                    let oldest = arena.record(queue.tail(&arena).unwrap());
                    assert_eq!(oldest.hash(), *next);
                    *next += 1;
                    queue.pop(&mut arena);
                }
            }
        }
        assert!(arena.chunks.len() < 40, "{}", arena.chunks.len());
        for queue in &mut queues {
            while queue.tail(&arena).is_some() {
                queue.pop(&mut arena);
            }
            assert_eq!(queue.bytes(), 0);
        }
        assert_eq!((arena.held_bytes(), arena.free.len()), (0, arena.chunks.len()));
    }
}
