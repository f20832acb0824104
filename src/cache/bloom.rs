//! A blocked Bloom filter: all bits of a key lie in one cache line, so that a look costs one memory access (Putze,
//! Sanders and Singler, "Cache-, hash- and space-efficient Bloom filters", WEA 2007), and one in each word of the line
//! (Lang et al., "Performance-optimal filtering", VLDB 2019), so that they need no further hash.

use std::sync::atomic::{AtomicU64, Ordering::Relaxed};

/// Words of a line, which are also the bits of a key.
const LINE_WORDS: usize = 8;

/// Bits for each key that the filter is made for: with eight set for each, one in 10,000 others is taken for one of them.
const BITS_PER_KEY: u64 = 24;

/// Bits that name a bit of a word.
const WORD_SHIFT: usize = u64::BITS.ilog2() as usize;

const LINE_BITS: u64 = LINE_WORDS as u64 * u64::BITS as u64;

#[derive(Default)]
#[repr(align(64))]
struct Line([AtomicU64; LINE_WORDS]);

/// A set of keys, by their hashes, that is never wrong about a key that is in it, and seldom about one that is not.
///
/// Threads may add and look at the same time. Whoever looks after an addition sees it, where "after" is by whatever
/// else orders the two.
pub(super) struct BlockedBloom {
    lines: Box<[Line]>,
    capacity: u64,
}

impl BlockedBloom {
    /// A filter for so many keys. It takes more, and is then wrong more often.
    pub(super) fn with_capacity(keys: u64) -> Self {
        let lines = keys.saturating_mul(BITS_PER_KEY).div_ceil(LINE_BITS).max(1);
        let lines = usize::try_from(lines).unwrap_or(usize::MAX);
        Self { lines: std::iter::repeat_with(Line::default).take(lines).collect(), capacity: keys }
    }

    /// For how many keys it was made.
    pub(super) fn capacity(&self) -> u64 {
        self.capacity
    }

    /// What it takes in memory.
    pub(super) fn bytes(&self) -> usize {
        size_of_val(&*self.lines)
    }

    /// Adds the key of this hash. False if it is taken for one that is there already.
    pub(super) fn add(&self, hash: u64) -> bool {
        let mut is_new = false;
        for (word, bit) in self.bits(hash) {
            // A bit that is set is left alone: to set it again would take the line from the cores that look at it.
            if word.load(Relaxed) & bit == 0 {
                word.fetch_or(bit, Relaxed);
                is_new = true;
            }
        }
        is_new
    }

    /// Adds many keys: faster than one by one where the filter is larger than the core's caches.
    pub(super) fn add_all(&self, hashes: &[u64]) {
        // Setting a bit waits for its line, and lets nothing else go on meanwhile. Reading does not: so the lines are
        // fetched first, all at a time.
        let present = hashes.iter().filter(|&&hash| self.may_hold(hash)).count();
        if present < hashes.len() {
            hashes.iter().for_each(|&hash| {
                self.add(hash);
            });
        }
    }

    /// Whether the key of this hash may be there. If not, it certainly is not.
    pub(super) fn may_hold(&self, hash: u64) -> bool {
        self.bits(hash).all(|(word, bit)| word.load(Relaxed) & bit != 0)
    }

    /// The line comes from the high bits of the hash, the bits in it from all bits, mixed anew.
    fn bits(&self, hash: u64) -> impl Iterator<Item = (&AtomicU64, u64)> {
        let line = (u128::from(hash) * self.lines.len() as u128) >> u64::BITS;
        // Fibonacci hashing; its high bits are the good ones.
        let mixed = hash.wrapping_mul(0x9e37_79b9_7f4a_7c15) >> (u64::BITS as usize - LINE_WORDS * WORD_SHIFT);
        let words = self.lines[line as usize].0.iter().enumerate();
        words.map(move |(index, word)| (word, 1 << (mixed >> (index * WORD_SHIFT) & (u64::from(u64::BITS) - 1))))
    }
}

#[cfg(test)]
mod tests {
    use ahash::RandomState;
    use proptest::prelude::*;

    use super::*;

    fn hashes(keys: std::ops::Range<u64>) -> impl Iterator<Item = u64> {
        let hasher = RandomState::with_seeds(1, 2, 3, 4);
        keys.map(move |key| hasher.hash_one(key))
    }

    fn wrong_per_100_000(bloom: &BlockedBloom) -> usize {
        hashes(1 << 40..(1 << 40) + 100_000).filter(|&hash| bloom.may_hold(hash)).count()
    }

    #[test]
    fn it_takes_few_other_keys_for_its_own() {
        for keys in [1_000, 100_000] {
            let bloom = BlockedBloom::with_capacity(keys);
            for hash in hashes(0..keys) {
                bloom.add(hash);
            }
            assert!(hashes(0..keys).all(|hash| bloom.may_hold(hash)));
            let wrong = wrong_per_100_000(&bloom);
            assert!(wrong <= 20, "{wrong} of 100,000 with {keys} keys");
        }
    }

    #[test]
    fn with_twice_as_many_keys_as_it_is_made_for_it_still_tells_most_apart() {
        let bloom = BlockedBloom::with_capacity(50_000);
        let new = hashes(0..100_000).filter(|&hash| bloom.add(hash)).count();
        assert!((99_500..=100_000).contains(&new), "{new}");
        let wrong = wrong_per_100_000(&bloom);
        assert!((100..1_500).contains(&wrong), "{wrong} of 100,000");
    }

    #[test]
    fn it_takes_three_bytes_a_key_and_one_line_at_least() {
        assert_eq!(BlockedBloom::with_capacity(0).bytes(), 64);
        assert_eq!(BlockedBloom::with_capacity(10_000_000).bytes(), 30_000_000);
    }

    #[test]
    fn an_empty_one_holds_nothing_and_knows_what_is_new() {
        let bloom = BlockedBloom::with_capacity(100);
        assert!(hashes(0..1_000).all(|hash| !bloom.may_hold(hash)));
        assert!(bloom.add(7) && !bloom.add(7));
    }

    proptest! {
        #[test]
        fn whatever_was_added_is_held(capacity in 0_u64..300, hashes in prop::collection::vec(any::<u64>(), 0..300)) {
            let bloom = BlockedBloom::with_capacity(capacity);
            let (some, others) = hashes.split_at(hashes.len() / 2);
            bloom.add_all(some);
            for &hash in others {
                bloom.add(hash);
            }
            prop_assert!(hashes.iter().all(|&hash| bloom.may_hold(hash)));
        }
    }
}
