//! The key of the day on disk, so that a visitor stays the same over a restart. `docs/format.md` gives every byte.

use std::fs::{File, OpenOptions};
use std::io::{self, Read, Write};
use std::os::unix::fs::OpenOptionsExt;
use std::path::{Path, PathBuf};

use super::{DayKey, KEY_BYTES};
use crate::log::hint;

/// The file, in the directory of the clicks.
pub(super) const NAME: &str = "visitor.key";

/// Where it is written before it gets its name.
const NEW_NAME: &str = "visitor.key.new";

const MAGIC: &[u8; 8] = b"CAROMVIS";
const VERSION: u32 = 1;

/// Where the checksum stands, and where what it is of begins.
const CHECKSUM: usize = 12;
const CHECKED: usize = 16;

/// Length of the file.
pub(super) const FILE_BYTES: usize = CHECKED + 8 + KEY_BYTES;

/// What went wrong with the key of the day. Only [`VisitorKeyError::Random`] keeps anything from being counted.
#[derive(Debug, thiserror::Error)]
pub enum VisitorKeyError {
    /// The operating system has no randomness.
    #[error("no key for visitors can be made: the system gives no random bytes: {0}")]
    Random(#[from] getrandom::Error),
    /// The file can't be read or written.
    #[error(
        "{action} {}: {source}{}. Visitors are counted with a key that is only in memory: who comes again after a \
         restart counts as another",
        path.display(), hint(source)
    )]
    Io {
        /// What was tried.
        action: &'static str,
        /// On which file.
        path: PathBuf,
        /// What the operating system said.
        source: io::Error,
    },
    /// Its bytes are not as they were written (I8).
    #[error(
        "{} is damaged at offset {offset}: {reason}. A new key takes its place: who came today before counts as another \
         from now on. Nothing else hangs on it",
        path.display()
    )]
    Damaged {
        /// The file.
        path: PathBuf,
        /// Where in it, in bytes.
        offset: usize,
        /// What is wrong there.
        reason: String,
    },
    /// Another version wrote it.
    #[error(
        "{} was written by another version of carom: its format is {found}, and {VERSION} is read. A new key takes its \
         place: who came today before counts as another from now on",
        path.display()
    )]
    OtherVersion {
        /// The file.
        path: PathBuf,
        /// The version of its format.
        found: u32,
    },
}

impl VisitorKeyError {
    pub(super) fn io(action: &'static str, path: &Path) -> impl FnOnce(io::Error) -> VisitorKeyError {
        let path = path.to_owned();
        move |source| VisitorKeyError::Io { action, path, source }
    }
}

/// The bytes of a file with this key.
pub(super) fn encode(key: &DayKey) -> [u8; FILE_BYTES] {
    let mut bytes = [0; FILE_BYTES];
    bytes[..8].copy_from_slice(MAGIC);
    bytes[8..CHECKSUM].copy_from_slice(&VERSION.to_le_bytes());
    bytes[CHECKED..CHECKED + 8].copy_from_slice(&key.day.to_le_bytes());
    bytes[CHECKED + 8..].copy_from_slice(&key.key);
    let checksum = crc32c::crc32c(&bytes[CHECKED..]);
    bytes[CHECKSUM..CHECKED].copy_from_slice(&checksum.to_le_bytes());
    bytes
}

/// The key in a file. `path` is for messages.
pub(super) fn decode(bytes: &[u8], path: &Path) -> Result<DayKey, VisitorKeyError> {
    let damaged = |offset, reason: String| VisitorKeyError::Damaged { path: path.to_owned(), offset, reason };
    let number = |at: usize| bytes.get(at..)?.first_chunk().map(|bytes| u32::from_le_bytes(*bytes));
    if !bytes.starts_with(MAGIC) {
        return Err(damaged(0, "it does not begin with CAROMVIS".to_owned()));
    }
    match number(8) {
        Some(VERSION) => {}
        Some(found) => return Err(VisitorKeyError::OtherVersion { path: path.to_owned(), found }),
        None => return Err(damaged(bytes.len(), "the version is missing".to_owned())),
    }
    let Ok(whole) = <&[u8; FILE_BYTES]>::try_from(bytes) else {
        let reason = format!("it has {} bytes instead of {FILE_BYTES}", bytes.len());
        return Err(damaged(bytes.len().min(FILE_BYTES), reason));
    };
    let (found, expected) = (crc32c::crc32c(&whole[CHECKED..]), number(CHECKSUM).unwrap_or_default());
    if found != expected {
        return Err(damaged(CHECKSUM, format!("the checksum is {found:08x} instead of {expected:08x}")));
    }
    let (day, key) = whole[CHECKED..].split_first_chunk().expect("the day has 8 bytes");
    let key = key.try_into().expect("the rest is the key");
    Ok(DayKey { day: u64::from_le_bytes(*day), key })
}

/// The key in a directory; none if there is no file.
pub(super) fn read(dir: &Path) -> Result<Option<DayKey>, VisitorKeyError> {
    let path = dir.join(NAME);
    let file = match File::open(&path) {
        Err(error) if error.kind() == io::ErrorKind::NotFound => return Ok(None),
        file => file.map_err(VisitorKeyError::io("opening", &path))?,
    };
    let mut bytes = Vec::new();
    // One more than it may have, to see that it has too many.
    file.take(FILE_BYTES as u64 + 1).read_to_end(&mut bytes).map_err(VisitorKeyError::io("reading", &path))?;
    decode(&bytes, &path).map(Some)
}

/// Destroys the key, if there is one.
pub(super) fn remove(dir: &Path) -> Result<(), VisitorKeyError> {
    [NAME, NEW_NAME].iter().try_for_each(|name| remove_file(&dir.join(name)))
}

fn remove_file(path: &Path) -> Result<(), VisitorKeyError> {
    match std::fs::remove_file(path) {
        Err(error) if error.kind() != io::ErrorKind::NotFound => Err(VisitorKeyError::io("removing", path)(error)),
        Ok(()) | Err(_) => Ok(()),
    }
}

/// Puts a key in the place of the one before, durably, and so that nobody else may read it. Each try writes another file:
/// what was synced in vain is not synced again (I9).
pub(super) fn write(dir: &Path, key: &DayKey) -> Result<(), VisitorKeyError> {
    let (path, new) = (dir.join(NAME), dir.join(NEW_NAME));
    std::fs::create_dir_all(dir).map_err(VisitorKeyError::io("creating", dir))?;
    remove_file(&new)?;
    let mut file = OpenOptions::new()
        .write(true)
        .create_new(true)
        .mode(0o600)
        .open(&new)
        .map_err(VisitorKeyError::io("creating", &new))?;
    file.write_all(&encode(key)).map_err(VisitorKeyError::io("writing", &new))?;
    file.sync_all().map_err(VisitorKeyError::io("syncing", &new))?;
    std::fs::rename(&new, &path).map_err(VisitorKeyError::io("renaming to", &path))?;
    File::open(dir).and_then(|dir| dir.sync_all()).map_err(VisitorKeyError::io("syncing", dir))
}
