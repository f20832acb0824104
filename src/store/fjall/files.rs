//! Checks what lsm-tree 3 relies on in its files without a check of its own.
//!
//! It checks the blocks in a table, whatever they hold, whenever it reads them. It does not check the list of its
//! tables, though `current` has a checksum of that: a level that the list has lost is a level of links that are gone.
//! And it takes the length of a table's contents for true before it has checked it, and asks for that much memory;
//! where there is not as much, the process ends. All numbers are little-endian.

use std::fs::File;
use std::io::{self, Read, Seek, SeekFrom};
use std::path::Path;

use xxhash_rust::xxh3::xxh3_128;

use crate::store::StoreError;

/// Names the newest list of tables: its number in 8 bytes, its checksum in 16, and a 0.
const CURRENT: &str = "current";

/// What a finished table ends with: magic, version, kind of checksum, checksum of the contents, their offset and
/// length.
const TRAILER_BYTES: u64 = 38;

/// What a trailer begins with.
const TRAILER_MAGIC: &[u8] = b"SFA!\x01\x00";

/// Longest contents. They name half a dozen sections.
const CONTENTS_BYTES: u64 = 64 * 1024;

/// The bytes of all tables of the tree in `dir`, as far as they can be looked at.
pub(super) fn table_bytes(dir: &Path) -> u64 {
    let tables = std::fs::read_dir(dir.join("tables")).into_iter().flatten();
    tables.filter_map(|table| table.and_then(|table| table.metadata()).ok()).map(|table| table.len()).sum()
}

/// Checks the files of the tree in `dir`, if there is one.
pub(super) fn check(dir: &Path) -> Result<(), StoreError> {
    let tables = match std::fs::read_dir(dir.join("tables")) {
        Ok(tables) => tables.collect::<io::Result<Vec<_>>>().map_err(StoreError::Io)?,
        Err(error) if error.kind() == io::ErrorKind::NotFound => Vec::new(),
        Err(error) => return Err(not_read(&dir.join("tables"), error)),
    };
    let current = dir.join(CURRENT);
    match std::fs::read(&current) {
        Ok(bytes) => check_list(dir, &bytes)?,
        // Nothing was ever written out; lsm-tree begins anew.
        Err(error) if error.kind() == io::ErrorKind::NotFound && tables.is_empty() => return Ok(()),
        Err(error) => return Err(not_read(&current, error)),
    }
    for table in tables {
        check_contents(&table.path()).map_err(|error| not_read(&table.path(), error))?;
    }
    Ok(())
}

/// Checks the list of tables that `current` names.
fn check_list(dir: &Path, current: &[u8]) -> Result<(), StoreError> {
    let damaged = || StoreError::Corrupt(format!("{}: it is damaged", dir.join(CURRENT).display()));
    let (number, rest) = current.split_first_chunk().ok_or_else(damaged)?;
    let (checksum, kind) = rest.split_first_chunk().ok_or_else(damaged)?;
    if kind != [0] {
        return Err(damaged());
    }
    let path = dir.join(format!("v{}", u64::from_le_bytes(*number)));
    let list = std::fs::read(&path).map_err(|error| not_read(&path, error))?;
    if xxh3_128(&list) != u128::from_le_bytes(*checksum) {
        return Err(not_read(&path, invalid("it is damaged")));
    }
    Ok(())
}

/// Checks the contents of a table: where its blocks lie.
fn check_contents(path: &Path) -> io::Result<()> {
    let mut file = File::open(path)?;
    let length = file.metadata()?.len();
    // Without a trailer it is one that was never finished, which lsm-tree removes, or one that it does not open.
    let Some(end) = length.checked_sub(TRAILER_BYTES) else { return Ok(()) };
    let mut trailer = [0; TRAILER_BYTES as usize];
    file.seek(SeekFrom::Start(end))?;
    file.read_exact(&mut trailer)?;
    let Some(rest) = trailer.strip_prefix(TRAILER_MAGIC) else { return Ok(()) };
    let checksum = u128::from_le_bytes(rest[..16].try_into().expect("sixteen bytes"));
    let start = u64::from_le_bytes(rest[16..24].try_into().expect("eight bytes"));
    let contents_bytes = end.checked_sub(start).filter(|bytes| *bytes <= CONTENTS_BYTES);
    let contents_bytes = contents_bytes.ok_or_else(|| invalid("its end is damaged"))?;
    let mut contents = vec![0; contents_bytes as usize];
    file.seek(SeekFrom::Start(start))?;
    file.read_exact(&mut contents)?;
    if xxh3_128(&contents) == checksum { Ok(()) } else { Err(invalid("its contents are damaged")) }
}

fn not_read(path: &Path, error: io::Error) -> StoreError {
    match error.kind() {
        // Of our own making, or what is too short, missing, or not what it should be.
        io::ErrorKind::InvalidData
        | io::ErrorKind::UnexpectedEof
        | io::ErrorKind::NotFound
        | io::ErrorKind::NotADirectory
        | io::ErrorKind::IsADirectory => StoreError::Corrupt(format!("{}: {error}", path.display())),
        _ => StoreError::Io(error),
    }
}

fn invalid(reason: &str) -> io::Error {
    io::Error::new(io::ErrorKind::InvalidData, reason)
}
