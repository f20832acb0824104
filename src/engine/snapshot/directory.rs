//! The directory of the snapshots that an engine keeps for itself.

use std::io;
use std::path::{Path, PathBuf};
use std::sync::Arc;

use super::{Manifest, SnapshotError, SnapshotReader, verify};
use crate::log::disk::{Access, Disk, FileReader, FileWriter};

/// The directory of snapshots. Each is named by the sequence of its last record in 20 digits, so that their names
/// stand in the order of their age.
#[derive(Debug, Clone)]
pub struct SnapshotDirectory {
    disk: Arc<dyn Disk>,
    path: PathBuf,
}

/// How the name of a snapshot ends.
const EXTENSION: &str = "snapshot";

/// How the name of one ends that is being written.
const UNFINISHED: &str = "new";

impl SnapshotDirectory {
    /// The snapshots in `path` on a disk.
    pub fn new(disk: Arc<dyn Disk>, path: PathBuf) -> Self {
        SnapshotDirectory { disk, path }
    }

    /// Where it is.
    pub fn path(&self) -> &Path {
        &self.path
    }

    /// The snapshots, oldest first.
    ///
    /// # Errors
    /// If the directory can't be read.
    pub fn list(&self) -> Result<Vec<PathBuf>, SnapshotError> {
        self.with_extension(EXTENSION)
    }

    /// A snapshot that is being written, or was when a crash came.
    ///
    /// # Errors
    /// If the directory can't be read.
    pub fn unfinished(&self) -> Result<Option<PathBuf>, SnapshotError> {
        Ok(self.with_extension(UNFINISHED)?.pop())
    }

    fn with_extension(&self, extension: &str) -> Result<Vec<PathBuf>, SnapshotError> {
        let names = match self.disk.list(&self.path) {
            Ok(names) => names,
            Err(error) if error.kind() == io::ErrorKind::NotFound => return Ok(Vec::new()),
            Err(error) => return Err(SnapshotError::io("reading the directory", &self.path)(error)),
        };
        let paths = names.into_iter().map(|name| self.path.join(name));
        let mut paths: Vec<PathBuf> = paths.filter(|path| path.extension().is_some_and(|e| e == extension)).collect();
        paths.sort_unstable();
        Ok(paths)
    }

    /// Opens a snapshot.
    ///
    /// # Errors
    /// If it can't be read, or does not begin like one.
    pub fn open(&self, path: &Path) -> Result<SnapshotReader<FileReader>, SnapshotError> {
        let file = self.disk.open(path, Access::Read).map_err(SnapshotError::io("opening", path))?;
        SnapshotReader::open(FileReader::new(file), path)
    }

    /// Adds a snapshot that `write` writes: it is synced, read back and compared, and only then gets its name.
    ///
    /// # Errors
    /// If it can't be written, or what is read back is not what was written. Then there is none.
    pub(in crate::engine) fn add<E: From<SnapshotError>>(
        &self,
        sequence: u64,
        write: impl FnOnce(FileWriter) -> Result<(FileWriter, Manifest), E>,
    ) -> Result<Manifest, E> {
        let path = self.path.join(format!("{sequence:020}.{EXTENSION}"));
        let unfinished = path.with_extension(UNFINISHED);
        self.create_dir()?;
        let written = self.write_and_verify(&unfinished, write);
        let manifest = written.inspect_err(|_| drop(self.disk.remove(&unfinished)))?;
        self.disk.rename(&unfinished, &path).map_err(SnapshotError::io("renaming", &unfinished))?;
        // With a name that may be lost it must not be taken for one from which the log can be gone on with.
        self.sync_names().inspect_err(|_| drop(self.disk.remove(&path)))?;
        Ok(manifest)
    }

    fn create_dir(&self) -> Result<(), SnapshotError> {
        self.disk.create_dir(&self.path).map_err(SnapshotError::io("creating", &self.path))?;
        // What a crash left of one that was being written takes room for nothing.
        for path in self.with_extension(UNFINISHED)? {
            self.disk.remove(&path).map_err(SnapshotError::io("removing", &path))?;
        }
        match self.path.parent() {
            Some(parent) => self.disk.sync_dir(parent).map_err(SnapshotError::io("syncing the directory", parent)),
            None => Ok(()),
        }
    }

    fn write_and_verify<E: From<SnapshotError>>(
        &self,
        path: &Path,
        write: impl FnOnce(FileWriter) -> Result<(FileWriter, Manifest), E>,
    ) -> Result<Manifest, E> {
        let file = self.disk.open(path, Access::Create).map_err(SnapshotError::io("creating", path))?;
        let (writer, manifest) = write(FileWriter::new(file))?;
        writer.file().sync().map_err(SnapshotError::io("syncing", path))?;
        // From the disk, as far as the operating system can be made to look there.
        writer.file().evict();
        drop(writer);
        let file = self.disk.open(path, Access::Read).map_err(SnapshotError::io("opening", path))?;
        let read_back = verify(FileReader::new(file), path)?;
        if read_back != manifest {
            let reason = "it was read back as another snapshot than was written";
            return Err(SnapshotError::damaged(path, 0, reason).into());
        }
        Ok(manifest)
    }

    /// Removes the oldest snapshots until there are so many. From which record on the log is needed by those that are
    /// left; None if there is none.
    pub(in crate::engine) fn retain(&self, count: usize) -> Result<Option<u64>, SnapshotError> {
        let mut paths = self.list()?;
        let oldest_kept = paths.len().saturating_sub(count);
        for path in paths.drain(..oldest_kept) {
            self.disk.remove(&path).map_err(SnapshotError::io("removing", &path))?;
        }
        self.sync_names()?;
        // One that can't be read needs nothing.
        Ok(paths.iter().filter_map(|path| Some(self.open(path).ok()?.header().replay_from)).min())
    }

    fn sync_names(&self) -> Result<(), SnapshotError> {
        self.disk.sync_dir(&self.path).map_err(SnapshotError::io("syncing the directory", &self.path))
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::engine::snapshot::{SnapshotHeader, SnapshotWriter};
    use crate::log::disk::simulated::SimulatedDisk;
    use crate::log::{ChainHash, LogId};

    /// I9, for a name.
    #[test]
    fn a_snapshot_whose_name_may_be_lost_is_not_kept() {
        let disk = SimulatedDisk::new(1);
        let snapshots = SnapshotDirectory::new(Arc::new(disk.clone()), "/snapshots".into());
        let log_id = LogId([7; 16]);
        let chain = ChainHash::genesis(log_id);
        let header = SnapshotHeader { log_id, epoch: 1, sequence: 0, chain, taken_at_ms: 1, replay_from: 1 };
        let add = |sequence| {
            snapshots.add(sequence, |file| {
                let written = SnapshotWriter::new(file, &header).and_then(SnapshotWriter::finish);
                written.map_err(SnapshotError::io("writing", Path::new("/snapshots")))
            })
        };
        add(1).unwrap();
        // After the directory above and the file.
        disk.fail_sync_in(3);
        assert!(matches!(add(2), Err(SnapshotError::Io { action: "syncing the directory", .. })));
        assert_eq!(snapshots.list().unwrap(), [Path::new("/snapshots/00000000000000000001.snapshot")]);
        add(3).unwrap();
    }
}
