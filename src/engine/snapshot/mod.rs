//! A snapshot: the whole state at one position of the log, in one file that no store knows the format of. It is the
//! backup, and the way from one store to another. `docs/format.md` gives every byte.
//!
//! - [`mod@format`]: the header, the header of a chunk, the manifest, and what bounds them.
//! - [`SnapshotWriter`]: entries to bytes. [`SnapshotReader`] and [`verify`]: bytes to entries, each chunk checked
//!   wholly before anything of it is given out (I8).
//! - `take`: from a store that goes on changing to a snapshot; `overlay` keeps the state as it was meanwhile.
//! - `load`: from a snapshot to a store.
//! - [`BackupTarget`]: to a file that somebody asked for. [`SnapshotSurvey`]: all that is wrong with one.
//! - [`SnapshotDirectory`]: those that an engine keeps for itself.

mod directory;
mod error;
mod file;
pub mod format;
mod load;
mod overlay;
mod reader;
mod survey;
mod take;
#[cfg(test)]
mod tests;
mod writer;

pub use directory::SnapshotDirectory;
pub use error::SnapshotError;
pub use file::{BackupFile, BackupTarget, TargetError};
pub use format::{Manifest, SnapshotHeader};
pub(super) use load::{LoadError, load, position_of};
pub(super) use overlay::{End, Overlay};
pub use reader::{Entries, SnapshotReader, verify};
pub use survey::SnapshotSurvey;
pub use take::TakeError;
pub(super) use take::{Begun, Taking, run};
pub use writer::SnapshotWriter;
