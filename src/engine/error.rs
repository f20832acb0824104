//! Why an engine can't be opened, or was not closed as it should be.

use std::path::PathBuf;

use super::health::Health;
use super::lock::LockError;
use super::snapshot::SnapshotError;
use crate::clicks::{ClicksError, CountingError, UsesError};
use crate::log::{LogError, hint};
use crate::store::StoreError;

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
        "there is no log in {}, and the store beside it can't be used: {reason}. Nothing was changed. Restore `log/` from \
         a copy, or put a backup into another directory with `carom restore`; or, to begin without any links, move \
         `store/` away.",
        log.display()
    )]
    NothingUsable {
        /// The log's directory.
        log: PathBuf,
        /// What is wrong with the store.
        reason: String,
    },
    /// There is no log, and there are snapshots.
    #[error(
        "there is no log in {}, but {} is there. Nothing was changed. If `carom restore` was interrupted here, run it \
         again with the same backup. Otherwise the log is lost: restore `log/` from a copy; or put the newest backup, or \
         this snapshot, into another directory with `carom restore`.",
        log.display(), newest.display()
    )]
    OnlySnapshots {
        /// The log's directory.
        log: PathBuf,
        /// The newest snapshot.
        newest: PathBuf,
    },
    /// The store has to be built again, and the log no longer reaches back to its beginning.
    #[error(
        "the store has to be built again, the log begins with record {first}, and no snapshot in {} can be gone on from.\
         {unreadable} Nothing is lost that was not before: put the newest backup into another directory with \
         `carom restore`, or bring snapshots back into that directory from a copy.",
        path.display()
    )]
    NoSnapshot {
        /// The directory of the snapshots.
        path: PathBuf,
        /// The first record of the log.
        first: u64,
        /// What is wrong with those that are there.
        unreadable: String,
    },
    /// The snapshots can't be listed.
    #[error(transparent)]
    Snapshot(#[from] SnapshotError),
    /// The clicks of links with a limit can't be read.
    #[error(transparent)]
    Uses(#[from] UsesError),
    /// Clicks can't be counted.
    #[error(transparent)]
    Clicks(#[from] CountingError),
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
    /// The last clicks of links with a limit can't be saved.
    #[error("{0}. The last clicks of links with `max_clicks` are forgotten, and may be had once more")]
    Uses(#[from] UsesError),
    /// The last clicks can't be made durable.
    #[error("{0}. Clicks that were not durable are lost; the others are in the journal")]
    Clicks(#[from] ClicksError),
    /// Changes were not accepted any more (I9).
    #[error(
        "changes had not been accepted any more before it was closed: {}. What was acknowledged is in the log. Remove the \
         cause and start again",
        reason(.0)
    )]
    WritesEnded(Health),
}

fn reason(health: &Health) -> &str {
    match health {
        Health::Ready => "they were accepted again at the end",
        Health::Paused { reason } | Health::Closed { reason } => reason,
    }
}
