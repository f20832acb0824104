//! Lists that are exchanged while workers use them.

use std::os::unix::fs::MetadataExt;
use std::path::{Path, PathBuf};
use std::sync::Arc;
use std::sync::atomic::{AtomicU64, Ordering};

use parking_lot::{Mutex, RwLock};

use super::{AgentListError, AgentLists};

/// The lists in use, for all workers. A worker compares [`SharedAgents::generation`] now and then, which is one read of a
/// number that hardly ever changes, and when it did it takes the new lists and clears its cache.
pub struct SharedAgents {
    /// With the generation that they are of.
    lists: RwLock<(u64, Arc<AgentLists>)>,
    generation: AtomicU64,
    file: Option<Mutex<Watched>>,
}

/// A file whose changes are looked for.
struct Watched {
    path: PathBuf,
    /// What it was like when it was last read, also in vain; none if it could not be asked.
    seen: Option<Stamp>,
}

/// What changes when a file is written or replaced.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
struct Stamp {
    inode: u64,
    bytes: u64,
    modified_s: i64,
    modified_ns: i64,
}

impl Stamp {
    fn of(path: &Path) -> Option<Stamp> {
        let metadata = std::fs::metadata(path).ok()?;
        Some(Stamp {
            inode: metadata.ino(),
            bytes: metadata.len(),
            modified_s: metadata.mtime(),
            modified_ns: metadata.mtime_nsec(),
        })
    }
}

impl SharedAgents {
    /// The built-in lists.
    pub fn built_in() -> Self {
        SharedAgents::of(AgentLists::built_in(), None)
    }

    /// The built-in lists, or those of a file, as [`AgentLists::load`] reads them.
    ///
    /// # Errors
    /// If the file is of no use.
    pub fn open(file: Option<PathBuf>) -> Result<Self, AgentListError> {
        // Before it is read: what is written meanwhile is found by the next look.
        let watched = file.map(|path| Watched { seen: Stamp::of(&path), path });
        let lists = match &watched {
            Some(watched) => AgentLists::load(&watched.path)?,
            None => AgentLists::built_in(),
        };
        Ok(SharedAgents::of(lists, watched))
    }

    fn of(lists: AgentLists, watched: Option<Watched>) -> Self {
        SharedAgents {
            lists: RwLock::new((1, Arc::new(lists))),
            generation: AtomicU64::new(1),
            file: watched.map(Mutex::new),
        }
    }

    /// Which lists are in use: one more after each change, from 1.
    pub fn generation(&self) -> u64 {
        self.generation.load(Ordering::Acquire)
    }

    /// The lists in use, and their generation.
    pub fn current(&self) -> (u64, Arc<AgentLists>) {
        let lists = self.lists.read();
        (lists.0, Arc::clone(&lists.1))
    }

    /// Reads the file again if its time, length or inode is another than at the last look. None if there is no file, or
    /// it is as it was.
    ///
    /// # Errors
    /// If the file has changed and is of no use now. The lists stay as they were. It is said once for each change.
    pub fn reload_if_changed(&self) -> Option<Result<(), AgentListError>> {
        let mut watched = self.file.as_ref()?.lock();
        let stamp = Stamp::of(&watched.path);
        if stamp == watched.seen {
            return None;
        }
        watched.seen = stamp;
        Some(AgentLists::load(&watched.path).map(|lists| {
            let mut current = self.lists.write();
            *current = (current.0 + 1, Arc::new(lists));
            self.generation.store(current.0, Ordering::Release);
        }))
    }
}
