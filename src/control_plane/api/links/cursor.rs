//! Where a list goes on: opaque to those who are given it.

use base64::Engine;
use base64::prelude::BASE64_URL_SAFE_NO_PAD;

use crate::limits::LINK_KEY_BYTES;
use crate::link::LinkKey;

/// The first byte of what stands in a cursor, so that later ones can be told from these.
const FORMAT: u8 = 1;

/// Bytes before the key: the format, and a checksum (CRC32C, little-endian) over format and key.
const HEAD_BYTES: usize = 5;

/// Not a cursor.
#[derive(Debug, PartialEq, Eq, thiserror::Error)]
#[error("it is no cursor; give `next_cursor` of the page before, or leave it out to begin at the first link")]
pub(crate) struct CursorError;

/// The cursor that goes on behind a key.
pub(crate) fn encode(after: &LinkKey) -> String {
    let key = after.as_str().as_bytes();
    let bytes = [&[FORMAT][..], &checksum(key).to_le_bytes(), key].concat();
    BASE64_URL_SAFE_NO_PAD.encode(bytes)
}

/// The key behind which a cursor goes on.
///
/// # Errors
/// If the text is none that [`encode`] made.
pub(crate) fn decode(text: &str) -> Result<LinkKey, CursorError> {
    if text.len() > (HEAD_BYTES + LINK_KEY_BYTES).div_ceil(3) * 4 {
        return Err(CursorError);
    }
    let bytes = BASE64_URL_SAFE_NO_PAD.decode(text).map_err(|_| CursorError)?;
    let Some((head, key)) = bytes.split_first_chunk::<HEAD_BYTES>() else { return Err(CursorError) };
    let [format, sum @ ..] = *head;
    if format != FORMAT || u32::from_le_bytes(sum) != checksum(key) {
        return Err(CursorError);
    }
    let text = std::str::from_utf8(key).map_err(|_| CursorError)?;
    LinkKey::parse(text).ok().filter(|key| key.as_str() == text).ok_or(CursorError)
}

fn checksum(key: &[u8]) -> u32 {
    crc32c::crc32c_append(crc32c::crc32c(&[FORMAT]), key)
}

#[cfg(test)]
mod tests {
    use super::*;
    use proptest::prelude::*;

    proptest! {
        #[test]
        fn a_cursor_leads_back_to_its_key_and_a_changed_one_nowhere(
            text in "(https://[a-z]{1,8}\\.example)?/[ -~]{0,40}",
            at: usize,
            other in "[A-Za-z0-9_-]",
        ) {
            let Ok(key) = LinkKey::parse(&text) else { return Ok(()) };
            let cursor = encode(&key);
            prop_assert_eq!(decode(&cursor), Ok(key));
            let at = at % cursor.len();
            let changed = format!("{}{other}{}", &cursor[..at], &cursor[at + 1..]);
            prop_assert!(changed == cursor || decode(&changed).is_err());
        }

        #[test]
        fn any_text_is_read_or_refused(text in "\\PC{0,40}") {
            let _ = decode(&text);
        }
    }

    #[test]
    fn what_is_no_cursor_is_refused() {
        for text in ["", "AQ", "x y", "*/a", &"A".repeat(10_000)] {
            assert_eq!(decode(text), Err(CursorError), "{text}");
        }
    }
}
