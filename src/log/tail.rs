//! What lies behind the last readable record of a segment: nothing, a write that a crash cut short, or damage.

use super::LogError;
use super::record::{MAGIC as RECORD_MAGIC, RECORD_BYTES, Record, RecordError};
use super::segment::{Cursor, Reader};

/// What the disk writes or loses as a whole, in bytes. Larger ones are whole multiples of it.
const SECTOR_BYTES: usize = 512;

/// No record has as many zeros in a row: its longest run lies in its header, in front of and in the operation id.
const NO_RUN_OF_ZEROS_BYTES: usize = 32;

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
/// - A record at the cursor of which nothing is missing, and that is not what was written.
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
    // A whole record of another version is known for one below.
    if !matches!(reason, RecordError::Version(_))
        && let Some(reason) = not_torn(reader, end)?
    {
        return Err(LogError::damaged(&path, end.offset as u64, reason));
    }
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

/// Why the bytes at the cursor, which are no record, can't be what a crash leaves of one; None if they can.
///
/// A crash leaves each sector of a write as it was before, all zeros, or as it was to be; where the write was done in
/// pieces, also with zeros behind one of them. And a write that was cut short leaves zeros behind it, where no record
/// ends in one.
fn not_torn(reader: &mut Reader, end: &Cursor) -> Result<Option<String>, LogError> {
    let log_id = reader.header.log_id;
    let mut bytes = reader.at(end.offset, RECORD_BYTES)?.to_vec();
    bytes.truncate(RECORD_BYTES);
    let continues = |bytes: &mut [u8], bit: usize| {
        bytes[bit / 8] ^= 1 << (bit % 8);
        let continues = Record::decode(bytes).is_ok_and(|(record, _)| {
            record.log_id == log_id && record.sequence == end.next_sequence && record.chain == end.chain
        });
        bytes[bit / 8] ^= 1 << (bit % 8);
        continues
    };
    let flipped = |bit: usize| {
        let (offset, bit) = (end.offset + bit / 8, bit % 8);
        Some(format!("record {} is whole but for bit {bit} of the byte at offset {offset}", end.next_sequence))
    };
    // What tells where the record ends, and its checksum: these bits are few enough to try them all.
    let in_front = 8 * bytes.len().min(Record::CHECKED_FROM + 4);
    if let Some(bit) = (0..in_front).find(|&bit| continues(&mut bytes, bit)) {
        return Ok(flipped(bit));
    }
    // Where that is not to be trusted, nothing more can be said.
    if !bytes.starts_with(&RECORD_MAGIC) {
        return Ok(None);
    }
    let Some(length) = Record::length(&bytes).filter(|&length| length <= bytes.len()) else { return Ok(None) };
    bytes.truncate(length);
    let last = bytes[length - 1];
    let (mut is_whole, mut may_be_whole) = (last != 0, last != 0);
    for sector in sectors(&bytes, end.offset) {
        let is_zero = sector.iter().all(|&byte| byte == 0);
        // Else a piece may have ended before these zeros.
        is_whole &= sector.last() != Some(&0);
        may_be_whole &= !is_zero || sector.len() < NO_RUN_OF_ZEROS_BYTES;
    }
    if is_whole {
        return Ok(Some(format!("no part of record {} is missing, and yet its checksum is wrong", end.next_sequence)));
    }
    let bit = may_be_whole.then(|| flipped_bit(&bytes)).flatten();
    Ok(bit.filter(|&bit| continues(&mut bytes, bit)).and_then(flipped))
}

/// The parts of bytes that begin at an offset of the file, cut where its sectors end.
fn sectors(bytes: &[u8], offset: usize) -> impl Iterator<Item = &[u8]> {
    let first = (SECTOR_BYTES - offset % SECTOR_BYTES).min(bytes.len());
    let (first, others) = bytes.split_at(first);
    std::iter::once(first).chain(others.chunks(SECTOR_BYTES))
}

/// The one bit whose flipping would make the checksum of a record right, if there is one.
///
/// A CRC is linear: what a flipped bit changes in it depends on nothing but its distance from the end.
fn flipped_bit(record: &[u8]) -> Option<usize> {
    let Err(RecordError::Checksum { expected, found }) = Record::decode(record) else { return None };
    let syndrome = expected ^ found;
    let mut changes: [u32; 8] = std::array::from_fn(|bit| crc32c_of_byte(1 << bit));
    for byte in (Record::CHECKED_FROM..record.len()).rev() {
        if let Some(bit) = changes.iter().position(|&change| change == syndrome) {
            return Some(byte * 8 + bit);
        }
        for change in &mut changes {
            *change = *change >> 8 ^ crc32c_of_byte(*change as u8);
        }
    }
    None
}

/// The CRC32C of one byte, without the inversions before and after.
const fn crc32c_of_byte(byte: u8) -> u32 {
    const TABLE: [u32; 256] = {
        let mut table = [0; 256];
        let mut byte = 0;
        while byte < 256 {
            let (mut crc, mut bit) = (byte as u32, 0);
            while bit < 8 {
                // The polynomial of RFC 3720, lowest bit first.
                crc = crc >> 1 ^ if crc & 1 == 1 { 0x82f6_3b78 } else { 0 };
                bit += 1;
            }
            table[byte] = crc;
            byte += 1;
        }
        table
    };
    TABLE[byte as usize]
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
    use crate::log::record::{ChainHash, LogId, OperationId, VERSION};
    use proptest::prelude::*;

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

    proptest! {
        #[test]
        fn the_flipped_bit_is_found_by_the_checksum_alone(
            payload in proptest::collection::vec(any::<u8>(), 0..2000), flip: usize,
        ) {
            let log_id = LogId([7; 16]);
            let record = Record {
                version: VERSION,
                log_id,
                epoch: 1,
                sequence: 42,
                durable: 41,
                time_ms: 1_700_000_000_000,
                operation: OperationId([9; 16]),
                is_refused: false,
                chain: ChainHash::genesis(log_id),
                payload: &payload,
            };
            let mut bytes = Vec::new();
            record.encode_into(&mut bytes);
            let first = 8 * (Record::CHECKED_FROM + 4);
            let bit = first + flip % (8 * bytes.len() - first);
            bytes[bit / 8] ^= 1 << (bit % 8);
            prop_assert_eq!(flipped_bit(&bytes), Some(bit));
        }
    }

    #[test]
    fn sectors_end_where_those_of_the_file_do() {
        let lengths = |bytes: usize, offset| -> Vec<usize> {
            let bytes = vec![0; bytes];
            sectors(&bytes, offset).map(<[u8]>::len).collect()
        };
        assert_eq!(lengths(100, 128), [100]);
        assert_eq!(lengths(384, 128), [384]);
        assert_eq!(lengths(385, 128), [384, 1]);
        assert_eq!(lengths(1100, 1020), [4, 512, 512, 72]);
        assert_eq!(lengths(512, 512), [512]);
    }
}
