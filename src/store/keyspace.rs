//! The keys of a store: the same in every kind, so that the same log leads to the same keys and values in each.
//!
//! A key is *typed*: its first byte says what lies under it. The position lies under the byte 0 alone, before all
//! typed keys, and is no part of the state: scans and digests leave it out.

use super::Write;

/// Followed by a canonical key ([`LinkKey`](crate::link::LinkKey)): its encoded
/// [`StoredEntry`](crate::link::StoredEntry).
pub const ENTRY: u8 = b'E';

/// Followed by the 16 bytes of an operation id: what became of that operation.
pub const OPERATION: u8 = b'O';

/// Followed by a time, big-endian, and the 16 bytes of an operation id: operations in the order of their times.
pub const OPERATION_TIME: u8 = b'T';

/// Followed by a tag, a zero byte and a canonical key: that the link has the tag.
pub const TAG: u8 = b'G';

/// Followed by the name of a host: its settings.
pub const HOST: u8 = b'H';

/// Followed by the 8 bytes of its id: a token.
pub const TOKEN: u8 = b'K';

/// Followed by the name of a host and a byte: how many links there are of which the path is a generated code of so
/// many characters.
pub const CODES: u8 = b'N';

/// Where the position lies.
pub(super) const POSITION: &[u8] = &[0];

/// Before every typed key, and behind the position.
const FIRST: &[u8] = &[1];

/// The typed key of the entry of a canonical key.
pub fn entry_key(key: &[u8]) -> Vec<u8> {
    let mut bytes = Vec::with_capacity(key.len() + 1);
    bytes.push(ENTRY);
    bytes.extend_from_slice(key);
    bytes
}

/// The typed key of what is remembered of an operation.
pub fn operation_key(id: [u8; 16]) -> Vec<u8> {
    [&[OPERATION][..], &id].concat()
}

/// The typed key that stands for an operation in the order of times.
pub fn operation_time_key(time_ms: u64, id: [u8; 16]) -> Vec<u8> {
    [&[OPERATION_TIME][..], &time_ms.to_be_bytes(), &id].concat()
}

/// The typed key that says that the link of a canonical key has a tag.
pub fn tag_key(tag: &str, key: &str) -> Vec<u8> {
    [&[TAG][..], tag.as_bytes(), &[0], key.as_bytes()].concat()
}

/// Tag and canonical key of which a key of type [`TAG`], without that type, is made.
pub fn split_tag(key: &[u8]) -> Option<(&[u8], &[u8])> {
    let zero = key.iter().position(|&byte| byte == 0)?;
    Some((&key[..zero], &key[zero + 1..]))
}

/// The typed key of the settings of a host.
pub fn host_key(host: &str) -> Vec<u8> {
    [&[HOST][..], host.as_bytes()].concat()
}

/// The typed key of a token.
pub fn token_key(id: [u8; 8]) -> Vec<u8> {
    [&[TOKEN][..], &id].concat()
}

/// The typed key of the count of a host's generated codes of a length.
pub fn codes_key(host: &str, length: u8) -> Vec<u8> {
    [&[CODES][..], host.as_bytes(), &[length]].concat()
}

/// Time and id of the operation for which a key of type [`OPERATION_TIME`] stands, without that type.
pub fn split_operation_time(key: &[u8]) -> Option<(u64, [u8; 16])> {
    let (time, id) = key.split_first_chunk()?;
    Some((u64::from_be_bytes(*time), id.try_into().ok()?))
}

/// The type of a key, and the rest. None if it is empty.
pub fn split(typed: &[u8]) -> Option<(u8, &[u8])> {
    typed.split_first().map(|(kind, rest)| (*kind, rest))
}

/// Where a scan from a key begins, so that it does not meet the position.
pub(super) fn scan_start(from: &[u8]) -> &[u8] {
    from.max(FIRST)
}

/// Holds what [`Store`](super::Store) asks of those who write.
///
/// # Panics
/// If there are too many writes for one batch, or one would land on the position.
pub(super) fn check_writes(writes: &[Write], most: usize) {
    assert!(writes.len() <= most, "{} writes in one batch", writes.len());
    assert!(writes.iter().all(|write| write.key.as_slice() >= FIRST), "a key without a type");
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn typed_keys_stand_behind_the_position_and_come_apart_again() {
        let typed = entry_key(b"*/a");
        assert_eq!(typed, b"E*/a");
        assert_eq!(split(&typed), Some((ENTRY, &b"*/a"[..])));
        assert_eq!(split(b""), None);
        assert!(typed.as_slice() > POSITION && [OPERATION].as_slice() > typed.as_slice());
        assert_eq!(scan_start(&typed), typed);
        assert_eq!(scan_start(b""), FIRST);
        assert!(scan_start(POSITION) > POSITION);
    }

    #[test]
    #[should_panic(expected = "a key without a type")]
    fn nobody_writes_over_the_position() {
        check_writes(&[Write { key: POSITION.to_vec(), value: None }], 1);
    }
}
