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

use std::sync::atomic::{AtomicU8, Ordering::Relaxed};

use hashbrown::HashTable;

use super::{chunked::Chunked, ghost::Ghost};

/// What an entry costs beside its own allocation: a slot of 24 bytes, 6 to 12 bytes of index as the load of a
/// power of two is, and 1 or 2 bytes of ghost.
pub(super) const OVERHEAD_BYTES: usize = 40;

/// The part of the capacity for entries that have not proved themselves, as a divisor.
const SMALL_DIVISOR: usize = 40;

/// Ghosts, as a divisor of the entries. With more, what is hardly asked for gets into the main queue, too.
const GHOST_DIVISOR: usize = 2;

/// Hits are counted up to this many.
const HITS_MAX: u8 = 7;

/// So many hits in the small queue earn a place in the main one.
const HITS_TO_STAY: u8 = 1;

/// Weights are kept in this many bytes, so that 16 bits reach to 512 KiB.
const WEIGHT_UNIT_BYTES: usize = 8;

/// No slot.
const NONE: u32 = u32::MAX;

/// What a shard holds.
pub(super) trait Weighted {
    /// The whole key: no two entries of a shard have the same.
    fn key(&self) -> &[u8];

    /// What the entry costs, in bytes.
    fn weight(&self) -> usize;
}

#[derive(Clone, Copy, PartialEq, Eq)]
enum Place {
    Small,
    Main,
}

struct Slot<E> {
    /// `None` while the slot is free.
    entry: Option<E>,
    hash: u32,
    /// Towards the head of the queue, where the new ones are.
    newer: u32,
    /// Towards the tail of the queue, where the victims are; of a free slot, the next free one.
    older: u32,
    weight: u16,
    hits: AtomicU8,
    place: Place,
}

impl<E> Default for Slot<E> {
    fn default() -> Self {
        Self { entry: None, hash: 0, newer: NONE, older: NONE, weight: 0, hits: AtomicU8::new(0), place: Place::Small }
    }
}

#[derive(Clone, Copy)]
struct Queue {
    head: u32,
    tail: u32,
    bytes: usize,
}

impl Queue {
    const EMPTY: Self = Self { head: NONE, tail: NONE, bytes: 0 };
}

/// One part of the shared cache. Lookups take `&self`.
pub(super) struct Shard<E> {
    slots: Chunked<Slot<E>>,
    free: u32,
    index: HashTable<u32>,
    small: Queue,
    main: Queue,
    ghost: Ghost,
    capacity_bytes: usize,
    evictions: u64,
}

impl<E: Weighted> Shard<E> {
    pub(super) fn new(capacity_bytes: usize) -> Self {
        Self {
            slots: Chunked::new(),
            free: NONE,
            index: HashTable::new(),
            small: Queue::EMPTY,
            main: Queue::EMPTY,
            ghost: Ghost::new(),
            capacity_bytes,
            evictions: 0,
        }
    }

    /// How many entries there are.
    pub(super) fn len(&self) -> usize {
        self.index.len()
    }

    /// What the entries weigh together, never more than the capacity.
    pub(super) fn bytes(&self) -> usize {
        self.small.bytes + self.main.bytes
    }

    /// How many entries had to go to make room.
    pub(super) fn evictions(&self) -> u64 {
        self.evictions
    }

    /// The entry of this key, and counts the hit.
    pub(super) fn get(&self, hash: u32, key: &[u8]) -> Option<&E> {
        let slot = &self.slots[self.find(hash, key)?];
        let hits = slot.hits.load(Relaxed);
        // A hot entry is only read, so its line stays shared between the cores. Hits lost to a race between
        // readers do not matter.
        if hits < HITS_MAX {
            slot.hits.store(hits + 1, Relaxed);
        }
        slot.entry.as_ref()
    }

    /// Puts `entry` in, in the place of an entry with its key if there is one. An entry that weighs more than the
    /// whole shard, or more than 512 KiB, is not kept.
    pub(super) fn insert(&mut self, hash: u32, entry: E) {
        if let Some(slot) = self.find(hash, entry.key()) {
            return self.put(slot, entry);
        }
        let Some(weight) = self.admit(&entry) else { return };
        let place = if self.ghost.remove(hash) { Place::Main } else { Place::Small };
        self.make_room(bytes(weight));
        let slot = self.allocate(Slot { entry: Some(entry), hash, weight, ..Slot::default() });
        self.push(slot, place);
        let slots = &self.slots;
        self.index.insert_unique(spread(hash), slot, |&s| spread(slots[s].hash));
        self.ghost.resize(self.index.len() / GHOST_DIVISOR);
    }

    /// Puts `entry` in the place of the entry of this key. Does nothing if there is none.
    pub(super) fn replace(&mut self, hash: u32, entry: E) {
        if let Some(slot) = self.find(hash, entry.key()) {
            self.put(slot, entry);
        }
    }

    /// Takes the entry of this key out.
    pub(super) fn remove(&mut self, hash: u32, key: &[u8]) -> Option<E> {
        let slot = self.find(hash, key)?;
        self.unlink(slot);
        self.release(slot)
    }

    fn find(&self, hash: u32, key: &[u8]) -> Option<u32> {
        let same = |&slot: &u32| {
            let slot = &self.slots[slot];
            slot.hash == hash && slot.entry.as_ref().is_some_and(|e| e.key() == key)
        };
        self.index.find(spread(hash), same).copied()
    }

    /// The weight of an entry in units, or `None` if it is too heavy to keep.
    fn admit(&self, entry: &E) -> Option<u16> {
        let units = entry.weight().div_ceil(WEIGHT_UNIT_BYTES);
        u16::try_from(units).ok().filter(|&units| bytes(units) <= self.capacity_bytes)
    }

    fn put(&mut self, slot: u32, entry: E) {
        self.unlink(slot);
        let Some(weight) = self.admit(&entry) else {
            self.release(slot);
            return;
        };
        // Out of the queue while room is made, so that it cannot be its own victim.
        self.make_room(bytes(weight));
        let s = &mut self.slots[slot];
        s.entry = Some(entry);
        s.weight = weight;
        let place = s.place;
        self.push(slot, place);
    }

    fn make_room(&mut self, wanted_bytes: usize) {
        while self.bytes() + wanted_bytes > self.capacity_bytes {
            let small_is_full = self.small.bytes > self.capacity_bytes / SMALL_DIVISOR;
            if self.main.tail == NONE || (small_is_full && self.small.tail != NONE) {
                self.age_small();
            } else {
                self.age_main();
            }
        }
    }

    fn age_small(&mut self) {
        let slot = self.small.tail;
        self.unlink(slot);
        let s = &mut self.slots[slot];
        if *s.hits.get_mut() >= HITS_TO_STAY {
            *s.hits.get_mut() = 0;
            self.push(slot, Place::Main);
        } else {
            self.ghost.insert(s.hash);
            self.evict(slot);
        }
    }

    fn age_main(&mut self) {
        let slot = self.main.tail;
        self.unlink(slot);
        let hits = self.slots[slot].hits.get_mut();
        if *hits > 0 {
            *hits -= 1;
            self.push(slot, Place::Main);
        } else {
            self.evict(slot);
        }
    }

    fn evict(&mut self, slot: u32) {
        self.evictions += 1;
        self.release(slot);
    }

    fn queue(&mut self, place: Place) -> &mut Queue {
        match place {
            Place::Small => &mut self.small,
            Place::Main => &mut self.main,
        }
    }

    fn push(&mut self, slot: u32, place: Place) {
        let s = &mut self.slots[slot];
        let weight = bytes(s.weight);
        s.place = place;
        let queue = self.queue(place);
        queue.bytes += weight;
        let head = std::mem::replace(&mut queue.head, slot);
        if head == NONE {
            queue.tail = slot;
        } else {
            self.slots[head].newer = slot;
        }
        let s = &mut self.slots[slot];
        (s.newer, s.older) = (NONE, head);
    }

    fn unlink(&mut self, slot: u32) {
        let s = &self.slots[slot];
        let (newer, older, weight, place) = (s.newer, s.older, bytes(s.weight), s.place);
        let queue = self.queue(place);
        queue.bytes -= weight;
        if newer == NONE {
            queue.head = older;
        }
        if older == NONE {
            queue.tail = newer;
        }
        if newer != NONE {
            self.slots[newer].older = older;
        }
        if older != NONE {
            self.slots[older].newer = newer;
        }
    }

    fn allocate(&mut self, slot: Slot<E>) -> u32 {
        let place = self.free;
        if place != NONE {
            self.free = self.slots[place].older;
            self.slots[place] = slot;
            return place;
        }
        self.slots.push(slot)
    }

    /// Frees a slot that is in no queue any more.
    fn release(&mut self, slot: u32) -> Option<E> {
        let hash = spread(self.slots[slot].hash);
        if let Ok(place) = self.index.find_entry(hash, |&s| s == slot) {
            place.remove();
        }
        let s = &mut self.slots[slot];
        s.older = self.free;
        self.free = slot;
        s.entry.take()
    }
}

fn bytes(units: u16) -> usize {
    usize::from(units) * WEIGHT_UNIT_BYTES
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

    #[derive(Clone, Debug, PartialEq)]
    struct Toy {
        key: [u8; 4],
        weight: usize,
        version: usize,
    }

    impl Weighted for Toy {
        fn key(&self) -> &[u8] {
            &self.key
        }

        fn weight(&self) -> usize {
            self.weight
        }
    }

    fn toy(key: u32, weight: usize, version: usize) -> Toy {
        Toy { key: key.to_le_bytes(), weight, version }
    }

    impl<E: Weighted> Shard<E> {
        fn assert_consistent(&self) {
            assert!(self.bytes() <= self.capacity_bytes);
            let mut seen = 0;
            for (queue, place) in [(self.small, Place::Small), (self.main, Place::Main)] {
                let (mut slot, mut newer, mut sum) = (queue.head, NONE, 0);
                while slot != NONE {
                    let s = &self.slots[slot];
                    let entry = s.entry.as_ref().expect("a queued slot is in use");
                    assert!(s.place == place && s.newer == newer);
                    assert_eq!(bytes(s.weight), entry.weight().next_multiple_of(WEIGHT_UNIT_BYTES));
                    assert_eq!(self.find(s.hash, entry.key()), Some(slot));
                    sum += bytes(s.weight);
                    seen += 1;
                    (newer, slot) = (slot, s.older);
                }
                assert_eq!((sum, newer), (queue.bytes, queue.tail));
            }
            assert_eq!(seen, self.len());
            let mut free = self.free;
            while free != NONE {
                assert!(self.slots[free].entry.is_none());
                seen += 1;
                free = self.slots[free].older;
            }
            assert_eq!(seen, self.slots.len());
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
        // Some weigh more than the whole shard.
        let weight = || prop_oneof![8 => 1_usize..200, 1 => 900_usize..1200];
        let step = prop_oneof![
            4 => Just(Step::Get),
            4 => weight().prop_map(Step::Insert),
            1 => weight().prop_map(Step::Replace),
            1 => Just(Step::Remove),
        ];
        prop::collection::vec((0_u32..40, step), 0..400)
    }

    proptest! {
        /// Against a map that forgets nothing: what the shard still has is what was last put in, nothing is lost
        /// but by eviction or weight, and the bound holds after every step. Hashes collide, seven to one.
        #[test]
        fn agrees_with_a_map(steps in steps()) {
            let mut shard = Shard::new(1000);
            let mut map = BTreeMap::new();
            for (version, (key, step)) in steps.into_iter().enumerate() {
                let (hash, bytes) = (key % 6, key.to_le_bytes());
                let cached = shard.find(hash, &bytes).is_some();
                match step {
                    Step::Get => prop_assert_eq!(shard.get(hash, &bytes).is_some(), cached),
                    Step::Insert(weight) => {
                        shard.insert(hash, toy(key, weight, version));
                        let fits = weight.next_multiple_of(WEIGHT_UNIT_BYTES) <= 1000;
                        prop_assert_eq!(shard.find(hash, &bytes).is_some(), fits);
                        map.insert(key, toy(key, weight, version));
                    }
                    Step::Replace(weight) => {
                        shard.replace(hash, toy(key, weight, version));
                        if cached {
                            map.insert(key, toy(key, weight, version));
                        }
                    }
                    Step::Remove => {
                        prop_assert_eq!(shard.remove(hash, &bytes).is_some(), cached);
                        prop_assert!(shard.find(hash, &bytes).is_none());
                        map.remove(&key);
                    }
                }
                shard.assert_consistent();
                for (key, entry) in &map {
                    let found = shard.find(key % 6, &key.to_le_bytes());
                    let found = found.and_then(|slot| shard.slots[slot].entry.as_ref());
                    prop_assert!(found.is_none_or(|found| found == entry));
                    let lost = found.is_none() && entry.weight <= 1000;
                    prop_assert!(!lost || shard.evictions() > 0);
                }
            }
        }
    }

    /// A hash as good as the real one.
    fn mixed(key: u32) -> u32 {
        (spread(key.wrapping_add(1)) >> 32) as u32
    }

    fn holds(shard: &Shard<Toy>, key: u32) -> bool {
        shard.find(mixed(key), &key.to_le_bytes()).is_some()
    }

    /// First in first out, and least recently used, keep nothing of the hot set here.
    #[test]
    fn a_scan_does_not_flush_what_is_hot() {
        let mut shard = Shard::new(100 * 1000);
        let hot = 0..800;
        for key in hot.clone() {
            shard.insert(mixed(key), toy(key, 100, 0));
            shard.get(mixed(key), &key.to_le_bytes());
        }
        for key in 10_000..30_000 {
            shard.insert(mixed(key), toy(key, 100, 0));
        }
        let kept = hot.filter(|&key| holds(&shard, key)).count();
        assert!(kept >= 760, "{kept} of 800 hot entries survived a scan of 20 times the capacity");
    }

    #[test]
    fn what_comes_back_soon_after_its_eviction_stays() {
        let mut shard = Shard::new(100 * 1000);
        for key in 0..1100 {
            shard.insert(mixed(key), toy(key, 100, 0));
        }
        assert!(!holds(&shard, 0));
        shard.insert(mixed(0), toy(0, 100, 0));
        for key in 2000..4000 {
            shard.insert(mixed(key), toy(key, 100, 0));
        }
        assert!(holds(&shard, 0));
    }

    #[test]
    fn slots_are_used_again() {
        let mut shard = Shard::new(1000);
        for version in 0..1000 {
            shard.insert(1, toy(1, 100, version));
            shard.insert(2, toy(2, 100, version));
            shard.remove(1, &1_u32.to_le_bytes());
        }
        assert_eq!((shard.slots.len(), shard.len(), shard.bytes()), (2, 1, 104));
    }
}
