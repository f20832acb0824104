//! The log of changes: append-only segment files of checksummed, chained records (I1). `docs/format.md` gives
//! every byte.
//!
//! - [`record`]: one record, bytes to type and back.
//! - [`segment`]: one file: its header, and where its records end. `tail`: what lies behind them, and what damage is.
//! - [`LogDirectory`]: where a log lies: open, begin, verify. [`Log`]: append, sync, rotate, cut. [`Replay`]: read it
//!   again. `browse`: look records up while it is written. `survey`: all that is wrong with it.
//! - [`disk`]: the seam under all that.

mod browse;
mod directory;
pub mod disk;
mod hint;
pub mod record;
mod replay;
pub mod segment;
mod survey;
mod tail;
#[cfg(test)]
mod tests;

use std::path::{Path, PathBuf};

pub use browse::{Browsed, BrowsedRecord};
pub(crate) use browse::{Wanted, Waypoints};
pub(crate) use directory::is_full;
pub use directory::{Beginning, KnownDurable, Log, LogDirectory, LogEnd, LogOpened, TornTail};
pub(crate) use hint::hint;
pub use record::{ChainHash, LogId, OperationId, Record};
pub use replay::{Location, Replay};
pub use survey::LogSurvey;

/// Why the log can't be read or written.
#[derive(Debug, thiserror::Error)]
pub enum LogError {
    /// The operating system refused.
    #[error("{action} {}: {source}{}", path.display(), hint(source))]
    Io {
        /// What was tried.
        action: &'static str,
        /// On which file.
        path: PathBuf,
        /// What the operating system said.
        source: std::io::Error,
    },
    /// A sync failed: what of the file is durable is not known (I9). Also where the reason is a full disk, this is not
    /// to be tried again.
    #[error("syncing {}: {source}{}", path.display(), hint(source))]
    NotSynced {
        /// The file or directory.
        path: PathBuf,
        /// What the operating system said.
        source: std::io::Error,
    },
    /// Bytes that were durable are not as they were written (I8).
    #[error(
        "{path} is damaged at offset {offset}: {reason}. Nothing was changed. \
         Restore the file from a copy, or the whole data directory from a backup."
    )]
    Damaged {
        /// The file.
        path: PathBuf,
        /// Where in it, in bytes.
        offset: u64,
        /// What is wrong there.
        reason: String,
    },
    /// Bytes that are intact, and that this version can't read.
    #[error(
        "{path} was written by another version of carom: at offset {offset}, {reason}. Nothing was changed. \
         Run the version that wrote it, or a later one."
    )]
    OtherVersion {
        /// The file.
        path: PathBuf,
        /// Where in it, in bytes.
        offset: u64,
        /// Which version, and which one is read.
        reason: String,
    },
    /// Records that were durable are gone (I1, I8): the log ends before them.
    #[error(
        "the log in {} ends with record {last}, but the store or a snapshot shows what was changed up to record {known}: \
         records that were acknowledged are missing. Nothing was changed. Restore `log/` from a copy, or put a backup \
         into another directory with `carom restore`; or, to go on without these changes, move `store/` away and what \
         is newer than the log from `snapshots/`.",
        path.display()
    )]
    Lost {
        /// The log's directory.
        path: PathBuf,
        /// Its last record; 0 if it has none.
        last: u64,
        /// The last record that is known to have been durable.
        known: u64,
    },
    /// A sync failed before; nothing is written any more (I9).
    #[error("the log is closed for writing, since a sync of it failed; restart after the disk has been seen to")]
    Poisoned,
}

impl LogError {
    fn io(action: &'static str, path: &Path) -> impl FnOnce(std::io::Error) -> LogError {
        let path = path.to_owned();
        move |source| LogError::Io { action, path, source }
    }

    fn not_synced(path: &Path) -> impl FnOnce(std::io::Error) -> LogError {
        let path = path.to_owned();
        move |source| LogError::NotSynced { path, source }
    }

    /// Whether it says no more than that the disk is full.
    pub fn is_full(&self) -> bool {
        matches!(self, LogError::Io { source, .. } if is_full(source))
    }

    fn damaged(path: &Path, offset: u64, reason: impl Into<String>) -> LogError {
        LogError::Damaged { path: path.to_owned(), offset, reason: reason.into() }
    }
}
