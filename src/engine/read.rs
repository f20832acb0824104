//! The read path: from a key to a link, through the caches.

use std::sync::Arc;

use super::resolve::Lookup;
use crate::cache::{CachedLink, Counted, HeldFilter, LocalCache, SharedCache, Stamp, Tally};
use crate::link::{PlainEntry, StoredEntry, Terms};
use crate::store::{Store, StoreError, keyspace};

/// Reads the entry of a canonical key from a store; the empty entry if there is none.
pub(super) fn stored_entry(store: &dyn Store, key: &[u8]) -> Result<StoredEntry, StoreError> {
    match store.get(&keyspace::entry_key(key))? {
        Some(bytes) => decode_entry(key, &bytes),
        None => Ok(StoredEntry::default()),
    }
}

/// Decodes an entry that a store has under a key.
pub(super) fn decode_entry(key: &[u8], bytes: &[u8]) -> Result<StoredEntry, StoreError> {
    StoredEntry::decode(key, bytes)
        .map_err(|error| StoreError::Damaged { key: String::from_utf8_lossy(key).into_owned(), error })
}

/// What a store has under a key, as the caches hold it.
pub(super) fn stored_link(store: &dyn Store, key: &[u8]) -> Result<CachedLink, StoreError> {
    match store.get(&keyspace::entry_key(key))? {
        Some(bytes) => decode_link(key, &bytes),
        None => Ok(CachedLink::absent(key, false)),
    }
}

/// Decodes an entry that a store has under a key, as the caches hold it.
pub(super) fn decode_link(key: &[u8], bytes: &[u8]) -> Result<CachedLink, StoreError> {
    if let Some(plain) = PlainEntry::read(key, bytes) {
        let PlainEntry { id, status, target, query_links } = plain;
        return Ok(CachedLink::present(key, id.0, status.code(), target, query_links > 0));
    }
    Ok(cached_link(key, &decode_entry(key, bytes)?))
}

/// An entry as the caches hold it.
pub fn cached_link(key: &[u8], entry: &StoredEntry) -> CachedLink {
    let has_query_links = entry.query_links > 0;
    match &entry.link {
        Some(link) => {
            let target = link.destination.target().map_or("", |target| target.as_str());
            let status = link.destination.status().code();
            let terms = Terms::encode(&link.options);
            CachedLink::with_terms(key, link.id.0, status, target.as_bytes(), &terms, has_query_links)
        }
        None => CachedLink::absent(key, has_query_links),
    }
}

/// One thread's way to the links: its own cache, then the filter of all keys, then the shared cache.
pub struct ReadPath {
    local: LocalCache,
    filter: HeldFilter,
    shared: Arc<SharedCache>,
    /// What is said of every key that the filter rules out.
    absent: CachedLink,
    /// What was looked up last, if it is not in the local cache.
    elsewhere: Option<CachedLink>,
}

/// What the caches don't know: the store must be asked, by a [`ReaderPool`](super::ReaderPool).
#[derive(Debug, Clone)]
pub struct Miss {
    /// The canonical key.
    pub key: Box<[u8]>,
    /// Its hash.
    pub hash: u64,
    /// Taken before the caches were looked at.
    pub stamp: Stamp,
}

impl ReadPath {
    pub(super) fn new(shared: Arc<SharedCache>, filter: HeldFilter, local_entries: usize) -> Self {
        let absent = CachedLink::absent(b"", false);
        ReadPath { local: LocalCache::new(local_entries), filter, shared, absent, elsewhere: None }
    }

    /// The lookups of one request. `fetched` is what the store said to its misses so far: the caches may have
    /// lost it again before it is looked at.
    pub fn lookup<'a>(&'a mut self, fetched: &'a [CachedLink]) -> RequestLookup<'a> {
        RequestLookup { path: self, fetched }
    }

    /// Whether nothing of this stripe was changed since the miss: only then may a later request share its answer.
    pub fn is_current(&self, miss: &Miss) -> bool {
        self.shared.is_current(miss.hash, miss.stamp)
    }

    /// Keeps in this thread's own cache what the store said to a miss.
    pub fn remember(&mut self, miss: &Miss, link: CachedLink) {
        self.local.insert(miss.hash, miss.stamp, link);
    }

    /// Counts a click of a class for the link that was looked up last, with a mark of who clicked; 0 is none.
    ///
    /// # Panics
    /// If nothing was looked up before.
    pub fn count(&mut self, class: usize, mark: u16) -> Counted {
        match &self.elsewhere {
            None => self.local.count(class, mark),
            Some(link) => {
                self.local.count_absent(link.clone(), class);
                Counted { nth: 1, is_new_mark: mark != 0 }
            }
        }
    }

    /// The link that was looked up last.
    ///
    /// # Panics
    /// If nothing was looked up before, or there is no link.
    pub fn counted(&self) -> &CachedLink {
        self.elsewhere.as_ref().unwrap_or_else(|| self.local.last())
    }

    /// Takes up another filter of all keys if there is one. Lookups do, too; a thread without lookups would keep the memory
    /// of the one before, and so calls this now and then.
    pub fn renew_filter(&mut self) {
        self.filter.renew();
    }

    /// How many links wait for the next drain that are not in this thread's own cache any more.
    pub fn gone(&self) -> usize {
        self.local.gone()
    }

    /// Gives the clicks that were counted since the last time.
    pub fn drain(&mut self, give: impl FnMut(&CachedLink, Tally)) {
        self.local.drain(give);
    }

    /// Begins to give the clicks that were counted since the last time.
    pub fn begin_drain(&mut self) {
        self.local.begin_drain();
    }

    /// Gives a part of them, so that no request waits long; whether there are more.
    pub fn drain_some(&mut self, give: impl FnMut(&CachedLink, Tally)) -> bool {
        self.local.drain_some(give)
    }

    /// Whether there are more to [give](Self::drain_some).
    pub fn is_draining(&self) -> bool {
        self.local.is_draining()
    }

    /// Gives only those of links that are [gone](Self::gone).
    pub fn drain_gone(&mut self, give: impl FnMut(&CachedLink, Tally)) {
        self.local.drain_gone(give);
    }
}

/// The lookups of one request; see [`ReadPath::lookup`].
pub struct RequestLookup<'a> {
    path: &'a mut ReadPath,
    fetched: &'a [CachedLink],
}

impl Lookup for RequestLookup<'_> {
    type Error = Miss;

    fn with<T>(&mut self, key: &[u8], use_entry: impl FnOnce(&CachedLink) -> T) -> Result<T, Miss> {
        let ReadPath { local, filter, shared, absent, elsewhere } = self.path;
        *elsewhere = None;
        let hash = shared.hash(key);
        // I4: a hit here writes to nothing that another thread reads.
        if let Some(link) = local.get(shared, hash, key) {
            return Ok(use_entry(link));
        }
        // Nothing of it is kept: who asks for keys that do not exist pushes out no link that does.
        if filter.rules_out(hash) {
            return Ok(use_entry(absent));
        }
        // Before the shared cache and the store are looked at: what is newer than they say is newer than this.
        let stamp = shared.stamp(hash);
        if let Some(link) = shared.get(hash, key) {
            let result = use_entry(&link);
            *elsewhere = local.offer(hash, stamp, link);
            return Ok(result);
        }
        match self.fetched.iter().find(|link| link.key() == key) {
            Some(link) => {
                *elsewhere = Some(link.clone());
                Ok(use_entry(link))
            }
            None => Err(Miss { key: key.into(), hash, stamp }),
        }
    }
}
