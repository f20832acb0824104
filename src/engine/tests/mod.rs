//! The engine as a whole, with each store.

mod admission;
mod chains;
mod crash;
mod group;
mod hosts;
mod key_filter;
mod model;
mod operations;
mod read_path;
mod sets;
mod simulation;
mod snapshots;
mod store;
mod uses;

use std::path::Path;
use std::sync::Arc;
use std::sync::atomic::{AtomicBool, AtomicUsize, Ordering};
use std::time::Duration;

use super::applier::Applier;
use super::ground::Ground;
use super::health::SharedHealth;
use super::place::StorePlace;
use super::requests::{Reply, Request};
use super::slot::StoreSlot;
use super::snapshot::SnapshotDirectory;
use super::views::Views;
use super::writer::Writer;
use super::{
    Acknowledged, Engine, EngineConfig, OpenError, OwnedEngine, Recovery, SetAside, StateDigest, Submission,
    SubmitError, recover,
};
use crate::config::Durability;
use crate::link::{
    Action, Actor, Chains, Change, Command, Destination, Edit, LinkKey, LinkOptions, LinkPatch, Outcome, Precondition,
    SetLink, Status, Tag, Tags, Target, Title,
};
use crate::log::disk::{Disk, RealDisk};
use crate::log::{Log, LogDirectory, OperationId};
use crate::store::{MemoryStore, Position, Store, StoreError, StoreKind, Write};

fn config(data: &Path) -> EngineConfig {
    config_of(StoreKind::Sled, data)
}

fn config_of(store: StoreKind, data: &Path) -> EngineConfig {
    EngineConfig {
        cache_bytes: 1 << 20,
        store: Some(store),
        store_cache_bytes: 1 << 20,
        ..EngineConfig::new(data.to_owned())
    }
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

/// An action that gives a link tags, and a path that counts as a generated code.
fn set(target: u64, tags: &[&str]) -> Action {
    let Action::Put(destination) = to(target) else { unreachable!("that is what it makes") };
    let tags = Tags::new(tags.iter().map(|tag| Tag::parse(tag).unwrap()).collect()).unwrap();
    let options = LinkOptions { tags, ..LinkOptions::default() };
    Action::Set(Box::new(SetLink { destination, options, chains: Chains::Refuse, is_generated: true }))
}

/// An action that changes the title of a link, and its tags.
fn patch(title: u64, tags: &[&str]) -> Action {
    let tags = Tags::new(tags.iter().map(|tag| Tag::parse(tag).unwrap()).collect()).unwrap();
    let title = Edit::Set(Title::parse(&format!("number {title}")).unwrap());
    Action::Patch(Box::new(LinkPatch { title, tags: Some(tags), ..LinkPatch::default() }), Chains::Refuse)
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
    engine.submit(None, commands).map(|acknowledged| acknowledged.outcome)
}

/// What asks the writer for changes of links.
fn change(operation: Option<OperationId>, commands: Vec<Command>, reply: Reply<Acknowledged<Vec<Outcome>>>) -> Request {
    let submission = Submission { actor: Actor::local(), operation, change: Change::Links(commands) };
    Request::Change(Box::new(submission), reply.into())
}

/// A log of small segments, which are read faster.
fn log_directory(disk: Arc<dyn Disk>, dir: &Path) -> LogDirectory {
    LogDirectory { segment_bytes: 256 * 1024, ..LogDirectory::new(disk, dir.to_owned()) }
}

fn open_log(dir: &Path) -> Log {
    log_directory(Arc::new(RealDisk), dir).open(&[]).unwrap().log
}

/// What a writer stands on whose store is in memory, and can't be opened again.
fn ground(log: LogDirectory) -> Ground {
    Ground {
        snapshots: SnapshotDirectory::new(Arc::clone(&log.disk), log.path.join("snapshots")),
        log,
        place: Box::new(NoPlace),
        clock: Box::new(crate::clock::unix_time_ms),
        instant: Box::new(std::time::Instant::now),
        durability: Durability::Fsync,
        disk_reserve_bytes: 0,
        store_open_bytes: 0,
        snapshot_log_bytes: u64::MAX,
        snapshots_kept: 1,
        is_stopping: AtomicBool::new(false),
    }
}

/// Where no store can be opened.
struct NoPlace;

impl StorePlace for NoPlace {
    fn open(&self) -> Result<Result<Arc<dyn Store>, String>, OpenError> {
        Err(StoreError::Backend("there is none".to_owned()).into())
    }

    fn set_aside(&self, _: String) -> Result<SetAside, OpenError> {
        unreachable!("there is none")
    }

    fn remove(&self) -> Result<(), OpenError> {
        unreachable!("there is none")
    }
}

/// The state of a store, which these views show.
fn attached(store: Arc<dyn Store>, views: Arc<Views>, position: Position) -> Applier {
    let mut applier = Applier::new(store, position).unwrap();
    applier.attach(views);
    applier
}

/// A writer of a log on a store that holds nothing yet.
fn writer(ground: Ground, log: Log, store: Arc<dyn Store>) -> Writer {
    let views = Views::new(1 << 20, None);
    let applier = attached(Arc::clone(&store), Arc::clone(&views), recover::beginning(&log));
    let recovered = recover::Recovered { log, applier, report: Recovery::default(), bytes_since_snapshot: 0 };
    let slot = Arc::new(StoreSlot::with_patience(store, Duration::ZERO));
    Writer::new(Arc::new(ground), recovered, slot, views, SharedHealth::default())
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
    recover::replay(log, &mut Applier::new(Arc::clone(store), position)?)
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
