//! The engine that all planes share: it finds links and changes them.
//!
//! - The read path: [`resolve()`] is the order of lookups, [`ReadPath`] one thread's way through the caches,
//!   [`ReaderPool`] the threads that read the store when the caches don't know.
//! - The write path: [`Engine::submit`] and [`Engine::begin_set`] hand changes to the one writer (I2), which
//!   appends them to the log, applies them to the store, invalidates the caches and answers, in this order.
//! - `admission`: whether a change is judged at all: whether its token still holds, and a host may have one more code.
//! - [`apply`]: what a record does to the state, as a pure function (I3).
//! - [`snapshot`]: the whole state in one file that no store knows: the backup.
//! - [`restore()`], [`rebuild()`], [`verify_directory`]: from a backup to a data directory, to another store, and what is
//!   wrong with either.
//! - `tables`: hosts and tokens in memory; `views`: what the writer brings up to date before it acknowledges a change.
//! - `decide`: what is answered, of a link, its state and the settings of the host, as a pure function.
//! - `list`, `changes`: pages of links, and of the records of the log.
//! - `clicks`: what counting clicks asks about links.
//! - `key_filter`, `preload`, `scan`: reads all entries, to know which keys there are, and to fill the cache.
//! - `recover`: from a store that is deleted, behind, or of no use back to one that holds the whole log.

mod admission;
mod applier;
pub mod apply;
mod changes;
mod clicks;
mod decide;
mod digest;
mod error;
mod ground;
mod group;
mod health;
mod key_filter;
mod list;
mod lock;
mod place;
mod preload;
mod read;
mod readers;
mod rebuild;
mod recover;
mod requests;
mod resolve;
mod restore;
mod scan;
mod set;
mod slot;
pub mod snapshot;
mod status;
mod tables;
#[cfg(test)]
mod tests;
mod verify;
mod views;
mod writer;

use std::io::Write;
use std::ops::ControlFlow;
use std::path::{Path, PathBuf};
use std::sync::Arc;
use std::sync::atomic::Ordering;
use std::thread::JoinHandle;
use std::time::Duration;

pub use changes::{ChangeRecord, ChangesError, ChangesPage, ChangesRange};
pub use decide::{Asked, Click, Decision, decide_found, decide_not_found};
pub use digest::StateDigest;
pub use error::{CloseError, OpenError};
pub use health::Health;
pub use key_filter::FilterKeeper;
pub use list::{Effort, LinkFilter, LinkPage, Moment};
pub use lock::{LockError, holder};
pub use preload::{PreloadError, Preloaded};
pub use read::{Miss, ReadPath, RequestLookup, cached_link};
pub use readers::{ReadReply, ReaderPool};
pub use rebuild::{Rebuilt, rebuild};
pub use recover::{Recovery, SetAside};
pub use requests::{Acknowledged, ChangeResult, Submission, SubmitError};
pub use resolve::{Found, Lookup, Resolved, resolve};
pub use restore::{NotBuilt, RestoreError, Restored, restore};
pub use set::{SetSummary, SetWriter};
pub use snapshot::{BackupFile, BackupTarget, Manifest, SnapshotError, TakeError, TargetError};
pub use status::Status;
pub use tables::{HeldTables, HostEntry, HostView, Tables};
pub use verify::{DirectoryReport, SnapshotReport, StoreReport, verify_directory, verify_file};

use crate::cache::HeldFilter;
use crate::clicks::{Clicks, ClicksConfig, OwnedClicks, Recorder, Stats, Uses, UsesError, UsesNews, UsesSaver};
use crate::config::Durability;
use crate::limits::{DISK_RESERVE_BYTES, USES_LINKS};
use crate::link::{Actor, Change, Command, Link, LinkId, LinkKey, Outcome, StoredEntry};
use crate::log::{LogId, OperationId, Waypoints};
use crate::store::{Store, StoreError, StoreKind, keyspace};
use ground::Ground;
use health::SharedHealth;
use preload::Preload;
use requests::{ChangeReply, Request, RequestQueue, Requests};
use slot::StoreSlot;
use snapshot::Taking;
use views::Views;
use writer::Writer;

/// What an engine needs to know.
#[derive(Debug, Clone)]
pub struct EngineConfig {
    /// The data directory. It is created if it is missing.
    pub data: PathBuf,
    /// What the shared cache may hold, in bytes.
    pub cache_bytes: usize,
    /// Which store holds the links. One of another kind that lies there is set aside and built again. None is the
    /// kind that lies there, or sled.
    pub store: Option<StoreKind>,
    /// What the store may cache of its pages, in bytes.
    pub store_cache_bytes: u64,
    /// How long opening the store may take. One that takes longer is set aside and built again.
    pub store_open_timeout: Duration,
    /// What is done before a change is acknowledged.
    pub durability: Durability,
    /// Free space on the disk below which no change is accepted, in bytes.
    pub disk_reserve_bytes: u64,
    /// After so many bytes of the log a snapshot is taken by itself; [`u64::MAX`] is never.
    pub snapshot_log_bytes: u64,
    /// How many of these snapshots are kept, at least 1. The log is kept from the oldest of them on.
    pub snapshots_kept: usize,
    /// How clicks are counted. Without it they are not, and nothing can be asked about those that were.
    pub clicks: Option<ClicksConfig>,
}

impl EngineConfig {
    /// Which store it is: the one that is named, else the one that lies there, else the usual one.
    pub fn store_kind(&self) -> StoreKind {
        let lying =
            || [place::NAME_BESIDE, place::NAME].iter().find_map(|name| StoreKind::lying_in(&self.data.join(name)));
        self.store.or_else(lying).unwrap_or(StoreKind::OF_NEW)
    }

    /// A data directory with everything else as usual.
    pub fn new(data: PathBuf) -> Self {
        EngineConfig {
            data,
            cache_bytes: 512 << 20,
            store: None,
            store_cache_bytes: 2 << 20,
            store_open_timeout: Duration::from_secs(120),
            durability: Durability::default(),
            disk_reserve_bytes: DISK_RESERVE_BYTES,
            snapshot_log_bytes: u64::MAX,
            snapshots_kept: 2,
            clicks: None,
        }
    }

    /// Where clicks lie that were counted.
    pub fn clicks_dir(&self) -> PathBuf {
        self.data.join("clicks")
    }
}

/// What the threads of a process share: the caches, the store, and the way to the writer.
pub struct Engine {
    config: EngineConfig,
    log_id: LogId,
    /// Where records of the log are, as far as they were asked for.
    waypoints: Waypoints,
    views: Arc<Views>,
    store: Arc<StoreSlot>,
    requests: Requests,
    health: SharedHealth,
    /// Held while a snapshot is taken: there is one at a time.
    snapshot: Arc<parking_lot::Mutex<()>>,
    clicks: Option<Arc<Clicks>>,
    // Last, so that the store is closed before another process may open it.
    _lock: Arc<lock::DirectoryLock>,
}

/// An engine together with its threads: the writer, and the one that takes snapshots. Closing it ends them.
pub struct OwnedEngine {
    engine: Arc<Engine>,
    ground: Arc<Ground>,
    writer: JoinHandle<()>,
    snapshots: JoinHandle<()>,
    uses: UsesSaver,
    clicks: Option<OwnedClicks>,
}

impl OwnedEngine {
    /// Opens the data directory: takes its lock, opens log and store, and brings the store to the end of the log.
    ///
    /// # Errors
    /// If another process holds the directory, or log or store can't be read.
    pub fn open(config: &EngineConfig) -> Result<(Self, Recovery), OpenError> {
        Self::open_locked(Arc::new(lock::DirectoryLock::take(&config.data)?), config)
    }

    fn open_locked(lock: Arc<lock::DirectoryLock>, config: &EngineConfig) -> Result<(Self, Recovery), OpenError> {
        let ground = Arc::new(Ground::new(config));
        let uses = Arc::new(Uses::open(Arc::clone(&ground.log.disk), config.data.clone())?);
        let views = Views::new(config.cache_bytes, Some(Arc::clone(&uses)));
        let mut recovered = recover::recover(&ground, &views)?;
        // With durability `os` the newest records may be lost, and their numbers are given out again.
        uses.forget_after(LinkId::last_of(recovered.log.next_sequence() - 1));
        let report = std::mem::take(&mut recovered.report);
        let store = Arc::new(StoreSlot::new(Arc::clone(recovered.applier.store())));
        let health = SharedHealth::default();
        let (log_id, config) = (recovered.log.id(), config.clone());
        let (requests, queue) = requests::requests();
        let (ask, asked) = crossbeam_channel::bounded(1);
        let snapshot = Arc::new(parking_lot::Mutex::new(()));
        let writer =
            Writer::new(Arc::clone(&ground), recovered, Arc::clone(&store), Arc::clone(&views), health.clone());
        let writer = spawn_writer(writer.with_snapshots(ask), queue, Arc::clone(&lock))?;
        let snapshots = {
            let (ground, requests, running) = (Arc::clone(&ground), requests.clone(), Arc::clone(&snapshot));
            spawn("carom-snapshot", move || snapshot::run(&ground, &requests, &asked, &running))?
        };
        let uses = UsesSaver::start(uses, tell_of_uses).map_err(starting("carom-uses"))?;
        let tags = || Arc::new(clicks::StoredTags(Arc::clone(&store)));
        let open = |clicks| OwnedClicks::open(clicks, Arc::clone(&ground.log.disk), tags());
        let owned_clicks = config.clicks.as_ref().map(open).transpose()?;
        let clicks = owned_clicks.as_ref().map(|owned| Arc::clone(owned.clicks()));
        let engine = Arc::new(Engine {
            config,
            log_id,
            waypoints: Waypoints::default(),
            views,
            store,
            requests,
            health,
            snapshot,
            clicks,
            _lock: lock,
        });
        Ok((OwnedEngine { engine, ground, writer, snapshots, uses, clicks: owned_clicks }, report))
    }

    /// The engine, to share with other threads.
    pub fn engine(&self) -> &Arc<Engine> {
        &self.engine
    }

    /// Ends the writer after all that was submitted before, and flushes the store, so that the next start has
    /// nothing to apply again. Changes that are submitted later are refused.
    ///
    /// # Errors
    /// If the writer panicked, had to end writing before, or the store can't be flushed. What was acknowledged is not
    /// lost: the log has it.
    pub fn close(self) -> Result<(), CloseError> {
        self.ground.is_stopping.store(true, Ordering::Relaxed);
        // The writer has gone already if this fails.
        let _ = self.engine.requests.send(Request::Stop);
        let ended = self.writer.join();
        // The writer was the one that asks for snapshots.
        let _ = self.snapshots.join();
        // It asks the store, and so comes before that.
        let counted = self.clicks.map_or(Ok(()), OwnedClicks::close);
        // Also after a panic: what was applied before it was acknowledged.
        let flushed = self.engine.store.get().and_then(|store| store.flush());
        let saved = self.uses.stop();
        ended.map_err(|_| CloseError::WriterPanicked)?;
        match self.engine.health() {
            health @ Health::Closed { .. } => return Err(CloseError::WritesEnded(health)),
            Health::Ready | Health::Paused { .. } => {}
        }
        flushed?;
        saved?;
        Ok(counted?)
    }
}

/// Says on stderr that clicks can't be saved, and that they can again, or that no more links are counted.
fn tell_of_uses(saved: Result<UsesNews, UsesError>) {
    let mut stderr = std::io::stderr();
    // Where stderr is closed, `eprintln!` would panic.
    let _ = match saved {
        Ok(UsesNews::SavedAgain) => writeln!(stderr, "carom: the clicks of links with `max_clicks` are saved again"),
        Ok(UsesNews::Full) => writeln!(
            stderr,
            "carom: WARNING: the clicks of {USES_LINKS} links with `max_clicks` are counted, the most there can be: others \
             are answered as if theirs were used up. Delete those that are used up"
        ),
        Err(error) => writeln!(
            stderr,
            "carom: the clicks of links with `max_clicks` can't be saved: {error}. They are counted on, and saved when \
             that is over; if carom ends before, what was not saved may be had once more"
        ),
    };
}

fn spawn(name: &str, body: impl FnOnce() + Send + 'static) -> Result<JoinHandle<()>, OpenError> {
    let thread = std::thread::Builder::new().name(name.to_owned()).spawn(body);
    thread.map_err(starting(name))
}

fn starting(name: &str) -> impl FnOnce(std::io::Error) -> OpenError {
    let name = name.to_owned();
    move |error| OpenError::Io(format!("starting the thread {name}"), error)
}

fn spawn_writer(
    writer: Writer,
    queue: RequestQueue,
    lock: Arc<lock::DirectoryLock>,
) -> Result<JoinHandle<()>, OpenError> {
    spawn("carom-writer", move || {
        let _watch = PanicWatch(writer.health().clone());
        // Should the engine be dropped without being closed, the writer may still have something to finish.
        let _lock = lock;
        writer::run(writer, &queue);
    })
}

/// Takes note in the health that the writer panicked.
struct PanicWatch(SharedHealth);

impl Drop for PanicWatch {
    fn drop(&mut self) {
        if std::thread::panicking() {
            self.0.set(Health::Closed { reason: "the writer panicked".to_owned() });
        }
    }
}

impl Engine {
    /// Applies the commands, all or none, and returns when they are durable and every later request sees them
    /// (I1, I5). With it, what became of each command.
    ///
    /// An operation that has a name is remembered for 24 hours: submitted again, it is not made again, and the answer
    /// is the first one, also if that was a refusal.
    ///
    /// # Errors
    /// If a precondition was not met, the batch is too large, or the log can't be written.
    pub fn submit(
        &self,
        operation: Option<OperationId>,
        commands: Vec<Command>,
    ) -> Result<Acknowledged<Vec<Outcome>>, SubmitError> {
        self.change(Submission { actor: Actor::local(), operation, change: Change::Links(commands) })
    }

    /// Makes a change, wholly or not at all, and returns when it is durable and every later request sees it (I1, I5).
    ///
    /// # Errors
    /// If the state does not allow it, it is too large, or the log can't be written.
    pub fn change(&self, submission: Submission) -> ChangeResult {
        self.requests.ask(|reply| Request::Change(Box::new(submission), reply.into()))
    }

    /// The same for those who must not wait: `reply` gets the answer, on the writer's thread. If it is dropped without
    /// one, that is [`SubmitError::lost`]. Blocks while more than [`WRITER_QUEUE`](crate::limits::WRITER_QUEUE)
    /// requests wait.
    ///
    /// # Errors
    /// If the writer has ended.
    pub fn change_then(
        &self,
        submission: Submission,
        reply: impl FnOnce(ChangeResult) + Send + 'static,
    ) -> Result<(), SubmitError> {
        self.requests.send(Request::Change(Box::new(submission), ChangeReply::new(reply)))
    }

    /// The hosts that have settings, and the tokens, as they are now.
    pub fn tables(&self) -> Arc<Tables> {
        self.views.tables.get()
    }

    /// The same for a thread that asks again and again.
    pub fn held_tables(&self) -> HeldTables {
        HeldTables::new(Arc::clone(&self.views.tables))
    }

    /// How often links with a limit of clicks were used.
    pub fn uses(&self) -> &Uses {
        self.views.uses.as_ref().expect("an engine that was opened has them")
    }

    /// Clicks that are counted, if they are.
    pub fn clicks(&self) -> Option<&Arc<Clicks>> {
        self.clicks.as_ref()
    }

    /// What a worker records clicks with, also where they are not counted: then it only tells who asks.
    pub fn recorder(&self) -> Recorder {
        self.clicks.as_ref().map_or_else(Recorder::not_counting, |clicks| clicks.recorder())
    }

    /// What can be asked of the clicks that were counted, if they are.
    pub fn stats(&self) -> Option<&Stats> {
        self.clicks.as_ref().map(|clicks| clicks.stats())
    }

    /// The link that a command to this key is about: of the key as it is given, or else as its host keeps it.
    ///
    /// # Errors
    /// If the store can't be read, or the entry is damaged.
    pub fn find_link(&self, key: &LinkKey) -> Result<Option<Link>, StoreError> {
        self.find_link_in(self.store.get()?.as_ref(), key)
    }

    /// The same for those who must not wait, and who expect it in memory because it was written just now. None if the
    /// store can't be had at once.
    pub fn try_find_link(&self, key: &LinkKey) -> Option<Result<Option<Link>, StoreError>> {
        Some(self.find_link_in(self.store.try_get()?.as_ref(), key))
    }

    fn find_link_in(&self, store: &dyn Store, key: &LinkKey) -> Result<Option<Link>, StoreError> {
        let link = |key: &LinkKey| Ok(read::stored_entry(store, key.as_str().as_bytes())?.link);
        let found = link(key)?;
        let tables = self.tables();
        let folding = tables.host(key.host().as_bytes()).map(|host| host.record.settings.folding());
        match folding.and_then(|folding| key.folded(folding)) {
            Some(folded) if found.is_none() => link(&folded),
            _ => Ok(found),
        }
    }

    /// Begins a set: any number of commands that are applied together or not at all.
    ///
    /// # Errors
    /// If the log can't be written.
    pub fn begin_set(&self) -> Result<SetWriter, SubmitError> {
        SetWriter::begin(self.requests.clone())
    }

    /// Whether changes are accepted.
    pub fn health(&self) -> Health {
        self.health.get()
    }

    /// The data directory.
    pub fn data(&self) -> &Path {
        &self.config.data
    }

    /// How it stands; cheap to ask.
    pub fn status(&self) -> Status {
        Status::of(self)
    }

    /// Writes a snapshot of the whole state as it is now, while changes and redirects go on. It is as durable as
    /// whoever holds `out` makes it.
    ///
    /// # Errors
    /// If store or `out` fail, or so much changes meanwhile that it is given up.
    pub fn backup(&self, out: impl Write) -> Result<Manifest, TakeError> {
        let _one = self.snapshot.lock();
        let begun = self.requests.ask(|reply| Request::SnapshotBegin { is_backup: true, reply })?;
        Ok(Taking::new(begun, out)?.run()?.1)
    }

    /// What the store holds under a canonical key.
    ///
    /// # Errors
    /// If the store can't be read, or the entry is damaged.
    pub fn stored_entry(&self, key: &str) -> Result<StoredEntry, StoreError> {
        read::stored_entry(self.store.get()?.as_ref(), key.as_bytes())
    }

    /// The first link in the order of keys; those of any host come first.
    ///
    /// # Errors
    /// If the store can't be read, or the entry is damaged.
    pub fn first_link(&self) -> Result<Option<Link>, StoreError> {
        let mut first = Ok(None);
        self.store.get()?.scan(&[keyspace::ENTRY], &mut |typed, value| {
            let Some((keyspace::ENTRY, key)) = keyspace::split(typed) else { return ControlFlow::Break(()) };
            first = read::decode_entry(key, value).map(|entry| entry.link);
            if matches!(first, Ok(None)) { ControlFlow::Continue(()) } else { ControlFlow::Break(()) }
        })?;
        first
    }

    /// A way through the caches for one thread, with a private cache of this many entries.
    pub fn read_path(self: &Arc<Self>, local_entries: usize) -> ReadPath {
        let filter = HeldFilter::new(Arc::clone(&self.views.filter));
        ReadPath::new(Arc::clone(&self.views.cache), filter, local_entries)
    }

    /// Has requests for keys that no link has answered without the store, from the moment on at which all keys were read.
    /// Without this they are looked up.
    ///
    /// # Errors
    /// If the thread can't be started that reads them.
    pub fn keep_filter(self: &Arc<Self>) -> std::io::Result<FilterKeeper> {
        FilterKeeper::start(self, None)
    }

    /// The same, and fills the shared cache meanwhile, by so many threads; returns when that is done, the cache is full, or
    /// it can't be done now.
    ///
    /// # Errors
    /// If the thread can't be started that looks after it.
    pub fn preload(
        self: &Arc<Self>,
        threads: usize,
    ) -> std::io::Result<(FilterKeeper, Result<Preloaded, PreloadError>)> {
        let (preload, end) = Preload::new(Arc::clone(&self.views.cache), threads);
        let keeper = FilterKeeper::start(self, Some(preload))?;
        Ok((keeper, end.wait(&self.views.filter)))
    }

    /// Threads that read the store for those that must not wait.
    ///
    /// # Errors
    /// If a thread can't be started.
    pub fn reader_pool(self: &Arc<Self>, threads: usize) -> std::io::Result<ReaderPool> {
        ReaderPool::start(self, threads)
    }

    /// How many links there are, and a digest over the whole state that is equal exactly when the state is (BLAKE3
    /// over typed keys and values in order). Reads the whole store.
    ///
    /// # Errors
    /// If the store can't be read.
    pub fn digest(&self) -> Result<StateDigest, StoreError> {
        StateDigest::of(self.store.get()?.as_ref())
    }
}
