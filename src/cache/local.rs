//! The cache of one worker.

use super::{
    entry::CachedLink,
    shared::{SharedCache, Stamp},
};

/// Entries that share a place; a lookup compares the tags of all of them.
const WAYS: usize = 8;

/// Hits are counted up to this many.
const HITS_MAX: u8 = 15;

/// One new entry in so many starts with a hit to its name. The others are the next to go if they get none before the
/// next one comes, so most of what is asked for once pushes out nothing but its like; the few make the old hits fade.
/// (Bimodal insertion: Qureshi et al., "Adaptive insertion policies for high performance caching", ISCA 2007.)
const FAVOURED_ONE_IN: u32 = 8;

/// A worker's own cache (L1): set-associative, so a lookup is two cache lines, the stamp and the link.
///
/// It has no lock and no atomics. An entry is valid as long as the stamp it came with is, so the writer need not
/// know of it.
pub struct LocalCache {
    sets: Box<[Set]>,
    inserts: u32,
}

/// The tags and hits share the first of three cache lines; each way is then on one of the others.
#[repr(C, align(64))]
struct Set {
    tags: [u32; WAYS],
    hits: [u8; WAYS],
    ways: [Option<Way>; WAYS],
}

struct Way {
    stamp: Stamp,
    link: CachedLink,
}

const _: () = assert!(size_of::<Option<Way>>() == 16 && size_of::<Set>() == 192);

impl LocalCache {
    /// A cache for `entries` links, rounded up to a power of two of at least eight. The table takes 24 bytes an
    /// entry at once; the links it holds stay allocated until they are pushed out or found stale.
    pub fn new(entries: usize) -> Self {
        let sets = entries.div_ceil(WAYS).next_power_of_two();
        let set = || Set { tags: [0; WAYS], hits: [0; WAYS], ways: [const { None }; WAYS] };
        Self { sets: std::iter::repeat_with(set).take(sets).collect(), inserts: 0 }
    }

    /// The entry of this key, if it is here and nothing in its stripe has changed since its stamp was taken.
    ///
    /// `hash` is [`SharedCache::hash`] of `key`.
    pub fn get(&mut self, shared: &SharedCache, hash: u64, key: &[u8]) -> Option<&CachedLink> {
        let set = self.set(hash);
        let mut place = None;
        for way in matches(&set.tags, tag(hash)) {
            let Some(entry) = &set.ways[way] else { continue };
            // I5: an old stamp may mean an old link. The tag includes the stripe, so this is the entry's own
            // stripe even if the key is another; let go of the link, no one can ask for it any more.
            if !shared.is_current(hash, entry.stamp) {
                set.ways[way] = None;
                set.hits[way] = 0;
            } else if entry.link.key() == key {
                place = Some(way);
                break;
            }
        }
        let way = place?;
        set.hits[way] = (set.hits[way] + 1).min(HITS_MAX);
        // I4: a reference, not a clone: the count of the link is on a line that other workers read.
        set.ways[way].as_ref().map(|entry| &entry.link)
    }

    /// Keeps `link`. `stamp` must have been taken before `link` was looked up, in the shared cache or the store.
    pub fn insert(&mut self, hash: u64, stamp: Stamp, link: CachedLink) {
        self.inserts = self.inserts.wrapping_add(1);
        let favoured = self.inserts.is_multiple_of(FAVOURED_ONE_IN);
        let set = self.set(hash);
        let way = set.same(hash, link.key()).unwrap_or_else(|| set.victim());
        set.tags[way] = tag(hash);
        set.ways[way] = Some(Way { stamp, link });
        set.hits[way] = set.hits[way].max(u8::from(favoured));
    }

    fn set(&mut self, hash: u64) -> &mut Set {
        let last = self.sets.len() - 1;
        &mut self.sets[hash as usize & last]
    }
}

impl Set {
    fn same(&self, hash: u64, key: &[u8]) -> Option<usize> {
        matches(&self.tags, tag(hash)).find(|&way| self.ways[way].as_ref().is_some_and(|e| e.link.key() == key))
    }

    /// A free way, or the one with the fewest hits. The others lose as many, so that what was hot long ago does not stay.
    fn victim(&mut self) -> usize {
        if let Some(free) = self.ways.iter().position(Option::is_none) {
            return free;
        }
        let mut way = 0;
        for other in 1..WAYS {
            if self.hits[other] < self.hits[way] {
                way = other;
            }
        }
        let least = self.hits[way];
        for hits in &mut self.hits {
            *hits -= least;
        }
        way
    }
}

fn tag(hash: u64) -> u32 {
    (hash >> 32) as u32
}

fn matches(tags: &[u32; WAYS], tag: u32) -> impl Iterator<Item = usize> + use<> {
    let mut bits = 0_u32;
    for (way, &other) in tags.iter().enumerate() {
        bits |= u32::from(other == tag) << way;
    }
    std::iter::from_fn(move || {
        let way = bits.trailing_zeros() as usize;
        bits &= bits.wrapping_sub(1);
        (way < WAYS).then_some(way)
    })
}

// Outside of the model checker's schedules, its primitives do not work.
#[cfg(all(test, not(feature = "shuttle")))]
mod tests {
    use super::*;

    fn id(link: Option<&CachedLink>) -> Option<u64> {
        link.and_then(|l| l.link().map(|l| l.id))
    }

    fn link(key: &[u8], id: u64) -> CachedLink {
        CachedLink::present(key, id, 301, b"https://t.example/", false)
    }

    #[test]
    fn keys_with_one_hash_are_told_apart() {
        let shared = SharedCache::new(1 << 20);
        let mut local = LocalCache::new(64);
        let (hash, stamp) = (0, shared.stamp(0));
        local.insert(hash, stamp, link(b"a.example/", 1));
        assert_eq!(id(local.get(&shared, hash, b"b.example/")), None);
        local.insert(hash, stamp, link(b"b.example/", 2));
        assert_eq!(id(local.get(&shared, hash, b"a.example/")), Some(1));
        assert_eq!(id(local.get(&shared, hash, b"b.example/")), Some(2));
        local.insert(hash, stamp, link(b"a.example/", 3));
        assert_eq!(id(local.get(&shared, hash, b"a.example/")), Some(3));
    }

    #[test]
    fn a_stale_entry_is_not_served_and_let_go() {
        let shared = SharedCache::new(1 << 20);
        let mut local = LocalCache::new(64);
        let hash = shared.hash(b"a.example/");
        local.insert(hash, shared.stamp(hash), link(b"a.example/", 1));
        shared.replace(hash, b"a.example/", None);
        assert_eq!(id(local.get(&shared, hash, b"a.example/")), None);
        assert!(local.sets.iter().all(|set| set.ways.iter().all(Option::is_none)));
    }

    #[test]
    fn what_is_asked_for_survives_what_is_not() {
        let shared = SharedCache::new(1 << 20);
        let mut local = LocalCache::new(WAYS);
        assert_eq!(local.sets.len(), 1);
        let stamp = shared.stamp(0);
        local.insert(0, stamp, link(b"hot", 0));
        for number in 1..1000_u64 {
            local.insert(0, stamp, link(number.to_string().as_bytes(), number));
            if number % 4 == 0 {
                assert_eq!(id(local.get(&shared, 0, b"hot")), Some(0), "after {number}");
            }
        }
    }

    #[test]
    fn what_was_hot_long_ago_makes_room() {
        let shared = SharedCache::new(1 << 20);
        let mut local = LocalCache::new(WAYS);
        let stamp = shared.stamp(0);
        let mut hits_of_round = |generation: u64| {
            let ask = |key| {
                let name = format!("{generation}/{key}").into_bytes();
                let hit = local.get(&shared, 0, &name).is_some();
                if !hit {
                    local.insert(0, stamp, link(&name, key));
                }
                hit
            };
            (0..WAYS as u64).map(ask).filter(|&hit| hit).count()
        };
        assert_eq!((0..20).map(|_| hits_of_round(1)).last(), Some(WAYS));
        assert_eq!((0..100).map(|_| hits_of_round(2)).last(), Some(WAYS));
    }
}
