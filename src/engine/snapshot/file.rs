//! A snapshot as a file of its own: a backup.

use std::fs::{File, OpenOptions, TryLockError};
use std::io;
use std::os::unix::fs::OpenOptionsExt;
use std::path::{Path, PathBuf};

use rustix::fs::{CWD, RenameFlags};
use rustix::io::Errno;

use super::{Manifest, SnapshotError, verify};
use crate::engine::lock::create_durably;
use crate::log::disk::{DiskFile, FileReader, FileWriter};

/// Where a backup goes.
#[derive(Debug, Clone, PartialEq, Eq)]
pub enum BackupTarget {
    /// Into a directory, under a name that says of which moment it is. The directory is created if it is missing.
    Directory(PathBuf),
    /// To this file.
    File {
        /// Its path.
        path: PathBuf,
        /// Whether one that is there already is replaced.
        replace: bool,
    },
}

/// Why a backup can't get its name.
#[derive(Debug, thiserror::Error)]
pub enum TargetError {
    /// There is one.
    #[error(
        "{} exists already, and was not replaced. Name another file or a directory, or replace it with --force",
        .0.display()
    )]
    Exists(PathBuf),
    /// Only a regular file is replaced.
    #[error("{} is not a regular file, and was not replaced. Name another file or a directory", .0.display())]
    NotAFile(PathBuf),
    /// Another backup is being written there.
    #[error("{} is being written by another process. Wait until that has ended, or name another target", .0.display())]
    Busy(PathBuf),
}

/// What every failure of a backup can be made into.
pub trait BackupFailure: From<SnapshotError> + From<TargetError> {}
impl<E: From<SnapshotError> + From<TargetError>> BackupFailure for E {}

/// A backup that is written, read back, found whole, and durable under its name.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct BackupFile {
    /// Where it lies.
    pub path: PathBuf,
    /// What is in it.
    pub manifest: Manifest,
    /// How long it is, in bytes.
    pub bytes: u64,
}

impl BackupTarget {
    /// Has `write` write a snapshot, and gives it its name only when it is synced and was read back. `name` makes the
    /// name that it gets in a directory.
    ///
    /// # Errors
    /// If it can't be written, is not whole, or a file of its name is there. Then nothing is left behind.
    pub fn write<E: BackupFailure>(
        &self,
        name: impl FnOnce(&Manifest) -> String,
        write: impl FnOnce(&mut FileWriter) -> Result<(), E>,
    ) -> Result<BackupFile, E> {
        let unfinished = match self {
            BackupTarget::Directory(dir) => {
                create_durably(dir).map_err(SnapshotError::io("creating", dir))?;
                // One name for all: what a crash left is replaced by the next one.
                dir.join("carom-backup.new")
            }
            BackupTarget::File { path, replace } => {
                may_replace(path, *replace)?;
                let mut unfinished = path.clone().into_os_string();
                unfinished.push(".new");
                unfinished.into()
            }
        };
        let file = create_alone::<E>(&unfinished)?;
        let finish = || {
            let (manifest, bytes) = fill(&unfinished, &file, write)?;
            let (path, replace) = match self {
                BackupTarget::Directory(dir) => (dir.join(name(&manifest)), false),
                BackupTarget::File { path, replace } => (path.clone(), *replace),
            };
            rename::<E>(&unfinished, &path, replace)?;
            let dir = parent(&path);
            let synced = File::open(dir).and_then(|dir| dir.sync_all());
            synced.map_err(SnapshotError::io("syncing the directory", dir))?;
            Ok(BackupFile { path, manifest, bytes })
        };
        finish().inspect_err(|_| drop(std::fs::remove_file(&unfinished)))
    }
}

/// Creates a file that no other process writes, and that only its owner may read: all that links say is in it.
fn create_alone<E: BackupFailure>(path: &Path) -> Result<File, E> {
    loop {
        match OpenOptions::new().read(true).write(true).create_new(true).mode(0o600).open(path) {
            Ok(file) => {
                return match file.try_lock() {
                    Ok(()) => Ok(file),
                    Err(TryLockError::WouldBlock) => Err(TargetError::Busy(path.to_owned()).into()),
                    Err(TryLockError::Error(error)) => Err(SnapshotError::io("locking", path)(error).into()),
                };
            }
            Err(error) if error.kind() == io::ErrorKind::AlreadyExists => {}
            Err(error) => return Err(SnapshotError::io("creating", path)(error).into()),
        }
        if !std::fs::symlink_metadata(path).is_ok_and(|found| found.is_file()) {
            return Err(TargetError::NotAFile(path.to_owned()).into());
        }
        // Who was writing it holds a lock on it as long as it lives.
        let removed = File::open(path).and_then(|left| match left.try_lock() {
            Ok(()) => std::fs::remove_file(path).map(|()| true),
            Err(TryLockError::WouldBlock) => Ok(false),
            Err(TryLockError::Error(error)) => Err(error),
        });
        match removed {
            Ok(true) => {}
            Ok(false) => return Err(TargetError::Busy(path.to_owned()).into()),
            Err(error) if error.kind() == io::ErrorKind::NotFound => {}
            Err(error) => return Err(SnapshotError::io("removing", path)(error).into()),
        }
    }
}

/// Writes, syncs and reads back.
fn fill<E: BackupFailure>(
    path: &Path,
    file: &File,
    write: impl FnOnce(&mut FileWriter) -> Result<(), E>,
) -> Result<(Manifest, u64), E> {
    let again = || file.try_clone().map_err(SnapshotError::io("opening", path));
    write(&mut FileWriter::new(Box::new(again()?)))?;
    file.sync_all().map_err(SnapshotError::io("syncing", path))?;
    // From the disk, as far as the operating system can be made to look there.
    DiskFile::evict(file);
    let manifest = verify(FileReader::new(Box::new(again()?)), path)?;
    Ok((manifest, file.metadata().map_err(SnapshotError::io("reading", path))?.len()))
}

fn may_replace(path: &Path, replace: bool) -> Result<(), TargetError> {
    match std::fs::symlink_metadata(path) {
        // Whatever else is wrong with the path is found when it is used.
        Err(_) => Ok(()),
        Ok(_) if !replace => Err(TargetError::Exists(path.to_owned())),
        Ok(found) if !found.is_file() => Err(TargetError::NotAFile(path.to_owned())),
        Ok(_) => Ok(()),
    }
}

fn rename<E: BackupFailure>(from: &Path, to: &Path, replace: bool) -> Result<(), E> {
    let renamed = if replace {
        std::fs::rename(from, to)
    } else {
        match rustix::fs::renameat_with(CWD, from, CWD, to, RenameFlags::NOREPLACE) {
            Err(Errno::EXIST) => return Err(TargetError::Exists(to.to_owned()).into()),
            // Some file systems can't do both in one step.
            Err(Errno::INVAL | Errno::NOSYS) => {
                may_replace(to, false)?;
                std::fs::rename(from, to)
            }
            renamed => renamed.map_err(io::Error::from),
        }
    };
    Ok(renamed.map_err(SnapshotError::io("renaming", from))?)
}

/// The directory that a file lies in.
fn parent(path: &Path) -> &Path {
    path.parent().filter(|parent| !parent.as_os_str().is_empty()).unwrap_or(Path::new("."))
}
