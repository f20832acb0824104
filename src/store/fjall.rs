//! The store on fjall's tree, lsm-tree 3.

mod files;
mod workers;

use std::io;
use std::path::Path;
use std::sync::Arc;
use std::sync::atomic::{AtomicBool, Ordering};

use lsm_tree::config::{
    BlockSizePolicy, BloomConstructionPolicy, CompressionPolicy, FilterPolicy, FilterPolicyEntry, PartitioningPolicy,
};
use lsm_tree::{
    AbstractTree, AnyTree, Cache, CompressionType, Config, DescriptorTable, Guard, SeqNo, SequenceNumberCounter,
    UserKey,
};
use parking_lot::Mutex;
use rustix::io::Errno;

use super::keyspace::{POSITION, check_writes, scan_start};
use super::{Position, Store, StoreError, Visit, Write};
use workers::Workers;

/// A store in a directory of its own.
///
/// What is written lies in a memtable until that is written out as a table. fjall would put it into a journal before;
/// here the log is the journal. A memtable is only ever sealed between two batches, and they are written out in order,
/// so that the tables hold all of a batch or nothing, and every batch before it. A process that is killed leaves the
/// store where the last memtable was written out, and the next start applies the rest of the log again.
pub struct FjallStore {
    tree: AnyTree,
    /// What the next batch is numbered with. The higher number is the newer value.
    next: SequenceNumberCounter,
    /// Held by who writes to the memtable or seals it.
    writing: Mutex<()>,
    workers: Workers,
    /// Somebody has waited for room, and the next batch need not.
    has_room: AtomicBool,
    way_out: &'static str,
}

/// How a store is opened.
#[derive(Debug, Clone, Copy)]
pub struct FjallOptions {
    /// Bounds its cache of blocks, in bytes.
    pub cache_bytes: u64,
    /// What a block holds before it is compressed, in bytes. A read decodes a whole block; larger ones take less disk.
    pub block_bytes: u32,
    /// Files that may be open at a time.
    pub open_files: usize,
    /// What to do about damage, for the message about it.
    pub way_out: &'static str,
}

/// What a memtable holds before it is written out as a table.
const MEMTABLE_BYTES: u64 = 32 * 1024 * 1024;

/// The part of the tables' bytes that the cache of blocks may have at least, as a divisor. With 10,000,000 links of 126 bytes in
/// keys and targets, filters take a 60th of the tables, and indexes about a 40th.
const CACHE_DIVISOR: u64 = 16;

/// And at most so much, unless more is asked for.
const CACHE_BYTES_MAX: u64 = 256 * 1024 * 1024;

/// Files that may be open at a time, of those that [`RESERVED_FILES`](crate::limits::RESERVED_FILES) keeps free.
const OPEN_FILES: usize = 64;

/// Most writes in one batch: about those of one record of the log.
const WRITES_PER_APPLY: usize = 1_000;

/// Readers see whatever was written last, also of a batch that is being applied: they ask for one key, or scan with
/// the leave to meet changes.
const NEWEST: SeqNo = SeqNo::MAX;

/// What to do about damage that was found on the way.
const WAY_OUT: &str = "Stop carom and run `carom rebuild`: the store is built again from snapshots and log.";

impl FjallStore {
    /// Opens the store in `dir`, or begins one there.
    ///
    /// `cache_bytes` bounds its cache of blocks, or a part of what lies there already, if that is more: so much that filters
    /// and indexes of all tables fit, and a read needs no other block than that of its link. Links that are asked for are
    /// cached elsewhere.
    ///
    /// # Errors
    /// If the directory can't be used, or holds nothing that lsm-tree can read. It takes no lock: whoever opens the
    /// data directory does.
    pub fn open(dir: &Path, cache_bytes: u64) -> Result<Self, StoreError> {
        let cache_bytes = cache_bytes.max((files::table_bytes(dir) / CACHE_DIVISOR).min(CACHE_BYTES_MAX));
        // A read decodes a whole block: about 25 links.
        Self::open_with(
            dir,
            FjallOptions { cache_bytes, block_bytes: 4 * 1024, open_files: OPEN_FILES, way_out: WAY_OUT },
        )
    }

    /// Opens the store in `dir`, or begins one there.
    ///
    /// # Errors
    /// As [`open`](Self::open).
    pub fn open_with(dir: &Path, options: FjallOptions) -> Result<Self, StoreError> {
        files::check(dir)?;
        let next = SequenceNumberCounter::default();
        let tree = config(dir, options, next.clone()).open().map_err(|error| store_error(&error))?;
        next.fetch_max(tree.get_highest_seqno().map_or(0, |newest| newest + 1));
        let workers = Workers::start(tree.clone(), next.clone(), options.way_out)?;
        let has_room = AtomicBool::new(false);
        Ok(FjallStore { tree, next, writing: Mutex::new(()), workers, has_room, way_out: options.way_out })
    }

    fn write(&self, writes: &[Write], position: Option<&Position>) -> Result<(), StoreError> {
        check_writes(writes, WRITES_PER_APPLY);
        if self.has_room.swap(false, Ordering::Relaxed) {
            self.workers.check()?;
        } else {
            self.workers.wait_for_room()?;
        }
        let _writing = self.writing.lock();
        let number = self.next.next();
        for write in writes {
            match &write.value {
                Some(value) => self.tree.insert(write.key.as_slice(), value.as_slice(), number),
                None => self.tree.remove(write.key.as_slice(), number),
            };
        }
        if let Some(position) = position {
            self.tree.insert(POSITION, position.encode(), number);
        }
        if self.tree.active_memtable().size() > MEMTABLE_BYTES {
            self.tree.rotate_memtable();
            self.workers.wake();
        }
        Ok(())
    }

    /// Writes all memtables out.
    fn write_out(&self) -> Result<(), StoreError> {
        let _writing = self.writing.lock();
        self.tree.flush_active_memtable(self.next.get()).map_err(|error| store_error(&error))
    }
}

impl Drop for FjallStore {
    fn drop(&mut self) {
        // The threads first: the files must have one owner when they are opened again.
        if self.workers.stop() {
            // What can't be written out now is applied again from the log.
            let _ = self.write_out();
        }
    }
}

fn config(dir: &Path, options: FjallOptions, next: SequenceNumberCounter) -> Config {
    let filter = FilterPolicyEntry::Bloom(BloomConstructionPolicy::BitsPerKey(10.0));
    Config::new(dir, next, SequenceNumberCounter::default())
        .use_cache(Arc::new(Cache::with_capacity_bytes(options.cache_bytes)))
        .use_descriptor_table(Some(Arc::new(DescriptorTable::new(options.open_files))))
        .data_block_compression_policy(CompressionPolicy::all(CompressionType::Lz4))
        .data_block_size_policy(BlockSizePolicy::all(options.block_bytes))
        .filter_policy(FilterPolicy::all(filter))
        // In blocks that the cache bounds; as one each, those of the young tables stay in memory.
        .index_block_partitioning_policy(PartitioningPolicy::all(true))
        .filter_block_partitioning_policy(PartitioningPolicy::all(true))
}

fn store_error(error: &lsm_tree::Error) -> StoreError {
    match error {
        lsm_tree::Error::Io(io) => match io.raw_os_error() {
            Some(number) if !is_about_contents(Errno::from_raw_os_error(number)) => {
                StoreError::Io(io::Error::from_raw_os_error(number))
            }
            // What lsm-tree itself says of what it reads: too short, or not what it should be.
            _ => StoreError::Corrupt(error.to_string()),
        },
        error => StoreError::Corrupt(error.to_string()),
    }
}

/// Whether the system says that the files hold, or are, something else than lsm-tree wrote: one that another one names
/// is missing, or a file is where a directory should be, or the other way round.
fn is_about_contents(errno: Errno) -> bool {
    matches!(errno, Errno::NOENT | Errno::NOTDIR | Errno::ISDIR | Errno::EXIST)
}

/// An error of a read, with what was read.
fn read_error(error: &lsm_tree::Error, way_out: &str, what: impl FnOnce() -> String) -> StoreError {
    match store_error(error) {
        StoreError::Corrupt(reason) => StoreError::Corrupt(format!("{} is damaged: {reason}. {way_out}", what())),
        error => error,
    }
}

impl Store for FjallStore {
    fn get(&self, key: &[u8]) -> Result<Option<Vec<u8>>, StoreError> {
        let value = self.tree.get(key, NEWEST);
        let value = value
            .map_err(|error| read_error(&error, self.way_out, || format!("the entry of `{}`", key.escape_ascii())))?;
        Ok(value.map(|value| value.to_vec()))
    }

    fn apply(&self, writes: &[Write], position: &Position) -> Result<(), StoreError> {
        self.write(writes, Some(position))
    }

    fn load(&self, writes: &[Write]) -> Result<(), StoreError> {
        self.write(writes, None)
    }

    fn is_empty(&self) -> Result<bool, StoreError> {
        self.tree.is_empty(NEWEST, None).map_err(|error| store_error(&error))
    }

    fn position(&self) -> Result<Option<Position>, StoreError> {
        let bytes = self.tree.get(POSITION, NEWEST).map_err(|error| store_error(&error))?;
        bytes.map(|bytes| Position::decode(&bytes)).transpose()
    }

    fn scan(&self, from: &[u8], visit: &mut Visit<'_>) -> Result<(), StoreError> {
        // It keeps the tables that it began with; what is written meanwhile waits for nothing.
        let mut last = UserKey::from(scan_start(from));
        for entry in self.tree.range(scan_start(from).., NEWEST, None) {
            let (key, value) = entry.into_inner().map_err(|error| {
                read_error(&error, self.way_out, || format!("what follows `{}`", last.escape_ascii()))
            })?;
            if visit(&key, &value).is_break() {
                break;
            }
            last = key;
        }
        Ok(())
    }

    fn estimated_keys(&self) -> u64 {
        // What was replaced or deleted, and not merged yet, is among them.
        self.tree.approximate_len() as u64
    }

    fn flush(&self) -> Result<(), StoreError> {
        let written = self.write_out();
        // Also what could not be written is sealed now, and waits for the thread that tries again.
        self.workers.wake();
        written
    }

    fn wait_for_room(&self) -> Result<(), StoreError> {
        self.workers.wait_for_room()?;
        self.has_room.store(true, Ordering::Relaxed);
        Ok(())
    }

    fn writes_per_apply(&self) -> usize {
        WRITES_PER_APPLY
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn what_the_system_refuses_is_told_from_damage() {
        let of = |error: io::Error| store_error(&lsm_tree::Error::Io(error));
        for errno in [Errno::NOSPC, Errno::MFILE, Errno::NFILE, Errno::ACCESS, Errno::NOMEM, Errno::IO, Errno::ROFS] {
            assert!(matches!(of(errno.into()), StoreError::Io(_)), "{errno}");
        }
        assert!(matches!(of(Errno::NOTDIR.into()), StoreError::Corrupt(_)));
        assert!(matches!(of(Errno::NOENT.into()), StoreError::Corrupt(_)));
        assert!(matches!(of(io::ErrorKind::UnexpectedEof.into()), StoreError::Corrupt(_)));
        assert!(matches!(store_error(&lsm_tree::Error::Unrecoverable), StoreError::Corrupt(_)));
        assert!(matches!(store_error(&lsm_tree::Error::InvalidVersion(2)), StoreError::Corrupt(_)));
    }
}
