//! One process per data directory.

use std::fs::{DirBuilder, File, OpenOptions, TryLockError};
use std::io::{Read, Seek, SeekFrom, Write};
use std::os::unix::fs::DirBuilderExt;
use std::path::{Path, PathBuf};
use std::time::Duration;

use crate::log::hint;

/// Why the data directory can't be held.
#[derive(Debug, thiserror::Error)]
pub enum LockError {
    /// Another process does.
    #[error(
        "the data directory {} is in use by {holder}. Stop that process first, or give another directory with --data",
        path.display()
    )]
    InUse {
        /// The directory.
        path: PathBuf,
        /// The process, as far as known.
        holder: String,
    },
    /// The operating system refused.
    #[error("the data directory {} can't be used: {source}{}", path.display(), hint(source))]
    Io {
        /// The directory.
        path: PathBuf,
        /// What the operating system said.
        source: std::io::Error,
    },
}

/// The lock of a data directory. The operating system lets go of it when the process ends, however it ends.
pub(super) struct DirectoryLock {
    _file: File,
}

/// Which process holds a data directory, as far as known; None if none does.
///
/// # Errors
/// If that can't be found out.
pub fn holder(data: &Path) -> Result<Option<String>, LockError> {
    let io = |source| LockError::Io { path: data.to_owned(), source };
    let mut file = match File::open(data.join("lock")) {
        Ok(file) => file,
        Err(error) if error.kind() == std::io::ErrorKind::NotFound => return Ok(None),
        Err(error) => return Err(io(error)),
    };
    match file.try_lock_shared() {
        Ok(()) => Ok(None),
        Err(TryLockError::WouldBlock) => Ok(Some(name_of_holder(&mut file))),
        Err(TryLockError::Error(error)) => Err(io(error)),
    }
}

fn name_of_holder(file: &mut File) -> String {
    let mut holder = String::new();
    let known = file.read_to_string(&mut holder).is_ok() && !holder.trim().is_empty();
    if known { format!("process {}", holder.trim()) } else { "another process".to_owned() }
}

impl DirectoryLock {
    pub(super) fn take(data: &Path) -> Result<Self, LockError> {
        let io = |source| LockError::Io { path: data.to_owned(), source };
        create_durably(data).map_err(io)?;
        let path = data.join("lock");
        let mut file = OpenOptions::new().read(true).write(true).create(true).truncate(false).open(path).map_err(io)?;
        // Whoever asks for the holder has it for a moment.
        let mut tries = 0;
        while let Err(TryLockError::WouldBlock) = file.try_lock()
            && tries < 20
        {
            std::thread::sleep(Duration::from_millis(5));
            tries += 1;
        }
        match file.try_lock() {
            Ok(()) => {}
            Err(TryLockError::WouldBlock) => {
                return Err(LockError::InUse { path: data.to_owned(), holder: name_of_holder(&mut file) });
            }
            Err(TryLockError::Error(error)) => return Err(io(error)),
        }
        // Whose it is, for whoever is refused; the lock itself does not depend on it.
        file.set_len(0).map_err(io)?;
        file.seek(SeekFrom::Start(0)).map_err(io)?;
        writeln!(file, "{}", std::process::id()).map_err(io)?;
        Ok(DirectoryLock { _file: file })
    }
}

/// Creates a directory and what is missing above it, so that a crash can't take it back with all that is in it. Only its
/// owner may look into it: notes, targets that are not published yet, and hashes of tokens lie there.
pub(super) fn create_durably(dir: &Path) -> std::io::Result<()> {
    let missing: Vec<&Path> = dir.ancestors().take_while(|dir| !dir.as_os_str().is_empty() && !dir.exists()).collect();
    if let Some(parent) = dir.parent() {
        std::fs::create_dir_all(parent)?;
    }
    match DirBuilder::new().mode(0o700).create(dir) {
        // As it is.
        Err(error) if error.kind() == std::io::ErrorKind::AlreadyExists && dir.is_dir() => {}
        created => created?,
    }
    for dir in missing {
        let parent = dir.parent().filter(|parent| !parent.as_os_str().is_empty()).unwrap_or(Path::new("."));
        File::open(parent)?.sync_all()?;
    }
    Ok(())
}
