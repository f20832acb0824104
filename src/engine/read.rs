//! The read path: from a key to a link, through the caches.

use std::sync::Arc;

use super::resolve::Lookup;
use crate::cache::{CachedLink, LocalCache, SharedCache, Stamp};
use crate::link::StoredEntry;
use crate::store::{Store, StoreError};

/// Reads an entry from a store; the empty entry if there is none.
pub(super) fn stored_entry(store: &dyn Store, key: &[u8]) -> Result<StoredEntry, StoreError> {
    match store.get(key)? {
        Some(bytes) => StoredEntry::decode(key, &bytes)
            .map_err(|error| StoreError::Damaged { key: String::from_utf8_lossy(key).into_owned(), error }),
        None => Ok(StoredEntry::default()),
    }
}

/// An entry as the caches hold it.
pub(super) fn cached_link(key: &[u8], entry: &StoredEntry) -> CachedLink {
    let has_query_links = entry.query_links > 0;
    match &entry.link {
        Some(link) => {
            let target = link.destination.target().map_or("", |target| target.as_str());
            let status = link.destination.status().code();
            CachedLink::present(key, link.id.0, status, target.as_bytes(), has_query_links)
        }
        None => CachedLink::absent(key, has_query_links),
    }
}

/// One thread's way to the links: its own cache, then the shared one.
pub struct ReadPath {
    local: LocalCache,
    shared: Arc<SharedCache>,
    /// What the store said for the request at hand. The caches may have lost it again before it is looked at.
    fetched: Vec<CachedLink>,
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
    pub(super) fn new(shared: Arc<SharedCache>, local_entries: usize) -> Self {
        ReadPath { local: LocalCache::new(local_entries), shared, fetched: Vec::new() }
    }

    /// Whether nothing of this stripe was changed since the miss: only then may a later request share its answer.
    pub fn is_current(&self, miss: &Miss) -> bool {
        self.shared.is_current(miss.hash, miss.stamp)
    }

    /// Takes what the store said for a miss of the request at hand.
    pub fn add_fetched(&mut self, miss: &Miss, link: CachedLink) {
        self.local.insert(miss.hash, miss.stamp, link.clone());
        self.fetched.push(link);
    }

    /// Forgets what was fetched: the next request is another one.
    pub fn clear_fetched(&mut self) {
        self.fetched.clear();
    }
}

impl Lookup for ReadPath {
    type Error = Miss;

    fn with<T>(&mut self, key: &[u8], use_entry: impl FnOnce(&CachedLink) -> T) -> Result<T, Miss> {
        let hash = self.shared.hash(key);
        // I4: a hit here writes to nothing that another thread reads.
        if let Some(link) = self.local.get(&self.shared, hash, key) {
            return Ok(use_entry(link));
        }
        // Before the shared cache and the store are looked at: what is newer than they say is newer than this.
        let stamp = self.shared.stamp(hash);
        if let Some(link) = self.shared.get(hash, key) {
            let result = use_entry(&link);
            self.local.insert(hash, stamp, link);
            return Ok(result);
        }
        match self.fetched.iter().find(|link| link.key() == key) {
            Some(link) => Ok(use_entry(link)),
            None => Err(Miss { key: key.into(), hash, stamp }),
        }
    }
}
