//! Entries: types to bytes and back. `docs/format.md` gives every byte.

use ahash::AHashMap;

use super::bytes::{Bytes, Malformed, put_number, put_step};
use crate::clicks::batch::{
    Batch, Country, Detail, Device, Entry, Language, LinkCount, LinkName, VISIT_CLASSES, Visit, VisitClass, Visitor,
    Window, WindowId,
};
use crate::clicks::giving_way::giving_way;
use crate::clicks::text::SharedText;

/// The first byte of an entry.
const WINDOW: u8 = 1;
const FORGET: u8 = 2;

/// A visitor in bytes.
const VISITOR_BYTES: usize = Visitor::BITS as usize / 8;

/// In the byte of a detail that holds class and device: whether there is a visitor.
const HAS_VISITOR: u8 = 0x80;

/// Most bytes that a number takes.
const NUMBER_BYTES: usize = 10;

/// Most bytes of an entry apart from names, counts, details and visits.
pub(super) const FIXED_BYTES: usize = 1 + 8 * NUMBER_BYTES;

/// Most bytes that a count takes: the link, the classes, four numbers of 32 bits.
pub(super) const COUNT_BYTES: usize = NUMBER_BYTES + 1 + VISIT_CLASSES * 5;

/// Most bytes that a visit takes.
pub(super) const VISIT_BYTES: usize = NUMBER_BYTES + VISITOR_BYTES;

/// Most bytes that a name takes.
pub(super) fn name_bytes(name: &LinkName) -> usize {
    2 * NUMBER_BYTES + name.key.len()
}

/// Most bytes that a detail takes, its referrer included.
pub(super) fn detail_bytes(detail: &Detail) -> usize {
    5 * NUMBER_BYTES + 1 + 2 + 3 + VISITOR_BYTES + detail.referrer.len()
}

/// Appends a window.
pub(super) fn encode_window(id: WindowId, batch: &Batch, out: &mut Vec<u8>) {
    put_head(WINDOW, id, out);
    put_number(batch.time_s, out);

    let mut link = 0;
    put_number(batch.names.len() as u64, out);
    for name in giving_way(&batch.names) {
        put_step(name.link, &mut link, out);
        put_number(name.key.len() as u64, out);
        out.extend_from_slice(&name.key);
    }

    let mut link = 0;
    put_number(batch.counts.len() as u64, out);
    for count in giving_way(&batch.counts) {
        put_step(count.link, &mut link, out);
        put_counts(&count.counts, out);
    }

    put_details(batch, out);

    let mut link = 0;
    put_number(batch.visits.len() as u64, out);
    for visit in giving_way(&batch.visits) {
        put_step(visit.link, &mut link, out);
        put_visitor(visit.visitor, out);
    }
}

/// Appends that a link is to be forgotten.
pub(super) fn encode_forget(id: WindowId, link: u64, out: &mut Vec<u8>) {
    put_head(FORGET, id, out);
    put_number(link, out);
}

fn put_head(kind: u8, id: WindowId, out: &mut Vec<u8>) {
    out.push(kind);
    put_number(id.boot, out);
    put_number(id.number, out);
}

/// One class and few clicks, which is the most frequent by far, in one byte.
fn put_counts(counts: &[u32; VISIT_CLASSES], out: &mut Vec<u8>) {
    let classes =
        (0..VISIT_CLASSES).filter(|&class| counts[class] > 0).fold(0u8, |classes, class| classes | 1 << class);
    let count = counts[classes.trailing_zeros() as usize % VISIT_CLASSES];
    if classes.is_power_of_two() && count < 16 {
        out.push(classes | (count as u8) << VISIT_CLASSES);
        return;
    }
    out.push(classes);
    counts.iter().filter(|&&count| count > 0).for_each(|&count| put_number(count.into(), out));
}

fn put_details(batch: &Batch, out: &mut Vec<u8>) {
    let mut referrers: Vec<&str> = Vec::new();
    let mut places: AHashMap<&str, u64> = AHashMap::new();
    for detail in giving_way(&batch.details) {
        places.entry(&detail.referrer).or_insert_with(|| {
            referrers.push(&detail.referrer);
            referrers.len() as u64 - 1
        });
    }
    put_number(referrers.len() as u64, out);
    for referrer in referrers {
        put_number(referrer.len() as u64, out);
        out.extend_from_slice(referrer.as_bytes());
    }

    let (mut link, mut time_ms) = (0, batch.time_s.wrapping_mul(1_000));
    put_number(batch.details.len() as u64, out);
    for detail in giving_way(&batch.details) {
        put_step(detail.link, &mut link, out);
        put_step(detail.time_ms, &mut time_ms, out);
        let has_visitor = if detail.visitor.is_some() { HAS_VISITOR } else { 0 };
        out.push(detail.class as u8 | (detail.device as u8) << 2 | has_visitor);
        put_number(detail.weight.into(), out);
        put_number(places[&*detail.referrer], out);
        out.extend_from_slice(&detail.country.0);
        out.extend_from_slice(&detail.language.0);
        detail.visitor.into_iter().for_each(|visitor| put_visitor(visitor, out));
    }
}

fn put_visitor(visitor: Visitor, out: &mut Vec<u8>) {
    out.extend_from_slice(&visitor.0.to_le_bytes()[..VISITOR_BYTES]);
}

/// Which entry it is, without reading the rest.
///
/// # Errors
/// If it is none.
pub(super) fn decode_id(bytes: &[u8]) -> Result<WindowId, Malformed> {
    Ok(head(&mut Bytes(bytes))?.1)
}

/// Reads an entry.
///
/// # Errors
/// If it is none. Nothing is allocated for what isn't there.
pub(super) fn decode(bytes: &[u8]) -> Result<Entry, Malformed> {
    let mut bytes = Bytes(bytes);
    let entry = match head(&mut bytes)? {
        (WINDOW, id) => Entry::Window(Window { id, batch: batch(&mut bytes)? }),
        (_, id) => Entry::Forget { id, link: bytes.number()? },
    };
    if bytes.is_empty() { Ok(entry) } else { Err(Malformed("something stands behind it")) }
}

fn head(bytes: &mut Bytes) -> Result<(u8, WindowId), Malformed> {
    let kind = bytes.byte()?;
    if kind != WINDOW && kind != FORGET {
        return Err(Malformed("it is of no known kind"));
    }
    Ok((kind, WindowId { boot: bytes.number()?, number: bytes.number()? }))
}

fn batch(bytes: &mut Bytes) -> Result<Batch, Malformed> {
    let time_s = bytes.number()?;
    let names = list(bytes, 2, |bytes, link| {
        let (link, key_bytes) = (bytes.step(link)?, bytes.length(1)?);
        Ok(LinkName { link, key: bytes.slice(key_bytes)?.into() })
    })?;
    let counts = list(bytes, 2, |bytes, link| Ok(LinkCount { link: bytes.step(link)?, counts: counts(bytes)? }))?;
    let details = details(bytes, time_s)?;
    let visits =
        list(bytes, 1 + VISITOR_BYTES, |bytes, link| Ok(Visit { link: bytes.step(link)?, visitor: visitor(bytes)? }))?;
    Ok(Batch { time_s, names, counts, details, visits })
}

/// Reads a list of things that take at least so many bytes each, and tell of links.
fn list<T>(
    bytes: &mut Bytes,
    each_bytes: usize,
    mut read: impl FnMut(&mut Bytes, &mut u64) -> Result<T, Malformed>,
) -> Result<Vec<T>, Malformed> {
    let mut link = 0;
    giving_way(0..bytes.length(each_bytes)?).map(|_| read(bytes, &mut link)).collect()
}

fn counts(bytes: &mut Bytes) -> Result<[u32; VISIT_CLASSES], Malformed> {
    let byte = bytes.byte()?;
    let (classes, few) = (byte & 0xf, byte >> VISIT_CLASSES);
    if few > 0 && !classes.is_power_of_two() {
        return Err(Malformed("a short count is not of one class"));
    }
    let mut counts = [0; VISIT_CLASSES];
    for (_, count) in counts.iter_mut().enumerate().filter(|(class, _)| classes & 1 << class != 0) {
        *count = if few > 0 { few.into() } else { bytes.number_32()? };
    }
    Ok(counts)
}

fn details(bytes: &mut Bytes, time_s: u64) -> Result<Vec<Detail>, Malformed> {
    let length = bytes.length(1)?;
    let referrers = (0..length).map(|_| Ok(referrer(bytes)?.into())).collect::<Result<Vec<SharedText>, _>>()?;
    let mut time_ms = time_s.wrapping_mul(1_000);
    list(bytes, 2 + 1 + 2 + 2 + 3, |bytes, link| {
        let (link, time_ms, flags) = (bytes.step(link)?, bytes.step(&mut time_ms)?, bytes.byte()?);
        let weight = bytes.number_32()?;
        let referrer = usize::try_from(bytes.number()?).ok().and_then(|place| referrers.get(place));
        Ok(Detail {
            link,
            time_ms,
            class: VisitClass::ALL[usize::from(flags & 3)],
            weight,
            referrer: referrer.ok_or(Malformed("a referrer is missing"))?.clone(),
            country: Country(bytes.array()?),
            device: device(flags >> 2 & 0x1f)?,
            language: Language(bytes.array()?),
            visitor: if flags & HAS_VISITOR == 0 { None } else { Some(visitor(bytes)?) },
        })
    })
}

fn referrer<'b>(bytes: &mut Bytes<'b>) -> Result<&'b str, Malformed> {
    let length = bytes.length(1)?;
    std::str::from_utf8(bytes.slice(length)?).map_err(|_| Malformed("a referrer is no UTF-8"))
}

fn device(number: u8) -> Result<Device, Malformed> {
    Ok(match number {
        0 => Device::Unknown,
        1 => Device::Desktop,
        2 => Device::Phone,
        3 => Device::Tablet,
        4 => Device::Other,
        _ => return Err(Malformed("a device is of no known kind")),
    })
}

fn visitor(bytes: &mut Bytes) -> Result<Visitor, Malformed> {
    let mut number = [0; 8];
    number[..VISITOR_BYTES].copy_from_slice(&bytes.array::<VISITOR_BYTES>()?);
    Ok(Visitor(u64::from_le_bytes(number)))
}
