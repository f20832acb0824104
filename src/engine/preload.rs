//! Fills the shared cache from the store before the first request comes.

use std::sync::Arc;
use std::sync::atomic::{AtomicBool, AtomicU64, Ordering::Relaxed};
use std::time::{Duration, Instant};

use crossbeam_channel::{Receiver, RecvTimeoutError, Sender};

use super::read::{cached_link, decode_entry};
use crate::cache::{BulkFill, SharedCache, SharedFilter};
use crate::link::PlainEntry;

/// How often whoever waits for the end looks whether there will be one.
const LOOK_AGAIN: Duration = Duration::from_millis(50);

/// What came of preloading.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct Preloaded {
    /// How many links were put into the cache; about, if it is full.
    pub links: u64,
    /// How long it took.
    pub took: Duration,
    /// Whether the cache was full before all of them were in.
    pub is_full: bool,
}

/// Why the cache was not preloaded.
#[derive(Debug, Clone, PartialEq, Eq, thiserror::Error)]
pub enum PreloadError {
    /// The store could not be read to the end; this is its error.
    #[error("{0}")]
    Unreadable(String),
    /// The store is closed, to be opened again.
    #[error("the store failed while it was written, and is to be opened again first")]
    Interrupted,
}

/// A preloading that is under way.
pub(super) struct Preload {
    cache: Arc<SharedCache>,
    threads: usize,
    start: Instant,
    links: AtomicU64,
    is_full: AtomicBool,
    /// Nobody waits for it any more.
    is_given_up: Arc<AtomicBool>,
    done: Sender<Result<Preloaded, PreloadError>>,
}

/// Where one waits for the end of a preloading.
pub(super) struct PreloadEnd {
    ended: Receiver<Result<Preloaded, PreloadError>>,
    is_given_up: Arc<AtomicBool>,
}

impl PreloadEnd {
    /// Waits for it. While no filter is built, nothing is preloaded either, and nobody knows for how long: then it is given
    /// up.
    pub(super) fn wait(self, filter: &SharedFilter) -> Result<Preloaded, PreloadError> {
        loop {
            match self.ended.recv_timeout(LOOK_AGAIN) {
                Ok(ended) => return ended,
                Err(RecvTimeoutError::Timeout) if !filter.is_suspended() => {}
                Err(_) => {
                    self.is_given_up.store(true, Relaxed);
                    return Err(PreloadError::Interrupted);
                }
            }
        }
    }
}

impl Preload {
    /// A preloading with so many threads, and its end, which is an interruption if it is dropped before.
    pub(super) fn new(cache: Arc<SharedCache>, threads: usize) -> (Self, PreloadEnd) {
        let (done, ended) = crossbeam_channel::bounded(1);
        let (start, links, is_full) = (Instant::now(), AtomicU64::new(0), AtomicBool::new(false));
        let is_given_up = Arc::<AtomicBool>::default();
        let end = PreloadEnd { ended, is_given_up: Arc::clone(&is_given_up) };
        (Preload { cache, threads, start, links, is_full, is_given_up, done }, end)
    }

    /// Whether nobody waits for it any more.
    pub(super) fn is_given_up(&self) -> bool {
        self.is_given_up.load(Relaxed)
    }

    pub(super) fn threads(&self) -> usize {
        self.threads
    }

    /// Tells how many entries will come, about.
    pub(super) fn expect(&self, entries: u64) {
        self.cache.expect(entries);
    }

    /// Begins with a part of the store, which must not have been read yet. None once the cache is full
    /// or nobody waits for it.
    pub(super) fn begin_part(&self) -> Option<PreloadPart<'_>> {
        let is_over = self.is_full.load(Relaxed) || self.is_given_up();
        (!is_over).then(|| PreloadPart { preload: self, fill: BulkFill::new(&self.cache) })
    }

    /// Tells that all is in that can be. Later calls tell nothing.
    pub(super) fn finish(&self) {
        let (links, is_full) = (self.links.load(Relaxed), self.is_full.load(Relaxed));
        // Full: it was told before. Gone: nobody wants to know.
        let _ = self.done.try_send(Ok(Preloaded { links, took: self.start.elapsed(), is_full }));
    }

    /// Tells that the store can't be read, unless it was told before that all is in.
    pub(super) fn fail(&self, reason: String) {
        let _ = self.done.try_send(Err(PreloadError::Unreadable(reason)));
    }
}

/// A part of the store on its way into the cache.
pub(super) struct PreloadPart<'a> {
    preload: &'a Preload,
    fill: BulkFill<'a>,
}

impl PreloadPart<'_> {
    /// Puts an entry into the cache, unless that is full, or the entry was changed since the part was begun. One that
    /// is damaged is left out: whoever asks for it hears of that.
    pub(super) fn take(&mut self, hash: u64, key: &[u8], value: &[u8]) {
        if self.preload.is_full.load(Relaxed) {
            return;
        }
        match PlainEntry::read(key, value) {
            Some(PlainEntry { id, status, target, query_links }) => {
                self.fill.add_present(hash, key, id.0, status.code(), target, query_links > 0);
            }
            None => match decode_entry(key, value) {
                Ok(entry) => self.fill.add(hash, &cached_link(key, &entry)),
                Err(_) => return,
            },
        }
        if self.fill.is_full() {
            self.preload.is_full.store(true, Relaxed);
            self.bring();
            // Without what the other threads have on their way.
            self.preload.finish();
        }
    }

    fn bring(&mut self) {
        self.preload.links.fetch_add(self.fill.finish(), Relaxed);
    }
}

impl Drop for PreloadPart<'_> {
    fn drop(&mut self) {
        self.bring();
    }
}
