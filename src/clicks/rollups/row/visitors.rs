//! Different people of a day: exactly while they are few, else by a sketch.

use datasketches::common::NumStdDev;
use datasketches::hll::{HllSketch, HllType, HllUnion};

use super::{insert, varint};

/// 2^14 registers: a standard error of 1.04/√2^14 = 0.8 % (Flajolet et al. 2007; Heule et al. 2013), in 8 KiB.
const LG_K: u8 = 14;

/// About what a sketch takes in memory once it is full, in bytes.
pub(crate) const SKETCH_BYTES: usize = 9 * 1024;

/// Bytes of a visitor.
const VISITOR_BYTES: usize = 5;

/// Different people.
#[derive(Debug, Clone)]
pub(crate) enum Visitors {
    /// Their numbers, ascending.
    List(Vec<u64>),
    /// A HyperLogLog sketch of them.
    Sketch(Box<HllSketch>),
    /// Those of some days, added up: no one can be recognised on another day.
    Sum {
        /// How many.
        estimate: f64,
        /// The variance of that.
        variance: f64,
    },
}

impl Default for Visitors {
    fn default() -> Self {
        Visitors::List(Vec::new())
    }
}

impl Visitors {
    /// Adds one; whether that made a sketch of a list. At most `most` are kept exactly.
    pub(crate) fn add(&mut self, visitor: u64, most: usize) {
        match self {
            Visitors::List(list) => {
                if let Err(place) = list.binary_search(&visitor) {
                    insert(list, place, visitor);
                    if list.len() > most {
                        *self = Visitors::Sketch(Box::new(sketch(list)));
                    }
                }
            }
            Visitors::Sketch(sketch) => sketch.update(visitor),
            // Met only by what is late by more than the time for which days are kept.
            Visitors::Sum { estimate, .. } => *estimate += 1.0,
        }
    }

    /// Adds others of the same day.
    pub(crate) fn merge(&mut self, other: &Visitors, most: usize) {
        if let Visitors::Sum { .. } = self {
            return self.add_up(other);
        }
        match other {
            Visitors::List(more) => more.iter().for_each(|visitor| self.add(*visitor, most)),
            Visitors::Sketch(more) => {
                let mut union = HllUnion::new(LG_K).expect("the size is allowed");
                match &*self {
                    Visitors::Sketch(own) => union.update(own),
                    Visitors::List(list) => list.iter().for_each(|visitor| union.update_value(*visitor)),
                    Visitors::Sum { .. } => {}
                }
                union.update(more);
                *self = Visitors::Sketch(Box::new(union.to_sketch(HllType::Hll4)));
            }
            Visitors::Sum { .. } => self.add_up(other),
        }
    }

    /// Adds those of another day.
    pub(crate) fn add_up(&mut self, other: &Visitors) {
        if other.is_empty() {
            return;
        }
        let (own, more) = (self.estimate(), other.estimate());
        *self = Visitors::Sum { estimate: own.0 + more.0, variance: own.1 + more.1 };
    }

    /// How many, and the variance of that.
    pub(crate) fn estimate(&self) -> (f64, f64) {
        match self {
            Visitors::List(list) => (list.len() as f64, 0.0),
            Visitors::Sketch(sketch) => {
                let estimate = sketch.estimate();
                let deviation = (sketch.upper_bound(NumStdDev::One) - sketch.lower_bound(NumStdDev::One)) / 2.0;
                (estimate, deviation * deviation)
            }
            Visitors::Sum { estimate, variance } => (*estimate, *variance),
        }
    }

    pub(crate) fn is_empty(&self) -> bool {
        matches!(self, Visitors::List(list) if list.is_empty())
    }

    /// 0, length and bytes of a sketch; 1 and two floats of a sum; or the number of visitors and 1, and 5 bytes each.
    pub(super) fn encode(&self, out: &mut Vec<u8>) {
        match self {
            Visitors::List(list) => {
                varint::put(out, list.len() as u64 + 1);
                list.iter().for_each(|visitor| out.extend_from_slice(&visitor.to_le_bytes()[..VISITOR_BYTES]));
            }
            Visitors::Sketch(sketch) => {
                varint::put(out, 0);
                varint::put_sized(out, &sketch.serialize());
            }
            Visitors::Sum { estimate, variance } => {
                varint::put(out, 1);
                out.extend_from_slice(&estimate.to_le_bytes());
                out.extend_from_slice(&variance.to_le_bytes());
            }
        }
    }

    /// What [`encode`](Self::encode) made; only skipped unless it is wanted. An empty list is never encoded, so that 1 is
    /// free for a sum.
    pub(super) fn decode(from: &mut &[u8], wanted: bool) -> Option<Self> {
        match varint::take(from)? {
            0 => {
                let bytes = varint::take_sized(from)?;
                if !wanted {
                    return Some(Visitors::default());
                }
                Some(Visitors::Sketch(Box::new(HllSketch::deserialize(bytes).ok()?)))
            }
            1 => {
                let estimate = f64::from_le_bytes(varint::take_bytes(from, 8)?.try_into().ok()?);
                let variance = f64::from_le_bytes(varint::take_bytes(from, 8)?.try_into().ok()?);
                Some(Visitors::Sum { estimate, variance })
            }
            count => {
                let bytes = varint::take_bytes(from, (count - 1).checked_mul(VISITOR_BYTES as u64)?)?;
                if !wanted {
                    return Some(Visitors::default());
                }
                let number = |bytes: &[u8]| bytes.iter().rev().fold(0, |number, byte| number << 8 | u64::from(*byte));
                let list: Vec<u64> = bytes.chunks_exact(VISITOR_BYTES).map(number).collect();
                list.is_sorted_by(|a, b| a < b).then_some(Visitors::List(list))
            }
        }
    }
}

fn sketch(list: &[u64]) -> HllSketch {
    let mut sketch = HllSketch::new(LG_K, HllType::Hll4).expect("the size is allowed");
    list.iter().for_each(|visitor| sketch.update(*visitor));
    sketch
}
