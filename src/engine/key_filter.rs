//! The thread that builds the filter of all keys, and fills the cache on the way if it is asked to.

use std::io::Write;
use std::panic::{AssertUnwindSafe, catch_unwind};
use std::sync::Arc;
use std::sync::atomic::{AtomicU64, Ordering::Relaxed};
use std::thread::JoinHandle;
use std::time::{Duration, Instant};

use super::Engine;
use super::preload::Preload;
use super::scan::scan_entries;
use crate::cache::{FilterBuild, SharedFilter};
use crate::store::StoreError;

/// For how many keys the first filter is made, in percent of those that the store thinks it has: it does not know
/// exactly, and others will come.
const ROOM_AT_FIRST: u64 = 125;

/// The same, in percent of the keys that there are, for a filter that replaces one: so that it takes long until this one
/// is full.
const ROOM_LATER: u64 = 200;

/// After a filter was built, none is built for so many times as long as that took. So a tenth of a core at most is spent on
/// it while millions of links come.
const REST: u32 = 10;

/// How long none is built after one could not be.
const REST_AFTER_FAILURE: Duration = Duration::from_secs(60);

/// How many keys are added to it at a time.
const HASHES_TOGETHER: usize = 32;

/// How much it gives way to those who answer requests, as `nice` counts.
const NICENESS: i32 = 10;

/// Keeps the filter of all keys: builds it, and builds it again when it is full, when many of its keys have gone, or
/// when it is far larger than they need. Ends
/// when it is dropped; until the engine is closed the filter goes on as it is then.
pub struct FilterKeeper {
    filter: Arc<SharedFilter>,
    thread: Option<JoinHandle<()>>,
}

impl FilterKeeper {
    /// Starts it. The first filter is built by as many threads as the preloading has, if there is any.
    pub(super) fn start(engine: &Arc<Engine>, preload: Option<Preload>) -> std::io::Result<Self> {
        let filter = Arc::clone(&engine.views.filter);
        let engine = Arc::clone(engine);
        let thread = std::thread::Builder::new().name("carom-filter".to_owned());
        let thread = thread.spawn(move || run(&engine, preload))?;
        Ok(FilterKeeper { filter, thread: Some(thread) })
    }
}

impl Drop for FilterKeeper {
    fn drop(&mut self) {
        self.filter.close();
        if let Some(thread) = self.thread.take() {
            // What may panic is caught there.
            let _ = thread.join();
        }
    }
}

fn run(engine: &Engine, mut preload: Option<Preload>) {
    let filter = &engine.views.filter;
    let mut not_before = Instant::now();
    while let Some(present) = filter.wait_until_due(not_before) {
        let start = Instant::now();
        let keys = match present {
            Some(keys) => keys.saturating_mul(ROOM_LATER) / 100,
            None => {
                let estimated = engine.store.try_get().map_or(0, |store| store.estimated_keys());
                estimated.saturating_mul(ROOM_AT_FIRST) / 100
            }
        };
        // From here on the writer adds to it what it changes; so the store is asked for after this.
        let Some(build) = filter.begin(keys) else { continue };
        let preload = preload.take().filter(|preload| !preload.is_given_up());
        let read = catch_unwind(AssertUnwindSafe(|| read_keys(engine, &build, preload.as_ref())));
        let read = read.unwrap_or_else(|_| {
            let reason = "reading it led to a panic, so its contents are most likely damaged. Stop carom and run \
                          `carom rebuild`: the store is built again from snapshots and log";
            Err(StoreError::Backend(reason.to_owned()))
        });
        match read {
            // Whatever the store said while it was being replaced: it is to be read anew.
            _ if build.is_cancelled().load(Relaxed) => {}
            Ok(keys) => {
                if filter.publish(&build, keys) {
                    preload.iter().for_each(Preload::finish);
                }
                not_before = Instant::now() + start.elapsed() * REST;
            }
            Err(error) => {
                not_before = Instant::now() + REST_AFTER_FAILURE;
                preload.iter().for_each(|preload| preload.fail(error.to_string()));
                if filter.fail(&build, error.to_string()) {
                    let meanwhile = match filter.status().is_ready {
                        true => "the one before, which is too small by now or too large, answers",
                        false => "also requests for what no link has are looked up in the store",
                    };
                    // Where stderr is closed, `eprintln!` would panic.
                    let _ = writeln!(
                        std::io::stderr(),
                        "carom: the filter of all keys can't be built: {error}. Until it is, which is tried each minute, \
                         {meanwhile}"
                    );
                }
            }
        }
    }
}

/// Adds the keys of all entries in the store; how many they are.
fn read_keys(engine: &Engine, build: &FilterBuild, preload: Option<&Preload>) -> Result<u64, StoreError> {
    let store = engine.store.get()?;
    let (cache, keys) = (&engine.views.cache, AtomicU64::new(0));
    let threads = preload.map_or(1, Preload::threads);
    // It may be several times as many as there are, and the index does not shrink.
    preload.iter().for_each(|preload| preload.expect(store.estimated_keys() / 2));
    scan_entries(store.as_ref(), threads, build.is_cancelled(), || {
        let mut part = preload.and_then(Preload::begin_part);
        if part.is_none() {
            // Nobody waits for it. Where it is not allowed, it goes without.
            let _ = rustix::process::setpriority_process(None, NICENESS);
        }
        let mut hashes = Hashes { build, waiting: Vec::with_capacity(HASHES_TOGETHER), keys: 0, all_keys: &keys };
        move |key: &[u8], value: &[u8]| {
            let hash = cache.hash(key);
            hashes.add(hash);
            part.iter_mut().for_each(|part| part.take(hash, key, value));
        }
    })?;
    Ok(keys.into_inner())
}

/// The hashes of the keys of a part on their way into the filter.
struct Hashes<'a> {
    build: &'a FilterBuild,
    waiting: Vec<u64>,
    /// How many there were.
    keys: u64,
    /// Those of all parts together.
    all_keys: &'a AtomicU64,
}

impl Hashes<'_> {
    fn add(&mut self, hash: u64) {
        self.waiting.push(hash);
        if self.waiting.len() >= HASHES_TOGETHER {
            self.bring();
        }
    }

    fn bring(&mut self) {
        self.build.add(&self.waiting);
        self.keys += self.waiting.len() as u64;
        self.waiting.clear();
    }
}

impl Drop for Hashes<'_> {
    fn drop(&mut self) {
        self.bring();
        self.all_keys.fetch_add(self.keys, Relaxed);
    }
}
