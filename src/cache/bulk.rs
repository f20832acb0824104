//! Filling the shared cache with many links at a time.

use super::entry::CachedLink;
use super::origins::KnownOrigins;
use super::record::Parts;
use super::shared::{SharedCache, Stamps};

/// So many links for one shard are brought there together. Threads that fill the cache at the same time would else wait for
/// each other's cores to give the shard's lines back, link by link.
const LINKS_TOGETHER: usize = 32;

/// Links on their way from the store into the shared cache.
pub struct BulkFill<'a> {
    cache: &'a SharedCache,
    /// From before the store was read (I5).
    stamps: Stamps,
    /// By shard.
    waiting: Box<[WaitingRecords]>,
    origins: KnownOrigins,
    links: u64,
    is_full: bool,
}

/// Links for one shard, as their records: one after the other in memory that stays.
#[derive(Default)]
pub(super) struct WaitingRecords {
    heads: Vec<Head>,
    bytes: Vec<u8>,
}

/// What is known of a record beside its bytes.
pub(super) struct Head {
    pub(super) hash: u64,
    /// Whether it is a link, and not the fact that there is none.
    pub(super) is_link: bool,
    /// Where the record ends.
    end: usize,
}

impl WaitingRecords {
    pub(super) fn len(&self) -> usize {
        self.heads.len()
    }

    /// Each with its record.
    pub(super) fn iter(&self) -> impl Iterator<Item = (&Head, &[u8])> {
        let mut start = 0;
        self.heads.iter().map(move |head| {
            let record = &self.bytes[start..head.end];
            start = head.end;
            (head, record)
        })
    }

    pub(super) fn add(&mut self, hash: u64, parts: &Parts<'_>, is_link: bool) {
        parts.append(hash as u32, &mut self.bytes);
        self.heads.push(Head { hash, is_link, end: self.bytes.len() });
    }

    fn clear(&mut self) {
        self.heads.clear();
        self.bytes.clear();
    }
}

impl<'a> BulkFill<'a> {
    /// Begins to fill. What is [added](Self::add) must be read from the store after this call.
    pub fn new(cache: &'a SharedCache) -> Self {
        let waiting = std::iter::repeat_with(WaitingRecords::default).take(cache.shards()).collect();
        BulkFill { cache, stamps: cache.stamps(), waiting, origins: KnownOrigins::default(), links: 0, is_full: false }
    }

    /// Takes what the store has under a key, with the hash of that. It is left out if the stripe has changed since the
    /// filling began, and once there is no room for it: nothing is pushed out.
    pub fn add(&mut self, hash: u64, link: &CachedLink) {
        let parts = Parts::of(link, |target| self.cache.origins().split_known(target, &mut self.origins));
        self.put(hash, &parts, link.link().is_some());
    }

    /// The same with a link as [`CachedLink::present`] makes it, without making one.
    pub fn add_present(&mut self, hash: u64, key: &[u8], id: u64, status: u16, target: &[u8], has_query_links: bool) {
        let target = self.cache.origins().split_known(target, &mut self.origins);
        let flags = CachedLink::flags_of_present(has_query_links);
        self.put(hash, &Parts { flags, id, status, key, target, terms: &[] }, true);
    }

    fn put(&mut self, hash: u64, parts: &Parts<'_>, is_link: bool) {
        let shard = self.cache.shard_of(hash);
        self.waiting[shard].add(hash, parts, is_link);
        if self.waiting[shard].len() >= LINKS_TOGETHER {
            self.bring(shard);
        }
    }

    /// Whether there was no room for one.
    pub fn is_full(&self) -> bool {
        self.is_full
    }

    /// Brings in what waits, and tells how many links came into the cache in all; entries without a link do not count.
    pub fn finish(&mut self) -> u64 {
        (0..self.waiting.len()).for_each(|shard| self.bring(shard));
        std::mem::take(&mut self.links)
    }

    fn bring(&mut self, shard: usize) {
        let (links, has_room) = self.cache.fill_shard(shard, &self.stamps, &self.waiting[shard]);
        self.links += links;
        self.is_full |= !has_room;
        self.waiting[shard].clear();
    }
}

// Outside of the model checker's schedules, its primitives do not work.
#[cfg(all(test, not(feature = "shuttle")))]
mod tests {
    use super::*;

    fn link(key: &str) -> CachedLink {
        CachedLink::present(key.as_bytes(), 1, 301, b"https://to.example/", false)
    }

    #[test]
    fn what_is_added_is_found_but_for_what_was_changed_meanwhile() {
        let cache = SharedCache::new(32 << 20);
        let keys: Vec<String> = (0..5_000).map(|number| format!("*/{number}")).collect();
        let mut fill = BulkFill::new(&cache);
        let changed = cache.hash(b"*/7");
        cache.replace(changed, b"*/7", Some(link("*/7")));
        keys.iter().for_each(|key| fill.add(cache.hash(key.as_bytes()), &link(key)));
        fill.add(cache.hash(b"*/path"), &CachedLink::absent(b"*/path", true));
        let links = fill.finish();
        let missing: Vec<&String> =
            keys.iter().filter(|key| cache.get(cache.hash(key.as_bytes()), key.as_bytes()).is_none()).collect();
        // With it go the few whose stripe it shares.
        assert!(missing.iter().any(|key| *key == "*/7") && missing.len() < 30, "{missing:?}");
        assert_eq!(links, (keys.len() - missing.len()) as u64);
        assert!(!fill.is_full() && fill.finish() == 0);
        assert!(cache.get(cache.hash(b"*/path"), b"*/path").is_some_and(|entry| entry.has_query_links()));
    }

    #[test]
    fn when_it_is_full_nothing_has_gone() {
        let cache = SharedCache::new(1 << 20);
        let mut fill = BulkFill::new(&cache);
        let mut added = 0;
        while !fill.is_full() {
            let key = format!("*/{added}");
            fill.add(cache.hash(key.as_bytes()), &link(&key));
            added += 1;
        }
        let links = fill.finish();
        let stats = cache.stats();
        assert_eq!((stats.entries as u64, stats.evictions), (links, 0));
        assert!(links > 8_000 && stats.bytes <= 1 << 20, "{links} {stats:?}");
    }
}
