//! Chunks whose checksums are right and that no writer made. A checksum is no proof of who wrote something, and a
//! writer may have faults.

use super::super::format::{ChunkHeader, ChunkKind};
use super::*;

/// The snapshot's header and chunks of these bytes.
struct Forger {
    bytes: Vec<u8>,
    chunks: u32,
}

impl Forger {
    fn new() -> Self {
        Forger { bytes: header().encode().to_vec(), chunks: 0 }
    }

    fn chunk(mut self, kind: ChunkKind, index: u32, raw_bytes: u32, stored: &[u8]) -> Self {
        let snapshot_checksum = u32::from_le_bytes(self.bytes[12..16].try_into().unwrap());
        let header = ChunkHeader { kind, stored_bytes: stored.len() as u32, raw_bytes, index };
        self.bytes.extend_from_slice(&header.encode(snapshot_checksum, stored));
        self.bytes.extend_from_slice(stored);
        self.chunks += 1;
        self
    }

    fn raw(self, raw: &[u8]) -> Self {
        let index = self.chunks;
        self.chunk(ChunkKind::Entries, index, raw.len() as u32, &zstd::bulk::compress(raw, 1).unwrap())
    }

    fn manifest(self, manifest: &Manifest) -> Self {
        let (index, stored) = (self.chunks, manifest.encode());
        self.chunk(ChunkKind::Manifest, index, stored.len() as u32, &stored)
    }

    /// How reading it ends, and how many entries come before.
    fn read(&self) -> (usize, Result<Manifest, SnapshotError>) {
        let (contents, ended) = read(&self.bytes[..]);
        (contents.len(), ended)
    }

    #[track_caller]
    fn refused_for(&self, why: &str) {
        match self.read() {
            (0, Err(SnapshotError::Damaged { reason, .. })) => assert!(reason.contains(why), "{reason}"),
            (entries, ended) => panic!("{entries} entries, {ended:?}"),
        }
    }
}

fn entry(key: &[u8], value: &[u8]) -> Vec<u8> {
    let lengths = [&(key.len() as u16).to_le_bytes()[..], &(value.len() as u32).to_le_bytes()].concat();
    [&lengths, key, value].concat()
}

#[test]
fn a_forged_snapshot_can_be_right() {
    let contents = vec![(b"E1".to_vec(), b"one".to_vec()), (b"E2".to_vec(), b"two".to_vec())];
    let (_, manifest) = write(&header(), &contents, 1);
    let forged = Forger::new().raw(&entry(b"E1", b"one")).raw(&entry(b"E2", b"two")).manifest(&manifest);
    assert_eq!(forged.read().1.unwrap(), manifest);
}

#[test]
fn lengths_over_the_limits_are_refused_before_anything_more_is_read() {
    for (stored_bytes, raw_bytes) in [
        (8, u32::MAX),
        (8, CHUNK_RAW_BYTES as u32 + 1),
        (u32::MAX, 8),
        (CHUNK_STORED_BYTES as u32 + 1, 8),
        (u32::MAX, u32::MAX),
    ] {
        for kind in [ChunkKind::Entries, ChunkKind::Manifest] {
            let mut bytes = header().encode().to_vec();
            let checksum = u32::from_le_bytes(bytes[12..16].try_into().unwrap());
            let chunk = ChunkHeader { kind, stored_bytes, raw_bytes, index: 0 };
            bytes.extend_from_slice(&chunk.encode(checksum, &[0; 8]));
            bytes.extend_from_slice(&[0; 8]);
            let mut rest = &bytes[..];
            let (_, ended) = read(&mut rest);
            assert!(ended.unwrap_err().to_string().contains("are allowed"));
            assert_eq!(rest.len(), 8, "it was read on");
        }
    }
}

#[test]
fn a_frame_that_unpacks_to_more_or_less_than_it_says_is_refused() {
    let bomb = zstd::bulk::compress(&vec![0; 256 * 1024 * 1024], 1).unwrap();
    assert!(bomb.len() < CHUNK_STORED_BYTES);
    for raw_bytes in [0, 1, CHUNK_RAW_BYTES as u32] {
        Forger::new().chunk(ChunkKind::Entries, 0, raw_bytes, &bomb).refused_for("can't be unpacked");
    }
    // Without the size in the frame, too.
    let mut bomb = Vec::with_capacity(CHUNK_STORED_BYTES);
    let mut compressor = zstd::bulk::Compressor::new(1).unwrap();
    compressor.set_parameter(zstd::zstd_safe::CParameter::ContentSizeFlag(false)).unwrap();
    compressor.compress_to_buffer(&vec![0; 16 * 1024 * 1024], &mut bomb).unwrap();
    Forger::new().chunk(ChunkKind::Entries, 0, 1_000, &bomb).refused_for("can't be unpacked");
    let raw = entry(b"E1", b"one");
    let frame = zstd::bulk::compress(&raw, 1).unwrap();
    Forger::new().chunk(ChunkKind::Entries, 0, raw.len() as u32 + 1, &frame).refused_for("raw bytes and should have");
    Forger::new().chunk(ChunkKind::Entries, 0, raw.len() as u32, &raw).refused_for("can't be unpacked");
}

#[test]
fn raw_bytes_that_are_no_entries_are_refused() {
    Forger::new().raw(b"").refused_for("the chunk is empty");
    let two = [entry(b"E1", b"one"), entry(b"E2", b"two")].concat();
    for end in (1..two.len()).filter(|&end| end != two.len() / 2) {
        Forger::new().raw(&two[..end]).refused_for("there is no entry at its raw byte");
    }
    Forger::new().raw(&entry(&[b'E'; KEY_BYTES + 1], b"")).refused_for("no entry at its raw byte 0");
    Forger::new().raw(&entry(b"E1", &vec![0; VALUE_BYTES + 1])).refused_for("no entry at its raw byte 0");
}

#[test]
fn keys_that_do_not_ascend_are_refused() {
    let not_above = "is not above the one before it";
    Forger::new().raw(&entry(b"", b"x")).refused_for(not_above);
    for second in [b"E1", b"E0"] {
        Forger::new().raw(&[entry(b"E1", b"x"), entry(second, b"x")].concat()).refused_for(not_above);
        // In the next chunk.
        let (entries, ended) = Forger::new().raw(&entry(b"E1", b"x")).raw(&entry(second, b"x")).read();
        assert_eq!(entries, 1);
        assert!(ended.unwrap_err().to_string().contains(not_above));
    }
}

#[test]
fn a_manifest_that_says_something_else_is_refused() {
    let (_, right) = write(&header(), &Contents::new(), CHUNK_BYTES);
    assert_eq!(Forger::new().manifest(&right).read().1.unwrap(), right);
    let mut other = header();
    other.sequence += 1;
    for (wrong, why) in [
        (Manifest { header: other, ..right.clone() }, "of another moment"),
        (Manifest { entries: 1, ..right.clone() }, "there are 0 entries, and it says 1"),
        (Manifest { link_entries: 1, ..right.clone() }, "there are 0 entries of links, and it says 1"),
        (Manifest { operations: 1, ..right.clone() }, "there are 0 remembered operations, and it says 1"),
        (Manifest { chunks: 1, ..right.clone() }, "there are 0 chunks, and it says 1"),
        (Manifest { digest: [0; 32], ..right.clone() }, "another digest"),
    ] {
        Forger::new().manifest(&wrong).refused_for(why);
    }
    let stored = right.encode();
    Forger::new().chunk(ChunkKind::Manifest, 0, 0, &stored).refused_for("two lengths");
    Forger::new().chunk(ChunkKind::Manifest, 1, stored.len() as u32, &stored).refused_for("chunk 1 stands where 0");
    Forger::new().chunk(ChunkKind::Manifest, 0, 3, &[0xff; 3]).refused_for("is no message");
    Forger::new().chunk(ChunkKind::Manifest, 0, 0, &[]).refused_for("`log_id` is missing");
}

proptest! {
    /// Past the checksums, where arbitrary bytes seldom come.
    #[test]
    fn arbitrary_raw_bytes_do_not_panic(raw: Vec<u8>, as_frame: Vec<u8>, raw_bytes in 0u32..1_000) {
        let _ = Forger::new().raw(&raw).read();
        let _ = Forger::new().chunk(ChunkKind::Entries, 0, raw_bytes, &as_frame).read();
        let _ = Forger::new().chunk(ChunkKind::Manifest, 0, raw.len() as u32, &raw).read();
    }

    /// A frame that was damaged before its checksum was made.
    #[test]
    fn damaged_frames_do_not_panic(flips in prop::collection::vec(any::<prop::sample::Index>(), 1..5)) {
        let raw: Vec<u8> = some().iter().flat_map(|(key, value)| entry(key, value)).collect();
        let mut frame = zstd::bulk::compress(&raw, 1).unwrap();
        for flip in flips {
            let bit = flip.index(frame.len() * 8);
            frame[bit / 8] ^= 1 << (bit % 8);
        }
        let _ = Forger::new().chunk(ChunkKind::Entries, 0, raw.len() as u32, &frame).read();
    }
}
