//! Why a snapshot can't be read.

use std::path::{Path, PathBuf};

use super::format::VERSION;
use crate::log::hint;

/// Why a snapshot can't be read.
#[derive(Debug, thiserror::Error)]
pub enum SnapshotError {
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
    /// Its bytes are not as they were written (I8).
    #[error(
        "the snapshot {} is damaged at offset {offset}: {reason}. Use another copy of it or another snapshot; if the \
         server it was taken of still runs, take a new one.",
        path.display()
    )]
    Damaged {
        /// The file.
        path: PathBuf,
        /// Where in it the header or chunk begins that is damaged, in bytes.
        offset: u64,
        /// What is wrong there.
        reason: String,
    },
    /// It is of another version of the format.
    #[error(
        "the snapshot {} has format {found}; this version of carom reads format {VERSION}. Run the version that wrote \
         it, or a later one.",
        path.display()
    )]
    OtherVersion {
        /// The file.
        path: PathBuf,
        /// Which version.
        found: u32,
    },
    /// It never was one.
    #[error("{} does not begin like a snapshot of carom. Give the path of a file that carom wrote as one.", path.display())]
    NotASnapshot {
        /// The file.
        path: PathBuf,
    },
}

impl SnapshotError {
    pub(in crate::engine) fn io(action: &'static str, path: &Path) -> impl FnOnce(std::io::Error) -> SnapshotError {
        let path = path.to_owned();
        move |source| SnapshotError::Io { action, path, source }
    }

    pub(super) fn damaged(path: &Path, offset: u64, reason: impl Into<String>) -> SnapshotError {
        SnapshotError::Damaged { path: path.to_owned(), offset, reason: reason.into() }
    }
}
