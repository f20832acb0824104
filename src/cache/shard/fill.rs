//! Putting in many links that nobody has asked for yet.

use super::{Place, Pointer, Record, Shard, spread};

/// What a short link takes together with all it needs.
const SHORT_LINK_BYTES: usize = 96;

impl Shard {
    /// Puts a link in by its record, in the place of an entry with its key if there is one, if nothing has to go for it; else
    /// false. The ghosts are not asked.
    pub(in crate::cache) fn insert_if_room(&mut self, hash: u32, record: &[u8]) -> bool {
        let cost = self.small.cost(&self.arena, record.len());
        // A table without room for one more doubles.
        let is_index_full = self.index.len() == self.index.capacity();
        let growth = if is_index_full { self.index.allocation_size() } else { 0 };
        let growth = growth + self.ghost.growth(self.ghosts());
        if self.bytes() + cost + growth > self.capacity_bytes {
            return false;
        }
        // A new one is known to fit, so nothing ages.
        if self.find(hash, Record(record).key()).is_none() {
            self.grow_index();
            self.add(hash, Place::Small, 0, record);
            return true;
        }
        self.scratch.clear();
        self.scratch.extend_from_slice(record);
        self.put_scratch(hash);
        true
    }

    /// Whether there is an entry of the key of this record. To ask for many at a time before they are put in has the
    /// processor fetch what that needs of the index for all of them at once.
    pub(in crate::cache) fn holds(&self, hash: u32, record: &[u8]) -> bool {
        self.find(hash, Record(record).key()).is_some()
    }

    /// Makes the index large enough for so many entries at once, so that it need not grow on the way, but no larger than
    /// what it would be if links were short.
    pub(in crate::cache) fn expect(&mut self, entries: usize) {
        let most = self.capacity_bytes / SHORT_LINK_BYTES;
        let more = entries.min(most).saturating_sub(self.index.len());
        let arena = &self.arena;
        self.index.reserve(more, |pointer: &Pointer| spread(arena.record(pointer.address()).hash()));
    }
}

#[cfg(test)]
mod tests {
    use std::sync::Arc;

    use crate::cache::CachedLink;
    use crate::cache::origins::Origins;
    use crate::cache::record::encode;
    use crate::cache::shard::Shard;

    const CAPACITY_BYTES: usize = 4 << 20;

    fn shard() -> Shard {
        Shard::new(CAPACITY_BYTES, Arc::new(Origins::new()))
    }

    fn key(hash: u32) -> [u8; 12] {
        let mut key = *b"a.example/..";
        key[8..].copy_from_slice(&hash.to_le_bytes());
        key
    }

    fn record(hash: u32, target: &[u8]) -> Vec<u8> {
        let mut record = Vec::new();
        encode(hash, &CachedLink::present(&key(hash), 7, 301, target, false), &Origins::new(), &mut record);
        record
    }

    #[test]
    fn what_was_expected_needs_no_larger_index() {
        let mut shard = shard();
        shard.expect(10_000);
        let index_bytes = shard.index.allocation_size();
        for hash in 0..10_000 {
            let record = record(hash, b"x");
            assert!(!shard.holds(hash, &record) && shard.insert_if_room(hash, &record) && shard.holds(hash, &record));
        }
        assert_eq!((shard.len(), shard.index.allocation_size()), (10_000, index_bytes));
        assert!(shard.get(77, &key(77)).is_some_and(|link| link.link().is_some_and(|link| link.target == b"x")));
    }

    #[test]
    fn the_index_never_takes_much_of_the_room_however_many_are_expected() {
        let mut shard = shard();
        shard.expect(usize::MAX);
        assert!(shard.bytes() < CAPACITY_BYTES / 8, "{}", shard.bytes());
    }

    #[test]
    fn one_that_is_there_is_replaced_by_what_may_be_longer() {
        let mut shard = shard();
        for target in [&b"x"[..], b"y", b"longer than before", b"z"] {
            assert!(shard.insert_if_room(5, &record(5, target)));
            assert_eq!(shard.len(), 1);
            assert!(shard.get(5, &key(5)).is_some_and(|link| link.link().is_some_and(|link| link.target == target)));
        }
    }
}
