//! The filter of all keys in an engine: what it saves, and that it hides nothing.

use std::collections::BTreeMap;
use std::sync::atomic::AtomicU64;
use std::time::Instant;

use parking_lot::Mutex;

use super::read_path::Worker;
use super::*;
use crate::cache::{CachedLink, HeldFilter};
use crate::engine::applier::ReplayedRecord;
use crate::engine::apply::Rules;
use crate::engine::scan::scan_entries;
use crate::engine::{PreloadError, ReadPath, read};
use crate::log::ChainHash;
use crate::store::{Visit, keyspace};

/// What is done with a typed key before a visitor sees it.
type BeforeVisit = Box<dyn FnMut(&[u8]) + Send>;

/// A store in memory that counts how often it is asked, and has something done before a visitor sees a key.
#[derive(Default)]
struct Counting {
    inner: MemoryStore,
    gets: AtomicU64,
    scans: AtomicU64,
    fails: AtomicBool,
    estimated_keys: AtomicU64,
    before_visit: Mutex<Option<BeforeVisit>>,
}

impl Store for Counting {
    fn get(&self, key: &[u8]) -> Result<Option<Vec<u8>>, StoreError> {
        self.gets.fetch_add(1, Ordering::Relaxed);
        self.inner.get(key)
    }

    fn apply(&self, writes: &[Write], position: &Position) -> Result<(), StoreError> {
        self.inner.apply(writes, position)
    }

    fn position(&self) -> Result<Option<Position>, StoreError> {
        self.inner.position()
    }

    fn load(&self, writes: &[Write]) -> Result<(), StoreError> {
        self.inner.load(writes)
    }

    fn is_empty(&self) -> Result<bool, StoreError> {
        self.inner.is_empty()
    }

    fn scan(&self, from: &[u8], visit: &mut Visit<'_>) -> Result<(), StoreError> {
        if self.fails.load(Ordering::Relaxed) {
            return Err(StoreError::Backend("a bad day".to_owned()));
        }
        self.scans.fetch_add(1, Ordering::Relaxed);
        self.inner.scan(from, &mut |key, value| {
            self.before_visit.lock().iter_mut().for_each(|before| before(key));
            visit(key, value)
        })
    }

    fn estimated_keys(&self) -> u64 {
        self.estimated_keys.load(Ordering::Relaxed)
    }

    fn writes_per_apply(&self) -> usize {
        self.inner.writes_per_apply()
    }

    fn flush(&self) -> Result<(), StoreError> {
        self.inner.flush()
    }
}

/// What brings changes to the store and to the views.
struct Changes {
    applier: Applier,
    chain: ChainHash,
    sequence: u64,
}

impl Changes {
    fn make(&mut self, commands: Vec<Command>) {
        self.sequence += 1;
        let record = ReplayedRecord {
            rules: Rules::default(),
            sequence: self.sequence,
            time_ms: 0,
            chain: self.chain,
            operation: OperationId::NONE,
            fingerprint: [0; 16],
        };
        self.applier.apply_recovered(&Change::Links(commands), &record).unwrap();
    }
}

/// An engine without a writer, on a store with so many links.
fn engine_on(store: &Arc<Counting>, links: u64, cache_bytes: usize, dir: &Path) -> Arc<Engine> {
    engine_and_changes(store, links, cache_bytes, dir).0
}

/// The same, and what writes in the place of its writer.
fn engine_and_changes(store: &Arc<Counting>, links: u64, cache_bytes: usize, dir: &Path) -> (Arc<Engine>, Changes) {
    let views = Views::new(cache_bytes, None);
    let log = open_log(&dir.join("log"));
    let applier = attached(Arc::clone(store) as Arc<dyn Store>, Arc::clone(&views), recover::beginning(&log));
    let mut changes = Changes { applier, chain: log.chain(), sequence: 0 };
    (0..links).for_each(|number| changes.make(vec![put(&format!("h.example/{number}"), number)]));
    changes.applier.flush().unwrap();
    let engine = Arc::new(Engine {
        config: config(dir),
        log_id: log.id(),
        waypoints: crate::log::Waypoints::default(),
        views,
        store: Arc::new(StoreSlot::new(Arc::clone(store) as Arc<dyn Store>)),
        requests: crate::engine::requests::requests().0,
        health: SharedHealth::silent(),
        snapshot: Arc::default(),
        clicks: None,
        _lock: Arc::new(crate::engine::lock::DirectoryLock::take(dir).unwrap()),
    });
    (engine, changes)
}

#[track_caller]
fn wait_until(what: impl Fn() -> bool) {
    let start = Instant::now();
    while !what() {
        assert!(start.elapsed() < Duration::from_secs(30), "it takes too long");
        std::thread::sleep(Duration::from_millis(2));
    }
}

fn is_ready(engine: &Engine) -> bool {
    engine.status().filter.is_ready
}

/// The target of a key, by this path, and then by the store. And whether the store was asked.
fn ask(engine: &Engine, path: &mut ReadPath, key: &str) -> (Option<Vec<u8>>, bool) {
    use crate::engine::Lookup;
    let target = |link: &CachedLink| link.link().map(|link| link.target.to_vec());
    match path.lookup(&[]).with(key.as_bytes(), target) {
        Ok(target) => (target, false),
        Err(miss) => {
            let entry = engine.stored_entry(key).unwrap();
            let link = read::cached_link(key.as_bytes(), &entry);
            engine.views.cache.fill(miss.hash, miss.stamp, link.clone());
            let found = target(&link);
            path.remember(&miss, link);
            (found, true)
        }
    }
}

#[test]
fn a_flood_of_unknown_keys_reads_no_store_and_pushes_out_no_link() {
    const LINKS: u64 = 3_000;
    const FLOOD: u64 = 20_000;
    let (dir, store) = (tempfile::tempdir().unwrap(), Arc::new(Counting::default()));
    // Room for all links, and little more.
    let engine = engine_on(&store, LINKS, 256 * 1024, dir.path());
    let keeper = engine.keep_filter().unwrap();
    wait_until(|| is_ready(&engine));
    let mut path = engine.read_path(64);
    for _ in 0..2 {
        for number in 0..LINKS {
            let (target, _) = ask(&engine, &mut path, &format!("h.example/{number}"));
            assert_eq!(target.unwrap(), format!("https://to.example/{number}").as_bytes());
        }
    }
    for _ in 0..4 {
        (0..8).for_each(|number| drop(ask(&engine, &mut path, &format!("h.example/{number}"))));
    }
    let before = (engine.views.cache.stats(), store.gets.load(Ordering::Relaxed));
    let mut asked = 0;
    for number in 0..FLOOD {
        let (target, was_asked) = ask(&engine, &mut path, &format!("h.example/none-{number}"));
        assert_eq!(target, None);
        asked += u64::from(was_asked);
    }
    let after = (engine.views.cache.stats(), store.gets.load(Ordering::Relaxed));
    assert!(asked <= FLOOD / 50, "{asked} of {FLOOD} were looked up");
    assert_eq!(after.1 - before.1, asked);
    assert_eq!((after.0.entries - before.0.entries) as u64, asked, "only what was looked up is kept");
    assert_eq!(after.0.evictions, before.0.evictions);
    assert_eq!(engine.status().filter.answered, FLOOD - asked);
    for number in 0..LINKS {
        assert!(!ask(&engine, &mut path, &format!("h.example/{number}")).1, "{number} is not cached any more");
    }
    drop(keeper);
}

/// Of what the shared cache has, nothing may be needed to answer for it.
#[test]
fn a_flood_leaves_a_worker_its_own_cache() {
    let (dir, store) = (tempfile::tempdir().unwrap(), Arc::new(Counting::default()));
    let engine = engine_on(&store, 100, 0, dir.path());
    let _keeper = engine.keep_filter().unwrap();
    wait_until(|| is_ready(&engine));
    let mut path = engine.read_path(8);
    (0..8).for_each(|number| drop(ask(&engine, &mut path, &format!("h.example/{number}"))));
    let kept: Vec<u64> = (0..8).filter(|number| !ask(&engine, &mut path, &format!("h.example/{number}")).1).collect();
    assert!(!kept.is_empty());
    let asked = (0..1_000).filter(|number| ask(&engine, &mut path, &format!("h.example/x{number}")).1).count();
    // Those that are taken for keys that exist may push out one each.
    let still = kept.iter().filter(|number| !ask(&engine, &mut path, &format!("h.example/{number}")).1).count();
    assert!(still + asked >= kept.len(), "{still} of {} are left after {asked} lookups", kept.len());
}

#[test]
fn a_store_that_cant_be_read_is_told_and_every_key_is_looked_up() {
    let (dir, store) = (tempfile::tempdir().unwrap(), Arc::new(Counting::default()));
    let engine = engine_on(&store, 10, 1 << 20, dir.path());
    store.fails.store(true, Ordering::Relaxed);
    let (keeper, preloaded) = engine.preload(2).unwrap();
    assert_eq!(preloaded, Err(PreloadError::Unreadable("the store: a bad day".to_owned())));
    wait_until(|| engine.status().filter.trouble.is_some());
    let status = engine.status().filter;
    assert_eq!(status.trouble.as_deref(), Some("the store: a bad day"));
    assert!(!status.is_ready && status.bytes == 0);
    assert!(ask(&engine, &mut engine.read_path(8), "h.example/none").1);
    // It waits for its next try, and ends all the same.
    let start = Instant::now();
    drop(keeper);
    assert!(start.elapsed() < Duration::from_secs(10));
}

#[test]
fn what_is_preloaded_needs_no_store_and_fills_the_filter_as_well() {
    for threads in [1, 3] {
        let (dir, store) = (tempfile::tempdir().unwrap(), Arc::new(Counting::default()));
        let engine = engine_on(&store, 2_000, 1 << 20, dir.path());
        let before = store.gets.load(Ordering::Relaxed);
        let (_keeper, preloaded) = engine.preload(threads).unwrap();
        let preloaded = preloaded.unwrap();
        assert_eq!((preloaded.links, preloaded.is_full), (2_000, false));
        assert!(is_ready(&engine));
        let mut path = engine.read_path(8);
        for number in 0..2_000 {
            let (target, was_asked) = ask(&engine, &mut path, &format!("h.example/{number}"));
            assert_eq!((target.unwrap(), was_asked), (format!("https://to.example/{number}").into_bytes(), false));
        }
        assert_eq!(store.gets.load(Ordering::Relaxed), before);
    }
}

#[test]
fn preloading_ends_when_the_cache_is_full_and_pushes_nothing_out() {
    let (dir, store) = (tempfile::tempdir().unwrap(), Arc::new(Counting::default()));
    let engine = engine_on(&store, 3_000, 64 * 1024, dir.path());
    let (_keeper, preloaded) = engine.preload(2).unwrap();
    let preloaded = preloaded.unwrap();
    let stats = engine.views.cache.stats();
    assert!(preloaded.is_full && stats.evictions == 0 && stats.entries > 800, "{preloaded:?} {stats:?}");
    assert!((500..=stats.entries as u64).contains(&preloaded.links), "{preloaded:?} {stats:?}");
    // The filter is for all of them.
    wait_until(|| is_ready(&engine));
    assert_eq!(engine.status().filter.keys, 3_000);
}

/// I5: what a scan has read and brings to the cache may be older than a change that was acknowledged meanwhile.
#[test]
fn what_is_changed_while_it_is_preloaded_is_never_old() {
    const LINKS: u64 = 60;
    let (dir, store) = (tempfile::tempdir().unwrap(), Arc::new(Counting::default()));
    let (engine, mut changes) = engine_and_changes(&store, LINKS, 1 << 20, dir.path());
    let newest: Arc<Mutex<BTreeMap<String, u64>>> = Arc::default();
    // Each even link is changed after the scan has read it, and before it is given to whoever preloads.
    let change = {
        let newest = Arc::clone(&newest);
        move |typed: &[u8]| {
            let Some((keyspace::ENTRY, key)) = keyspace::split(typed) else { return };
            let key = std::str::from_utf8(key).unwrap();
            if key.strip_prefix("h.example/").unwrap().parse::<u64>().unwrap().is_multiple_of(2) {
                let target = 1_000 + changes.sequence;
                changes.make(vec![put(key, target)]);
                changes.applier.flush().unwrap();
                newest.lock().insert(key.to_owned(), target);
            }
        }
    };
    *store.before_visit.lock() = Some(Box::new(change));
    let (_keeper, preloaded) = engine.preload(1).unwrap();
    *store.before_visit.lock() = None;
    // Those that share a stripe with one that was changed are left out with it.
    let preloaded = preloaded.unwrap();
    assert!((LINKS / 4..=LINKS / 2).contains(&preloaded.links), "{preloaded:?}");
    let (newest, mut path) = (newest.lock(), engine.read_path(8));
    assert_eq!(newest.len() as u64, LINKS / 2);
    for number in 0..LINKS {
        let key = format!("h.example/{number}");
        let expected = format!("https://to.example/{}", newest.get(&key).copied().unwrap_or(number));
        assert_eq!(ask(&engine, &mut path, &key).0.unwrap(), expected.into_bytes());
    }
}

/// As while the store that a write broke can't be opened again.
#[test]
fn where_nothing_can_be_read_now_nobody_waits_for_what_is_preloaded() {
    let (dir, store) = (tempfile::tempdir().unwrap(), Arc::new(Counting::default()));
    let engine = engine_on(&store, 10, 1 << 20, dir.path());
    engine.views.filter.suspend();
    let scans = store.scans.load(Ordering::Relaxed);
    let (_keeper, preloaded) = engine.preload(2).unwrap();
    assert_eq!(preloaded, Err(PreloadError::Interrupted));
    assert_eq!(store.scans.load(Ordering::Relaxed), scans);
    // Later nobody waits for the cache, which is filled as requests come.
    engine.views.filter.resume();
    wait_until(|| is_ready(&engine));
    assert_eq!(engine.views.cache.stats().entries, 0);
}

#[test]
fn what_is_cancelled_while_it_is_preloaded_ends() {
    let (dir, store) = (tempfile::tempdir().unwrap(), Arc::new(Counting::default()));
    let engine = engine_on(&store, 100, 1 << 20, dir.path());
    let filter = Arc::clone(&engine.views.filter);
    *store.before_visit.lock() = Some(Box::new(move |_| filter.suspend()));
    let (_keeper, preloaded) = engine.preload(2).unwrap();
    assert_eq!(preloaded, Err(PreloadError::Interrupted));
    assert!(engine.status().filter.trouble.is_none());
}

#[test]
fn a_filter_that_is_full_is_replaced() {
    // More than the smallest has room for.
    const KEYS: u64 = 17_000;
    let (dir, store) = (tempfile::tempdir().unwrap(), Arc::new(Counting::default()));
    let (engine, mut changes) = engine_and_changes(&store, 0, 0, dir.path());
    let _keeper = engine.keep_filter().unwrap();
    wait_until(|| is_ready(&engine));
    let before = engine.status().filter.bytes;
    let keys: Vec<String> = (0..KEYS).map(|number| format!("h.example/{number}")).collect();
    for keys in keys.chunks(500) {
        changes.make(keys.iter().map(|key| put(key, 1)).collect());
    }
    changes.applier.flush().unwrap();
    // While the larger one is built, the one before counts as well.
    wait_until(|| engine.status().filter.bytes / before == 2);
    let mut filter = HeldFilter::new(Arc::clone(&engine.views.filter));
    let hash = |key: &str| engine.views.cache.hash(key.as_bytes());
    assert!(keys.iter().all(|key| !filter.rules_out(hash(key))));
    let ruled_out = (0..1_000).filter(|number| filter.rules_out(hash(&format!("h.example/none-{number}")))).count();
    assert!(ruled_out >= 980, "{ruled_out} of 1,000");
}

#[test]
fn a_filter_for_far_more_keys_than_there_are_is_replaced() {
    let (dir, store) = (tempfile::tempdir().unwrap(), Arc::new(Counting::default()));
    store.estimated_keys.store(1_000_000, Ordering::Relaxed);
    let engine = engine_on(&store, 100, 0, dir.path());
    let _keeper = engine.keep_filter().unwrap();
    wait_until(|| is_ready(&engine) && engine.status().filter.bytes < 100_000);
    assert_eq!(engine.status().filter.keys, 100);
}

/// Cutting the keys into parts is stopped, too, and does not go on for ever where keys are long and alike.
#[test]
fn the_parts_of_a_scan_are_soon_found_or_given_up() {
    let (store, long) = (Counting::default(), "x".repeat(2_000));
    for end in ["", "/", "a", "b", "zz"] {
        let key = keyspace::entry_key(format!("h.example/{long}{end}").as_bytes());
        store.load(&[Write { key, value: Some(Vec::new()) }]).unwrap();
    }
    let is_stopped = AtomicBool::new(false);
    let visits = AtomicU64::new(0);
    let visit = || {
        |_: &[u8], _: &[u8]| {
            visits.fetch_add(1, Ordering::Relaxed);
        }
    };
    scan_entries(&store, 1, &is_stopped, visit).unwrap();
    assert_eq!(visits.load(Ordering::Relaxed), 5);
    let scans = store.scans.swap(0, Ordering::Relaxed);
    assert!((500..2_600).contains(&scans), "{scans}");
    is_stopped.store(true, Ordering::Relaxed);
    scan_entries(&store, 1, &is_stopped, visit).unwrap();
    assert_eq!((store.scans.load(Ordering::Relaxed), visits.load(Ordering::Relaxed)), (1, 5));
}

/// Threads create links, one at a time and as sets, and ask for them once they are acknowledged, while one filter after
/// the other is built.
#[test]
fn what_was_acknowledged_is_found_while_filters_are_built() {
    for kind in StoreKind::ALL {
        let dir = tempfile::tempdir().unwrap();
        let (owned, _) = OwnedEngine::open(&config_of(kind, dir.path())).unwrap();
        let engine = owned.engine();
        let pool = engine.reader_pool(2).unwrap();
        let keeper = engine.keep_filter().unwrap();
        let done = AtomicBool::new(false);
        let published = AtomicU64::new(0);
        std::thread::scope(|scope| {
            let (done, published, pool) = (&done, &published, &pool);
            scope.spawn(move || {
                while !done.load(Ordering::Relaxed) {
                    wait_until(|| is_ready(engine) || done.load(Ordering::Relaxed));
                    // Beside the keeper's: it has to give way.
                    if let Some(build) = engine.views.filter.begin(0) {
                        let cache = &engine.views.cache;
                        let add = || |key: &[u8], _: &[u8]| build.add(&[cache.hash(key)]);
                        let store = engine.store.get().unwrap();
                        scan_entries(store.as_ref(), 2, build.is_cancelled(), add).unwrap();
                        published.fetch_add(engine.views.filter.publish(&build, 0).into(), Ordering::Relaxed);
                    }
                }
            });
            let writers: Vec<_> = (0..3u64)
                .map(|writer| {
                    scope.spawn(move || {
                        let mut worker = Worker::new(engine, pool);
                        let start = Instant::now();
                        let mut turn = 0;
                        while start.elapsed() < Duration::from_millis(1_200) {
                            let path = format!("/{writer}-{turn}");
                            assert_eq!(worker.ask(&path, Some("q")), None);
                            let key = |query: &str| format!("h.example{path}{query}");
                            match turn % 4 {
                                0 => drop(submit(engine, vec![put(&key("?q"), turn)]).unwrap()),
                                1 => {
                                    let mut set = engine.begin_set().unwrap();
                                    (0..150).for_each(|more| {
                                        set.add(super::key(&format!("/{writer}-{turn}-{more}")), to(more)).unwrap();
                                    });
                                    set.add(super::key(&key("")), to(turn)).unwrap();
                                    set.commit().unwrap();
                                    assert_eq!(worker.ask(&format!("{path}-77"), None), Some(77));
                                }
                                _ => drop(submit(engine, vec![put(&key(""), turn), put("/shared", turn)]).unwrap()),
                            }
                            assert_eq!(worker.ask(&path, Some("q")), Some(turn));
                            if turn % 5 == 4 {
                                submit(engine, vec![delete(&key(""))]).unwrap();
                                submit(engine, vec![put(&key(""), turn + 1)]).unwrap();
                                assert_eq!(worker.ask(&path, None), Some(turn + 1));
                            }
                            turn += 1;
                        }
                        turn
                    })
                })
                .collect();
            let turns: u64 = writers.into_iter().map(|writer| writer.join().unwrap()).sum();
            done.store(true, Ordering::Relaxed);
            assert!(turns > 10, "{turns}");
        });
        assert!(published.load(Ordering::Relaxed) > 1 && engine.status().filter.answered > 0);
        drop((keeper, pool));
        // What lies in the store now is what another process finds.
        owned.close().unwrap();
        let (owned, _) = OwnedEngine::open(&config_of(kind, dir.path())).unwrap();
        let keeper = owned.engine().keep_filter().unwrap();
        wait_until(|| is_ready(owned.engine()));
        let mut filter = HeldFilter::new(Arc::clone(&owned.engine().views.filter));
        let mut keys = 0;
        let cache = &owned.engine().views.cache;
        owned
            .engine()
            .store
            .get()
            .unwrap()
            .scan(&[keyspace::ENTRY], &mut |typed, _| {
                if let Some((keyspace::ENTRY, key)) = keyspace::split(typed) {
                    assert!(!filter.rules_out(cache.hash(key)), "{}", key.escape_ascii());
                    keys += 1;
                }
                std::ops::ControlFlow::Continue(())
            })
            .unwrap();
        assert_eq!(owned.engine().status().filter.keys, keys);
        drop(keeper);
        owned.close().unwrap();
    }
}

/// What the writer does when it opens the store again, which brings records to it that the filter never heard of.
#[test]
fn what_comes_while_it_is_suspended_is_in_the_next_filter() {
    let (dir, store) = (tempfile::tempdir().unwrap(), Arc::new(Counting::default()));
    let engine = engine_on(&store, 10, 1 << 20, dir.path());
    let _keeper = engine.keep_filter().unwrap();
    wait_until(|| is_ready(&engine));
    let mut path = engine.read_path(8);
    assert!(!path.lookup(&[]).is_missed("h.example/late"));
    engine.views.filter.suspend();
    let key = keyspace::entry_key(b"h.example/late");
    store.load(&[Write { key, value: Some(b"of a record".to_vec()) }]).unwrap();
    assert!(path.lookup(&[]).is_missed("h.example/late") && path.lookup(&[]).is_missed("h.example/none"));
    engine.views.filter.resume();
    wait_until(|| is_ready(&engine));
    assert!(path.lookup(&[]).is_missed("h.example/late") && !path.lookup(&[]).is_missed("h.example/none"));
}

trait IsMissed {
    fn is_missed(&mut self, key: &str) -> bool;
}

impl IsMissed for crate::engine::RequestLookup<'_> {
    fn is_missed(&mut self, key: &str) -> bool {
        use crate::engine::Lookup;
        self.with(key.as_bytes(), |_| ()).is_err()
    }
}
