//! The journal of clicks: what was counted, durable within a fifth of a second, until it stands in the rollups.
//!
//! - `bytes`, `codec`, `split`: entries: types to bytes and back.
//! - `frame`: what stands around an entry. `segment`: what stands around frames: one file. `docs/format.md` gives
//!   every byte.
//! - `segments`: the files that there are, which writer and reader share.
//! - [`Journal`] writes, [`JournalReader`] reads: also what was written a moment ago. So the journal is the queue between
//!   the two, and a restart goes on in it like any other moment.
//!
//! **Each entry once.** An entry is known by [`WindowId`](super::WindowId): the start of the process, and a number that rises. Before
//! an entry is first written it gets its number and its bytes, and keeps them however often it must be written. So whoever
//! reads in order and passes over what is not behind the last one seen has each once.
//!
//! **After a failed write or sync** the file is given up (I9), and the entries that were to be in it are written again
//! into a new one. What comes meanwhile waits in memory, without a number, and is added up per link and time when it
//! gets much: no count is lost, but when exactly something was clicked may be.
//!
//! **After a crash** the last file may end in the middle of a write. Frames tell up to where the file was durable before
//! them; what is broken below such a mark is damage, what is broken above it was never promised.

mod bytes;
mod codec;
mod frame;
mod reader;
mod segment;
mod segments;
mod split;
#[cfg(test)]
mod tests;
mod writer;

use std::path::{Path, PathBuf};

use crate::log::hint;

pub(in crate::clicks) use reader::JournalReader;
pub(in crate::clicks) use writer::{Journal, JournalConfig};

/// Why the journal of clicks can't be read or written.
#[derive(Debug, thiserror::Error)]
pub enum JournalError {
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
    /// A sync failed: what of the file is durable is not known (I9). It is not tried again; another file is begun.
    #[error("syncing {}: {source}{}", path.display(), hint(source))]
    NotSynced {
        /// The file or directory.
        path: PathBuf,
        /// What the operating system said.
        source: std::io::Error,
    },
    /// Bytes that were durable are not as they were written (I8).
    #[error(
        "{} is damaged at offset {offset}: {reason}. Nothing was changed. Restore the file from a copy; or move it \
         away, and the clicks in it that are in no statistics yet are lost.",
        path.display()
    )]
    Damaged {
        /// The file.
        path: PathBuf,
        /// Where in it, in bytes.
        offset: u64,
        /// What is wrong there.
        reason: String,
    },
    /// The file is intact, and this version can't read it.
    #[error(
        "{} was written by another version of carom: its format is {found}, and {known} is read. Nothing was \
         changed. Run the version that wrote it, or a later one.",
        path.display()
    )]
    OtherVersion {
        /// The file.
        path: PathBuf,
        /// The version of its format.
        found: u32,
        /// The version that is read.
        known: u32,
    },
    /// It may not get longer before what is in it stands in the rollups (I6).
    #[error(
        "{} holds {bytes} bytes of clicks, and may hold {bytes_max}: they are not brought into the statistics. What \
         keeps them from it is said elsewhere",
        path.display()
    )]
    Full {
        /// The directory.
        path: PathBuf,
        /// How many bytes it holds.
        bytes: u64,
        /// How many it may hold.
        bytes_max: u64,
    },
}

impl JournalError {
    fn io(action: &'static str, path: &Path) -> impl FnOnce(std::io::Error) -> JournalError {
        let path = path.to_owned();
        move |source| JournalError::Io { action, path, source }
    }

    fn not_synced(path: &Path) -> impl FnOnce(std::io::Error) -> JournalError {
        let path = path.to_owned();
        move |source| JournalError::NotSynced { path, source }
    }

    fn damaged(path: &Path, offset: u64, reason: impl Into<String>) -> JournalError {
        JournalError::Damaged { path: path.to_owned(), offset, reason: reason.into() }
    }
}
