//! The layout of a snapshot: a header, chunks of entries, and a last chunk with the manifest. Numbers are
//! little-endian.
//!
//! The header:
//!
//! | offset | bytes | field |
//! |---:|---:|---|
//! | 0 | 8 | magic: `CAROMSNP` |
//! | 8 | 4 | version of the format, 1 |
//! | 12 | 4 | CRC32C of everything from offset 16 to 128 |
//! | 16 | 16 | log id |
//! | 32 | 8 | epoch |
//! | 40 | 8 | sequence of the last record whose effect is in the snapshot |
//! | 48 | 32 | chain hash after that record |
//! | 80 | 8 | when it was taken, in milliseconds since the Unix epoch |
//! | 88 | 8 | how many records, that one included, must be read again to go on from the snapshot |
//! | 96 | 32 | zero |
//!
//! A chunk:
//!
//! | offset | bytes | field |
//! |---:|---:|---|
//! | 0 | 3 | magic: `CHK` |
//! | 3 | 1 | kind: 1 entries, 2 manifest |
//! | 4 | 4 | length of the stored bytes |
//! | 8 | 4 | length of the raw bytes |
//! | 12 | 4 | number of the chunk: 0, 1, 2 … |
//! | 16 | 4 | CRC32C of the header from offset 16 to 128, these 16 bytes, and the stored bytes |
//! | 20 | … | the stored bytes: of entries one zstd frame, of the manifest the message itself |
//!
//! An entry, in the raw bytes: length of the key (2 bytes), length of the value (4), key, value.

use prost::Message;

use crate::engine::digest::{Digester, StateDigest};
use crate::limits::RECORD_PAYLOAD_BYTES;
use crate::log::record::{ChainHash, LogId, field};
use crate::store::keyspace;

/// How a snapshot begins, in every version of the format.
pub const MAGIC: [u8; 8] = *b"CAROMSNP";

/// The version of the format. Another version keeps magic, version, checksum and the length of the header.
pub const VERSION: u32 = 1;

/// Bytes before the first chunk.
pub const HEADER_BYTES: usize = 128;

/// How a chunk begins.
pub const CHUNK_MAGIC: [u8; 3] = *b"CHK";

/// Bytes of a chunk before the stored ones.
pub const CHUNK_HEADER_BYTES: usize = 20;

/// Most bytes of a key, with its type in front. The longest key of a link is half of that.
pub const KEY_BYTES: usize = 4 * 1024;

/// Most bytes of a value: as many as a record of the log carries, since nothing else makes values.
pub const VALUE_BYTES: usize = RECORD_PAYLOAD_BYTES;

/// A chunk is closed when it has this many raw bytes: enough for zstd to find what repeats, few enough to be kept in
/// a processor's cache.
pub const CHUNK_BYTES: usize = 256 * 1024;

/// Most raw bytes of a chunk. A reader refuses more before it takes memory for them.
pub const CHUNK_RAW_BYTES: usize = 1024 * 1024;

/// Most stored bytes of a chunk: raw ones that can't be made smaller grow a little.
pub const CHUNK_STORED_BYTES: usize = CHUNK_RAW_BYTES + 16 * 1024;

/// Bytes of an entry before its key.
pub const ENTRY_HEADER_BYTES: usize = 6;

// The largest entry fits behind a chunk that is about to be closed.
const _: () = assert!(CHUNK_BYTES + ENTRY_HEADER_BYTES + KEY_BYTES + VALUE_BYTES <= CHUNK_RAW_BYTES);

/// Of which moment a snapshot is.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct SnapshotHeader {
    /// Of which log.
    pub log_id: LogId,
    /// The term of writing.
    pub epoch: u64,
    /// The last record whose effect is in it.
    pub sequence: u64,
    /// The chain hash after that record.
    pub chain: ChainHash,
    /// When it was taken, in milliseconds since the Unix epoch.
    pub taken_at_ms: u64,
    /// From which record on the log must be read to go on from here: the beginning of the oldest set that was being
    /// written then; else the record after `sequence`.
    pub replay_from: u64,
}

/// Why bytes are no header of a snapshot.
#[derive(Debug, Clone, PartialEq, Eq)]
pub(super) enum HeaderError {
    Magic,
    Version(u32),
    Checksum { expected: u32, found: u32 },
}

impl SnapshotHeader {
    /// The header's bytes.
    pub fn encode(&self) -> [u8; HEADER_BYTES] {
        let mut bytes = [0; HEADER_BYTES];
        bytes[..8].copy_from_slice(&MAGIC);
        bytes[8..12].copy_from_slice(&VERSION.to_le_bytes());
        bytes[16..32].copy_from_slice(&self.log_id.0);
        bytes[32..40].copy_from_slice(&self.epoch.to_le_bytes());
        bytes[40..48].copy_from_slice(&self.sequence.to_le_bytes());
        bytes[48..80].copy_from_slice(&self.chain.0);
        bytes[80..88].copy_from_slice(&self.taken_at_ms.to_le_bytes());
        bytes[88..96].copy_from_slice(&self.read_again().to_le_bytes());
        let checksum = crc32c::crc32c(&bytes[16..]);
        bytes[12..16].copy_from_slice(&checksum.to_le_bytes());
        bytes
    }

    /// How many records, the last one included, must be read again.
    fn read_again(&self) -> u64 {
        self.sequence.wrapping_add(1).wrapping_sub(self.replay_from)
    }

    /// Reads a header; with it, its checksum, which the checksums of the chunks go on from.
    pub(super) fn decode(bytes: &[u8; HEADER_BYTES]) -> Result<(Self, u32), HeaderError> {
        if bytes[..8] != MAGIC {
            return Err(HeaderError::Magic);
        }
        let (expected, found) = (u32::from_le_bytes(field(bytes, 12)), crc32c::crc32c(&bytes[16..]));
        if expected != found {
            return Err(HeaderError::Checksum { expected, found });
        }
        let version = u32::from_le_bytes(field(bytes, 8));
        if version != VERSION {
            return Err(HeaderError::Version(version));
        }
        let sequence = u64::from_le_bytes(field(bytes, 40));
        let header = SnapshotHeader {
            log_id: LogId(field(bytes, 16)),
            epoch: u64::from_le_bytes(field(bytes, 32)),
            sequence,
            chain: ChainHash(field(bytes, 48)),
            taken_at_ms: u64::from_le_bytes(field(bytes, 80)),
            replay_from: replay_from(sequence, u64::from_le_bytes(field(bytes, 88))),
        };
        Ok((header, found))
    }
}

fn replay_from(sequence: u64, read_again: u64) -> u64 {
    sequence.wrapping_add(1).wrapping_sub(read_again)
}

/// What a chunk holds.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
#[repr(u8)]
pub(super) enum ChunkKind {
    Entries = 1,
    Manifest = 2,
}

/// What stands before the stored bytes of a chunk, but for its checksum.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(super) struct ChunkHeader {
    pub(super) kind: ChunkKind,
    pub(super) stored_bytes: u32,
    pub(super) raw_bytes: u32,
    pub(super) index: u32,
}

impl ChunkHeader {
    /// The header's bytes. The checksum goes on from the snapshot's, so that a chunk of another one does not pass.
    pub(super) fn encode(&self, snapshot_checksum: u32, stored: &[u8]) -> [u8; CHUNK_HEADER_BYTES] {
        let mut bytes = [0; CHUNK_HEADER_BYTES];
        bytes[..3].copy_from_slice(&CHUNK_MAGIC);
        bytes[3] = self.kind as u8;
        bytes[4..8].copy_from_slice(&self.stored_bytes.to_le_bytes());
        bytes[8..12].copy_from_slice(&self.raw_bytes.to_le_bytes());
        bytes[12..16].copy_from_slice(&self.index.to_le_bytes());
        let checksum = chunk_checksum(snapshot_checksum, &bytes, stored);
        bytes[16..20].copy_from_slice(&checksum.to_le_bytes());
        bytes
    }

    /// Reads a header whose checksum is still to be compared, and refuses lengths that no chunk has.
    pub(super) fn decode(bytes: &[u8; CHUNK_HEADER_BYTES]) -> Result<Self, String> {
        if bytes[..3] != CHUNK_MAGIC {
            return Err("no chunk begins here".to_owned());
        }
        let kind = match bytes[3] {
            1 => ChunkKind::Entries,
            2 => ChunkKind::Manifest,
            other => return Err(format!("a chunk of the unknown kind {other} begins here")),
        };
        let [stored_bytes, raw_bytes, index] = [4, 8, 12].map(|offset| u32::from_le_bytes(field(bytes, offset)));
        for (length, most, what) in [(stored_bytes, CHUNK_STORED_BYTES, "stored"), (raw_bytes, CHUNK_RAW_BYTES, "raw")]
        {
            if length as usize > most {
                return Err(format!("the chunk says that it has {length} {what} bytes; at most {most} are allowed"));
            }
        }
        Ok(ChunkHeader { kind, stored_bytes, raw_bytes, index })
    }

    /// Compares the checksum of a chunk.
    pub(super) fn check(bytes: &[u8; CHUNK_HEADER_BYTES], snapshot_checksum: u32, stored: &[u8]) -> Result<(), String> {
        let expected = u32::from_le_bytes(field(bytes, 16));
        let found = chunk_checksum(snapshot_checksum, bytes, stored);
        if expected != found {
            return Err(format!(
                "the chunk has the checksum {found:08x} and should have {expected:08x}, or it is of another snapshot"
            ));
        }
        Ok(())
    }
}

fn chunk_checksum(snapshot_checksum: u32, header: &[u8; CHUNK_HEADER_BYTES], stored: &[u8]) -> u32 {
    crc32c::crc32c_append(crc32c::crc32c_append(snapshot_checksum, &header[..16]), stored)
}

/// Appends an entry to the raw bytes of a chunk.
pub(super) fn encode_entry(key: &[u8], value: &[u8], raw: &mut Vec<u8>) {
    assert!(key.len() <= KEY_BYTES, "a key of {} bytes", key.len());
    assert!(value.len() <= VALUE_BYTES, "a value of {} bytes", value.len());
    raw.extend_from_slice(&(key.len() as u16).to_le_bytes());
    raw.extend_from_slice(&(value.len() as u32).to_le_bytes());
    raw.extend_from_slice(key);
    raw.extend_from_slice(value);
}

/// Takes the entry at the front of `raw`, key and value; none if there is no whole one within the limits.
pub(super) fn take_entry<'b>(raw: &mut &'b [u8]) -> Option<(&'b [u8], &'b [u8])> {
    let (header, rest) = raw.split_first_chunk::<ENTRY_HEADER_BYTES>()?;
    let key_bytes = usize::from(u16::from_le_bytes(field(header, 0)));
    let value_bytes = u32::from_le_bytes(field(header, 2)) as usize;
    if key_bytes > KEY_BYTES || value_bytes > VALUE_BYTES {
        return None;
    }
    let (key, rest) = rest.split_at_checked(key_bytes)?;
    let (value, rest) = rest.split_at_checked(value_bytes)?;
    *raw = rest;
    Some((key, value))
}

/// What is in a snapshot.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Manifest {
    /// Of which moment it is.
    pub header: SnapshotHeader,
    /// Entries of all kinds.
    pub entries: u64,
    /// Entries whose key begins with [`keyspace::ENTRY`]. More than there are links: a path that has only links with a
    /// query has an entry, too.
    pub link_entries: u64,
    /// Entries whose key begins with [`keyspace::OPERATION`].
    pub operations: u64,
    /// Chunks of entries.
    pub chunks: u32,
    /// The hash of a [`StateDigest`] over all entries.
    pub digest: [u8; 32],
}

#[derive(Message)]
struct ManifestMessage {
    #[prost(bytes = "vec", tag = "1")]
    log_id: Vec<u8>,
    #[prost(uint64, tag = "2")]
    epoch: u64,
    #[prost(uint64, tag = "3")]
    sequence: u64,
    #[prost(bytes = "vec", tag = "4")]
    chain: Vec<u8>,
    #[prost(uint64, tag = "5")]
    taken_at_ms: u64,
    #[prost(uint64, tag = "6")]
    entries: u64,
    #[prost(uint64, tag = "7")]
    link_entries: u64,
    #[prost(uint64, tag = "8")]
    operations: u64,
    #[prost(uint32, tag = "9")]
    chunks: u32,
    #[prost(bytes = "vec", tag = "10")]
    digest: Vec<u8>,
    #[prost(uint64, tag = "11")]
    read_again: u64,
}

impl Manifest {
    pub(super) fn encode(&self) -> Vec<u8> {
        let message = ManifestMessage {
            log_id: self.header.log_id.0.to_vec(),
            epoch: self.header.epoch,
            sequence: self.header.sequence,
            chain: self.header.chain.0.to_vec(),
            taken_at_ms: self.header.taken_at_ms,
            entries: self.entries,
            link_entries: self.link_entries,
            operations: self.operations,
            chunks: self.chunks,
            digest: self.digest.to_vec(),
            read_again: self.header.read_again(),
        };
        message.encode_to_vec()
    }

    pub(super) fn decode(bytes: &[u8]) -> Result<Self, String> {
        let message = ManifestMessage::decode(bytes).map_err(|error| format!("the manifest is no message: {error}"))?;
        let missing = |field: &str| format!("the manifest's field `{field}` is missing or has another length");
        let header = SnapshotHeader {
            log_id: LogId(message.log_id.try_into().map_err(|_| missing("log_id"))?),
            epoch: message.epoch,
            sequence: message.sequence,
            chain: ChainHash(message.chain.try_into().map_err(|_| missing("chain"))?),
            taken_at_ms: message.taken_at_ms,
            replay_from: replay_from(message.sequence, message.read_again),
        };
        Ok(Manifest {
            header,
            entries: message.entries,
            link_entries: message.link_entries,
            operations: message.operations,
            chunks: message.chunks,
            digest: message.digest.try_into().map_err(|_| missing("digest"))?,
        })
    }

    /// Compares this manifest with that of what was read.
    pub(super) fn check(&self, found: &Manifest) -> Result<(), String> {
        if self.header != found.header {
            return Err("the manifest is of another moment than the header".to_owned());
        }
        for (what, expected, found) in [
            ("entries", self.entries, found.entries),
            ("entries of links", self.link_entries, found.link_entries),
            ("remembered operations", self.operations, found.operations),
            ("chunks", self.chunks.into(), found.chunks.into()),
        ] {
            if expected != found {
                return Err(format!("before the manifest there are {found} {what}, and it says {expected}"));
            }
        }
        if self.digest != found.digest {
            return Err("the entries have another digest than the manifest says".to_owned());
        }
        Ok(())
    }
}

/// Adds up entries to what a manifest says of them.
#[derive(Default)]
pub(super) struct Tally {
    entries: u64,
    link_entries: u64,
    operations: u64,
    digester: Digester,
}

impl Tally {
    pub(super) fn add(&mut self, key: &[u8], value: &[u8]) {
        self.entries += 1;
        match key.first() {
            Some(&keyspace::ENTRY) => self.link_entries += 1,
            Some(&keyspace::OPERATION) => self.operations += 1,
            _ => {}
        }
        self.digester.add(key, value);
    }

    pub(super) fn manifest(self, header: SnapshotHeader, chunks: u32) -> Manifest {
        let Tally { entries, link_entries, operations, digester } = self;
        let StateDigest { hash, .. } = digester.finish();
        Manifest { header, entries, link_entries, operations, chunks, digest: hash }
    }
}
