//! The eviction policy, without locks: S3-FIFO (Yang et al., "FIFO queues are all you need for cache eviction",
//! SOSP 2023), bounded in bytes.
//!
//! New entries go into a small queue. What is not asked for again by the time it reaches the end of it is
//! evicted and leaves its hash behind; so a scan passes through a fortieth of the cache and the rest never notices.
//! What is asked for again moves to the main queue, and so does what comes back while its hash is remembered.
//! The main queue gives as many further rounds as there were hits.
//!
//! The paper's small queue is a tenth of the cache, its ghosts as many as the main queue's entries, its hits counted
//! to three. The values below have the better hit ratios on the Zipf traces of `benches/cache.rs` (by one to two
//! points where the cache is small), and are close to those of `quick_cache`.
//!
//! The queues are the memory, too: a record lies in the chunks of its queue, and moves to the head by being copied
//! there. The index is all that points to it.

mod fill;

use std::sync::{
    Arc,
    atomic::{AtomicU32, Ordering::Relaxed},
};

use hashbrown::HashTable;

use super::{
    entry::CachedLink,
    ghost::Ghost,
    log::{ADDRESS_BITS, ARENA_BYTES_MAX, Arena, Place, Queue},
    origins::Origins,
    record::{Record, encode},
};

/// What an entry costs beside its record: 7 to 13 bytes of index as the load of a power of two is, 1 or 2 bytes of ghost,
/// and what stays unused at the ends of chunks. An estimate: a shard counts what it has.
pub(super) const OVERHEAD_BYTES: usize = 16;

/// A chunk, as a divisor of the capacity: up to four a shard are in use in part.
const CHUNK_DIVISOR: usize = 256;

/// The least a chunk has: many times a usual record, so that little is left at its end.
const CHUNK_BYTES_MIN: usize = 2 * 1024;

/// The most a chunk has.
const CHUNK_BYTES_MAX: usize = 32 * 1024;

/// The part of the capacity for entries that have not proved themselves, as a divisor.
const SMALL_DIVISOR: usize = 40;

/// Ghosts, as a divisor of the entries. With more, what is hardly asked for gets into the main queue, too.
const GHOST_DIVISOR: usize = 2;

/// Hits are counted up to this many.
const HITS_MAX: u32 = 7;

/// So many hits in the small queue earn a place in the main one.
const HITS_TO_STAY: u32 = 1;

/// The part of a queue that may be dead when something alive has to go, as a divisor.
const DEAD_DIVISOR: usize = 4;

const _: () = assert!(HITS_MAX == u32::MAX >> ADDRESS_BITS);

/// What the index holds of an entry: its address, and above it the hits.
struct Pointer(AtomicU32);

impl Pointer {
    fn new(address: u32, hits: u32) -> Self {
        Self(AtomicU32::new(hits << ADDRESS_BITS | address))
    }

    fn address(&self) -> u32 {
        self.0.load(Relaxed) & ((1 << ADDRESS_BITS) - 1)
    }

    fn hits(&self) -> u32 {
        self.0.load(Relaxed) >> ADDRESS_BITS
    }

    /// Counts a hit. A hot entry is only read, so its line stays shared between the cores. Hits lost to a race between
    /// readers do not matter; the address is the same in all of them.
    fn hit(&self) {
        let pointer = self.0.load(Relaxed);
        if pointer >> ADDRESS_BITS < HITS_MAX {
            self.0.store(pointer + (1 << ADDRESS_BITS), Relaxed);
        }
    }
}

/// One part of the shared cache. Lookups take `&self`.
pub(super) struct Shard {
    /// Of all shards.
    origins: Arc<Origins>,
    arena: Arena,
    small: Queue,
    main: Queue,
    index: HashTable<Pointer>,
    ghost: Ghost,
    capacity_bytes: usize,
    evictions: u64,
    /// The record on its way in.
    scratch: Vec<u8>,
    /// The record on its way from queue to queue.
    moving: Vec<u8>,
}

impl Shard {
    /// A shard that holds at most `capacity_bytes`, and of that at most 2 GiB of records.
    pub(super) fn new(capacity_bytes: usize, origins: Arc<Origins>) -> Self {
        let chunk_bytes = (capacity_bytes / CHUNK_DIVISOR).clamp(CHUNK_BYTES_MIN, CHUNK_BYTES_MAX);
        Self::with_chunks(capacity_bytes, origins, chunk_bytes.next_power_of_two())
    }

    fn with_chunks(capacity_bytes: usize, origins: Arc<Origins>, chunk_bytes: usize) -> Self {
        Self {
            origins,
            arena: Arena::new(chunk_bytes),
            small: Queue::new(Place::Small),
            main: Queue::new(Place::Main),
            index: HashTable::new(),
            ghost: Ghost::new(),
            // Records that move may need a chunk more before they free one.
            capacity_bytes: capacity_bytes.min(ARENA_BYTES_MAX - 4 * CHUNK_BYTES_MAX),
            evictions: 0,
            scratch: Vec::new(),
            moving: Vec::new(),
        }
    }

    /// Forgets all entries.
    pub(super) fn clear(&mut self) {
        let chunk_bytes = self.arena.chunk_bytes();
        let empty = Self::with_chunks(self.capacity_bytes, Arc::clone(&self.origins), chunk_bytes);
        *self = Self { evictions: self.evictions, ..empty };
    }

    /// How many entries there are.
    pub(super) fn len(&self) -> usize {
        self.index.len()
    }

    /// What is resident for the entries, never more than the capacity.
    pub(super) fn bytes(&self) -> usize {
        self.arena.held_bytes() + self.index_bytes()
    }

    fn index_bytes(&self) -> usize {
        self.index.allocation_size() + self.ghost.bytes()
    }

    /// How many entries had to go to make room.
    pub(super) fn evictions(&self) -> u64 {
        self.evictions
    }

    /// A copy of the entry of this key, and counts the hit.
    pub(super) fn get(&self, hash: u32, key: &[u8]) -> Option<CachedLink> {
        let pointer = self.find(hash, key)?;
        pointer.hit();
        Some(self.arena.record(pointer.address()).to_link(&self.origins))
    }

    /// Puts `link` in, in the place of an entry with its key if there is one. A link that does not fit into a shard
    /// without anything else is not kept.
    pub(super) fn insert(&mut self, hash: u32, link: &CachedLink) {
        if !self.put(hash, link) && self.admits(self.scratch.len()) {
            let place = if self.ghost.remove(hash) { Place::Main } else { Place::Small };
            self.push(hash, place, 0);
        }
    }

    /// Puts `link` in the place of the entry of its key. Does nothing if there is none.
    pub(super) fn replace(&mut self, hash: u32, link: &CachedLink) {
        self.put(hash, link);
    }

    /// Takes the entry of this key out.
    pub(super) fn remove(&mut self, hash: u32, key: &[u8]) {
        if let Some(address) = self.find(hash, key).map(Pointer::address) {
            self.take(hash, address);
        }
    }

    fn find(&self, hash: u32, key: &[u8]) -> Option<&Pointer> {
        self.index.find(spread(hash), |pointer| self.arena.record(pointer.address()).is_of(hash, key))
    }

    /// Makes the record of `link` in `scratch`, and puts it in the place of the entry of its key. Returns false if there
    /// is none.
    fn put(&mut self, hash: u32, link: &CachedLink) -> bool {
        encode(hash, link, &self.origins, &mut self.scratch);
        self.put_scratch(hash)
    }

    /// The same with a record that is in `scratch` already.
    fn put_scratch(&mut self, hash: u32) -> bool {
        let Some(pointer) = self.find(hash, Record(&self.scratch).key()) else { return false };
        let (address, hits) = (pointer.address(), pointer.hits());
        if self.arena.record(address).len() == self.scratch.len() {
            self.arena.overwrite(address, &self.scratch);
            return true;
        }
        let place = self.arena.place(address);
        self.take(hash, address);
        if self.admits(self.scratch.len()) {
            self.push(hash, place, hits);
        }
        true
    }

    /// Takes an entry out. Its bytes stay until they come to the end of their queue.
    fn take(&mut self, hash: u32, address: u32) {
        if let Ok(entry) = self.index.find_entry(spread(hash), |p| p.address() == address) {
            entry.remove();
        }
        let place = self.arena.place(address);
        let (queue, arena) = self.queue(place);
        queue.kill(arena, address);
    }

    /// Makes the index large enough for one more entry, and says whether a record of `len` bytes then fits into a shard
    /// that has no other.
    fn admits(&mut self, len: usize) -> bool {
        let cost = Queue::new(Place::Small).cost(&self.arena, len);
        if cost > self.capacity_bytes {
            return false;
        }
        self.grow_index();
        let fits = cost + self.index_bytes() <= self.capacity_bytes;
        // The index has grown even if nobody makes room for the record.
        while !fits && self.bytes() > self.capacity_bytes {
            self.age();
        }
        fits
    }

    /// How many ghosts there are to be with one more entry.
    fn ghosts(&self) -> usize {
        (self.index.len() + 1) / GHOST_DIVISOR
    }

    fn grow_index(&mut self) {
        self.ghost.resize(self.ghosts());
        if self.index.len() < self.index.capacity() {
            return;
        }
        let arena = &self.arena;
        let hash = |pointer: &Pointer| spread(arena.record(pointer.address()).hash());
        let buckets = self.index.num_buckets();
        if buckets < 16 || self.index.len() > buckets / 4 * 3 {
            return self.index.reserve(1, hash);
        }
        // It is not the entries that fill it, but the marks that removed ones leave behind. Left to itself, the table
        // would double for them.
        let mut index = HashTable::with_capacity(buckets / 8 * 7);
        for pointer in std::mem::take(&mut self.index) {
            index.insert_unique(hash(&pointer), pointer, hash);
        }
        self.index = index;
    }

    /// Makes room for the record in `scratch`, and puts it in. It must have been admitted.
    fn push(&mut self, hash: u32, place: Place, hits: u32) {
        // It is in no queue while room is made, so it cannot be its own victim.
        let record = std::mem::take(&mut self.scratch);
        loop {
            let (queue, arena) = self.queue(place);
            let cost = queue.cost(arena, record.len());
            if self.bytes() + cost <= self.capacity_bytes {
                break;
            }
            self.age();
        }
        self.add(hash, place, hits, &record);
        self.scratch = record;
    }

    /// Puts a record in for which there is room, also in the index.
    fn add(&mut self, hash: u32, place: Place, hits: u32, record: &[u8]) {
        let (queue, arena) = self.queue(place);
        let pointer = Pointer::new(queue.push(arena, record), hits);
        let arena = &self.arena;
        self.index.insert_unique(spread(hash), pointer, |p| spread(arena.record(p.address()).hash()));
    }

    /// Takes the oldest record out of the queue that is too long, for good or for another round.
    fn age(&mut self) {
        let small_is_full = self.small.bytes() > self.capacity_bytes / SMALL_DIVISOR;
        let place = match self.main.bytes() {
            0 => Place::Small,
            _ if small_is_full => Place::Small,
            _ => Place::Main,
        };
        let (queue, arena) = match place {
            Place::Small => (&mut self.small, &mut self.arena),
            Place::Main => (&mut self.main, &mut self.arena),
        };
        let address = queue.tail(arena).expect("a shard that is full has records");
        let record = arena.record(address);
        if record.is_dead() {
            return queue.pop(arena);
        }
        // What is alive need not go while much is dead: to get at that, it is only moved.
        let is_sparse = queue.dead_bytes() > queue.bytes() / DEAD_DIVISOR;
        let hash = record.hash();
        let entry = self.index.find_entry(spread(hash), |p| p.address() == address);
        let mut entry = entry.ok().expect("what is alive is in the index");
        let (to, hits) = match (place, entry.get().hits()) {
            (Place::Small, HITS_TO_STAY..) => (Place::Main, 0),
            (Place::Main, hits @ 1..) => (Place::Main, hits - 1),
            (_, hits) if is_sparse => (place, hits),
            _ => {
                entry.remove();
                queue.pop(arena);
                self.evictions += 1;
                if place == Place::Small {
                    self.ghost.insert(hash);
                }
                return;
            }
        };
        self.moving.clear();
        self.moving.extend_from_slice(&record.0[..record.len()]);
        queue.pop(arena);
        let queue = match to {
            Place::Small => &mut self.small,
            Place::Main => &mut self.main,
        };
        *entry.get_mut() = Pointer::new(queue.push(arena, &self.moving), hits);
    }

    fn queue(&mut self, place: Place) -> (&mut Queue, &mut Arena) {
        let queue = match place {
            Place::Small => &mut self.small,
            Place::Main => &mut self.main,
        };
        (queue, &mut self.arena)
    }
}

/// The index takes the bucket from the low bits and seven bits of tag from the top, so 32 bits must reach both.
fn spread(hash: u32) -> u64 {
    u64::from(hash).wrapping_mul(0x9e37_79b9_7f4a_7c15)
}

#[cfg(test)]
mod tests {
    use std::collections::BTreeMap;

    use proptest::prelude::*;

    use super::*;
    use crate::cache::record::encoded_bytes;

    /// All of it follows from the key, but for the version, which is its id, and the length of the target.
    fn link(key: u32, version: usize, target_bytes: usize) -> CachedLink {
        let target = vec![key as u8; target_bytes];
        CachedLink::present(&key.to_le_bytes(), version as u64, 301, &target, key.is_multiple_of(2))
    }

    /// As [`link`], but part of the bytes of the target of every third one are its terms.
    fn link_maybe_with_terms(key: u32, version: usize, bytes: usize) -> CachedLink {
        if !version.is_multiple_of(3) {
            return link(key, version, bytes);
        }
        let bytes = vec![key as u8; bytes];
        let (target, terms) = bytes.split_at(version % (bytes.len() + 1));
        CachedLink::with_terms(&key.to_le_bytes(), version as u64, 302, target, terms, key.is_multiple_of(2))
    }

    fn assert_same(read: &CachedLink, put_in: &CachedLink) {
        assert_eq!(read.key(), put_in.key());
        assert_eq!((read.link(), read.has_query_links()), (put_in.link(), put_in.has_query_links()));
    }

    impl Shard {
        fn peek(&self, hash: u32, key: u32) -> Option<CachedLink> {
            self.find(hash, &key.to_le_bytes()).map(|p| self.arena.record(p.address()).to_link(&self.origins))
        }

        fn assert_consistent(&self) {
            assert!(self.bytes() <= self.capacity_bytes);
            let (mut held, mut alive) = (0, 0);
            for queue in [&self.small, &self.main] {
                let (bytes, dead_bytes) = queue.walk(&self.arena, |address, record| {
                    let found = self.find(record.hash(), record.to_link(&self.origins).key());
                    assert_eq!(found.map(Pointer::address), Some(address));
                    alive += 1;
                });
                assert_eq!((bytes, dead_bytes), (queue.bytes(), queue.dead_bytes()));
                held += queue.held_bytes(&self.arena);
            }
            assert_eq!((held, alive), (self.arena.held_bytes(), self.len()));
        }
    }

    #[derive(Clone, Debug)]
    enum Step {
        Get,
        Insert(usize),
        Replace(usize),
        Remove,
    }

    fn steps() -> impl Strategy<Value = Vec<(u32, Step)>> {
        // Some are longer than a chunk, some than the whole shard.
        let target = || prop_oneof![8 => 0_usize..80, 1 => 100_usize..400, 1 => 1500_usize..2100];
        let step = prop_oneof![
            4 => Just(Step::Get),
            4 => target().prop_map(Step::Insert),
            2 => target().prop_map(Step::Replace),
            1 => Just(Step::Remove),
        ];
        prop::collection::vec((0_u32..40, step), 0..600)
    }

    proptest! {
        /// Against a map that forgets nothing: what the shard still has is what was last put in, nothing is lost
        /// but by eviction or weight, and the bound holds after every step. Hashes collide, seven to one.
        #[test]
        fn agrees_with_a_map(steps in steps()) {
            let mut shard = Shard::with_chunks(2000, Arc::new(Origins::new()), 256);
            let mut map = BTreeMap::new();
            let fits = |shard: &Shard, link: &CachedLink| encoded_bytes(link) + shard.index_bytes() <= 2000;
            for (version, (key, step)) in steps.into_iter().enumerate() {
                let (hash, bytes) = (key % 6, key.to_le_bytes());
                let cached = shard.find(hash, &bytes).is_some();
                match step {
                    Step::Get => {
                        let read = shard.get(hash, &bytes);
                        prop_assert_eq!(read.is_some(), cached);
                        read.inspect(|read| assert_same(read, &map[&key]));
                    }
                    Step::Insert(target) => {
                        let link = link_maybe_with_terms(key, version, target);
                        shard.insert(hash, &link);
                        prop_assert_eq!(shard.find(hash, &bytes).is_some(), fits(&shard, &link));
                        map.insert(key, link);
                    }
                    Step::Replace(target) => {
                        let link = link_maybe_with_terms(key, version, target);
                        shard.replace(hash, &link);
                        prop_assert_eq!(shard.find(hash, &bytes).is_some(), cached && fits(&shard, &link));
                        if cached {
                            map.insert(key, link);
                        }
                    }
                    Step::Remove => {
                        shard.remove(hash, &bytes);
                        prop_assert!(shard.find(hash, &bytes).is_none());
                        map.remove(&key);
                    }
                }
                shard.assert_consistent();
                for (&key, link) in &map {
                    match shard.peek(key % 6, key) {
                        Some(read) => assert_same(&read, link),
                        None => prop_assert!(shard.evictions() > 0 || link.weight() > 1500),
                    }
                }
            }
        }
    }

    /// A hash as good as the real one.
    fn mixed(key: u32) -> u32 {
        (spread(key.wrapping_add(1)) >> 32) as u32
    }

    fn insert(shard: &mut Shard, key: u32) {
        shard.insert(mixed(key), &link(key, 0, 70));
    }

    fn holds(shard: &Shard, key: u32) -> bool {
        shard.find(mixed(key), &key.to_le_bytes()).is_some()
    }

    /// However much is left when index and ghosts grow.
    #[test]
    fn what_is_put_in_where_there_is_room_pushes_nothing_out() {
        for capacity_bytes in (24_000..36_000).step_by(64) {
            let mut shard = Shard::new(capacity_bytes, Arc::new(Origins::new()));
            let full = (0..).find(|&key| {
                let mut record = Vec::new();
                encode(mixed(key), &link(key, 0, 70), &shard.origins, &mut record);
                !shard.insert_if_room(mixed(key), &record)
            });
            assert_eq!((Some(shard.len() as u32), shard.evictions()), (full, 0), "{capacity_bytes}");
            assert!(shard.bytes() <= capacity_bytes && shard.bytes() > capacity_bytes / 10 * 8, "{capacity_bytes}");
        }
    }

    /// First in first out, and least recently used, keep nothing of the hot set here.
    #[test]
    fn a_scan_does_not_flush_what_is_hot() {
        let mut shard = Shard::new(100 * 1000, Arc::new(Origins::new()));
        let hot = 0..750;
        for key in hot.clone() {
            insert(&mut shard, key);
            shard.get(mixed(key), &key.to_le_bytes());
        }
        for key in 10_000..30_000 {
            insert(&mut shard, key);
        }
        let kept = hot.filter(|&key| holds(&shard, key)).count();
        assert!(kept >= 710, "{kept} of 750 hot entries survived a scan of 20 times the capacity");
    }

    #[test]
    fn what_comes_back_soon_after_its_eviction_stays() {
        let mut shard = Shard::new(100 * 1000, Arc::new(Origins::new()));
        for key in 0..1100 {
            insert(&mut shard, key);
        }
        assert!(!holds(&shard, 0));
        insert(&mut shard, 0);
        for key in 2000..4000 {
            insert(&mut shard, key);
        }
        assert!(holds(&shard, 0));
    }

    #[test]
    fn changes_of_what_is_cached_push_nothing_out() {
        let mut shard = Shard::new(100 * 1000, Arc::new(Origins::new()));
        for key in 0..500 {
            insert(&mut shard, key);
        }
        for version in 0..100_000_usize {
            let key = (version * 7919 % 500) as u32;
            shard.replace(mixed(key), &link(key, version, 50 + version % 40));
            if version % 3 == 0 {
                shard.remove(mixed(key), &key.to_le_bytes());
                insert(&mut shard, key);
            }
        }
        shard.assert_consistent();
        assert_eq!((shard.len(), shard.evictions()), (500, 0));
    }

    /// The marks of removed entries fill the index again and again.
    #[test]
    fn the_index_grows_with_the_entries_only() {
        let mut shard = Shard::new(1000 * 1000, Arc::new(Origins::new()));
        for key in 0..3000 {
            insert(&mut shard, key);
        }
        let bytes = shard.index.allocation_size();
        for key in 3000..200_000 {
            let oldest = key - 3000;
            shard.remove(mixed(oldest), &oldest.to_le_bytes());
            insert(&mut shard, key);
        }
        shard.assert_consistent();
        assert_eq!((shard.len(), shard.evictions(), shard.index.allocation_size()), (3000, 0, bytes));
    }

    #[test]
    fn what_is_replaced_by_as_many_bytes_stays_where_it_is() {
        let mut shard = Shard::new(100 * 1000, Arc::new(Origins::new()));
        insert(&mut shard, 1);
        let before = (shard.bytes(), shard.small.bytes());
        for version in 0..100 {
            shard.replace(mixed(1), &link(1, version, 70));
        }
        assert_eq!((shard.bytes(), shard.small.bytes()), before);
        assert_same(&shard.peek(mixed(1), 1).unwrap(), &link(1, 99, 70));
    }
}
