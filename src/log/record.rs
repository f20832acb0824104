//! One record of the log. Numbers are little-endian.
//!
//! | offset | bytes | field |
//! |---:|---:|---|
//! | 0 | 4 | magic: `CRM` and the version of the format, 4 |
//! | 4 | 4 | CRC32C of everything from offset 8 to the end of the payload |
//! | 8 | 4 | length of the payload |
//! | 12 | 4 | 1 if what it carries was refused, else 0 |
//! | 16 | 16 | log id |
//! | 32 | 8 | epoch |
//! | 40 | 8 | sequence, from 1 |
//! | 48 | 8 | the sequence that was known durable when this record was written |
//! | 56 | 8 | time, in milliseconds since the Unix epoch |
//! | 64 | 16 | operation id |
//! | 80 | 32 | chain hash of everything before |
//! | 112 | … | payload |

use std::fmt;

use uuid::Uuid;

use crate::limits::RECORD_PAYLOAD_BYTES;

/// How a record begins, in every version of the format.
pub const MAGIC: [u8; 3] = *b"CRM";

/// The version of the format: the byte behind [`MAGIC`]. Another version keeps checksum and length where they are,
/// so that this one knows a record of it for what it is.
pub const VERSION: u8 = 4;

/// The versions that are read. Their payloads are those of this one, without what came later: with 2 options of links,
/// hosts, tokens, and who made a change; with 4 what was refused is marked, and changes are judged by other rules. The
/// checksum does not cover this byte, so no single bit may make one version look like another: there was no 3.
const KNOWN_VERSIONS: [u8; 3] = [1, 2, VERSION];

/// Whether records of a version can be read.
pub(super) fn is_known(version: u8) -> bool {
    KNOWN_VERSIONS.contains(&version)
}

/// Bytes before the payload.
pub const HEADER_BYTES: usize = 112;

/// Most bytes of a record.
pub(super) const RECORD_BYTES: usize = HEADER_BYTES + RECORD_PAYLOAD_BYTES;

/// Names a log for ever: what was written under another id is not of this log.
#[derive(Clone, Copy, PartialEq, Eq, Hash)]
pub struct LogId(pub [u8; 16]);

impl LogId {
    /// A new one.
    pub fn random() -> Self {
        LogId(Uuid::new_v4().into_bytes())
    }
}

impl fmt::Display for LogId {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        Uuid::from_bytes(self.0).fmt(f)
    }
}

impl fmt::Debug for LogId {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "LogId({self})")
    }
}

/// Names an operation. One that is sent again under the same name within a day is not made again.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Hash)]
pub struct OperationId(pub [u8; 16]);

impl OperationId {
    /// Of an operation that nobody named: it is not remembered.
    pub const NONE: OperationId = OperationId([0; 16]);

    /// A new one.
    pub fn random() -> Self {
        OperationId(Uuid::new_v4().into_bytes())
    }
}

impl fmt::Display for OperationId {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        Uuid::from_bytes(self.0).fmt(f)
    }
}

/// A hash over a log from its beginning: equal hashes, equal logs (BLAKE3).
#[derive(Clone, Copy, PartialEq, Eq)]
pub struct ChainHash(pub [u8; 32]);

impl ChainHash {
    /// Of a log without records.
    pub fn genesis(log_id: LogId) -> Self {
        ChainHash(*blake3::hash(&log_id.0).as_bytes())
    }

    /// After one more record: BLAKE3 of this hash and all bytes of the record.
    pub fn after(self, record: &[u8]) -> Self {
        let mut hasher = blake3::Hasher::new();
        hasher.update(&self.0).update(record);
        ChainHash(*hasher.finalize().as_bytes())
    }
}

impl fmt::Debug for ChainHash {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "ChainHash({})", blake3::Hash::from(self.0).to_hex())
    }
}

/// A record, without the payload's meaning.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Record<'b> {
    /// In which version of the format it was written: [`VERSION`], where it is not read but written.
    pub version: u8,
    /// Of which log.
    pub log_id: LogId,
    /// Under which term of writing; it rises when another node takes over.
    pub epoch: u64,
    /// Its number: 1, 2, 3 …
    pub sequence: u64,
    /// Everything up to this sequence was durable when the record was written. So damage to what was
    /// acknowledged can be told from a write that never finished.
    pub durable: u64,
    /// When it was written, in milliseconds since the Unix epoch.
    pub time_ms: u64,
    /// Which operation it carries.
    pub operation: OperationId,
    /// Whether what it carries was refused, and stands here only so that the operation is remembered. Before version 4
    /// that was not said.
    pub is_refused: bool,
    /// The hash of the log before it.
    pub chain: ChainHash,
    /// What it carries; at most [`RECORD_PAYLOAD_BYTES`]. Its last byte is not zero, so that the end of a record
    /// can't be taken for the zeros behind a write that was cut short.
    pub payload: &'b [u8],
}

/// Why bytes are no record.
#[derive(Debug, Clone, Copy, PartialEq, Eq, thiserror::Error)]
pub enum RecordError {
    /// Fewer bytes than the record has.
    #[error("the file ends within the record")]
    Short,
    /// It does not begin like one.
    #[error("no record begins here")]
    Magic,
    /// A length that no record has.
    #[error("the record says that its payload has {0} bytes; at most {RECORD_PAYLOAD_BYTES} are allowed")]
    Length(u32),
    /// It is whole and intact, and of another version of the format.
    #[error("the record has format {0}; this version of carom reads format 1, 2 and {VERSION}")]
    Version(u8),
    /// Its bytes are not the ones that were written.
    #[error("the record has the checksum {found:08x} and should have {expected:08x}")]
    Checksum {
        /// As stored.
        expected: u32,
        /// As computed.
        found: u32,
    },
}

impl<'b> Record<'b> {
    /// From which byte on the checksum covers a record.
    pub(super) const CHECKED_FROM: usize = 8;

    /// How many bytes the record at the front of `bytes` says to have, if that is a length that a record has.
    pub(super) fn length(bytes: &[u8]) -> Option<usize> {
        let header = bytes.get(..HEADER_BYTES)?;
        let payload_bytes = u32::from_le_bytes(field(header, 8)) as usize;
        (payload_bytes <= RECORD_PAYLOAD_BYTES).then_some(HEADER_BYTES + payload_bytes)
    }

    /// Appends the record's bytes.
    pub fn encode_into(&self, out: &mut Vec<u8>) {
        assert!(self.payload.len() <= RECORD_PAYLOAD_BYTES, "a payload of {} bytes", self.payload.len());
        let start = out.len();
        out.extend_from_slice(&MAGIC);
        out.push(self.version);
        out.extend_from_slice(&[0; 4]);
        out.extend_from_slice(&(self.payload.len() as u32).to_le_bytes());
        out.extend_from_slice(&u32::from(self.is_refused).to_le_bytes());
        out.extend_from_slice(&self.log_id.0);
        out.extend_from_slice(&self.epoch.to_le_bytes());
        out.extend_from_slice(&self.sequence.to_le_bytes());
        out.extend_from_slice(&self.durable.to_le_bytes());
        out.extend_from_slice(&self.time_ms.to_le_bytes());
        out.extend_from_slice(&self.operation.0);
        out.extend_from_slice(&self.chain.0);
        out.extend_from_slice(self.payload);
        let checksum = crc32c::crc32c(&out[start + Self::CHECKED_FROM..]);
        out[start + 4..start + 8].copy_from_slice(&checksum.to_le_bytes());
    }

    /// Reads the record at the front of `bytes`; with it, how many bytes it has.
    ///
    /// # Errors
    /// If there is no whole and intact record.
    pub fn decode(bytes: &'b [u8]) -> Result<(Self, usize), RecordError> {
        let header = bytes.get(..HEADER_BYTES).ok_or(RecordError::Short)?;
        if header[..3] != MAGIC {
            return Err(RecordError::Magic);
        }
        let version = header[3];
        let payload_bytes = u32::from_le_bytes(field(header, 8));
        if is_known(version) && payload_bytes as usize > RECORD_PAYLOAD_BYTES {
            return Err(RecordError::Length(payload_bytes));
        }
        let length = HEADER_BYTES + payload_bytes as usize;
        let record = bytes.get(..length).ok_or(RecordError::Short)?;
        let expected = u32::from_le_bytes(field(header, 4));
        let found = crc32c::crc32c(&record[Self::CHECKED_FROM..]);
        if expected != found {
            return Err(RecordError::Checksum { expected, found });
        }
        if !is_known(version) {
            return Err(RecordError::Version(version));
        }
        let record = Record {
            version,
            log_id: LogId(field(header, 16)),
            epoch: u64::from_le_bytes(field(header, 32)),
            sequence: u64::from_le_bytes(field(header, 40)),
            durable: u64::from_le_bytes(field(header, 48)),
            time_ms: u64::from_le_bytes(field(header, 56)),
            operation: OperationId(field(header, 64)),
            is_refused: u32::from_le_bytes(field(header, 12)) & 1 != 0,
            chain: ChainHash(field(header, 80)),
            payload: &record[HEADER_BYTES..],
        };
        Ok((record, length))
    }
}

/// The `N` bytes at `offset` of a header that is known to be long enough.
pub(crate) fn field<const N: usize>(header: &[u8], offset: usize) -> [u8; N] {
    header[offset..offset + N].try_into().expect("N bytes")
}

#[cfg(test)]
mod tests {
    use super::*;
    use proptest::prelude::*;

    fn record(payload: &[u8]) -> Record<'_> {
        let log_id = LogId([7; 16]);
        Record {
            version: VERSION,
            log_id,
            epoch: 1,
            sequence: 42,
            durable: 41,
            time_ms: 1_700_000_000_000,
            operation: OperationId([9; 16]),
            is_refused: true,
            chain: ChainHash::genesis(log_id),
            payload,
        }
    }

    proptest! {
        #[test]
        fn records_decode_to_what_was_encoded(payload: Vec<u8>, behind: Vec<u8>) {
            let mut bytes = Vec::new();
            record(&payload).encode_into(&mut bytes);
            let length = bytes.len();
            bytes.extend_from_slice(&behind);
            prop_assert_eq!(Record::decode(&bytes), Ok((record(&payload), length)));
        }

        #[test]
        fn a_flipped_bit_is_found(payload in proptest::collection::vec(any::<u8>(), 0..64), flip: usize) {
            let mut bytes = Vec::new();
            record(&payload).encode_into(&mut bytes);
            let flip = flip % (bytes.len() * 8);
            bytes[flip / 8] ^= 1 << (flip % 8);
            prop_assert!(Record::decode(&bytes).is_err());
        }

        #[test]
        fn arbitrary_bytes_do_not_panic(bytes: Vec<u8>) {
            let _ = Record::decode(&bytes);
            let _ = Record::decode(&[&MAGIC[..], &[VERSION], &bytes].concat());
        }
    }

    #[test]
    fn a_whole_record_of_another_version_is_known_for_one() {
        let mut bytes = Vec::new();
        record(b"payload").encode_into(&mut bytes);
        bytes[3] = VERSION + 1;
        assert_eq!(Record::decode(&bytes), Err(RecordError::Version(VERSION + 1)));
        for (one, other) in [(1, 2), (1, VERSION), (2, VERSION)] {
            assert!((one ^ other).count_ones() > 1, "{one} and {other} are one bit apart");
        }
        bytes[40] ^= 1;
        assert!(matches!(Record::decode(&bytes), Err(RecordError::Checksum { .. })));
    }

    #[test]
    fn records_of_the_versions_before_are_read() {
        for version in KNOWN_VERSIONS {
            let record = Record { version, is_refused: false, ..record(b"payload") };
            let mut bytes = Vec::new();
            record.encode_into(&mut bytes);
            assert_eq!(Record::decode(&bytes).unwrap().0, record);
        }
    }

    #[test]
    fn a_record_cut_at_any_byte_is_short() {
        let mut bytes = Vec::new();
        record(b"payload").encode_into(&mut bytes);
        for end in 0..bytes.len() {
            assert_eq!(Record::decode(&bytes[..end]), Err(RecordError::Short), "{end}");
        }
    }
}
