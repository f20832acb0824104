//! Where the store lies: opened under a deadline, set aside when it is of no use.

use std::path::{Path, PathBuf};
use std::sync::Arc;
use std::time::Duration;

use parking_lot::Mutex;

use super::recover::SetAside;
use super::{EngineConfig, OpenError};
use crate::clock;
use crate::store::{self, Store, StoreError, StoreKind};

/// Where a store lies.
pub(super) trait StorePlace: Send + Sync {
    /// Opens the store, or begins one if there is none. If what lies there is of no use, says why.
    ///
    /// # Errors
    /// If the operating system refuses, or the store does for a reason that is not in its files: then it may well be
    /// intact, and another would be refused alike.
    fn open(&self) -> Result<Result<Arc<dyn Store>, String>, OpenError>;

    /// Moves what lies there out of the way, under a name that says when.
    ///
    /// # Errors
    /// If it can't be moved.
    fn set_aside(&self, reason: String) -> Result<SetAside, OpenError>;

    /// Removes what lies there: the beginning of a store that was not finished. The store must have been closed.
    ///
    /// # Errors
    /// If it can't be removed.
    fn remove(&self) -> Result<(), OpenError>;
}

/// A directory on a real disk.
pub(super) struct DirectoryPlace {
    data: PathBuf,
    kind: StoreKind,
    cache_bytes: u64,
    open_timeout: Duration,
    /// The directory in use: [`NAME`] or [`NAME_BESIDE`].
    path: Mutex<PathBuf>,
}

/// The usual name of the store's directory.
pub(super) const NAME: &str = "store";

/// Its name while the thread may live that hung opening the one before: what it does late must not touch this one.
pub(super) const NAME_BESIDE: &str = "store.beside";

impl DirectoryPlace {
    pub(super) fn new(config: &EngineConfig) -> Self {
        DirectoryPlace {
            data: config.data.clone(),
            kind: config.store_kind(),
            cache_bytes: config.store_cache_bytes,
            open_timeout: config.store_open_timeout,
            path: Mutex::new(config.data.join(NAME)),
        }
    }

    /// The same place for a store of another kind.
    pub(super) fn of_kind(&self, kind: StoreKind) -> Self {
        // With the path: what hung on opening the one must not touch the other.
        let path = Mutex::new(self.path.lock().clone());
        DirectoryPlace { data: self.data.clone(), kind, path, ..*self }
    }

    /// The process that made a store beside the usual one is gone, and with it the thread that hung.
    fn rename_from_beside(&self, path: &Path) -> Result<(), OpenError> {
        let beside = self.data.join(NAME_BESIDE);
        if path == beside || !beside.exists() {
            return Ok(());
        }
        if path.exists() {
            self.set_aside("another one was built beside it".to_owned())?;
        }
        std::fs::rename(&beside, path).map_err(|error| failed("renaming", &beside, error))
    }
}

fn failed(action: &str, path: &Path, error: std::io::Error) -> OpenError {
    OpenError::Io(format!("{action} {}", path.display()), error)
}

impl StorePlace for DirectoryPlace {
    fn open(&self) -> Result<Result<Arc<dyn Store>, String>, OpenError> {
        let path = self.path.lock().clone();
        self.rename_from_beside(&path)?;
        let (kind, cache_bytes) = (self.kind, self.cache_bytes);
        let (opened, result) = crossbeam_channel::bounded(1);
        let at = path.clone();
        let thread = std::thread::Builder::new().name("carom-store-open".to_owned()).spawn(move || {
            let open = || {
                let store = store::open(Some(kind), &at, cache_bytes)?;
                // Whether that can be read is a part of the question.
                store.position()?;
                Ok(store)
            };
            // Stores do not always answer damaged files with an error.
            let result = std::panic::catch_unwind(open);
            // Nobody waits any more if it took too long.
            let _ = opened.send(result);
        });
        thread.map_err(|error| OpenError::Io("starting a thread to open the store".to_owned(), error))?;
        match result.recv_timeout(self.open_timeout) {
            Ok(Ok(Ok(store))) => Ok(Ok(store)),
            Ok(Ok(Err(error @ (StoreError::Corrupt(_) | StoreError::Damaged { .. })))) => Ok(Err(error.to_string())),
            Ok(Ok(Err(error))) => Err(OpenError::StoreNotOpened { path, error }),
            Ok(Err(_)) => Ok(Err("opening it led to a panic".to_owned())),
            Err(_) => {
                // The thread can't be ended, and has the path.
                *self.path.lock() = self.data.join(NAME_BESIDE);
                Ok(Err(format!("opening it took longer than {} s", self.open_timeout.as_secs_f64())))
            }
        }
    }

    fn set_aside(&self, reason: String) -> Result<SetAside, OpenError> {
        let usual = self.data.join(NAME);
        // If opening that one hung, the path in use is already another, where nothing lies yet.
        let path = if usual.exists() { usual } else { self.path.lock().clone() };
        let aside = self.data.join(format!("store.unusable-{}", clock::unix_time_ms()));
        std::fs::rename(&path, &aside).map_err(|error| {
            let (from, to) = (path.display(), aside.display());
            OpenError::Io(format!("the store can't be used ({reason}), and renaming {from} to {to} failed"), error)
        })?;
        Ok(SetAside { path: aside, reason })
    }

    fn remove(&self) -> Result<(), OpenError> {
        let path = self.path.lock().clone();
        match std::fs::remove_dir_all(&path) {
            Err(error) if error.kind() != std::io::ErrorKind::NotFound => Err(failed("removing", &path, error)),
            _ => Ok(()),
        }
    }
}
