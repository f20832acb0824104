//! Any bytes as a record, as a payload and as an entry of the store: what decodes encodes to what decodes to the same.

#![no_main]

use carom::link::{StoredEntry, decode_authored, encode_payload};
use carom::log::Record;
use carom::log::record::{HEADER_BYTES, MAGIC, VERSION};
use libfuzzer_sys::fuzz_target;

const KEY: &[u8] = b"www.example.com/old";

fuzz_target!(|bytes: &[u8]| {
    record(bytes);
    payload(bytes);
    entry(bytes);

    // Past the checksums, which no fuzzer guesses.
    let mut sealed = bytes.to_vec();
    if sealed.len() >= HEADER_BYTES {
        let length = (sealed.len() - HEADER_BYTES) as u32;
        sealed[..3].copy_from_slice(&MAGIC);
        sealed[3] = VERSION;
        sealed[8..12].copy_from_slice(&length.to_le_bytes());
        let checksum = crc32c::crc32c(&sealed[8..]);
        sealed[4..8].copy_from_slice(&checksum.to_le_bytes());
        record(&sealed);
    }
    let mut sealed = crc32c::crc32c(&[KEY, bytes].concat()).to_le_bytes().to_vec();
    sealed.extend_from_slice(bytes);
    entry(&sealed);
});

fn record(bytes: &[u8]) {
    let Ok((record, length)) = Record::decode(bytes) else { return };
    assert_eq!(length, HEADER_BYTES + record.payload.len());
    let mut encoded = Vec::new();
    record.encode_into(&mut encoded);
    // The reserved bytes are written as zeros.
    assert_eq!(encoded[16..], bytes[16..length]);
    assert_eq!(Record::decode(&encoded), Ok((record.clone(), length)));
    payload(record.payload);
}

fn payload(bytes: &[u8]) {
    let Ok(authored) = decode_authored(bytes) else { return };
    assert_eq!(decode_authored(&encode_payload(&authored.payload, &authored.actor)), Ok(authored));
}

fn entry(bytes: &[u8]) {
    let Ok(entry) = StoredEntry::decode(KEY, bytes) else { return };
    assert_eq!(StoredEntry::decode(KEY, &entry.encode(KEY)), Ok(entry));
}
