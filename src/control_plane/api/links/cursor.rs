//! Where a list goes on: opaque to those who are given it.

use base64::Engine;
use base64::prelude::BASE64_URL_SAFE_NO_PAD;

use crate::engine::LinkFilter;
use crate::limits::LINK_KEY_BYTES;
use crate::link::LinkKey;

/// The first byte of what stands in a cursor, so that later ones can be told from these.
const FORMAT: u8 = 2;

/// Bytes before the key: the format, and a checksum (CRC32C, little-endian) over format, filter and key. So a cursor goes
/// on only with the filter that it was given out for: with another, it would pass over links without a word.
const HEAD_BYTES: usize = 5;

/// Not a cursor.
#[derive(Debug, PartialEq, Eq, thiserror::Error)]
#[error(
    "it is no cursor of this list; give `next_cursor` of the page before, with the same filter, or leave it out to begin \
     at the first link"
)]
pub(crate) struct CursorError;

/// The cursor that goes on behind a key, in a list with this filter.
pub(crate) fn encode(after: &LinkKey, filter: &LinkFilter) -> String {
    let key = after.as_str().as_bytes();
    let bytes = [&[FORMAT][..], &checksum(key, filter).to_le_bytes(), key].concat();
    BASE64_URL_SAFE_NO_PAD.encode(bytes)
}

/// The key behind which a cursor goes on.
///
/// # Errors
/// If the text is none that [`encode`] made with this filter.
pub(crate) fn decode(text: &str, filter: &LinkFilter) -> Result<LinkKey, CursorError> {
    if text.len() > (HEAD_BYTES + LINK_KEY_BYTES).div_ceil(3) * 4 {
        return Err(CursorError);
    }
    let bytes = BASE64_URL_SAFE_NO_PAD.decode(text).map_err(|_| CursorError)?;
    let Some((head, key)) = bytes.split_first_chunk::<HEAD_BYTES>() else { return Err(CursorError) };
    let [format, sum @ ..] = *head;
    if format != FORMAT || u32::from_le_bytes(sum) != checksum(key, filter) {
        return Err(CursorError);
    }
    let text = std::str::from_utf8(key).map_err(|_| CursorError)?;
    LinkKey::parse(text).ok().filter(|key| key.as_str() == text).ok_or(CursorError)
}

fn checksum(key: &[u8], filter: &LinkFilter) -> u32 {
    // Not what a token may see: with another, a list goes on all the same.
    let LinkFilter { host, path_prefix, tag, text, state, created_from_ms, created_to_ms, hosts: _ } = filter;
    let number = |number: &Option<u64>| number.map(|number| number.to_string());
    let said = [
        host.as_ref().map(|host| host.as_str().to_owned()),
        path_prefix.clone(),
        tag.as_ref().map(|tag| tag.as_str().to_owned()),
        text.clone(),
        state.map(|state| state.name().to_owned()),
        number(created_from_ms),
        number(created_to_ms),
    ];
    let mut sum = crc32c::crc32c(&[FORMAT]);
    for (place, text) in said.iter().enumerate().filter_map(|(place, text)| Some((place, text.as_ref()?))) {
        // No place is 0xff, and lengths tell where a text ends.
        let head = [&[place as u8][..], &(text.len() as u64).to_le_bytes()].concat();
        sum = crc32c::crc32c_append(crc32c::crc32c_append(sum, &head), text.as_bytes());
    }
    crc32c::crc32c_append(crc32c::crc32c_append(sum, &[0xff]), key)
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
            let filter = LinkFilter { text: Some("a".to_owned()), ..LinkFilter::default() };
            let cursor = encode(&key, &filter);
            prop_assert_eq!(decode(&cursor, &filter), Ok(key));
            let others = [
                LinkFilter::default(),
                LinkFilter { text: Some("b".to_owned()), ..LinkFilter::default() },
                LinkFilter { path_prefix: Some("a".to_owned()), ..LinkFilter::default() },
            ];
            prop_assert!(others.iter().all(|other| decode(&cursor, other).is_err()));
            let at = at % cursor.len();
            let changed = format!("{}{other}{}", &cursor[..at], &cursor[at + 1..]);
            prop_assert!(changed == cursor || decode(&changed, &filter).is_err());
        }

        #[test]
        fn any_text_is_read_or_refused(text in "\\PC{0,40}") {
            let _ = decode(&text, &LinkFilter::default());
        }
    }

    #[test]
    fn what_is_no_cursor_is_refused() {
        for text in ["", "AQ", "x y", "*/a", &"A".repeat(10_000)] {
            assert_eq!(decode(text, &LinkFilter::default()), Err(CursorError), "{text}");
        }
    }
}
