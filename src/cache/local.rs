//! The cache of one worker, and how often it was used.

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

/// A worker's own cache (L1): set-associative, so a lookup is two or three cache lines, the stamp and the link.
///
/// It has no lock and no atomics. An entry is valid as long as the stamp it came with is, so the writer need not
/// know of it.
///
/// Beside each link stands how often it was [counted](Self::count) since the last [drain](Self::drain): one addition on a
/// line that the lookup has brought. Nothing that was counted is lost: what an entry has when it is pushed out or found
/// stale is kept until the next drain.
pub struct LocalCache {
    sets: Box<[Set]>,
    /// By another part of the hash than the sets, eight bits of the key that was [offered](Self::offer) last.
    offered: Box<[u8]>,
    /// Says whether the next one takes the place of another.
    offers: u32,
    inserts: u32,
    /// Where the entry is that was found or inserted last.
    last: Place,
    /// What was counted of entries that are not here any more, or too often for them.
    gone: Vec<(CachedLink, Tally)>,
    /// Whether anything was counted since the last drain began.
    has_counts: bool,
    /// The sets before this one are drained. All are where none is under way.
    drained_sets: usize,
}

/// How many sets are drained at a time: some tens of microseconds, or two hundred if all of their entries were counted.
const DRAINED_SETS: usize = 1_024;

/// How often a link was counted, by class.
pub type Tally = [u32; CLASSES];

/// How many classes there are of what is counted.
pub const CLASSES: usize = 4;

/// The tags and hits come first; a way is on the line behind them or on two.
#[repr(C, align(64))]
struct Set {
    tags: [u32; WAYS],
    hits: [u8; WAYS],
    ways: [Option<Way>; WAYS],
}

struct Way {
    stamp: Stamp,
    link: CachedLink,
    counts: [u8; CLASSES],
    /// Of the marks that were counted last.
    marks: [u16; MARKS],
}

/// How many marks an entry remembers.
const MARKS: usize = 2;

const _: () = assert!(size_of::<Option<Way>>() == 24 && size_of::<Set>() == 256);

/// An entry: its set, and its way.
#[derive(Clone, Copy)]
struct Place {
    set: u32,
    way: u32,
}

/// What counting said.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct Counted {
    /// Which one of its class it is since the entry was drained last; after 255 it begins at 1 again.
    pub nth: u8,
    /// Whether the mark was not among the last of this entry.
    pub is_new_mark: bool,
}

impl LocalCache {
    /// A cache for `entries` links, rounded up to a power of two of at least eight. The table takes 33 bytes an
    /// entry at once; the links it holds stay allocated until they are pushed out or found stale.
    pub fn new(entries: usize) -> Self {
        let sets = entries.div_ceil(WAYS).next_power_of_two();
        let set = || Set { tags: [0; WAYS], hits: [0; WAYS], ways: [const { None }; WAYS] };
        let last = Place { set: 0, way: 0 };
        Self {
            sets: std::iter::repeat_with(set).take(sets).collect(),
            offered: vec![0; sets * WAYS].into(),
            offers: 0,
            inserts: 0,
            last,
            gone: Vec::new(),
            has_counts: false,
            drained_sets: sets,
        }
    }

    /// The entry of this key, if it is here and nothing in its stripe has changed since its stamp was taken.
    ///
    /// `hash` is [`SharedCache::hash`] of `key`.
    pub fn get(&mut self, shared: &SharedCache, hash: u64, key: &[u8]) -> Option<&CachedLink> {
        let index = self.index(hash);
        let set = &mut self.sets[index];
        let mut place = None;
        for way in matches(&set.tags, tag(hash)) {
            let Some(entry) = &set.ways[way] else { continue };
            // I5: an old stamp may mean an old link. The tag includes the stripe, so this is the entry's own
            // stripe even if the key is another; let go of the link, no one can ask for it any more.
            if !shared.is_current(hash, entry.stamp) {
                if let Some(stale) = set.ways[way].take() {
                    stale.leave(&mut self.gone);
                }
                set.hits[way] = 0;
            } else if entry.link.key() == key {
                place = Some(way);
                break;
            }
        }
        let way = place?;
        self.last = Place { set: index as u32, way: way as u32 };
        set.hits[way] = (set.hits[way] + 1).min(HITS_MAX);
        // I4: a reference, not a clone: the count of the link is on a line that other workers read.
        set.ways[way].as_ref().map(|entry| &entry.link)
    }

    /// [Keeps](Self::insert) `link` if its place says that it was offered before; else gives it back. So most of what is asked
    /// for once pushes nothing out, and takes no memory that is far away.
    pub fn offer(&mut self, hash: u64, stamp: Stamp, link: CachedLink) -> Option<CachedLink> {
        let place = (hash >> 16) as usize & (self.offered.len() - 1);
        let bits = (hash >> 56) as u8;
        if self.offered[place] != bits {
            // Every second time, in no order that requests could have (Weyl sequence): two that share a place and take turns
            // would else never find themselves there.
            self.offers = self.offers.wrapping_add(0x9E37_79B9);
            if self.offers >> 31 == 0 {
                self.offered[place] = bits;
            }
            return Some(link);
        }
        self.insert(hash, stamp, link);
        None
    }

    /// Keeps `link`. `stamp` must have been taken before `link` was looked up, in the shared cache or the store.
    pub fn insert(&mut self, hash: u64, stamp: Stamp, link: CachedLink) {
        self.inserts = self.inserts.wrapping_add(1);
        let favoured = self.inserts.is_multiple_of(FAVOURED_ONE_IN);
        let index = self.index(hash);
        let set = &mut self.sets[index];
        let way = set.same(hash, link.key()).unwrap_or_else(|| set.victim());
        set.tags[way] = tag(hash);
        let mut new = Way { stamp, link, counts: [0; CLASSES], marks: [0; MARKS] };
        match set.ways[way].take() {
            // Several requests that waited for the same link each bring it.
            Some(old) if old.is_same_link(&new) => (new.counts, new.marks) = (old.counts, old.marks),
            Some(old) => old.leave(&mut self.gone),
            None => {}
        }
        set.ways[way] = Some(new);
        set.hits[way] = set.hits[way].max(u8::from(favoured));
        self.last = Place { set: index as u32, way: way as u32 };
    }

    /// Counts one of a class for the link that was found or inserted last, with a mark of whom it is for; 0 is none.
    ///
    /// # Panics
    /// If nothing was found or inserted before, or `class` is not below [`CLASSES`].
    pub fn count(&mut self, class: usize, mark: u16) -> Counted {
        let Place { set, way } = self.last;
        let way = self.sets[set as usize].ways[way as usize].as_mut().expect("what was found is still there");
        let count = &mut way.counts[class];
        if *count == u8::MAX {
            *count = 0;
            let mut tally = Tally::default();
            tally[class] = u32::from(u8::MAX);
            self.gone.push((way.link.clone(), tally));
        }
        *count += 1;
        self.has_counts = true;
        let nth = *count;
        let is_new_mark = mark != 0 && !way.marks.contains(&mark);
        if is_new_mark {
            way.marks.rotate_right(1);
            way.marks[0] = mark;
        }
        Counted { nth, is_new_mark }
    }

    /// The link that was found or inserted last.
    ///
    /// # Panics
    /// If none was before, or it is not here any more.
    pub fn last(&self) -> &CachedLink {
        let Place { set, way } = self.last;
        &self.sets[set as usize].ways[way as usize].as_ref().expect("what was found is still there").link
    }

    /// Counts one of a class for a link that may not be here.
    pub fn count_absent(&mut self, link: CachedLink, class: usize) {
        let mut tally = Tally::default();
        tally[class] = 1;
        self.gone.push((link, tally));
    }

    /// How many entries wait for the next drain although they are not here any more.
    pub fn gone(&self) -> usize {
        self.gone.len()
    }

    /// Gives what was counted since the last time, and what of it is [gone](Self::gone) first. A link may come more than
    /// once.
    pub fn drain(&mut self, mut give: impl FnMut(&CachedLink, Tally)) {
        // What was begun, and then what was counted behind it.
        while self.drain_some(&mut give) {}
        self.begin_drain();
        while self.drain_some(&mut give) {}
    }

    /// Begins to give what was counted since the last time. If that is under way, it goes on, and what was counted in the
    /// sets behind it is for the next time.
    pub fn begin_drain(&mut self) {
        if !self.is_draining() && std::mem::take(&mut self.has_counts) {
            self.drained_sets = 0;
        }
    }

    /// Gives a part of it, so that nobody waits long; whether there is more.
    pub fn drain_some(&mut self, mut give: impl FnMut(&CachedLink, Tally)) -> bool {
        self.drain_gone(&mut give);
        let end = self.sets.len().min(self.drained_sets + DRAINED_SETS);
        for way in self.sets[self.drained_sets..end].iter_mut().flat_map(|set| &mut set.ways).flatten() {
            if let Some(tally) = way.take() {
                give(&way.link, tally);
            }
        }
        self.drained_sets = end;
        self.is_draining()
    }

    /// Whether there is more to [give](Self::drain_some).
    pub fn is_draining(&self) -> bool {
        self.drained_sets < self.sets.len()
    }

    /// Gives only what is [gone](Self::gone).
    pub fn drain_gone(&mut self, mut give: impl FnMut(&CachedLink, Tally)) {
        self.gone.drain(..).for_each(|(link, tally)| give(&link, tally));
    }

    fn index(&self, hash: u64) -> usize {
        hash as usize & (self.sets.len() - 1)
    }
}

impl Way {
    /// What was counted, if anything; it begins at 0 again.
    fn take(&mut self) -> Option<Tally> {
        // As one number, for nearly all are 0 when they are asked.
        let is_counted = u32::from_ne_bytes(self.counts) != 0;
        is_counted.then(|| std::mem::take(&mut self.counts).map(u32::from))
    }

    /// Whether both are what was found under one key, and of one link.
    fn is_same_link(&self, other: &Way) -> bool {
        let id = |way: &Way| way.link.link().map(|link| link.id);
        self.link.key() == other.link.key() && id(self) == id(other)
    }

    /// Leaves what was counted behind.
    fn leave(mut self, gone: &mut Vec<(CachedLink, Tally)>) {
        if let Some(tally) = self.take() {
            gone.push((self.link, tally));
        }
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
    fn what_is_offered_again_is_kept() {
        let shared = SharedCache::new(1 << 20);
        let stamp = shared.stamp(5);
        // All have the same place, and take turns.
        for keys in [1_u64, 2, 3] {
            let mut local = LocalCache::new(64);
            let hash = |key: u64| (0x70 + key) << 56 | 5;
            let mut rounds = 0;
            while (0..keys).any(|key| local.get(&shared, hash(key), &[key as u8]).is_none()) {
                for key in 0..keys {
                    if local.get(&shared, hash(key), &[key as u8]).is_none() {
                        let back = local.offer(hash(key), stamp, link(&[key as u8], key + 1));
                        assert!(rounds > 0 || id(back.as_ref()) == Some(key + 1), "it was not offered before");
                    }
                }
                rounds += 1;
                assert!(rounds < 100, "{keys}");
            }
        }
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
    fn a_drain_in_parts_gives_every_count_once() {
        let shared = SharedCache::new(1 << 20);
        let mut local = LocalCache::new(4 * DRAINED_SETS * WAYS);
        let keys: Vec<Vec<u8>> = (0..1_000).map(|number| format!("a.example/{number}").into_bytes()).collect();
        for (number, key) in keys.iter().enumerate() {
            let hash = shared.hash(key);
            local.insert(hash, shared.stamp(hash), link(key, number as u64));
        }
        let count = |local: &mut LocalCache| {
            for key in &keys {
                assert!(local.get(&shared, shared.hash(key), key).is_some());
                local.count(0, 0);
            }
        };
        let mut counted = vec![0; 1_000];
        let mut give = |link: &CachedLink, tally: Tally| counted[id(Some(link)).unwrap() as usize] += tally[0];
        count(&mut local);
        local.begin_drain();
        for _ in 0..2 {
            assert!(local.drain_some(&mut give));
        }
        // In sets that are drained, and in others.
        count(&mut local);
        // The next time has come too early.
        local.begin_drain();
        while local.drain_some(&mut give) {}
        count(&mut local);
        local.begin_drain();
        assert!(local.drain_some(&mut give));
        local.drain(&mut give);
        assert_eq!(counted, [3; 1_000]);
        local.begin_drain();
        assert!(!local.is_draining(), "nothing was counted since");
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
    fn what_is_counted_comes_out_once_whatever_becomes_of_the_entry() {
        let shared = SharedCache::new(1 << 20);
        let mut local = LocalCache::new(WAYS);
        let mut expected = vec![[0_u64; CLASSES]; 40];
        let mut drained = expected.clone();
        let mut random = fastrand::Rng::with_seed(1);
        for turn in 0..20_000 {
            let number = random.usize(..expected.len());
            let key = number.to_string().into_bytes();
            // All in one set, so that they push each other out.
            if local.get(&shared, 0, &key).is_none() {
                local.insert(0, shared.stamp(0), link(&key, number as u64));
            }
            let class = random.usize(..CLASSES);
            for _ in 0..if random.u8(..50) == 0 { 600 } else { 1 } {
                local.count(class, 0);
                expected[number][class] += 1;
            }
            let mut give = |link: &CachedLink, tally: Tally| {
                let id = link.link().unwrap().id as usize;
                assert_eq!(link.key(), id.to_string().as_bytes());
                tally.iter().zip(&mut drained[id]).for_each(|(&more, count)| *count += u64::from(more));
            };
            match turn % 100 {
                0 => local.drain(&mut give),
                50 => local.drain_gone(&mut give),
                // Everything is stale from here on.
                75 => shared.replace(0, b"x", None),
                _ => {}
            }
        }
        local.drain(|link, tally| {
            let id = link.link().unwrap().id as usize;
            tally.iter().zip(&mut drained[id]).for_each(|(&more, count)| *count += u64::from(more));
        });
        assert_eq!(drained, expected);
        local.drain(|link, tally| panic!("{link:?} again: {tally:?}"));
    }

    #[test]
    fn counting_tells_which_one_it_was_and_whether_its_mark_is_new() {
        let shared = SharedCache::new(1 << 20);
        let mut local = LocalCache::new(WAYS);
        local.insert(0, shared.stamp(0), link(b"a.example/", 1));
        let counted = |nth, is_new_mark| Counted { nth, is_new_mark };
        assert_eq!(local.count(0, 7), counted(1, true));
        assert_eq!(local.count(0, 7), counted(2, false));
        assert_eq!(local.count(0, 8), counted(3, true));
        assert_eq!(local.count(0, 7), counted(4, false));
        assert_eq!(local.count(1, 0), counted(1, false));
        assert_eq!(local.count(0, 9), counted(5, true));
        assert_eq!(local.count(0, 7), counted(6, true));
        local.drain(|_, tally| assert_eq!(tally, [6, 1, 0, 0]));
        assert_eq!(local.count(0, 9), counted(1, false), "marks stay");
        local.insert(0, shared.stamp(0), link(b"a.example/", 1));
        assert_eq!(local.count(0, 9), counted(2, false), "the same link");
        local.insert(0, shared.stamp(0), link(b"a.example/", 2));
        assert_eq!(local.count(0, 9), counted(1, true));
        assert_eq!(local.gone(), 1);
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
