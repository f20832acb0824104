//! The store on sled 0.34.

use std::io;
use std::path::Path;
use std::time::{Duration, Instant};

use rustix::io::Errno;

use super::keyspace::{POSITION, check_writes, scan_start};
use super::{Position, Store, StoreError, Visit, Write};

/// A store in a directory of its own, which sled locks.
///
/// Entries and position lie in one tree, because sled's batches are atomic within one tree only.
pub struct SledStore {
    db: sled::Db,
}

/// Most writes in one batch.
///
/// sled 0.34 keeps the memory of a batch far longer than the batch: with 1,000 random keys a batch it grew
/// without bound, with 100 it does not. The position is one more write.
const WRITES_PER_APPLY: usize = 99;

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

/// What a link takes on sled's disk, about, in bytes.
const BYTES_PER_KEY: u64 = 256;

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

/// The writes as a batch, which holds all or none of them.
fn batch_of(writes: &[Write]) -> sled::Batch {
    check_writes(writes, WRITES_PER_APPLY);
    let mut batch = sled::Batch::default();
    for write in writes {
        match &write.value {
            Some(value) => batch.insert(write.key.as_slice(), value.as_slice()),
            None => batch.remove(write.key.as_slice()),
        }
    }
    batch
}

impl Store for SledStore {
    fn get(&self, key: &[u8]) -> Result<Option<Vec<u8>>, StoreError> {
        Ok(self.db.get(key).map_err(store_error)?.map(|value| value.to_vec()))
    }

    fn apply(&self, writes: &[Write], position: &Position) -> Result<(), StoreError> {
        let mut batch = batch_of(writes);
        batch.insert(POSITION, position.encode());
        self.db.apply_batch(batch).map_err(store_error)
    }

    fn load(&self, writes: &[Write]) -> Result<(), StoreError> {
        self.db.apply_batch(batch_of(writes)).map_err(store_error)
    }

    fn is_empty(&self) -> Result<bool, StoreError> {
        Ok(self.db.first().map_err(store_error)?.is_none())
    }

    fn position(&self) -> Result<Option<Position>, StoreError> {
        self.get(POSITION)?.map(|bytes| Position::decode(&bytes)).transpose()
    }

    fn scan(&self, from: &[u8], visit: &mut Visit<'_>) -> Result<(), StoreError> {
        for entry in self.db.range(scan_start(from)..) {
            let (key, value) = entry.map_err(store_error)?;
            if visit(&key, &value).is_break() {
                break;
            }
        }
        Ok(())
    }

    fn estimated_keys(&self) -> u64 {
        // sled itself would count them.
        self.db.size_on_disk().unwrap_or(0) / BYTES_PER_KEY
    }

    fn flush(&self) -> Result<(), StoreError> {
        self.db.flush().map(|_| ()).map_err(store_error)
    }

    fn writes_per_apply(&self) -> usize {
        WRITES_PER_APPLY
    }
}

#[cfg(test)]
mod tests {
    use super::*;

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
