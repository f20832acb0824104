//! The stores of the months, of which some are open.

use std::collections::{BTreeMap, BTreeSet};
use std::io;
use std::ops::ControlFlow;
use std::path::{Path, PathBuf};
use std::sync::Arc;
use std::sync::atomic::{AtomicBool, Ordering};

use parking_lot::Mutex;

use super::super::stats::StatsError;
use super::calendar::{month_name, month_named};
use super::keys;
use super::meta::Meta;
use super::row::{Parts, Row};
use crate::store::{FjallOptions, FjallStore, Store, StoreError, Write};

/// What to do about damage.
const WAY_OUT: &str = "Stop carom and move this directory away: the clicks of that month are lost with it, links are not \
                       touched.";

/// What a block of a store holds before it is compressed: larger than that of links, for rows are small and alike.
const BLOCK_BYTES: u32 = 16 * 1024;

/// Files that each store may hold open.
const OPEN_FILES: usize = 16;

/// What a month's directory has behind its name while it is being deleted.
const GONE: &str = ".deleted";

/// Opens the store in a directory.
pub(super) type Opener = Box<dyn Fn(&Path) -> Result<Arc<dyn Store>, StoreError> + Send + Sync>;

/// See the module.
pub(crate) struct Months {
    dir: PathBuf,
    opener: Opener,
    most_open: usize,
    state: Mutex<State>,
}

struct State {
    /// Those that have a directory.
    known: BTreeSet<u16>,
    /// The one that was asked for last stands last.
    open: Vec<Arc<Month>>,
    /// Those that can't be opened.
    shut: BTreeMap<u16, Shut>,
}

/// Why a month is not opened.
struct Shut {
    reason: String,
    /// It is damaged, and stays shut until the next start. Else it failed, and [`Months::reopen`] opens it.
    is_for_good: bool,
}

/// One of them.
pub(crate) struct Month {
    pub(crate) number: u16,
    dir: PathBuf,
    store: Arc<dyn Store>,
    meta: Mutex<Meta>,
    has_failed: AtomicBool,
}

/// What opens stores on disk.
pub(super) fn on_disk(cache_bytes: u64) -> Opener {
    Box::new(move |dir| {
        let options = FjallOptions { cache_bytes, block_bytes: BLOCK_BYTES, open_files: OPEN_FILES, way_out: WAY_OUT };
        Ok(Arc::new(FjallStore::open_with(dir, options)?))
    })
}

impl Months {
    pub(super) fn new(dir: &Path, opener: Opener, most_open: usize) -> Result<Self, StatsError> {
        std::fs::create_dir_all(dir).map_err(io_error)?;
        let mut known = BTreeSet::new();
        for entry in std::fs::read_dir(dir).map_err(io_error)? {
            let name = entry.map_err(io_error)?.file_name();
            let Some(name) = name.to_str() else { continue };
            known.extend(month_named(name));
            if name.strip_suffix(GONE).and_then(month_named).is_some() {
                // If it can't be, it takes room and is tried again at the next start.
                let _ = remove(&dir.join(name));
            }
        }
        let state = Mutex::new(State { known, open: Vec::new(), shut: BTreeMap::new() });
        Ok(Months { dir: dir.to_owned(), opener, most_open: most_open.max(1), state })
    }

    /// The months of which there is a store, ascending.
    pub(crate) fn known(&self) -> Vec<u16> {
        self.state.lock().known.iter().copied().collect()
    }

    /// A month. None if it has no store.
    pub(crate) fn get(&self, number: u16) -> Result<Option<Arc<Month>>, StatsError> {
        if !self.state.lock().known.contains(&number) {
            return Ok(None);
        }
        self.open(number).map(Some)
    }

    /// A month, of which a store is begun if there is none.
    pub(super) fn open(&self, number: u16) -> Result<Arc<Month>, StatsError> {
        self.open_in(&mut self.state.lock(), number)
    }

    fn open_in(&self, state: &mut State, number: u16) -> Result<Arc<Month>, StatsError> {
        if let Some(shut) = state.shut.get(&number) {
            let month = self.path(number).display().to_string();
            return Err(StatsError::Damaged { month, reason: shut.reason.clone() });
        }
        if let Some(place) = state.open.iter().position(|month| month.number == number) {
            let month = state.open.remove(place);
            state.open.push(Arc::clone(&month));
            return Ok(month);
        }
        // Before, so that no more are open than may be. One that is in use stays: its files can have but one owner.
        let mut excess = (state.open.len() + 1).saturating_sub(self.most_open);
        state.open.retain(|month| {
            let closes = excess > 0 && Arc::strong_count(month) == 1;
            excess -= usize::from(closes);
            !closes
        });
        let dir = self.path(number);
        let store = (self.opener)(&dir).map_err(|error| of_dir(&dir, error))?;
        let meta = store.get(keys::META).map_err(|error| of_dir(&dir, error))?;
        let meta = meta.map_or(Some(Meta::default()), |bytes| Meta::decode(&bytes));
        let meta = meta.ok_or_else(|| damaged(&dir, "what it says of itself can't be read"))?;
        let month = Arc::new(Month { number, dir, store, meta: Mutex::new(meta), has_failed: AtomicBool::new(false) });
        state.known.insert(number);
        state.open.push(Arc::clone(&month));
        Ok(month)
    }

    /// Opens a month whose store failed again, as it is durable; until that is done nobody else gets it. None if somebody
    /// still uses it.
    pub(super) fn reopen(&self, number: u16) -> Result<Option<Arc<Month>>, StatsError> {
        let mut state = self.state.lock();
        state.open.retain(|month| month.number != number || Arc::strong_count(month) > 1);
        if state.open.iter().any(|month| month.number == number) {
            return Ok(None);
        }
        state.shut.remove(&number);
        let opened = self.open_in(&mut state, number);
        if let Err(error) = &opened {
            let reason = error.to_string();
            state.shut.insert(number, Shut { reason, is_for_good: false });
        }
        opened.map(Some)
    }

    /// Nothing is read from a month any more, and nothing written, for it is damaged.
    pub(super) fn set_aside(&self, number: u16, error: &StatsError) {
        let reason = match error {
            StatsError::Damaged { reason, .. } => reason.clone(),
            error => error.to_string(),
        };
        self.state.lock().shut.insert(number, Shut { reason, is_for_good: true });
    }

    /// Whether a month was [set aside](Self::set_aside).
    pub(super) fn is_set_aside(&self, number: u16) -> bool {
        self.state.lock().shut.get(&number).is_some_and(|shut| shut.is_for_good)
    }

    /// Whether a month failed and could not be opened again yet.
    pub(super) fn is_shut(&self, number: u16) -> bool {
        self.state.lock().shut.get(&number).is_some_and(|shut| !shut.is_for_good)
    }

    /// Deletes a month. Whether it could be: not while somebody uses it.
    ///
    /// The name goes first, durably: what a crash leaves is no month any more, and the next start removes it.
    pub(super) fn delete(&self, number: u16) -> Result<bool, StatsError> {
        let (dir, gone) = (self.path(number), self.dir.join(format!("{}{GONE}", month_name(number))));
        remove(&gone)?;
        {
            let mut state = self.state.lock();
            state.open.retain(|month| month.number != number || Arc::strong_count(month) > 1);
            if state.open.iter().any(|month| month.number == number) {
                return Ok(false);
            }
            match std::fs::rename(&dir, &gone) {
                Err(error) if error.kind() != io::ErrorKind::NotFound => return Err(io_error(error)),
                _ => {
                    state.known.remove(&number);
                    state.shut.remove(&number);
                }
            }
        }
        std::fs::File::open(&self.dir).and_then(|dir| dir.sync_all()).map_err(io_error)?;
        remove(&gone)?;
        Ok(true)
    }

    /// The directory of a month.
    pub(super) fn path(&self, number: u16) -> PathBuf {
        self.dir.join(month_name(number))
    }
}

/// Removes a directory with all that is in it, if there is one.
fn remove(dir: &Path) -> Result<(), StatsError> {
    match std::fs::remove_dir_all(dir) {
        Err(error) if error.kind() != io::ErrorKind::NotFound => Err(io_error(error)),
        _ => Ok(()),
    }
}

fn io_error(error: io::Error) -> StatsError {
    StatsError::Store(StoreError::Io(error))
}

impl Month {
    /// Its store failed: it is to be opened again before it is used again.
    pub(super) fn fail(&self) {
        self.has_failed.store(true, Ordering::Relaxed);
    }

    pub(super) fn has_failed(&self) -> bool {
        self.has_failed.load(Ordering::Relaxed)
    }

    pub(super) fn meta(&self) -> Meta {
        self.meta.lock().clone()
    }

    pub(crate) fn get(&self, key: &[u8]) -> Result<Option<Vec<u8>>, StatsError> {
        self.store.get(key).map_err(|error| self.error(error))
    }

    /// A row, in some of its parts.
    pub(super) fn row(&self, key: &[u8], parts: Parts) -> Result<Option<Row>, StatsError> {
        self.get(key)?.map(|bytes| self.decode(key, &bytes, parts)).transpose()
    }

    pub(crate) fn decode(&self, key: &[u8], bytes: &[u8], parts: Parts) -> Result<Row, StatsError> {
        let reason = || format!("the row of `{}` can't be read", key.escape_ascii());
        Row::decode(bytes, parts).ok_or_else(|| damaged(&self.dir, &reason()))
    }

    /// Visits what lies under keys that begin with `prefix`, from `from` on, until it is told to stop.
    pub(crate) fn scan(
        &self,
        from: &[u8],
        prefix: &[u8],
        mut visit: impl FnMut(&[u8], &[u8]) -> Result<ControlFlow<()>, StatsError>,
    ) -> Result<(), StatsError> {
        let mut failed = Ok(());
        let scanned = self.store.scan(from, &mut |key, value| {
            if !key.starts_with(prefix) {
                return ControlFlow::Break(());
            }
            visit(key, value).unwrap_or_else(|error| {
                failed = Err(error);
                ControlFlow::Break(())
            })
        });
        scanned.map_err(|error| self.error(error))?;
        failed
    }

    /// The names of the hosts or tags that have members: one look for each.
    pub(super) fn groups(&self, kind: u8) -> Result<Vec<Vec<u8>>, StatsError> {
        let prefix = [keys::MEMBER, kind];
        let mut groups: Vec<Vec<u8>> = Vec::new();
        let mut from = prefix.to_vec();
        loop {
            let before = groups.len();
            self.scan(&from, &prefix, |key, _| {
                // Ids behind the name may hold zeros too.
                groups.extend(key[prefix.len()..].split(|byte| *byte == 0).next().map(<[u8]>::to_vec));
                Ok(ControlFlow::Break(()))
            })?;
            let Some(found) = groups.get(before) else { return Ok(groups) };
            // What is behind all of its members.
            from = [&prefix[..], found, &[1]].concat();
        }
    }

    /// Waits until [`write`](Self::write) need not wait.
    pub(super) fn wait_for_room(&self) -> Result<(), StatsError> {
        self.store.wait_for_room().map_err(|error| self.error(error))
    }

    /// Makes writes, all or none, and with them, if one is given, what the store says of itself.
    pub(super) fn write(&self, mut writes: Vec<Write>, meta: Option<Meta>) -> Result<(), StatsError> {
        let mut own = self.meta.lock();
        if let Some(meta) = &meta {
            writes.push(Write { key: keys::META.to_vec(), value: Some(meta.encode()) });
        }
        self.store.load(&writes).map_err(|error| self.error(error))?;
        if let Some(meta) = meta {
            *own = meta;
        }
        Ok(())
    }

    /// Most writes of one call beside that of what the store says of itself.
    pub(super) fn most_writes(&self) -> usize {
        self.store.writes_per_apply() - 1
    }

    /// Makes what was written durable.
    pub(super) fn sync(&self) -> Result<(), StatsError> {
        self.store.flush().map_err(|error| self.error(error))
    }

    fn error(&self, error: StoreError) -> StatsError {
        of_dir(&self.dir, error)
    }
}

fn of_dir(dir: &Path, error: StoreError) -> StatsError {
    match error {
        StoreError::Corrupt(reason) => damaged(dir, reason.trim_end_matches(WAY_OUT).trim_end_matches(['.', ' '])),
        error => StatsError::Store(error),
    }
}

fn damaged(dir: &Path, reason: &str) -> StatsError {
    StatsError::Damaged { month: dir.display().to_string(), reason: format!("{reason}. {WAY_OUT}") }
}
