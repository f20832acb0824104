//! The usual entry, read without a copy: for who reads millions of them.

use super::checked::checked_body;
use crate::limits::TARGET_BYTES;
use crate::link::destination::{LinkId, Status};

/// An entry with a link that has no options, as far as it decides the answer to a request.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct PlainEntry<'a> {
    /// The id of the link.
    pub id: LinkId,
    /// The status it is answered with.
    pub status: Status,
    /// The target; empty if there is none.
    pub target: &'a [u8],
    /// How many links share host and path and have a query.
    pub query_links: u64,
}

impl<'a> PlainEntry<'a> {
    /// Reads what [`StoredEntry::encode`](super::StoredEntry::encode) wrote under `key`. None if it is not a usual entry:
    /// [`StoredEntry::decode`](super::StoredEntry::decode) tells what it is, or what is wrong with it.
    pub fn read(key: &[u8], bytes: &'a [u8]) -> Option<Self> {
        let mut rest = checked_body(key, bytes).ok()?;
        let (mut link, mut query_links) = (None, 0);
        while !rest.is_empty() {
            match take_field(&mut rest)? {
                (1, Value::Bytes(bytes)) => link = Some(bytes),
                (2, Value::Number(number)) => query_links = number,
                _ => return None,
            }
        }
        let (mut rest, mut id, mut destination) = (link?, 0, None);
        while !rest.is_empty() {
            match take_field(&mut rest)? {
                (1, Value::Number(number)) => id = number,
                (2, Value::Bytes(bytes)) => destination = Some(bytes),
                // When it was made and changed, and which version and kind it is: no answer depends on that.
                (3 | 4 | 5 | 7, Value::Number(_)) => {}
                _ => return None,
            }
        }
        let (mut rest, mut status, mut target) = (destination?, 0, &[][..]);
        while !rest.is_empty() {
            match take_field(&mut rest)? {
                (1, Value::Number(number)) => status = number,
                (2, Value::Bytes(bytes)) => target = bytes,
                _ => return None,
            }
        }
        let status = u16::try_from(status).ok().and_then(Status::from_code)?;
        let is_plausible = target.len() <= TARGET_BYTES
            // All of them are looked at, also behind one that is not, which takes many at a time.
            && target.iter().fold(true, |all, byte| all & byte.is_ascii_graphic())
            && target.is_empty() == (status == Status::Gone);
        is_plausible.then_some(PlainEntry { id: LinkId(id), status, target, query_links })
    }
}

enum Value<'a> {
    Number(u64),
    Bytes(&'a [u8]),
}

/// The number and value of the field that the bytes begin with, which are those behind it then. None if it is of
/// another type, or cut short.
fn take_field<'a>(rest: &mut &'a [u8]) -> Option<(u64, Value<'a>)> {
    let tag = take_varint(rest)?;
    let value = match tag & 0b111 {
        0 => Value::Number(take_varint(rest)?),
        2 => {
            let length = usize::try_from(take_varint(rest)?).ok()?;
            let (bytes, behind) = rest.split_at_checked(length)?;
            *rest = behind;
            Value::Bytes(bytes)
        }
        _ => return None,
    };
    Some((tag >> 3, value))
}

fn take_varint(rest: &mut &[u8]) -> Option<u64> {
    let mut value = 0;
    for shift in (0..u64::BITS).step_by(7) {
        let (&byte, behind) = rest.split_first()?;
        *rest = behind;
        value |= u64::from(byte & 0x7f) << shift;
        if byte < 0x80 {
            return Some(value);
        }
    }
    None
}
