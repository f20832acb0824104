//! Where server and clients meet: `control.sock` in the data directory.

use std::fs::{DirBuilder, File, Permissions};
use std::io;
use std::os::fd::AsRawFd;
use std::os::unix::fs::{DirBuilderExt, PermissionsExt};
use std::os::unix::net::{UnixListener, UnixStream};
use std::path::{Path, PathBuf};

/// The socket's name in the data directory.
const NAME: &str = "control.sock";

/// A directory that exists for a moment, while the socket is made.
const MAKING: &str = "control.new";

/// A way to a name in a directory that fits into the address of a Unix socket, which has room for 107 bytes, however
/// long the way to the directory is.
struct ShortPath {
    /// Holds the number open that the path goes over.
    _dir: File,
    path: PathBuf,
}

impl ShortPath {
    fn new(dir: &Path) -> io::Result<Self> {
        let dir = File::open(dir)?;
        let path = PathBuf::from(format!("/proc/self/fd/{}/{NAME}", dir.as_raw_fd()));
        Ok(ShortPath { _dir: dir, path })
    }
}

/// Listens in the data directory, which this process holds: a socket that is there is what a killed one left.
pub(super) fn listen(data: &Path) -> io::Result<UnixListener> {
    // A socket is created with whatever permissions the umask leaves, and could be connected to before they are
    // changed. So it is made in a directory that nobody else may enter, and gets its place when it is as it should be.
    let making = data.join(MAKING);
    remove_making(&making)?;
    DirBuilder::new().mode(0o700).create(&making)?;
    let made = make_in(&making).and_then(|listener| {
        std::fs::rename(making.join(NAME), data.join(NAME))?;
        Ok(listener)
    });
    let removed = remove_making(&making);
    let listener = made?;
    removed?;
    Ok(listener)
}

fn make_in(making: &Path) -> io::Result<UnixListener> {
    let short = ShortPath::new(making)?;
    let listener = UnixListener::bind(&short.path)?;
    std::fs::set_permissions(making.join(NAME), Permissions::from_mode(0o600))?;
    Ok(listener)
}

fn remove_making(making: &Path) -> io::Result<()> {
    match std::fs::remove_dir_all(making) {
        Err(error) if error.kind() != io::ErrorKind::NotFound => Err(error),
        _ => Ok(()),
    }
}

/// Removes the socket, for its process ends.
pub(super) fn remove(data: &Path) {
    // What can't be removed is replaced at the next start, and nobody answers there until then.
    let _ = std::fs::remove_file(data.join(NAME));
}

/// Connects to the process that serves a data directory; None if none does.
pub(super) fn connect(data: &Path) -> io::Result<Option<UnixStream>> {
    match ShortPath::new(data).and_then(|short| UnixStream::connect(&short.path)) {
        Ok(stream) => Ok(Some(stream)),
        Err(error) if matches!(error.kind(), io::ErrorKind::NotFound | io::ErrorKind::ConnectionRefused) => Ok(None),
        Err(error) => Err(error),
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn only_its_owner_may_connect_however_long_the_path_is() {
        let dir = tempfile::tempdir().unwrap();
        let data = dir.path().join("d".repeat(100)).join("e".repeat(100));
        std::fs::create_dir_all(&data).unwrap();
        assert!(connect(&data).unwrap().is_none());
        let listener = listen(&data).unwrap();
        assert_eq!(std::fs::metadata(data.join(NAME)).unwrap().permissions().mode() & 0o777, 0o600);
        assert!(!data.join(MAKING).exists());
        assert!(connect(&data).unwrap().is_some());
        // As a process that is killed leaves it.
        drop(listener);
        assert!(data.join(NAME).exists() && connect(&data).unwrap().is_none());
        let _listener = listen(&data).unwrap();
        assert!(connect(&data).unwrap().is_some());
        remove(&data);
        assert!(connect(&data).unwrap().is_none());
    }
}
