//! The eviction policy, without locks: S3-FIFO (Yang et al., "FIFO queues are all you need for cache eviction",
//! SOSP 2023), bounded in bytes.
//!
//! New entries go into a small queue. What is not asked for again by the time it reaches the end of it is
//! evicted and leaves its hash behind; so a scan passes through a tenth of the cache and the rest never notices.
//! What is asked for again moves to the main queue, and so does what comes back while its hash is remembered.
//! The main queue gives as many further rounds as there were hits.

use std::sync::atomic::{AtomicU8, Ordering::Relaxed};

use hashbrown::HashTable;

use super::ghost::Ghost;

/// What an entry costs beside its own allocation: a slot of 24 bytes and the slack of their vector, 5 bytes of
/// index at the load a power of two leaves, and 2 to 4 bytes of ghost.
pub(super) const OVERHEAD_BYTES: usize = 40;

/// The part of the capacity for entries that have not proved themselves, as a divisor.
const SMALL_DIVISOR: usize = 10;

/// Hits are counted up to this many.
const HITS_MAX: u8 = 3;

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
    slots: Vec<Slot<E>>,
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
            slots: Vec::new(),
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
        let slot = &self.slots[self.find(hash, key)? as usize];
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
        let slot = self.allocate(Slot {
            entry: Some(entry),
            hash,
            newer: NONE,
            older: NONE,
            weight,
            hits: AtomicU8::new(0),
            place,
        });
        self.push(slot, place);
        let slots = &self.slots;
        self.index.insert_unique(spread(hash), slot, |&s| spread(slots[s as usize].hash));
        self.ghost.reserve(self.index.len());
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
            let slot = &self.slots[slot as usize];
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
        let s = &mut self.slots[slot as usize];
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
        let s = &mut self.slots[slot as usize];
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
        let hits = self.slots[slot as usize].hits.get_mut();
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
        let s = &mut self.slots[slot as usize];
        let weight = bytes(s.weight);
        s.place = place;
        let queue = self.queue(place);
        queue.bytes += weight;
        let head = std::mem::replace(&mut queue.head, slot);
        if head == NONE {
            queue.tail = slot;
        } else {
            self.slots[head as usize].newer = slot;
        }
        let s = &mut self.slots[slot as usize];
        (s.newer, s.older) = (NONE, head);
    }

    fn unlink(&mut self, slot: u32) {
        let s = &self.slots[slot as usize];
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
            self.slots[newer as usize].older = older;
        }
        if older != NONE {
            self.slots[older as usize].newer = newer;
        }
    }

    fn allocate(&mut self, slot: Slot<E>) -> u32 {
        if self.free != NONE {
            let place = self.free;
            self.free = self.slots[place as usize].older;
            self.slots[place as usize] = slot;
            return place;
        }
        if self.slots.len() == self.slots.capacity() {
            // By an eighth, not by half: the slack is memory, too.
            self.slots.reserve_exact(self.slots.len() / 8 + 16);
        }
        self.slots.push(slot);
        u32::try_from(self.slots.len() - 1).expect("a shard holds fewer than 2^32 entries")
    }

    /// Frees a slot that is in no queue any more.
    fn release(&mut self, slot: u32) -> Option<E> {
        let hash = spread(self.slots[slot as usize].hash);
        if let Ok(place) = self.index.find_entry(hash, |&s| s == slot) {
            place.remove();
        }
        let s = &mut self.slots[slot as usize];
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
