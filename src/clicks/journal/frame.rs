//! A frame: what stands around an entry in a segment, so that damage is found and told from a torn write.
//!
//! | offset | bytes | field |
//! |---:|---:|---|
//! | 0 | 4 | magic: `CLKF` |
//! | 4 | 4 | CRC32C of everything from offset 8, then the checksum of the segment's header, then the frame's offset |
//! | 8 | 4 | length of the entry |
//! | 12 | 4 | up to which offset the segment was durable when this was written |
//! | 16 | … | the entry |

use crate::limits::CLICK_FRAME_BYTES;

/// How a frame begins.
const MAGIC: [u8; 4] = *b"CLKF";

/// Bytes before the entry.
pub(super) const FRAME_HEADER_BYTES: usize = 16;

/// A frame whose checksum is right.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(super) struct Frame<'f> {
    /// Up to which offset the segment was durable when it was written.
    pub(super) durable: u64,
    pub(super) entry: &'f [u8],
}

impl Frame<'_> {
    /// How long it is, in bytes.
    pub(super) fn bytes(&self) -> usize {
        FRAME_HEADER_BYTES + self.entry.len()
    }
}

/// Why bytes are no frame.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(super) enum FrameError {
    /// It goes past the end of what there is: so long it would be, in bytes.
    Short(usize),
    /// It is none.
    Wrong(&'static str),
}

/// Appends the frame of an entry, to stand at this offset of a segment whose header has this checksum.
pub(super) fn encode(entry: &[u8], durable: u64, segment: u32, offset: u64, out: &mut Vec<u8>) {
    let start = out.len();
    out.extend_from_slice(&MAGIC);
    out.extend_from_slice(&[0; 4]);
    out.extend_from_slice(&(entry.len() as u32).to_le_bytes());
    out.extend_from_slice(&(durable as u32).to_le_bytes());
    out.extend_from_slice(entry);
    let checksum = checksum(&out[start + 8..], segment, offset);
    out[start + 4..start + 8].copy_from_slice(&checksum.to_le_bytes());
}

/// Reads the frame that these bytes begin with.
///
/// # Errors
/// If they do not begin with one, whole and meant for this place.
pub(super) fn decode(bytes: &[u8], segment: u32, offset: u64) -> Result<Frame<'_>, FrameError> {
    let Some((header, rest)) = bytes.split_first_chunk::<FRAME_HEADER_BYTES>() else {
        return Err(FrameError::Short(FRAME_HEADER_BYTES));
    };
    let field = |at| u32::from_le_bytes([header[at], header[at + 1], header[at + 2], header[at + 3]]);
    if header[..4] != MAGIC {
        return Err(FrameError::Wrong("no frame begins there"));
    }
    let length = field(8) as usize;
    if length > CLICK_FRAME_BYTES {
        return Err(FrameError::Wrong("a frame says that it is longer than any is"));
    }
    let Some(entry) = rest.get(..length) else { return Err(FrameError::Short(FRAME_HEADER_BYTES + length)) };
    if checksum(&bytes[8..FRAME_HEADER_BYTES + length], segment, offset) != field(4) {
        return Err(FrameError::Wrong("the checksum of a frame is wrong"));
    }
    Ok(Frame { durable: field(12).into(), entry })
}

/// It holds the place, so that a frame does not count elsewhere.
fn checksum(bytes: &[u8], segment: u32, offset: u64) -> u32 {
    let checksum = crc32c::crc32c_append(crc32c::crc32c(bytes), &segment.to_le_bytes());
    crc32c::crc32c_append(checksum, &offset.to_le_bytes())
}

/// Where behind a broken frame the next whole one stands from which it follows that the broken one had been durable;
/// `bytes` begin at `start` with what is broken. None: it may be a torn write.
///
/// One write may come through in any parts, so that a whole frame follows says nothing. What it says does.
pub(super) fn find_proof(bytes: &[u8], segment: u32, start: u64) -> Option<u64> {
    memchr::memmem::find_iter(bytes, &MAGIC).map(|at| (at, start + at as u64)).find_map(|(at, offset)| {
        let frame = decode(&bytes[at..], segment, offset).ok()?;
        (frame.durable > start).then_some(offset)
    })
}
