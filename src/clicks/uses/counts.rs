//! The counts in memory, which all workers share.

use std::sync::atomic::Ordering::Relaxed;
use std::sync::atomic::{AtomicU64, AtomicUsize};

use ahash::RandomState;
use hashbrown::HashTable;
use hashbrown::hash_table::Entry;
use parking_lot::{Mutex, RwLock};

use super::record::{COUNT_MAX, Saved};

/// Enough that threads seldom meet at one, and that clicks wait for about a millisecond while one is copied.
const SHARDS: usize = 256;

/// In a [`Count`]: the id is on the list of changes, or about to be. Above [`COUNT_MAX`].
const CHANGED: u64 = 1 << 63;

/// The counts of all links.
///
/// All atomics are relaxed: each count is one atomic and nothing else hangs on its value. The lists of changes are under
/// locks.
pub(super) struct Counts {
    hasher: RandomState,
    shards: Box<[Shard]>,
    links: AtomicUsize,
    links_max: usize,
    refused: AtomicU64,
}

/// A part of the links, on its own cache lines.
#[repr(align(128))]
#[derive(Default)]
pub(super) struct Shard {
    /// Where both are locked, this one is first.
    counts: RwLock<HashTable<Count>>,
    /// Ids whose count has changed since it was last saved, or that were forgotten. Some may stand here more than once.
    changes: Mutex<Vec<u64>>,
}

struct Count {
    id: u64,
    /// The count, and [`CHANGED`].
    state: AtomicU64,
}

impl Count {
    fn used(&self) -> u64 {
        self.state.load(Relaxed) & !CHANGED
    }

    /// Adds a click if that keeps the count within `max`, which is at most [`COUNT_MAX`].
    fn take(&self, max: u64, changes: &Mutex<Vec<u64>>) -> bool {
        let step = |state: u64| (state & !CHANGED < max).then(|| (state + 1) | CHANGED);
        let Ok(before) = self.state.fetch_update(Relaxed, Relaxed, step) else { return false };
        if before & CHANGED == 0 {
            changes.lock().push(self.id);
        }
        true
    }

    /// What is to be saved. From now on a click puts the id on the list again.
    fn save(&mut self) -> Saved {
        let state = self.state.get_mut();
        *state &= !CHANGED;
        Saved { id: self.id, count: Some(*state) }
    }
}

impl Counts {
    pub(super) fn new(links_max: usize) -> Self {
        Counts {
            hasher: RandomState::new(),
            shards: (0..SHARDS).map(|_| Shard::default()).collect(),
            links: AtomicUsize::new(0),
            links_max,
            refused: AtomicU64::new(0),
        }
    }

    pub(super) fn shards(&self) -> &[Shard] {
        &self.shards
    }

    fn hash(&self, id: u64) -> u64 {
        self.hasher.hash_one(id)
    }

    /// The table takes its bits from both ends of the hash, so this takes them from the middle.
    fn shard(&self, hash: u64) -> &Shard {
        &self.shards[(hash >> 32) as usize % SHARDS]
    }

    pub(super) fn take(&self, id: u64, max: u64) -> bool {
        let max = max.min(COUNT_MAX);
        if max == 0 {
            return false;
        }
        let hash = self.hash(id);
        let shard = self.shard(hash);
        if let Some(count) = shard.counts.read().find(hash, |count| count.id == id) {
            return count.take(max, &shard.changes);
        }
        let mut counts = shard.counts.write();
        match counts.entry(hash, |count| count.id == id, |count| self.hash(count.id)) {
            // Another thread was first.
            Entry::Occupied(entry) => entry.get().take(max, &shard.changes),
            Entry::Vacant(entry) => {
                let next = |links: usize| (links < self.links_max).then_some(links + 1);
                if self.links.fetch_update(Relaxed, Relaxed, next).is_err() {
                    self.refused.fetch_add(1, Relaxed);
                    return false;
                }
                entry.insert(Count { id, state: AtomicU64::new(1 | CHANGED) });
                shard.changes.lock().push(id);
                true
            }
        }
    }

    pub(super) fn has_left(&self, id: u64, max: u64) -> bool {
        let hash = self.hash(id);
        let used = self.shard(hash).counts.read().find(hash, |count| count.id == id).map(Count::used);
        // One more link needs a place.
        used.map_or_else(|| max > 0 && self.links() < self.links_max, |used| used < max.min(COUNT_MAX))
    }

    pub(super) fn used(&self, id: u64) -> u64 {
        let hash = self.hash(id);
        self.shard(hash).counts.read().find(hash, |count| count.id == id).map_or(0, Count::used)
    }

    /// Takes over what was saved, at the start; also more links than are counted anew.
    pub(super) fn set(&self, saved: Saved) {
        let hash = self.hash(saved.id);
        let mut counts = self.shard(hash).counts.write();
        match (counts.entry(hash, |count| count.id == saved.id, |count| self.hash(count.id)), saved.count) {
            (Entry::Occupied(mut entry), Some(count)) => *entry.get_mut().state.get_mut() = count,
            (Entry::Occupied(entry), None) => {
                entry.remove();
                self.links.fetch_sub(1, Relaxed);
            }
            (Entry::Vacant(entry), Some(count)) => {
                entry.insert(Count { id: saved.id, state: AtomicU64::new(count) });
                self.links.fetch_add(1, Relaxed);
            }
            (Entry::Vacant(_), None) => {}
        }
    }

    /// Forgets all links whose id is above this one.
    pub(super) fn forget_after(&self, last: u64) {
        let newer = |shard: &Shard| shard.counts.read().iter().map(|count| count.id).filter(|&id| id > last).collect();
        for id in self.shards.iter().flat_map(|shard| -> Vec<u64> { newer(shard) }) {
            self.forget(id);
        }
    }

    pub(super) fn forget(&self, id: u64) {
        let hash = self.hash(id);
        let shard = self.shard(hash);
        let mut counts = shard.counts.write();
        if let Ok(entry) = counts.find_entry(hash, |count| count.id == id) {
            entry.remove();
            self.links.fetch_sub(1, Relaxed);
            shard.changes.lock().push(id);
        }
    }

    pub(super) fn links(&self) -> usize {
        self.links.load(Relaxed)
    }

    pub(super) fn links_max(&self) -> usize {
        self.links_max
    }

    pub(super) fn refused(&self) -> u64 {
        self.refused.load(Relaxed)
    }

    /// How many changes are not saved yet, or a few more.
    pub(super) fn changes(&self) -> usize {
        // With this lock no click is between its count and the list.
        let changes = |shard: &Shard| {
            let _counts = shard.counts.write();
            shard.changes.lock().len()
        };
        self.shards.iter().map(changes).sum()
    }

    /// Adds what has changed in a shard, and takes it for saved.
    pub(super) fn take_changes(&self, shard: &Shard, into: &mut Vec<Saved>) {
        let mut counts = shard.counts.write();
        let mut ids = std::mem::take(&mut *shard.changes.lock());
        ids.sort_unstable();
        ids.dedup();
        into.extend(ids.into_iter().map(|id| {
            let count = counts.find_mut(self.hash(id), |count| count.id == id);
            count.map_or(Saved { id, count: None }, Count::save)
        }));
    }

    /// Adds all that is in a shard, and takes it for saved.
    pub(super) fn take_all(shard: &Shard, into: &mut Vec<Saved>) {
        let mut counts = shard.counts.write();
        shard.changes.lock().clear();
        into.extend(counts.iter_mut().map(Count::save));
    }
}
