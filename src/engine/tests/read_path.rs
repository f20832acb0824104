//! I5 over the whole engine: real caches, real store, real threads.

use std::sync::atomic::{AtomicBool, AtomicU64};
use std::time::{Duration, Instant};

use crossbeam_channel::{Receiver, Sender};

use super::*;
use crate::cache::CachedLink;
use crate::engine::applier::ReplayedRecord;
use crate::engine::apply::Rules;
use crate::engine::{Found, HostView, Miss, ReadPath, ReadReply, ReaderPool, Resolved, read, resolve};
use crate::link::RequestKey;
use crate::log::OperationId;

type Answered = Result<CachedLink, StoreError>;

struct Answers(Sender<Answered>);

impl ReadReply for Answers {
    fn deliver(&self, _token: u64, result: Result<CachedLink, StoreError>) {
        // The worker may have gone.
        let _ = self.0.send(result);
    }

    // Receiving wakes.
    fn wake(&self) {}
}

pub(super) struct Worker<'a> {
    path: ReadPath,
    pool: &'a ReaderPool,
    reply: Arc<Answers>,
    answers: Receiver<Answered>,
    key: RequestKey,
}

impl<'a> Worker<'a> {
    pub(super) fn new(engine: &Arc<Engine>, pool: &'a ReaderPool) -> Self {
        let (sender, answers) = crossbeam_channel::unbounded();
        let (path, reply) = (engine.read_path(8), Arc::new(Answers(sender)));
        Worker { path, pool, reply, answers, key: RequestKey::default() }
    }

    /// The number in the target of the link that answers a request.
    pub(super) fn ask(&mut self, path: &str, query: Option<&str>) -> Option<u64> {
        let mut fetched = Vec::new();
        loop {
            self.key.set(Some(b"h.example"), path.as_bytes(), query.map(str::as_bytes));
            let number = |found: Found<'_>| {
                let target = std::str::from_utf8(found.link.target).unwrap();
                target.strip_prefix("https://to.example/").unwrap().parse().unwrap()
            };
            match resolve(&mut self.path.lookup(&fetched), &mut self.key, &HostView::default(), number) {
                Ok(Resolved::Link(number)) => break Some(number),
                Ok(Resolved::NotFound) => break None,
                Err(miss) => {
                    let reply = Arc::clone(&self.reply) as Arc<dyn ReadReply>;
                    self.pool.read(miss.clone(), 0, reply).expect("one read at a time");
                    let link = self.answers.recv().unwrap().unwrap();
                    self.path.remember(&miss, link.clone());
                    fetched.push(link);
                }
            }
        }
    }
}

#[test]
fn a_worker_finds_links_through_all_caches() {
    let dir = tempfile::tempdir().unwrap();
    let (owned, _) = open(dir.path());
    let pool = owned.engine().reader_pool(1).unwrap();
    let mut worker = Worker::new(owned.engine(), &pool);
    for _ in 0..2 {
        assert_eq!(worker.ask("/p", Some("q")), None);
    }
    submit(owned.engine(), vec![put("/p", 1)]).unwrap();
    assert_eq!(worker.ask("/p", Some("q")), Some(1));
    submit(owned.engine(), vec![put("/p?q", 2)]).unwrap();
    assert_eq!(worker.ask("/p", Some("q")), Some(2));
    submit(owned.engine(), vec![put("h.example/p", 3)]).unwrap();
    assert_eq!(worker.ask("/p", Some("q")), Some(3));
    submit(owned.engine(), vec![delete("h.example/p"), delete("/p?q")]).unwrap();
    assert_eq!(worker.ask("/p", Some("q")), Some(1));
    let mut set = owned.engine().begin_set().unwrap();
    set.add(key("/p"), to(4)).unwrap();
    assert_eq!(worker.ask("/p", None), Some(1));
    set.commit().unwrap();
    assert_eq!(worker.ask("/p", None), Some(4));
}

/// What has been asked for and what has been acknowledged of one link. Every fifth change deletes it.
#[derive(Default)]
struct Known {
    submitted: AtomicU64,
    acknowledged: AtomicU64,
}

#[test]
fn nobody_reads_what_was_before_an_acknowledged_change() {
    const KEYS: usize = 48;
    let dir = tempfile::tempdir().unwrap();
    // So small that links come and go, and the store is asked all the time.
    let small = EngineConfig { cache_bytes: 6 * 1024, ..config(dir.path()) };
    let (owned, _) = OwnedEngine::open(&small).unwrap();
    let pool = owned.engine().reader_pool(2).unwrap();
    let known: Vec<Known> = std::iter::repeat_with(Known::default).take(KEYS).collect();
    let done = AtomicBool::new(false);
    let reads = AtomicU64::new(0);
    // Half of the links are keyed with a query, under paths that have no link themselves.
    let is_query = |index: usize| index % 2 == 1;
    std::thread::scope(|scope| {
        for worker in 0..3usize {
            let (known, done, reads, pool, engine) = (&known, &done, &reads, &pool, owned.engine());
            scope.spawn(move || {
                let mut requests = Worker::new(engine, pool);
                for turn in worker.. {
                    if done.load(Ordering::Relaxed) {
                        break;
                    }
                    // Some links are read more than others.
                    let index = if turn.is_multiple_of(3) { turn % KEYS } else { turn % 6 };
                    let before = known[index].acknowledged.load(Ordering::Acquire);
                    let answer = requests.ask(&format!("/{index}"), is_query(index).then_some("q"));
                    let after = known[index].submitted.load(Ordering::Acquire);
                    match answer {
                        Some(number) => assert!((before..=after).contains(&number), "{number}, {before}..={after}"),
                        None => {
                            assert!((before..=after).any(|number| number.is_multiple_of(5)), "none, {before}..={after}")
                        }
                    }
                    reads.fetch_add(1, Ordering::Relaxed);
                }
            });
        }
        let start = Instant::now();
        for turn in 0.. {
            if start.elapsed() > Duration::from_secs(2) {
                break;
            }
            let indexes: Vec<usize> = (0..1 + turn % 3).map(|more| (turn * 5 + more * 7) % KEYS).collect();
            let mut commands = Vec::new();
            for &index in &indexes {
                let number = known[index].submitted.fetch_add(1, Ordering::AcqRel) + 1;
                let text = format!("/{index}{}", if is_query(index) { "?q" } else { "" });
                commands.push(if number.is_multiple_of(5) { delete(&text) } else { put(&text, number) });
            }
            submit(owned.engine(), commands).unwrap();
            for &index in &indexes {
                known[index].acknowledged.fetch_add(1, Ordering::AcqRel);
            }
        }
        done.store(true, Ordering::Relaxed);
    });
    assert!(reads.load(Ordering::Relaxed) > 1_000);
}

/// A store under which a reader comes just before and just after each batch of writes.
struct Peeked {
    inner: MemoryStore,
    views: Arc<Views>,
}

const PEEKED: &[u8] = b"*/peeked";

impl Peeked {
    fn peek(&self) {
        let hash = self.views.cache.hash(PEEKED);
        let stamp = self.views.cache.stamp(hash);
        if self.views.cache.get(hash, PEEKED).is_none() {
            let entry = read::stored_entry(&self.inner, PEEKED).unwrap();
            self.views.cache.fill(hash, stamp, read::cached_link(PEEKED, &entry));
        }
    }
}

impl Store for Peeked {
    fn get(&self, key: &[u8]) -> Result<Option<Vec<u8>>, StoreError> {
        self.inner.get(key)
    }

    fn apply(&self, writes: &[Write], position: &Position) -> Result<(), StoreError> {
        self.peek();
        self.inner.apply(writes, position)?;
        self.peek();
        Ok(())
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

    fn scan(&self, from: &[u8], visit: &mut crate::store::Visit<'_>) -> Result<(), StoreError> {
        self.inner.scan(from, visit)
    }

    fn writes_per_apply(&self) -> usize {
        self.inner.writes_per_apply()
    }

    fn flush(&self) -> Result<(), StoreError> {
        self.inner.flush()
    }
}

#[test]
fn what_is_read_while_a_change_is_applied_does_not_outlive_it() {
    let dir = tempfile::tempdir().unwrap();
    let log = open_log(dir.path());
    let views = Views::new(1 << 20, None);
    let store = Arc::new(Peeked { inner: MemoryStore::default(), views: Arc::clone(&views) });
    let mut applier = attached(store, Arc::clone(&views), recover::beginning(&log));
    for version in 1..4 {
        let record = ReplayedRecord {
            rules: Rules::default(),
            sequence: version,
            time_ms: 0,
            chain: log.chain(),
            operation: OperationId::NONE,
            fingerprint: [0; 16],
        };
        applier.apply_recovered(&Change::Links(vec![put("/peeked", version)]), &record).unwrap();
        applier.flush().unwrap();
        let cached = views.cache.get(views.cache.hash(PEEKED), PEEKED).unwrap();
        assert_eq!(cached.link().unwrap().target, format!("https://to.example/{version}").as_bytes());
    }
}

/// A store that panics at one key, as sled may at damaged pages.
#[derive(Default)]
struct Panicking {
    inner: MemoryStore,
}

impl Store for Panicking {
    fn get(&self, key: &[u8]) -> Result<Option<Vec<u8>>, StoreError> {
        assert!(key != b"E*/panic", "a damaged page");
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

    fn scan(&self, from: &[u8], visit: &mut crate::store::Visit<'_>) -> Result<(), StoreError> {
        self.inner.scan(from, visit)
    }

    fn writes_per_apply(&self) -> usize {
        self.inner.writes_per_apply()
    }

    fn flush(&self) -> Result<(), StoreError> {
        self.inner.flush()
    }
}

#[test]
fn a_read_that_panics_is_answered_and_so_is_the_next() {
    let dir = tempfile::tempdir().unwrap();
    let engine = Arc::new(Engine {
        config: super::config(dir.path()),
        log_id: crate::log::LogId::random(),
        waypoints: crate::log::Waypoints::default(),
        views: Views::new(1 << 20, None),
        store: Arc::new(StoreSlot::new(Arc::new(Panicking::default()))),
        requests: crate::engine::requests::requests().0,
        health: SharedHealth::default(),
        snapshot: Arc::default(),
        clicks: None,
        _lock: Arc::new(crate::engine::lock::DirectoryLock::take(dir.path()).unwrap()),
    });
    let pool = engine.reader_pool(1).unwrap();
    let (sender, answers) = crossbeam_channel::unbounded();
    let reply: Arc<dyn ReadReply> = Arc::new(Answers(sender));
    let read = |key: &[u8]| {
        let hash = engine.views.cache.hash(key);
        let miss = Miss { key: key.into(), hash, stamp: engine.views.cache.stamp(hash) };
        assert!(pool.read(miss, 0, Arc::clone(&reply)).is_ok());
        answers.recv_timeout(Duration::from_secs(20)).expect("no answer")
    };
    for _ in 0..2 {
        match read(b"*/panic") {
            Err(StoreError::Backend(reason)) => {
                assert!(reason.contains("reading `*/panic` led to a panic"), "{reason}")
            }
            other => panic!("{other:?}"),
        }
        assert!(read(b"*/other").unwrap().link().is_none());
    }
}
