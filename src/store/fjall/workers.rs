//! The threads that write memtables out and merge tables, and what the writer waits for.

use std::panic::{AssertUnwindSafe, catch_unwind};
use std::sync::Arc;
use std::thread::JoinHandle;
use std::time::Duration;

use lsm_tree::compaction::Leveled;
use lsm_tree::{AbstractTree, AnyTree, SequenceNumberCounter};
use parking_lot::{Condvar, Mutex};

use super::store_error;
use crate::store::StoreError;

/// Memtables that may wait to be written out, beside the one that is written to.
const SEALED_MEMTABLES: usize = 2;

/// Once so many runs of tables wait to be merged, each batch waits [`MERGE_WAIT`] for each run more. Every read looks
/// into all of them.
const UNMERGED_RUNS: usize = 8;

/// How long a batch waits for each run over [`UNMERGED_RUNS`].
const MERGE_WAIT: Duration = Duration::from_millis(1);

/// The threads. They end when it is dropped, once what they are at is done.
pub(super) struct Workers {
    shared: Arc<Shared>,
    threads: Vec<JoinHandle<()>>,
}

struct Shared {
    tree: AnyTree,
    next: SequenceNumberCounter,
    state: Mutex<State>,
    /// Notified when a memtable or a table has come or gone, and when `state` changes.
    changed: Condvar,
    way_out: &'static str,
}

#[derive(Default)]
struct State {
    stopping: bool,
    failed: Option<Failure>,
}

enum Failure {
    Error(lsm_tree::Error),
    Panic,
}

impl Workers {
    pub(super) fn start(tree: AnyTree, next: SequenceNumberCounter, way_out: &'static str) -> Result<Self, StoreError> {
        let shared = Arc::new(Shared { tree, next, state: Mutex::default(), changed: Condvar::new(), way_out });
        let mut workers = Workers { shared, threads: Vec::new() };
        for (name, run) in [("store-write-out", Shared::write_out as fn(&Shared)), ("store-merge", Shared::merge)] {
            let shared = Arc::clone(&workers.shared);
            let thread = std::thread::Builder::new().name(name.to_owned()).spawn(move || run(&shared));
            workers.threads.push(thread.map_err(StoreError::Io)?);
        }
        Ok(workers)
    }

    /// Says that a memtable or a table has come.
    pub(super) fn wake(&self) {
        self.shared.notify();
    }

    /// Slows the writer down to what is written out and merged meanwhile, which bounds memory and disk.
    ///
    /// # Errors
    /// If one of the threads has failed, now or before.
    pub(super) fn wait_for_room(&self) -> Result<(), StoreError> {
        let runs = self.shared.tree.l0_run_count().saturating_sub(UNMERGED_RUNS);
        std::thread::sleep(MERGE_WAIT * u32::try_from(runs).unwrap_or(u32::MAX));
        let mut state = self.shared.state.lock();
        loop {
            if let Some(failure) = &state.failed {
                return Err(failure.as_store_error(self.shared.way_out));
            }
            if self.shared.tree.sealed_memtable_count() <= SEALED_MEMTABLES {
                return Ok(());
            }
            self.shared.changed.wait(&mut state);
        }
    }

    /// Whether writes can still be taken.
    ///
    /// # Errors
    /// If one of the threads has failed.
    pub(super) fn check(&self) -> Result<(), StoreError> {
        let state = self.shared.state.lock();
        state.failed.as_ref().map_or(Ok(()), |failure| Err(failure.as_store_error(self.shared.way_out)))
    }

    /// Ends the threads. Whether none had failed.
    pub(super) fn stop(&mut self) -> bool {
        self.shared.state.lock().stopping = true;
        self.shared.notify();
        for thread in self.threads.drain(..) {
            // A panic is caught in the thread, and told.
            let _ = thread.join();
        }
        self.shared.state.lock().failed.is_none()
    }
}

impl Drop for Workers {
    fn drop(&mut self) {
        self.stop();
    }
}

impl Shared {
    fn notify(&self) {
        // Whoever looks holds the lock from the look to the wait.
        drop(self.state.lock());
        self.changed.notify_all();
    }

    /// Waits until there is something to do; whether it is not to end.
    fn wait_while(&self, idle: impl Fn() -> bool) -> bool {
        let mut state = self.state.lock();
        while !state.stopping && state.failed.is_none() && idle() {
            self.changed.wait(&mut state);
        }
        !state.stopping && state.failed.is_none()
    }

    fn attempt(&self, work: impl FnOnce() -> lsm_tree::Result<()>) {
        let failure = match catch_unwind(AssertUnwindSafe(work)) {
            Ok(Ok(())) => None,
            Ok(Err(error)) => Some(Failure::Error(error)),
            Err(_) => Some(Failure::Panic),
        };
        if failure.is_some() {
            self.state.lock().failed = failure;
        }
        self.notify();
    }

    fn write_out(&self) {
        while self.wait_while(|| self.tree.sealed_memtable_count() == 0) {
            self.attempt(|| self.tree.flush(&self.tree.get_flush_lock(), self.next.get()).map(drop));
        }
    }

    fn merge(&self) {
        // Levels keep what was replaced or deleted to a tenth of the whole; tiers would take twice the disk.
        let strategy = Arc::new(Leveled::default());
        // The version that has nothing to merge.
        let mut settled = None;
        while self.wait_while(|| settled == Some(self.tree.current_version().id())) {
            let before = self.tree.current_version().id();
            self.attempt(|| self.tree.compact(strategy.clone(), self.next.get()));
            settled = (self.tree.current_version().id() == before).then_some(before);
        }
    }
}

impl Failure {
    fn as_store_error(&self, way_out: &str) -> StoreError {
        match self {
            Failure::Error(error) => match store_error(error) {
                StoreError::Corrupt(reason) => StoreError::Corrupt(format!("{reason}. {way_out}")),
                error => error,
            },
            Failure::Panic => StoreError::Backend(
                "a thread of its own has panicked, and it takes no more writes until carom is started again".to_owned(),
            ),
        }
    }
}
