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

use std::fs::{File, OpenOptions};
use std::os::unix::fs::FileExt;
use std::path::{Path, PathBuf};

use rustix::fs::FallocateFlags;

use super::LogError;
use super::record::{ChainHash, LogId, MAGIC as RECORD_MAGIC, RECORD_BYTES, Record, RecordError, field};

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
pub(super) fn list(dir: &Path) -> Result<Vec<(u64, PathBuf)>, LogError> {
    let mut segments = Vec::new();
    for entry in std::fs::read_dir(dir).map_err(LogError::io("reading the directory", dir))? {
        let entry = entry.map_err(LogError::io("reading the directory", dir))?;
        let name = entry.file_name();
        let first = name.to_str().and_then(|name| name.strip_suffix(".log")).and_then(|number| number.parse().ok());
        if let Some(first) = first {
            segments.push((first, entry.path()));
        }
    }
    segments.sort_unstable();
    Ok(segments)
}

/// Creates a segment, preallocated and with its header, durable together with its name.
pub(super) fn create(dir: &Path, header: &SegmentHeader, segment_bytes: u64) -> Result<(File, PathBuf), LogError> {
    let path = dir.join(file_name(header.first_sequence));
    // Under another name until it is whole: a crash must not leave a segment without header.
    let unfinished = path.with_extension("new");
    let file = OpenOptions::new().create(true).truncate(true).read(true).write(true).open(&unfinished);
    let file = file.map_err(LogError::io("creating", &unfinished))?;
    preallocate(&file, &unfinished, segment_bytes)?;
    file.write_all_at(&header.encode(), 0).map_err(LogError::io("writing", &unfinished))?;
    file.sync_all().map_err(LogError::io("syncing", &unfinished))?;
    std::fs::rename(&unfinished, &path).map_err(LogError::io("renaming", &unfinished))?;
    sync_dir(dir)?;
    Ok((file, path))
}

/// Gives the file its full length, so that appending changes no metadata and a sync stays cheap.
pub(super) fn preallocate(file: &File, path: &Path, segment_bytes: u64) -> Result<(), LogError> {
    match rustix::fs::fallocate(file, FallocateFlags::empty(), 0, segment_bytes) {
        Ok(()) => Ok(()),
        // Some file systems can't; there a sparse file does.
        Err(rustix::io::Errno::OPNOTSUPP) => file.set_len(segment_bytes).map_err(LogError::io("extending", path)),
        Err(error) => Err(LogError::io("preallocating", path)(error.into())),
    }
}

/// Makes names in a directory durable.
pub(super) fn sync_dir(dir: &Path) -> Result<(), LogError> {
    let sync = || File::open(dir)?.sync_all();
    sync().map_err(LogError::io("syncing the directory", dir))
}

/// A segment that is read through a window, so that reading it takes a bounded piece of memory.
pub(super) struct Reader {
    pub(super) path: PathBuf,
    pub(super) header: SegmentHeader,
    file: File,
    file_bytes: usize,
    window: Vec<u8>,
    window_start: usize,
}

/// Bytes of the window. It holds a record of any length.
const WINDOW_BYTES: usize = 2 * 1024 * 1024;

const _: () = assert!(WINDOW_BYTES >= RECORD_BYTES);

impl Reader {
    /// Opens a segment and reads its header.
    pub(super) fn open(path: &Path) -> Result<Self, LogError> {
        let file = File::open(path).map_err(LogError::io("opening", path))?;
        let file_bytes = file.metadata().map_err(LogError::io("reading", path))?.len() as usize;
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
    /// cleanly or in a torn write: [`check_end`] tells these from damage.
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

/// How the records of a segment end.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(super) enum End {
    /// In zeros, or with the file.
    Clean,
    /// In bytes of a write that did not finish.
    Torn(RecordError),
}

/// Judges what lies behind the last readable record of a segment, at the cursor.
///
/// A crash may leave any part of what was written since the last sync, later records without earlier ones
/// among it. But these no crash leaves, so they are damage, and nothing may be cut (I8):
///
/// - A record that knows the one at the cursor durable: that one was acknowledged.
/// - A whole record at the cursor that does not continue the log: what is before it is not what it was.
/// - A whole record of another version: it must not be lost because this version can't read it.
pub(super) fn check_end(reader: &mut Reader, end: &Cursor) -> Result<End, LogError> {
    let (path, log_id) = (reader.path.clone(), reader.header.log_id);
    let Some(first) = first_not_zero(reader, end.offset)? else { return Ok(End::Clean) };
    let reason = match Record::decode(reader.at(end.offset, RECORD_BYTES)?) {
        Err(reason) => reason,
        Ok((record, _)) => {
            let reason = format!(
                "where record {} should be stands a record {} of the log {} that does not continue what is before it",
                end.next_sequence, record.sequence, record.log_id
            );
            return Err(LogError::damaged(&path, end.offset as u64, reason));
        }
    };
    let mut at = first;
    while at < reader.file_bytes {
        let bytes = reader.at(at, RECORD_BYTES)?;
        let Some(found) = memchr::memmem::find(bytes, &RECORD_MAGIC) else {
            // A magic may begin in the last bytes of the window.
            at += bytes.len().saturating_sub(RECORD_MAGIC.len() - 1).max(1);
            continue;
        };
        at += found;
        match Record::decode(reader.at(at, RECORD_BYTES)?) {
            Ok((record, _)) if record.log_id == log_id && record.durable >= end.next_sequence => {
                let reason = format!(
                    "record {} can't be read ({reason}), but record {} further on shows that it was durable",
                    end.next_sequence, record.sequence
                );
                return Err(LogError::damaged(&path, end.offset as u64, reason));
            }
            Err(error @ RecordError::Version(_)) => {
                return Err(LogError::OtherVersion { path, offset: at as u64, reason: error.to_string() });
            }
            _ => at += 1,
        }
    }
    Ok(End::Torn(reason))
}

/// Where the zeros that begin at `offset` end; None if the file ends in them.
fn first_not_zero(reader: &mut Reader, mut offset: usize) -> Result<Option<usize>, LogError> {
    while offset < reader.file_bytes {
        let bytes = reader.at(offset, 1)?;
        if let Some(zeros) = leading_zeros(bytes) {
            return Ok(Some(offset + zeros));
        }
        offset += bytes.len();
    }
    Ok(None)
}

/// How many zeros there are in front; None if there is nothing else. Sixteen at a time: there may be 64 MiB of
/// them at each start.
fn leading_zeros(bytes: &[u8]) -> Option<usize> {
    let (chunks, _) = bytes.as_chunks::<16>();
    let zeros = 16 * chunks.iter().take_while(|&&chunk| u128::from_ne_bytes(chunk) == 0).count();
    bytes[zeros..].iter().position(|&byte| byte != 0).map(|offset| zeros + offset)
}

#[cfg(test)]
mod tests {
    use super::*;

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
    fn the_end_of_the_zeros_is_found_wherever_it_is() {
        for length in 0..70 {
            assert_eq!(leading_zeros(&vec![0; length]), None);
            for at in 0..length {
                let mut bytes = vec![0; length];
                bytes[at..].fill(7);
                assert_eq!(leading_zeros(&bytes), Some(at));
            }
        }
    }

    #[test]
    fn an_unfinished_segment_is_not_listed() {
        let dir = tempfile::tempdir().unwrap();
        std::fs::write(dir.path().join("00000000000000000009.new"), b"").unwrap();
        std::fs::write(dir.path().join("00000000000000000009.log"), b"").unwrap();
        std::fs::write(dir.path().join("00000000000000000010.log"), b"").unwrap();
        let firsts: Vec<u64> = list(dir.path()).unwrap().into_iter().map(|(first, _)| first).collect();
        assert_eq!(firsts, [9, 10]);
    }
}
