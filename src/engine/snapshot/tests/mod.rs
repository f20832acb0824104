//! Snapshots as they are written, and as a disk or a person may leave them.

mod damage;
mod document;
mod fixture;
mod forged;

use std::collections::BTreeMap;
use std::io::{self, Read};
use std::ops::Range;
use std::path::Path;

use proptest::prelude::*;

use super::format::{
    CHUNK_BYTES, CHUNK_HEADER_BYTES, CHUNK_RAW_BYTES, CHUNK_STORED_BYTES, HEADER_BYTES, KEY_BYTES, VALUE_BYTES,
};
use super::{Manifest, SnapshotError, SnapshotHeader, SnapshotReader, SnapshotWriter, verify};
use crate::engine::StateDigest;
use crate::log::{ChainHash, LogId};
use crate::store::{MemoryStore, Position, Store, Write};

const PATH: &str = "backup.snapshot";

type Contents = Vec<(Vec<u8>, Vec<u8>)>;

fn header() -> SnapshotHeader {
    let log_id = LogId([7; 16]);
    let chain = ChainHash::genesis(log_id);
    SnapshotHeader { log_id, epoch: 3, sequence: 42, chain, taken_at_ms: 1_767_225_600_000, replay_from: 40 }
}

fn write(header: &SnapshotHeader, contents: &Contents, chunk_bytes: usize) -> (Vec<u8>, Manifest) {
    let mut writer = SnapshotWriter::with_chunk_bytes(Vec::new(), header, chunk_bytes).unwrap();
    contents.iter().for_each(|(key, value)| writer.add(key, value).unwrap());
    writer.finish().unwrap()
}

/// Reads as far as it goes: the entries that were given out, and how it ended.
fn read(input: impl Read) -> (Contents, Result<Manifest, SnapshotError>) {
    let mut contents = Contents::new();
    let run = || {
        let mut reader = SnapshotReader::open(input, PATH)?;
        loop {
            assert!(reader.manifest().is_none(), "the manifest came before the end");
            match reader.next_chunk() {
                Ok(Some(entries)) => contents.extend(entries.map(|(key, value)| (key.to_vec(), value.to_vec()))),
                Ok(None) => break,
                Err(error) => {
                    assert!(matches!(reader.next_chunk(), Err(SnapshotError::Io { .. })), "it read on behind damage");
                    assert!(reader.manifest().is_none());
                    return Err(error);
                }
            }
        }
        assert!(reader.next_chunk()?.is_none());
        Ok(reader.manifest().unwrap().clone())
    };
    let ended = run();
    (contents, ended)
}

/// Some entries, in several chunks of [`SMALL`] bytes each.
fn some() -> Contents {
    let entry = |key: &str, value: &str| (key.as_bytes().to_vec(), value.as_bytes().to_vec());
    vec![
        entry("Ea.example/", "a value"),
        entry("Ea.example/2", "another value, which is longer"),
        entry("Eb.example/", ""),
        entry("Eb.example/path", "a value of this path"),
        entry("O1", "an operation"),
    ]
}

const SMALL: usize = 40;

/// Where each chunk of an undamaged snapshot is, the manifest's last.
fn chunks(bytes: &[u8]) -> Vec<Range<usize>> {
    let (mut chunks, mut begin) = (Vec::new(), HEADER_BYTES);
    while begin < bytes.len() {
        let stored = u32::from_le_bytes(bytes[begin + 4..begin + 8].try_into().unwrap()) as usize;
        chunks.push(begin..begin + CHUNK_HEADER_BYTES + stored);
        begin += CHUNK_HEADER_BYTES + stored;
    }
    chunks
}

/// Gives one byte at a time, and is interrupted before each.
struct Dribble<'b>(&'b [u8], bool);

impl Read for Dribble<'_> {
    fn read(&mut self, buffer: &mut [u8]) -> io::Result<usize> {
        self.1 = !self.1;
        if self.1 { Err(io::ErrorKind::Interrupted.into()) } else { self.0.read(&mut buffer[..1]) }
    }
}

fn digest_in_a_store(contents: &Contents) -> StateDigest {
    let store = MemoryStore::default();
    let SnapshotHeader { log_id, sequence, chain, .. } = header();
    let position = Position { log_id, sequence, chain, partial: None, durable: sequence, replay_from: sequence + 1 };
    let writes: Vec<_> =
        contents.iter().map(|(key, value)| Write { key: key.clone(), value: Some(value.clone()) }).collect();
    store.apply(&writes, &position).unwrap();
    StateDigest::of(&store).unwrap()
}

fn contents() -> impl Strategy<Value = Contents> {
    let key = ("[EOTX]", any::<Vec<u8>>()).prop_map(|(kind, key)| [kind.as_bytes(), &key].concat());
    let entries: BTreeMap<Vec<u8>, Vec<u8>> = BTreeMap::new();
    prop_oneof![
        1 => Just(entries),
        20 => proptest::collection::btree_map(key, any::<Vec<u8>>(), 0..40),
    ]
    .prop_map(|entries| entries.into_iter().collect())
}

proptest! {
    #[test]
    fn what_is_written_is_read(
        contents in contents(),
        chunk_bytes in 1usize..2_000,
        id: [u8; 16], chain: [u8; 32], epoch: u64, sequence: u64, taken_at_ms: u64, replay_from: u64,
    ) {
        let (log_id, chain) = (LogId(id), ChainHash(chain));
        let header = SnapshotHeader { log_id, epoch, sequence, chain, taken_at_ms, replay_from };
        let (bytes, manifest) = write(&header, &contents, chunk_bytes);
        let count = |kind| contents.iter().filter(|(key, _)| key[0] == kind).count() as u64;
        prop_assert_eq!(manifest.header, header);
        prop_assert_eq!((manifest.link_entries, manifest.operations), (count(b'E'), count(b'O')));
        prop_assert_eq!(manifest.chunks as usize, chunks(&bytes).len() - 1);
        let digest = StateDigest { entries: manifest.link_entries, hash: manifest.digest };
        prop_assert_eq!(digest, digest_in_a_store(&contents));
        for (read, ended) in [read(&bytes[..]), read(Dribble(&bytes, false))] {
            prop_assert_eq!(&read, &contents);
            prop_assert_eq!(ended.unwrap(), manifest.clone());
        }
        prop_assert_eq!(verify(&bytes[..], Path::new(PATH)).unwrap(), manifest);
    }
}

#[test]
fn chunks_of_full_size_and_the_largest_entries_are_read() {
    // Bytes that can't be made smaller.
    let mut noise = vec![0; VALUE_BYTES];
    blake3::Hasher::new().finalize_xof().fill(&mut noise);
    let mut contents: Contents = (0u32..40_000)
        .map(|number| (format!("E*/{number:08}").into_bytes(), noise[number as usize..][..20].to_vec()))
        .collect();
    // In a chunk that has almost its size already.
    let almost = CHUNK_BYTES - 1 - 6 - 2;
    contents.extend([
        (b"O1".to_vec(), noise[..almost].to_vec()),
        ([&b"O"[..], &[b'2'; KEY_BYTES - 1]].concat(), noise.clone()),
        (b"T".to_vec(), Vec::new()),
    ]);
    let (bytes, manifest) = write(&header(), &contents, CHUNK_BYTES);
    assert!(manifest.chunks > 4);
    let (read, ended) = read(&bytes[..]);
    assert!(read == contents);
    assert_eq!(ended.unwrap(), manifest);
}

#[test]
fn what_cannot_be_made_smaller_stays_below_the_limit_of_stored_bytes() {
    assert!(zstd::zstd_safe::compress_bound(CHUNK_RAW_BYTES) <= CHUNK_STORED_BYTES);
}

#[test]
fn the_writer_takes_no_entry_that_a_reader_would_refuse() {
    let refused = |entries: &[(&[u8], &[u8])]| {
        std::panic::catch_unwind(|| {
            let mut writer = SnapshotWriter::new(Vec::new(), &header()).unwrap();
            entries.iter().for_each(|(key, value)| writer.add(key, value).unwrap());
        })
        .is_err()
    };
    assert!(!refused(&[(b"E1", b"x"), (b"E2", b"")]));
    assert!(refused(&[(b"E2", b"x"), (b"E1", b"x")]));
    assert!(refused(&[(b"E1", b"x"), (b"E1", b"x")]));
    assert!(refused(&[(b"", b"x")]));
    assert!(refused(&[(&[b'E'; KEY_BYTES + 1], b"x")]));
    assert!(refused(&[(b"E1", &vec![0; VALUE_BYTES + 1])]));
}

#[test]
fn a_failed_write_is_told() {
    // Room for so many bytes and no more.
    struct Full(usize);
    impl io::Write for Full {
        fn write(&mut self, bytes: &[u8]) -> io::Result<usize> {
            self.0 = self.0.checked_sub(bytes.len()).ok_or(io::ErrorKind::StorageFull)?;
            Ok(bytes.len())
        }
        fn flush(&mut self) -> io::Result<()> {
            Ok(())
        }
    }
    let write = |room| {
        let mut writer = SnapshotWriter::with_chunk_bytes(Full(room), &header(), SMALL)?;
        some().iter().try_for_each(|(key, value)| writer.add(key, value))?;
        writer.finish()
    };
    let needed = super::tests::write(&header(), &some(), SMALL).0.len();
    for room in 0..needed {
        assert_eq!(write(room).err().expect("there was no room").kind(), io::ErrorKind::StorageFull, "{room}");
    }
    assert_eq!(write(needed).unwrap().0.0, 0);
}

#[test]
fn a_failed_read_is_no_damage() {
    let (bytes, _) = write(&header(), &some(), SMALL);
    for length in 0..=bytes.len() {
        struct Broken;
        impl Read for Broken {
            fn read(&mut self, _: &mut [u8]) -> io::Result<usize> {
                Err(io::ErrorKind::PermissionDenied.into())
            }
        }
        let (_, ended) = read(bytes[..length].chain(Broken));
        let error = ended.unwrap_err();
        assert!(matches!(error, SnapshotError::Io { .. }), "{length}: {error}");
        assert!(error.to_string().starts_with("reading backup.snapshot: permission denied. Look at"), "{error}");
    }
}
