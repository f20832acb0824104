//! One file of the journal: a header, then frames one after the other.
//!
//! | offset | bytes | field |
//! |---:|---:|---|
//! | 0 | 8 | magic: `CAROMCLK` |
//! | 8 | 4 | version of the format, 1 |
//! | 12 | 4 | CRC32C of everything before and after these 4 bytes, up to offset 64 |
//! | 16 | 16 | node id |
//! | 32 | 8 | boot |
//! | 40 | 8 | number of the segment |
//! | 48 | 8 | up to which offset the segment before it was durable when this one was begun; 0 if that is not known |
//! | 56 | 8 | zero |
//! | 64 | … | frames |

use std::path::{Path, PathBuf};

use super::JournalError;
use super::codec;
use super::frame::{self, FrameError};
use crate::clicks::batch::WindowId;
use crate::limits::{CLICK_FRAME_BYTES, CLICK_SEGMENT_BYTES};
use crate::log::disk::{Access, Disk, DiskFile};

const MAGIC: [u8; 8] = *b"CAROMCLK";

/// The version of the format.
pub(super) const VERSION: u32 = 1;

/// Bytes before the first frame.
pub(super) const HEADER_BYTES: u64 = 64;

/// The ending of a segment's name, and of what is none yet.
const ENDING: &str = "clicks";
const UNFINISHED: &str = "new";

/// Most bytes of one write: it ends with the first frame that reaches half of it.
pub(super) const WRITE_BYTES: usize = 2 * (CLICK_FRAME_BYTES + 1024);

/// No segment is longer, in bytes: a last write may begin just below the length at which another one is begun.
const BYTES_MAX: u64 = CLICK_SEGMENT_BYTES + WRITE_BYTES as u64;

const _: () = assert!(BYTES_MAX < u32::MAX as u64, "a frame says in 32 bits what is durable");

/// What a segment says of itself.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(super) struct Header {
    /// Whose journal it is: random, the same in all segments of a data directory.
    pub(super) node: u128,
    /// Which start of the process wrote it, from 1.
    pub(super) boot: u64,
    /// Which segment, from 1; it is named by it.
    pub(super) number: u64,
    /// Up to which offset the segment before it was durable; 0 if that is not known.
    pub(super) previous_durable: u64,
}

enum HeaderError {
    Damaged(&'static str),
    OtherVersion(u32),
}

impl Header {
    fn encode(&self) -> [u8; HEADER_BYTES as usize] {
        let mut bytes = [0; HEADER_BYTES as usize];
        bytes[..8].copy_from_slice(&MAGIC);
        bytes[8..12].copy_from_slice(&VERSION.to_le_bytes());
        bytes[16..32].copy_from_slice(&self.node.to_le_bytes());
        bytes[32..40].copy_from_slice(&self.boot.to_le_bytes());
        bytes[40..48].copy_from_slice(&self.number.to_le_bytes());
        bytes[48..56].copy_from_slice(&self.previous_durable.to_le_bytes());
        let checksum = checksum(&bytes);
        bytes[12..16].copy_from_slice(&checksum.to_le_bytes());
        bytes
    }

    fn decode(bytes: &[u8; HEADER_BYTES as usize]) -> Result<Self, HeaderError> {
        let field = |at: usize| u64::from_le_bytes(*bytes[at..].first_chunk().expect("fields lie within the header"));
        if bytes[..8] != MAGIC {
            return Err(HeaderError::Damaged("it does not begin like a journal of clicks"));
        }
        if checksum(bytes) != (field(8) >> 32) as u32 {
            return Err(HeaderError::Damaged("the checksum of the header is wrong"));
        }
        match field(8) as u32 {
            VERSION => {}
            version => return Err(HeaderError::OtherVersion(version)),
        }
        let node = u128::from(field(24)) << 64 | u128::from(field(16));
        Ok(Header { node, boot: field(32), number: field(40), previous_durable: field(48) })
    }

    /// What the checksums of the frames hold, so that a frame does not count in another segment.
    pub(super) fn checksum(&self) -> u32 {
        checksum(&self.encode())
    }
}

fn checksum(header: &[u8; HEADER_BYTES as usize]) -> u32 {
    crc32c::crc32c_append(crc32c::crc32c(&header[..12]), &header[16..])
}

/// The path of the segment with this number.
pub(super) fn path(dir: &Path, number: u64) -> PathBuf {
    dir.join(format!("{number:016x}.{ENDING}"))
}

/// The segments of a directory by their number, in order. What a crash left of one that was being created is removed.
pub(super) fn list(disk: &dyn Disk, dir: &Path) -> Result<Vec<u64>, JournalError> {
    let mut numbers = Vec::new();
    for name in disk.list(dir).map_err(JournalError::io("reading the directory", dir))? {
        let name = Path::new(&name);
        let number = name.file_stem().and_then(|stem| stem.to_str()).filter(|stem| stem.len() == 16);
        let Some(number) = number.and_then(|stem| u64::from_str_radix(stem, 16).ok()) else { continue };
        if name.extension().is_some_and(|ending| ending == ENDING) {
            numbers.push(number);
        } else if name.extension().is_some_and(|ending| ending == UNFINISHED) {
            let path = dir.join(name);
            disk.remove(&path).map_err(JournalError::io("removing", &path))?;
        }
    }
    numbers.sort_unstable();
    Ok(numbers)
}

/// Creates a segment with its header, durable together with its name.
///
/// # Errors
/// Then there may be one of this name, or not, and nobody knows what of it is durable: the number is used up.
pub(super) fn create(disk: &dyn Disk, dir: &Path, header: &Header) -> Result<Box<dyn DiskFile>, JournalError> {
    let path = path(dir, header.number);
    // Under another name until it is whole: a crash must not leave a segment without header.
    let unfinished = path.with_extension(UNFINISHED);
    let write = || {
        let file = disk.open(&unfinished, Access::Create).map_err(JournalError::io("creating", &unfinished))?;
        file.write_all_at(&header.encode(), 0).map_err(JournalError::io("writing", &unfinished))?;
        file.sync().map_err(JournalError::not_synced(&unfinished))?;
        disk.rename(&unfinished, &path).map_err(JournalError::io("renaming to", &path))?;
        Ok(file)
    };
    // It takes room that may be what is missing. If it can't be removed, the next start does.
    let file = write().inspect_err(|_| drop(disk.remove(&unfinished)))?;
    let named = disk.sync_dir(dir).map_err(JournalError::not_synced(dir));
    named.inspect_err(|_| drop(disk.remove(&path)))?;
    Ok(file)
}

/// Opens a segment and reads its header.
pub(super) fn open(disk: &dyn Disk, dir: &Path, number: u64) -> Result<(Box<dyn DiskFile>, Header), JournalError> {
    let path = path(dir, number);
    let file = disk.open(&path, Access::Read).map_err(JournalError::io("opening", &path))?;
    let bytes = file.bytes().map_err(JournalError::io("reading", &path))?;
    if bytes < HEADER_BYTES {
        return Err(JournalError::damaged(&path, bytes, "the header is cut short"));
    }
    let mut header = [0; HEADER_BYTES as usize];
    file.read_exact_at(&mut header, 0).map_err(JournalError::io("reading", &path))?;
    let header = Header::decode(&header).map_err(|error| match error {
        HeaderError::Damaged(reason) => JournalError::damaged(&path, 0, reason),
        HeaderError::OtherVersion(found) => JournalError::OtherVersion { path: path.clone(), found, known: VERSION },
    })?;
    if header.number != number {
        return Err(JournalError::damaged(&path, 40, format!("it is segment {:016x} by its header", header.number)));
    }
    Ok((file, header))
}

/// What a segment of an earlier process holds.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(super) struct Surveyed {
    pub(super) header: Header,
    /// Where its whole frames end, in bytes.
    pub(super) end: u64,
    /// Its last entry, if it has any.
    pub(super) last: Option<WindowId>,
}

/// Looks through a segment that nobody writes any more: all checksums, and whether what is missing at its end was
/// never promised.
///
/// # Errors
/// If it can't be read, is damaged, or is of another version.
pub(super) fn survey(disk: &dyn Disk, dir: &Path, number: u64) -> Result<Surveyed, JournalError> {
    let (file, header) = open(disk, dir, number)?;
    let path = path(dir, number);
    let damaged = |offset, reason: &str| Err(JournalError::damaged(&path, offset, reason));
    let length = file.bytes().map_err(JournalError::io("reading", &path))?;
    if length > BYTES_MAX {
        return damaged(BYTES_MAX, "it is longer than any is");
    }
    let mut bytes = vec![0; (length - HEADER_BYTES) as usize];
    file.read_exact_at(&mut bytes, HEADER_BYTES).map_err(JournalError::io("reading", &path))?;

    let (segment, mut at, mut last) = (header.checksum(), 0, None);
    while at < bytes.len() {
        let offset = HEADER_BYTES + at as u64;
        let frame = match frame::decode(&bytes[at..], segment, offset) {
            Ok(frame) => frame,
            Err(error) => {
                if frame::find_proof(&bytes[at..], segment, offset).is_some() {
                    return damaged(offset, reason(error));
                }
                break;
            }
        };
        let id = match codec::decode_id(frame.entry) {
            Ok(id) => id,
            Err(error) => return damaged(offset, error.0),
        };
        if id.boot != header.boot || last.is_some_and(|last| id <= last) {
            return damaged(offset, "its entries are out of order");
        }
        last = Some(id);
        at += frame.bytes();
    }
    Ok(Surveyed { header, end: HEADER_BYTES + at as u64, last })
}

pub(super) fn reason(error: FrameError) -> &'static str {
    match error {
        FrameError::Short(_) => "a frame is cut short",
        FrameError::Wrong(reason) => reason,
    }
}
