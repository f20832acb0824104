//! The cache all workers share, and the stamps that keep every cache coherent.

use std::hint::black_box;
use std::sync::{
    Arc,
    atomic::Ordering::{Acquire, Relaxed, Release},
};

use ahash::RandomState;

use super::{
    bulk::WaitingRecords,
    entry::CachedLink,
    origins::Origins,
    shard::Shard,
    sync::{AtomicU64, Lock},
};

/// Most shards; a power of two. Enough that the workers of one machine seldom meet at one.
const SHARDS_MAX: usize = 64;

/// A shard is worth its lock from this size on, and holds any link there can be.
const SHARD_BYTES_MIN: usize = 256 * 1024;

/// Stripes; a power of two, at least [`SHARDS_MAX`]. The more, the fewer links a change makes the workers look
/// up again: one in 4,096.
const STRIPES: usize = 4096;

/// The version of a stripe of keys at some moment.
///
/// Whoever holds one can ask later whether any link of the stripe may have changed since.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Stamp(u64);

/// The stamps of all stripes, one after the other taken before something was looked up for any of them.
#[derive(Debug)]
pub(super) struct Stamps(Box<[Stamp]>);

impl Stamps {
    /// That of the stripe of this hash.
    pub(super) fn of(&self, hash: u64) -> Stamp {
        self.0[stripe_of(hash)]
    }
}

/// What the shared cache holds, summed over its shards one after the other.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub struct SharedStats {
    /// Entries, negative ones included.
    pub entries: usize,
    /// What they keep resident, in bytes: the chunks they are in, and their share of the index and the ghosts.
    pub bytes: usize,
    /// Entries evicted to make room since the start.
    pub evictions: u64,
}

/// The shared cache (L2): bounded in bytes, resistant to scans, one lock a shard.
pub struct SharedCache {
    hasher: RandomState,
    stripes: Box<[AtomicU64]>,
    shards: Box<[Padded]>,
    /// Of all shards.
    origins: Arc<Origins>,
}

/// On its own cache lines, so that one shard's lock does not slow the next.
#[repr(align(128))]
struct Padded(Lock<Shard>);

impl SharedCache {
    /// A cache that keeps at most `capacity_bytes` resident with all that it needs for its entries: about as many of
    /// them as have that [weight](CachedLink::weight) together. It makes use of 128 GiB at most.
    pub fn new(capacity_bytes: usize) -> Self {
        let wanted = (capacity_bytes / SHARD_BYTES_MIN).clamp(1, SHARDS_MAX);
        let shards = 1 << wanted.ilog2();
        let origins = Arc::new(Origins::new());
        let shard = || Padded(Lock::new(Shard::new(capacity_bytes / shards, Arc::clone(&origins))));
        Self {
            hasher: RandomState::new(),
            stripes: (0..STRIPES).map(|_| AtomicU64::new(0)).collect(),
            shards: std::iter::repeat_with(shard).take(shards).collect(),
            origins,
        }
    }

    /// The hash of a key, the one all calls of both caches take. Its seed differs from process to process, so
    /// that nobody can choose keys that collide.
    pub fn hash(&self, key: &[u8]) -> u64 {
        self.hasher.hash_one(key)
    }

    /// The stamp of the stripe of this hash.
    ///
    /// Take it *before* looking at this cache or at the store: what is found after may then be kept under it.
    pub fn stamp(&self, hash: u64) -> Stamp {
        // I5: Acquire, so that who sees a change's stamp also sees the store as it is after that change.
        Stamp(self.stripe(hash).load(Acquire))
    }

    /// The stamps of all stripes, for who looks up a lot. The same holds for each of them.
    pub(super) fn stamps(&self) -> Stamps {
        Stamps(self.stripes.iter().map(|stripe| Stamp(stripe.load(Acquire))).collect())
    }

    /// Whether nothing in the stripe of this hash has changed since `stamp` was taken.
    ///
    /// A request that joins a store read already in flight for another request must ask this first, with the stamp
    /// the flight took: the read may have passed the store before a change that was acknowledged before this
    /// request came. If it has moved, start a read of its own.
    pub fn is_current(&self, hash: u64, stamp: Stamp) -> bool {
        self.stamp(hash) == stamp
    }

    /// A copy of the entry of this key, if it is cached: one allocation.
    pub fn get(&self, hash: u64, key: &[u8]) -> Option<CachedLink> {
        self.shard(hash).read().get(hash as u32, key)
    }

    /// Keeps what a reader found in the store, and returns true; or drops it and returns false, if the stripe has
    /// moved since `stamp` was taken.
    ///
    /// `stamp` must have been taken before the store was read. What is dropped may still answer the request it was
    /// read for, because that request came before the change was acknowledged.
    pub fn fill(&self, hash: u64, stamp: Stamp, link: CachedLink) -> bool {
        let mut shard = self.shard(hash).write();
        // I5: the stamp moves only under this lock. If it has not moved, the change that would make this link old
        // has its `replace` yet to come, and that will find it.
        if self.stripe(hash).load(Relaxed) != stamp.0 {
            return false;
        }
        shard.insert(hash as u32, &link);
        true
    }

    /// The same for links of one shard that nobody has asked for yet: they push nothing out. How many came in, without entries
    /// that have no link, and whether there was room for all.
    pub(super) fn fill_shard(&self, shard: usize, stamps: &Stamps, waiting: &WaitingRecords) -> (u64, bool) {
        let mut shard = self.shards[shard].0.write();
        let (mut links, mut has_room) = (0, true);
        // For the sake of the processor's caches only; a compiler must not see that nothing comes of it.
        black_box(waiting.iter().filter(|(head, record)| shard.holds(head.hash as u32, record)).count());
        for (head, record) in waiting.iter() {
            // I5: as in `fill`.
            if self.stripe(head.hash).load(Relaxed) == stamps.of(head.hash).0 {
                match shard.insert_if_room(head.hash as u32, record) {
                    true => links += u64::from(head.is_link),
                    false => has_room = false,
                }
            }
        }
        (links, has_room)
    }

    /// Makes room in the indexes for so many entries in all: less is done then while they come.
    pub fn expect(&self, entries: u64) {
        let each = usize::try_from(entries).unwrap_or(usize::MAX) / self.shards.len();
        // No shard has exactly its part.
        self.shards.iter().for_each(|shard| shard.0.write().expect(each.saturating_add(each / 16)));
    }

    pub(super) fn origins(&self) -> &Origins {
        &self.origins
    }

    /// The writer's call for each key it changed: after it applied the change to the store, before it acknowledges.
    ///
    /// If the key is cached, its entry becomes `link`, or goes if that is `None`. If not, nothing is added: most
    /// links that change are not being read. `link`, if given, must have this key.
    pub fn replace(&self, hash: u64, key: &[u8], link: Option<CachedLink>) {
        debug_assert!(link.as_ref().is_none_or(|l| l.key() == key));
        let mut shard = self.shard(hash).write();
        // I5: under the lock, so that no fill falls between the two steps; the stamp first, so that who sees the new
        // one waits here for the new entry; Release, so that they see the store behind it.
        self.stripe(hash).fetch_add(1, Release);
        match link {
            Some(link) => shard.replace(hash as u32, &link),
            None => shard.remove(hash as u32, key),
        }
    }

    /// Forgets everything: nothing that is cached or being read is known to be current any more.
    pub fn clear(&self) {
        for (index, shard) in self.shards.iter().enumerate() {
            let mut shard = shard.0.write();
            // As in `replace`, for all stripes that lie in this shard.
            for stripe in self.stripes.iter().skip(index).step_by(self.shards.len()) {
                stripe.fetch_add(1, Release);
            }
            shard.clear();
        }
    }

    /// What is cached now. Takes the shards' locks one by one.
    pub fn stats(&self) -> SharedStats {
        self.shards.iter().fold(SharedStats::default(), |sum, shard| {
            let shard = shard.0.read();
            SharedStats {
                entries: sum.entries + shard.len(),
                bytes: sum.bytes + shard.bytes(),
                evictions: sum.evictions + shard.evictions(),
            }
        })
    }

    /// How many shards there are.
    pub(super) fn shards(&self) -> usize {
        self.shards.len()
    }

    /// The number of the shard of a hash.
    pub(super) fn shard_of(&self, hash: u64) -> usize {
        stripe_of(hash) & (self.shards.len() - 1)
    }

    fn stripe(&self, hash: u64) -> &AtomicU64 {
        &self.stripes[stripe_of(hash)]
    }

    /// The shard is chosen by bits of the stripe: all of a stripe's keys are under one lock.
    fn shard(&self, hash: u64) -> &Lock<Shard> {
        &self.shards[self.shard_of(hash)].0
    }
}

/// From the high half: the low half is what the shards tell their keys apart by.
fn stripe_of(hash: u64) -> usize {
    (hash >> 32) as usize & (STRIPES - 1)
}

// Outside of the model checker's schedules, its primitives do not work.
#[cfg(all(test, not(feature = "shuttle")))]
mod tests {
    use super::*;
    use crate::cache::record::Parts;

    fn id(link: Option<CachedLink>) -> Option<u64> {
        link.and_then(|l| l.link().map(|l| l.id))
    }

    fn link(key: &[u8], id: u64) -> CachedLink {
        CachedLink::present(key, id, 301, b"https://t.example/", false)
    }

    #[test]
    fn keys_with_one_hash_are_told_apart() {
        let cache = SharedCache::new(1 << 20);
        let hash = 42;
        cache.fill(hash, cache.stamp(hash), link(b"a.example/", 1));
        assert_eq!(id(cache.get(hash, b"b.example/")), None);
        cache.fill(hash, cache.stamp(hash), link(b"b.example/", 2));
        cache.replace(hash, b"c.example/", Some(link(b"c.example/", 3)));
        assert_eq!(id(cache.get(hash, b"a.example/")), Some(1));
        assert_eq!(id(cache.get(hash, b"b.example/")), Some(2));
        assert_eq!(id(cache.get(hash, b"c.example/")), None);
        cache.replace(hash, b"a.example/", None);
        assert_eq!(id(cache.get(hash, b"a.example/")), None);
        assert_eq!(id(cache.get(hash, b"b.example/")), Some(2));
    }

    #[test]
    fn a_fill_that_a_change_overtook_is_dropped() {
        let cache = SharedCache::new(1 << 20);
        let hash = cache.hash(b"a.example/");
        let stamp = cache.stamp(hash);
        assert!(cache.is_current(hash, stamp));
        cache.replace(hash, b"a.example/", Some(link(b"a.example/", 2)));
        assert!(!cache.is_current(hash, stamp));
        assert!(!cache.fill(hash, stamp, link(b"a.example/", 1)));
        assert_eq!(id(cache.get(hash, b"a.example/")), None, "a change adds nothing that was not read");
        assert!(cache.fill(hash, cache.stamp(hash), link(b"a.example/", 2)));
        cache.replace(hash, b"a.example/", Some(link(b"a.example/", 3)));
        assert_eq!(id(cache.get(hash, b"a.example/")), Some(3));
    }

    #[test]
    fn of_many_those_that_a_change_overtook_are_dropped() {
        let cache = SharedCache::new(1 << 20);
        let hash = cache.hash(b"a.example/");
        let fill = |stamps: &Stamps, id| {
            let (link, mut waiting) = (link(b"a.example/", id), WaitingRecords::default());
            waiting.add(hash, &Parts::of(&link, |target| cache.origins().split(target)), true);
            cache.fill_shard(cache.shard_of(hash), stamps, &waiting)
        };
        let before = cache.stamps();
        cache.replace(hash, b"a.example/", Some(link(b"a.example/", 2)));
        assert_eq!(fill(&before, 1), (0, true));
        assert_eq!(id(cache.get(hash, b"a.example/")), None);
        let after = cache.stamps();
        assert_eq!(fill(&after, 2), (1, true));
        assert_eq!(id(cache.get(hash, b"a.example/")), Some(2));
        cache.clear();
        assert_eq!(fill(&after, 2), (0, true));
        assert_eq!(id(cache.get(hash, b"a.example/")), None);
        assert_eq!(fill(&cache.stamps(), 3), (1, true));
    }

    #[test]
    fn after_it_was_cleared_nothing_of_before_is_found_or_filled() {
        let cache = SharedCache::new(4 << 20);
        let keys: Vec<String> = (0..5_000).map(|number| format!("*/{number}")).collect();
        let link = |key: &str| CachedLink::present(key.as_bytes(), 1, 301, b"https://to.example/", false);
        let stamps: Vec<Stamp> = keys.iter().map(|key| cache.stamp(cache.hash(key.as_bytes()))).collect();
        for (key, &stamp) in keys.iter().zip(&stamps) {
            assert!(cache.fill(cache.hash(key.as_bytes()), stamp, link(key)));
        }
        cache.clear();
        assert_eq!(cache.stats().entries, 0);
        for (key, &stamp) in keys.iter().zip(&stamps) {
            let hash = cache.hash(key.as_bytes());
            assert!(!cache.is_current(hash, stamp) && cache.get(hash, key.as_bytes()).is_none());
            assert!(!cache.fill(hash, stamp, link(key)));
            assert!(cache.fill(hash, cache.stamp(hash), link(key)));
        }
        assert!(cache.stats().entries > 4_000);
    }

    #[test]
    fn stripes_lie_in_one_shard_each_and_all_shards_are_used() {
        let cache = SharedCache::new(1 << 30);
        assert_eq!(cache.shards.len(), SHARDS_MAX);
        let mut shard_of_stripe = vec![None; STRIPES];
        for number in 0..200_000_u32 {
            let hash = cache.hash(&number.to_le_bytes());
            let shard = std::ptr::from_ref(cache.shard(hash)).addr();
            assert_eq!(*shard_of_stripe[stripe_of(hash)].get_or_insert(shard), shard);
        }
        let shards: std::collections::BTreeSet<_> = shard_of_stripe.iter().flatten().collect();
        assert_eq!(shards.len(), SHARDS_MAX);
    }

    #[test]
    fn stays_within_its_bytes_and_counts_what_it_evicts() {
        let cache = SharedCache::new(4 << 20);
        for number in 0..200_000_u32 {
            let key = number.to_string();
            let hash = cache.hash(key.as_bytes());
            assert!(cache.fill(hash, cache.stamp(hash), link(key.as_bytes(), 1)));
        }
        let stats = cache.stats();
        assert!(stats.bytes <= 4 << 20 && stats.bytes > 4 << 19, "{stats:?}");
        assert_eq!(stats.entries as u64 + stats.evictions, 200_000);
    }

    #[test]
    fn a_cache_of_no_bytes_caches_nothing() {
        let cache = SharedCache::new(0);
        cache.fill(1, cache.stamp(1), link(b"a.example/", 1));
        assert_eq!(cache.stats(), SharedStats::default());
    }
}
