//! One segment file: a header, then records one after the other, then zeros up to the preallocated length.
//!
//! | offset | bytes | field |
//! |---:|---:|---|
//! | 0 | 8 | magic: `CAROMLOG` |
//! | 8 | 4 | version of the format, 1 |
//! | 12 | 4 | CRC32C of everything from offset 16 to 128 |
//! | 16 | 16 | log id |
//! | 32 | 8 | epoch |
//! | 40 | 8 | sequence of the first record |
//! | 48 | 32 | chain hash before the first record |
//! | 80 | 48 | zero |
//! | 128 | … | records |

use std::path::{Path, PathBuf};

use super::LogError;
use super::disk::{Access, Disk, DiskFile};
use super::record::{ChainHash, LogId, RECORD_BYTES, Record, field};

/// How a segment begins.
pub const MAGIC: [u8; 8] = *b"CAROMLOG";

/// The version of the format.
pub const VERSION: u32 = 1;

/// Bytes before the first record.
pub const HEADER_BYTES: usize = 128;

/// What a segment says of itself.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct SegmentHeader {
    /// Of which log it is a part.
    pub log_id: LogId,
    /// The epoch in which it was begun.
    pub epoch: u64,
    /// The sequence of its first record.
    pub first_sequence: u64,
    /// The chain hash of all before its first record.
    pub chain: ChainHash,
}

/// Why bytes are no header of a segment.
#[derive(Debug, Clone, PartialEq, Eq, thiserror::Error)]
pub enum HeaderError {
    /// They are not as they were written, or never were a header.
    #[error("{0}")]
    Damaged(String),
    /// They are intact, and of another version of the format.
    #[error("the segment has format {0}; this version of carom reads format {VERSION}")]
    Version(u32),
}

impl SegmentHeader {
    /// The header's bytes.
    pub fn encode(&self) -> [u8; HEADER_BYTES] {
        let mut bytes = [0; HEADER_BYTES];
        bytes[..8].copy_from_slice(&MAGIC);
        bytes[8..12].copy_from_slice(&VERSION.to_le_bytes());
        bytes[16..32].copy_from_slice(&self.log_id.0);
        bytes[32..40].copy_from_slice(&self.epoch.to_le_bytes());
        bytes[40..48].copy_from_slice(&self.first_sequence.to_le_bytes());
        bytes[48..80].copy_from_slice(&self.chain.0);
        let checksum = crc32c::crc32c(&bytes[16..]);
        bytes[12..16].copy_from_slice(&checksum.to_le_bytes());
        bytes
    }

    /// Reads a header.
    ///
    /// # Errors
    /// If the bytes are no header, are damaged, or are of another version of the format.
    pub fn decode(bytes: &[u8]) -> Result<Self, HeaderError> {
        let damaged = |reason: &str| HeaderError::Damaged(reason.to_owned());
        let bytes = bytes.get(..HEADER_BYTES).ok_or_else(|| damaged("the file is shorter than a segment's header"))?;
        if bytes[..8] != MAGIC {
            return Err(damaged("the file does not begin like a segment of the log"));
        }
        let (expected, found) = (u32::from_le_bytes(field(bytes, 12)), crc32c::crc32c(&bytes[16..]));
        if expected != found {
            let reason = format!("the segment's header has the checksum {found:08x} and should have {expected:08x}");
            return Err(HeaderError::Damaged(reason));
        }
        let version = u32::from_le_bytes(field(bytes, 8));
        if version != VERSION {
            return Err(HeaderError::Version(version));
        }
        Ok(SegmentHeader {
            log_id: LogId(field(bytes, 16)),
            epoch: u64::from_le_bytes(field(bytes, 32)),
            first_sequence: u64::from_le_bytes(field(bytes, 40)),
            chain: ChainHash(field(bytes, 48)),
        })
    }
}

/// The name of the segment that begins with this sequence.
pub fn file_name(first_sequence: u64) -> String {
    format!("{first_sequence:020}.log")
}

/// The segments of a directory, in order: first sequence and path.
///
/// # Errors
/// If the directory can't be read.
pub(super) fn list(disk: &dyn Disk, dir: &Path) -> Result<Vec<(u64, PathBuf)>, LogError> {
    let mut segments = Vec::new();
    for name in disk.list(dir).map_err(LogError::io("reading the directory", dir))? {
        let first = name.to_str().and_then(|name| name.strip_suffix(".log")).and_then(|number| number.parse().ok());
        if let Some(first) = first {
            segments.push((first, dir.join(name)));
        }
    }
    segments.sort_unstable();
    Ok(segments)
}

/// Removes what a crash left of a segment that was being created.
pub(super) fn remove_unfinished(disk: &dyn Disk, dir: &Path) -> Result<(), LogError> {
    // Where there is no directory there is nothing to remove.
    for name in disk.list(dir).unwrap_or_default() {
        let path = dir.join(name);
        if path.extension().is_some_and(|extension| extension == "new") {
            disk.remove(&path).map_err(LogError::io("removing", &path))?;
        }
    }
    Ok(())
}

/// Creates a segment, preallocated and with its header, durable together with its name. If that fails, what there is
/// of it is removed again as far as possible, to leave the room to others.
pub(super) fn create(
    disk: &dyn Disk,
    dir: &Path,
    header: &SegmentHeader,
    segment_bytes: u64,
) -> Result<(Box<dyn DiskFile>, PathBuf), LogError> {
    let path = dir.join(file_name(header.first_sequence));
    // Under another name until it is whole: a crash must not leave a segment without header.
    let unfinished = path.with_extension("new");
    let write = || {
        let file = disk.open(&unfinished, Access::Create).map_err(LogError::io("creating", &unfinished))?;
        // The full length, so that appending changes no metadata and a sync stays cheap.
        file.allocate(segment_bytes).map_err(LogError::io("preallocating", &unfinished))?;
        file.write_all_at(&header.encode(), 0).map_err(LogError::io("writing", &unfinished))?;
        file.sync().map_err(LogError::not_synced(&unfinished))?;
        Ok(file)
    };
    let file = write().inspect_err(|_| drop(disk.remove(&unfinished)))?;
    // From here on it is not known what there is, also if it is room that is missing.
    disk.rename(&unfinished, &path).map_err(LogError::not_synced(&unfinished))?;
    disk.sync_dir(dir).map_err(LogError::not_synced(dir))?;
    Ok((file, path))
}

/// A segment that is read through a window, so that reading it takes a bounded piece of memory.
pub(super) struct Reader {
    pub(super) path: PathBuf,
    pub(super) header: SegmentHeader,
    file: Box<dyn DiskFile>,
    pub(super) file_bytes: usize,
    window: Vec<u8>,
    window_start: usize,
}

/// Bytes of the window. It holds a record of any length.
const WINDOW_BYTES: usize = 2 * 1024 * 1024;

const _: () = assert!(WINDOW_BYTES >= RECORD_BYTES);

impl Reader {
    /// Opens a segment and reads its header.
    pub(super) fn open(disk: &dyn Disk, path: &Path) -> Result<Self, LogError> {
        let file = disk.open(path, Access::Read).map_err(LogError::io("opening", path))?;
        let file_bytes = file.bytes().map_err(LogError::io("reading", path))? as usize;
        let mut first = vec![0; HEADER_BYTES.min(file_bytes)];
        file.read_exact_at(&mut first, 0).map_err(LogError::io("reading", path))?;
        let header = SegmentHeader::decode(&first).map_err(|error| match error {
            HeaderError::Damaged(reason) => LogError::damaged(path, 0, reason),
            HeaderError::Version(_) => {
                LogError::OtherVersion { path: path.to_owned(), offset: 0, reason: error.to_string() }
            }
        })?;
        if path.file_name().is_none_or(|name| name != file_name(header.first_sequence).as_str()) {
            let reason = format!("the segment begins with record {}, which its name denies", header.first_sequence);
            return Err(LogError::damaged(path, 0, reason));
        }
        Ok(Reader { path: path.to_owned(), header, file, file_bytes, window: Vec::new(), window_start: 0 })
    }

    /// The file, for those who look at it in another way.
    pub(super) fn into_file(self) -> Box<dyn DiskFile> {
        self.file
    }

    /// The bytes from `offset` on: at least `bytes`, which are at most [`WINDOW_BYTES`], or all up to the end of
    /// the file.
    pub(super) fn at(&mut self, offset: usize, bytes: usize) -> Result<&[u8], LogError> {
        let end = self.file_bytes.min(offset + bytes);
        if offset < self.window_start || end > self.window_start + self.window.len() {
            self.window.resize(WINDOW_BYTES.min(self.file_bytes - offset), 0);
            self.window_start = offset;
            let read = self.file.read_exact_at(&mut self.window, offset as u64);
            read.map_err(LogError::io("reading", &self.path))?;
        }
        Ok(&self.window[offset - self.window_start..])
    }
}

/// Where in a log a reader stands.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(super) struct Cursor {
    pub(super) offset: usize,
    pub(super) next_sequence: u64,
    pub(super) chain: ChainHash,
}

impl Cursor {
    pub(super) fn at_start(header: &SegmentHeader) -> Self {
        Cursor { offset: HEADER_BYTES, next_sequence: header.first_sequence, chain: header.chain }
    }

    /// Reads the record under the cursor and steps over it. None where the records of the segment end, be it
    /// cleanly or in a torn write: [`super::tail::check_end`] tells these from damage.
    pub(super) fn next<'r>(&mut self, reader: &'r mut Reader) -> Result<Option<Record<'r>>, LogError> {
        let log_id = reader.header.log_id;
        let bytes = reader.at(self.offset, RECORD_BYTES)?;
        let Ok((record, length)) = Record::decode(bytes) else { return Ok(None) };
        let continues = record.log_id == log_id && record.sequence == self.next_sequence && record.chain == self.chain;
        if !continues {
            return Ok(None);
        }
        self.chain = self.chain.after(&bytes[..length]);
        self.next_sequence += 1;
        self.offset += length;
        Ok(Some(record))
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::log::disk::RealDisk;

    #[test]
    fn headers_decode_to_what_was_encoded_and_a_flipped_bit_is_found() {
        let log_id = LogId([3; 16]);
        let header = SegmentHeader { log_id, epoch: 1, first_sequence: 99, chain: ChainHash::genesis(log_id) };
        let bytes = header.encode();
        assert_eq!(SegmentHeader::decode(&bytes), Ok(header));
        for flip in 0..HEADER_BYTES * 8 {
            let mut bytes = bytes;
            bytes[flip / 8] ^= 1 << (flip % 8);
            assert!(SegmentHeader::decode(&bytes).is_err(), "bit {flip}");
        }
        let mut newer = bytes;
        newer[8] = 2;
        assert_eq!(SegmentHeader::decode(&newer), Err(HeaderError::Version(2)));
        assert!(SegmentHeader::decode(&bytes[..HEADER_BYTES - 1]).is_err());
    }

    #[test]
    fn an_unfinished_segment_is_not_listed() {
        let dir = tempfile::tempdir().unwrap();
        std::fs::write(dir.path().join("00000000000000000009.new"), b"").unwrap();
        std::fs::write(dir.path().join("00000000000000000009.log"), b"").unwrap();
        std::fs::write(dir.path().join("00000000000000000010.log"), b"").unwrap();
        let firsts: Vec<u64> = list(&RealDisk, dir.path()).unwrap().into_iter().map(|(first, _)| first).collect();
        assert_eq!(firsts, [9, 10]);
    }
}
