//! A row: what is known of the clicks on one link, one host, one tag or all links in one day or month.
//!
//! - `codec`: row to bytes and back; `docs/clicks/rollups.md` gives every byte.
//! - `values`: values of dimensions as numbers.

mod codec;
mod frequent;
#[cfg(test)]
mod tests;
mod values;
pub(crate) mod varint;
mod visitors;

pub(crate) use frequent::{Bound, Frequent};
pub(crate) use values::{country_number, country_text, device_text, language_number, language_text};
pub(crate) use visitors::{SKETCH_BYTES, Visitors};

use super::super::batch::{Counts, VISIT_CLASSES};
use super::super::stats::Granularity;
use super::calendar::QUARTER_MINUTES;

/// How many dimensions there are.
pub(crate) const DIMENSIONS: usize = 4;

/// What rows of a kind keep.
#[derive(Debug)]
pub(crate) struct Bounds {
    /// Most visitors that are kept exactly.
    pub(crate) visitors: usize,
    /// Values of each dimension.
    pub(crate) values: Bound,
    /// Links that were clicked most. None of rows of a link.
    pub(crate) links: Bound,
}

/// Of a link.
pub(crate) const OF_LINK: Bounds =
    Bounds { visitors: 64, values: Bound { exact: 32, places: 128 }, links: Bound { exact: 0, places: 8 } };

/// Of a host or tag.
pub(crate) const OF_GROUP: Bounds =
    Bounds { visitors: 256, values: Bound { exact: 256, places: 1_024 }, links: Bound { exact: 256, places: 2_048 } };

/// Of all links.
pub(crate) const OF_ALL: Bounds =
    Bounds { visitors: 256, values: Bound { exact: 256, places: 2_048 }, links: Bound { exact: 256, places: 4_096 } };

/// The parts of a row beside its counts.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(crate) struct Parts {
    pub(crate) slots: bool,
    pub(crate) visitors: bool,
    pub(crate) details: bool,
    pub(crate) links: bool,
}

impl Parts {
    pub(crate) const NONE: Parts = Parts { slots: false, visitors: false, details: false, links: false };
    pub(crate) const ALL: Parts = Parts { slots: true, visitors: true, details: true, links: true };
    pub(crate) const SLOTS: Parts = Parts { slots: true, ..Parts::NONE };
    pub(crate) const VISITORS: Parts = Parts { visitors: true, ..Parts::NONE };
    pub(crate) const DETAILS: Parts = Parts { details: true, ..Parts::NONE };
    pub(crate) const LINKS: Parts = Parts { links: true, ..Parts::NONE };
}

/// See the module.
#[derive(Debug, Clone, Default)]
pub(crate) struct Row {
    pub(crate) counts: Counts,
    pub(crate) slots: Slots,
    pub(crate) visitors: Visitors,
    pub(crate) details: Option<Box<Details>>,
    /// The links that were clicked most.
    pub(crate) links: Frequent,
}

/// What is known of clicks by people.
#[derive(Debug, Clone, Default)]
pub(crate) struct Details {
    /// From how many details.
    pub(crate) count: u64,
    /// The clicks for which they stand: the sum of their weights.
    pub(crate) weight: u64,
    /// The sum of the squares of their weights, by which it is known how exact a share is.
    pub(crate) squares: u64,
    /// By dimension, the numbers of its values.
    pub(crate) values: [Frequent; DIMENSIONS],
}

/// When in the day.
#[derive(Debug, Clone, PartialEq, Eq)]
pub(crate) enum Slots {
    /// By the number of minutes or quarters, ascending. Together they are the counts of the row.
    Kept {
        /// Whether by quarters of an hour.
        quarters: bool,
        /// Numbers within the day, and counts.
        list: Vec<(u16, Counts)>,
    },
    /// Not known any more.
    Gone,
}

impl Default for Slots {
    fn default() -> Self {
        Slots::Kept { quarters: false, list: Vec::new() }
    }
}

impl Slots {
    /// How fine they are.
    pub(crate) fn granularity(&self) -> Granularity {
        match self {
            Slots::Kept { quarters: false, .. } => Granularity::Minute,
            Slots::Kept { quarters: true, .. } => Granularity::Quarter,
            Slots::Gone => Granularity::Day,
        }
    }

    /// Adds counts of a minute of the day; whether that took a new slot.
    pub(crate) fn add(&mut self, minute: u16, counts: &Counts) -> bool {
        let Slots::Kept { quarters, list } = self else { return false };
        add_slot(list, if *quarters { minute / QUARTER_MINUTES } else { minute }, counts)
    }

    /// Makes them no finer than this.
    pub(crate) fn coarsen(&mut self, to: Granularity) {
        match self {
            Slots::Kept { quarters, list } if to == Granularity::Quarter && !*quarters => {
                let mut coarse = Vec::new();
                for (minute, counts) in &*list {
                    add_slot(&mut coarse, minute / QUARTER_MINUTES, counts);
                }
                *self = Slots::Kept { quarters: true, list: coarse };
            }
            Slots::Kept { .. } if to >= Granularity::Day => *self = Slots::Gone,
            _ => {}
        }
    }

    fn merge(&mut self, other: &Slots) {
        self.coarsen(other.granularity());
        let Slots::Kept { quarters: coarse, list } = self else { return };
        if let Slots::Kept { quarters, list: more } = other {
            let divisor = if *coarse && !*quarters { QUARTER_MINUTES } else { 1 };
            for (slot, counts) in more {
                add_slot(list, slot / divisor, counts);
            }
        }
    }
}

/// Inserts into a list that most often has but one or two items, and of which there are very many: it grows by one first.
fn insert<T>(list: &mut Vec<T>, place: usize, item: T) {
    if list.len() < 4 {
        list.reserve_exact(1);
    }
    list.insert(place, item);
}

/// What an allocation takes beside what was asked for, about.
const ALLOCATION_BYTES: usize = 16;

/// Whether a slot came.
fn add_slot(list: &mut Vec<(u16, Counts)>, slot: u16, counts: &Counts) -> bool {
    // Most often it is the newest.
    let place = match list.last_mut() {
        Some((last, own)) if *last == slot => {
            own.add(counts);
            return false;
        }
        Some((last, _)) if *last > slot => list.binary_search_by_key(&slot, |entry| entry.0),
        _ => Err(list.len()),
    };
    match place {
        Ok(place) => list[place].1.add(counts),
        Err(place) => insert(list, place, (slot, *counts)),
    }
    place.is_err()
}

impl Row {
    /// Counts clicks in a minute of the day; whether that took a new slot.
    pub(crate) fn count(&mut self, minute: u16, counts: &Counts) -> bool {
        self.counts.add(counts);
        self.slots.add(minute, counts)
    }

    /// Takes in what is known of a click by a person, in the order of the dimensions; how many bytes more it takes in
    /// memory, about.
    pub(crate) fn detail(&mut self, values: [u64; DIMENSIONS], weight: u64, count: u64, bounds: &Bounds) -> usize {
        let mut bytes = if self.details.is_none() { size_of::<Details>() + ALLOCATION_BYTES } else { 0 };
        let details = self.details.get_or_insert_default();
        details.count += count;
        details.weight += weight;
        details.squares = details.squares.saturating_add(weight.saturating_mul(weight));
        for (kept, value) in details.values.iter_mut().zip(values) {
            let before = kept.memory_bytes();
            kept.add(value, weight, bounds.values);
            bytes += kept.memory_bytes().saturating_sub(before);
        }
        bytes
    }

    /// Takes in a visitor; how many bytes more it takes in memory, about.
    pub(crate) fn visitor(&mut self, visitor: u64, bounds: &Bounds) -> usize {
        let was_list = matches!(self.visitors, Visitors::List(_));
        self.visitors.add(visitor, bounds.visitors);
        match (was_list, &self.visitors) {
            (true, Visitors::List(list)) if list.len() == 1 => 8 + ALLOCATION_BYTES,
            (true, Visitors::List(_)) => 8,
            (true, _) => SKETCH_BYTES,
            (false, _) => 0,
        }
    }

    /// Adds what else is known of the same day, in the parts that both have.
    pub(crate) fn merge(&mut self, other: &Row, bounds: &Bounds) {
        self.merge_slots(other);
        self.visitors.merge(&other.visitors, bounds.visitors);
        self.merge_rest(other, bounds);
    }

    /// Adds another day. Nothing is known any more of when it was.
    pub(crate) fn add_day(&mut self, other: &Row, bounds: &Bounds) {
        self.counts.add(&other.counts);
        self.slots = Slots::Gone;
        self.visitors.add_up(&other.visitors);
        self.merge_rest(other, bounds);
    }

    fn merge_slots(&mut self, other: &Row) {
        // A row without counts says nothing of how fine those of another are.
        if other.counts.sum() > 0 {
            self.slots.merge(&other.slots);
        }
        self.counts.add(&other.counts);
    }

    fn merge_rest(&mut self, other: &Row, bounds: &Bounds) {
        if let Some(more) = &other.details {
            let details = self.details.get_or_insert_default();
            details.count += more.count;
            details.weight += more.weight;
            details.squares = details.squares.saturating_add(more.squares);
            details.values.iter_mut().zip(&more.values).for_each(|(own, more)| own.merge(more, bounds.values));
        }
        self.links.merge(&other.links, bounds.links);
    }

    /// A copy of some of its parts.
    pub(crate) fn parts(&self, parts: Parts) -> Row {
        Row {
            counts: self.counts,
            slots: if parts.slots { self.slots.clone() } else { Slots::default() },
            visitors: if parts.visitors { self.visitors.clone() } else { Visitors::default() },
            details: self.details.clone().filter(|_| parts.details),
            links: if parts.links { self.links.clone() } else { Frequent::default() },
        }
    }
}

/// The counts of one class.
pub(crate) fn counts_u64(counts: &[u32; VISIT_CLASSES]) -> Counts {
    Counts(counts.map(u64::from))
}
