//! What an engine stands on: its disk, its store, its clock. Tests put others in their place.

use std::sync::Arc;
use std::sync::atomic::AtomicBool;
use std::time::Instant;

use super::EngineConfig;
use super::place::{DirectoryPlace, StorePlace};
use super::snapshot::SnapshotDirectory;
use crate::clock;
use crate::config::Durability;
use crate::limits::STORE_OPEN_BYTES;
use crate::log::LogDirectory;
use crate::log::disk::{Disk, RealDisk};

/// What an engine stands on, and how it is set.
pub(super) struct Ground {
    pub(super) log: LogDirectory,
    pub(super) snapshots: SnapshotDirectory,
    pub(super) place: Box<dyn StorePlace>,
    pub(super) clock: Box<dyn Fn() -> u64 + Send + Sync>,
    /// The clock that pauses are measured by; nobody sets it.
    pub(super) instant: Box<dyn Fn() -> Instant + Send + Sync>,
    pub(super) durability: Durability,
    /// Free space below which no change is accepted, in bytes.
    pub(super) disk_reserve_bytes: u64,
    /// Free space below which a store that failed is not opened again, in bytes.
    pub(super) store_open_bytes: u64,
    /// After so many bytes of the log a snapshot is taken.
    pub(super) snapshot_log_bytes: u64,
    /// How many snapshots are kept.
    pub(super) snapshots_kept: usize,
    /// Whether the engine is being closed: what takes long is given up.
    pub(super) is_stopping: AtomicBool,
}

impl Ground {
    /// The real one.
    pub(super) fn new(config: &EngineConfig) -> Self {
        let disk: Arc<dyn Disk> = Arc::new(RealDisk);
        Ground {
            log: LogDirectory::new(Arc::clone(&disk), config.data.join("log")),
            snapshots: SnapshotDirectory::new(disk, config.data.join("snapshots")),
            place: Box::new(DirectoryPlace::new(config)),
            clock: Box::new(clock::unix_time_ms),
            instant: Box::new(Instant::now),
            durability: config.durability,
            disk_reserve_bytes: config.disk_reserve_bytes,
            store_open_bytes: STORE_OPEN_BYTES,
            snapshot_log_bytes: config.snapshot_log_bytes,
            snapshots_kept: config.snapshots_kept,
            is_stopping: AtomicBool::new(false),
        }
    }

    /// Whether the disk has more than what is kept free; if not, a text that says so.
    pub(super) fn room_is_left(&self) -> Result<(), String> {
        self.has_room(self.disk_reserve_bytes)
    }

    /// Whether there is room enough to open a store that failed. That writes, and if it fails there is no store at all;
    /// until then the old one can still be read, so that redirects go on.
    pub(super) fn room_to_reopen(&self) -> Result<(), String> {
        self.has_room(self.disk_reserve_bytes.max(self.store_open_bytes))
    }

    fn has_room(&self, least: u64) -> Result<(), String> {
        let free = self.log.free_bytes().map_err(|error| error.to_string())?;
        if free < least {
            let dir = self.log.path.display();
            return Err(format!(
                "the disk that holds {dir} has {free} bytes left, and {least} are kept free. Free some space"
            ));
        }
        Ok(())
    }

    /// The time, in milliseconds since the Unix epoch.
    pub(super) fn now_ms(&self) -> u64 {
        (self.clock)()
    }
}
