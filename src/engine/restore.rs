//! From a backup to a data directory that can be served.

use std::path::{Path, PathBuf};
use std::sync::Arc;

use super::ground::Ground;
use super::lock::{DirectoryLock, LockError};
use super::snapshot::{Manifest, SnapshotError, SnapshotHeader, SnapshotReader, SnapshotWriter, verify};
use super::{CloseError, EngineConfig, OpenError, OwnedEngine, StateDigest};
use crate::log::disk::{Access, Disk, FileReader, RealDisk};
use crate::log::{Beginning, LogError, hint};
use crate::store::StoreError;

/// Why a backup was not restored.
#[derive(Debug, thiserror::Error)]
pub enum RestoreError {
    /// The backup can't be read, or the copy of it can't be written. Nothing is left behind but an empty directory.
    #[error(transparent)]
    Snapshot(#[from] SnapshotError),
    /// The directory is in use, or can't be used.
    #[error(transparent)]
    Lock(#[from] LockError),
    /// There is something in the directory.
    #[error(
        "{} is not empty: {} is there. Nothing was changed. Give a directory that is empty or missing with --data",
        path.display(), found.display()
    )]
    NotEmpty {
        /// The directory.
        path: PathBuf,
        /// What is in it.
        found: PathBuf,
    },
    /// There is a snapshot that is not of this backup.
    #[error(
        "{} is no copy of {} that an interrupted restore left. Nothing was changed. Restore what was to be restored \
         there, or give a directory that is empty or missing with --data",
        found.display(), file.display()
    )]
    OtherSnapshot {
        /// The snapshot.
        found: PathBuf,
        /// The backup.
        file: PathBuf,
    },
    /// The log can't be begun.
    #[error("{0}. The restore did not finish; run it again")]
    Log(#[from] LogError),
    /// The directory can't be looked at.
    #[error("reading the directory {}: {source}{}", path.display(), hint(source))]
    Io {
        /// The directory.
        path: PathBuf,
        /// What the operating system said.
        source: std::io::Error,
    },
    /// It is restored; only the store is missing.
    #[error("the backup is restored, but its store was not built: {0}. It is built when carom is started there")]
    NotBuilt(#[source] Box<NotBuilt>),
    /// What was built is not what was backed up.
    #[error(
        "the state that was built from {} has not the digest of the backup. Don't serve it. Restore into another \
         directory, if it can be on another machine, and report this",
        .0.display()
    )]
    OtherDigest(PathBuf),
}

/// Why the store of a restored directory was not built.
#[derive(Debug, thiserror::Error)]
pub enum NotBuilt {
    /// The engine can't be opened.
    #[error(transparent)]
    Open(#[from] OpenError),
    /// The store can't be read.
    #[error(transparent)]
    Store(#[from] StoreError),
    /// The store can't be flushed.
    #[error(transparent)]
    Close(#[from] CloseError),
}

/// What was restored.
#[derive(Debug, Clone)]
pub struct Restored {
    /// What is in the backup.
    pub manifest: Manifest,
    /// What is in the store that was built from it: the same.
    pub state: StateDigest,
    /// How many tokens of the admin API came with it. They hold again as they did when the backup was taken.
    pub tokens: usize,
}

/// Makes a data directory of a backup. It goes on with the log that the backup was taken of, behind the record where it
/// stood, in the next epoch.
///
/// The snapshot comes first and the log last. After a crash in between there are snapshots and no log, which no
/// start takes for a data directory, and the same restore can be run again.
///
/// # Errors
/// If the backup is damaged, the directory is not empty, or something can't be written.
pub fn restore(file: &Path, config: &EngineConfig) -> Result<Restored, RestoreError> {
    // All of it before anything is created.
    let manifest = verify(open(file)?, file)?;
    let header = manifest.header;
    let ground = Ground::new(config);
    let is_new = !config.data.exists();
    if !is_new {
        // Also before the lock, whose file nobody wants in a directory that is something else.
        check_empty(&config.data, &ground, file, &header)?;
    }
    let lock = Arc::new(DirectoryLock::take(&config.data)?);
    let copied = check_empty(&config.data, &ground, file, &header).and_then(|()| copy(file, &ground, &header));
    if let Err(error) = copied {
        if is_new {
            // As it was before. What can't be removed does no harm.
            let _ = std::fs::remove_dir_all(&config.data);
        }
        return Err(error);
    }
    let SnapshotHeader { log_id, epoch, sequence, chain, .. } = header;
    drop(ground.log.begin(Beginning { log_id, epoch: epoch + 1, sequence, chain })?);
    let (state, tokens) = build(lock, config).map_err(|error| RestoreError::NotBuilt(Box::new(error)))?;
    if state.hash != manifest.digest {
        return Err(RestoreError::OtherDigest(config.data.clone()));
    }
    Ok(Restored { manifest, state, tokens })
}

fn open(file: &Path) -> Result<FileReader, SnapshotError> {
    let opened = RealDisk.open(file, Access::Read).map_err(SnapshotError::io("opening", file))?;
    Ok(FileReader::new(opened))
}

/// Sees that nothing lies in the directory but what this process made, or the same restore before it.
fn check_empty(data: &Path, ground: &Ground, file: &Path, header: &SnapshotHeader) -> Result<(), RestoreError> {
    let io = |source| RestoreError::Io { path: data.to_owned(), source };
    for entry in std::fs::read_dir(data).map_err(io)? {
        let name = entry.map_err(io)?.file_name();
        // The file system's own is in every one that is empty.
        if !["lock", "log", "snapshots", "lost+found"].iter().any(|&known| name == known) {
            return Err(RestoreError::NotEmpty { path: data.to_owned(), found: data.join(name) });
        }
    }
    if let Some((_, found)) = ground.log.segments()?.pop() {
        return Err(RestoreError::NotEmpty { path: data.to_owned(), found });
    }
    for found in ground.snapshots.list()? {
        let is_copy = ground.snapshots.open(&found).is_ok_and(|reader| *reader.header() == restored(header));
        if !is_copy {
            return Err(RestoreError::OtherSnapshot { found, file: file.to_owned() });
        }
    }
    Ok(())
}

/// The header of a copy: the log that is begun behind it has none of the records before.
fn restored(header: &SnapshotHeader) -> SnapshotHeader {
    // A set that was being written when the backup was taken was not committed, and now never is.
    SnapshotHeader { replay_from: header.sequence + 1, ..*header }
}

/// Copies the backup into the directory's own snapshots.
fn copy(file: &Path, ground: &Ground, header: &SnapshotHeader) -> Result<(), RestoreError> {
    ground.snapshots.add(header.sequence, |out| {
        let mut reader = SnapshotReader::open(open(file)?, file)?;
        let write = SnapshotError::io("writing the copy of", file);
        let copy = || {
            let mut writer = SnapshotWriter::new(out, &restored(header)).map_err(Failed::Write)?;
            while let Some(entries) = reader.next_chunk()? {
                for (key, value) in entries {
                    writer.add(key, value).map_err(Failed::Write)?;
                }
            }
            writer.finish().map_err(Failed::Write)
        };
        copy().map_err(|failed| match failed {
            Failed::Read(error) => RestoreError::from(error),
            Failed::Write(error) => write(error).into(),
        })
    })?;
    Ok(())
}

enum Failed {
    Read(SnapshotError),
    Write(std::io::Error),
}

impl From<SnapshotError> for Failed {
    fn from(error: SnapshotError) -> Self {
        Failed::Read(error)
    }
}

/// Opens the engine, which builds the store, and closes it again: what is in it, and how many tokens there are.
fn build(lock: Arc<DirectoryLock>, config: &EngineConfig) -> Result<(StateDigest, usize), NotBuilt> {
    let (owned, _) = OwnedEngine::open_locked(lock, config)?;
    let state = owned.engine().digest()?;
    let tokens = owned.engine().tables().token_count();
    owned.close()?;
    Ok((state, tokens))
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::limits::BATCH_COMMANDS;
    use crate::link::{Action, LinkKey};
    use crate::link::{Command, Destination, Precondition, Status, Target};

    fn put() -> Action {
        let target = Target::parse("https://to.example/").unwrap();
        Action::Put(Destination::new(Status::Found, Some(target)).unwrap())
    }

    fn key(number: usize) -> LinkKey {
        LinkKey::parse(&format!("/{number}")).unwrap()
    }

    #[test]
    fn a_set_that_was_being_written_never_was() {
        let dir = tempfile::tempdir().unwrap();
        let config = |name: &str| EngineConfig { cache_bytes: 0, ..EngineConfig::new(dir.path().join(name)) };
        let file = dir.path().join("a.snapshot");
        let (owned, _) = OwnedEngine::open(&config("old")).unwrap();
        let engine = owned.engine();
        let command = Command { key: key(0), action: put(), precondition: Precondition::None };
        engine.submit(None, vec![command.clone()]).unwrap();
        let mut set = engine.begin_set().unwrap();
        // More than waits in front of the writer, so that parts are in the log.
        (0..20 * BATCH_COMMANDS).for_each(|number| set.add(key(number), put()).unwrap());
        engine.submit(None, vec![Command { key: key(1), ..command.clone() }]).unwrap();
        let manifest = engine.backup(std::fs::File::create(&file).unwrap()).unwrap();
        let before = engine.digest().unwrap();
        let header = manifest.header;
        assert!(header.replay_from < header.sequence, "{header:?}");
        drop(set);
        owned.close().unwrap();

        let restored = restore(&file, &config("new")).unwrap();
        assert_eq!(restored.state, before);
        let (owned, report) = OwnedEngine::open(&config("new")).unwrap();
        assert_eq!((report.applied_records, report.set_aside.is_some()), (0, false));
        owned.engine().submit(None, vec![Command { key: key(2), ..command }]).unwrap();
        assert_eq!(owned.engine().digest().unwrap().entries, 3);
        owned.close().unwrap();
        // From the copy, and not from the store.
        std::fs::remove_dir_all(dir.path().join("new/store")).unwrap();
        let (owned, report) = OwnedEngine::open(&config("new")).unwrap();
        assert_eq!((report.loaded_entries, report.applied_records), (2, 1));
        owned.close().unwrap();
        let log = Ground::new(&config("new")).log.verify(&mut |_| ()).unwrap().unwrap();
        assert_eq!((log.log_id, log.epoch, log.sequence), (header.log_id, header.epoch + 1, header.sequence + 1));
    }

    #[test]
    fn a_directory_of_something_else_is_left_as_it_is() {
        let dir = tempfile::tempdir().unwrap();
        let (data, file) = (dir.path().join("pictures"), dir.path().join("a.snapshot"));
        let (owned, _) = OwnedEngine::open(&EngineConfig::new(dir.path().join("old"))).unwrap();
        owned.engine().backup(std::fs::File::create(&file).unwrap()).unwrap();
        owned.close().unwrap();
        std::fs::create_dir(&data).unwrap();
        std::fs::write(data.join("cat"), b"").unwrap();
        assert!(matches!(restore(&file, &EngineConfig::new(data.clone())), Err(RestoreError::NotEmpty { .. })));
        assert_eq!(std::fs::read_dir(&data).unwrap().count(), 1);
    }
}
