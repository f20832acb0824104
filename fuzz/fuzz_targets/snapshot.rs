//! Any bytes as a snapshot, as the chunks of one, and as the entries in a chunk: no panic, keys that ascend, and what
//! is read whole is what is written again.

#![no_main]

use std::path::Path;

use carom::engine::snapshot::format::{CHUNK_HEADER_BYTES, CHUNK_MAGIC, HEADER_BYTES};
use carom::engine::snapshot::{SnapshotHeader, SnapshotReader, SnapshotWriter};
use carom::log::{ChainHash, LogId};
use libfuzzer_sys::fuzz_target;

fuzz_target!(|bytes: &[u8]| {
    read(bytes);

    // Past the checksums, which no fuzzer guesses: the input is cut into chunks, by the lengths that it gives itself.
    let (log_id, chain) = (LogId([7; 16]), ChainHash([9; 32]));
    let header = SnapshotHeader { log_id, epoch: 1, sequence: 1, chain, taken_at_ms: 1, replay_from: 1 };
    let mut sealed = header.encode().to_vec();
    let mut rest = bytes;
    for index in 0u32.. {
        let Some((&[kind, stored_bytes, raw_bytes], behind)) = rest.split_first_chunk::<3>() else { break };
        let (stored, behind) = behind.split_at(behind.len().min(stored_bytes.into()));
        rest = behind;
        let raw_bytes = if kind & 3 == 2 { stored.len() as u32 } else { raw_bytes.into() };
        seal(&mut sealed, kind & 3, index, raw_bytes, stored);
    }
    read(&sealed);

    // The input as entries, packed as a writer would.
    let mut sealed = header.encode().to_vec();
    let packed = zstd::bulk::compress(bytes, 1).expect("it is packed");
    seal(&mut sealed, 1, 0, bytes.len() as u32, &packed);
    read(&sealed);
});

fn seal(snapshot: &mut Vec<u8>, kind: u8, index: u32, raw_bytes: u32, stored: &[u8]) {
    let begin = snapshot.len();
    snapshot.extend_from_slice(&CHUNK_MAGIC);
    snapshot.push(kind);
    for number in [stored.len() as u32, raw_bytes, index] {
        snapshot.extend_from_slice(&number.to_le_bytes());
    }
    let summed = [&snapshot[16..HEADER_BYTES], &snapshot[begin..], stored].concat();
    snapshot.extend_from_slice(&crc32c::crc32c(&summed).to_le_bytes());
    assert_eq!(snapshot.len() - begin, CHUNK_HEADER_BYTES);
    snapshot.extend_from_slice(stored);
}

fn read(bytes: &[u8]) {
    let Ok(mut reader) = SnapshotReader::open(bytes, "fuzz") else { return };
    let header = *reader.header();
    let mut entries: Vec<(Vec<u8>, Vec<u8>)> = Vec::new();
    let whole = loop {
        match reader.next_chunk() {
            Ok(Some(chunk)) => entries.extend(chunk.map(|(key, value)| (key.to_vec(), value.to_vec()))),
            Ok(None) => break true,
            Err(_) => break false,
        }
    };
    assert!(entries.is_sorted_by(|(one, _), (next, _)| one < next));
    assert_eq!(reader.manifest().is_some(), whole);

    let mut writer = SnapshotWriter::new(Vec::new(), &header).expect("a vector grows");
    entries.iter().for_each(|(key, value)| writer.add(key, value).expect("a vector grows"));
    let (again, manifest) = writer.finish().expect("a vector grows");
    let verified = carom::engine::snapshot::verify(&again[..], Path::new("again")).expect("it was just written");
    assert_eq!(verified, manifest);
    if let Some(read) = reader.manifest() {
        // The other writer may have made other chunks.
        assert_eq!((read.entries, read.digest), (manifest.entries, manifest.digest));
    }
}
