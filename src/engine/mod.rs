//! The engine that all planes share: it finds links and changes them.
//!
//! - The read path: [`resolve()`] is the order of lookups, [`ReadPath`] one thread's way through the caches,
//!   [`ReaderPool`] the threads that read the store when the caches don't know.
//! - The write path: [`Engine::submit`] and [`Engine::begin_set`] hand changes to the one writer (I2), which
//!   appends them to the log, applies them to the store, invalidates the caches and answers, in this order.
//! - [`apply`]: what a record does to the state, as a pure function (I3).
//! - `recover`: from a store that is deleted, behind, or of no use back to one that holds the whole log.

mod applier;
pub mod apply;
mod lock;
mod read;
mod readers;
mod recover;
mod resolve;
mod set;
#[cfg(test)]
mod tests;
mod writer;

use std::ops::ControlFlow;
use std::path::PathBuf;
use std::sync::Arc;
use std::thread::JoinHandle;

pub use lock::LockError;
pub use read::{Miss, ReadPath, RequestLookup};
pub use readers::{ReadReply, ReaderPool};
pub use recover::{Recovery, SetAside};
pub use resolve::{Lookup, Resolved, resolve};
pub use set::{SetSummary, SetWriter};
pub use writer::SubmitError;

use crate::cache::SharedCache;
use crate::link::{Command, Link, Outcome, StoredEntry};
use crate::log::{LogError, OperationId, hint};
use crate::store::{Store, StoreError};
use writer::{Request, Requests};

/// What an engine needs to know.
#[derive(Debug, Clone)]
pub struct EngineConfig {
    /// The data directory. It is created if it is missing.
    pub data: PathBuf,
    /// What the shared cache may hold, in bytes.
    pub cache_bytes: usize,
    /// What the store may cache of its pages, in bytes.
    pub store_cache_bytes: u64,
}

/// Why an engine can't be opened.
#[derive(Debug, thiserror::Error)]
pub enum OpenError {
    /// Another process holds the data directory, or it can't be used.
    #[error(transparent)]
    Lock(#[from] LockError),
    /// The log can't be read, or is damaged.
    #[error(transparent)]
    Log(#[from] LogError),
    /// The store can't be opened, for a reason that does not lie in its contents. It was left as it is.
    #[error(
        "{} can't be opened: {error}. It was left as it is. Start again when the cause has been removed; or move it \
         away, and it is built again from the log",
        path.display()
    )]
    StoreNotOpened {
        /// Where it lies.
        path: PathBuf,
        /// Why not.
        error: StoreError,
    },
    /// The store can't be read or written.
    #[error(transparent)]
    Store(#[from] StoreError),
    /// There is no log, and the store that could say what was in it can't be read.
    #[error(
        "there is no log in {}, and the store in {} can't be used: {reason}. Nothing was changed. Restore `log/` from \
         a copy or backup, or, to begin without any links, move `store/` away.",
        log.display(),
        store.display()
    )]
    NothingUsable {
        /// The log's directory.
        log: PathBuf,
        /// The store's.
        store: PathBuf,
        /// What is wrong with the store.
        reason: String,
    },
    /// A record passed its checksum and yet can't be applied.
    #[error("record {sequence} of the log can't be applied: {reason}. Was it written by a newer version of carom?")]
    Record {
        /// Which record.
        sequence: u64,
        /// Why not.
        reason: String,
    },
    /// The operating system refused.
    #[error("{0}: {1}{way_out}", way_out = hint(.1))]
    Io(String, std::io::Error),
}

/// What went wrong while an engine was closed. What was acknowledged is in the log.
#[derive(Debug, thiserror::Error)]
pub enum CloseError {
    /// The writer thread panicked; it printed why.
    #[error(
        "the writer thread panicked. Changes that were acknowledged are in the log, and are applied at the next start"
    )]
    WriterPanicked,
    /// The store can't be flushed.
    #[error(transparent)]
    Store(#[from] StoreError),
}

/// What the threads of a process share: the caches, the store, and the way to the writer.
pub struct Engine {
    shared: Arc<SharedCache>,
    store: Arc<dyn Store>,
    requests: Requests,
    // Last, so that the store is closed before another process may open it.
    _lock: Arc<lock::DirectoryLock>,
}

/// An engine together with its writer thread; closing it ends the writer.
pub struct OwnedEngine {
    engine: Arc<Engine>,
    writer: JoinHandle<()>,
}

impl OwnedEngine {
    /// Opens the data directory: takes its lock, opens log and store, and brings the store to the end of the log.
    ///
    /// # Errors
    /// If another process holds the directory, or log or store can't be read.
    pub fn open(config: &EngineConfig) -> Result<(Self, Recovery), OpenError> {
        let lock = Arc::new(lock::DirectoryLock::take(&config.data)?);
        let shared = Arc::new(SharedCache::new(config.cache_bytes));
        let recovered = recover::recover(config, Arc::clone(&shared))?;
        let (requests, queue) = writer::requests();
        let store = Arc::clone(recovered.applier.store());
        let engine = Arc::new(Engine { shared, store, requests, _lock: Arc::clone(&lock) });
        let writer = std::thread::Builder::new()
            .name("carom-writer".to_owned())
            .spawn(move || {
                // Should the engine be dropped without being closed, the writer may still have something to finish.
                let _lock = lock;
                writer::run(recovered.log, recovered.applier, &queue);
            })
            .map_err(|error| OpenError::Io("starting the writer thread".to_owned(), error))?;
        Ok((OwnedEngine { engine, writer }, recovered.report))
    }

    /// The engine, to share with other threads.
    pub fn engine(&self) -> &Arc<Engine> {
        &self.engine
    }

    /// Ends the writer after all that was submitted before, and flushes the store, so that the next start has
    /// nothing to apply again. Changes that are submitted later are refused.
    ///
    /// # Errors
    /// If the writer panicked, or the store can't be flushed. What was acknowledged is not lost: the log has it.
    pub fn close(self) -> Result<(), CloseError> {
        // The writer has gone already if this fails.
        let _ = self.engine.requests.send(Request::Stop);
        let ended = self.writer.join();
        // Also after a panic: what was applied before it was acknowledged.
        let flushed = self.engine.store.flush();
        ended.map_err(|_| CloseError::WriterPanicked)?;
        Ok(flushed?)
    }
}

impl Engine {
    /// Applies the commands, all or none, and returns when they are durable and every later request sees them
    /// (I1, I5). With it, what became of each command.
    ///
    /// # Errors
    /// If a precondition was not met, the batch is too large, or the log can't be written.
    pub fn submit(&self, operation: OperationId, commands: Vec<Command>) -> Result<Vec<Outcome>, SubmitError> {
        self.requests.ask(|reply| Request::Batch { operation, commands, reply })
    }

    /// Begins a set: any number of commands that are applied together or not at all.
    ///
    /// # Errors
    /// If the log can't be written.
    pub fn begin_set(&self) -> Result<SetWriter, SubmitError> {
        SetWriter::begin(self.requests.clone())
    }

    /// What the store holds under a canonical key.
    ///
    /// # Errors
    /// If the store can't be read, or the entry is damaged.
    pub fn stored_entry(&self, key: &str) -> Result<StoredEntry, StoreError> {
        read::stored_entry(self.store.as_ref(), key.as_bytes())
    }

    /// The first link in the order of keys; those of any host come first.
    ///
    /// # Errors
    /// If the store can't be read, or the entry is damaged.
    pub fn first_link(&self) -> Result<Option<Link>, StoreError> {
        let mut first = Ok(None);
        self.store.scan(&mut |key, value| {
            first = read::decode_entry(key, value).map(|entry| entry.link);
            if matches!(first, Ok(None)) { ControlFlow::Continue(()) } else { ControlFlow::Break(()) }
        })?;
        first
    }

    /// A way through the caches for one thread, with a private cache of this many entries.
    pub fn read_path(self: &Arc<Self>, local_entries: usize) -> ReadPath {
        ReadPath::new(Arc::clone(&self.shared), local_entries)
    }

    /// Threads that read the store for those that must not wait.
    ///
    /// # Errors
    /// If a thread can't be started.
    pub fn reader_pool(self: &Arc<Self>, threads: usize) -> std::io::Result<ReaderPool> {
        ReaderPool::start(self, threads)
    }

    /// How many links there are, and a digest over all of them that is equal exactly when they are (BLAKE3 over
    /// keys and entries in order). Reads the whole store.
    ///
    /// # Errors
    /// If the store can't be read.
    pub fn digest(&self) -> Result<StateDigest, StoreError> {
        StateDigest::of(self.store.as_ref())
    }
}

/// How many entries a store holds, and a hash over all of them.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct StateDigest {
    /// How many entries.
    pub entries: u64,
    /// BLAKE3 over the length and bytes of each key and entry, in the order of the keys.
    pub hash: [u8; 32],
}

impl StateDigest {
    /// Of a store.
    ///
    /// # Errors
    /// If it can't be read.
    pub fn of(store: &dyn Store) -> Result<Self, StoreError> {
        let (mut entries, mut hasher) = (0, blake3::Hasher::new());
        store.scan(&mut |key, value| {
            entries += 1;
            for part in [key, value] {
                hasher.update(&(part.len() as u64).to_le_bytes()).update(part);
            }
            ControlFlow::Continue(())
        })?;
        Ok(StateDigest { entries, hash: *hasher.finalize().as_bytes() })
    }
}
