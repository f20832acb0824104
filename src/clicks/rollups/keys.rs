//! The keys of a month's store. `docs/clicks/rollups.md` gives every byte.
//!
//! A row lies under the byte of its kind, its subject, and its day, big-endian; [`WHOLE_MONTH`] stands for the month.

use super::super::stats::Subject;

/// Rows of all links.
pub(crate) const ALL: u8 = b'A';
/// Rows of a host: its name and a zero byte.
pub(crate) const HOST: u8 = b'H';
/// Rows of a link: its id, big-endian.
pub(crate) const LINK: u8 = b'L';
/// Rows of a tag: its name and a zero byte.
pub(crate) const TAG: u8 = b'T';
/// The canonical key of a link: its id, big-endian.
pub(crate) const NAME: u8 = b'N';
/// That a link was counted under a host or tag: `H` or `T`, the name, a zero byte, the id of the link, big-endian.
pub(crate) const MEMBER: u8 = b'I';
/// The number of a referrer: its text.
pub(crate) const REFERRER: u8 = b'R';
/// The text of a referrer: its number, 4 bytes, big-endian.
pub(crate) const REFERRER_TEXT: u8 = b'r';
/// What is known of the month itself.
pub(crate) const META: &[u8] = b"M";

/// Stands in place of the day in rows of the whole month.
pub(crate) const WHOLE_MONTH: u16 = u16::MAX;

/// Bytes of the day at the end of a row's key.
const DAY_BYTES: usize = 2;

/// What the keys of all rows of a subject begin with.
pub(crate) fn prefix(subject: &Subject) -> Vec<u8> {
    match subject {
        Subject::All => vec![ALL],
        Subject::Host(host) => group(HOST, host.as_bytes()),
        Subject::Tag(tag) => group(TAG, tag.as_bytes()),
        Subject::Link(link) => link_prefix(*link),
    }
}

/// What the keys of all rows of a host or tag begin with.
pub(crate) fn group(kind: u8, name: &[u8]) -> Vec<u8> {
    [&[kind][..], name, &[0]].concat()
}

/// What the keys of all rows of a link begin with.
pub(crate) fn link_prefix(link: u64) -> Vec<u8> {
    [&[LINK][..], &link.to_be_bytes()].concat()
}

/// The key of a row.
pub(crate) fn row(prefix: &[u8], day: u16) -> Vec<u8> {
    [prefix, &day.to_be_bytes()].concat()
}

/// Prefix and day of a row's key.
pub(crate) fn split_row(key: &[u8]) -> Option<(&[u8], u16)> {
    let (prefix, day) = key.split_at_checked(key.len().checked_sub(DAY_BYTES)?)?;
    Some((prefix, u16::from_be_bytes(day.try_into().ok()?)))
}

/// The link of the key of one of its rows.
pub(crate) fn link_of_row(key: &[u8]) -> Option<u64> {
    let (prefix, _) = split_row(key)?;
    let id = prefix.strip_prefix(&[LINK])?;
    Some(u64::from_be_bytes(id.try_into().ok()?))
}

/// Where the name of a link lies.
pub(crate) fn name(link: u64) -> Vec<u8> {
    [&[NAME][..], &link.to_be_bytes()].concat()
}

/// What the keys of all members of a host or tag begin with.
pub(crate) fn members(kind: u8, group: &[u8]) -> Vec<u8> {
    [&[MEMBER, kind][..], group, &[0]].concat()
}

/// Where it stands that a link was counted under a host or tag.
pub(crate) fn member(kind: u8, group: &[u8], link: u64) -> Vec<u8> {
    [&members(kind, group)[..], &link.to_be_bytes()].concat()
}

/// Where the number of a referrer lies.
pub(crate) fn referrer(text: &str) -> Vec<u8> {
    [&[REFERRER][..], text.as_bytes()].concat()
}

/// Where the text of a referrer lies.
pub(crate) fn referrer_text(number: u32) -> Vec<u8> {
    [&[REFERRER_TEXT][..], &number.to_be_bytes()].concat()
}
