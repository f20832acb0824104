//! Messages behind a checksum.

use prost::Message;

use super::DecodeError;

/// Encodes a message behind a checksum that covers the key it is stored under.
pub(crate) fn encode_checked(key: &[u8], message: &impl Message) -> Vec<u8> {
    let mut bytes = vec![0; 4];
    message.encode(&mut bytes).expect("a vector grows");
    let checksum = checksum(key, &bytes[4..]);
    bytes[..4].copy_from_slice(&checksum.to_le_bytes());
    bytes
}

/// Decodes what [`encode_checked`] wrote under the same key.
pub(crate) fn decode_checked<M: Message + Default>(key: &[u8], bytes: &[u8]) -> Result<M, DecodeError> {
    Ok(M::decode(checked_body(key, bytes)?)?)
}

/// The message without its checksum, which is compared.
pub(super) fn checked_body<'a>(key: &[u8], bytes: &'a [u8]) -> Result<&'a [u8], DecodeError> {
    let (head, body) = bytes.split_first_chunk::<4>().ok_or(DecodeError::Missing("checksum"))?;
    let (expected, found) = (u32::from_le_bytes(*head), checksum(key, body));
    if expected != found {
        return Err(DecodeError::Checksum { expected, found });
    }
    Ok(body)
}

fn checksum(key: &[u8], body: &[u8]) -> u32 {
    crc32c::crc32c_append(crc32c::crc32c(key), body)
}
