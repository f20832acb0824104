//! Counts.

use prost::Message;

use super::{DecodeError, decode_checked, encode_checked};

#[derive(Message)]
struct CountMessage {
    #[prost(uint64, tag = "1")]
    count: u64,
}

/// Encodes a count for the store, under its key.
pub fn encode_count(key: &[u8], count: u64) -> Vec<u8> {
    encode_checked(key, &CountMessage { count })
}

/// Decodes what [`encode_count`] wrote under the key.
///
/// # Errors
/// If the bytes are damaged, or of another key.
pub fn decode_count(key: &[u8], bytes: &[u8]) -> Result<u64, DecodeError> {
    Ok(decode_checked::<CountMessage>(key, bytes)?.count)
}
