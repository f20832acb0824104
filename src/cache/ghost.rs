//! Which keys were evicted lately: two bytes a key, no keys kept.

/// Most fingerprints in a bucket: one cache line.
const WAYS: usize = 32;

/// A bounded memory of hashes, the oldest forgotten first.
///
/// The first in, first out order is kept within buckets, not overall, which saves a queue and an index. It may
/// claim to remember a hash it never saw (about once in 2,000 times): that costs a place in the cache, never a
/// wrong answer.
pub(super) struct Ghost {
    /// Newest first. 0 is an empty place.
    buckets: Vec<[u16; WAYS]>,
    /// So many of each bucket are in use, which makes the size exact.
    ways: usize,
}

impl Ghost {
    pub(super) fn new() -> Self {
        Self { buckets: vec![[0; WAYS]], ways: 1 }
    }

    /// Remembers `entries` hashes from now on, rounded down to a whole number in each bucket. The memory never shrinks.
    pub(super) fn resize(&mut self, entries: usize) {
        while self.buckets.len() * WAYS < entries {
            // Every hash is now in both buckets it may belong to; the wrong one of the two is pushed out in time.
            self.buckets.reserve_exact(self.buckets.len());
            self.buckets.extend_from_within(..);
        }
        self.ways = (entries >> self.buckets.len().ilog2()).clamp(1, WAYS);
    }

    /// How many bytes more it keeps resident once it is [resized](Self::resize).
    pub(super) fn growth(&self, entries: usize) -> usize {
        let buckets = entries.div_ceil(WAYS).next_power_of_two();
        buckets.saturating_sub(self.buckets.len()) * size_of::<[u16; WAYS]>()
    }

    /// What it keeps resident, but for the bucket it begins with.
    pub(super) fn bytes(&self) -> usize {
        (self.buckets.len() - 1) * size_of::<[u16; WAYS]>()
    }

    pub(super) fn insert(&mut self, hash: u32) {
        let (bucket, fingerprint) = self.locate(hash);
        bucket.copy_within(..bucket.len() - 1, 1);
        bucket[0] = fingerprint;
    }

    /// Forgets `hash`, and says whether it was remembered.
    pub(super) fn remove(&mut self, hash: u32) -> bool {
        let (bucket, fingerprint) = self.locate(hash);
        let Some(place) = bucket.iter().position(|&f| f == fingerprint) else { return false };
        bucket.copy_within(place + 1.., place);
        bucket[bucket.len() - 1] = 0;
        true
    }

    fn locate(&mut self, hash: u32) -> (&mut [u16], u16) {
        // The number of buckets is a power of two. 2^16 buckets are more than any shard needs; above that the
        // bits would overlap, and the fingerprints would tell less apart.
        let bucket = hash as usize & (self.buckets.len() - 1);
        (&mut self.buckets[bucket][..self.ways], ((hash >> 16) as u16).max(1))
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn remembers_what_came_last_and_forgets_what_came_first() {
        let mut ghost = Ghost::new();
        ghost.resize(WAYS);
        let hashes: Vec<u32> = (1..=WAYS as u32 + 1).map(|i| i << 16).collect();
        hashes.iter().for_each(|&h| ghost.insert(h));
        assert!(!ghost.remove(hashes[0]));
        assert!(hashes[1..].iter().all(|&h| ghost.remove(h)));
        assert!(!ghost.remove(hashes[1]), "a hash is remembered once");
    }

    #[test]
    fn growing_keeps_what_is_remembered() {
        let mut ghost = Ghost::new();
        ghost.resize(1);
        ghost.insert(0xabcd_ef01);
        ghost.resize(10 * WAYS);
        assert_eq!(ghost.buckets.len(), 16);
        assert!(ghost.remove(0xabcd_ef01));
    }

    #[test]
    fn how_much_it_will_grow_is_known() {
        let mut ghost = Ghost::new();
        for entries in [0, 1, WAYS, WAYS + 1, 2 * WAYS, 10 * WAYS, 3 * WAYS, 16 * WAYS + 1] {
            let (before, growth) = (ghost.bytes(), ghost.growth(entries));
            ghost.resize(entries);
            assert_eq!(ghost.bytes() - before, growth, "{entries}");
        }
        assert!(ghost.bytes() > 16 * size_of::<[u16; WAYS]>());
    }
}
