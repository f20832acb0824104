//! Row to bytes and back. A row of one click takes about twenty bytes.

use super::super::super::batch::{Counts, VISIT_CLASSES, VisitClass};
use super::super::calendar::QUARTER_MINUTES;
use super::{DIMENSIONS, Details, Frequent, Parts, Row, Slots, Visitors, varint};

/// The version, in the two highest bits of the first byte.
const VERSION: u8 = 1 << 6;
const VERSION_MASK: u8 = 0b1100_0000;

/// All clicks are of class human: each count is one number, without a mask of classes before it.
const HUMAN: u8 = 1 << 0;
/// Slots follow: minutes or, with [`QUARTERS`] too, quarters.
const SLOTS: u8 = 1 << 1;
const QUARTERS: u8 = 1 << 2;
const VISITORS: u8 = 1 << 3;
const DETAILS: u8 = 1 << 4;
const LINKS: u8 = 1 << 5;

/// Minutes of a day.
const DAY_MINUTES: u16 = 24 * 60;

/// How the values of a dimension are written: two bits each of one byte.
#[derive(Clone, Copy)]
enum Shape {
    /// One value, of which the number is 0.
    Zero = 0,
    /// One value.
    One = 1,
    /// As [`Frequent`] writes itself.
    Many = 2,
    /// The number of values, and each as what it is above the one before; all have the weight 1.
    Ones = 3,
}

impl Row {
    /// Its bytes.
    pub(crate) fn encode(&self) -> Vec<u8> {
        let human = self.counts.of(VisitClass::Human) == self.counts.sum();
        let flag = |set, flag| if set { flag } else { 0 };
        let mut out = Vec::with_capacity(32);
        out.push(
            VERSION
                | flag(human, HUMAN)
                | match &self.slots {
                    Slots::Kept { quarters, .. } => SLOTS | flag(*quarters, QUARTERS),
                    Slots::Gone => 0,
                }
                | flag(!self.visitors.is_empty(), VISITORS)
                | flag(self.details.is_some(), DETAILS)
                | flag(!self.links.is_empty(), LINKS),
        );
        put_counts(&mut out, &self.counts, human);
        if let Slots::Kept { list, .. } = &self.slots {
            put_slots(&mut out, list, human);
        }
        if !self.visitors.is_empty() {
            self.visitors.encode(&mut out);
        }
        if let Some(details) = &self.details {
            put_details(&mut out, details);
        }
        if !self.links.is_empty() {
            self.links.encode(&mut out);
        }
        out
    }

    /// The row of these bytes, of which only some parts are wanted. None if they are not what [`encode`](Row::encode)
    /// made.
    pub(crate) fn decode(bytes: &[u8], parts: Parts) -> Option<Row> {
        let (&first, mut from) = bytes.split_first()?;
        if first & VERSION_MASK != VERSION || first & (SLOTS | QUARTERS) == QUARTERS {
            return None;
        }
        let from = &mut from;
        let human = first & HUMAN != 0;
        let mut row = Row { counts: take_counts(from, human)?, slots: Slots::Gone, ..Row::default() };
        if first & SLOTS != 0 {
            let quarters = first & QUARTERS != 0;
            let list = take_slots(from, human, quarters, &row.counts)?;
            row.slots = Slots::Kept { quarters, list };
        }
        if parts == Parts::NONE || parts == Parts::SLOTS {
            return Some(row);
        }
        if first & VISITORS != 0 {
            row.visitors = Visitors::decode(from, parts.visitors)?;
        }
        if first & DETAILS != 0 {
            row.details = Some(Box::new(take_details(from, parts.details)?)).filter(|_| parts.details);
        }
        if first & LINKS != 0 && parts.links {
            row.links = Frequent::decode(from, true)?;
        }
        (from.is_empty() || !parts.links).then_some(row)
    }
}

fn put_counts(out: &mut Vec<u8>, counts: &Counts, human: bool) {
    if human {
        return varint::put(out, counts.of(VisitClass::Human));
    }
    out.push((0..VISIT_CLASSES).fold(0, |mask, class| mask | u8::from(counts.0[class] > 0) << class));
    counts.0.iter().filter(|count| **count > 0).for_each(|count| varint::put(out, *count));
}

fn take_counts(from: &mut &[u8], human: bool) -> Option<Counts> {
    let mut counts = Counts::default();
    if human {
        counts.0[VisitClass::Human as usize] = varint::take(from)?;
        return Some(counts);
    }
    let (&mask, rest) = from.split_first()?;
    *from = rest;
    if mask >> VISIT_CLASSES != 0 {
        return None;
    }
    for class in (0..VISIT_CLASSES).filter(|class| mask >> class & 1 != 0) {
        counts.0[class] = varint::take(from)?;
    }
    counts.0.iter().try_fold(0u64, |sum, count| sum.checked_add(*count)).map(|_| counts)
}

/// The number of slots. Then each, as what it is above the one before, and its counts; those of the last are what is
/// left of the row's. For one slot, number and slot are one varint: twice the slot.
fn put_slots(out: &mut Vec<u8>, list: &[(u16, Counts)], human: bool) {
    if let [(slot, _)] = list {
        return varint::put(out, u64::from(*slot) * 2);
    }
    varint::put(out, list.len() as u64 * 2 + 1);
    let mut before = 0;
    for (place, (slot, counts)) in list.iter().enumerate() {
        varint::put(out, u64::from(slot - before));
        before = *slot;
        if place + 1 < list.len() {
            put_counts(out, counts, human);
        }
    }
}

fn take_slots(from: &mut &[u8], human: bool, quarters: bool, sum: &Counts) -> Option<Vec<(u16, Counts)>> {
    let end = u64::from(if quarters { DAY_MINUTES / QUARTER_MINUTES } else { DAY_MINUTES });
    let head = varint::take(from)?;
    if head & 1 == 0 {
        return (head / 2 < end).then(|| vec![((head / 2) as u16, *sum)]);
    }
    let count = usize::try_from(head / 2).ok().filter(|count| *count as u64 <= end)?;
    let mut list = Vec::with_capacity(count);
    let (mut slot, mut left) = (0, *sum);
    for place in 0..count {
        let step = varint::take(from)?;
        slot = u64::checked_add(slot, step).filter(|slot| *slot < end && (place == 0 || step > 0))?;
        let counts = if place + 1 < count { take_counts(from, human)? } else { left };
        for (left, count) in left.0.iter_mut().zip(counts.0) {
            *left = left.checked_sub(count)?;
        }
        list.push((slot as u16, counts));
    }
    (left.sum() == 0).then_some(list)
}

/// Twice the number of details, and one more if their weight is another number and follows; behind it, if they are
/// several, the sum of the squares of their weights. Then a byte with the shapes of the dimensions, and the dimensions.
fn put_details(out: &mut Vec<u8>, details: &Details) {
    let weighted = details.weight != details.count;
    varint::put(out, details.count * 2 + u64::from(weighted));
    if weighted {
        varint::put(out, details.weight);
        if details.count != 1 {
            varint::put(out, details.squares);
        }
    }
    let shape = |values: &Frequent| match values {
        Frequent::List(list) => match list.as_slice() {
            [(0, weight)] if *weight == details.weight => Shape::Zero,
            [(_, weight)] if *weight == details.weight => Shape::One,
            list if !list.is_empty() && list.iter().all(|(_, weight)| *weight == 1) => Shape::Ones,
            _ => Shape::Many,
        },
        Frequent::Sketch(_) => Shape::Many,
    };
    let shapes = details.values.iter().rev().fold(0, |byte, values| byte << 2 | shape(values) as u8);
    out.push(shapes);
    for values in &details.values {
        match (shape(values), values) {
            (Shape::One, Frequent::List(list)) => list.iter().for_each(|(value, _)| varint::put(out, *value)),
            (Shape::Ones, Frequent::List(list)) => {
                varint::put(out, list.len() as u64);
                let mut before = 0;
                for (value, _) in list {
                    varint::put(out, value - before);
                    before = *value;
                }
            }
            (Shape::Many, _) => values.encode(out),
            _ => {}
        }
    }
}

fn take_details(from: &mut &[u8], wanted: bool) -> Option<Details> {
    let head = varint::take(from)?;
    let count = head / 2;
    let (weight, squares) = match head & 1 {
        0 => (count, count),
        _ => {
            let weight = varint::take(from)?;
            (weight, if count == 1 { weight.saturating_mul(weight) } else { varint::take(from)? })
        }
    };
    let (&shapes, rest) = from.split_first()?;
    *from = rest;
    let mut values: [Frequent; DIMENSIONS] = Default::default();
    for (place, values) in values.iter_mut().enumerate() {
        *values = match shapes >> (2 * place) & 3 {
            shape if shape == Shape::Zero as u8 => Frequent::List(vec![(0, weight)]),
            shape if shape == Shape::One as u8 => Frequent::List(vec![(varint::take(from)?, weight)]),
            shape if shape == Shape::Many as u8 => Frequent::decode(from, wanted)?,
            _ => take_ones(from)?,
        };
    }
    Some(Details { count, weight, squares, values })
}

fn take_ones(from: &mut &[u8]) -> Option<Frequent> {
    // Each takes a byte at least.
    let count = usize::try_from(varint::take(from)?).ok().filter(|count| *count <= from.len())?;
    let mut list = Vec::with_capacity(count);
    let mut value = 0u64;
    for place in 0..count {
        let step = varint::take(from)?;
        value = value.checked_add(step).filter(|_| place == 0 || step > 0)?;
        list.push((value, 1));
    }
    Some(Frequent::List(list))
}
