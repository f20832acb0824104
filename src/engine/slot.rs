//! The store in use. It can be replaced while others read it.

use std::sync::Arc;
use std::time::{Duration, Instant};

use parking_lot::RwLock;

use crate::store::{Store, StoreError};

/// Holds the store that is read. While it is replaced, readers wait.
pub(super) struct StoreSlot {
    /// None if the last one failed and no other could be opened.
    store: RwLock<Option<Arc<dyn Store>>>,
    patience: Duration,
}

/// How long those who read the old store may take to let go of it.
const PATIENCE: Duration = Duration::from_secs(5);

impl StoreSlot {
    pub(super) fn new(store: Arc<dyn Store>) -> Self {
        Self::with_patience(store, PATIENCE)
    }

    /// With another patience with those who read the old store.
    pub(super) fn with_patience(store: Arc<dyn Store>, patience: Duration) -> Self {
        StoreSlot { store: RwLock::new(Some(store)), patience }
    }

    /// The store.
    ///
    /// # Errors
    /// If there is none just now.
    pub(super) fn get(&self) -> Result<Arc<dyn Store>, StoreError> {
        let failed = || StoreError::Backend("it failed and could not be opened again yet".to_owned());
        self.store.read().clone().ok_or_else(failed)
    }

    /// The store, if there is one just now and nobody replaces it.
    pub(super) fn try_get(&self) -> Option<Arc<dyn Store>> {
        self.store.try_read()?.clone()
    }

    /// Closes the store and opens another in its place; no store has two owners of its files.
    ///
    /// # Errors
    /// If somebody holds on to the old one, or `open` fails. Then there is no store until this succeeds.
    pub(super) fn replace<T>(&self, open: impl FnOnce() -> Result<(Arc<dyn Store>, T), String>) -> Result<T, String> {
        let mut store = self.store.write();
        if let Some(old) = store.take() {
            let start = Instant::now();
            while Arc::strong_count(&old) > 1 {
                if start.elapsed() >= self.patience {
                    *store = Some(old);
                    return Err("the store failed, and can't be opened again while it is being read".to_owned());
                }
                std::thread::sleep(Duration::from_millis(1));
            }
        }
        let (opened, other) = open()?;
        *store = Some(opened);
        Ok(other)
    }
}
