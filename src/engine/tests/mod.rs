//! The engine as a whole, with sled and with the store in memory.

mod crash;
mod group;
mod model;
mod read_path;
mod sets;
mod store;

use std::path::Path;
use std::sync::Arc;
use std::sync::atomic::{AtomicUsize, Ordering};

use super::applier::Applier;
use super::{Engine, EngineConfig, OpenError, OwnedEngine, Recovery, StateDigest, SubmitError, recover};
use crate::cache::SharedCache;
use crate::link::{Action, Command, Destination, LinkKey, Outcome, Precondition, Status, Target};
use crate::log::{Log, OperationId};
use crate::store::{MemoryStore, Position, Store, StoreError, Write};

fn config(data: &Path) -> EngineConfig {
    EngineConfig { data: data.to_owned(), cache_bytes: 1 << 20, store_cache_bytes: 1 << 20 }
}

fn open(data: &Path) -> (OwnedEngine, Recovery) {
    OwnedEngine::open(&config(data)).unwrap()
}

fn key(text: &str) -> LinkKey {
    LinkKey::parse(text).unwrap()
}

fn to(target: u64) -> Action {
    let target = Target::parse(&format!("https://to.example/{target}")).unwrap();
    Action::Put(Destination::new(Status::Found, Some(target)).unwrap())
}

fn put(text: &str, target: u64) -> Command {
    Command { key: key(text), action: to(target), precondition: Precondition::None }
}

fn create(text: &str, target: u64) -> Command {
    Command { precondition: Precondition::Absent, ..put(text, target) }
}

fn delete(text: &str) -> Command {
    Command { key: key(text), action: Action::Delete, precondition: Precondition::None }
}

fn submit(engine: &Engine, commands: Vec<Command>) -> Result<Vec<Outcome>, SubmitError> {
    engine.submit(OperationId::random(), commands)
}

/// A log of small segments, which are read faster.
fn open_log(dir: &Path) -> Log {
    Log::open_with(dir, None, 256 * 1024).unwrap().log
}

/// The state that the log in a data directory leads to, by the store in memory.
fn digest_of_log(data: &Path) -> StateDigest {
    let log = open_log(&data.join("log"));
    let store: Arc<dyn Store> = Arc::new(MemoryStore::default());
    resume(&log, &store).unwrap();
    StateDigest::of(store.as_ref()).unwrap()
}

/// Brings a store to the end of the log, as a start does.
fn resume(log: &Log, store: &Arc<dyn Store>) -> Result<u64, OpenError> {
    let position = store.position()?.unwrap_or_else(|| recover::beginning(log));
    recover::replay(log, &mut Applier::new(Arc::clone(store), Arc::new(SharedCache::new(1 << 20)), position))
}

/// A store in memory that takes only so many batches.
struct Limited {
    inner: MemoryStore,
    left: AtomicUsize,
}

impl Limited {
    fn new(left: usize) -> Arc<Self> {
        Arc::new(Limited { inner: MemoryStore::default(), left: AtomicUsize::new(left) })
    }

    fn set_left(&self, left: usize) {
        self.left.store(left, Ordering::Relaxed);
    }

    fn left(&self) -> usize {
        self.left.load(Ordering::Relaxed)
    }
}

impl Store for Limited {
    fn get(&self, key: &[u8]) -> Result<Option<Vec<u8>>, StoreError> {
        self.inner.get(key)
    }

    fn apply(&self, writes: &[Write], position: &Position) -> Result<(), StoreError> {
        let left = self.left().checked_sub(1).ok_or_else(|| StoreError::Backend("it takes no more".to_owned()))?;
        self.set_left(left);
        self.inner.apply(writes, position)
    }

    fn position(&self) -> Result<Option<Position>, StoreError> {
        self.inner.position()
    }

    fn scan(&self, visit: &mut crate::store::Visit<'_>) -> Result<(), StoreError> {
        self.inner.scan(visit)
    }

    fn flush(&self) -> Result<(), StoreError> {
        self.inner.flush()
    }
}
