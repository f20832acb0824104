//! The header of the file and its records: bytes to types and back.

/// What the file begins with.
const MAGIC: &[u8; 8] = b"CAROMUSE";

/// The version of the format.
pub(super) const VERSION: u32 = 1;

/// Header and records are equally long, and a divisor of the 512 bytes of a sector: a record lies in one sector.
pub(super) const RECORD_BYTES: usize = 32;

/// The same, as an offset: where the first record begins.
pub(super) const HEADER_BYTES: u64 = RECORD_BYTES as u64;

/// Most clicks that are counted; 300 years of a thousand million a second.
pub(super) const COUNT_MAX: u64 = (1 << 63) - 1;

/// The count of a link that was forgotten.
const FORGOTTEN: u64 = u64::MAX;

/// What every record ends with. A record that does not was not written to its end, or is damaged.
const END: [u8; 4] = [0xff; 4];

/// Where a record begins.
pub(super) fn offset_of(number: u64) -> u64 {
    HEADER_BYTES + number * RECORD_BYTES as u64
}

/// How often a link was used; none: it was forgotten.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(super) struct Saved {
    pub(super) id: u64,
    /// At most [`COUNT_MAX`].
    pub(super) count: Option<u64>,
}

/// A record.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(super) struct Record {
    pub(super) saved: Saved,
    /// How many records of the file were known durable when this one was written.
    pub(super) durable: u64,
}

/// Why bytes are no record.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(super) enum RecordError {
    /// It may have been cut short by a crash.
    Unfinished,
    /// It can't have been.
    Damaged(&'static str),
}

impl Record {
    /// The bytes of the record with this number; the first is 0. The checksum holds the number.
    pub(super) fn encode(&self, number: u64) -> [u8; RECORD_BYTES] {
        let mut bytes = [0; RECORD_BYTES];
        bytes[..8].copy_from_slice(&self.saved.id.to_le_bytes());
        bytes[8..16].copy_from_slice(&self.saved.count.unwrap_or(FORGOTTEN).to_le_bytes());
        bytes[16..24].copy_from_slice(&self.durable.to_le_bytes());
        let checksum = checksum(&bytes, number);
        bytes[24..28].copy_from_slice(&checksum.to_le_bytes());
        bytes[28..].copy_from_slice(&END);
        bytes
    }

    /// # Errors
    /// If the bytes are not those of a record with this number.
    pub(super) fn decode(bytes: &[u8; RECORD_BYTES], number: u64) -> Result<Self, RecordError> {
        if bytes[28..] != END || u64_at(bytes, 24) as u32 != checksum(bytes, number) {
            // Its sector is as it was before, zeros, or as it was to be, or it ends with a part of the write.
            let is_unfinished = bytes[RECORD_BYTES - 1] == 0;
            let wrong = "the checksum of a record is wrong";
            return Err(if is_unfinished { RecordError::Unfinished } else { RecordError::Damaged(wrong) });
        }
        let (id, count, durable) = (u64_at(bytes, 0), u64_at(bytes, 8), u64_at(bytes, 16));
        if durable > number {
            return Err(RecordError::Damaged("a record says that more were durable than are before it"));
        }
        let count = match count {
            FORGOTTEN => None,
            0..=COUNT_MAX => Some(count),
            _ => return Err(RecordError::Damaged("a record has a count that nobody reaches")),
        };
        Ok(Record { saved: Saved { id, count }, durable })
    }
}

fn checksum(record: &[u8; RECORD_BYTES], number: u64) -> u32 {
    crc32c::crc32c_append(crc32c::crc32c(&record[..24]), &number.to_le_bytes())
}

/// What the file begins with.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(super) struct Header {
    /// How many records were durable when the file got its name.
    pub(super) records: u64,
}

/// Why bytes are no header.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(super) enum HeaderError {
    /// It is damaged: where, and how.
    Damaged(u64, &'static str),
    /// It is whole, and of this version.
    OtherVersion(u32),
}

impl Header {
    pub(super) fn encode(self) -> [u8; RECORD_BYTES] {
        let mut bytes = [0; RECORD_BYTES];
        bytes[..8].copy_from_slice(MAGIC);
        bytes[8..12].copy_from_slice(&VERSION.to_le_bytes());
        bytes[16..24].copy_from_slice(&self.records.to_le_bytes());
        let checksum = header_checksum(&bytes);
        bytes[12..16].copy_from_slice(&checksum.to_le_bytes());
        bytes
    }

    /// # Errors
    /// If the bytes are not those of a header of this version.
    pub(super) fn decode(bytes: &[u8; RECORD_BYTES]) -> Result<Self, HeaderError> {
        if bytes[..8] != *MAGIC {
            return Err(HeaderError::Damaged(0, "it does not begin as such a file does"));
        }
        if (u64_at(bytes, 8) >> 32) as u32 != header_checksum(bytes) {
            return Err(HeaderError::Damaged(12, "the checksum of the header is wrong"));
        }
        match u64_at(bytes, 8) as u32 {
            VERSION => Ok(Header { records: u64_at(bytes, 16) }),
            other => Err(HeaderError::OtherVersion(other)),
        }
    }
}

fn header_checksum(header: &[u8; RECORD_BYTES]) -> u32 {
    crc32c::crc32c_append(crc32c::crc32c(&header[..12]), &header[16..])
}

/// The eight bytes from here on.
fn u64_at(bytes: &[u8; RECORD_BYTES], at: usize) -> u64 {
    u64::from_le_bytes(bytes[at..at + 8].try_into().expect("eight bytes are eight"))
}
