//! How often each link with a limit of clicks was used.
//!
//! - `counts`: the counts in memory, which all workers share.
//! - `record`: one entry of the file, bytes to type and back. `file`: reading, appending, writing anew.
//!   `docs/format.md` gives every byte.
//! - `saver`: the thread that saves once a second.
//!
//! A click is taken in memory first and saved within about a second, so a crash forgets at most the clicks since the
//! last save: that many more than the limit may pass then, and never fewer. Nothing is counted twice, since the file
//! holds counts, not clicks.

mod counts;
mod file;
mod record;
mod saver;
#[cfg(test)]
mod tests;

use std::path::{Path, PathBuf};
use std::sync::Arc;

use parking_lot::Mutex;

use crate::limits::USES_LINKS;
use crate::log::disk::Disk;
use crate::log::hint;
use counts::Counts;
use file::UsesFile;

pub use saver::{UsesNews, UsesSaver};

/// The file, in the data directory.
const NAME: &str = "uses";

/// Where it is written anew before it gets its name.
const NEW_NAME: &str = "uses.new";

/// Why uses can't be read or saved.
#[derive(Debug, thiserror::Error)]
pub enum UsesError {
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
    /// A sync failed: what of the file is durable is not known (I9). It is not tried again; the next save writes
    /// another file.
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
         away, and the clicks of all links with `max_clicks` count from 0 again.",
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
}

impl UsesError {
    fn io(action: &'static str, path: &Path) -> impl FnOnce(std::io::Error) -> UsesError {
        let path = path.to_owned();
        move |source| UsesError::Io { action, path, source }
    }

    fn not_synced(path: &Path) -> impl FnOnce(std::io::Error) -> UsesError {
        let path = path.to_owned();
        move |source| UsesError::NotSynced { path, source }
    }

    fn damaged(path: &Path, offset: u64, reason: impl Into<String>) -> UsesError {
        UsesError::Damaged { path: path.to_owned(), offset, reason: reason.into() }
    }
}

/// How often each link that has a limit of clicks was used, over all threads and restarts.
///
/// A link without a limit has no place here, and one with a limit has none until its first click. Then it takes a
/// bucket of 17 bytes of a table that is never fuller than seven eighths and doubles when it is: at most 39 bytes, and 8
/// to 16 for each that was clicked since the last save. At the limit of [`USES_LINKS`] these are 136 MiB, and up to 64 MiB
/// if all of them are clicked within a second.
pub struct Uses {
    counts: Counts,
    disk: Arc<dyn Disk>,
    /// The data directory.
    dir: PathBuf,
    /// One save at a time.
    place: Mutex<Place>,
}

/// How many links are counted, and whether more can be.
#[derive(Debug, Clone, Copy, Default, PartialEq, Eq)]
pub struct UsesStatus {
    /// How many links are counted.
    pub links: usize,
    /// How many can be.
    pub links_max: usize,
    /// How many clicks were refused since the start because as many were counted.
    pub refused: u64,
}

/// Where the next save writes.
enum Place {
    /// Into a new file, if there is something to write: there is none yet.
    Nowhere,
    /// Behind what is in the file.
    Behind(UsesFile),
    /// Into a new file, changes or not: what is durable of the old one, or of its name, nobody knows. A save failed; or
    /// it is from the process before, of which the last may have failed, and then the kernel may take for written what
    /// never reached the disk.
    Anew,
}

impl Uses {
    /// Reads the uses in a data directory; if there are none yet, nothing was used. Nothing is written before the first
    /// save.
    ///
    /// # Errors
    /// If the file can't be read, is damaged, or is of another version.
    pub fn open(disk: Arc<dyn Disk>, dir: PathBuf) -> Result<Self, UsesError> {
        Uses::open_with(disk, dir, USES_LINKS)
    }

    fn open_with(disk: Arc<dyn Disk>, dir: PathBuf, links_max: usize) -> Result<Self, UsesError> {
        let counts = Counts::new(links_max);
        let is_there = file::read(disk.as_ref(), &dir.join(NAME), |saved| counts.set(saved))?;
        let place = if is_there { Place::Anew } else { Place::Nowhere };
        Ok(Uses { counts, disk, dir, place: Mutex::new(place) })
    }

    /// Counts a click on a link with a limit, unless the limit is reached; whether it was counted.
    ///
    /// So it says yes to the first `max` clicks, whichever threads and runs they come from, and no to all others. If `max`
    /// is raised later, the rest is to be had; if it is lowered below what was used, nothing is.
    ///
    /// If [`USES_LINKS`] links are counted already, it says no to the first click on another one, and counts that in
    /// [`Uses::refused`]: to let it pass uncounted would break the limit that somebody set, and to let go of another
    /// link would let that one start again. Deleting links makes room.
    ///
    /// It waits for no I/O. For a link that is known it takes a lock for reading and changes one atomic.
    #[must_use]
    pub fn take(&self, id: u64, max: u64) -> bool {
        self.counts.take(id, max)
    }

    /// How many clicks of a link were counted.
    pub fn used(&self, id: u64) -> u64 {
        self.counts.used(id)
    }

    /// Forgets a link, since it was deleted. One that is not known is no matter, so a deletion may be told again.
    ///
    /// A click that found the link just before may be taken after this, and counts from 0: the link then keeps its
    /// place here, and nothing else comes of it, since no other link gets its id.
    pub fn forget(&self, id: u64) {
        self.counts.forget(id);
    }

    /// Forgets all links whose id is above this one: the records that made them are lost, and others will get their ids.
    pub fn forget_after(&self, last: u64) {
        self.counts.forget_after(last);
    }

    /// Whether a click would be [taken](Self::take) now.
    pub fn has_left(&self, id: u64, max: u64) -> bool {
        self.counts.has_left(id, max)
    }

    /// How many links are counted; at most [`USES_LINKS`].
    pub fn links(&self) -> usize {
        self.counts.links()
    }

    /// How many clicks were refused since the start because no more links are counted (I6).
    pub fn refused(&self) -> u64 {
        self.counts.refused()
    }

    /// How it stands.
    pub fn status(&self) -> UsesStatus {
        UsesStatus { links: self.links(), links_max: self.counts.links_max(), refused: self.refused() }
    }

    /// Makes durable what was counted and forgotten before this call.
    ///
    /// It is appended to the file. The whole file is written anew, beside the old one, at the first save of a run, when
    /// it has grown past four times what it needs (and 1 MiB), and after an error: what was written or synced in vain is
    /// never tried again.
    ///
    /// # Errors
    /// If it can't be written or synced. Nothing is lost as long as this process runs: the next save that succeeds
    /// makes up for it.
    pub fn save(&self) -> Result<(), UsesError> {
        let mut place = self.place.lock();
        let changes = self.counts.changes();
        let saved = match &mut *place {
            Place::Nowhere | Place::Behind(_) if changes == 0 => return Ok(()),
            Place::Behind(file) if file.has_room_for(changes, self.counts.links()) => self.append(file),
            Place::Nowhere | Place::Behind(_) | Place::Anew => {
                self.write_anew().map(|file| *place = Place::Behind(file))
            }
        };
        if saved.is_err() {
            *place = Place::Anew;
        }
        saved
    }

    fn append(&self, file: &mut UsesFile) -> Result<(), UsesError> {
        let mut batch = Vec::new();
        for shard in self.counts.shards() {
            self.counts.take_changes(shard, &mut batch);
            batch.drain(..).try_for_each(|saved| file.add(saved))?;
        }
        file.flush()
    }

    fn write_anew(&self) -> Result<UsesFile, UsesError> {
        let new = self.dir.join(NEW_NAME);
        let written = self.write_all(&new);
        if written.is_err() {
            // It takes room that may be what is missing. If it can't be removed, the next one overwrites it.
            let _ = self.disk.remove(&new);
        }
        let mut file = written?;
        let path = self.dir.join(NAME);
        self.disk.rename(&new, &path).map_err(UsesError::io("renaming to", &path))?;
        self.disk.sync_dir(&self.dir).map_err(UsesError::not_synced(&self.dir))?;
        file.renamed(path);
        Ok(file)
    }

    fn write_all(&self, path: &Path) -> Result<UsesFile, UsesError> {
        let mut file = UsesFile::create(self.disk.as_ref(), path)?;
        let mut batch = Vec::new();
        for shard in self.counts.shards() {
            Counts::take_all(shard, &mut batch);
            batch.drain(..).try_for_each(|saved| file.add(saved))?;
        }
        file.finish()?;
        Ok(file)
    }
}
