//! Stores in memory that lose what was not made durable, up to some write, and fail.

use std::collections::{BTreeMap, HashMap, HashSet};
use std::path::PathBuf;
use std::sync::Arc;

use parking_lot::Mutex;

use super::super::months::Opener;
use crate::store::{Position, Store, StoreError, Visit, Write};

type Entries = BTreeMap<Vec<u8>, Vec<u8>>;

/// The files of all stores.
#[derive(Clone, Default)]
pub(super) struct Files(Arc<Mutex<State>>);

#[derive(Default)]
struct State {
    stores: HashMap<PathBuf, Held>,
    /// They can't be opened.
    damaged: HashSet<PathBuf>,
    /// So many writes and syncs succeed yet.
    good: Option<usize>,
}

#[derive(Default, Clone)]
struct Held {
    durable: Entries,
    written: Vec<Vec<Write>>,
    now: Entries,
}

struct Fake {
    dir: PathBuf,
    files: Files,
    has_failed: Mutex<bool>,
}

impl Files {
    pub(super) fn opener(&self) -> Opener {
        let files = self.clone();
        Box::new(move |dir| {
            std::fs::create_dir_all(dir).map_err(StoreError::Io)?;
            // What a store that failed had not made durable is gone once it is opened again.
            let mut state = files.0.lock();
            if state.damaged.contains(dir) {
                return Err(StoreError::Corrupt("a table is cut short".to_owned()));
            }
            let held = state.stores.entry(dir.to_owned()).or_default();
            held.now = held.durable.clone();
            held.written.iter().for_each(|writes| make(&mut held.now, writes));
            drop(state);
            Ok(Arc::new(Fake { dir: dir.to_owned(), files: files.clone(), has_failed: Mutex::new(false) }))
        })
    }

    /// Of each store some of the last writes are lost.
    pub(super) fn crash(&self, random: &mut fastrand::Rng) {
        let mut state = self.0.lock();
        state.good = None;
        for held in state.stores.values_mut() {
            held.written.truncate(random.usize(..=held.written.len()));
            let written = std::mem::take(&mut held.written);
            written.iter().for_each(|writes| make(&mut held.durable, writes));
            held.now = held.durable.clone();
        }
    }

    /// A store can't be opened any more.
    pub(super) fn damage(&self, dir: PathBuf) {
        self.0.lock().damaged.insert(dir);
    }

    pub(super) fn fail_after(&self, good: Option<usize>) {
        self.0.lock().good = good;
    }
}

fn make(entries: &mut Entries, writes: &[Write]) {
    for write in writes {
        match &write.value {
            Some(value) => entries.insert(write.key.clone(), value.clone()),
            None => entries.remove(&write.key),
        };
    }
}

impl Fake {
    fn change(&self, change: impl FnOnce(&mut Held)) -> Result<(), StoreError> {
        let mut state = self.files.0.lock();
        let mut failed = self.has_failed.lock();
        if let Some(good) = &mut state.good {
            *failed |= *good == 0;
            *good = good.saturating_sub(1);
        }
        let held = state.stores.get_mut(&self.dir).expect("it was opened");
        if *failed {
            held.written.clear();
            return Err(StoreError::Backend("it has failed".to_owned()));
        }
        change(held);
        Ok(())
    }
}

impl Store for Fake {
    fn get(&self, key: &[u8]) -> Result<Option<Vec<u8>>, StoreError> {
        Ok(self.files.0.lock().stores[&self.dir].now.get(key).cloned())
    }

    fn apply(&self, writes: &[Write], _position: &Position) -> Result<(), StoreError> {
        self.load(writes)
    }

    fn load(&self, writes: &[Write]) -> Result<(), StoreError> {
        assert!(writes.len() <= self.writes_per_apply());
        self.change(|held| {
            make(&mut held.now, writes);
            held.written.push(writes.to_vec());
        })
    }

    fn is_empty(&self) -> Result<bool, StoreError> {
        Ok(self.files.0.lock().stores[&self.dir].now.is_empty())
    }

    fn position(&self) -> Result<Option<Position>, StoreError> {
        Ok(None)
    }

    fn scan(&self, from: &[u8], visit: &mut Visit<'_>) -> Result<(), StoreError> {
        let entries = self.files.0.lock().stores[&self.dir].now.clone();
        for (key, value) in entries.range(from.to_vec()..) {
            if visit(key, value).is_break() {
                break;
            }
        }
        Ok(())
    }

    fn flush(&self) -> Result<(), StoreError> {
        self.change(|held| {
            held.durable.clone_from(&held.now);
            held.written.clear();
        })
    }

    fn writes_per_apply(&self) -> usize {
        7
    }
}
