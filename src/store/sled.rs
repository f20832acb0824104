//! The store on sled 0.34.

use std::io;
use std::path::Path;
use std::time::{Duration, Instant};

use rustix::io::Errno;

use super::{Position, Store, StoreError, Visit, WRITES_PER_APPLY, Write};

/// A store in a directory of its own, which sled locks.
///
/// Entries and position lie in one tree, because sled's batches are atomic within one tree only. The first
/// byte of a key is its type.
pub struct SledStore {
    db: sled::Db,
}

const ENTRY: u8 = b'E';
const POSITION: &[u8] = b"P";

impl SledStore {
    /// Opens the store in `dir`, or begins one there.
    ///
    /// `cache_bytes` bounds sled's cache of pages; links that are asked for are cached elsewhere, so it can be
    /// small.
    ///
    /// # Errors
    /// If the directory can't be used, is held by another process, or holds nothing that sled can read.
    pub fn open(dir: &Path, cache_bytes: u64) -> Result<Self, StoreError> {
        remove_unfinished_snapshots(dir)?;
        let config = sled::Config::new().path(dir).cache_capacity(cache_bytes).use_compression(false);
        let start = Instant::now();
        loop {
            match config.open() {
                Ok(db) => return Ok(SledStore { db }),
                // The threads of a database that this process has just dropped let go of its lock a moment later.
                Err(sled::Error::Io(error)) if is_about_lock(&error) && start.elapsed() < LOCK_PATIENCE => {
                    std::thread::sleep(Duration::from_millis(5));
                }
                Err(error) => return Err(store_error(error)),
            }
        }
    }
}

/// How long sled's own lock is waited for. Another process can't hold it: the data directory has a lock besides.
const LOCK_PATIENCE: Duration = Duration::from_secs(2);

fn is_about_lock(error: &io::Error) -> bool {
    error.to_string().contains("could not acquire lock")
}

/// A crash while sled opens can leave `snap.*.generating` behind, over which its next open trips.
fn remove_unfinished_snapshots(dir: &Path) -> Result<(), StoreError> {
    let Ok(entries) = std::fs::read_dir(dir) else { return Ok(()) };
    for entry in entries.flatten() {
        let name = entry.file_name();
        let name = name.to_string_lossy();
        if name.starts_with("snap.") && name.ends_with(".generating") {
            std::fs::remove_file(entry.path()).map_err(StoreError::Io)?;
        }
    }
    Ok(())
}

fn store_error(error: sled::Error) -> StoreError {
    match error {
        sled::Error::Io(error) if is_about_contents(&error) => StoreError::Corrupt(error.to_string()),
        sled::Error::Io(error) => StoreError::Io(error),
        // Also a setting or a version that its files do not have: carom never had another.
        error @ (sled::Error::Corruption { .. } | sled::Error::Unsupported(_) | sled::Error::CollectionNotFound(_)) => {
            StoreError::Corrupt(error.to_string())
        }
        error => StoreError::Backend(error.to_string()),
    }
}

/// Whether an I/O error says that the files hold, or are, something else than sled wrote; no free space and no
/// permission would change that. sled makes errors of its own for what it finds in its files, without a number of the
/// operating system; but also for a lock that another process holds.
fn is_about_contents(error: &io::Error) -> bool {
    match error.raw_os_error().map(Errno::from_raw_os_error) {
        // A file where a directory should be, or the other way round.
        Some(errno) => matches!(errno, Errno::NOTDIR | Errno::ISDIR | Errno::EXIST),
        None => match error.kind() {
            io::ErrorKind::UnexpectedEof | io::ErrorKind::InvalidData => true,
            io::ErrorKind::Other => !is_about_lock(error),
            _ => false,
        },
    }
}

fn entry_key(key: &[u8]) -> Vec<u8> {
    let mut bytes = Vec::with_capacity(key.len() + 1);
    bytes.push(ENTRY);
    bytes.extend_from_slice(key);
    bytes
}

impl Store for SledStore {
    fn get(&self, key: &[u8]) -> Result<Option<Vec<u8>>, StoreError> {
        Ok(self.db.get(entry_key(key)).map_err(store_error)?.map(|value| value.to_vec()))
    }

    fn apply(&self, writes: &[Write], position: &Position) -> Result<(), StoreError> {
        assert!(writes.len() <= WRITES_PER_APPLY, "{} writes in one batch", writes.len());
        let mut batch = sled::Batch::default();
        for write in writes {
            match &write.value {
                Some(value) => batch.insert(entry_key(&write.key), value.as_slice()),
                None => batch.remove(entry_key(&write.key)),
            }
        }
        batch.insert(POSITION, position.encode());
        self.db.apply_batch(batch).map_err(store_error)
    }

    fn position(&self) -> Result<Option<Position>, StoreError> {
        self.db.get(POSITION).map_err(store_error)?.map(|bytes| Position::decode(&bytes)).transpose()
    }

    fn scan(&self, visit: &mut Visit<'_>) -> Result<(), StoreError> {
        for entry in self.db.scan_prefix([ENTRY]) {
            let (key, value) = entry.map_err(store_error)?;
            if visit(&key[1..], &value).is_break() {
                break;
            }
        }
        Ok(())
    }

    fn flush(&self) -> Result<(), StoreError> {
        self.db.flush().map(|_| ()).map_err(store_error)
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::log::{ChainHash, LogId};
    use crate::store::MemoryStore;
    use proptest::prelude::*;
    use std::ops::ControlFlow;

    fn position(sequence: u64) -> Position {
        let log_id = LogId([1; 16]);
        Position { log_id, sequence, chain: ChainHash::genesis(log_id), partial: None, open_sets: Vec::new() }
    }

    fn entries(store: &dyn Store) -> Vec<(Vec<u8>, Vec<u8>)> {
        let mut entries = Vec::new();
        let mut visit = |key: &[u8], value: &[u8]| {
            entries.push((key.to_vec(), value.to_vec()));
            ControlFlow::Continue(())
        };
        store.scan(&mut visit).unwrap();
        entries
    }

    proptest! {
        #![proptest_config(ProptestConfig::with_cases(24))]

        #[test]
        fn sled_and_memory_hold_the_same_also_after_reopening(
            batches in proptest::collection::vec(
                proptest::collection::vec(("[a-e]{0,2}", proptest::option::of("[a-z]{0,9}")), 0..20),
                1..8,
            ),
        ) {
            let dir = tempfile::tempdir().unwrap();
            let model = MemoryStore::default();
            let mut store = SledStore::open(dir.path(), 1 << 20).unwrap();
            for (index, batch) in batches.iter().enumerate() {
                let writes: Vec<Write> = batch
                    .iter()
                    .map(|(key, value)| Write {
                        key: key.clone().into_bytes(),
                        value: value.clone().map(String::into_bytes),
                    })
                    .collect();
                model.apply(&writes, &position(index as u64)).unwrap();
                store.apply(&writes, &position(index as u64)).unwrap();
                if index % 3 == 2 {
                    store.flush().unwrap();
                    drop(store);
                    store = SledStore::open(dir.path(), 1 << 20).unwrap();
                }
                prop_assert_eq!(entries(&store), entries(&model));
                prop_assert_eq!(store.position().unwrap(), model.position().unwrap());
                for (key, _) in batch {
                    prop_assert_eq!(store.get(key.as_bytes()).unwrap(), model.get(key.as_bytes()).unwrap());
                }
            }
        }
    }

    #[test]
    fn what_a_crash_during_open_left_is_removed() {
        let dir = tempfile::tempdir().unwrap();
        drop(SledStore::open(dir.path(), 1 << 20).unwrap());
        std::fs::write(dir.path().join("snap.0000000000000001.generating"), b"half").unwrap();
        SledStore::open(dir.path(), 1 << 20).unwrap();
        assert!(!dir.path().join("snap.0000000000000001.generating").exists());
    }

    #[test]
    fn what_the_system_refuses_is_told_from_damage() {
        let of = |error: io::Error| store_error(sled::Error::Io(error));
        for errno in [Errno::NOSPC, Errno::MFILE, Errno::NFILE, Errno::ACCESS, Errno::NOMEM, Errno::IO, Errno::ROFS] {
            assert!(matches!(of(errno.into()), StoreError::Io(_)), "{errno}");
        }
        let locked = io::Error::other("could not acquire lock on \"store\": WouldBlock");
        assert!(matches!(of(locked), StoreError::Io(_)));
        assert!(matches!(of(Errno::NOTDIR.into()), StoreError::Corrupt(_)));
        assert!(matches!(of(io::Error::other("encountered torn segment")), StoreError::Corrupt(_)));
        assert!(matches!(of(io::ErrorKind::UnexpectedEof.into()), StoreError::Corrupt(_)));
        assert!(matches!(store_error(sled::Error::Unsupported(String::new())), StoreError::Corrupt(_)));
        assert!(matches!(store_error(sled::Error::ReportableBug(String::new())), StoreError::Backend(_)));
    }

    #[test]
    fn a_store_that_is_open_already_is_not_taken_for_damaged() {
        let dir = tempfile::tempdir().unwrap();
        let _open = SledStore::open(dir.path(), 1 << 20).unwrap();
        assert!(matches!(SledStore::open(dir.path(), 1 << 20), Err(StoreError::Io(_))));
    }
}
